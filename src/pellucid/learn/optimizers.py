"""Optimizers: gradient -> step of the parameters, in place.

sgd:       w -= rate g
momentum:  v = momentum v - rate g;  w += v                         (Polyak 1964)
nesterov:  v = momentum v - rate g;  w += momentum v - rate g       (as Sutskever et al. 2013 rewrite it)

with g = gradient of the mean loss + ridge / batch * w for weights (not biases), which is the gradient of
ridge / (2 batch) * sum of w^2: the ridge term of the mean loss, or ridge / 2 * sum of w^2 beside the *summed* loss.
With `clip` the gradient of the mean loss, all parameters together, is shortened to that length where it is longer
(Pascanu et al. 2013, "On the difficulty of training recurrent neural networks"): a few first steps from He weights are
many times as steep as all later ones, and would throw the units where no gradient reaches them any more.
One pass over memory does it all, in pieces whose size depends on the arrays alone, and which a team works on.
"""

import math
from collections.abc import Mapping, Sequence
from operator import is_
from typing import Any

import numpy as np

from pellucid.errors import PellucidError
from pellucid.kernels.jit import vectorized
from pellucid.kernels.team import Place, address, array, compiled, do, integers
from pellucid.kernels.threads import shards
from pellucid.learn.layers import Parameters
from pellucid.settings import TrainSettings

Array = np.ndarray

LARGEST_GRADIENT = 1e30
"""A gradient beyond this is taken for infinite: the step that follows would overflow."""

ORDINARY_GRADIENT = 1e3
"""A mean gradient of a bias beyond this is a reason to look closer."""

PIECE = 2**14
"""Numbers of a piece, at least: some microseconds' worth."""

MOST_PIECES = 2**12

ALONE = 2**18
"""Numbers that one thread moves by itself: a team that is woken for less goes on looking for work for longer than that
takes, on processors that the next batch's convolutions need."""


@vectorized
def _descend(w, g, v, rate, shrink, momentum, ridge, nesterov):  # type: ignore[no-untyped-def]
    if len(v) == 0:
        for i in range(len(w)):
            w[i] -= rate * (shrink * g[i] + ridge * w[i])
        return
    for i in range(len(w)):
        push = rate * (shrink * g[i] + ridge * w[i])
        v[i] = momentum * v[i] - push
        w[i] += momentum * v[i] - push if nesterov else v[i]


def _descend_piece(numbers, piece, kind):  # type: ignore[no-untyped-def]
    """numbers: address of (rate, shrink, momentum, ridge), nesterov; of a piece: addresses, sizes, whether a weight."""
    k = 6 * piece + 2
    n = integers(numbers, k + 6)
    w, g, v = array(n[k], n[k + 3], kind), array(n[k + 1], n[k + 3], kind), array(n[k + 2], n[k + 4], kind)
    scalars = array(n[0], 4, kind)
    ridge = scalars[3] if n[k + 5] != 0 else scalars[3] * 0
    _descend(w, g, v, scalars[0], scalars[1], scalars[2], ridge, n[1] != 0)


@vectorized
def _count_beyond(g, largest):  # type: ignore[no-untyped-def]
    count = 0
    for i in range(len(g)):
        count += 0 if abs(g[i]) <= largest else 1  # NaN is not <=
    return count


class Optimizer:
    """Moves parameters against their gradients; `velocities` is its only state, empty for plain SGD."""

    def __init__(self, settings: TrainSettings, parameters: Parameters) -> None:
        self.settings = settings
        plain = settings.optimizer == "sgd"
        self.velocities = {} if plain else {name: np.zeros_like(value) for name, value in parameters.items()}
        self._plans: list[_Plan] = []
        self._known: list[Array] = []  # the arrays that the plans are for

    def step(self, parameters: Parameters, gradients: Mapping[str, Array], rate: float, batch: int) -> None:
        """One step in place; `rate` is that of this step, `batch` the number of images behind the gradients.

        Look for `overflow` first: a step along an infinite gradient cannot be taken back. Raises PellucidError for a
        parameter that cannot be moved in place.
        """
        settings = self.settings
        scalars = (rate, clip_factor(gradients, settings.clip), settings.momentum, settings.ridge / batch)
        known = [*parameters.values(), *gradients.values(), *self.velocities.values()]
        if len(known) != len(self._known) or not all(map(is_, known, self._known)):
            self._known, nesterov = known, settings.optimizer == "nesterov"
            require_movable(parameters)
            groups = [(w, gradients[name], self.velocities.get(name)) for name, w in parameters.items()]
            kinds = {w.dtype for w in parameters.values()}
            self._plans = [_Plan([group for group in groups if group[0].dtype == kind], nesterov) for kind in kinds]
            if any(plan.copied for plan in self._plans):
                self._known = []
        for plan in self._plans:
            plan.run(scalars)


