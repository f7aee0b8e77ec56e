"""The tests' own ground: the hook that checks shapes does act, and only where it should."""

import sys
from typing import Self

import numpy as np
import pytest
from beartype.roar import BeartypeCallHintParamViolation
from jaxtyping import TypeCheckError

from pellucid.data.scaling import Scaling
from typecheck import checked


def test_a_wrong_number_of_axes_is_caught_by_the_annotation():
    """Rejects a hook that was installed too late, or under a wrong name, and so never acts."""
    with pytest.raises(TypeCheckError):
        Scaling("unit").apply(np.zeros((3, 5), np.float32))


def test_a_method_that_returns_self_is_checked_as_well():
    """Rejects a hook that gives up on a whole method because of its `Self`."""

    class Plant:
        @checked
        def grown(self, by: int) -> Self:
            return self

    assert isinstance(Plant().grown(3), Plant)
    with pytest.raises(BeartypeCallHintParamViolation):
        Plant().grown("three")


def test_modules_of_numba_are_left_alone():
    """Rejects a hook by prefix, which would wrap functions before Numba compiles them."""
    kernels = pytest.importorskip("pellucid.kernels.pooling")
    assert type(sys.modules[kernels.__name__].__loader__).__name__ == "SourceFileLoader"
