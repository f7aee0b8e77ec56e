"""The ascent loop: many images at once, each by itself."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.errors import PellucidError
from pellucid.see.models.base import LayerOutput, Reader
from pellucid.see.objectives.units import Units
from pellucid.see.optimize.ascent_record import StoppingRule
from pellucid.see.optimize.loop import (
    AscentTask,
    objective_values,
    run_ascent,
    snapshot_steps,
)
from pellucid.see.optimize.optimizers import Normalized, Power
from pellucid.see.optimize.parametrizations import Sphere, standardized

TEMPLATES = standardized(torch.randn(5, 1, 4, 6, generator=torch.Generator().manual_seed(1)))
STARTS = standardized(torch.randn(5, 1, 4, 6, generator=torch.Generator().manual_seed(2)))


class Matching(Reader):
    """A layer whose units say how like an image is to each of five templates."""

    def __init__(self):
        self.batches = []

    def __call__(self, images):
        self.batches.append(len(images))
        return {"match": LayerOutput(images.flatten(1) @ TEMPLATES.flatten(1).T / 24)}


def run(rule=None, stopping=None, size=4, multiple=1, starts=STARTS, units=(0, 1, 2, 3, 4), reader=None, **options):
    rule = Power(8) if rule is None else rule
    stopping = StoppingRule(8) if stopping is None else stopping
    reader = Matching() if reader is None else reader
    objective = Units("match", torch.tensor(units))
    task = AscentTask(Sphere(), rule, stopping)
    return run_ascent(reader, objective, task, starts, batch_size=size, multiple=multiple, **options)


def test_each_job_finds_its_own_template():
    """Rejects rows that swap jobs when one leaves and the next comes in."""
    found = run()
    torch.testing.assert_close(found.values, torch.ones(5), atol=0.01, rtol=0)
    torch.testing.assert_close(found.images, TEMPLATES, atol=0.1, rtol=0.1)
    assert found.steps.tolist() == [8] * 5


@pytest.mark.parametrize(("size", "multiple"), [(1, 1), (2, 1), (3, 1), (5, 1), (4, 4), (8, 2)])
def test_the_size_of_a_batch_does_not_change_what_is_found(size, multiple):
    """Rejects idle rows that leak into the results, and a last job that never gets its row."""
    reader = Matching()
    found, alone = run(size=size, multiple=multiple, reader=reader), run(size=5)
    torch.testing.assert_close(found.images, alone.images, atol=2e-3, rtol=0)
    torch.testing.assert_close(found.history, alone.history, atol=1e-4, rtol=0)
    assert all(batch % multiple == 0 for batch in reader.batches)


class Peaked(Matching):
    """The same, but largest where an image is half like its template, so that long steps lead beyond."""

    def __call__(self, images):
        return {"match": LayerOutput(1 - (super().__call__(images)["match"].output - 0.5).abs())}


def test_the_best_image_is_kept_and_not_the_last():
    """Rejects returning where the ascent ended: a wild rule overshoots."""
    found = run(Normalized(3.0), StoppingRule(6), reader=Peaked())
    torch.testing.assert_close(found.values, found.history.amax(1))
    assert (found.values > found.history[:, -1]).any()
    reader = Peaked()
    again = objective_values(reader, Units("match", torch.arange(5)), found.images, batch_size=4, multiple=2)
    torch.testing.assert_close(again, found.values)
    assert reader.batches == [4, 2]


class Scripted(Reader):
    """A unit that says what the script says, whatever it is shown."""

    def __init__(self, script):
        self.script = iter(script)

    def __call__(self, images):
        said = next(self.script) + 1e-9 * images.flatten(1)[:, :1]
        return {"match": LayerOutput(said)}


@pytest.mark.parametrize(
    ("script", "steps"),
    [
        ([1.0, 1, 1, 1, 1, 1, 1, 1], 2),
        ([1.0, 1, 2, 2, 3, 3, 4, 4], 7),
        ([8.0, 7, 6, 5, 4, 3, 2, 1], 7),
        ([1.0, 2, 3, 3, 3, 4, 5, 6], 4),
    ],
)
def test_convergence_is_little_change_either_way_in_successive_steps(script, steps):
    """Rejects a signed difference, for which falling is converged, and calm steps that need not follow each other."""
    found = run(Normalized(1e-3), StoppingRule(7, 1e-3, 2), starts=STARTS[:1], units=(0,), reader=Scripted(script))
    assert found.steps.tolist() == [steps]


def test_an_image_stops_by_itself_when_it_has_converged():
    """Rejects a test on the mean of the batch, a signed difference, and one calm step taken for convergence."""
    starts = STARTS.clone()
    starts[2] = TEMPLATES[2]
    found = run(Normalized(0.05), StoppingRule(200, tolerance=1e-2, patience=3), size=2, starts=starts)
    assert int(found.steps[2]) == 3
    assert (found.steps[[0, 1, 3, 4]] > 10).all()
    assert (found.steps < 200).all()
    finite = torch.isfinite(found.history).sum(1)
    assert torch.equal(finite, found.steps + 1)


def test_without_tolerance_no_image_stops_early():
    """Rejects a comparison that equal values satisfy."""
    found = run(Normalized(0.5), StoppingRule(30), starts=TEMPLATES)
    assert found.steps.tolist() == [30] * 5


def test_the_film_shows_the_steps_asked_for():
    """Rejects shots that are one step off, and black ones for a job that stopped sooner."""
    found = run(snapshot_steps=(0, 3, 7))
    torch.testing.assert_close(found.snapshots[0], STARTS)
    for snapshot, step in enumerate((0, 3, 7)):
        says = (found.snapshots[snapshot].flatten(1) * TEMPLATES.flatten(1)).mean(1)
        torch.testing.assert_close(says, found.history[:, step])
    starts = STARTS.clone()
    starts[1] = TEMPLATES[1]
    early = run(Normalized(0.05), StoppingRule(100, tolerance=1e-2), starts=starts, snapshot_steps=(0, 99))
    torch.testing.assert_close(early.snapshots[1, 1], TEMPLATES[1], atol=1e-3, rtol=1e-3)


def test_progress_counts_every_step_of_every_image():
    """Rejects counting idle rows."""
    told = []
    run(multiple=4, advance=told.append)
    assert sum(told) == 5 * 9


class Half(Reader):
    """A rectified unit that is silent for some images: 1 - |mean - 2| of the first pixel's row, cut at zero."""

    def __init__(self, hidden):
        self.hidden, self.passing = hidden, []

    def __call__(self, images):
        before = images[:, :, :1].mean((1, 2, 3), keepdim=True).flatten(1) - 0.5
        output = before.relu()
        return {"match": LayerOutput(output, None if self.hidden else before)}

    def override_relu(self, images):
        self.passing.append(images.tolist())


