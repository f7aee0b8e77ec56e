"""Dream export: dreams -> files: films of their rounds, panels to compare, pictures of many photos.

save_dreams: photo, or many, and settings -> files
find_photos: a file, a folder or a glob -> its photos
save_dream_film, save_picture_film: dream, or pictures of one size -> GIF, WebP or MP4

A film plays the photo first, then a picture for each round, so one round makes two frames.
"""

import glob
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32

from pellucid.data.folders import SUFFIXES
from pellucid.data.photos import MOST_BYTES, WRITERS, Photo, decode_photo, save_photo, to_gray
from pellucid.errors import PellucidError
from pellucid.executors import Engine
from pellucid.files import StrPath, check_output, fill_name, output_folder, read_bytes, write_text
from pellucid.progress import Progress
from pellucid.see.dream.dream import Dream, as_photo
from pellucid.see.dream.dream import dream as carve
from pellucid.see.dream.dream import zoom as zoom_in
from pellucid.see.dream.pictures import resize
from pellucid.see.dream.presets import model_for
from pellucid.see.models.base import Model
from pellucid.settings import DreamSettings
from pellucid.show import style
from pellucid.show.films import FORMATS, save_film
from pellucid.show.result_cache import digest

FORMAT = 2  # of the hash below; another one dreams again
MANIFEST, MANIFEST_LIMIT = "dreams.json", 2**28


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
    """Dream on a photo, or on each photo of a folder or a glob; yields the paths of the files as they are written.

    out: a picture for one photo ("dream.png"), a folder for many ("dreams"), where each keeps its name, as a PNG, or
    names for them, such as "dreams/{photo}-deep.jpg". The folder's dreams.json records each dream, so that after an
    interruption the same command goes on.  engine: where many photos are dreamt on, this process if there is none.
    film, zoom, panel_path: for one photo, a film of its rounds (of `zoom` ever nearer dreams, if not 0) and a figure.
    asked: keywords of `dream`. Every path is checked before the work.  Raises PellucidError as `dream` does.
    """
    photos = find_photos(source)
    many = len(photos) > 1 or photos[0] != Path(source)
    if many and (film is not None or panel_path is not None):
        raise PellucidError(f"'{source}' stands for {len(photos)} photos; give one for a film or a panel.")
    if not many and type(engine) not in (NoneType, Engine):
        raise PellucidError(f"'{source}' is one photo, which is one piece of work; leave out the engine.")
    if zoom and film is None:
        raise PellucidError("A zoom is a film; say where to write it with --film.")
    if not many:
        check_output("dream.png" if out is None else out, tuple(WRITERS))
    check_output(film, FORMATS)
    check_output(panel_path, style.FIGURES)
    opened = model_for(model, DreamSettings.of(**{key: asked[key] for key in asked if key == "preset"}).preset)
    if many:
        place = Path("dreams" if out is None else out)
        place = place if "{" in place.name else place / "{photo}.png"
        check_output(output_folder(place.parent) / place.name, tuple(WRITERS))
        yield from _dream_many(photos, place, opened, Engine() if engine is None else engine, asked)
        return
    dreamt = carve(photos[0], opened, **asked)
    after, before = dreamt.activations.mean(), dreamt.activations_before.mean()
    print(f"Activation of {dreamt.layer}: {after:.4f} for the dream, {before:.4f} for the photo.")
    yield dreamt.save(fill_name("dream.png" if out is None else out, [{"photo": photos[0].stem}])[0])
    if panel_path is not None:
        from pellucid.show.figures.axes import save_figure
        from pellucid.show.figures.pictures import dream_panel

        yield save_figure(dream_panel(dreamt), panel_path)
    if film is not None:
        zoomed = zoom_in(photos[0], opened, frames=zoom, **asked) if zoom else None
        yield save_dream_film(dreamt, film) if zoomed is None else save_picture_film(zoomed, film)


