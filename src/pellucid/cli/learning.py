"""The verbs of learning: train, evaluate, average, check, data."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pellucid.cli.app import Architecture, Flat, Model, Out, Which, app, wrote
from pellucid.cli.arguments import class_names, data_of, given, network_of
from pellucid.files import require_writable
from pellucid.settings import DataSettings, SeedSettings, TrainSettings, WatchSettings


@app.command
def train(
    architecture: Architecture,
    /,
    *,
    out: Out = Path("net.safetensors"),
    source: Flat[DataSettings] = DataSettings(),
    settings: Flat[TrainSettings] = TrainSettings(),
    watch: Flat[WatchSettings] = WatchSettings(),
) -> None:
    """Train a network from scratch, by hand-written gradients, and save it.

    An architecture brings its own defaults for some of these options; what is given here comes first. With a
    checkpoint, a training that was interrupted goes on with the same command and --resume, and ends in the same bytes.
    """
    from pellucid.learn.metrics import evaluate as score
    from pellucid.learn.network import Network
    from pellucid.learn.training import train as fit
    from pellucid.show.watch import keep, watched

    require_writable(out)
    images = data_of(source, settings.seed)
    net = Network(architecture, input_shape=images.input_shape, classes=len(images.classes), seed=settings.seed)
    try:
        with watched(watch) as (on_batch, on_epoch):
            history = fit(net, images, on_batch=on_batch, on_epoch=on_epoch, **given(settings))
    except KeyboardInterrupt:
        if settings.checkpoint is not None:
            print(f"All steps so far are in {settings.checkpoint}; go on with --resume.", file=sys.stderr)
        raise
    net.provenance["test_accuracy"] = score(net, images.test).accuracy
    net.save(out)
    for name in history.epochs[-1].dead_layers if history.epochs else ():
        print(f"Layer '{name}' is dead: no image makes any of it positive; train with a smaller rate or another seed.")
    print(f"Accuracy {net.provenance['test_accuracy']:.2%} on {len(images.test):,} test images of {images.name}.")
    for path in (out, *keep(watch, net, history)):
        wrote(path)


@app.command
def evaluate(
    model: Model,
    /,
    *,
    split: Which = "test",
    source: Flat[DataSettings] = DataSettings(),
    drawn: Flat[SeedSettings] = SeedSettings(),
) -> None:
    """Print how often a network is right, and what it takes for what."""
    from pellucid.learn.metrics import evaluate as score
    from pellucid.show.text import scores_text

    net, images = network_of(model), data_of(source, drawn.seed)
    chosen = getattr(images, split)
    scores = score(net, chosen)
    print(f"Accuracy {scores.accuracy:.2%} on {len(chosen):,} {split} images of {images.name}.")
    print(scores_text(scores, class_names(images, net.classes)))


@app.command
def average(
    model: Model,
    /,
    *,
    threshold: Annotated[float, Parameter(help="the probability that an image's must exceed")] = 0.9,
    split: Which = "train",
    out: Annotated[Path, Parameter(help="where the figure is written: .png, .pdf or .svg")] = Path("average.png"),
    source: Flat[DataSettings] = DataSettings(),
    drawn: Flat[SeedSettings] = SeedSettings(),
) -> None:
    """Show, for each class, the mean of the images that a network is sure belong to it."""
    from pellucid.learn.averages import average as mean
    from pellucid.show import prints
    from pellucid.show.averages import averages_figure

    prints.ready(out, prints.FIGURES)
    net, images = network_of(model), data_of(source, drawn.seed)
    found = mean(net, getattr(images, split), threshold)
    names = class_names(images, net.classes)
    print("\n".join(found.sentences(names)))
    wrote(prints.save_figure(averages_figure(found, names), out))


@app.command
def check(
    network: Annotated[str, Parameter(help="an architecture's name or TOML file, a bundled network's name, or a file")],
    /,
    *,
    images: Annotated[int, Parameter(help="how many training images the loss is taken of")] = 4,
    source: Flat[DataSettings] = DataSettings(),
    drawn: Flat[SeedSettings] = SeedSettings(),
) -> None:
    """Hold every hand-written gradient of a network against central differences."""
    from pellucid.learn.architectures import ARCHITECTURES
    from pellucid.learn.gradients import check_gradients
    from pellucid.learn.network import Network

    data = data_of(source, drawn.seed)
    few = data.train.take(images)
    if network.endswith(".toml") or (network in ARCHITECTURES and not Path(network).exists()):
        net = Network(network, input_shape=data.input_shape, classes=len(data.classes), seed=drawn.seed)
    else:
        net = network_of(network)
    print(check_gradients(net, few.images, few.labels, seed=drawn.seed))


@app.command
def data(*, source: Flat[DataSettings] = DataSettings(), drawn: Flat[SeedSettings] = SeedSettings()) -> None:
    """Print what there is to learn from: sizes, brightness, classes."""
    from pellucid.data.summary import summary

    print(summary(data_of(source, drawn.seed)))
