"""Albums: dreams -> what is kept of them: films of their rounds, panels to compare, pictures of many photos.

save_dreams: photo, or many, and what to ask -> files
photos_of:  a file, a folder or a glob -> the photos that it stands for
save_film_of, save_zoom: dream, or pictures that come nearer -> GIF, WebP or MP4
panel:      dream -> figure: photo, gray, dream, dream with contrast

The surprise: a film plays the photo first, then a picture for each round, so one round makes two frames.
"""

import glob
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from matplotlib.figure import Figure

from pellucid.data.photos import MOST_BYTES, WRITERS, photo_in, save_photo, to_gray
from pellucid.errors import PellucidError
from pellucid.executors import Engine, LocalEngine
from pellucid.files import StrPath, atomic_path, output_folder, read_bytes
from pellucid.progress import Progress
from pellucid.see.dream.dream import Dream, opened_photo
from pellucid.see.dream.dream import dream as carve
from pellucid.see.dream.resampling import resized
from pellucid.see.dream.zoom import zoomed
from pellucid.see.models.base import Model
from pellucid.see.models.open import open_model
from pellucid.show import export, style
from pellucid.show.figures.base import GAP, MARGIN, board, put, write
from pellucid.show.films import FORMATS, save_film
from pellucid.show.style import LIGHT, Palette

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2", ".avif")
FORMAT = 1  # of the hash below; another one dreams again
TOLD, MOST_TOLD = "dreams.json", 2**28
PANEL = 480  # pixels: the longer side of each picture of a panel
WORDS = ("photo", "gray", "dream", "dream, contrast")
FOOT = 22


def save_dreams(
    source: StrPath,
    model: Any,
    *,
    out: StrPath | None = None,
    film: StrPath | None = None,
    zoom: int = 0,
    panel_path: StrPath | None = None,
    engine: Engine | None = None,
    **asked: Any,
) -> Iterator[Path]:
    """Dream on a photo, or on each photo of a folder or a glob, and write all of it; the paths, as they are written.

    out: a picture for one photo ("dream.png"), a folder for many ("dreams"), where each keeps its name, as a PNG.
    What was dreamt of each photo stands in the folder's dreams.json, so that the same dreams, asked for again after an
    interruption, are not dreamt again.  engine: where many photos are dreamt on, this process if there is none.
    film, zoom, panel_path: for one photo, a film of its rounds (of `zoom` ever nearer dreams, if not 0) and a figure.
    asked: what `dream` is asked. Every path is tried before the work.  Raises PellucidError as `dream` does.
    """
    photos = photos_of(source)
    many = len(photos) > 1 or photos[0] != Path(source)
    if many and (film is not None or panel_path is not None):
        raise PellucidError(f"'{source}' stands for {len(photos)} photos; give one for a film or a panel.")
    if not many and not (engine is None or isinstance(engine, LocalEngine)):
        raise PellucidError(f"'{source}' is one photo, which is one piece of work; leave out the engine.")
    if zoom and film is None:
        raise PellucidError("A zoom is a film; say where to write it with --film.")
    if not many:
        export.ready("dream.png" if out is None else out, tuple(WRITERS))
    for path, formats in ((film, FORMATS), (panel_path, export.FIGURES)):
        if path is not None:
            export.ready(path, formats)
    opened = open_model(model)
    if many:
        folder = output_folder("dreams" if out is None else out)
        yield from _many(photos, folder, opened, LocalEngine() if engine is None else engine, asked)
        return
    dreamt = carve(photos[0], opened, **asked)
    yield dreamt.save("dream.png" if out is None else out)
    if panel_path is not None:
        yield export.save_figure(panel(dreamt), panel_path)
    if film is not None:
        yield save_zoom(zoomed(photos[0], opened, frames=zoom, **asked), film) if zoom else save_film_of(dreamt, film)


def _many(photos: list[Path], folder: Path, model: Model, engine: Engine, asked: Mapping[str, Any]) -> Iterator[Path]:
    """The dreams of all photos, as they come; of those that lie there already only the paths."""
    asked = {**asked, "frame": 0}
    if asked.get("mask") is not None:
        asked["mask"] = opened_photo(asked["mask"], "mask")
    names, told = _names(photos), Told(folder, model, asked)
    missing = []
    for photo, name in zip(photos, names, strict=True):
        if told.is_there(name, photo):
            yield folder / name
        else:
            missing.append((photo, name))
    contents = ((read_bytes(photo, "photo", MOST_BYTES), photo.name) for photo, _ in missing)
    for number, dreamt in engine.map(dreamt_on, (model, asked), contents, len(missing), label="dreams"):
        photo, name = missing[number]
        path = save_photo(folder / name, *dreamt)
        told.keep(name, photo)
        yield path


