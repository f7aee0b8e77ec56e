"""Dream: a photograph -> the pattern that a unit looks for, in it.

A dream is a change of the logits of pixels, by one of two methods. `octaves` works on the whole picture at several
sizes, in color where the model sees color. `tiled_dream` carves luminance, colors are the photo's: its levels 1, 2, 3
... work on the whole picture, its 4 tiles, its 16, and so on; a unit may be given for all, for each level, for each
tile, or left to the photo ("auto"). Where not to dream (a mask, other tiles, outside a rectangle), not one bit
changes, neither by the dream nor by its contrast.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Float32
from numpy.typing import ArrayLike
from torch import Tensor

from pellucid.data.html import picture_tag
from pellucid.data.metadata import Metadata
from pellucid.data.photos import Photo, read_photo
from pellucid.errors import PellucidError
from pellucid.files import StrPath
from pellucid.progress import Progress, reporting
from pellucid.see.dream import masks, unit_choice
from pellucid.see.dream.goals import Goals, read_goals
from pellucid.see.dream.octaves import OctaveDream, as_channels, takes_any_size
from pellucid.see.dream.pictures import Picture, at_mean_change, carved, finished, ground, resize
from pellucid.see.dream.presets import chosen
from pellucid.see.dream.tiled_dream import Stage, TiledDream
from pellucid.see.models.base import Model, Reader
from pellucid.see.models.devices import own_defaults
from pellucid.see.objectives.units import WHOLE_LAYER
from pellucid.see.optimize.parametrizations import Box
from pellucid.see.validation import as_array
from pellucid.settings import DreamSettings

ONLY_OF = {"tiles": {"levels", "rounds", "tolerance", "patience"}, "octaves": {"octaves", "scale", "jitter", "tile"}}


@dataclass(frozen=True, eq=False)
class Dream:
    """A dream on a photo, everything in [0, 1] at the working size.

    image: the dream.  before: the photo.  change: what the dream adds without its contrast, to the logits of luminance
    or of each channel.  alpha: the photo's transparency, None where it had none.  frames: the picture after each
    round or octave, its longer side at most the setting `frame`; the last is the dream.  units: of every dreamt tile of
    every level, level by level, row by row, or those of all octaves.  activations, activations_before: of these
    units for these tiles, or of each of the `goals` of octaves, in the dream and in the photo.  counts: how many dreamt
    tiles each level has.  stages: for each round, what the model saw of the first two levels.
    """

    image: Float32[np.ndarray, "channel height width"]
    before: Float32[np.ndarray, "photo_channel height width"]
    change: Float32[np.ndarray, "changed height width"]
    alpha: Float32[np.ndarray, "height width"] | None
    frames: tuple[Float32[np.ndarray, "channel frame_height frame_width"], ...]
    activations: Float32[np.ndarray, "tile"]
    activations_before: Float32[np.ndarray, "tile"]
    model: str
    layers: tuple[str, ...]
    units: tuple[int, ...]
    goals: tuple[str, ...]
    counts: tuple[int, ...]
    stages: tuple[tuple[Stage, ...], ...]
    settings: DreamSettings
    metadata: Metadata = field(default_factory=Metadata)

    @property
    def layer(self) -> str:
        """The layers' names."""
        return ", ".join(self.layers)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.image, dtype=dtype, copy=copy)

    @property
    def plain(self) -> Float32[np.ndarray, "channel height width"]:
        """The dream without its contrast."""
        photo = ground(self.before, len(self.change), self.settings)
        return carved(photo, torch.from_numpy(self.change)).numpy()

    def __repr__(self) -> str:
        _, height, width = self.image.shape
        several = list(dict.fromkeys(self.units))
        shown = ", ".join(map(str, several[:8])) + (" ..." if len(several) > 8 else "")
        return f"Dream({width} x {height}, unit {shown} of '{self.layer}' in '{self.model}')"

    def _repr_html_(self) -> str:
        return picture_tag(self.image, repr(self))

    def to_photo(self, note: str = "", identity: str = "") -> Photo:
        """The dream as it is written: with what the photo's file held, and a note on how it was made."""
        note = note or f"pellucid {self!r} {self.settings.model_dump_json(exclude_defaults=True)}"
        return Photo(self.image, self.alpha, replace(self.metadata, note=note, identity=identity))

    def save(self, path: StrPath) -> Path:
        """Write the dream as PNG, JPEG or WebP, by the suffix; a JPEG is laid over white. Returns the path."""
        return self.to_photo().save(path)


