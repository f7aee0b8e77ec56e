"""Objectives: one number per image, and a fallback where it is silent."""

import numpy as np
import pytest
import torch

from pellucid.see.models.base import LayerOutput
from pellucid.see.objectives.units import Units, smooth_rectified


def readings(seed=0, linear=True):
    before = torch.randn(4, 3, 2, 5, generator=torch.Generator().manual_seed(seed))
    before[1, 2] = -before[1, 2].abs() - 0.1
    return {"maps": LayerOutput(before.relu(), before if linear else None)}


def test_each_image_is_scored_by_its_own_unit():
    """Rejects all units for all images, and a mean over the wrong axes."""
    given = readings()
    score = Units("maps", torch.tensor([2, 0, 0, 1]))(given)
    output = given["maps"].output.numpy()
    np.testing.assert_allclose(score.value, [output[i, u].mean() for i, u in enumerate((2, 0, 0, 1))], rtol=1e-5)
    assert not score.silent.any()


def test_where_a_unit_is_silent_its_largest_pre_activation_is_maximized():
    """Rejects a rescue for the whole batch, and the mean (which would lift all positions at once)."""
    given = readings()
    before = given["maps"].pre_activation.requires_grad_(True)
    score = Units("maps", torch.tensor([0, 2, 0, 0]))({"maps": LayerOutput(before.relu(), before)})
    assert score.silent.tolist() == [False, True, False, False]
    assert not score.needs_relu_override.any()
    (gradient,) = torch.autograd.grad(score.maximized.sum(), before)
    one = torch.zeros(2, 5)
    one.view(-1)[before[1, 2].argmax()] = 1
    assert torch.equal(gradient[1, 2], one)
    assert torch.equal(gradient[0, 0], (before[0, 0] > 0) / 10.0)


def test_without_a_pre_activation_rectifiers_have_to_pass():
    """Rejects a silent image that is neither rescued nor reported as hidden."""
    score = Units("maps", torch.tensor([0, 2, 0, 0]))(readings(linear=False))
    assert score.needs_relu_override.tolist() == [False, True, False, False]


def test_silent_images_rank_by_how_near_they_are_to_waking():
    """Rejects ranking all silent images alike, or above one that is active."""
    before = torch.tensor([[-3.0], [-1.0], [0.5], [-2.0]])
    objective = Units("dense", torch.tensor([0, 0, 0, 0]))
    given = {"dense": LayerOutput(before.relu(), before)}
    assert objective(given).rank.tolist() == [-3.0, -1.0, 0.5, -2.0]
    assert objective.score_all(given)[:, 0].tolist() == [-3.0, -1.0, 0.5, -2.0]
    assert objective.score_all(given, rank=False)[:, 0].tolist() == [0.0, 0.0, 0.5, 0.0]


@pytest.mark.parametrize("linear", [True, False])
def test_every_is_the_rank_of_each_image_for_each_job(linear):
    """Rejects a precursor that scores by another rule than the ascent."""
    given = readings(1, linear)
    units = torch.tensor([2, 0, -1])
    every = Units("maps", units).score_all(given)
    assert every.shape == (4, 3)
    for job, unit in enumerate(units):
        alone = Units("maps", unit.repeat(4))(given)
        torch.testing.assert_close(every[:, job], alone.rank)


def test_minus_one_is_the_whole_layer():
    """Rejects the last unit, which is what -1 means to an index."""
    given = readings(2)
    score = Units("maps", torch.tensor([-1, 1, -1, 2]))(given)
    output = given["maps"].output
    torch.testing.assert_close(score.value[0], output[0].mean())
    torch.testing.assert_close(score.value[1], output[1, 1].mean())
    torch.testing.assert_close(score.value[2], output[2].mean())


def test_jobs_can_be_taken_out_and_repeated():
    """Rejects an objective that forgets whose turn it is when images leave the batch."""
    objective = Units("maps", torch.tensor([2, 0, 1])).select(torch.tensor([1, 1, 2]))
    assert objective.units.tolist() == [0, 0, 1]
    assert len(objective) == 3


@pytest.mark.parametrize("scale", [1.0, 1e-20, 1e20])
def test_smoothing_is_the_mean_of_a_root_at_any_scale(scale):
    """Rejects a width that is not each image's own, a mean over the batch, and squares that vanish or overflow."""
    before = scale * torch.tensor([[-3.0, 1.0, 2.0], [0.5, -0.5, 6.0]])
    smooth = smooth_rectified(before, torch.tensor([0.0, 2.0])) / scale
    z = before[1].double() / scale
    root = (0.5 * (z + (z.square() + (2 * z.std(correction=0)).square()).sqrt())).mean()
    np.testing.assert_allclose(smooth, [1.0, float(root)], rtol=1e-5)


def test_a_smoothed_unit_s_silent_positions_have_a_gradient_and_its_value_stays_its_own():
    """Rejects a smooth number that is reported as the activation, and one that is smoothed for another image, too."""
    given = readings()
    before = given["maps"].pre_activation.requires_grad_(True)
    layer = LayerOutput(before.relu(), before, torch.tensor([3.0, 3.0, 3.0, 0.0]))
    score = Units("maps", torch.tensor([0, 2, 1, 0]))({"maps": layer})
    plain = Units("maps", torch.tensor([0, 2, 1, 0]))({"maps": LayerOutput(before.relu(), before)})
    assert torch.equal(score.value, plain.value)
    assert torch.equal(score.rank, plain.rank)
    (gradient,) = torch.autograd.grad(score.maximized.sum(), before)
    assert (gradient[0, 0] > 0).all()
    assert (gradient[1, 2] > 0).sum() == 1  # silent: the shortest way to waking it
    np.testing.assert_allclose(gradient[3, 0], (before[3, 0] > 0) / 10.0, atol=1e-5)


def test_only_rectifiers_are_smoothed():
    """Rejects a softmax, or a sigmoid, that an ascent follows as if it were a rectifier."""
    before = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    units, width = torch.tensor([0, 1, 2, 0]), torch.full((4,), 3.0)
    score = Units("last", units)({"last": LayerOutput(before.softmax(1), before, width)})
    assert torch.equal(score.maximized, score.value)


@pytest.mark.parametrize("smoothing", [None, 1.0])
def test_a_ceiling_is_no_end(smoothing):
    """Rejects an ascent that stops where ReLU6 is full: nothing of the gradient comes through its clip."""
    before = torch.tensor([[[7.0, -2.0, 9.0, 3.0]], [[8.0, 7.0, 9.0, 6.5]]], requires_grad=True)
    how = None if smoothing is None else torch.full((2,), smoothing)
    score = Units("conv", torch.zeros(2, dtype=torch.int64))({"conv": LayerOutput(before.clamp(0, 6), before, how)})
    torch.testing.assert_close(score.value, torch.tensor([15 / 4, 6.0]))
    (gradient,) = torch.autograd.grad(score.maximized.sum(), before)
    assert bool((gradient[1] > 0).all())
    assert bool((gradient[0, 0, [0, 2, 3]] > 0).all())
