"""Stages: the tour's work, one function a stage, each giving its part of the results and what is drawn from it.

run_stages:    images, seed -> all results, the page, every layer's patterns
first_chapter: images -> the page as long as that takes

The order is check_gradients -> train -> test -> one digit -> patterns of every map -> in color -> dream. Results are
tables as JSON can hold them: they stand in `results.json`, and the page is rendered from them and pictures alone.
Everything heavy (PyTorch, Numba, matplotlib) is imported with this module, which `tour.py` does as the first stage.
"""

import math
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32

from pellucid.data.photos import bundled_photo
from pellucid.data.splits import Data
from pellucid.files import FORMAT
from pellucid.learn.gradient_check import BAR, check_gradients
from pellucid.learn.metrics import evaluate
from pellucid.learn.network import Network
from pellucid.learn.training import train
from pellucid.progress import StageTimer, ignore_progress
from pellucid.see.dream.dream import Dream, dream
from pellucid.see.models.base import Model
from pellucid.see.models.open import open_model, zoo
from pellucid.see.models.wheels import weights_of
from pellucid.see.patterns.api import Patterns, patterns
from pellucid.settings import VIEWS
from pellucid.show.pages import ascent_starts, lesson_table, network_table, packed_digits, render_template
from pellucid.show.sprites import data_uri, photo_uri
from pellucid.show.tour import page

Facts = dict[str, Any]
MODEL = "mnist-robust"
PHOTO = "flower.jpg"
LIBRARIES = ("pellucid", "numpy", "numba", "torch", "scikit-learn", "pillow", "matplotlib")
ARCHITECTURE = "cnn-4-4-8-16"
FEWEST_EPOCHS = 3  # of MNIST
RECIPE: dict[str, Any] = {"batch": 32, "learning_rate": 0.02, "shift": 1}  # few images: gentle steps, none seen twice
SCORES = ("train_accuracy", "dev_loss", "dev_accuracy")
MOST_MISTAKES = 12
COLOR_MODEL, COLOR_SIDE, CLASSES, INSIDE = "efficientnet-lite0", 128, (130, 323, 331, 290, 949, 980), "blocks.10"
COLOR: dict[str, Any] = {"image": "natural", "steps": 128, "candidates": 32, "snapshots": 0}  # quick
UNSURE = 0.8  # the digit that is followed is the one whose truth was given a probability nearest to this


def run_stages(
    images: Data, seed: int, clock: StageTimer, *, command: str
) -> tuple[Facts, str, dict[str, Float32[np.ndarray, "unit channel height width"]]]:
    """All stages: every number, the page, and each layer's patterns in model space.

    command: what a person types for the same again.
    """
    network = Network(ARCHITECTURE, input_shape=images.input_shape, classes=len(images.classes), seed=seed)
    with clock("checking gradients"):
        gradients = check_network(network, images, seed)
    with clock("training"):
        training = train_network(network, images, seed)
    with clock("testing"):
        test, probabilities = test_network(network, images)
        digit, activations = trace_digit(network, images, probabilities)
    with clock(f"opening {MODEL}"):
        model = open_model(MODEL)
    with clock("compiling what is not compiled yet"):  # else the first layer would count its seconds
        warm_up(model, seed)
    found, layers = _pattern_part(model, images, seed, clock)
    with clock(f"natural images of {COLOR_MODEL}"):
        color, colored = color_patterns(seed)
    with clock("dreaming"):
        dreamt = dream(bundled_photo(PHOTO), preset="engraving" if "missing" in color else "classic", seed=seed)
    with clock("drawing the page"):
        results = {
            "format": FORMAT,
            "command": command,
            "seed": seed,
            "threads": torch.get_num_threads(),
            "seconds": clock.seconds,
            "versions": versions(),
            "data": data_facts(images),
            "gradients": gradients,
            "training": training,
            "test": test,
            "digit": digit,
            "model": _model_facts(model, images),
            "layers": layers,
            "strips": choose_strips(found),
            "dream": _dream_facts(dreamt),
            "color": color,
        }
        pictures = _draw_pictures(images, network, results, activations, found, dreamt, colored)
    kept = {one.layer: one.images for one in found} | {f"{one.model} {one.layer}": one.images for one in colored}
    return results, page.render_page(results, pictures), kept


def first_chapter(data: Data, *, command: str) -> str:
    """The page of a tour that is being made: what a digit is, as long as there is no more to show."""
    image, truth = data.test.images[0], int(data.test.labels[0])
    pictures = {"digit": data_uri(page.gray_tones(image)), "samples": page.sample_sheet(data.train, len(data.classes))}
    results = {"data": data_facts(data), "digit": {"truth": truth, "pixels": _pixels(image)}}
    return render_template("tour_begun.html", results=results, pictures=pictures, command=command)


