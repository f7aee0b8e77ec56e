"""Robust training: images moved uphill on their own losses, beside PyTorch, within the distance, in any company."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from beside import torch_network
from learn import small
from pellucid.learn.io.config import ARCHITECTURES
from pellucid.learn.robust import STEPS, STRIDE, WARMUP, distance_at, perturbed
from pellucid.learn.train_step import train_step
from pellucid.learn.training import train
from pellucid.see.models.open import open_model
from pellucid.see.patterns.api import patterns

DISTANCE = 0.7


def given(count, dtype=np.float64):
    network = small.network().astype(dtype)
    part, rng = small.split(count, 3), np.random.default_rng(5)
    noise = rng.standard_normal(part.images.shape, np.float32)
    return network, network.to_batch_last(part.images), part.labels, (DISTANCE, noise)


def lengths(d):
    return np.sqrt((d.astype(np.float64) ** 2).sum((0, 1, 2)))


@pytest.mark.parametrize("count", [1, 5])
def test_images_move_as_pytorch_moves_them(count):
    """Rejects the gradient of the mean loss beside each image's own, one step, and noise that is not shortened."""
    network, x, labels, perturbation = given(count)
    parameters = {name: torch.from_numpy(value) for name, value in network.parameters.items()}
    start = torch.from_numpy(np.moveaxis(x, -1, 0).copy())

    def unit(d):
        return d / d.flatten(1).norm(dim=1).view(-1, 1, 1, 1)

    d = unit(torch.from_numpy(perturbation[1]).double()) * DISTANCE / 2
    for _ in range(STEPS):
        d = d.detach().requires_grad_(True)
        loss = functional.cross_entropy(torch_network(network, parameters, start + d), torch.from_numpy(labels))
        d = d + STRIDE * DISTANCE * unit(torch.autograd.grad(loss, d)[0])
        d = d * (DISTANCE / d.flatten(1).norm(dim=1)).clamp(max=1).view(-1, 1, 1, 1)
    found = perturbed(network, x, labels, *perturbation)
    np.testing.assert_allclose(np.moveaxis(found, -1, 0), (start + d).detach().numpy(), atol=1e-10)


def test_every_loss_rises_and_no_image_goes_too_far():
    """Rejects steps downhill, a distance of the whole batch, and a start that lies beyond it."""
    network, x, labels, perturbation = given(40, np.float32)
    moved = perturbed(network, x, labels, *perturbation)
    assert lengths(moved - x).max() <= DISTANCE * 1.001
    before, after = (network.loss_function.value_and_gradient(network.forward(y).output, labels)[0] for y in (x, moved))
    assert (after > before).mean() > 0.9


def test_an_image_moves_alike_in_any_company():
    """Rejects noise that is drawn shard by shard, so that the number of threads decides what is learnt."""
    network, x, labels, perturbation = given(40, np.float32)
    whole = perturbed(network, x, labels, *perturbation)
    part = slice(16, 32)
    alone = perturbed(network, np.ascontiguousarray(x[..., part]), labels[part], DISTANCE, perturbation[1][part])
    assert np.array_equal(whole[..., part], alone)


def test_a_step_is_that_of_the_moved_images():
    """Rejects gradients of the images as they were."""
    network, x, labels, perturbation = given(5)
    images = small.split(5, 3).images
    moved = perturbed(network, x, labels, *perturbation)
    step = train_step(network, images, labels, robust=perturbation)
    losses, _ = network.loss_function.value_and_gradient(network.forward(moved).output, labels)
    np.testing.assert_allclose(step.losses, losses, rtol=1e-12)


def test_the_distance_grows_over_the_first_batches():
    """Rejects full distance from the first step, under which an untrained network learns nothing."""
    assert [distance_at(4.0, step) for step in (0, 75, 9999)] == [0, 75 / WARMUP * 4.0, 4.0]


def test_a_robust_training_goes_on_to_the_same_bits(tmp_path):
    """Rejects noise that depends on where a training was interrupted, and a setting that a checkpoint forgets."""
    asked = {"robust": 0.5, "epochs": 2, "batch": 16, "progress": False, "check": False}
    whole, interrupted = small.network(), small.network()
    train(whole, small.data(), **asked)
    path = tmp_path / "state.safetensors"

    def stop(trainer):
        if len(trainer.history.batches) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(interrupted, small.data(), **asked, checkpoint=path, checkpoint_batches=1, on_batch=stop)
    again = small.network()
    history = train(again, small.data(), **asked, checkpoint=path, resume=True)
    assert small.same(whole, again)
    assert history.settings.robust == 0.5
    plain = small.network()
    train(plain, small.data(), **{**asked, "robust": 0.0})
    assert not small.same(whole, plain)


def test_without_a_distance_nothing_moves():
    """Rejects noise that is added where the distance is zero."""
    network, x, labels, perturbation = given(5, np.float32)
    assert np.array_equal(perturbed(network, x, labels, 0.0, perturbation[1]), x)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_the_bundled_network_shows_of_a_class_another_recognizes(seed):
    """Rejects the weights of the same recipe without perturbations: one pattern of a seed has a p of 0.78."""
    found = patterns("mnist-robust", "logits", image="sphere", seed=seed)
    recognized = open_model("mnist-cnn").network.predict(found.images)  # standardized already: scaled to themselves
    assert np.diag(recognized).min() > 0.95


def test_the_bundled_network_was_trained_by_its_preset():
    """Rejects a recipe that was changed after the file was written, so that the card's command makes another one."""
    told, preset = open_model("mnist-robust").network, ARCHITECTURES["mnist-robust"]
    assert (told.layers, told.scaling.kind) == (preset.layers, preset.scaling)
    assert told.provenance["data"] == "mnist"
    assert preset.recipe.items() <= told.provenance["training"].items()
    assert told.provenance["test_accuracy"] > 0.988