def _dream_many(
    photos: list[Path], place: Path, model: Model, engine: Engine, asked: Mapping[str, Any]
) -> Iterator[Path]:
    """The paths of the dreams on all photos, as they are written; dreams that are there already are not made again."""
    asked = {**asked, "frame": 0}
    asked |= {name: as_photo(asked[name], name) for name in ("mask", "guide") if asked.get(name) is not None}
    folder, names = place.parent, _picture_names(photos, place.name)
    manifest = DreamManifest(folder, model, asked)
    missing = []
    for photo, name in zip(photos, names, strict=True):
        if manifest.contains(name, photo):
            yield folder / name
        else:
            missing.append((photo, name))
    contents = ((read_bytes(photo, "photo", MOST_BYTES), photo.name) for photo, _ in missing)
    for number, dreamt in engine.map(dream_on_photo, (model, asked), contents, len(missing), label="dreams"):
        photo, name = missing[number]
        path = save_photo(folder / name, *dreamt)
        manifest.add(name, photo)
        yield path


def dream_on_photo(
    item: tuple[bytes, str], model: Model, asked: Mapping[str, Any], progress: Progress | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """The dream on the content of a file of that name: the picture and its alpha."""
    dreamt = carve(decode_photo(*item), model, progress=progress, **asked)
    return dreamt.image, dreamt.alpha


class DreamManifest:
    """The file dreams.json of a folder of dreams: for each picture, hashes of its settings, its photo and itself."""

    def __init__(self, folder: Path, model: Model, asked: Mapping[str, Any]) -> None:
        self._folder = folder
        photos = {name: value for name, value in asked.items() if isinstance(value, Photo)}
        facts = {name: value for name, value in asked.items() if name not in photos}
        arrays = model.identity() | {name: photo.over(0.0) for name, photo in photos.items()}
        self._asked = digest([FORMAT, model.name, model.scaling.to_dict(), facts], arrays)
        try:
            path = folder / MANIFEST
            entries = json.loads(read_bytes(path, "list of dreams", MANIFEST_LIMIT)) if path.is_file() else {}
        except (ValueError, RecursionError):
            entries = {}  # no list of ours: all is dreamt again, and the list replaced
        self._entries: dict[str, Any] = entries if isinstance(entries, dict) else {}

    def contains(self, name: str, photo: Path) -> bool:
        """Whether this picture is the dream on this photo with the present settings."""
        path = self._folder / name
        return path.is_file() and photo.is_file() and self._entries.get(name) == self._entry(path, photo)

    def add(self, name: str, photo: Path) -> None:
        """Record this picture as the dream on this photo."""
        self._entries[name] = self._entry(self._folder / name, photo)
        write_text(self._folder / MANIFEST, json.dumps(self._entries, indent=1, sort_keys=True) + "\n")

    def _entry(self, path: Path, photo: Path) -> dict[str, str]:
        digests = [
            hashlib.blake2b(read_bytes(file, "picture", MOST_BYTES), digest_size=16).hexdigest()
            for file in (photo, path)
        ]
        return {"asked": self._asked, "photo": digests[0], "picture": digests[1]}


def _picture_names(photos: list[Path], template: str) -> list[str]:
    """A picture's name for each photo, none twice: where stems are equal, the suffix is kept."""
    stems = Counter(photo.stem for photo in photos)
    words = [photo.stem if stems[photo.stem] == 1 else photo.name for photo in photos]
    if len(set(words)) < len(words):
        raise PellucidError("Several photos have the same name in different folders; dream on one folder at a time.")
    return [str(name) for name in fill_name(template, [{"photo": word} for word in words])]


def find_photos(source: StrPath) -> list[Path]:
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


def save_dream_film(dream: Dream, path: StrPath, *, milliseconds: int = 400) -> Path:
    """Write the photo and the picture after each round as a film (GIF, WebP, MP4); its path is given back.

    Raises PellucidError where no frames were kept, for another format, and where the disk refuses.
    """
    if not dream.frames:
        raise PellucidError(f"There is nothing to write to '{path}': the dream kept no frames; set rounds and frame.")
    first = dream.frames[0]
    photo = dream.before if len(dream.before) == len(first) else to_gray(dream.before)
    start = np.broadcast_to(resize(torch.from_numpy(photo), first.shape[1:]).clamp(0, 1).numpy(), first.shape)
    return save_picture_film([start, *dream.frames], path, milliseconds=milliseconds)


def save_picture_film(
    pictures: Iterable[Float32[np.ndarray, "channel height width"]], path: StrPath, *, milliseconds: int = 80
) -> Path:
    """Write pictures of one size, in [0, 1], as a film (GIF, WebP, MP4); its path is given back."""
    return save_film(np.stack([*map(style.image_bytes, pictures)]), os.fspath(path), milliseconds=milliseconds)