class _Plan:
    """The numbers of `_descend_piece` for (parameters, gradients, velocities or None) of one type.

    copied: whether some gradient had to be copied, so that the plan is good for one step.
    """

    def __init__(self, groups: Sequence[tuple[Array, Array, Array | None]], nesterov: bool) -> None:
        kind: Any = groups[0][0].dtype.type
        # An address says nothing of type or order, and holds nothing: all of these stay here.
        self._groups = [(w, np.ascontiguousarray(g, kind), w if v is None else v) for w, g, v in groups]
        self.copied = any(g is not given for (_, g, _), (_, given, _) in zip(self._groups, groups, strict=True))
        for w, g, v in self._groups:
            if not (v.flags.c_contiguous and w.shape == g.shape == v.shape):
                raise ValueError("A parameter, its gradient and its velocity must lie alike.")
        self._job, self._scalars = compiled(_descend_piece, kind), np.zeros(4, kind)
        total = sum(w.size for w, _, _ in self._groups)
        size = max(PIECE, total // MOST_PIECES)
        parts = sorted(
            (part.start, i, part.stop) for i, group in enumerate(self._groups) for part in shards(group[0].size, size)
        )
        numbers = [address(self._scalars), nesterov]
        for begin, i, end in parts:
            w = self._groups[i][0]
            numbers += [address(array.reshape(-1)) + w.itemsize * begin for array in self._groups[i]]
            numbers += [end - begin, end - begin if groups[0][2] is not None else 0, w.ndim > 1]
        self._numbers, self._pieces = np.array(numbers, np.int64), len(parts)
        self._shared = len(parts) if total > ALONE else 1

    def run(self, scalars: tuple[float, float, float, float]) -> None:
        """Take the step."""
        self._scalars[:] = scalars
        with Place(self._shared) as board:
            do(board, self._job, self._numbers, self._pieces)


def require_movable(parameters: Parameters) -> None:
    """Raise PellucidError where some parameter cannot be moved in place."""
    for name, value in parameters.items():
        if not (value.flags.c_contiguous and value.flags.aligned and value.flags.writeable):
            raise PellucidError(
                f"Parameter '{name}' is a view of another array, or may not be written to, and training moves it in "
                f"place; give a copy: np.array(...)."
            )


def clip_factor(gradients: Mapping[str, Array], clip: float) -> float:
    """What all gradients are multiplied by so that together they are no longer than `clip`; 1 where that is 0."""
    if clip == 0:
        return 1.0
    length = math.sqrt(sum(float(np.vdot(g, g)) for g in gradients.values()))
    return clip / length if length > clip else 1.0


def overflow(gradients: Mapping[str, Array]) -> str | None:
    """The name of the first gradient that holds NaN, infinity or a number beyond 1e30; None where all is well.

    Weights are looked at only where some bias is out of the ordinary: what is NaN or infinite behind the gradient of a
    weight is so in that of its bias, the sum, and a product of ordinary numbers does not overflow.
    """
    if not any(_exceeds(value, ORDINARY_GRADIENT) for value in gradients.values() if value.ndim == 1):
        return None
    return next((name for name, value in gradients.items() if _exceeds(value, LARGEST_GRADIENT)), None)


def _exceeds(array: Array, largest: float) -> bool:
    return bool(_count_beyond(array.reshape(-1), array.dtype.type(largest)) > 0)


def ridge_term(parameters: Parameters, ridge: float, batch: int) -> float:
    """ridge / (2 batch) * sum of squared weights: its share of the mean cost of a batch."""
    if ridge == 0:
        return 0.0
    return ridge / (2 * batch) * float(sum(np.vdot(w, w) for w in parameters.values() if w.ndim > 1))
