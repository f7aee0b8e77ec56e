"""Unit axes: whatever a module gives, its units are found where its own arithmetic has them."""

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.errors import PellucidError
from pellucid.see.models.open import open_model
from pellucid.see.models.unit_axis import PROBED, images_by_change
from pellucid.see.patterns.api import patterns

SHAPE = (3, 16, 24)  # not square: 4 x 6 patches of 4


def answers(model, layer, images):
    with model.reading([layer]) as read, torch.no_grad():
        return read(images)[layer]


class ChannelNorm(nn.LayerNorm):
    """A LayerNorm over the channels of a map (batch, channel, height, width), as several libraries write it."""

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Permute(nn.Module):
    def __init__(self, *axes):
        super().__init__()
        self.axes = axes

    def forward(self, x):
        return x.permute(self.axes).contiguous()


class NextBlock(nn.Module):
    """ConvNeXt's: a norm and two linear layers with the channels last, a scale for each channel, a residual."""

    def __init__(self, width):
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, groups=width),
            Permute(0, 2, 3, 1),
            nn.LayerNorm(width),
            nn.Linear(width, 320),
            nn.GELU(),
            nn.Linear(320, width),
            Permute(0, 3, 1, 2),
        )
        self.scale = nn.Parameter(torch.full((width, 1, 1), 0.5))

    def forward(self, x):
        return x + self.scale * self.block(x)


class Next(nn.Module):
    def __init__(self, width=6):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 4, 4)
        self.norm = ChannelNorm(width)
        self.stage = nn.Sequential(NextBlock(width))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(width, 5)

    def forward(self, x):
        return self.head(self.pool(self.stage(self.norm(self.stem(x)))).flatten(1))


@pytest.mark.parametrize("width", [6, 4, 5])  # as long as the map is wide, or high, or neither
def test_channels_last_blocks_have_their_neurons_as_units(width):
    """Rejects axis 1 for whatever has four axes, the axis by its length alone where two are as long, and by the type
    of a norm that permutes."""
    torch.manual_seed(0)
    model = open_model(Next(width), input_shape=SHAPE)
    shapes = {layer.name: layer.shape for layer in model.layers}
    for name in ("stem", "norm", "stage.0.block.0", "stage.0.block.1", "stage.0.block.2", "stage.0.block.6", "stage.0"):
        assert shapes[name] == (width, 4, 6), name
    assert shapes["stage.0.block.3"] == shapes["stage.0.block.4"] == (320, 4, 6)
    images = torch.rand(2, *SHAPE)
    stem = answers(model, "stem", images).output
    torch.testing.assert_close(answers(model, "stage.0.block.1", images).output.shape, stem.shape)
    inner = answers(model, "stage.0.block.6", images).output
    torch.testing.assert_close(
        answers(model, "stage.0", images).output, answers(model, "norm", images).output + 0.5 * inner
    )
    assert not any(layer.guessed for layer in model.layers)


def test_a_neuron_far_in_a_linear_layer_has_its_pattern():
    """Rejects rows of the map as units, of which there are 4 and not 320: neuron 300 answers as the module does."""
    torch.manual_seed(0)
    module = Next().eval()
    model = open_model(module, input_shape=SHAPE)
    found = patterns(model, "stage.0.block.3", units=[300], steps=3, seed=0)
    seen = []
    handle = module.stage[0].block[3].register_forward_hook(lambda *call: seen.append(call[2]))
    with torch.no_grad():
        module(torch.from_numpy(found.images))
    handle.remove()
    np.testing.assert_allclose(found.activations, seen[0][..., 300].mean((1, 2)), rtol=1e-4)


class Tokens(nn.Module):
    """A vision transformer of one block: CLS and two registers before 4 x 6 patches."""

    def __init__(self, first=True, extra=3, fold=1, interleaved=False):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.extra = nn.Parameter(torch.randn(1, extra, 8)) if extra else None
        self.table = nn.Embedding(2, 8)
        self.norm = nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=first)
        self.up = nn.Linear(8, 12)
        self.act = nn.GELU()
        self.head = nn.Linear(12, 5)
        self.first, self.fold, self.interleaved = first, fold, interleaved

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2) + self.table(torch.zeros(1, dtype=torch.int64))
        if self.extra is not None:
            x = torch.cat([self.extra.expand(len(x), -1, -1), x], 1)
        batch, tokens, width = x.shape
        if self.interleaved:  # windows before images
            x = x.reshape(batch, self.fold, -1, width).transpose(0, 1).reshape(batch * self.fold, -1, width)
        elif self.fold > 1:
            x = x.reshape(batch * self.fold, -1, width)
        x = x if self.first else x.transpose(0, 1)
        x = self.norm(x)
        x = x + self.attention(x, x, x)[0]
        x = self.act(self.up(x))
        x = x if self.first else x.transpose(0, 1)
        if self.interleaved:
            x = x.reshape(self.fold, batch, -1, 12).transpose(0, 1)
        return self.head(x.reshape(batch, tokens, 12).mean(1))


