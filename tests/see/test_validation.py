"""validation, objectives, patterns: what a person hands in fits the model, or is one sentence."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from foreign import assert_alike
from pellucid.data.splits import Split
from pellucid.errors import PellucidError, PellucidWarning
from pellucid.see.models.open import open_model
from pellucid.see.objectives.features import AtPosition, MeanSquare, likeness
from pellucid.see.objectives.units import OtherUnits, Units
from pellucid.see.patterns.api import patterns
from pellucid.see.validation import as_array, as_units

QUICK = {"steps": 2, "candidates": 16, "silent_restarts": 0}
IMAGES = np.random.default_rng(0).random((5, 3, 6, 5), np.float32)


@pytest.fixture
def model():
    """Four maps of 4 x 3 on images (3, 6, 5)."""
    torch.manual_seed(0)
    return open_model(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 2)), input_shape=(3, 6, 5))


def split(images):
    return Split(images, np.zeros(len(images), np.int64))


@pytest.mark.parametrize(
    ("objective", "sentence"),
    [
        (lambda: Units("1", torch.tensor([4])), "no unit 4 in layer '1'; choose 0 to 3, or -1"),
        (lambda: Units("1", torch.tensor([-2])), "no unit -2"),
        (lambda: 2 * AtPosition(Units("1", torch.tensor([9])), (0, 0)), "no unit 9"),
        (lambda: Units("1", torch.tensor([], dtype=torch.int64)), "no jobs"),
        (lambda: OtherUnits("1", torch.tensor([-1])), "no unit -1 in layer '1'; choose 0 to 3.$"),
        (lambda: Units("1", torch.tensor([1, 2])) - OtherUnits("1", torch.tensor([1])), "2 jobs is added to one of 1"),
        (lambda: Units("9", torch.tensor([1])), "no layer '9'"),
        (lambda: MeanSquare("1", 0), "no jobs"),
        (lambda: MeanSquare("1", -1), "-1 images"),
    ],
)
def test_an_objective_that_does_not_fit_is_one_sentence(model, objective, sentence):
    """Rejects asking the model: the unit after the last one means the whole layer there, and -2 nobody knows what."""
    with pytest.raises(PellucidError, match=sentence):
        patterns(model, objective(), **QUICK)


def test_directions_and_units_are_taken_in_any_form():
    """Rejects taking tensors of one type only, on one device, without gradients."""
    rows = torch.tensor([[1.0, 0.0, 0.5, 0.0]])
    for given in (rows.tolist(), rows.numpy(), rows.double(), rows.bfloat16(), rows.clone().requires_grad_()):
        assert np.array_equal(as_array(given, "It"), rows.numpy())
    for given in ([0, 2], range(0, 3, 2), np.array([0, 2], np.uint8), torch.tensor([0, 2], dtype=torch.int32)):
        assert torch.equal(as_units(given), torch.tensor([0, 2]))
    for given in (1, [1.0], [True], [[1], [1, 2]], "12", None, torch.tensor(1), np.array([2**63], np.uint64)):
        with pytest.raises(PellucidError, match=r"Units are .*; give one or more whole numbers"):
            as_units(given)
    for given in ("noise", [[1], [1, 2]], np.zeros(2, complex), {"a": 1}, None):
        with pytest.raises(PellucidError, match=r"It is .*; give an array of real numbers"):
            as_array(given, "It")


WRONG_TYPES = """
import numpy as np, torch
from torch import nn
import pellucid as pc
from pellucid.see.objectives.features import likeness
from pellucid.see.objectives.units import Units

module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
model = pc.open_model(module, input_shape=(3, 6, 5))
images = np.random.rand(2, 3, 6, 5)
for call in (
    lambda: pc.patterns(model, "1", data=images[0, 0]),
    lambda: pc.patterns(model, "1", data="figits"),
    lambda: pc.patterns(model, "1", start={"a": 1}),
    lambda: pc.open_model(model, directions={"1": "north"}),
    lambda: pc.open_model(model, directions={"1": [1, 0, 0]}),
    lambda: pc.open_model(model, directions=[1]),
    lambda: pc.open_model(module, input_shape=(3, 6, 5), classes=3),
    lambda: pc.open_model(module, input_shape=(3, 6, 5), weights=3),
    lambda: pc.open_model(module, input_shape=(3, 6, 5), units_axis=["0"]),
    lambda: pc.open_model(module, input_shape=(3, 6, 5), units_axis={"0": 1.5}),
    lambda: pc.patterns(model, Units("1", 1)),
    lambda: likeness(model, "1", (255 * images).astype(np.uint8)),
    lambda: likeness(model, "1", 255 * torch.from_numpy(images)),
    lambda: pc.open_model(module, input_shape=8),
    lambda: pc.open_model(module, input_shape="3,8,8"),
    lambda: pc.open_model(module, input_shape=(3, None, 8)),
    lambda: pc.open_model(module, input_shape=(3, 8.5, 8)),
):
    try:
        call()
    except pc.PellucidError:
        continue
    print("no error")
asking = torch.from_numpy(images).requires_grad_(True)
torch.testing.assert_close(likeness(model, "1", asking).wanted, likeness(model, "1", images.tolist()).wanted)
"""


def test_what_is_of_a_wrong_type_is_one_sentence():
    """Rejects errors of Python's own, where no checker of types stands before; so in another process."""
    ran = subprocess.run([sys.executable, "-c", WRONG_TYPES], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_features_of_another_layer_are_refused(model):
    """Rejects a distance between numbers that mean different things."""
    wanted = likeness(model, "2", IMAGES[:1]).wanted
    with pytest.raises(PellucidError, match="take them from the same model"):
        patterns(model, type(likeness(model, "1", IMAGES[:1]))("1", wanted), **QUICK)


@pytest.mark.parametrize("images", [IMAGES[:, :1], IMAGES[..., :4]])
def test_data_of_another_shape_are_resized_and_that_is_said(model, images):
    """Rejects images that are passed over, or changed without a word."""
    with pytest.warns(PellucidWarning, match="are resized to 3 x 6 x 5"):
        assert len(patterns(model, "1", data=split(images), **QUICK)) == 4


def test_a_start_may_be_any_tensor(model):
    """Rejects tensors that ask for gradients, and those of sixteen bits."""
    start = torch.full((3, 6, 5), 0.25)
    start[0, 0, 0] = 0.5
    wanted = patterns(model, "1", start=start.numpy(), **QUICK)
    for given in (start.clone().requires_grad_(), start.bfloat16()):
        assert_alike(patterns(model, "1", start=given, **QUICK).images, wanted.images)
