"""The sweep of architectures: what it finds, on networks small enough to know by heart."""

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch import nn

import pellucid as pc
from benchmarks import zoo
from benchmarks.zoo_models import Case, cases
from benchmarks.zoo_truth import torch_places


class MapNorm(nn.LayerNorm):
    """A LayerNorm whose features are channels, as timm and torchvision have it."""

    def forward(self, maps):
        return super().forward(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Channels(nn.Module):
    """As many channels as rows in one place, so that only the numbers tell them apart; one input channel."""

    zoo_shape = (1, 12, 10)

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3, stride=2)
        self.norm = MapNorm(6)
        self.relu = nn.ReLU(inplace=True)
        self.wide = nn.Conv2d(6, 5, 1)
        self.head = nn.Linear(5, 3)

    def forward(self, images):
        return self.head(self.wide(self.relu(self.norm(self.stem(images)))).mean((2, 3)))


class Folded(nn.Module):
    """Windows in the batch, attention in a tuple, a weight that never runs, and a module that gives no tensor."""

    zoo_shape = (3, 8, 12)

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, stride=4)
        self.window = nn.Linear(8, 7)
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.unused = nn.Linear(2, 2)

    def forward(self, images):
        tokens = self.patch(images).flatten(2).transpose(1, 2)
        windows = self.window(tokens.reshape(-1, 3, 8))
        return self.attend(tokens, tokens, tokens)[0].mean(1), windows.mean()


class Drawn(nn.Module):
    """Shuffles tokens anew in every forward, on the last axis's side of a Linear."""

    zoo_shape = (1, 4, 4)

    def __init__(self):
        super().__init__()
        self.tokens = nn.Linear(4, 5)

    def forward(self, images):
        rows = images[:, 0]
        return self.tokens(rows[:, torch.randperm(4)[:2]])


def examined(kind, open_with=pc.open_model):
    return zoo.examined(Case("own", kind.__name__), make=lambda _: kind(), open_with=open_with)


class Lying:
    """A model that reads two layers' axes the wrong way round, and says nothing of a third."""

    def __init__(self, model, turned=(), hidden=()):
        self._model, self._turned, self._hidden = model, turned, hidden

    @property
    def layers(self):
        return [layer for layer in self._model.layers if layer.name not in self._hidden]

    @property
    def unlisted(self):
        return {}

    @contextmanager
    def reading(self, names):
        with self._model.reading(names) as read:

            def turned(images):
                outputs = read(images)
                for name in self._turned:
                    outputs[name] = replace(
                        outputs[name], pre_activation=None, output=outputs[name].output.transpose(1, 2)
                    )
                return outputs

            yield turned


def test_an_honest_model_has_no_fault():
    """Rejects a sweep that finds fault with everything, and one that takes a LayerNorm of maps for one of rows."""
    result = examined(Channels)
    assert (result.state, result.known, result.bad) == ("opened", 4, False)
    assert result.blocks == 1  # the rectifier, which hands on what the norm gave


def test_units_on_the_wrong_axis_are_found_though_their_number_is_right():
    """Rejects counting alone: `wide` has 5 channels and 5 rows, and the numbers say which of the two is read."""
    result = examined(Channels, lambda *args, **asked: Lying(pc.open_model(*args, **asked), turned=("wide", "relu")))
    assert [(one.path, one.output) for one in result.wrong] == [("wide", (1, 5, 5, 4))]
    assert "other numbers" in result.wrong[0].true
    assert [one.path for one in result.askew] == ["relu"]


def test_a_layer_left_out_without_a_word_is_found():
    """Rejects a sweep that looks at what is listed only."""
    result = examined(Channels, lambda *args, **asked: Lying(pc.open_model(*args, **asked), hidden=("norm", "relu")))
    assert [(one.path, one.kind) for one in result.silent] == [("norm", "MapNorm")]
    assert result.bad


def test_truth_sees_tuples_folded_windows_and_what_never_runs():
    """Rejects a truth that knows tensors with the batch first only, as what it is to judge once did."""
    places = {place.path: place for place in torch_places(Folded(), torch.rand(1, 3, 8, 12))}
    assert {path: place.axis for path, place in places.items()} == {"patch": 1, "window": 2, "attend": 2}
    assert tuple(places["window"].output.shape) == (2, 3, 7)
    assert "unused" not in places


def test_a_module_without_weights_has_the_axis_of_whom_it_serves():
    """Rejects looking at what came before alone: a permutation is seen by the layer that takes its very output."""

    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.turn, self.head, self.pool = nn.Flatten(2), nn.Linear(12, 12), nn.AvgPool1d(2)

        def forward(self, images):
            return self.pool(self.head(self.turn(images)))

    places = {place.path: place for place in torch_places(Turned(), torch.rand(1, 12, 3, 4))}
    assert {path: (place.axis, place.known) for path, place in places.items()} == {
        "turn": (2, False),
        "head": (2, True),
        "pool": (None, False),
    }