@pytest.mark.parametrize("first", [True, False])
def test_tokens_of_patches_are_a_map_with_the_others_before_it(first):
    """Rejects a mean over CLS and registers, tokens as units, the batch taken for tokens where the sequence is first,
    and attention left out because it gives a tuple."""
    torch.manual_seed(0)
    module = Tokens(first).eval()
    model = open_model(module, input_shape=SHAPE)
    shapes = {layer.name: (layer.shape, layer.prefix) for layer in model.layers}
    assert shapes["norm"] == shapes["attention"] == ((8, 4, 6), 3)
    assert shapes["up"] == shapes["act"] == ((12, 4, 6), 3)
    seen = []
    handle = module.act.register_forward_hook(lambda *call: seen.append(call[2] if first else call[2].transpose(0, 1)))
    images = torch.rand(3, *SHAPE)
    with torch.no_grad():
        module(images)
    handle.remove()
    reading = answers(model, "act", images)
    torch.testing.assert_close(reading.output, seen[0][:, 3:].transpose(1, 2).reshape(3, 12, 4, 6))
    torch.testing.assert_close(reading.prefix, seen[0][:, :3].transpose(1, 2))
    torch.testing.assert_close(reading.unit_means, seen[0][:, 3:].mean(1))
    assert model.unlisted == {"table": "its output cannot be told apart by image", **model.unlisted}
    assert "attention.out_proj" in model.unlisted


@pytest.mark.parametrize("interleaved", [False, True])
def test_windows_folded_into_the_batch_are_unfolded(interleaved):
    """Rejects leaving folded layers out, and windows of one image read as those of another."""
    torch.manual_seed(0)
    module = Tokens(extra=0, fold=4, interleaved=interleaved)
    model = open_model(module, input_shape=SHAPE)
    assert {layer.name: layer.shape for layer in model.layers}["up"] == (12, 4, 6)  # windows x tokens
    images = torch.rand(3, *SHAPE)
    one = answers(model, "up", images[1:2]).output
    torch.testing.assert_close(answers(model, "up", images).output[1:2], one)


def test_one_token_can_be_asked_for():
    """Rejects a token counted from the patches, a place that is passed over, and one that is not there."""
    torch.manual_seed(0)
    module = Tokens().eval()
    model = open_model(module, input_shape=SHAPE)
    seen = []
    for place, token in (("cls", 0), (2, 2), (5, 5), ((1, 2), 3 + 8)):
        found = patterns(model, "act", units=[7], at=place, steps=1, seed=0)
        handle = module.act.register_forward_hook(lambda *call: seen.append(call[2]))
        with torch.no_grad():
            module(torch.from_numpy(found.images))
        handle.remove()
        assert found.activations[0] == pytest.approx(float(seen[-1][0, token, 7]), rel=1e-4)
    for place in ((4, 0), 27, (1, 2, 3)):
        with pytest.raises(PellucidError, match=r"There is no place .* 4 x 6 positions, 3 more before them"):
            patterns(model, "act", units=[7], at=place, steps=1)
    with pytest.raises(PellucidError, match="row and a column"):
        patterns(model, "act", units=[7], at="first", steps=1)
    with pytest.raises(PellucidError, match="There is no place cls"):
        patterns(model, "patches", units=[7], at="cls", steps=1)
    with pytest.raises(PellucidError, match="There is no place cls in the layer's maps of no positions"):
        patterns(model, "head", units=[2], at="cls", steps=1)


def test_a_planted_patch_is_found_at_its_cell():
    """Rejects rows for columns: a unit that answers to white patches is largest where the white patch is."""
    module = Tokens(extra=1)
    with torch.no_grad():
        module.patches.weight[3] = 1.0
    module.attention = Permute(0, 1, 2)
    module.forward = lambda x: module.head(module.up(module.norm(_with_cls(module, x))).mean(1))
    model = open_model(module, input_shape=SHAPE)
    image = torch.zeros(1, *SHAPE)
    image[:, :, 4:8, 16:20] = 1  # row 1, column 4
    map_of_unit = answers(model, "norm", image).output[0, 3]
    assert divmod(int(map_of_unit.argmax()), 6) == (1, 4)


