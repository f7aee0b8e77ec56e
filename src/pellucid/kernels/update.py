"""Update: one step of an optimizer, in one pass over memory; the formulas are in reference.py.

Large arrays are moved in pieces, by all threads; what is done with an element does not depend on the piece.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from pellucid.kernels import reference
from pellucid.kernels.jit import compiled, vectorized
from pellucid.kernels.reference import Array
from pellucid.kernels.threads import run_in_order, shards

PIECE = 2**18  # elements of a piece: to wake another thread takes as long as some ten thousand


@compiled(reference.update_parameter)
def update_parameter(
    w: Float[Array, "*shape"], g: Float[Array, "*shape"], v: Float[Array, "*shape"] | None, rate: float,
    momentum: float = 0.0, decay: float = 0.0, factor: float = 1.0, nesterov: bool = False,
) -> None:  # fmt: skip
    """Move w, and its velocities v where there are any, against the gradient g, in place; all C-contiguous.

    rate (factor g + decay w) is what w loses, or what v loses before w gains v; see the reference.
    """
    numbers = (*map(w.dtype.type, (rate, momentum, decay, factor)), v is not None, nesterov)
    _in_pieces(update_flat, (w, g, w if v is None else v), numbers)


@compiled(reference.update_by_adam)
def update_by_adam(
    w: Float[Array, "*shape"], g: Float[Array, "*shape"], v: Float[Array, "*shape"], s: Float[Array, "*shape"],
    rate: float, step: int, momentum: float = 0.9, decay: float = 0.0, factor: float = 1.0, weight_decay: float = 0.0,
    beta: float = 0.999, least: float = 1e-8,
) -> None:  # fmt: skip
    """Move w, and the averages v of its gradients g and s of their squares, in place; see the reference."""
    shares = (1 - momentum, 1 - beta, decay, factor)
    numbers = (*shares, rate * weight_decay, rate / (1 - momentum**step), 1 - beta**step, least)
    _in_pieces(adam_flat, (w, g, v, s), tuple(map(w.dtype.type, numbers)))


def _in_pieces(update: Callable[..., None], arrays: tuple[Array, ...], numbers: tuple[object, ...]) -> None:
    if len({array.shape for array in arrays}) > 1:
        raise ValueError("A parameter, its gradient and what is remembered of it must be of one shape.")
    flat, size = [array.reshape(-1) for array in arrays], arrays[0].size
    if size <= PIECE:
        update(*flat, *numbers)
    else:
        run_in_order(lambda part: update(*(array[part] for array in flat), *numbers), shards(size, PIECE))


@vectorized
def update_flat(w, g, v, rate, momentum, decay, factor, moving, nesterov):  # type: ignore[no-untyped-def]
    """All flat; v is anything where it is not `moving`."""
    if not moving:
        for i in range(len(w)):
            w[i] -= rate * (factor * g[i] + decay * w[i])
        return
    for i in range(len(w)):
        u = rate * (factor * g[i] + decay * w[i])
        v[i] = momentum * v[i] - u
        w[i] += momentum * v[i] - u if nesterov else v[i]


@vectorized
def adam_flat(w, g, v, s, new, new_square, decay, factor, shrink, rate, started, least):  # type: ignore[no-untyped-def]
    """All flat; new, new_square: what an average takes of what is new; started: 1 - beta^step."""
    for i in range(len(w)):
        h = factor * g[i] + decay * w[i]
        v[i] += new * (h - v[i])
        s[i] += new_square * (h * h - s[i])
        w[i] -= shrink * w[i] + rate * v[i] / (np.sqrt(s[i] / started) + least)
