"""The short way uphill, beside the general one through autograd."""

import numpy as np
import pytest
import torch

from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError
from pellucid.learn import team
from pellucid.learn.instructions import FUNCTION
from pellucid.learn.layers import Conv, Dense, Flatten, Pool
from pellucid.learn.network import Network
from pellucid.see import compiled
from pellucid.see.ascent import Adam, Gradient, Normalized, Power
from pellucid.see.climbing import Limits, climb, values_of
from pellucid.see.images import Box, Sphere, sphere_of
from pellucid.see.models import open_model
from pellucid.see.objectives import Others, Units
from pellucid.see.penalties import Penalties

JOBS = 7


def network(scaling: str = "standardized") -> Network:
    layers = [Conv(6, 3), Pool(2), Conv(17, (2, 3), padding="same"), Pool(2), Conv(5, 2), Flatten(), Dense(9)]
    net = Network([*layers, Dense(4, "linear")], input_shape=(2, 15, 18), scaling=scaling, seed=3)
    net.parameters["conv3.bias"][:] = -1  # so that some units begin silent
    net.parameters["dense.bias"][::2] = -1
    return net


def starts(count: int = JOBS) -> torch.Tensor:
    return torch.randn(count, 2, 15, 18, generator=torch.Generator().manual_seed(1))


def climbed(net, layer="conv3", rule=None, steps=5, count=JOBS, units=None, space=None, limits=None, goal=None, **more):
    model = open_model(net)
    space = sphere_of(model) if space is None else space
    units = torch.arange(count) % model.layer(layer).units if units is None else units
    goal = Units(layer, units) if goal is None else goal
    limits = Limits(steps) if limits is None else limits
    begun = space.begun(starts(count))
    with model.reading([layer]) as read:
        return climb(read, goal, space, Power(steps) if rule is None else rule, begun, limits, **ROWS, **more)


ROWS = {"rows": 128, "grain": 16}


@pytest.mark.parametrize("scaling", ["standardized", "unit"])
@pytest.mark.parametrize("rule", [Power(4, 5.0, 0.1), Normalized(0.05)])
@pytest.mark.parametrize("layer", ["conv1", "conv3", "dense", "logits"])
def test_both_ways_lead_to_the_same(layer, rule, scaling, monkeypatch):
    """Rejects a gradient that a clipped pixel passes, a silent unit left to lie, a direction that forgets, and a film
    that is black where the climb was over."""
    net, told = network(scaling), []
    found = climbed(net, layer, rule, moments=(0, 2, 5, 9), advance=told.append)
    monkeypatch.setattr(compiled, "climb", lambda *_: None)
    expected = climbed(net, layer, rule, moments=(0, 2, 5, 9))
    assert float((found.history[:, 1:] != found.history[:, :1]).float().mean()) > 0.2
    for name in ("history", "values", "images", "film"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), atol=2e-4, rtol=2e-3)
    assert torch.equal(found.steps, expected.steps)
    assert found.moments == expected.moments
    assert sum(told) == 6 * JOBS


def test_without_a_film_there_is_none():
    """Rejects pictures of no moments that cannot be given a shape."""
    found = climbed(network(), "conv3")
    assert found.film.shape == (0, *found.images.shape)


PENALTIES = [
    None,
    Penalties(tv=0.01, l1=0.003, relative=False),
    Penalties(tv=0.3, l1=0.2, l2=0.4),
]


@pytest.mark.parametrize("scaling", ["unit", "own"])
@pytest.mark.parametrize("image", ["sphere", "box"])
@pytest.mark.parametrize("rule", [Gradient(3.0), Normalized(0.3)])
@pytest.mark.parametrize("penalties", PENALTIES)
def test_boxes_and_penalties_lead_to_the_same(penalties, rule, image, scaling, monkeypatch):
    """Rejects a border that differs from the penalty's own, one that is held against what is clipped, and a bare value
    that is less than what the unit says."""
    net = network("unit")
    if scaling == "own":
        net.scaling = Scaling("mean-deviation", np.float32([[[0.2]], [[0.6]]]), np.float32([[[0.1]], [[0.4]]]))
    model = open_model(net)
    space = Box(model.scaling) if image == "box" else sphere_of(model)
    taken = []
    way = compiled.climb
    monkeypatch.setattr(compiled, "climb", lambda *given: taken.append(way(*given)) or taken[-1])
    found = climbed(net, "conv2", rule, space=space, penalties=penalties)
    assert taken[0] is not None
    monkeypatch.setattr(compiled, "climb", lambda *_: None)
    expected = climbed(net, "conv2", rule, space=space, penalties=penalties)
    assert float((found.history[:, 1:] != found.history[:, :1]).float().mean()) > 0.2
    for name in ("history", "values", "images"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), atol=1e-3, rtol=2e-3)
    goal = Units("conv2", torch.arange(len(found.images)))
    with open_model(net).reading(["conv2"]) as read:
        said = values_of(read, goal, found.images, rows=64, grain=1)
    torch.testing.assert_close(found.bare, said, atol=1e-5, rtol=1e-5)


