"""An invented tour, small enough to read, with names that try to break out of the page."""

import numpy as np
import pytest

from pellucid.data.splits import Split
from pellucid.learn.layers import Conv, Dense, Flatten, Pool
from pellucid.learn.network import Network
from pellucid.show.pages import ascent_starts, lesson_table, network_table, packed_digits
from pellucid.show.tour import page as images
from pellucid.show.tour.page import SpriteSheet
from pellucid.show.tour.stages import Facts

HOSTILE = ("</script><script>alert(1)</script>", "\"'><img src=x onerror=alert(2)>", "{{ 7 * 7 }} & <b>")
HEIGHT, WIDTH = 5, 4


def invented_layer(name: str, maps: int) -> Facts:
    found = [
        {
            "unit": unit,
            "activation": 0.0 if unit == 1 else 1.5 + unit,
            "dead": unit == 1,
            "steps": 30,
            "tried_starts": 512,
            "tried_images": 9,
            "film_activations": [0.25, 1.0, 1.5 + unit],
        }
        for unit in range(maps)
    ]
    return {"layer": name, "seconds": 0.5, "dead": 1, "mean_activation": 2.0, "film_steps": [0, 9], "maps": found}


@pytest.fixture
def invented() -> Facts:
    """Two layers of three and two maps, three classes with hostile names."""
    return {
        "command": "pellucid tour --data 'it'\"'\"'s & <b>.csv' --seed 3",
        "seed": 3,
        "threads": 2,
        "seconds": {"training": 2.0, "dreaming": 1.0},
        "versions": {"python": "3.11.2", "<i>odd</i>": "1"},
        "data": {
            "name": "<u>d</u>",
            "train": 1234,
            "dev": 7,
            "test": 20,
            "height": HEIGHT,
            "width": WIDTH,
            "classes": HOSTILE,
        },
        "gradients": (
            {
                "parameter": "conv1.weight",
                "shape": (2, 1, 3, 3),
                "entries": 12,
                "kinks": 0,
                "worst": 2e-09,
                "tolerance": 1e-06,
                "right": True,
            },
            {
                "parameter": "<b>bias",
                "shape": (2,),
                "entries": 2,
                "kinks": 1,
                "worst": 0.5,
                "tolerance": 1e-06,
                "right": False,
            },
        ),
        "training": {
            "architecture": "cnn-<b>",
            "layers": ("conv1", "logits"),
            "parameters": 4321,
            "epochs": ({"epoch": 1, "train_loss": 1.0, "train_accuracy": 0.5, "dev_loss": 0.9, "dev_accuracy": 0.6},),
            "steps": (1, 2, 3),
            "losses": (2.0, 1.0, 0.5),
        },
        "test": {
            "accuracy": 0.85,
            "right": 17,
            "images": 20,
            "confusion": ((6, 1, 0), (0, 5, 2), (0, 0, 6)),
            "mistakes": ({"image": 4, "truth": 1, "guess": 2, "probability": 0.75},),
        },
        "digit": {
            "image": 2,
            "truth": 0,
            "guess": 1,
            "pixels": tuple(tuple(range(row, row + WIDTH)) for row in range(HEIGHT)),
            "probabilities": (0.25, 0.7, 0.05),
            "layers": (
                {"layer": "conv1", "kind": "maps", "shape": (2, 3, 2), "largest": 2.0, "silent": 1},
                {
                    "layer": "dense",
                    "kind": "units",
                    "shape": (3,),
                    "largest": 2.0,
                    "silent": 1,
                    "values": (2.0, 0.0, 1.0),
                },
            ),
        },
        "model": {"name": "mnist-<b>", "layers": ("conv1", "conv2"), "trained_on": "<s>", "accuracy": 0.9946},
        "layers": (invented_layer("conv1", 3), invented_layer("</script><b>", 2)),
        "strips": ({"layer": "conv1", "unit": 2},),
        "dream": {
            "photo": "<em>flower",
            "model": "color-<b>",
            "layer": "blocks.12",
            "preset": "classic",
            "steps": 10,
            "strength": 0.35,
            "mean_change": 0.067,
            "octaves": 4,
            "height": HEIGHT,
            "width": WIDTH,
        },
        "color": {
            "model": "color-<b>",
            "side": 7,
            "classes": 1000,
            "names": ["<u>hare", "map 5"],
            "units": [
                {"layer": "logits", "unit": 3, "activation": 9.5},
                {"layer": "blocks.<b>", "unit": 5, "activation": 2.25},
            ],
            "inside": 112,
            "sought": "what excites most among natural images",
        },
    }


@pytest.fixture
def pictures(invented: Facts) -> Facts:
    """Pictures of noise in the invented sizes."""
    rng = np.random.default_rng(5)
    path = images.map_sheets({"conv1": rng.random((2, 3, 2)), "dense": rng.random(3)})
    loss, accuracy = images.training_curves(invented["training"])
    photo = images.photo_uri(rng.random((3, HEIGHT, WIDTH)))
    layers = [Conv(2, 3, padding="same"), Pool(2), Flatten(), Dense(5), Dense(3, "linear")]
    network = Network(layers, input_shape=(1, HEIGHT, WIDTH), scaling="standardized")
    network.provenance["classes"] = list(HOSTILE)
    split = Split(rng.random((3, 1, HEIGHT, WIDTH)).astype(np.float32), np.arange(3))
    return {
        "films": [
            images.film_sheet(rng.normal(size=(len(layer["maps"]), 3, 1, HEIGHT, WIDTH)))
            for layer in invented["layers"]
        ],
        "samples": SpriteSheet(photo, WIDTH, HEIGHT, 2, 3),
        "digit": photo,
        "mistakes": [photo],
        "windows": images.filter_sheet(rng.normal(size=(2, 1, 3, 3))),
        "path": path,
        "loss": loss,
        "accuracy": accuracy,
        "before": photo,
        "after": photo,
        "rounds": [photo, photo],
        "color": [images.photo_uri(rng.random((3, 7, 7))) for _ in invented["color"]["units"]],
        "network": network_table(network),
        "digits": packed_digits(0),
        "starts": ascent_starts(network, 0),
        "lesson": lesson_table(split.images[2], 2, HOSTILE),
    }
