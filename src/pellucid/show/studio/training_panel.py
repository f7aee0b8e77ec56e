"""Training panel: a training in progress -> HTML: curves, one image on its way through the layers, and the way back.

panel:   trainer, one image's backprop trace -> curves; its class bars; activations, gradients, filters
summary: trainer -> epoch, loss and accuracy, in a sentence

Activations run from dark (nothing) to light (the layer's largest); gradients and filters are gray at zero. Green is the
truth, red a wrong guess, and red is a layer that is silent.
"""

from markupsafe import escape

from pellucid.learn.backprop_trace import BackpropTrace
from pellucid.learn.history import curve_tags
from pellucid.learn.training import Trainer
from pellucid.show.figures.training import HEADS, layer_pictures
from pellucid.show.labels import percent
from pellucid.show.studio import html


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
    image = html.received(seen.image, f"the worst image of the last batch: a {names[seen.label]}")
    bars = html.class_bars(seen.probabilities, names, seen.label)
    curves = curve_tags(trainer.history, trainer.per_epoch)
    return f'<div class="curves">{curves}</div><div class="answer">{image}{bars}</div>{_layers(trainer, seen)}'


def _layers(trainer: Trainer, seen: BackpropTrace) -> str:
    """For every layer what went forward, what came back, and its filters, as the live figure has them."""
    largest = dict(zip(trainer.history.layers, trainer.history.latest_layer_stats()[0].tolist(), strict=True))
    dead = dict(zip(trainer.history.layers, seen.dead.tolist(), strict=True))
    pictures = layer_pictures(seen, len(seen.probabilities), trainer.filters)
    del pictures["input"]  # which stands above already
    rows = []
    for name, strips in pictures.items():
        silent = '<p class="label sorry">silent for this image</p>' if dead[name] == 1 else ""
        cells = [
            f'<figure><figcaption>{head}, {words}</figcaption><img class="pixels" alt="" src="{html.gray_uri(pixels)}">'
            f"</figure>"
            for head, (pixels, words) in zip(HEADS, strips, strict=False)
        ]
        rows.append(
            f'<section class="layer"><div><h2>{escape(name)}</h2>'
            f'<p class="label">largest {html.activation_text(largest[name])}</p>{silent}</div>'
            f'<div class="strips">{"".join(cells)}</div></section>'
        )
    return "".join(rows)
