"""Unit axes: what a layer of PyTorch or Keras gives for a batch -> (batch, unit, *position).

A unit is a channel of a convolution or batch norm (axis 1) and a feature of a linear layer or layer norm (the last
axis), whatever the number of axes: the module is asked, not the shape. What has no weights of its own passes on what
another module gave, in the same order (an activation), in another (a permutation) or for fewer positions (a pool); so
its units stand where the same values do, or else along the axis of the same length. Where nothing decides, the axis is
a guess and said to be one. Tokens in the rows and columns of a map that was seen before are that map of patches.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.errors import PellucidError, unknown

PROBED = 2  # images in the probe: enough to tell the batch from a layer's one unit
_CHANGED = 1e-3  # of the largest change: less is rounding, or numbers that a model takes over the whole batch
_MOST_PREFIX, _LEAST_GRID = 8, 4  # tokens beside the patches; patches


def first_tensor(output: Any) -> Tensor | None:
    """The first tensor of real floats with two axes or more in a layer's output, however nested; None without one."""
    if isinstance(output, Tensor):
        return output if output.is_floating_point() and output.ndim > 1 else None
    inner: Any = ()
    if isinstance(output, Mapping):
        inner = output.values()
    elif isinstance(output, list | tuple):
        inner = output
    return next((found for found in map(first_tensor, inner) if found is not None), None)


@dataclass(frozen=True)
class Images:
    """Where a batch of images stands in an output: along `axis` 0 or 1, or `fold` rows of axis 0 for each image.

    interleaved: the rows of one image are not together, but `batch` rows apart.
    """

    axis: int = 0
    fold: int = 1
    interleaved: bool = False

    def first(self, output: Tensor) -> Tensor:
        """The output with its images along axis 0, and a fold behind them."""
        if self.axis == 1:
            return output.transpose(0, 1)
        if self.interleaved:
            return output.reshape(self.fold, -1, *output.shape[1:]).transpose(0, 1)
        return output if self.fold == 1 else output.reshape(-1, self.fold, *output.shape[1:])

    def place(self, axis: int, output: Tensor) -> int:
        """Where an axis of the output, counted from either end, is after `first`; 0 for the images' own."""
        axis %= output.ndim
        if axis == self.axis:
            return int(self.fold > 1)
        return 1 if axis < self.axis else axis + int(self.fold > 1)


