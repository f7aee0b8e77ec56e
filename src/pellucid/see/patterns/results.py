"""Results: the images and numbers that a search found -> plain objects that fit where people work.

Patterns and Pattern are arrays (`np.asarray`), show themselves in a notebook, are drawn on Matplotlib's axes (`plot`),
and saved (`save`): as a picture of whole pixels, NPZ or CSV. From NPZ they are loaded again (`Patterns.load`); any
result can be the next call's `start`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from jaxtyping import Bool, Float32, Int64

from pellucid.data.html import picture_tag
from pellucid.data.photos import Photo
from pellucid.data.pixels import Tones, heated, image_wall
from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError, counted
from pellucid.files import StrPath, format_of
from pellucid.see.optimize.diagnostics import TERMS
from pellucid.see.patterns.pattern_files import read_arrays, write_arrays, write_history, write_table
from pellucid.settings import PatternSettings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".png", ".npz", ".csv")
WHERE = Tones("true")
MULTIPLE = 4  # each pixel of a small image becomes so many a side


@dataclass(frozen=True, eq=False)
class History:
    """The values of the ascents: `activations` after 0, 1, 2 ... steps, less penalties; NaN after a unit's last step.
    Where they are no activations (`Patterns.measure`), tables and films say "objective".

    terms: what `report` adds: the unit's own `target`, `others_mean`, `others_max`, `tv`, `l1`, `loss`; see
    diagnostics.py.
    """

    activations: Float32[np.ndarray, "unit step"]
    terms: Mapping[str, Float32[np.ndarray, "unit step"]] = field(default_factory=dict)

    @np.errstate(invalid="ignore")  # NaN stands where no step was made
    def smoothed(self, share: float = 0.9) -> dict[str, Float32[np.ndarray, "unit step"]]:
        """Exponential moving averages along the steps, of `activations` and the terms; `share`: of the past."""
        found = {}
        for name, numbers in {"activations": self.activations, **self.terms}.items():
            found[name] = averaged = numbers.copy()
            for step in range(1, numbers.shape[1]):
                averaged[:, step] = share * averaged[:, step - 1] + (1 - share) * numbers[:, step]
        return found

    @property
    def steps(self) -> Int64[np.ndarray, "unit"]:
        """Each unit's last step."""
        return np.asarray(np.isfinite(self.activations).sum(axis=1) - 1)

    @property
    @np.errstate(invalid="ignore", divide="ignore")
    def changes(self) -> Float32[np.ndarray, "unit step"]:
        """The last step's change of the activation, as a share of it; NaN at first, for 0, and after the last step."""
        shares = np.full_like(self.activations, np.nan)
        shares[:, 1:] = np.diff(self.activations, axis=1) / np.abs(self.activations[:, 1:])
        return np.where(np.isfinite(shares), shares, np.nan).astype(np.float32)

    def of(self, i: int) -> "History":
        """The history of the unit in this place alone."""
        return History(self.activations[i : i + 1], {name: term[i : i + 1] for name, term in self.terms.items()})


@dataclass(frozen=True, eq=False)
class Snapshots:
    """Images on their way: `images` and `activations` after each of `steps` steps."""

    steps: tuple[int, ...]
    images: Float32[np.ndarray, "snapshot unit channel height width"]
    activations: Float32[np.ndarray, "snapshot unit"]


class _Found:
    """What the patterns of many units and of one have in common."""

    settings: PatternSettings
    parts: Mapping[str, str]
    scaling: Scaling

    @property
    def measure(self) -> str:
        """What `history` and `film` hold: "activation"; "objective" where penalties, other units or likeness count."""
        chosen = self.settings
        weights = (chosen.others, chosen.diversity, chosen.tv, chosen.l1, chosen.l2, chosen.blur)
        more = any(weights) or chosen.image == "near" or self.parts.keys() & {"penalties", "objective"}
        return "objective" if more else "activation"

    @property
    def _sign(self) -> int:
        """Of what the ascents follow: of the least, less is more."""
        return -1 if self.settings.extreme == "least" else 1

    @property
    def tones(self) -> Tones:
        """How pictures of these images are drawn."""
        return Tones.of(self.settings, self.scaling)


