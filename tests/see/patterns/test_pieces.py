"""Pieces: large images are worked on some at a time, and nobody can tell from the result."""

import gc

import numpy as np
import pytest
import torch

from foreign import assert_alike
from pellucid.data.splits import Split
from pellucid.learn.network import Network
from pellucid.see.models.open import open_model
from pellucid.see.objectives.base import Objective
from pellucid.see.patterns import api, pieces
from pellucid.see.patterns.api import Patterns, patterns
from tests.see.conftest import small_cnn

QUICK = {"steps": 4, "candidates": 16}


def network():
    return open_model(Network("cnn-4-4-8-16", seed=2, scaling="standardized"))


def module(dead=()):
    torch.manual_seed(3)
    net = small_cnn(maps=40)
    with torch.no_grad():
        for unit in dead:
            net.conv2.weight[unit] = 0
            net.conv2.bias[unit] = -1
    return open_model(net, input_shape=(1, 13, 9), scaling="standardized")


def in_pieces(monkeypatch, units=3):
    monkeypatch.setattr(pieces, "NUMBERS", 1)
    monkeypatch.setattr(pieces, "FEWEST", units)


def same(one: Patterns, other: Patterns, alike) -> None:
    for name in ("units", "dead", "steps", "tried_starts", "tried_images", "silent_starts", "start", "converged"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    for name in ("images", "activations", "strongest", "raw_starts"):
        if getattr(one, name) is not None:
            alike(getattr(one, name), getattr(other, name))
    assert one.film.steps == other.film.steps
    alike(one.film.images, other.film.images)
    alike(one.film.activations, other.film.activations)
    alike(np.nan_to_num(one.history.activations), np.nan_to_num(other.history.activations))
    assert one.history.terms.keys() == other.history.terms.keys()


def test_a_piece_holds_what_memory_allows():
    """Rejects pieces that leave out a unit or take one twice, and a film that is not counted."""
    assert list(pieces.unit_pieces(40, (1, 28, 28), 10)) == [slice(0, 40)]
    assert list(pieces.unit_pieces(40, (1, 28, 28), 10, most=16)) == [slice(0, 16), slice(16, 32), slice(32, 40)]
    for held in (2, 10):
        found = list(pieces.unit_pieces(2048, (3, 224, 224), held))
        assert [unit for one in found for unit in range(one.start, one.stop)] == list(range(2048))
        assert all((one.stop - one.start) * held * 3 * 224**2 <= pieces.NUMBERS for one in found)


@pytest.mark.parametrize("asked", [{"restarts": 2}, {"report": True, "smooth": 0.7}, {"precursor_steps": 2}])
def test_a_network_s_patterns_are_the_same_in_pieces_to_the_bit(monkeypatch, asked):
    """Rejects a piece that begins the numbering of its noises anew: unit 5 named three times has three patterns."""
    asked = {"units": [5, 90, 5, 7, 11, 5, 90, 127], **QUICK, **asked}
    whole = patterns(network(), "dense", **asked)
    assert len({image.tobytes() for image in whole.images[[0, 2, 5]]}) == 3
    in_pieces(monkeypatch)
    same(patterns(network(), "dense", **asked), whole, np.testing.assert_array_equal)


def test_a_module_s_silent_units_are_the_same_in_pieces(monkeypatch):
    """Rejects another start for a silent unit, images of the data that are those of another piece's units, and steps
    that are told under the numbers of a piece."""
    images = np.random.default_rng(0).random((9, 1, 13, 9), dtype=np.float32)
    told: set[int] = set()

    def watch(jobs, steps, images, values):
        told.update(jobs.tolist())

    asked = {"units": range(10), "data": Split(images, np.zeros(9, np.int64)), "compare": True, **QUICK, "l1": 0.1}
    whole = patterns(module(dead=(4, 8)), "relu2", **asked)
    assert whole.dead.tolist() == [unit in (4, 8) for unit in range(10)]
    in_pieces(monkeypatch)
    same(patterns(module(dead=(4, 8)), "relu2", watch=watch, **asked), whole, assert_alike)
    assert told == set(range(10))


def test_jobs_of_a_function_take_different_noises_in_pieces(monkeypatch):
    """Rejects the best noise for the first job of every piece."""
    objective = Objective.of("dense", lambda activations: activations[:, 3], jobs=7)
    whole = patterns(network(), objective, **QUICK)
    in_pieces(monkeypatch)
    same(patterns(network(), objective, **QUICK), whole, np.testing.assert_array_equal)
    assert len(set(whole.start.tolist())) == 7


def test_a_given_start_goes_to_its_own_unit(monkeypatch):
    """Rejects the first starts for the units of every piece."""
    start = np.random.default_rng(1).normal(size=(8, 1, 28, 28)).astype(np.float32)
    asked = {"units": range(8), "start": start, "steps": 1}
    whole = patterns(network(), "dense", **asked)
    in_pieces(monkeypatch)
    same(patterns(network(), "dense", **asked), whole, np.testing.assert_array_equal)


def test_only_a_piece_is_held_at_a_time(monkeypatch):
    """Rejects starts, steps or films of all units that live while the first are worked on: memory grows with units."""

    def most_alive(units):
        alive = []

        def watch(jobs, steps, images, values):
            if int(jobs[0]) % 4 == 0 and int(steps[0]) == 1:
                tensors = [one for one in gc.get_objects() if type(one) is torch.Tensor]
                alive.append(sum(one.untyped_storage().nbytes() for one in tensors if one.shape[-3:] == (1, 28, 28)))

        patterns(model, "dense", units=range(units), watch=watch, steps=2, candidates=16, silent_restarts=0)
        return max(alive)

    model = network()
    in_pieces(monkeypatch, 4)
    few = most_alive(8)
    assert most_alive(64) <= 1.1 * few
    monkeypatch.setattr(pieces, "FEWEST", 64)
    assert most_alive(64) > 2 * few


def test_progress_is_one_bar_over_all_pieces(monkeypatch):
    """Rejects a bar that is full after the first piece, or begins anew with each."""
    seen: list[tuple[int, int]] = []
    in_pieces(monkeypatch)
    patterns(network(), "dense", units=range(9), progress=lambda *at: seen.append(at), silent_restarts=0, **QUICK)
    done = [at for at, _ in seen]
    assert done == sorted(done)
    assert len({total for at, total in seen if at > QUICK["candidates"]}) == 1
    assert seen[-1][0] == seen[-1][1] == 3 * (16 + 3 * 5)


def test_a_film_that_would_fill_the_memory_is_kept_only_if_asked_for(monkeypatch, tmp_path):
    """Rejects eight images a unit of a layer of thousands, for nobody; and a file that tells of snapshots it lacks."""
    monkeypatch.setattr(api, "FILM_NUMBERS", 5 * 8 * 28 * 28)
    asked = {"steps": 9, "candidates": 16, "silent_restarts": 0}
    assert len(patterns(network(), "dense", units=range(5), **asked).film.steps) > 1
    found = patterns(network(), "dense", units=range(6), **asked)
    assert found.film.steps == ()
    assert found.film.images.shape == (0, 6, 1, 28, 28)
    assert Patterns.load(found.save(tmp_path / "six.npz")).settings.snapshots == 0
    assert len(patterns(network(), "dense", units=range(6), snapshots=8, **asked).film.steps) > 1
