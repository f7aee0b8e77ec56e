"""Steps in sixteen bits: fewer digits on the way, none in what is said of the end."""

from collections import OrderedDict
from contextlib import contextmanager

import pytest
import torch
from torch import nn

import pellucid as pc
from pellucid.learn.network import Network
from pellucid.see.models.base import LayerOutput, Reader
from pellucid.see.models.open import open_model
from pellucid.see.objectives.units import Units
from pellucid.see.optimize import precision
from pellucid.see.optimize.ascent_record import StoppingRule
from pellucid.see.optimize.loop import AscentTask, run_ascent
from pellucid.see.optimize.optimizers import Normalized
from pellucid.see.optimize.parametrizations import Sphere
from pellucid.settings import PatternSettings

ASKED = {"units": [0, 1, 2], "candidates": 16, "silent_restarts": 0, "steps": 12}


def opened():
    torch.manual_seed(0)
    parts = {"first": nn.Conv2d(3, 8, 3), "relu": nn.ReLU(), "second": nn.Conv2d(8, 6, 3), "last": nn.ReLU()}
    return open_model(nn.Sequential(OrderedDict(parts)), input_shape=(3, 12, 14), scaling="standardized")


def patterns(**asked):
    return pc.patterns(opened(), "second", **ASKED, **asked)


def test_the_first_steps_are_bfloat16_and_the_last_are_not():
    """Rejects a switch that does nothing, and one that is never switched back."""
    model = opened()
    with model.reading(["second"]) as read:
        images = torch.zeros(2, 3, 12, 14)
        plain = read(images)["second"].output
        with read.bfloat16():
            rounded = read(images + 0.3)["second"].output
        assert plain.dtype == rounded.dtype == torch.float32
        assert torch.equal(rounded, rounded.bfloat16().float())
        assert not torch.equal(read(images + 0.3)["second"].output, rounded)
        assert precision.bfloat16_steps(model, read, ("second",), PatternSettings(precision="bfloat16"), 12) == 7
        assert precision.bfloat16_steps(model, read, ("second",), PatternSettings(precision="bfloat16"), 3) == 0
        assert precision.bfloat16_steps(model, read, ("second",), PatternSettings(), 12) == 0


def test_what_is_said_of_the_images_is_exact():
    """Rejects activations that were rounded, and a best image chosen by rounded values."""
    found, fine = patterns(precision="bfloat16"), patterns()
    assert not torch.equal(torch.from_numpy(found.images), torch.from_numpy(fine.images))
    model = opened()
    with model.reading(["second"]) as read, torch.no_grad():
        outputs = read(torch.from_numpy(found.images).view(3, 3, 12, 14))["second"].output
    said = outputs.flatten(2).mean(2).diagonal()
    torch.testing.assert_close(torch.from_numpy(found.activations), said, rtol=1e-4, atol=1e-5)
    assert (found.activations > 0.9 * fine.activations).all()


def test_the_clock_is_asked_once(monkeypatch):
    """Rejects a measurement before every ascent, and the slower way taken."""
    asked = []

    def seconds(model, read, layers, *, bfloat16):
        asked.append(bfloat16)
        return 1.0 if bfloat16 else 3.0

    monkeypatch.setattr(precision, "_seconds", seconds)
    model, settings = opened(), PatternSettings(precision="auto")
    with model.reading(["second"]) as read:
        assert precision.bfloat16_steps(model, read, ("second",), settings, 12) == 7
        assert precision.bfloat16_steps(model, read, ("second",), settings, 30) == 25
        assert asked == [True, False]
        monkeypatch.setattr(precision, "_seconds", lambda *_, bfloat16: 3.0 if bfloat16 else 3.1)
        assert precision.bfloat16_steps(model, read, ("second",), settings, 12) == 7
    other = opened()
    with other.reading(["second"]) as read:
        assert precision.bfloat16_steps(other, read, ("second",), settings, 12) == 0


def test_the_clock_measures_both_ways():
    """Rejects a measurement that cannot run, that takes no time, or that is of the same way twice."""
    model = opened()
    with model.reading(["second"]) as read:
        ways = []
        way = read.bfloat16
        read.bfloat16 = lambda: ways.append(True) or way()
        seconds = [precision._seconds(model, read, ("second",), bfloat16=which) for which in (True, False)]
        assert min(seconds) > 0
        assert len(ways) == 3
        images = torch.zeros(8, 3, 12, 14)
        assert read(images)["second"].output.dtype == torch.float32


def test_a_network_of_ones_own_stays_exact():
    """Rejects a hand-written network that is asked for what it does not have."""
    net = Network("cnn-4-4-8-16", scaling="standardized")
    asked = {"units": [0, 1], "candidates": 16, "silent_restarts": 0, "steps": 8, "optimizer": "adam"}
    fine, rough = (pc.patterns(net, "conv2", precision=way, **asked) for way in ("float32", "bfloat16"))
    assert (fine.images == rough.images).all()


class Boasting(Reader):
    """Says a hundred times as much when it works roughly."""

    def __init__(self):
        self.rough = False

    @contextmanager
    def bfloat16(self):
        self.rough = True
        yield
        self.rough = False

    def __call__(self, images):
        return {"layer": LayerOutput((100.0 if self.rough else 1.0) * images.flatten(1)[:, :1])}


def test_no_bfloat16_image_is_the_best():
    """Rejects a best image that a rounded value has chosen."""
    starts = Sphere().from_noise(torch.randn(2, 1, 3, 5, generator=torch.Generator().manual_seed(0)).abs())
    goal = Units("layer", torch.zeros(2, dtype=torch.int64))
    task = AscentTask(Sphere(), Normalized(0.1), StoppingRule(6))
    found = run_ascent(Boasting(), goal, task, starts, batch_size=2, bfloat16_steps=4)
    torch.testing.assert_close(found.values, found.history[:, 4:].amax(1))
    assert (found.history[:, :4].amax(1) > found.values).any()


@pytest.mark.parametrize("tolerance", [0.0, 0.01])
def test_rows_of_different_ages_are_never_bfloat16(tolerance, monkeypatch):
    """Rejects a row whose precision follows from its company: with a tolerance, rows have made different steps."""
    model, taken = opened(), []
    with model.reading(["second"]) as read:
        monkeypatch.setattr(
            type(read), "bfloat16", lambda self: taken.append(1) or torch.autocast("cpu", torch.bfloat16)
        )
        starts = Sphere().from_noise(torch.randn(2, 3, 12, 14))
        goal = Units("second", torch.tensor([0, 1]))
        task = AscentTask(Sphere(), Normalized(0.1), StoppingRule(6, tolerance))
        run_ascent(read, goal, task, starts, batch_size=2, bfloat16_steps=3)
    assert len(taken) == (3 if tolerance == 0 else 0)
