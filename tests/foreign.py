"""What may differ where others do the arithmetic: PyTorch, Keras, BLAS.

They round a pass by the processor, by how many images go together and by where an image lies among them: a sum of n
numbers by about sqrt(n) times 6e-8 of its size. The tests' ascents of some ten steps make a few 1e-6 of that. Other
random numbers, another unit's image, or images that pull at each other make 0.1 and more. What is allowed lies between
the two. Networks of `learn` are held to the last bit instead.
"""

import numpy as np
from numpy.typing import ArrayLike

ALIKE = 1e-3
"""Of an image's deviation, or of the range of a photo: far below what eight bits can show."""


def alike(found: ArrayLike, wanted: ArrayLike) -> bool:
    """Whether these are the same but for rounding; shapes have to be equal."""
    one, other = np.asarray(found), np.asarray(wanted)
    return one.shape == other.shape and np.allclose(one, other, rtol=ALIKE, atol=ALIKE, equal_nan=True)


def assert_alike(found: ArrayLike, wanted: ArrayLike) -> None:
    """Say where they differ, if they do."""
    assert np.shape(found) == np.shape(wanted)
    np.testing.assert_allclose(found, wanted, rtol=ALIKE, atol=ALIKE)
