"""The command line: words -> one call of the library, a line saying where its result lies, and an exit code.

One thin command per verb. Its options are the fields of groups of settings, so that names, defaults, ranges and words
exist once. An option that is not given is not passed on: an architecture keeps its own defaults. Results go to stdout,
progress and errors to stderr. Exit codes: 0, all is well; 2, one line says what is wrong and how to mend it; 130,
interrupted. A traceback is a bug of ours, or was asked for with `--debug`.

Rooms are imported inside the commands, so that `pellucid --help` does not wait for PyTorch.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from cyclopts import App, CycloptsError, Parameter

from pellucid import usage
from pellucid.arguments import class_names, data_of, given, network_of, start_of
from pellucid.errors import PellucidError
from pellucid.files import require_writable
from pellucid.settings import (
    AtlasDataSettings,
    AtlasSettings,
    DataSettings,
    DreamSettings,
    PatternSettings,
    SeedSettings,
    TrainSettings,
    WatchSettings,
)

T = TypeVar("T")
Flat = Annotated[T, Parameter(name="*")]  # the fields of a group become options of the command
Architecture = Annotated[str, Parameter(help="an architecture's name, such as cnn-4-4-8-16, or a TOML file")]
Model = Annotated[str, Parameter(help="a bundled network's name, such as mnist-cnn, or a file")]
Layer = Annotated[str, Parameter(help="a layer's name (see: pellucid layers MODEL)")]
Unit = Annotated[int, Parameter(help="one unit of the layer, from 0; -1 is the mean of the whole layer")]
Which = Annotated[Literal["train", "dev", "test"], Parameter(help="which of the images")]
Start = Annotated[Path | None, Parameter(help="begin from patterns that were saved as .npz or .csv")]
Out = Annotated[Path, Parameter(help="where the result is written")]

app = App(
    name="pellucid",
    help="""Train an image network from scratch, see what every unit answers to, let it dream on a photograph.

