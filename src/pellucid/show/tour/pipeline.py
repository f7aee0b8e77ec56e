"""Pipeline: the stages of a tour in their order -> its results, its page and its patterns.

Everything heavy (PyTorch, Numba, matplotlib) is imported with this module, which `tour.py` does as the first stage.
"""

import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32

from pellucid.data.photos import bundled_photo
from pellucid.data.splits import Data
from pellucid.learn.metrics import evaluate
from pellucid.learn.network import Network
from pellucid.progress import StageTimer
from pellucid.see.dream.dream import Dream, dream
from pellucid.see.models.base import Model
from pellucid.see.models.open import open_model
from pellucid.see.patterns.api import Patterns
from pellucid.show.sprites import data_uri
from pellucid.show.tour import images, stages
from pellucid.show.tour.page import render_page
from pellucid.show.tour.stages import Facts

MODEL = "mnist-robust"
PHOTO_SIZE = 640  # the bundled photograph as it is
LIBRARIES = ("pellucid", "numpy", "numba", "torch", "scikit-learn", "pillow", "matplotlib")


def run_stages(
    images: Data, seed: int, clock: StageTimer, *, command: str
) -> tuple[Facts, str, dict[str, Float32[np.ndarray, "unit channel height width"]]]:
    """All stages: every number, the page, and each layer's patterns in model space.

    command: what a person types for the same again.
    """
    network = Network(stages.ARCHITECTURE, input_shape=images.input_shape, classes=len(images.classes), seed=seed)
    with clock("checking gradients"):
        gradients = stages.check_network(network, images, seed)
    with clock("training"):
        training = stages.train_network(network, images, seed)
    with clock("testing"):
        test, probabilities = stages.test_network(network, images)
        digit, activations = stages.trace_digit(network, images, probabilities)
    with clock(f"opening {MODEL}"):
        model = open_model(MODEL)
    with clock("compiling what is not compiled yet"):  # else the first layer would count its seconds
        stages.warm_up(model, seed)
    found, layers = _pattern_part(model, images, seed, clock)
    with clock("dreaming"):
        photo, deepest = bundled_photo("flower.jpg"), layers[-1]
        unit = stages.strongest_map(deepest)
        dreamt = dream(photo.image, model, layer=deepest["layer"], unit=unit, size=PHOTO_SIZE, seed=seed)
    with clock(f"natural images of {stages.COLOR_MODEL}"):
        color, colored = stages.color_patterns(seed)
    with clock("drawing the page"):
        results = {
            "command": command,
            "seed": seed,
            "threads": torch.get_num_threads(),
            "seconds": clock.seconds,
            "versions": versions(),
            "data": stages.data_facts(images),
            "gradients": gradients,
            "training": training,
            "test": test,
            "digit": digit,
            "model": _model_facts(model, images),
            "layers": layers,
            "strips": stages.choose_strips(found),
            "dream": _dream_facts(dreamt),
            "color": color,
        }
        pictures = _draw_pictures(images, network, results, activations, found, dreamt, colored)
    kept = {one.layer: one.images for one in found} | {f"{one.model} {one.layer}": one.images for one in colored}
    return results, render_page(results, pictures), kept


def _pattern_part(model: Model, data: Data, seed: int, clock: StageTimer) -> tuple[list[Patterns], list[Facts]]:
    """The pattern of every map of every convolution."""
    found, layers = [], []
    for layer in stages.convolutions(model):
        stage = f"patterns of {layer}"
        with clock(stage):
            found.append(stages.find_patterns(model, layer, data, seed))
        layers.append(stages.layer_patterns(found[-1], clock.seconds[stage]))
    return found, layers


def _draw_pictures(
    data: Data,
    network: Network,
    results: Facts,
    activations: Mapping[str, np.ndarray],
    found: Sequence[Patterns],
    dreamt: Dream,
    colored: Sequence[Patterns],
) -> dict[str, Any]:
    """Every picture of the page.

    films: of each layer a sheet with a column per map and a row per frame, the last row the pattern; windows: the first
    convolution's filters, where it looks straight at a gray image; path: layer -> its maps for the digit.
    """
    loss, accuracy = images.training_curves(results["training"])
    return {
        "films": [images.film_sheet(stages.film_frames(one)) for one in found],
        "samples": images.sample_sheet(data.train, len(data.classes)),
        "digit": data_uri(images.gray_tones(data.test.images[results["digit"]["image"]])),
        "mistakes": images.mistake_uris(data.test, results["test"]["mistakes"]),
        "windows": images.filter_sheet(network.parameters["conv1.weight"]),
        "path": images.map_sheets(activations),
        "loss": loss,
        "accuracy": accuracy,
        "color": [images.photo_uri(one) for layer in colored for one in layer.scaling.to_pixels(layer.images)],
        "before": images.photo_uri(dreamt.before),
        "after": images.photo_uri(dreamt.image),
        "rounds": [images.small_photo_uri(frame) for frame in (dreamt.before, *dreamt.frames)],
    }


def _model_facts(model: Model, data: Data) -> Facts:
    """The model that is asked, and how well it reads: measured, where its own test images are at hand."""
    network = model.hand_written
    provenance = {} if network is None else network.provenance
    trained_on, accuracy = provenance.get("data"), provenance.get("test_accuracy")
    if network is not None and data.name == trained_on:
        accuracy = evaluate(network, data.test).accuracy
    names = [layer.name for layer in model.layers]
    return {"name": model.name, "layers": names, "trained_on": trained_on, "accuracy": accuracy}


def versions() -> dict[str, str]:
    """Of Python and of every library whose work the page shows."""
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in LIBRARIES}


def _dream_facts(dreamt: Dream) -> Facts:
    """How the dream was made."""
    _, height, width = dreamt.image.shape
    counts = {name: getattr(dreamt.settings, name) for name in ("levels", "rounds", "steps")}
    own = {"photo": "flower.jpg, which comes with scikit-learn", "layer": dreamt.layer, "unit": dreamt.units[0]}
    return {**own, **counts, "height": height, "width": width}