@own_defaults()
def dream(
    photo: StrPath | Photo | ArrayLike,
    model: Any = None,
    *,
    layer: Any = None,
    unit: Any = None,
    mask: StrPath | Photo | ArrayLike | None = None,
    area: Sequence[int] | None = None,
    tiles: Sequence[Any] | None = None,
    guide: StrPath | Photo | ArrayLike | None = None,
    start: Float[np.ndarray, "changed start_height start_width"] | None = None,
    progress: Progress | bool | None = None,
    on_round: Callable[[int, int, np.ndarray], None] | None = None,
    **settings: Any,
) -> Dream:
    """Dream the pattern that units look for into a photo; nothing but the photo has to be given.

    photo: a file, a Photo, or an array in [0, 1], (1 or 3, height, width) or (height, width).  model: a Model, or
    whatever `open_model` takes; the preset's, if none is given.  layer: a name, LAYER=WEIGHT, LAYER:UNIT=WEIGHT, some
    of them, or a mapping to weights; the preset's, if there is none.  unit: a number, a class, -1 for the whole layer,
    or "auto", what the picture excites most already; of octaves several at once, each a UNIT=WEIGHT if need be, or a
    mapping to weights; of tiles one for all, or a sequence with one for each level, where again a sequence gives one
    for each of 1, 4, 16 ... tiles.
    mask: a picture, white where to dream and black where not.  area: (left, top, right, bottom) in the photo's pixels.
    tiles: for each level the numbers, row by row, of those tiles that are dreamt at all, or None for all.  guide: a
    picture whose activations lead octaves.  start: the `change` of another Dream, of any size, to go on from.
    progress: called with (done, total); without it a bar shows on stderr if this takes over two seconds.  on_round:
    called with 0, the number of rounds or octaves and the photo, and after each with its number, theirs and its frame,
    if frames are kept.  settings: fields of DreamSettings, `preset` and `strength` among them.

    Raises PellucidError for a file that is no photo, values outside [0, 1], a rectangle that is not in the photo, a
    mask that is black, and unknown presets, layers, units, tiles, settings.
    """
    what = chosen(model, layer, unit, settings)
    opened, options = what.model, what.settings
    given = as_photo(photo)
    shot = limit_size(given, options.size)
    working = shot.image.shape[1:]
    of_tiles = _is_of_tiles(what.unit, tiles, options)
    cells = unit_choice.resolve_tiles(tiles, options.levels)
    where = _level_masks(given.image.shape[1:], working, mask, area, cells)
    goals = read_goals(opened, what.layer, WHOLE_LAYER if of_tiles else what.unit)
    before = ground(shot.image, 1, options).to(opened.device)
    masked = [area for area in where if area is not None]  # where any level dreams; everywhere, if one does
    seen = torch.stack(masked).amax(0).to(opened.device) if len(masked) == len(where) else None
    folded = opened.folded(goals.layers)
    begun = None if start is None else resize(torch.as_tensor(start, device=before.device), working)
    with folded.reading(goals.layers) as read, reporting("dream", progress) as report:
        method = _method(folded, read, of_tiles, guide, options)
        for name in settings:
            if name in ONLY_OF["tiles" if method == "octaves" else "octaves"]:
                raise PellucidError(
                    f"Setting '{name}' has no effect on a dream by {method}; leave it out, or set method."
                )
        if method == "octaves":
            options = options.for_octaves()
            before = before.expand(max(len(before), opened.input_shape[0]), -1, -1).contiguous()
            goals = goals if guide is None else _led(goals, folded, read, limit_size(as_photo(guide), options.tile))
            running: Any = OctaveDream(folded, read, goals, options, before, seen, begun, report)
        else:
            choices = unit_choice.resolve_choices(opened, goals.layers[0], what.unit, options.levels)
            running = TiledDream(folded, read, goals.layers[0], choices, cells, where, options, before, begun, report)
        return _run(running, opened, goals.layers, shot, before, seen, options, on_round)


def _run(
    running: Any,
    model: Model,
    layers: tuple[str, ...],
    shot: Photo,
    before: Picture,
    seen: Tensor | None,
    options: DreamSettings,
    on_round: Callable[[int, int, np.ndarray], None] | None,
) -> Dream:
    first = running.activations(before.new_zeros(running.changed, *before.shape[1:]))
    frames: list[np.ndarray] = []
    small = _limited(before, options.frame) if options.frame > 0 else before
    area = None if seen is None else resize(seen, (small.shape[1], small.shape[2]))
    if on_round is not None and options.frame > 0:
        on_round(0, running.rounds, small.cpu().numpy())
    for number, change in enumerate(running.run_rounds(), 1):
        share = number / running.rounds
        if options.frame > 0:
            found = resize(change, (small.shape[1], small.shape[2]))
            found = at_mean_change(small, found, options.mean_change * share)
            frames.append(finished(small, found, options, share, area).cpu().numpy())
            if on_round is not None:
                on_round(number, running.rounds, frames[-1])
    change = at_mean_change(before, change, options.mean_change)
    return Dream(
        image=finished(before, change, options, 1.0, seen).cpu().numpy(),
        before=shot.image,
        change=change.cpu().numpy(),
        alpha=shot.alpha,
        frames=tuple(frames),
        activations=running.activations(change),
        activations_before=first,
        model=model.name,
        layers=layers,
        units=running.units,
        goals=running.goals,
        counts=running.counts,
        stages=tuple(running.stages),
        settings=options,
        metadata=shot.metadata,
    )


