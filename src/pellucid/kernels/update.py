"""Update: one step of an optimizer, in one pass over memory; the formulas are in reference.py.

Large arrays are moved in pieces, by all threads; what is done with an element does not depend on the piece.
"""

import numpy as np
from jaxtyping import Float

from pellucid.kernels import reference
from pellucid.kernels.jit import compiled, vectorized
from pellucid.kernels.threads import run_in_order, shards

Array = np.ndarray

PIECE = 2**18
"""Elements of a piece: to wake another thread takes as long as some ten thousand."""


@compiled(reference.update_parameter)
def update_parameter(
    w: Float[Array, "*shape"],
    g: Float[Array, "*shape"],
    v: Float[Array, "*shape"] | None,
    rate: float,
    momentum: float = 0.0,
    decay: float = 0.0,
    factor: float = 1.0,
    nesterov: bool = False,
) -> None:
    """Move w, and its velocities v where there are any, against the gradient g, in place; all C-contiguous.

    rate (factor g + decay w) is what w loses, or what v loses before w gains v; see the reference.
    """
    if not w.shape == g.shape == (w if v is None else v).shape:
        raise ValueError("A parameter, its gradient and its velocities must be of one shape.")
    arrays = [array.reshape(-1) for array in (w, g, w if v is None else v)]
    numbers = (*map(w.dtype.type, (rate, momentum, decay, factor)), v is not None, nesterov)
    if w.size <= PIECE:
        update_flat(*arrays, *numbers)
    else:
        run_in_order(lambda part: update_flat(*(array[part] for array in arrays), *numbers), shards(w.size, PIECE))


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