def images_by_change(first: Tensor, second: Tensor) -> Images | None:
    """Where the second of PROBED images stands, in outputs between which it alone was changed; None if nowhere."""
    if first.shape != second.shape or first.numel() == 0:
        return None
    change = (first - second).abs()
    changed = change > _CHANGED * change.max().nan_to_num()
    for axis in (0, 1):
        count = changed.shape[axis]
        rows = changed.movedim(axis, 0).flatten(1).any(1)
        for interleaved in (False, True) if count % PROBED == 0 and (axis == 0 or count == PROBED) else ():
            own = rows.view(-1, PROBED).T if interleaved else rows.view(PROBED, -1)
            if bool(own[1].any()) and not bool(own[0].any()):
                return Images(axis, count // PROBED, interleaved and count > PROBED)
    return None


@dataclass(frozen=True)
class Arrangement:
    """How one layer's output is read: `images`, then its units along `axis`, then positions.

    grid: the rows and columns that its tokens fill, `prefix` tokens before them left out.  guessed: whether nothing
    said which axis the units have.
    """

    images: Images
    axis: int
    grid: tuple[int, int] | None = None
    prefix: int = 0
    guessed: bool = False

    def units_first(self, output: Tensor) -> Float[Tensor, "batch unit *position"]:
        """The units' maps: of tokens, those of the patches."""
        maps = self.images.first(output).movedim(self.axis, 1)
        return maps if self.grid is None else maps[:, :, self.prefix :].reshape(*maps.shape[:2], *self.grid)

    def prefix_of(self, output: Tensor) -> Float[Tensor, "batch unit token"] | None:
        """The tokens before the patches; None where there are none."""
        if self.prefix == 0:
            return None
        return self.images.first(output).movedim(self.axis, 1)[:, :, : self.prefix]


@dataclass(frozen=True, eq=False)
class Output:
    """What one run of a module gave in the probe.

    given: the first tensor that it was given.  own_axis: the axis of its units, where its weights say.  usual_axis:
    where nothing does.  inside: whether it is made of modules, so that it hands on what the last of them gave.
    """

    name: str
    tensor: Tensor
    images: Images
    given: Tensor | None
    own_axis: int | None
    usual_axis: int
    inside: bool


def arrange(outputs: Sequence[Output], asked: Mapping[str, int], image: tuple[int, int]) -> Iterator[Arrangement]:
    """The arrangement of each output. asked: patterns of names -> axis of the units, counted in the module's output.

    image: the (height, width) of the images. Raises PellucidError for an axis that an output lacks.
    """
    for pattern in asked:
        if not any(fnmatchcase(output.name, pattern) for output in outputs):
            raise unknown("layer for units_axis called", pattern, (output.name for output in outputs))
    axes = _Axes(asked, outputs)
    grids: list[tuple[int, int]] = []
    for output in outputs:
        first = output.images.first(output.tensor)
        axis, guessed = axes.of(output, first)
        if first.ndim == 4 and output.images.fold == 1 and min(first.movedim(axis, 1).shape[2:]) > 1:
            height, width = first.movedim(axis, 1).shape[2:]
            grids.append((height, width))
        grid, prefix = None, 0
        if first.ndim == 3 and axis == 2 and output.images.fold == 1:
            grid, prefix = _grid(first.shape[1], grids, image)
        yield Arrangement(output.images, axis, grid, prefix, guessed)


class _Axes:
    """Finds the axis of the units, output by output; what was found last is what the next may hand on."""

    def __init__(self, asked: Mapping[str, int], outputs: Sequence[Output]) -> None:
        self._asked = asked
        self._taken = {  # by a module whose weights say where its own units are, and so those of what it is given
            id(one.given): one.own_axis
            for one in outputs
            if one.own_axis is not None and one.given is not None and one.given.ndim == one.tensor.ndim
        }
        self._found: dict[int, tuple[Tensor, int]] = {}
        self._stored: dict[int, tuple[Tensor, int]] = {}  # by the memory of an output, which its views share
        self._last: tuple[Tensor, int] | None = None

    def of(self, output: Output, first: Tensor) -> tuple[int, bool]:
        """The axis in `first`, and whether it is a guess."""
        axis, guessed = self._said(output, first), False
        if axis is None:
            axis = self._inherited(output, first)
        if axis is None:
            axis, guessed = output.images.place(output.usual_axis, output.tensor), True
        self._found[id(output.tensor)] = self._last = (first, axis)
        self._stored[output.tensor.untyped_storage().data_ptr()] = self._last
        return axis, guessed

    def _said(self, output: Output, first: Tensor) -> int | None:
        for pattern, axis in self._asked.items():
            if fnmatchcase(output.name, pattern):
                place = output.images.place(axis, output.tensor)
                if not -output.tensor.ndim <= axis < output.tensor.ndim or place == 0:
                    shape = tuple(output.tensor.shape)
                    raise PellucidError(
                        f"units_axis has {axis} for '{output.name}', whose output has the shape {shape}, with images "
                        f"along axis {output.images.axis}; give another of its axes."
                    )
                return place
        if first.ndim == 2:
            return 1
        own = self._taken.get(id(output.tensor)) if output.own_axis is None else output.own_axis
        return None if own is None else output.images.place(own, output.tensor)

    def _inherited(self, output: Output, first: Tensor) -> int | None:
        if id(output.tensor) in self._found:
            return self._found[id(output.tensor)][1]
        given = None if output.given is None else self._found.get(id(output.given))
        if given is None and output.given is not None:
            origin = self._stored.get(output.given.untyped_storage().data_ptr(), None if output.inside else self._last)
            given = None if origin is None else self._passed(output, origin)
        sources = (self._last, given) if output.inside else (given, self._last)
        behind = 1 + int(output.images.fold > 1)  # no fold has units
        return _handed_on([source for source in sources if source is not None], first, behind)

    def _passed(self, output: Output, last: tuple[Tensor, int]) -> tuple[Tensor, int] | None:
        """What a module was given, where a function made that of what the last module gave."""
        assert output.given is not None
        if output.given.ndim < 2 or output.images.axis >= output.given.ndim:
            return None
        if len(output.given) % (PROBED * output.images.fold) != 0 or output.images.axis == 1:
            return None
        given = output.images.first(output.given)
        behind = 1 + int(output.images.fold > 1)
        axis = _handed_on([last], given, behind)
        return None if axis is None else (given, axis)


def _handed_on(sources: Sequence[tuple[Tensor, int]], output: Tensor, behind: int) -> int | None:
    """The axis, `behind` or later, along which an output has the units that a source has along its axis, images first.

    The first source of which that is sure; or else the first whose number of units no other axis has. None if unknown.
    """
    for source, axis in sources:
        if (found := _same_units(source, axis, output, behind)) is not None:
            return found
    for source, axis in sources:
        fitting = [place for place in range(behind, output.ndim) if output.shape[place] == source.shape[axis]]
        if len(fitting) == 1:
            return fitting[0]
    return None


def _same_units(source: Tensor, axis: int, output: Tensor, behind: int) -> int | None:
    """The same where it has the same values, in whatever order of positions, or the same sizes but along one axis."""
    fitting = [place for place in range(behind, output.ndim) if output.shape[place] == source.shape[axis]]
    if source.numel() == output.numel() and (len(fitting) > 1 or source.shape != output.shape):
        extremes = _extremes(source, axis)
        for place in fitting:
            if torch.equal(_extremes(output, place), extremes):
                return place
    if source.ndim != output.ndim:
        return None
    same = [one == other for one, other in zip(source.shape, output.shape, strict=True)]
    return axis if same[axis] or all(same[:axis] + same[axis + 1 :]) else None  # a pool; a part of the units


def _extremes(output: Tensor, axis: int) -> Float[Tensor, "two batch unit"]:
    values = output.movedim(axis, 1).reshape(len(output), output.shape[axis], -1)
    return torch.stack([values.amin(-1), values.amax(-1)])


def _grid(tokens: int, grids: Sequence[tuple[int, int]], image: tuple[int, int]) -> tuple[tuple[int, int] | None, int]:
    """The rows and columns that tokens fill, and how many stand before them: a map's seen before, or the image's."""
    height, width = image
    for prefix in range(_MOST_PREFIX + 1):
        patches = tokens - prefix
        for grid in reversed(grids):
            if patches == grid[0] * grid[1] >= _LEAST_GRID:
                return grid, prefix
        rows = math.isqrt(max(0, patches) * height // width)
        if not grids and rows > 0 and rows * rows * width == patches * height and patches >= _LEAST_GRID:
            return (rows, patches // rows), prefix
    return None, 0


def axis_of_change(output: Tensor, changed: Tensor, width: int) -> int | None:
    """The axis of this width along which an output changed at its start alone, when the first number of weights did."""
    if output.shape != changed.shape:
        return None
    where = output != changed
    for axis in range(1, output.ndim):
        rows = where.movedim(axis, 0).flatten(1).any(1)
        if len(rows) == width and bool(rows[0]) and not bool(rows[1:].any()):
            return axis
    return None
