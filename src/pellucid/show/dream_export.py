"""Dream export: dreams -> files: films of their rounds, panels to compare, pictures of many photos.

save_dreams: photo, or many, and settings -> files
find_photos: a file, a folder or a glob -> its photos
save_clip:   clip -> the film of the dreams on its frames, as long, as quick, with its sound in an MP4
save_dream_film: dream -> GIF, WebP or MP4

A film plays the photo first, then a picture for each round, so one round makes two frames.
"""

import glob
import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
import torch

from pellucid.data.clips import FILMS, frame_times, read_frames
from pellucid.data.folders import pictures_in
from pellucid.data.photos import MOST_BYTES, WRITERS, Photo, decode_photo, read_photo, to_gray
from pellucid.data.pictures import UNREADABLE, tell_skipped
from pellucid.errors import PellucidError, counted
from pellucid.executors import Engine
from pellucid.files import StrPath, check_output, fill_name, output_folder, read_bytes
from pellucid.progress import Progress, ignore_progress, reporting
from pellucid.see.dream.dream import Dream, as_photo, limit_size
from pellucid.see.dream.dream import dream as carve
from pellucid.see.dream.pictures import resize
from pellucid.see.dream.presets import model_for
from pellucid.see.dream.video import video
from pellucid.see.dream.zoom import zoom as zoom_in
from pellucid.see.models.base import Model
from pellucid.settings import FilmSettings, dream_presets
from pellucid.show import style
from pellucid.show.films import FORMATS, save_film
from pellucid.show.result_cache import PIECES, ResultCache, digest

ALL, SHEET = "all", 400  # the preset that stands for each of them; pixels of a picture of their sheet
FORMAT = 3  # of the hash below; another one dreams again
LISTED = 8  # units in a line


def save_dreams(
    source: StrPath,
    model: Any,
    *,
    out: StrPath | None = None,
    film: StrPath | None = None,
    zoom: int = 0,
    panel_path: StrPath | None = None,
    stages_path: StrPath | None = None,
    engine: Engine | None = None,
    note: str = "",
    **asked: Any,
) -> Iterator[Path]:
    """Dream on a photo, or on each photo of a folder or a glob; yields the paths of the files as they are written.

    out: a picture for one photo ("dream.png"), a folder for many ("dreams"), where each keeps its name, as a PNG, or
    names for them, such as "dreams/{photo}-deep.jpg". Each file tells what it is the dream of, so that after an
    interruption the same command goes on.  engine: where many photos are dreamt on, this process if there is none.
    With the preset "all", one sheet of the photo and the dream of each preset ("presets.png").
    film, zoom, panel_path, stages_path: for one photo, a film of its rounds (of `zoom` ever nearer dreams, if not 0)
    and figures of the dream and of how it came about.
    note: how they are made, such as the command, for the metadata of each dream (default: its settings).
    asked: keywords of `dream`, fields of FilmSettings. Every path is checked before the work.  Raises PellucidError as
    `dream` does; of many, a photo that cannot be read is left out, which a warning says at the end, as it does of
    hidden and of other files.
    """
    if asked.get("preset") == ALL:
        yield _preset_sheet(source, model, "presets.png" if out is None else out, asked)
        return
    how = _moving(asked, film, zoom)
    photos = find_photos(source)
    many = [*photos] != [os.fspath(source)]
    if many and (film, panel_path, stages_path) != (None, None, None):
        raise PellucidError(f"'{source}' is no single photo; give one for a film, a panel or stages.")
    if not many and type(engine) not in (NoneType, Engine):
        raise PellucidError(f"'{source}' is one photo, which is one piece of work; leave out the engine.")
    if not many:
        check_output("dream.png" if out is None else out, tuple(WRITERS))
    check_output(film, FORMATS)
    check_output(panel_path, style.FIGURES)
    check_output(stages_path, style.FIGURES)
    opened = model_for(model, asked.get("preset"))
    if many:
        place = Path("dreams" if out is None else out)
        if place.suffix.lower() in WRITERS and "{" not in place.name:
            raise PellucidError(f"'{place}' is one picture for many dreams; give a folder, or {{photo}}{place.suffix}.")
        place = place if "{" in place.name else place / "{photo}.png"
        check_output(output_folder(place.parent) / place.name, tuple(WRITERS))
        yield from _dream_many(photos, place, opened, Engine() if engine is None else engine, asked, note)
        return
    dreamt = carve(source, opened, **asked)
    print("\n".join(activation_lines(dreamt)))
    yield dreamt.to_photo(note).save(fill_name("dream.png" if out is None else out, [{"photo": Path(source).stem}])[0])
    yield from _figures(dreamt, panel_path, stages_path)
    if film is not None and zoom:
        zoomed, loop = zoom_in(source, opened, frames=zoom, **how, **asked), how.get("loop", False)
        times = [how.get("milliseconds", 80)] * (zoom + (not loop))
        yield save_film(zoomed, film, milliseconds=times, hold=0 if loop else 1200)
    elif film is not None:
        yield save_dream_film(dreamt, film, **how)


