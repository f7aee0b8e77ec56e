"""Many windows at one studio, in a process of its own: the load test, scaled down."""

import pytest

from benchmarks.load_studio import PNG, Figures, code, load, number_in
from pellucid.data.scaling import byte_pixels
from pellucid.data.strokes import center_strokes
from pellucid.show.sprites import data_uri
from pellucid.show.studio.tabs import draw


@pytest.mark.parametrize("number", [0, 5, 127, 255])
def test_a_code_is_read_back_from_what_a_network_receives(number):
    """Rejects a load test that cannot tell one window's drawing from another's."""
    image = center_strokes(draw.decode_drawing(code(number)), (1, 28, 28))
    found = PNG.search(data_uri(byte_pixels(image[0]), "png"))
    assert found is not None
    assert number_in(found[1]) == number


def test_every_broken_promise_is_told():
    """Rejects a load test that passes whatever happens."""
    good = Figures(pictures=1, stops=[0.1], strangers={"x": 403}, uploads={"y": (413, 100)})
    assert good.failures() == []
    for bad in ({"foreign": 1}, {"unread": 1}, {"stops": [2.1]}, {"broken": ["x"]}, {"strangers": {"x": 200}}):
        assert len(Figures(**{**vars(good), **bad}).failures()) == 1
    for bad in ({"uploads": {"y": (413, 10**9)}}, {"uploads": {"y": (200, 100)}}, {"grown": 0.2}, {"pictures": 0}):
        assert len(Figures(**{**vars(good), **bad}).failures()) == 1


@pytest.mark.slow
def test_windows_at_once_see_their_own_only():
    """Rejects a studio that mixes windows up, lets strangers in, swallows a gigabyte, or whose jobs do not end."""
    figures = load(6, 2, 0.5)
    assert figures.pictures > 6
    assert figures.stops
    figures.grown, figures.stops = 0.0, []  # a few seconds on a busy machine tell nothing of how long that takes
    assert figures.failures() == []