def _with_cls(module, x):
    patches = module.patches(x).flatten(2).transpose(1, 2)
    return torch.cat([module.extra.expand(len(x), -1, -1), patches], 1)


class Sounds(nn.Module):
    """A Conv1d over rows of pixels, an LSTM, and outputs in a dict."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(16, 5, 3)
        self.norm = nn.BatchNorm1d(5)
        self.lstm = nn.LSTM(5, 7, batch_first=True)
        self.out = nn.ModuleDict({"mean": nn.Linear(7, 2)})
        self.wrap = Named()
        self.unused = nn.Linear(2, 2)

    def forward(self, x):
        x = self.norm(self.conv(x.mean(1)))
        x, _ = self.lstm(x.transpose(1, 2))
        return self.wrap(self.out["mean"](x[:, -1]))


class Named(nn.Module):
    def forward(self, x):
        return {"count": torch.tensor(len(x)), "logits": x}


def test_sequences_tuples_and_dicts_are_read_and_what_is_not_is_named():
    """Rejects time steps as the units of a Conv1d, an LSTM or a dict left out, and a module that never ran unsaid."""
    model = open_model(Sounds(), input_shape=SHAPE)
    shapes = {layer.name: layer.shape for layer in model.layers}
    assert shapes == {"conv": (5, 22), "norm": (5, 22), "lstm": (7, 22), "out.mean": (2,), "wrap": (2,)}
    assert list(model.unlisted) == ["unused"]
    assert "does not run" in model.unlisted["unused"]


def test_a_first_linear_layer_has_its_neurons_as_units():
    """Rejects one unit for a layer on (1, 1, 784)."""
    model = open_model(nn.Sequential(nn.Linear(784, 16), nn.ReLU(), nn.Flatten()), input_shape=(1, 1, 784))
    assert [layer.shape for layer in model.layers] == [(16, 1, 1), (16, 1, 1), (16,)]


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.weights = nn.Softmax(-1)

    def forward(self, x):
        x = self.patches(x).flatten(2).unflatten(1, (2, 4))
        return self.weights(x.transpose(2, 3) @ x)


def test_heads_are_asked_for_and_a_guess_is_said_to_be_one():
    """Rejects a guess that looks like knowledge, and an axis asked for that is not taken."""
    model = open_model(Heads(), input_shape=SHAPE)
    assert (model.layer("weights").shape, model.layer("weights").guessed) == ((2, 24, 24), True)
    other = open_model(Heads(), input_shape=SHAPE, units_axis={"wei*": -1})
    assert (other.layer("weights").shape, other.layer("weights").guessed) == ((24, 2, 24), False)
    found = patterns(other, "weights", units=[5], at=(1, "all"), steps=1)
    assert found.activations[0] == pytest.approx(1 / 24, abs=0.05)
    with pytest.raises(PellucidError, match=r"units_axis has 0 for 'weights'.*images along axis 0"):
        open_model(Heads(), input_shape=SHAPE, units_axis={"weights": 0})
    with pytest.raises(PellucidError, match=r"no layer for units_axis called 'wieghts'; choose one of .*'weights'"):
        open_model(Heads(), input_shape=SHAPE, units_axis={"wieghts": -1})


def test_images_are_found_by_what_changes_with_them():
    """Rejects the first axis that has the right length, and rounding taken for a change."""
    one, other = torch.rand(2, 3, 5).repeat(2, 1, 1), torch.rand(2, 3, 5)
    changed = one.clone()
    changed[2:] = other
    assert (found := images_by_change(one, changed)) is not None
    assert (found.axis, found.fold, found.interleaved) == (0, 2, False)
    changed = one.clone()
    changed[1::2] = other
    assert (found := images_by_change(one, changed + 1e-6)) is not None
    assert (found.fold, found.interleaved) == (2, True)
    assert images_by_change(one, one) is None
    assert images_by_change(one[:0], one[:0]) is None  # a detector that found nothing
    assert PROBED == 2


def test_weights_are_found_between_layers_with_their_channels_last():
    """Rejects a disturbance along the rows of such a map, of which there are fewer than units."""
    model = open_model(Next(), input_shape=SHAPE)
    weights = model.weights_between("stage.0.block.2", "stage.0.block.3")
    assert weights is not None
    assert weights.shape == (320, 6)
    assert model.weights_between("stage.0.block.0", "stage.0.block.5") is None


class Deep(nn.Module):
    """Many blocks of many layers, with what hands on its input."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(
            *[
                nn.Sequential(nn.Conv2d(3, 3, 1), nn.Identity(), nn.Dropout(0.1), nn.ZeroPad2d(0), nn.ReLU())
                for _ in range(40)
            ]
        )

    def forward(self, x):
        return self.blocks(x)