def _moving(asked: dict[str, Any], film: StrPath | None, zoom: int) -> dict[str, Any]:
    """The fields of FilmSettings, taken out of `asked`; PellucidError where there is no film that they are of."""
    how = {name: asked.pop(name) for name in FilmSettings.model_fields if name in asked}
    if (film is None and (zoom or how)) or (not zoom and how.keys() - {"milliseconds"}):
        raise PellucidError(
            "A zoom is a film, a film has --milliseconds a picture, and factor, rotate and loop are of a zoom; give "
            "--film, and for these --zoom."
        )
    return FilmSettings.of(**how).model_dump(exclude_unset=True)


def save_clip(source: StrPath, model: Any = None, *, out: StrPath | None = None, **asked: Any) -> Path:
    """Dream on every frame of a clip (see `read_frames`) and write them as a film, whose path is given back.

    out: .mp4, .gif or .webp (default: "dream" with the suffix of the clip, or .mp4).  asked: keywords of `dream`.
    Finished frames lie beside the film, in a folder of its name and `.frames`, until it is whole, so that after an
    interruption the same command goes on, to the same film.  Raises PellucidError as `video` and `read_frames` do.
    """
    suffix = Path(source).suffix.lower()
    target = Path(f"dream{suffix if suffix in FORMATS else '.mp4'}" if out is None else out)
    check_output(target, FORMATS)
    times = frame_times(source)
    opened = model_for(model, asked.get("preset"))
    asked, same = _all_but_photo(opened, asked)
    with Path(source).open("rb") as file:
        same += hashlib.file_digest(file, "blake2b").hexdigest()
    cache = ResultCache(Path(f"{target}.frames"), same, True, Engine())
    last, done, before = cache.load_part("last"), 0, None
    if last is not None:  # it is written before its frame, so there always is one to go on from
        done, before = int(last["number"]) + 1, (last["before"], last["change"])
        cache.save_part(f"{PIECES}/{done - 1}", {"picture": last["picture"]}, ())
    frames = (pixels for pixels, _, _ in islice(read_frames(source), done, None))
    with reporting("dream", None, unit="frame") as report:
        report.expect(len(times) - done)
        for number, dreamt in enumerate(video(frames, opened, before=before, **asked), done):
            output_folder(cache.folder / PIECES)
            picture = {"picture": style.image_bytes(dreamt.image)}
            state = {"number": np.array(number), "before": dreamt.before, "change": dreamt.change}
            cache.save_part("last", {**picture, **state}, ())
            cache.save_part(f"{PIECES}/{number}", picture, ())
            report.advance(1)
    pictures = (cache.load_piece(str(number))["picture"] for number in range(len(times)))
    save_film(pictures, target, milliseconds=times, hold=0, sound=source if suffix in FILMS else None)
    cache.remove_pieces()
    (cache.folder / "last.npz").unlink()
    with suppress(OSError):  # something else lies there
        cache.folder.rmdir()
    return target