def test_a_pixel_beyond_its_box_is_drawn_back_by_penalties_alone():
    """Rejects a gate that penalties do not pass either."""
    net, model = network("unit"), open_model(network("unit"))
    with model.reading(["conv2"]) as read:
        begun = torch.full((1, 2, 15, 18), 1.5)
        begun[..., ::2] = -0.5
        goal, space, limits = Units("conv2", torch.tensor([1])), Box(model.scaling), Limits(1)
        given = (goal, space, Gradient(1.0), begun, limits)
        found = climb(read, *given, **ROWS, penalties=Penalties(l1=0.1, relative=False), moments=(1,))
    assert net.input_shape == (2, 15, 18)
    torch.testing.assert_close(found.history[0, 1] - found.history[0, 0], torch.tensor(0.1 * 0.1 * 540))


@pytest.mark.parametrize("layer", ["conv2", "dense"])
def test_the_last_image_is_kept_if_it_is_wanted(layer, monkeypatch):
    """Rejects the best of all moments in its place, in either way."""
    net, limits = network(), Limits(5, latest=True)
    found = climbed(net, layer, Normalized(3.0), limits=limits, moments=(5,))
    monkeypatch.setattr(compiled, "climb", lambda *_: None)
    for way in (found, climbed(net, layer, Normalized(3.0), limits=limits, moments=(5,))):
        assert torch.equal(way.images, way.film[0])
        assert torch.equal(way.values, way.history[:, 5])
        assert (way.history.max(1).values > way.values).any()


def test_members_of_a_team_share_the_products_of_a_dense_network(monkeypatch):
    """Rejects panels that a team leaves out, or does before those of the layer below are done."""
    layers = [Flatten(), Dense(400), Dense(300), Dense(260), Dense(4, "linear")]
    net = Network(layers, input_shape=(2, 15, 18), scaling="unit", seed=1)
    found = []
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("PELLUCID_THREADS", threads)
        found.append(climbed(net, "dense3", Gradient(0.5), steps=20, space=Box(Scaling("unit"))))
    for other in found[1:]:
        assert torch.equal(other.history, found[0].history)
        assert torch.equal(other.images, found[0].images)
    monkeypatch.setattr(compiled, "climb", lambda *_: None)
    expected = climbed(net, "dense3", Gradient(0.5), steps=20, space=Box(Scaling("unit")))
    torch.testing.assert_close(found[0].history, expected.history, atol=1e-4, rtol=1e-3)


def _nap(numbers, board, kind):
    """An instruction that says a member of the team fell asleep."""
    places = team.board_at(board)
    if len(places) > 0:
        places[team.ASLEEP] += 1


def test_a_climb_goes_on_where_it_came_back_to_call_the_team(monkeypatch):
    """Rejects moments that are left out or climbed twice, and waiting for members that nobody calls."""
    net = Network([Flatten(), Dense(400), Dense(4, "linear")], input_shape=(2, 15, 18), scaling="unit", seed=1)
    asked = {"rule": Normalized(0.5), "steps": 6, "space": Box(Scaling("unit")), "moments": (0, 3, 6)}
    expected, came = climbed(net, "logits", **asked), []

    def drowsy(*given) -> compiled.Program:
        program = compiled_program(*given)
        nap = np.zeros_like(program.forward[:1])
        nap[0, FUNCTION] = team.compiled(_nap, np.float32)
        program.forward = np.concatenate([program.forward, nap])
        return program

    def counted(*given) -> tuple[int, int]:
        came.append(climb_shard(*given))
        return came[-1]

    compiled_program, climb_shard = compiled.Program, compiled.climb_shard
    monkeypatch.setenv("PELLUCID_THREADS", "2")
    monkeypatch.setattr(compiled, "Program", drowsy)
    monkeypatch.setattr(compiled, "climb_shard", counted)
    monkeypatch.setattr(counted, "signatures", climb_shard.signatures, raising=False)
    found = climbed(net, "logits", **asked)
    assert [reached for reached, _ in came] == [0, 1, 2, 3, 4, 5, 6, 7]
    for name in ("history", "images", "film"):
        assert torch.equal(getattr(found, name), getattr(expected, name))


