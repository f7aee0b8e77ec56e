"""Counts: one unit, two units."""

import numpy as np
import pytest

import pellucid as pc
from learn import small
from pellucid.data.splits import Split
from pellucid.errors import counted
from pellucid.learn.training import train
from pellucid.show.console import found_text
from pellucid.show.pages import template


@pytest.mark.parametrize(
    ("number", "words", "said"),
    [
        (1, ["unit"], "1 unit"),
        (2, ["unit"], "2 units"),
        (0, ["class"], "0 classes"),
        (1200, ["batch"], "1,200 batches"),
        (3, ["epoch"], "3 epochs"),
        (1, ["more layer is", "more layers are"], "1 more layer is"),
        (2, ["more layer is", "more layers are"], "2 more layers are"),
    ],
)
def test_one_of_something_is_not_several(number, words, said):
    """Rejects `1 units`, `0 class`, `2 classs`, `2 epoches` and `1 layer are`."""
    assert counted(number, *words) == said


@pytest.mark.parametrize(("number", "s"), [(1, ""), (2, "s")])
def test_results_count_themselves_in_english(number, s):
    """Rejects `Patterns(1 units ...`, `History(1 epochs, 1 batchs)`, `1 images` and `1 power steps`."""
    images = np.full((number, *small.SHAPE), 0.5, np.float32)
    assert f"{number} image{s} of" in repr(Split(images, np.zeros(number, np.int64)))
    net, data = small.network(), small.data()
    history = train(net, data, epochs=number, batch=len(data.train), check=False, progress=False)
    assert repr(history).startswith(f"History({number} epoch{s}, {number} batch{'es' if s else ''}")
    assert f"{number} image{s})" in repr(pc.evaluate(net, data.test.take(number)))
    found = pc.patterns(net, "conv1", units=range(number), steps=number, candidates=1, progress=False)
    assert repr(found).startswith(f"Patterns({number} unit{s} of 'conv1'")
    assert f"{number} power step{s} " in found_text(found)


def test_templates_can_count():
    """Rejects a page whose templates are not given the one helper."""
    assert template("tour.html").globals["counted"] is counted