def _all_but_photo(model: Model, asked: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """What is asked for, its pictures read, and a hash of all that a dream follows from, but its photo."""
    pictures = {name: as_photo(asked[name], name) for name in ("mask", "guide") if asked.get(name) is not None}
    facts = [FORMAT, model.name, model.scaling.to_dict(), {**asked, **dict.fromkeys(pictures), "frame": 0}]
    arrays = model.identity() | {name: photo.over(0.0) for name, photo in pictures.items()}
    return {**asked, **pictures, "frame": 0}, digest(facts, arrays)


def _preset_sheet(source: StrPath, model: Any, out: StrPath, asked: Mapping[str, Any]) -> Path:
    """Writes the photo and, of each preset, its dream on it, small, side by side."""
    from pellucid.show.figures.axes import save_figure
    from pellucid.show.figures.pictures import captioned_figure

    check_output(out, style.FIGURES)
    photo = limit_size(as_photo(source), min(int(asked.get("size", SHEET)), SHEET))
    cells = [("photo", Path(source).stem, photo.over())]
    with reporting("presets", None, unit="preset") as report:
        shown = {name: preset for name, preset in dream_presets().items() if preset.get("color", True)}
        report.expect(len(shown))
        for name, preset in shown.items():
            dreamt = carve(photo, model, progress=ignore_progress, **{**asked, "preset": name, "frame": 0})
            cells.append((name, preset["says"], Photo(dreamt.image, dreamt.alpha).over()))
            report.advance(1)
    return save_figure(captioned_figure(cells), out)


def _figures(dreamt: Dream, panel_path: StrPath | None, stages_path: StrPath | None) -> Iterator[Path]:
    """Writes those figures that have a path."""
    from pellucid.show.figures import axes, pictures

    if panel_path is not None:
        yield axes.save_figure(pictures.dream_panel(dreamt), panel_path)
    if stages_path is not None:
        yield axes.save_figure(pictures.stages_panel(dreamt), stages_path)


def activation_lines(dreamt: Dream) -> list[str]:
    """What a dream has gained, of each goal of octaves, or for each level of tiles, and its most frequent units; first,
    whether the photo is smaller than was asked for."""
    high, wide = dreamt.image.shape[1:]
    asked = dreamt.settings.size if "size" in dreamt.settings.model_fields_set else 0
    small = f"The photo is {wide} x {high} pixels and keeps its size; enlarge it first for a dream of {asked}."
    lines = [small] * (asked > max(high, wide))
    if len(dreamt.goals) > 1:
        gains = zip(dreamt.goals, dreamt.activations, dreamt.activations_before, strict=True)
        words = "Activation of {}: {:.4f} for the dream, {:.4f} for the photo."
        return lines + [words.format(*gain) for gain in gains]
    ends = [sum(dreamt.counts[:level]) for level in range(1, len(dreamt.counts))]
    values = (dreamt.activations, dreamt.activations_before, np.array(dreamt.units))
    for level, (after, before, own) in enumerate(zip(*(np.split(each, ends) for each in values), strict=True), 1):
        units = [str(unit) for unit, _ in Counter(own.tolist()).most_common()]
        told = f"unit{'s' * (len(units) > 1)} {', '.join(units[:LISTED])}" + " ..." * (len(units) > LISTED)
        where = f"level {level}, " * bool(dreamt.counts) + ("the whole layer" if units == ["-1"] else told)
        gain = f"{after.mean():.4f} for the dream, {before.mean():.4f} for the photo"
        lines.append(f"Activation of {dreamt.layer}: {gain} ({where}).")
    return lines


def _dream_many(
    photos: dict[str, str], place: Path, model: Model, engine: Engine, asked: Mapping[str, Any], note: str
) -> Iterator[Path]:
    """The paths of the dreams on all photos that can be read, as they are written; a warning names the other files.

    Dreams that are there already, by what they say of themselves, are not made again.
    """
    asked, same = _all_but_photo(model, asked)
    missing = []
    for photo, path in _picture_paths([Path(name) for name, why in photos.items() if not why], place).items():
        identity = hashlib.blake2b(same.encode() + _content(photo), digest_size=16).hexdigest()
        with suppress(PellucidError):
            if read_photo(path).metadata.identity == identity:
                yield path
                continue
        missing.append((photo, path, identity))
    items = ((_content(photo), photo.name, identity) for photo, _, identity in missing)
    shared = model, asked, note
    for number, dreamt in engine.map(dream_on_photo, shared, items, len(missing), label="dreams"):
        photo, path, _ = missing[number]
        if dreamt is None:
            photos[str(photo)] = UNREADABLE
        else:
            yield dreamt.save(path)
    if all(photos.values()):
        held = counted(len(photos), "file")
        raise PellucidError(f"None of {held} can be read, such as '{next(iter(photos))}'; give pictures.")
    tell_skipped(photos, "the files")


def _content(photo: Path) -> bytes:
    """The bytes of a file; none where it cannot be read."""
    with suppress(PellucidError):
        return read_bytes(photo, "photo", MOST_BYTES)
    return b""


def dream_on_photo(
    item: tuple[bytes, str, str], model: Model, asked: Mapping[str, Any], note: str, progress: Progress | None
) -> Photo | None:
    """The dream on the content of a file of that name, to be saved under that identity; None where it is no photo."""
    try:
        photo = decode_photo(*item[:2])
    except PellucidError:
        return None
    return carve(photo, model, progress=progress, **asked).to_photo(note, item[2])


def _picture_paths(photos: list[Path], template: Path) -> dict[Path, Path]:
    """A picture's path for each photo, none twice: where stems are equal, the suffix is kept."""
    stems = Counter(photo.stem for photo in photos)
    words = [photo.stem if stems[photo.stem] == 1 else photo.name for photo in photos]
    if len(set(words)) < len(words):
        raise PellucidError("Several photos have the same name in different folders; dream on one folder at a time.")
    paths = dict(zip(photos, fill_name(template, [{"photo": word} for word in words]), strict=True))
    if {photo.resolve() for photo in photos} & {path.resolve() for path in paths.values()}:
        raise PellucidError(f"The dreams in '{template.parent}' would replace photos; write them to another folder.")
    return paths


def find_photos(source: StrPath) -> dict[str, str]:
    """One file as it is; the files of a folder, or those that match a glob ("holiday/*.jpg"), in order of names.

    Each has the reason why it is no photo ("hidden", "no picture"), "" for a photo: {path: reason}.
    Raises PellucidError for a folder or a glob in which there is no picture.
    """
    found: dict[str, str] = {}
    if os.path.isdir(source):
        found = dict.fromkeys(pictures_in(Path(source), found, below=False), "") | found
    elif not os.path.exists(source) and glob.has_magic(os.fspath(source)):
        found = dict.fromkeys(filter(os.path.isfile, sorted(glob.glob(os.fspath(source), recursive=True))), "")
    else:
        return {os.fspath(source): ""}
    if all(found.values()):
        raise PellucidError(f"There is no picture in '{source}'; give a photo, a folder of photos, or a glob.")
    return found


def save_dream_film(dream: Dream, path: StrPath, *, milliseconds: float | int = 400) -> Path:
    """Write the photo and the picture after each round as a film (GIF, WebP, MP4); its path is given back.

    Raises PellucidError where no frames were kept, for another format, and where the disk refuses.
    """
    if not dream.frames:
        raise PellucidError(f"There is nothing to write to '{path}': the dream kept no frames; set rounds and frame.")
    first = dream.frames[0]
    photo = dream.before if len(dream.before) == len(first) else to_gray(dream.before)
    start = np.broadcast_to(resize(torch.from_numpy(photo), first.shape[1:]).clamp(0, 1).numpy(), first.shape)
    return save_film([start, *dream.frames], path, milliseconds=milliseconds)
