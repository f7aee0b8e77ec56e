"""The benchmark beside other libraries: what happens without them, and that the write-up's way is done rightly."""

import argparse
import sys

import numpy as np
import torch

import pellucid as pc
from benchmarks import believe, bench_peers, peers
from benchmarks.inception import inception
from pellucid.learn.network import Network
from pellucid.see.dataset.activations import answers
from pellucid.see.optimize.penalties import total_variation


def test_a_peer_that_cannot_be_imported_is_a_row_that_says_so(monkeypatch):
    """Rejects a benchmark that dies with its first rival."""
    monkeypatch.setitem(sys.modules, "lucent", None)
    monkeypatch.setitem(sys.modules, "lucent.optvis", None)
    row = bench_peers.maps_row(pc.open_model("mnist-cnn"), "Lucent", peers.lucent_maps, 512)
    assert row.ratio is None
    assert "Lucent cannot be imported" in row.notes["left out"]
    assert "Lucent cannot be imported" in bench_peers.inception_row().notes["left out"]


def test_the_module_for_peers_sees_what_ours_sees():
    """Rejects rivals that maximize another function: the module for images in [0, 1] says what our model says."""
    model = pc.open_model("mnist-cnn")
    module, name = peers.for_images(model.network, "conv3")
    assert dict(module.named_modules())[name.replace("_", ".")] is module.body[-1]
    images = np.random.default_rng(0).random((3, 1, 28, 28), dtype=np.float32)
    with torch.no_grad():
        theirs = module(torch.from_numpy(images)).mean((2, 3)).numpy()
    np.testing.assert_allclose(answers(model, ["conv3"], model.scaling.apply(images))["conv3"], theirs, atol=1e-4)


def test_the_variation_of_numpy_is_ours():
    """Rejects a rival with another penalty: its gradient is that of our total variation."""
    picture = np.random.default_rng(1).random((5, 7))
    given = torch.from_numpy(picture)[None, None].requires_grad_(True)
    (wanted,) = torch.autograd.grad(total_variation(given).sum(), given)
    np.testing.assert_allclose(bench_peers.variation(picture), wanted[0, 0], atol=1e-5)


def test_numpy_maximizes_the_unit():
    """Rejects a backward pass with layers in the wrong order: without penalties the activation rises as ours does."""
    net = Network("mlp-deep", seed=0)
    model = pc.open_model(net)
    weights = [
        (net.parameters[f"dense{n}.weight"].astype(float), net.parameters[f"dense{n}.bias"].astype(float))
        for n in (1, 2)
    ]
    start = np.random.default_rng(2).random((1, 28, 28), dtype=np.float32)
    asked = {"preset": "mlp-deep", "silent_restarts": 0, "tv": 0, "l1": 0, "steps": 4, "start": start}
    unit = int(answers(model, ["dense2"], start[None])["dense2"].argmax())
    ours = pc.patterns(model, "dense2", units=[unit], **asked).images[0]
    theirs = bench_peers.written_up(weights, start[0], unit, steps=4, tv=0, l1=0).reshape(1, 28, 28)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_inception_has_its_size():
    """Rejects a network of another size under that name: 5.98 million weights of convolutions, 512 channels in 4c."""
    module = inception()
    count = sum(p.numel() for n, p in module.named_parameters() if not n.startswith("logits") and n.endswith("weight"))
    assert 5.9e6 < count < 6.0e6
    model = pc.open_model(module, input_shape=(3, 64, 64))
    assert model.layer("mixed4c").units == 512


def test_steps_take_as_long_as_the_first_way(monkeypatch):
    """Rejects seconds of all pictures for those of one, and what is done once for what is done at every step."""
    now = [0.0]
    monkeypatch.setattr(believe.time, "process_time", lambda: now[0])

    def make(layer, units, least, seed, steps):
        now[0] += len(units) * (3.0 + 0.5 * steps)

    assert believe.steps_for(make, "logits", [4, 5, 6], 13.0) == 20
    assert believe.steps_for(make, "logits", [4, 5, 6], 1.0) == 1


def test_the_page_names_what_is_left_out(tmp_path):
    """Rejects a page that dies with a rival, and a row without its numbers."""
    there = believe.Row("natural", None, 2.0, np.array([0.1, 0.2]), {"efficientnet-lite1 top-1": np.array([0.5, 1.0])})
    there.inner = dict.fromkeys(("afc", "afc_real", "afc_noise", "robust", "high"), (0.75, 0.01))
    chosen = argparse.Namespace(classes=2, units=3, seeds=1, variants=1, side=96, layer="blocks.10", draw=20)
    text = believe.page([there, believe.Row("Lucent", missing="not installed")], np.array([1, 2]), chosen, "python")
    assert "| natural | default | 2.00 | 0.75 | 0.15 |" in text
    assert "| natural | 0.750 &pm; 0.010 |" in text
    assert "Lucent is left out: not installed." in text
