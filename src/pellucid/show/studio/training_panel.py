"""Training panel: a training in progress -> HTML: curves, one image on its way through the layers, and the way back.

panel:   trainer, one image's backprop trace -> curves; its class bars; activations, gradients, filters
summary: trainer -> epoch, loss and accuracy, in a sentence

Activations run from dark (nothing) to light (the layer's largest); gradients and filters are gray at zero. Green is the
truth, red a wrong guess, and red is a layer that is silent.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from markupsafe import escape

from pellucid.data.scaling import byte_pixels
from pellucid.learn.backprop_trace import BackpropTrace
from pellucid.learn.training import Trainer
from pellucid.show import style
from pellucid.show.figures.activations_figure import layers_to_draw, pixel_multiple
from pellucid.show.figures.curves import averaged, progress
from pellucid.show.labels import percent
from pellucid.show.sprites import average_blocks
from pellucid.show.studio import html

WIDE, HIGH = 360, 150  # of a curve, in the units of its own drawing
POINTS = 240  # of a curve
MOST = 32  # maps of a layer, or filters, that are shown
TILE, FILTER, NEURON = 57, 21, 9  # pixels that a map, a filter and a neuron are brought near to


def summary(trainer: Trainer) -> str:
    """Epoch, loss and accuracy so far."""
    history = trainer.history
    last, epochs = history.batches[-1], trainer.settings.epochs or 0
    position = f"Epoch {min(last.epoch + 1, epochs)} of {epochs}, batch {last.number + 1}: loss {trainer.average:.3f}."
    if not history.epochs:
        return position
    return f"{position} It reads {percent(history.epochs[-1].dev_accuracy)} of the dev images."


def panel(trainer: Trainer, seen: BackpropTrace) -> str:
    """Everything that moves while it trains."""
    names = [str(name) for name in trainer.data.classes][: len(seen.probabilities)]
    names += [str(index) for index in range(len(names), len(seen.probabilities))]
    image = byte_pixels(seen.image.mean(axis=0))
    size = pixel_multiple((image.shape[0], image.shape[1]), 112)
    sample = (
        f'<div class="answer"><figure class="received"><img class="pixels plate" alt="The image" '
        f'width="{image.shape[1] * size}" height="{image.shape[0] * size}" src="{html.gray_uri(image)}">'
        f"<figcaption>the worst image of the last batch: a {escape(names[seen.label])}</figcaption></figure>"
        f"{html.class_bars(seen.probabilities, names, seen.label)}</div>"
    )
    return f'<div class="curves">{_curves(trainer)}</div>{sample}{_layers(trainer, seen)}'


def _curves(trainer: Trainer) -> str:
    """Loss and accuracy by batch, and of the dev images where they were judged."""
    history = trainer.history
    batches = progress(history, -(-len(trainer.data.train) // trainer.settings.batch))
    loss, accuracy = averaged(history, "loss"), averaged(history, "accuracy")
    dev_loss, dev = history.column("dev_loss"), history.column("dev_accuracy")
    judged = np.isfinite(dev)
    epochs, dev_loss, dev = batches[judged], dev_loss[judged], dev[judged]
    top = max(float(loss.max()), float(dev_loss.max(initial=0.0)), 1e-9)
    return _curve("loss", batches, loss, epochs, dev_loss, top) + _curve(
        "accuracy", batches, accuracy, epochs, dev, 1.0
    )


def _curve(
    words: str,
    at: Float[np.ndarray, " batch"],
    train: Float[np.ndarray, " batch"],
    epochs: Float[np.ndarray, " epoch"],
    dev: Float[np.ndarray, " epoch"],
    top: float,
) -> str:
    """One curve: the training images' as a line, the dev images' as dots."""
    end = max(float(at[-1]), 1e-9)

    def points(x: Sequence[float], y: Sequence[float]) -> list[tuple[float, float]]:
        return [(round(WIDE * a / end, 1), round(HIGH * (1 - b / top), 1)) for a, b in zip(x, y, strict=True)]

    few = np.unique(np.linspace(0, len(at) - 1, min(POINTS, len(at))).round().astype(int))
    path = " ".join(f"{x},{y}" for x, y in points(at[few].tolist(), train[few].tolist()))
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="3.5"/>' for x, y in points(epochs.tolist(), dev.tolist()))
    last = f"{train[-1]:.3f}" if words == "loss" else percent(float(train[-1]))
    beside = "" if not len(dev) else f", dev {dev[-1]:.3f}" if words == "loss" else f", dev {percent(float(dev[-1]))}"
    return (
        f'<figure><figcaption>{words} <b>{last}</b>{beside}</figcaption><svg viewBox="-4 -4 {WIDE + 8} {HIGH + 8}" '
        f'role="img" aria-label="{words}: {last}{beside}"><path class="ground" d="M0 {HIGH}H{WIDE}"/>'
        f'<polyline points="{path}"/>{dots}</svg></figure>'
    )


def _layers(trainer: Trainer, seen: BackpropTrace) -> str:
    """For every layer what went forward, what came back, and its filters."""
    largest = dict(zip(trainer.history.layers, trainer.history.latest_layer_stats()[0].tolist(), strict=True))
    dead = dict(zip(trainer.history.layers, seen.dead.tolist(), strict=True))
    rows = []
    for name, values in layers_to_draw(seen.activations, len(seen.probabilities)).items():
        silent = '<p class="label sorry">silent for this image</p>' if dead[name] == 1 else ""
        cells = [
            _strip("activations", values, signed=False),
            _strip("gradient before the activation", seen.gradients[name], signed=True),
        ]
        if name in seen.filters:
            filters = seen.filters[name]
            cells.append(_strip("filters", filters.reshape(-1, *filters.shape[2:]), signed=True))
        rows.append(
            f'<section class="layer"><div><h2>{escape(name)}</h2>'
            f'<p class="label">largest {html.activation_text(largest[name])}</p>{silent}</div>'
            f'<div class="strips">{"".join(cells)}</div></section>'
        )
    return "".join(rows)


def _strip(words: str, values: np.ndarray, *, signed: bool) -> str:
    """Maps, neurons or filters, side by side."""
    maps = values if values.ndim == 3 else values[:, None, None]
    maps = average_blocks(np.asarray(maps[: MOST if values.ndim == 3 else 8 * MOST], np.float32)[:, None])[:, 0]
    grays = style.signed_tones(maps) if signed else style.activation_tones(maps)
    target = NEURON if values.ndim == 1 else FILTER if words == "filters" else TILE
    shown = html.tile_gallery(grays, range(len(grays)), [""] * len(grays), target=target)
    size = f"{np.abs(values).max(initial=0.0):.2g}"
    return f'<figure class="{words.partition(" ")[0]}"><figcaption>{words}, up to {size}</figcaption>{shown}</figure>'