def test_silent_units_are_woken():
    """Rejects climbing the zero that a silent unit says, and leaving out what lies beneath it."""
    found = climbed(network(), "conv3", Normalized(0.1), steps=40)
    silent = found.history[:, 0] == 0
    assert silent.any()
    assert (found.values[silent] > 0).any()


@pytest.mark.parametrize("threads", ["1", "2", "3"])
@pytest.mark.parametrize("layer", ["conv3", "dense"])
def test_an_image_comes_out_the_same_in_any_shard(layer, threads, monkeypatch):
    """Rejects sums over a shard, and shards whose borders follow from the number of threads and show."""
    net = network()
    monkeypatch.setenv("PELLUCID_THREADS", threads)
    many = climbed(net, layer, count=70)
    for job in (0, 33, 69):
        monkeypatch.setattr(compiled, "MOST", 5)
        several = climbed(net, layer, count=70)
        np.testing.assert_array_equal(several.images[job].numpy(), many.images[job].numpy())
    units, begun = torch.arange(70)[33:34] % network().shapes[layer][0], starts(70)[33:34]
    model = open_model(net)
    with model.reading([layer]) as read:
        alone = climb(read, Units(layer, units), Sphere(), Power(5), Sphere().begun(begun), Limits(5), **ROWS)
    np.testing.assert_array_equal(alone.images[0].numpy(), many.images[33].numpy())
    np.testing.assert_array_equal(alone.history[0].numpy(), many.history[33].numpy())


def test_who_watches_is_told_of_every_moment():
    """Rejects images that have moved on already, and moments told in bundles."""
    told = []
    found = climbed(network(), watch=lambda *moment: told.append(moment), moments=(0, 3, 5))
    assert [int(steps[0]) for _, steps, _, _ in told] == [0, 1, 2, 3, 4, 5]
    for shot, moment in enumerate((0, 3, 5)):
        job, _, images, values = told[moment]
        assert job.tolist() == list(range(JOBS))
        torch.testing.assert_close(images, found.film[shot])
        torch.testing.assert_close(values, found.history[:, moment])


def test_who_watches_may_end_it():
    """Rejects an exception that a thread swallows."""

    def enough(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        climbed(network(), watch=enough)


@pytest.mark.parametrize(("name", "number"), [("conv1.weight", np.nan), ("conv3.weight", 3e38)])
def test_what_is_no_number_ends_it_with_a_sentence(name, number):
    """Rejects NaN kept as the best of all images."""
    net = network()
    net.parameters[name][:] = number
    with pytest.raises(PellucidError, match=r"NaN or infinity; check"):
        climbed(net)


def test_what_it_cannot_do_goes_the_general_way(monkeypatch):
    """Rejects a short cut that takes every job and leaves out what it does not know."""
    net, taken = network(), []
    way = compiled.climb
    monkeypatch.setattr(compiled, "climb", lambda *given: taken.append(way(*given)) or taken[-1])
    units = torch.arange(JOBS) % 5
    climbed(net, units=torch.tensor([-1] * JOBS))
    climbed(net, rule=Adam())
    climbed(net, limits=Limits(5, tolerance=0.01))
    climbed(net, goal=Units("conv3", units) - 0.5 * Others("conv3", units))
    climbed(net, layer="pool1")
    climbed(net, penalties=Penalties(blur=0.1))
    climbed(net, space=Box(Scaling("standardized")))
    assert taken == [None] * 7
    climbed(net)
    assert taken[-1] is not None


def test_a_scaling_of_ones_own_is_clipped_to_black_and_white(monkeypatch):
    """Rejects limits of the first channel for all of them."""
    net = network()
    net.scaling = Scaling("mean-deviation", np.float32([[[0.2]], [[0.6]]]), np.float32([[[0.1]], [[0.4]]]))
    space = sphere_of(open_model(net))
    assert space.low is not None
    found = climbed(net, "conv1", Power(5), space=space)
    assert (found.images >= space.low).all()
    assert (found.images == space.low)[:, 0].any()
    monkeypatch.setattr(compiled, "climb", lambda *_: None)
    torch.testing.assert_close(
        found.history, climbed(net, "conv1", Power(5), space=space).history, atol=1e-3, rtol=1e-2
    )
