"""bases: other coordinates, the same images."""

import numpy as np
import pytest
import torch

from pellucid.see.optimize.bases import Colors, Spectrum


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 8), (8, 5), (7, 7), (12, 1)])
def test_every_picture_has_its_spectrum(height, width):
    """Rejects a transform that loses a wave on odd or even sides, or turns the picture."""
    pixels = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    basis = Spectrum.of(height, width)
    torch.testing.assert_close(basis.pixels(basis.coefficients(pixels)), pixels, atol=1e-5, rtol=0)


def test_the_same_step_moves_long_waves_further():
    """Rejects a flat spectrum: 1 / frequency was promised."""
    basis = Spectrum.of(16, 16)
    assert float(basis.scale[0, 1] / basis.scale[0, 4]) == pytest.approx(4)
    assert float(basis.scale[2, 0] / basis.scale[4, 0]) == pytest.approx(2)
    assert basis.scale[0, 0] == basis.scale[0, 1]


def test_colours_are_taken_apart_as_the_images_have_them():
    """Rejects any fixed matrix: independent coefficients give pixels with the images' own correlation."""
    rng = np.random.default_rng(0)
    mix = np.array([[1.0, 0.2, 0], [0.8, 0.3, 0.1], [0.7, 0.1, 0.4]])
    images = np.einsum("ck,nkhw->nchw", mix, rng.normal(size=(20, 3, 15, 11))).astype(np.float32)
    basis = Colors.measured(images)
    noise = torch.randn(20, 3, 30, 30, generator=torch.Generator().manual_seed(1))
    pixels = basis.pixels(noise)
    found, wanted = (np.corrcoef(np.moveaxis(np.asarray(p), 1, 0).reshape(3, -1)) for p in (pixels, images))
    np.testing.assert_allclose(found, wanted, atol=0.05)
    torch.testing.assert_close(basis.coefficients(pixels), noise, atol=1e-3, rtol=1e-3)


def test_images_without_colour_still_can_get_some():
    """Rejects a matrix that cannot be inverted."""
    gray = np.repeat(np.random.default_rng(0).random((4, 1, 6, 5), dtype=np.float32), 3, axis=1)
    for images in (gray, np.zeros((2, 3, 4, 4), np.float32)):
        assert torch.isfinite(torch.linalg.inv(Colors.measured(images).matrix)).all()