def dreamt_on(
    item: tuple[bytes, str], model: Model, asked: Mapping[str, Any], progress: Progress | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """The dream on the content of a file of that name: the picture and its alpha."""
    dreamt = carve(photo_in(*item), model, progress=progress, **asked)
    return dreamt.image, dreamt.alpha


class Told:
    """What dreams.json tells of a folder of dreams: of each picture, what it was made of, and a hash of it."""

    def __init__(self, folder: Path, model: Model, asked: Mapping[str, Any]) -> None:
        self._folder = folder
        facts = {name: value for name, value in asked.items() if name != "mask"}
        said = hashlib.blake2b(
            json.dumps([FORMAT, model.name, model.scaling.to_dict(), facts], default=str).encode(), digest_size=16
        )
        arrays = model.identity()
        if asked.get("mask") is not None:
            arrays = {**arrays, "mask": asked["mask"].over(0.0)}
        for name, array in arrays.items():
            said.update(name.encode())
            said.update(np.ascontiguousarray(array).view(np.uint8).data)
        self._asked = said.hexdigest()
        self._entries = self._read()

    def is_there(self, name: str, photo: Path) -> bool:
        """Whether this picture is the dream on this photo that is asked for."""
        path = self._folder / name
        return path.is_file() and photo.is_file() and self._entries.get(name) == self._entry(path, photo)

    def keep(self, name: str, photo: Path) -> None:
        """This picture now is."""
        self._entries[name] = self._entry(self._folder / name, photo)
        with atomic_path(self._folder / TOLD) as temporary:
            temporary.write_text(json.dumps(self._entries, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    def _entry(self, path: Path, photo: Path) -> dict[str, str]:
        digests = [
            hashlib.blake2b(read_bytes(file, "picture", MOST_BYTES), digest_size=16).hexdigest()
            for file in (photo, path)
        ]
        return {"asked": self._asked, "photo": digests[0], "picture": digests[1]}

    def _read(self) -> dict[str, Any]:
        path = self._folder / TOLD
        try:
            told = json.loads(read_bytes(path, "list of dreams", MOST_TOLD)) if path.is_file() else {}
        except (ValueError, RecursionError):
            told = {}  # no list of ours: all is dreamt again, and the list replaced
        return told if isinstance(told, dict) else {}


def _names(photos: list[Path]) -> list[str]:
    """A PNG's name for each photo, none twice: where stems are equal, the suffix is kept."""
    stems = Counter(photo.stem for photo in photos)
    names = [f"{photo.stem if stems[photo.stem] == 1 else photo.name}.png" for photo in photos]
    if len(set(names)) < len(names):
        raise PellucidError("Several photos have the same name in different folders; dream on one folder at a time.")
    return names


def photos_of(source: StrPath) -> list[Path]:
    """One file as it is; the pictures of a folder, or those that match a glob ("holiday/*.jpg"), in order of names.

    Raises PellucidError for a folder or a glob in which there is no picture.
    """
    path = Path(source)
    if path.is_dir():
        found = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in SUFFIXES and entry.is_file())
    elif not path.exists() and glob.has_magic(os.fspath(source)):
        found = sorted(Path(name) for name in glob.glob(os.fspath(source), recursive=True) if Path(name).is_file())
    else:
        return [path]
    if not found:
        raise PellucidError(f"There is no picture in '{source}'; give a photo, a folder of photos, or a glob.")
    return found


def save_film_of(dream: Dream, path: StrPath, *, milliseconds: int = 400) -> Path:
    """Write the photo and the picture after each round as a film (GIF, WebP, MP4); its path is given back.

    Raises PellucidError where no frames were kept, for another format, and where the disk refuses.
    """
    if not dream.frames:
        raise PellucidError(f"There is nothing to write to '{path}': the dream kept no frames; set rounds and frame.")
    first = dream.frames[0]
    photo = dream.before if len(dream.before) == len(first) else to_gray(dream.before)
    start = resized(torch.from_numpy(photo), first.shape[1:]).clamp(0, 1).numpy()
    return save_zoom([start, *dream.frames], path, milliseconds=milliseconds)


def save_zoom(
    pictures: Iterable[Float32[np.ndarray, "channel height width"]], path: StrPath, *, milliseconds: int = 80
) -> Path:
    """Write pictures of one size, in [0, 1], as a film (GIF, WebP, MP4); its path is given back."""
    frames = np.stack([style.picture(picture) for picture in pictures])
    shown = frames[:, 0] if frames.shape[1] == 1 else np.moveaxis(frames, 1, -1)
    return save_film(np.ascontiguousarray(shown), os.fspath(path), milliseconds=milliseconds)


def panel(dream: Dream, palette: Palette = LIGHT) -> Figure:
    """The photo, gray, the dream, and the dream with its contrast, two by two."""
    pictures = [_fitting(image) for image in (dream.before, to_gray(dream.before), dream.plain, dream.image)]
    _, height, width = pictures[0].shape
    figure, axes = board(2 * MARGIN + 2 * width + GAP, 2 * MARGIN + 2 * (height + FOOT), palette)
    for index, (picture, word) in enumerate(zip(pictures, WORDS, strict=True)):
        left, top = MARGIN + index % 2 * (width + GAP), MARGIN + index // 2 * (height + FOOT)
        pixels = np.moveaxis(style.picture(picture), 0, -1)
        put(axes, pixels.repeat(3, -1) if pixels.shape[-1] == 1 else pixels, left, top)
        write(axes, word, left, top + height + 5, size=9, colour=palette.muted)
    return figure


def _fitting(image: Float32[np.ndarray, "channel height width"]) -> Float32[np.ndarray, "channel new_height new_width"]:
    _, height, width = image.shape
    scale = min(1.0, PANEL / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    return resized(torch.from_numpy(image), size).clamp(0, 1).numpy()