def test_a_model_of_many_layers_is_listed_by_its_blocks():
    """Rejects two hundred lines, identities among them, and a block that cannot be looked into."""
    model = open_model(Deep(), input_shape=SHAPE)
    lines = str(model).splitlines()
    assert len(lines) == 2 + 41 + 1
    assert lines[-1] == "200 more layers are not shown; name one to see what is inside it, or ask for all."
    inside = model.listing("blocks.3").splitlines()
    assert [line.split()[0] for line in inside[2:-1]] == ["blocks.3.0", "blocks.3.4", "blocks.3"]
    assert len(model.listing(everything=True).splitlines()) == 2 + 241
    with pytest.raises(PellucidError, match=r"layer 'blocks\.40'"):
        model.listing("blocks.40")


def test_a_listing_says_what_was_left_out_and_what_was_guessed():
    """Rejects silence on either."""
    assert "table: its output cannot be told apart by image" in str(open_model(Tokens(), input_shape=SHAPE))
    assert "8 x 4 x 6 + 3" in str(open_model(Tokens(), input_shape=SHAPE))
    assert "2 x 24 x 24 ?" in str(open_model(Heads(), input_shape=SHAPE))
    assert "set units_axis" in str(open_model(Heads(), input_shape=SHAPE))


def test_a_negative_unit_is_not_dead():
    """Rejects "dead" for whatever is not positive: no rectifier holds this one at zero."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(15, 2), nn.ReLU())
    with torch.no_grad():
        module[1].weight.mul_(0.01)
        module[1].bias.fill_(-5)
    model = open_model(module, input_shape=(1, 3, 5))
    below, rectified = patterns(model, "1", steps=2), patterns(model, "2", steps=2, silent_restarts=0)
    assert not below.dead.any()
    assert (below.activations < -4).all()
    assert rectified.dead.all()


class Shared(nn.Module):
    """A submodule that is registered at two places, and a parameter that two submodules share."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=1)
        self.again = nn.Sequential(self.first)
        self.tied = nn.Conv2d(3, 3, 3, padding=1)
        self.tied.weight = self.first.weight

    def forward(self, x):
        return self.tied(self.again(x))


def test_a_submodule_registered_twice_keeps_its_parameters():
    """Rejects weights swapped twice, after which a plain tensor stands where the parameter was."""
    module = Shared()
    before = dict(module.named_parameters(remove_duplicate=False))
    model = open_model(module, input_shape=SHAPE)
    images = torch.rand(2, *SHAPE)
    torch.testing.assert_close(answers(model, "tied", images).output, module(images))
    assert isinstance(module.first.weight, nn.Parameter)
    after = dict(module.named_parameters(remove_duplicate=False))
    assert before.keys() == after.keys()
    assert all(after[name] is one for name, one in before.items())


class Response(nn.Module):
    """A norm of a person's own, over the last axis, on a map of one position."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, 1, width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x):
        return self.weight * x + self.bias


class Gate(nn.Module):
    """Half of the features times a mixture of the tokens of the other half, as in gMLP."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(24, 24)

    def forward(self, x):
        kept, other = x.chunk(2, -1)
        return kept * self.mix(other.transpose(1, 2)).transpose(1, 2)


class Parts(nn.Module):
    def __init__(self):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.own = Response(3)
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.gate = Gate()

    def forward(self, x):
        self.own(self.pool(x).permute(0, 2, 3, 1))
        return self.gate(self.patches(x).flatten(2).transpose(1, 2))


def test_units_are_found_where_lengths_mislead():
    """Rejects an axis of one number for a norm of one's own, and tokens that were mixed for the units of a gate."""
    torch.manual_seed(0)
    shapes = {layer.name: layer.shape for layer in open_model(Parts(), input_shape=SHAPE).layers}
    assert shapes["own"] == (3, 1, 1)
    assert shapes["gate.mix"] == (24, 4)
    assert shapes["gate"] == (4, 4, 6)