def test_windows_come_back_to_their_own_image_in_any_order():
    """Rejects holding a reading against a batch whose windows lie in another order, or images that are mixed up."""
    one, other = (torch.rand(2, 3, 7) for _ in range(2))
    places = [zoo.Place("window", 1, "Linear", windows, 2, True) for windows in (one, other)]
    read = torch.stack([windows.permute(2, 0, 1).flip(1) for windows in (one, other)])
    assert zoo.why_wrong(*places, read) is None
    assert zoo.why_wrong(*places, read.flip(0)) is not None
    assert zoo.why_wrong(*places, read[:, :, :, 1:]) is None  # a token that stands apart
    assert zoo.why_wrong(*places, read.repeat(1, 1, 2, 1)) is not None


def test_what_is_random_is_judged_by_its_width():
    """Rejects calling a model wrong that draws its tokens anew in each forward."""
    result = examined(Drawn)
    assert (result.known, result.wrong) == (1, [])


def test_a_touched_model_is_found():
    """Rejects a sweep that would not see a hook or a changed weight left behind."""

    def careless(module, **asked):
        model = pc.open_model(module, **asked)
        module.stem.register_forward_hook(lambda *_: None)
        with torch.no_grad():
            module.head.bias += 1
        return model

    assert examined(Channels, careless).touched == ["head.bias", "stem, mode, hooks"]


def test_what_cannot_be_made_or_opened_is_said():
    """Rejects a sweep of an hour that dies of one architecture."""

    def broken(_):
        raise RuntimeError("no such network\nand more")

    result = zoo.examined(Case("own", "broken"), make=broken)
    assert (result.state, result.said) == ("not made", "RuntimeError: no such network")
    result = zoo.examined(Case("own", "none", 5), make=lambda _: nn.Sequential(nn.Conv2d(3, 4, 9)))
    assert (result.state, result.said[:10]) == ("refused", "The module")
    assert "refused" in zoo.line(result)
    assert not result.bad


@pytest.mark.parametrize("error", [KeyError("stem"), pc.PellucidError("Layer 'stem' did not run this time.")])
def test_a_model_that_opens_and_cannot_be_read_is_broken(error):
    """Rejects a raw exception that ends the sweep, and one that passes for a refusal."""

    class Unreadable(Lying):
        def reading(self, names):
            raise error

    result = examined(Channels, lambda *args, **asked: Unreadable(pc.open_model(*args, **asked)))
    assert (result.state, result.said, result.bad) == ("broken", repr(error), True)
    assert zoo.line(result).startswith("* own:Channels@64")


def test_the_table_counts_each_library_and_all(capsys, tmp_path, monkeypatch):
    """Rejects a summary that leaves a library out; the exit code says whether all promises were kept."""
    kinds = {"Channels": Channels, "Drawn": Drawn}
    hidden: tuple[str, ...] = ()

    def opened(*args, **asked):
        return Lying(pc.open_model(*args, **asked), hidden=hidden)

    own = [Case("timm", "Channels"), Case("keras", "Drawn")]
    monkeypatch.setattr(zoo, "chosen", lambda only: own)
    monkeypatch.setattr(
        zoo, "alone", lambda case: zoo.examined(case, make=lambda one: kinds[one.name](), open_with=opened)
    )
    monkeypatch.setattr(zoo.os, "cpu_count", lambda: 1)
    assert zoo.main(["--out", str(tmp_path / "new" / "zoo.json")]) == 0
    told = capsys.readouterr().out
    assert "timm:Channels@64" in told
    assert [row.split()[:2] for row in told.splitlines() if row.startswith("all ")] == [["all", "2"]]
    assert (tmp_path / "new" / "zoo.json").read_text().count('"library"') == 2
    hidden = ("head",)
    assert zoo.main(["--out", str(tmp_path / "zoo.json")]) == 1
    assert "silent: timm Linear: 1" in capsys.readouterr().out


def test_at_least_150_architectures_and_unknown_ones_are_named():
    """Rejects a sweep that has shrunk, and a misspelled name that quietly examines nothing."""
    every = list(cases())
    assert len(every) == len(set(map(str, every))) >= 150
    assert [str(case) for case in zoo.chosen(["timm:resnet10t"])] == ["timm:resnet10t"]
    with pytest.raises(SystemExit, match="no 'timn'"):
        zoo.chosen(["timn"])
