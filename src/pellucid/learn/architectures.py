"""Architectures: a name -> layers, input scaling, initialization, and the training settings that suit it.

Each is a file in presets/, as anyone may write one (io/config.py); its first line says what it is.
"""

from collections.abc import Sequence
from pathlib import Path

from pellucid.learn.io.config import Architecture, read_architecture
from pellucid.learn.layers import Layer

PRESETS = Path(__file__).parent / "presets"
NAMES = ("mlp-deep", "cnn-4-4-8-16", "mnist-cnn", "mnist-robust", "cnn-modern", "resnet-8", "mlp-70-30")
ARCHITECTURES: dict[str, Architecture] = {name: read_architecture(PRESETS / f"{name}.toml") for name in NAMES}


def layer_names(layers: Sequence[Layer]) -> tuple[str, ...]:
    """A name for each layer: conv1, pool1, conv2, ..., flatten, dense (dense1, dense2, ... if several), logits.

    The last layer is the logits; layers of which networks have many are counted even if there is one.
    """
    counts: dict[str, int] = {}
    hidden = sum(layer.kind == "dense" for layer in layers[:-1])
    names = []
    for layer in layers[:-1]:
        counts[layer.kind] = counts.get(layer.kind, 0) + 1
        alone = layer.kind in ("flatten", "groups", "global_pool") or (layer.kind == "dense" and hidden == 1)
        numbered = not alone or counts[layer.kind] > 1
        names.append(f"{layer.kind}{counts[layer.kind]}" if numbered else layer.kind)
    return (*names, "logits")