def test_a_silent_image_wakes_by_its_pre_activation():
    """Rejects an ascent that stands still where the unit has no gradient."""
    starts = -standardized(torch.linspace(1, 0, 24).view(1, 1, 4, 6)).repeat(5, 1, 1, 1)
    found = run(starts=starts, units=(0, 0, 0, 0, 0), reader=Half(hidden=False))
    assert (found.history[:, 0] == 0).all()
    assert (found.values > 0).all()


def test_a_silent_image_is_not_converged():
    """Rejects giving up on a unit that says nothing yet because what it says does not change."""
    starts = -standardized(torch.linspace(1, 0, 24).view(1, 1, 4, 6))
    rule = StoppingRule(300, tolerance=1e-3, patience=3)
    found = run(Normalized(0.02), rule, starts=starts, units=(0,), reader=Half(hidden=False))
    assert (found.history[0, :10] == 0).all()
    assert found.values[0] > 0


def test_without_a_pre_activation_only_silent_images_pass():
    """Rejects passing gradients for the whole batch."""
    starts = standardized(torch.linspace(1, 0, 24).view(1, 1, 4, 6)).repeat(3, 1, 1, 1)
    starts[1] *= -1
    reader = Half(hidden=True)
    run(Normalized(0.01), StoppingRule(2), starts=starts, units=(0, 0, 0), reader=reader)
    assert reader.passing[0] == [False, True, False]


class Broken(Reader):
    def __init__(self, answer):
        self.answer = answer

    def __call__(self, images):
        return {"match": LayerOutput(self.answer(images).flatten(1)[:, :5])}


def test_a_model_that_detaches_is_explained():
    """Rejects autograd's own error."""
    with pytest.raises(PellucidError, match="No gradient reaches the image"):
        run(reader=Broken(lambda images: images.detach()))


def test_a_model_that_answers_nan_is_explained():
    """Rejects a wall of empty pictures."""
    with pytest.raises(PellucidError, match="NaN or infinity"):
        run(reader=Broken(lambda images: images * torch.nan))


def test_the_film_strip_s_steps_are_those_of_the_literature():
    """Rejects logarithmic steps that coincide when there are few."""
    assert snapshot_steps(600) == (0, 9, 18, 36, 72, 144, 288, 599)
    assert snapshot_steps(600, 0) == ()
    assert snapshot_steps(600, 1) == (599,)


@given(st.integers(1, 2000), st.integers(0, 12))
def test_the_film_strip_s_steps_are_distinct_and_within(steps, count):
    """Rejects a repeated or a missing last step, and more shots than were asked for."""
    found = snapshot_steps(steps, count)
    assert list(found) == sorted(set(found))
    assert len(found) <= count
    assert all(0 <= step < steps for step in found)
    assert not count or found[-1] == steps - 1
