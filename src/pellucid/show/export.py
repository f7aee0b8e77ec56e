"""Export: patterns -> files, in the format of the name's suffix.

save_patterns: a layer's patterns -> a wall, their arrays, or a folder with all of it
save_strip:    one unit's ascent -> a film strip, or a film
save_ascents:  a layer's ascents, all side by side -> a film

Every file is whole or not there. `check_output` is called before the work begins, so that nobody waits for a result
that cannot be written. Pictures have the tones that the patterns' settings ask for (data/pixels.py). Matplotlib is
loaded only where a figure is drawn.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.data.pixels import image_wall, tone_images
from pellucid.data.scaling import byte_pixels
from pellucid.errors import PellucidError, counted
from pellucid.files import StrPath, check_output, fill_name, format_of, output_folder
from pellucid.see.models.base import Model
from pellucid.see.patterns.results import SUFFIXES, Pattern, Patterns
from pellucid.show.figures.wall import PictureBoard, draw_wall
from pellucid.show.films import save_film
from pellucid.show.style import FIGURES

PICTURES = SUFFIXES
WALLS = (*FIGURES, ".npz", ".csv", "")  # the last one is a folder
ANIMATIONS = (".gif", ".webp")
FILMS = (*FIGURES, *ANIMATIONS)
NAMED = ("model", "layer", "unit", "activation")  # words for a name that stands for several files
MULTIPLE = 8  # each pixel of a small image becomes so many a side
WIDEST = 1200  # pixels of a film of many units, where nothing else is asked for


def check_patterns_output(path: StrPath, layer: str, units: Sequence[int]) -> None:
    """Raises PellucidError for a path to which `save_patterns` could not write the patterns of these units."""
    check_output(path, PICTURES if "{" in Path(path).name else WALLS)
    fill_name(path, [{"model": "", "layer": layer, "unit": unit, "activation": 0.0} for unit in units])


def check_film_output(path: StrPath, formats: Sequence[str], snapshots: int) -> None:
    """The same for a film or strip of so many snapshots, of which there has to be one."""
    check_output(path, formats)
    _require_snapshots(snapshots, path)


def save_patterns(found: Patterns, path: StrPath, multiple: int | None = None, model: Model | None = None) -> Path:
    """Write a layer's patterns: a figure; `.npz` or `.csv`; without a suffix, a folder of a picture for each unit.

    A name with words in braces, such as "{model}-{layer}-{unit}-{activation}.png", stands for a file for each unit.
    multiple: in a `.png` and the pictures of a folder, each pixel becomes a square of so many a side; such a PNG is the
    images side by side and nothing else. model: theirs, for a wall that names its units, and tells how many more
    there are. Raises PellucidError for another format and where the disk refuses.
    """
    if "{" in Path(path).name:
        paths = fill_name(path, [{word: getattr(one, word) for word in NAMED} for one in found])
        for one, own in zip(found, paths, strict=True):
            one.save(own, MULTIPLE if multiple is None else multiple)
        return paths[0] if len(paths) == 1 else Path(path)
    suffix = format_of(path, WALLS)
    if suffix in (".npz", ".csv"):
        return found.save(path)
    if suffix == ".png" and (multiple is not None or found.photos is not None):
        return found.save(path, 1 if multiple is None else multiple)
    if suffix:
        names = () if model is None else model.unit_names(found.layer)
        every = len(found) if model is None else model.layer(found.layer).units
        share = f", {len(found)} of {counted(every, 'unit')}" if every > len(found) else ""
        title = f"{found.model}, {found.layer}{share}"
        units = [names[unit].split(",")[0] if names else int(unit) for unit in found.units]
        shown: tuple[Any, ...] = found.images, found.activations, found.dead
        if suffix == ".png":
            return draw_wall(PictureBoard, *shown, units=units, title=title, tones=found.tones).save(path)
        from pellucid.show.figures.axes import save_figure
        from pellucid.show.figures.patterns import wall_figure

        return save_figure(wall_figure(*shown, units=units, title=title, tones=found.tones), path)
    folder = output_folder(path)
    save_patterns(found, folder / "patterns.npz")
    save_patterns(found, folder / "patterns.png")
    save_patterns(found, folder / "unit-{unit:03d}.png", multiple)
    return folder


def save_ascents(found: Patterns, path: StrPath, multiple: int | None = None) -> Path:
    """Write how the patterns of a layer came about, all side by side, as a film (GIF, WebP).

    multiple: each pixel becomes a square of so many a side; as large as goes well on a screen, if it is not given.
    Raises PellucidError for another format, where no snapshots were kept, and where the disk refuses.
    """
    format_of(path, ANIMATIONS)
    _require_snapshots(len(found.film.steps), path)
    walls = byte_pixels(np.stack([image_wall(shot, found.tones) for shot in found.film.images]))
    largest = max(1, min(MULTIPLE, WIDEST // walls.shape[-1]))
    frames = walls[:, 0] if walls.shape[1] == 1 else np.moveaxis(walls, 1, -1)
    return save_film(frames, path, milliseconds=400, multiple=largest if multiple is None else multiple)


def save_strip(found: Pattern, path: StrPath, multiple: int = MULTIPLE) -> Path:
    """Write how a pattern came about: a film strip (PNG, PDF, SVG) or a film (GIF, WebP).

    multiple: in a film, each pixel becomes a square of so many a side. Raises PellucidError for another format, where
    no snapshots were kept, and where the disk refuses.
    """
    _require_snapshots(len(found.film.steps), path)
    frames, tones = found.film.images[:, 0], found.tones
    if format_of(path, FILMS) in FIGURES:
        from pellucid.show.figures.axes import save_figure
        from pellucid.show.figures.patterns import strip_figure

        last = int(found.history.steps[0])
        title = f"{found.model}, {found.layer}, unit {found.unit}"
        title += "" if found.converged < 0 else f", converged after {counted(found.converged, 'step')}"
        note = f"below: {found.measure}, its change in that step"
        kept = sum(step < last for step in found.film.steps) + 1  # of a stopped ascent, the last image only once
        steps = [min(step, last) for step in found.film.steps[:kept]]
        activations = [float(value) for value in found.film.activations[:kept, 0]]
        changes = [float(found.history.changes[0, step]) for step in steps]
        captions = [f"step {step}" if step or found.raw_start is None else "smoothed" for step in steps]
        frames = frames[:kept]
        if found.raw_start is not None:
            frames, captions = np.concatenate([found.raw_start[None], frames]), ["raw start", *captions]
            activations, changes = [math.nan, *activations], [math.nan, *changes]
        figure = strip_figure(frames, captions, activations, changes=changes, title=title, note=note, tones=tones)
        return save_figure(figure, path)
    pixels = np.moveaxis(tone_images(frames, tones), 1, -1)
    return save_film(pixels[..., 0] if pixels.shape[-1] == 1 else pixels, path, milliseconds=400, multiple=multiple)


def _require_snapshots(count: int, path: StrPath) -> None:
    if count == 0:
        raise PellucidError(f"There is nothing to write to '{path}': no snapshots were kept; set snapshots above 0.")