@dataclass(frozen=True, eq=False)
class Patterns(_Found):
    """The patterns of a layer's units, in the order of `units`; as an array, it is its images.

    images: in model space. activations: of these very images, in float32. dead: no start and no training image took the
    unit from zero; `tried_starts` and `tried_images` say how many there were (images are tried for units that no start
    makes active). steps: made uphill. strongest: each unit's activation for the image of the data that excites it most
    (or least: `extreme`), if `compare` was asked for. silent_starts: how many of the tried starts left the unit silent.
    start: the number of the noise it started from, -1 for another image; see `initial_images.mixture_of`. converged:
    after how many steps, -1 for not. raw_starts: the initial images before they were smoothed, where they were. parts:
    descriptions of the objects that were given instead of settings. Near a photograph: photos, the photograph in model
    space, and where, how much each pixel added to what the unit answers, from 0 to 1; else None.
    scaling: the model's.
    """

    model: str
    layer: str
    units: Int64[np.ndarray, "unit"]
    images: Float32[np.ndarray, "unit channel height width"]
    activations: Float32[np.ndarray, "unit"]
    dead: Bool[np.ndarray, "unit"]
    steps: Int64[np.ndarray, "unit"]
    tried_starts: Int64[np.ndarray, "unit"]
    tried_images: Int64[np.ndarray, "unit"]
    silent_starts: Int64[np.ndarray, "unit"]
    start: Int64[np.ndarray, "unit"]
    converged: Int64[np.ndarray, "unit"]
    history: History
    film: Snapshots
    settings: PatternSettings
    strongest: Float32[np.ndarray, "unit"] | None = None
    raw_starts: Float32[np.ndarray, "unit channel height width"] | None = None
    photos: Float32[np.ndarray, "unit channel height width"] | None = None
    where: Float32[np.ndarray, "unit height width"] | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    scaling: Scaling = field(default_factory=Scaling)

    @property
    def relative(self) -> Float32[np.ndarray, "unit"] | None:
        """Each pattern's activation over that of the strongest image; NaN where no image excites the unit."""
        return None if self.strongest is None else ratio(self.activations, self.strongest, self._sign)

    def __len__(self) -> int:
        return len(self.units)

    def __iter__(self) -> Iterator["Pattern"]:
        """One after another, in the order of `units`."""
        return map(self._at, range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.images, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        dead = int(self.dead.sum())
        return f"Patterns({counted(len(self), 'unit')} of '{self.layer}' in '{self.model}', {dead} dead)"

    def save(self, path: StrPath, multiple: int = MULTIPLE) -> Path:
        """Write a picture (`.png`, each pixel a square of `multiple` a side), everything (`.npz`), or a table (`.csv`).

        Nothing is interpolated. Raises PellucidError for another suffix, and where the disk refuses.
        """
        suffix = format_of(path, SUFFIXES)
        if suffix == ".png":
            return Photo(self.wall(multiple)).save(path)
        if suffix == ".csv":
            beside = {"unit": self.units, "activation": self.activations, "dead": self.dead, "steps": self.steps}
            compared = {} if self.strongest is None else {"strongest": self.strongest}
            return write_table(path, self.images, beside | compared)
        arrays = {name: getattr(self, name) for name in _PER_UNIT.values()}
        arrays = {name: array for name, array in arrays.items() if array is not None}
        terms = {f"term:{name}": term for name, term in self.history.terms.items()}
        shown = {"film": self.film.images, "shown": self.film.activations, "history": self.history.activations}
        settings = self.settings.model_dump(mode="json")
        about = {"model": self.model, "layer": self.layer, "settings": settings, "parts": dict(self.parts)}
        about["scaling"] = self.scaling.to_dict()
        return write_arrays(path, {**arrays, **terms, **shown, "moments": np.array(self.film.steps, np.int64)}, about)

    def wall(self, multiple: int = 1) -> Float32[np.ndarray, "colour tall wide"]:
        """All images in one picture in [0, 1]; near a photograph in rows of photograph, image, and where."""
        if self.photos is None or self.where is None:
            return image_wall(self.images, self.tones, multiple=multiple)
        photo, image, where = (
            image_wall(each, tones, multiple=multiple, columns=1)
            for each, tones in ((self.photos, self.tones), (self.images, self.tones), (self.where[:, None], WHERE))
        )
        panels = photo, image, heated(photo, where[0])
        return np.concatenate([np.broadcast_to(each, panels[2].shape) for each in panels], axis=2)

    def save_history(self, path: StrPath) -> Path:
        """Write how the ascents went as a CSV table, a row for each unit and step."""
        return write_history(path, self.units, {self.measure: self.history.activations, **self.history.terms})

    @classmethod
    def load(cls, path: StrPath) -> Self:
        """The patterns that `save` wrote to an NPZ file, bit for bit.

        Raises PellucidError for a file that is missing, damaged, or something else. For the images of a CSV see
        `pellucid.see.patterns.pattern_files.load_images`.
        """
        perhaps = {"strongest", "raw_starts", "photos", "where", *_LATER}
        names = [name for name in _KINDS if name not in perhaps]
        arrays, about = read_arrays(path, names, [*perhaps, *(f"term:{name}" for name in TERMS)])
        wrong = _misfit(arrays)
        known = isinstance(about.get("settings"), dict) and {"model", "layer"} <= about.keys()
        if wrong or not known:
            raise PellucidError(
                f"The file '{path}' holds {f'a {wrong!r} that does not fit' if wrong else 'no settings'}; "
                f"give one that patterns were saved to."
            )
        steps = tuple(arrays.pop("moments").tolist())
        settings = PatternSettings.of(**about["settings"])
        shared: dict[str, Any] = {"model": str(about["model"]), "layer": str(about["layer"])}
        parts = about.get("parts")
        texts = {str(name): str(text) for name, text in parts.items()} if isinstance(parts, Mapping) else {}
        shared |= {"parts": texts, "settings": settings}
        unknown = {name: np.full_like(arrays["units"], -1) for name in _LATER}
        scaling = Scaling.from_dict(about.get("scaling", {"kind": "unit"}))
        return cls.of({**unknown, **arrays}, steps, scaling=scaling, **shared)

    @classmethod
    def of(cls, arrays: dict[str, np.ndarray], steps: tuple[int, ...], **shared: Any) -> Self:
        """From arrays named as in a file, the steps of the film, and what all units share."""
        film = Snapshots(steps, arrays.pop("film"), arrays.pop("shown"))
        terms = {name: arrays.pop(f"term:{name}") for name in TERMS if f"term:{name}" in arrays}
        history = History(arrays.pop("history"), terms)
        return cls(history=history, film=film, **{**shared, **arrays})

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """All images on Matplotlib's axes (new ones of a figure of their own, where none are given)."""
        dead = f", {self.dead.sum()} dead" if self.dead.any() else ""
        title = f"{self.model}, {self.layer}: {counted(len(self), 'unit')}{dead}{self.tones.note}"
        return _plotted(self.wall(), title, axes)

    def _repr_html_(self) -> str:
        return picture_tag(self.wall(), f"{self!r}{self.tones.note}", scale=2)

    def one(self, unit: int) -> "Pattern":
        """The pattern of this unit; raises PellucidError where it is not among `units`."""
        found = np.flatnonzero(self.units == unit)
        if len(found) == 0:
            raise PellucidError(f"Unit {unit} of '{self.layer}' is not among those asked for.")
        return self._at(int(found[0]))

    def _at(self, i: int) -> "Pattern":
        film = Snapshots(self.film.steps, self.film.images[:, i : i + 1], self.film.activations[:, i : i + 1])
        own: dict[str, Any] = {name: getattr(self, name) for name in _SHARED}
        for name, plural in _PER_UNIT.items():
            column = getattr(self, plural)
            own[name] = None if column is None else column[i] if column.ndim > 1 else column[i].item()
        return Pattern(history=self.history.of(i), film=film, **own)


@dataclass(frozen=True, eq=False)
class Pattern(_Found):
    """The pattern of one unit: `image` (channel, height, width) in model space; the other fields as in Patterns."""

    model: str
    layer: str
    unit: int
    image: Float32[np.ndarray, "channel height width"]
    activation: float
    dead: bool
    steps: int
    tried_starts: int
    tried_images: int
    silent_starts: int
    start: int
    converged: int
    history: History
    film: Snapshots
    settings: PatternSettings
    strongest: float | None = None
    raw_start: Float32[np.ndarray, "channel height width"] | None = None
    photo: Float32[np.ndarray, "channel height width"] | None = None
    where: Float32[np.ndarray, "height width"] | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    scaling: Scaling = field(default_factory=Scaling)

    @property
    def relative(self) -> float | None:
        """The activation over that of the strongest image; None where no image excites the unit, or none was seen."""
        if self.strongest is None or not self.strongest * self._sign > 0:
            return None
        return self.activation / self.strongest

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.image, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        state = "dead" if self.dead else f"activation {self.activation:.4g}"
        return f"Pattern(unit {self.unit} of '{self.layer}' in '{self.model}', {state})"

    def save(self, path: StrPath, multiple: int = MULTIPLE) -> Path:
        """Write it as `Patterns.save` does; an NPZ file is one of patterns with one unit."""
        return self.alone().save(path, multiple)

    @classmethod
    def load(cls, path: StrPath) -> "Pattern":
        """What `save` wrote to an NPZ file; raises PellucidError as `Patterns.load`, and where there are several."""
        found = Patterns.load(path)
        if len(found) != 1:
            raise PellucidError(f"The file '{path}' holds {len(found)} patterns, not one; open it by Patterns.load.")
        return found.one(int(found.units[0]))

    def alone(self) -> Patterns:
        """The same as the patterns of one unit."""
        own: dict[str, Any] = {name: getattr(self, name) for name in _SHARED}
        for name, plural in _PER_UNIT.items():
            value = getattr(self, name)
            own[plural] = None if value is None else np.asarray(value, _KINDS[plural][0])[None]
        return Patterns(history=self.history, film=self.film, **own)

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """The image on Matplotlib's axes (new ones of a figure of their own, where none are given)."""
        state = "dead" if self.dead else f"{self.activation:.3f}"
        return _plotted(self.alone().wall(), f"{self.layer}, unit {self.unit}: {state}{self.tones.note}", axes)

    def _repr_html_(self) -> str:
        return picture_tag(self.alone().wall(), f"{self!r}{self.tones.note}", scale=6)


_SHARED = ("model", "layer", "settings", "parts", "scaling")  # by all units
_LATER = ("silent_starts", "start", "converged")  # not in files of the first release
_COUNTS = ("steps", "tried_starts", "tried_images", *_LATER)
_PLURAL = ("unit", "image", "activation", "raw_start", "photo")
_PER_UNIT = {name: f"{name}s" for name in _PLURAL} | {name: name for name in ("dead", "strongest", "where", *_COUNTS)}
"""Fields of Pattern -> of Patterns."""
_KINDS: dict[str, tuple[type[np.generic], str]] = {  # in a file: the type, the axes
    **dict.fromkeys(("units", *_COUNTS), (np.int64, "unit")),
    **dict.fromkeys(("activations", "strongest"), (np.float32, "unit")),
    **dict.fromkeys(("images", "raw_starts", "photos"), (np.float32, "unit channel height width")),
    "where": (np.float32, "unit height width"),
    "dead": (np.bool_, "unit"),
    "history": (np.float32, "unit step"),
    "film": (np.float32, "snapshot unit channel height width"),
    "shown": (np.float32, "snapshot unit"),
    "moments": (np.int64, "snapshot"),
}
UNIT_AXES = {name: axes.split().index("unit") for name, (_, axes) in _KINDS.items() if "unit" in axes}


def _misfit(arrays: Mapping[str, np.ndarray]) -> str:
    """The first array that is not of its kind, or not of one length with another along an axis; "" where all fit."""
    lengths: dict[str, int] = {}
    for name, array in arrays.items():
        dtype, words = _KINDS["history" if name.startswith("term:") else name]
        axes = words.split()
        fits = array.dtype == dtype and array.ndim == len(axes)
        if not fits or any(lengths.setdefault(*each) != each[1] for each in zip(axes, array.shape, strict=True)):
            return name
    return ""


def ratio(
    activations: Float32[np.ndarray, "unit"], strongest: Float32[np.ndarray, "unit"], sign: int = 1
) -> Float32[np.ndarray, "unit"]:
    """The one over the other; NaN where the strongest does not excite the unit (or, of sign -1, quiet it)."""
    excited = strongest * sign > 0
    return np.where(excited, activations / np.where(excited, strongest, 1), np.float32(np.nan))


def _plotted(wall: Float32[np.ndarray, "colour tall wide"], title: str, axes: "Axes | None") -> "Axes":
    if axes is None:
        from pellucid.data.figures import new_axes  # here, as it takes a while and most patterns are never plotted

        axes = new_axes()
    picture = np.moveaxis(wall, 0, -1)
    axes.imshow(picture[..., 0] if picture.shape[2] == 1 else picture, cmap="gray", vmin=0, vmax=1)
    axes.set_title(title)
    axes.set_axis_off()
    return axes