def octaves(photo: StrPath | Photo | ArrayLike, model: Any = None, **asked: Any) -> Dream:
    """`dream` by the method octaves, under the name that it had when it was a verb of its own."""
    return dream(photo, model, method="octaves", **asked)


def _is_of_tiles(unit: Any, tiles: Any, options: DreamSettings) -> bool:
    grouped = isinstance(unit, Sequence) and any(isinstance(one, list | tuple) for one in unit)
    if options.method == "octaves" and (grouped or tiles is not None):
        raise PellucidError("Octaves have no tiles; leave tiles and their units out, or ask for the method 'tiles'.")
    asked = grouped or tiles is not None or "levels" in options.model_fields_set
    return options.method == "tiles" or (options.method == "auto" and asked)


def _method(
    model: Model, read: Reader, of_tiles: bool, guide: Any, options: DreamSettings
) -> Literal["tiles", "octaves"]:
    """The method that was asked for, or the one that suits: octaves, but for gray networks that take one size."""
    if of_tiles and guide is not None:
        raise PellucidError("A guide leads octaves only; leave it out, or ask for the method 'octaves'.")
    suits = model.input_shape[0] > 1 or guide is not None or options.method == "octaves"
    return "octaves" if not of_tiles and (suits or takes_any_size(model, read)) else "tiles"


def _led(goals: Goals, model: Model, read: Reader, guide: Photo) -> Goals:
    leading = as_channels(torch.from_numpy(guide.image).to(model.device), model)
    if not takes_any_size(model, read):
        leading = resize(leading, (model.input_shape[1], model.input_shape[2]))
    with torch.no_grad():
        return replace(goals, guide=read(Box(model.scaling).images(leading[None])))


def _level_masks(
    photo: tuple[int, int],
    working: tuple[int, int],
    mask: StrPath | Photo | ArrayLike | None,
    area: Sequence[int] | None,
    tiles: Sequence[Sequence[int] | None],
) -> list[Tensor | None]:
    """The mask of each level, None for everywhere: the product of all that is asked for."""
    everywhere = [] if mask is None else [masks.photo_mask(as_photo(mask, "mask"), working)]
    everywhere += [] if area is None else [masks.rectangle_mask(area, photo, working)]
    chosen = [[] if own is None else [masks.tile_mask(own, 2**level, working)] for level, own in enumerate(tiles)]
    return [torch.stack(everywhere + own).prod(0) if everywhere + own else None for own in chosen]


def _limited(picture: Picture, longest: int) -> Tensor:
    _, height, width = picture.shape
    scale = min(1.0, longest / max(height, width))
    return resize(picture, (max(1, round(height * scale)), max(1, round(width * scale)))).clamp(0, 1)


def limit_size(photo: Photo, longest: int) -> Photo:
    """The photo, its longer side at most `longest` pixels."""
    if max(photo.image.shape) <= longest:
        return photo
    image = _limited(torch.from_numpy(photo.image), longest).numpy()
    alpha = None if photo.alpha is None else _limited(torch.from_numpy(photo.alpha[None]), longest)[0].numpy()
    return replace(photo, image=image, alpha=alpha)


def as_photo(photo: StrPath | Photo | ArrayLike, what: str = "photo") -> Photo:
    """A Photo from a file, a Photo or an array; `what` names it in errors. Raises PellucidError for anything else."""
    if isinstance(photo, Photo):
        return photo
    if isinstance(photo, str | os.PathLike):
        return read_photo(photo)
    array = as_array(photo, f"The {what}")
    array = array[None] if array.ndim == 2 else array
    if array.ndim != 3 or len(array) not in (1, 3) or array.size == 0:
        raise PellucidError(f"The {what} has shape {np.shape(photo)}; give (1 or 3, height, width) or (height, width).")
    if not np.isfinite(array).all():
        raise PellucidError(f"The {what} holds NaN or infinity; give numbers in [0, 1].")
    if not (array.min() >= 0 and array.max() <= 1):
        raise PellucidError(
            f"The {what}'s values run from {array.min():g} to {array.max():g}; give [0, 1], so divide bytes by 255."
        )
    return Photo(np.ascontiguousarray(array))
