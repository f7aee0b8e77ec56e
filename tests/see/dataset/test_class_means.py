"""Class means: by a loop over the images, and classes that have none."""

import numpy as np
import pytest

from learn import small
from pellucid.data import splits
from pellucid.errors import PellucidError
from pellucid.learn.training import train
from pellucid.see.dataset.class_means import average
from pellucid.see.patterns.pattern_files import read_images


@pytest.fixture(scope="module")
def trained():
    net = small.network()
    train(net, small.data(300), epochs=10, batch=16, learning_rate=0.1, check=False, progress=False)
    return net


@pytest.mark.parametrize("threshold", [0.9, 0.5, 0.0])
@pytest.mark.parametrize("piece", [7, 2048])
def test_averages_are_means_over_the_images_taken_for_a_class(trained, threshold, piece, monkeypatch):
    """Rejects means by label, a mean of means over pieces, and nine classes that share one array."""
    monkeypatch.setattr(splits, "BATCH_NUMBERS", piece * small.split(1, 0).images.size)
    split = small.split(40, 5)
    found = average(trained, split, threshold)
    probabilities = trained.predict(split.images)
    for label in range(small.CLASSES):
        chosen = [image for image, p in zip(split.images, probabilities, strict=True) if p[label] > threshold]
        assert found.counts[label] == len(chosen)
        np.testing.assert_allclose(found.images[label], np.mean(chosen, axis=0, dtype=np.float64), atol=1e-5)
    assert found.counts.sum() >= 30
    assert np.array_equal(found.images[0], found.images[1]) == (threshold == 0)
    assert found.images.dtype == np.float32


def test_a_class_without_images_says_so(trained):
    """Rejects a division by a count of zero."""
    net = trained.with_parameters(trained.parameters | {"logits.bias": np.array([0, 1e4, 0], np.float32)})
    found = average(net, small.split(1, 0))
    assert found.counts.tolist() == [0, 1, 0]
    assert not found.images[[0, 2]].any()
    assert str(found).splitlines() == [
        "class '0': no image has a probability above 0.9",
        "class '1': the mean of 1 image",
        "class '2': no image has a probability above 0.9",
    ]


@pytest.mark.parametrize("threshold", [1.0, -0.1, float("nan")])
def test_a_threshold_that_is_no_probability_is_refused(trained, threshold):
    """Rejects counts that are zero for a reason nobody sees."""
    with pytest.raises(PellucidError, match="The threshold is"):
        average(trained, small.split(3, 0), threshold)


@pytest.mark.parametrize("name", ["means.csv", "means.npz"])
def test_means_are_saved_as_pixels_that_are_images_again(trained, tmp_path, name):
    """Rejects means rounded to bytes, classes in another order, and a file that only we can read."""
    found = average(trained, small.data().train, 0.1)
    images, are_pixels = read_images(found.save(tmp_path / name), trained.input_shape)
    assert are_pixels
    np.testing.assert_array_equal(images, found.images)
    if name.endswith(".csv"):
        plain = np.loadtxt(tmp_path / name, delimiter=",", ndmin=2)
        assert plain.shape == (len(found.counts), int(np.prod(trained.input_shape)))