def _pattern_part(model: Model, data: Data, seed: int, clock: StageTimer) -> tuple[list[Patterns], list[Facts]]:
    """The pattern of every map of every convolution; a silent one is shown the images before it is called dead."""
    shown = data if data.input_shape == model.input_shape else None
    found, layers = [], []
    for layer in convolutions(model):
        stage = f"patterns of {layer}"
        with clock(stage):
            found.append(patterns(model, layer, data=shown, seed=seed))
        layers.append(layer_patterns(found[-1], clock.seconds[stage]))
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
    loss, accuracy = page.training_curves(results["training"])
    digit = data.test.images[results["digit"]["image"]]
    return {
        "films": [page.film_sheet(film_frames(one)) for one in found],
        "samples": page.sample_sheet(data.train, len(data.classes)),
        "digit": data_uri(page.gray_tones(digit)),
        "mistakes": page.mistake_uris(data.test, results["test"]["mistakes"]),
        "windows": page.filter_sheet(network.parameters["conv1.weight"]),
        "path": page.map_sheets(activations),
        "loss": loss,
        "accuracy": accuracy,
        "color": [photo_uri(one) for layer in colored for one in layer.scaling.to_pixels(layer.images)],
        "before": photo_uri(dreamt.before),
        "after": photo_uri(dreamt.image),
        "rounds": [page.small_photo_uri(frame) for frame in (dreamt.before, *dreamt.frames)],
        "network": network_table(network),
        "digits": packed_digits(results["seed"]),
        "starts": ascent_starts(network, results["seed"]),
        "lesson": lesson_table(digit, results["digit"]["truth"], data.classes),
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
    own = {"photo": f"{PHOTO}, which comes with scikit-learn", "model": dreamt.model, "layer": dreamt.layer}
    counts = {name: getattr(dreamt.settings, name) for name in ("preset", "steps", "strength", "mean_change")}
    return {**own, **counts, "octaves": len(dreamt.frames), "height": height, "width": width}


def data_facts(data: Data) -> Facts:
    """How many images there are, of what size, and what the classes are called."""
    _, height, width = data.input_shape
    sizes = {name: len(getattr(data, name)) for name in ("train", "dev", "test")}
    return {"name": data.name, **sizes, "height": height, "width": width, "classes": list(data.classes)}


def check_network(network: Network, data: Data, seed: int) -> list[Facts]:
    """Every parameter's gradient against central differences; raises PellucidError where one is wrong.

    entries: how many were compared; kinks: how many could not be; worst: relative error.
    """
    few = data.train.take(min(4, len(data.train)))
    report = check_gradients(network, few.images, few.labels, seed=seed)
    shapes = {name: value.shape for name, value in network.parameters.items()} | {"input": network.input_shape}
    return [
        {
            "parameter": row.name,
            "shape": list(shapes[row.name]),
            "entries": row.checked,
            "kinks": row.kinks,
            "worst": row.worst,
            "tolerance": BAR,
            "right": row.passed,
        }
        for row in report.rows
    ]


def train_network(network: Network, data: Data, seed: int) -> Facts:
    """Train the network in place; its gradients have been checked before."""
    epochs = max(FEWEST_EPOCHS, math.ceil(VIEWS / len(data.train)))
    history = train(network, data, epochs=epochs, seed=seed, check=False, **RECIPE)
    return {
        "architecture": network.architecture,
        "layers": list(network.names),
        "parameters": sum(value.size for value in network.parameters.values()),
        "epochs": [
            {"epoch": each.epoch + 1, "train_loss": each.loss, **{name: getattr(each, name) for name in SCORES}}
            for each in history.epochs
        ],
        "steps": list(range(1, len(history.batches) + 1)),
        "losses": [batch.loss for batch in history.batches],
    }


def test_network(network: Network, data: Data) -> tuple[Facts, Float32[np.ndarray, "image classes"]]:
    """How well the test images are read (confusion[truth][guess]), the surest mistakes, and what was made of each."""
    scores = evaluate(network, data.test)
    probabilities = network.predict(data.test.images)
    guesses = scores.predictions
    sure = probabilities[np.arange(len(guesses)), guesses]
    wrong = np.flatnonzero(guesses != data.test.labels)
    surest = wrong[np.argsort(-sure[wrong], kind="stable")][:MOST_MISTAKES]
    mistakes = [
        {"image": i, "truth": int(data.test.labels[i]), "guess": int(guesses[i]), "probability": float(sure[i])}
        for i in surest.tolist()
    ]
    right = len(data.test) - len(wrong)
    counts = {"accuracy": scores.accuracy, "right": right, "images": len(data.test)}
    return {**counts, "confusion": scores.confusion.tolist(), "mistakes": mistakes}, probabilities


def trace_digit(
    network: Network, data: Data, probabilities: Float[np.ndarray, "image classes"]
) -> tuple[Facts, dict[str, np.ndarray]]:
    """The test image that the network read rightly but had to think about, and what each layer made of it.

    Its pixels are 0 to 99; the activations, (unit or map, ...), are those of every layer.
    """
    labels = data.test.labels
    index = int(np.abs(probabilities[np.arange(len(labels)), labels] - UNSURE).argmin())
    images = data.test.images[index : index + 1]
    activations = {name: values[0] for name, values in network.activations(images).items()}
    told = [name for name in activations if name.partition(".")[0] not in ("flatten", "logits")]
    return {
        "image": index,
        "truth": int(labels[index]),
        "guess": int(probabilities[index].argmax()),
        "pixels": _pixels(images[0]),
        "probabilities": probabilities[index].tolist(),
        "layers": [_layer_activity(name, activations[name]) for name in told],
    }, activations


def _pixels(image: Float32[np.ndarray, "channel height width"]) -> list[list[int]]:
    told: list[list[int]] = np.rint(99 * image.mean(axis=0)).astype(int).tolist()
    return told


def _layer_activity(name: str, values: Float[np.ndarray, "..."]) -> Facts:
    """One layer's answer to one image: silent counts the maps (or units) at zero, values are those of units only."""
    maps = values.ndim == 3
    largest = values.reshape(len(values), -1).max(axis=1)
    return {
        "layer": name,
        "kind": "maps" if maps else "units",
        "shape": list(values.shape),
        "largest": float(largest.max()),
        "silent": int((largest <= 0).sum()),
        "values": [] if maps else values.tolist(),
    }


def convolutions(model: Model) -> list[str]:
    """The layers whose units are maps."""
    return [layer.name for layer in model.layers if len(layer.shape) == 3 and layer.kind.lower().startswith("conv")]


def warm_up(model: Model, seed: int) -> None:
    """One short ascent from the deepest map, after which everything is compiled that an ascent needs."""
    layer = convolutions(model)[-1]
    patterns(model, layer, units=[0], steps=1, candidates=1, silent_restarts=0, seed=seed, progress=ignore_progress)


def color_patterns(seed: int) -> tuple[Facts, list[Patterns]]:
    """Natural patterns of classes of the color network, and of three units inside it that the seed draws.

    Without the package of its weights there are none, and the facts name it.
    """
    if COLOR_MODEL not in zoo():
        return {"missing": weights_of(COLOR_MODEL)[0]}, []
    model = open_model(COLOR_MODEL, input_shape=(3, COLOR_SIDE, COLOR_SIDE))
    inside = np.random.default_rng(seed).choice(model.layer(INSIDE).units, 3, replace=False)
    asked = {model.layers[-1].name: np.array(CLASSES), INSIDE: inside}
    found = [patterns(model, layer, units=units, seed=seed, **COLOR) for layer, units in asked.items()]
    names = [*(model.classes[unit] for unit in CLASSES), *(f"map {unit}" for unit in inside)]
    units = [{"layer": one.layer, "unit": one.unit, "activation": one.activation} for layer in found for one in layer]
    facts = {"model": COLOR_MODEL, "side": COLOR_SIDE, "classes": len(model.classes), "names": names, "units": units}
    return facts | {"inside": model.layer(INSIDE).units, "sought": found[0].settings.sought}, found


def layer_patterns(found: Patterns, seconds: float) -> Facts:
    """A layer's patterns in numbers; a film has a frame at each of `film_steps`, and last the pattern itself."""
    facts = ("unit", "activation", "dead", "steps", "tried_starts", "tried_images")
    return {
        "layer": found.layer,
        "seconds": seconds,
        "dead": int(found.dead.sum()),
        "mean_activation": float(found.activations.mean()),
        "film_steps": list(found.film.steps[:-1]),
        "maps": [
            {**{name: getattr(one, name) for name in facts}, "film_activations": film}
            for one, film in zip(found, film_activations(found).tolist(), strict=True)
        ],
    }


def film_frames(found: Patterns) -> Float32[np.ndarray, "unit frame channel height width"]:
    """Each map's images on the way and, last, its pattern: the best of all, which need not be the last step's."""
    return np.concatenate([found.film.images[:-1], found.images[None]]).swapaxes(0, 1)


def film_activations(found: Patterns) -> Float32[np.ndarray, "unit frame"]:
    """Each map's activation at these frames."""
    return np.concatenate([found.film.activations[:-1], found.activations[None]]).T


def choose_strips(found: Sequence[Patterns]) -> list[Facts]:
    """Of each layer two maps worth watching: the strongest, and of the stronger half the one most unlike it."""
    chosen: list[Facts] = []
    for layer in found:
        order = np.argsort(-layer.activations, kind="stable")
        half = order[1 : max(2, len(order) // 2)]
        alike = likeness(layer.images[order[0]], layer.images[half])
        pair = (*order[:1], *half[alike.argsort(kind="stable")[:1]])
        chosen += [{"layer": layer.layer, "unit": int(layer.units[index])} for index in pair]
    return chosen


def likeness(
    one: Float32[np.ndarray, "channel height width"], others: Float32[np.ndarray, "other channel height width"]
) -> Float[np.ndarray, " other"]:
    """How alike images are wherever their strokes lie: the correlation of their amplitude spectra, -1 to 1."""
    spectra = np.abs(np.fft.fft2(np.concatenate([one[None], others]))).reshape(len(others) + 1, -1)
    spectra -= spectra.mean(axis=1, keepdims=True)
    spectra /= np.linalg.norm(spectra, axis=1, keepdims=True) + 1e-12
    return np.asarray(spectra[1:] @ spectra[0])