Start with `pellucid tour`. Every command explains itself: `pellucid COMMAND --help`. With `--debug`, an error shows
where it came from.""",
    version=lambda: metadata.version("pellucid"),
    default_parameter=Parameter(consume_multiple=True, negative_iterable=()),
    suppress_keyboard_interrupt=False,
)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command that the words (those of the shell, if None) spell, and return the exit code."""
    tokens = list(sys.argv[1:] if words is None else words)
    debug = "--debug" in tokens
    try:
        app(
            [token for token in tokens if token != "--debug"],
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
        sys.stdout.flush()
    except CycloptsError as error:
        return _refuse(usage.sentence(error, verbs()), debug)
    except PellucidError as error:
        return _refuse(str(error), debug)
    except KeyboardInterrupt:
        print("Interrupted; nothing half-written was left.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `pellucid layers mnist-cnn | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return 0


def verbs() -> list[str]:
    """The names of all commands."""
    return [name for name in app if not name.startswith("-")]


@app.command
def tour(
    *,
    out: Annotated[Path, Parameter(help="the folder that the page is written to")] = Path("tour"),
    source: Flat[DataSettings] = DataSettings(),
    drawn: Flat[SeedSettings] = SeedSettings(),
) -> None:
    """Train a network, open another, see its maps, dream: one page to look at."""
    from pellucid.show.tour import run_tour

    _wrote(run_tour(out, source.data, data_dir=source.data_dir, seed=drawn.seed).page)


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
        _wrote(path)


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
    _wrote(prints.save_figure(averages_figure(found, names), out))


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
def layers(model: Model, /, *, drawn: Flat[SeedSettings] = SeedSettings()) -> None:
    """List a model's layers: name, kind, units, shape."""
    from pellucid.see.models import open_model
    from pellucid.show.text import table

    found = open_model(model).layers
    shapes = [" x ".join(str(size) for size in layer.shape) for layer in found]
    rows = [[layer.name, layer.kind, layer.units, shape] for layer, shape in zip(found, shapes, strict=True)]
    print(table(["layer", "kind", "units", "shape"], rows))


@app.command
def pattern(
    model: Model,
    layer: Layer,
    unit: Unit,
    /,
    *,
    out: Annotated[Path, Parameter(help="where it is written: .png, or .npz for the numbers")] = Path("pattern.png"),
    multiple: Annotated[int, Parameter(help="each pixel becomes a square of so many a side")] = 8,
    film: Annotated[Path | None, Parameter(help="how it came about: a .gif or .webp, or a strip as .png")] = None,
    start: Start = None,
    settings: Flat[PatternSettings] = PatternSettings(),
) -> None:
    """Find the image that one unit answers to most."""
    from pellucid.see.patterns import pattern as find
    from pellucid.show import prints

    prints.ready(out, prints.PICTURES)
    if film is not None:
        prints.ready(film, prints.FILMS)
    found = find(model, layer, unit, start=start_of(start), **given(settings))
    print(f"Unit {unit} of {layer}: {'dead' if found.dead else f'activation {found.activation:.4f}'}.")
    _wrote(prints.save_pattern(found, out, multiple))
    if film is not None:
        _wrote(prints.save_strip(found, film))


@app.command
def patterns(
    model: Model,
    layer: Layer,
    /,
    *,
    units: Annotated[tuple[int, ...], Parameter(help="some units only; all, if not given")] = (),
    out: Annotated[Path, Parameter(help="a wall (.png, .pdf, .svg), .npz, or a folder")] = Path("patterns.png"),
    start: Start = None,
    settings: Flat[PatternSettings] = PatternSettings(),
) -> None:
    """Find the patterns of all units of a layer at once."""
    from pellucid.see.patterns import patterns as find
    from pellucid.show import prints

    prints.ready(out, prints.WALLS)
    found = find(model, layer, units=list(units) if units else None, start=start_of(start), **given(settings))
    print(
        f"{len(found)} units of {layer}: {int((~found.dead).sum())} have a pattern, {int(found.dead.sum())} are dead."
    )
    _wrote(prints.save_patterns(found, out))


@app.command
def inspect(
    model: Model,
    picture: Annotated[Path | None, Parameter(help="an image file, instead of one of the data")] = None,
    /,
    *,
    index: Annotated[int, Parameter(help="which image of the data, from 0")] = 0,
    split: Which = "test",
    out: Annotated[Path, Parameter(help="where the figure is written: .png, .pdf or .svg")] = Path("inspect.png"),
    source: Flat[DataSettings] = DataSettings(),
    drawn: Flat[SeedSettings] = SeedSettings(),
) -> None:
    """Show every map of every layer for one image, and what the network says."""
    from pellucid.data.fitting import fitted
    from pellucid.data.photos import read_photo
    from pellucid.see.internals import inspect as look
    from pellucid.see.models import open_model
    from pellucid.show import prints
    from pellucid.show.journey import journey

    prints.ready(out, prints.FIGURES)
    opened = open_model(model)
    if picture is not None:
        image, truth, classes = fitted(read_photo(picture).over(), opened.input_shape), None, None
    else:
        data = data_of(source, drawn.seed)
        chosen = getattr(data, split).take([index])
        image, truth, classes = chosen.images[0], int(chosen.labels[0]), data.classes
    inside = look(opened, image)
    _wrote(
        prints.save_figure(journey(image, inside.activations, inside.probabilities, truth=truth, classes=classes), out)
    )


@app.command
def dream(
    photo: Annotated[str, Parameter(help="a photograph; a folder or a glob of them, quoted")],
    /,
    *,
    layer: Layer,
    unit: Annotated[
        tuple[int | Literal["auto"], ...],
        Parameter(
            help="a unit, from 0, or one for each level; -1 is the whole layer, auto what each tile excites most"
        ),
    ],
    model: Model = "mnist-cnn",
    out: Annotated[
        Path | None, Parameter(help="the picture, .png (dream.png), .jpg or .webp; for many photos a folder (dreams)")
    ] = None,
    film: Annotated[Path | None, Parameter(help="a film of the rounds as well: .gif, .webp or .mp4")] = None,
    zoom: Annotated[int, Parameter(help="the film shows so many dreams, each nearer, instead of the rounds")] = 0,
    panel: Annotated[Path | None, Parameter(help="photo, gray, dream, contrast as one figure as well")] = None,
    mask: Annotated[Path | None, Parameter(help="a picture, white where to dream and black where not")] = None,
    area: Annotated[tuple[int, int, int, int] | None, Parameter(help="only in: left top right bottom, pixels")] = None,
    tiles: Annotated[tuple[int, ...], Parameter(help="only in these tiles of the last level, row by row from 0")] = (),
    settings: Flat[DreamSettings] = DreamSettings(),
) -> None:
    """Carve what a unit likes into a photograph."""
    from pellucid.show import albums

    where = {"mask": mask, "area": area, "tiles": tiles if tiles else None}
    asked = {"layer": layer, "unit": unit[0] if len(unit) == 1 else unit, **where, **given(settings)}
    for path in albums.save_dreams(photo, model, out=out, film=film, zoom=zoom, panel_path=panel, **asked):
        _wrote(path)


@app.command
def atlas(
    model: Model,
    /,
    *,
    out: Annotated[Path, Parameter(help="the folder that the site is written to")] = Path("atlas"),
    source: Flat[AtlasDataSettings] = AtlasDataSettings(),
    settings: Flat[AtlasSettings] = AtlasSettings(),
) -> None:
    """Write a site that shows every unit of a model: its patterns, its strongest images, its neighbours."""
    from pellucid.show.atlas import atlas as make

    _wrote(make(model, out, source.data, data_dir=source.data_dir, **given(settings)).page)


@app.command
def data(*, source: Flat[DataSettings] = DataSettings(), drawn: Flat[SeedSettings] = SeedSettings()) -> None:
    """Print what there is to learn from: sizes, brightness, classes."""
    from pellucid.data.summary import summary

    print(summary(data_of(source, drawn.seed)))


def _wrote(path: Path) -> None:
    print(f"Wrote {path}")


def _refuse(sentence: str, debug: bool) -> int:
    """One line on stderr, after the traceback if that was asked for; the exit code of a refusal."""
    if debug:
        traceback.print_exc()
    print(" ".join(sentence.split()), file=sys.stderr)
    return 2
