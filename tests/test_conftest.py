"""The tests' own ground: the hook that checks shapes does act, and only where it should."""

from typing import Self

import numpy as np
import pytest
from beartype.roar import BeartypeCallHintParamViolation
from jaxtyping import TypeCheckError

from pellucid import kernels
from pellucid.data.scaling import Scaling
from pellucid.learn.layers import Pool
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


def test_shapes_of_kernels_and_layers_are_checked():
    """Rejects a hook that leaves out files with compiled code, where a wrong shape would read what lies beside."""
    image = np.zeros((2, 5, 6, 3), np.float32)
    with pytest.raises(TypeCheckError):
        kernels.convolve(image, np.zeros((4, 3, 3), np.float32), np.zeros(4, np.float32))
    with pytest.raises(TypeCheckError):
        Pool(2).forward({}, np.zeros(3, np.float32))
