"""The commands of seeing: layers, pattern, patterns, inspect."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from pellucid.cli.app import print_written
from pellucid.cli.arguments import data_and_part, given_options, images_of, initial_images, model_of
from pellucid.cli.parameters import GROUPS, AnyModel, Flat, FurtherFile, Layer, TestPart, Unit
from pellucid.errors import PellucidError
from pellucid.files import check_output
from pellucid.settings import (
    DataSettings,
    ModelSettings,
    OptionalDataSettings,
    PatternFileSettings,
    PatternSettings,
    SeedSettings,
)

if TYPE_CHECKING:
    import numpy as np

    from pellucid.see.models.base import Model
    from pellucid.see.patterns.api import Patterns


def layers(
    model: AnyModel,
    block: str | None = None,
    /,
    *,
    everything: Annotated[bool, Parameter(name="all")] = False,
    how: Flat[ModelSettings] = ModelSettings(),
    random: Flat[SeedSettings] = SeedSettings(),
) -> None:
    """List a model's layers: name, kind, units, shape, parameters; of a model of many, its blocks.

    Args:
        block: layer that is made of layers: only these are listed (default: the whole model)
        everything: also list identities, dropout, padding, and all that is no layer
    """
    from pellucid.see.models.open import open_model

    print(open_model(model_of(model, how)).listing(block or "", everything=everything))


def pattern(
    model: AnyModel,
    layer: Layer,
    unit: Unit,
    /,
    *,
    out: Path = Path("pattern.png"),
    multiple: Annotated[int, GROUPS["Pictures and report"]] = 8,
    film: FurtherFile = None,
    whole_layer: Annotated[bool, GROUPS["Pictures and report"]] = False,
    how: Flat[ModelSettings] = ModelSettings(),
    source: Flat[OptionalDataSettings] = OptionalDataSettings(),
    settings: Flat[PatternSettings] = PatternSettings(),
    beside: Flat[PatternFileSettings] = PatternFileSettings(),
) -> None:
    """Find the image that activates one unit most.

    Args:
        out: file for the pattern: .png, .npz or .csv; its name may hold {layer} {unit} {activation}
        multiple: side of the square that each pixel of the image becomes, in pixels
        film: film of the optimization: .gif, .webp, or a strip as .png, .pdf, .svg (default: none)
        whole_layer: print what every unit of the layer answers to the pattern, not the classes alone
    """
    from pellucid.data.pixels import require_multiple
    from pellucid.see.dataset.activations import answers as answers_of
    from pellucid.see.models.open import open_model
    from pellucid.show import export
    from pellucid.show.console import answers_text

    check_output(out, export.PICTURES)
    export.check_patterns_output(out, layer, [unit])
    _check_files(film, export.FILMS, settings.snapshots, beside)
    seen = open_model(model_of(model, how))
    require_multiple(multiple, math.prod(seen.input_shape) * (1 if film is None else settings.snapshots))
    found = _find(seen, layer, [unit], source, settings, beside)
    asked = [layer] * whole_layer + ([] if seen.probabilities is None else [seen.probabilities.name])
    for name, answer in answers_of(seen, asked, found.images).items():
        print(answers_text(name, answer[0]))
    print_written(export.save_patterns(found, out, multiple))
    if film is not None:
        print_written(export.save_strip(found.one(unit), film, multiple))
    _write_tables(seen, found, beside)


def patterns(
    model: AnyModel,
    layer: Layer,
    /,
    *,
    units: tuple[int, ...] = (),
    out: Path = Path("patterns.png"),
    multiple: Annotated[int | None, GROUPS["Pictures and report"]] = None,
    film: FurtherFile = None,
    how: Flat[ModelSettings] = ModelSettings(),
    source: Flat[OptionalDataSettings] = OptionalDataSettings(),
    settings: Flat[PatternSettings] = PatternSettings(),
    beside: Flat[PatternFileSettings] = PatternFileSettings(),
) -> None:
    """Find the patterns of all units of a layer at once.

    Args:
        units: units of the layer, counted from 0 (default: all of them)
        out: file for the patterns: .png, .pdf or .svg for a wall of all, .npz, .csv, or a folder; or a name such as
            {layer}-{unit}-{activation}.png, for a file a unit
        multiple: side of each pixel's square in a .png (then without labels), folder or film (default: to fit)
        film: film of all optimizations: .gif or .webp (default: none)
    """
    from pellucid.data.pixels import require_multiple
    from pellucid.see.models.open import open_model
    from pellucid.show import export

    check_output(out, export.WALLS)
    _check_files(film, export.ANIMATIONS, settings.snapshots, beside)
    seen = open_model(model_of(model, how))
    chosen = list(units) or list(range(seen.layer(layer).units))
    export.check_patterns_output(out, layer, chosen)
    if multiple is not None:
        if film is None and out.suffix.lower() not in ("", ".png"):
            raise PellucidError(f"'{out}' has no pixels to repeat; write a .png or a folder, or give no multiple.")
        tiles = len(chosen) * (1 if film is None else settings.snapshots)
        require_multiple(multiple, math.prod(seen.input_shape) * tiles)
    if film is not None:  # then snapshots are asked for, whatever memory they take
        settings = settings.model_copy(update={"snapshots": settings.snapshots})
    found = _find(seen, layer, chosen, source, settings, beside)
    print_written(export.save_patterns(found, out, multiple, seen))
    if film is not None:
        print_written(export.save_ascents(found, film, multiple))
    _write_tables(seen, found, beside)


def _find(
    model: "Model",
    layer: str,
    units: list[int],
    source: OptionalDataSettings,
    settings: PatternSettings,
    beside: PatternFileSettings,
) -> "Patterns":
    """The patterns, and what there is to say of them; a history on disk has all of it, data are compared with."""
    from pellucid.see.dataset.fitting import data_for
    from pellucid.see.patterns.api import patterns as find
    from pellucid.show.console import found_text

    asked = {"compare": source.data is not None, **given_options(settings)}
    asked |= {} if beside.history is None else {"report": True}
    if source.data is not None:
        asked["data"] = data_for(model, source.data, source.data_dir, settings.seed)
    initial = initial_images(beside.start, model, source.data_dir, settings.seed)
    near = None if beside.photo is None else images_of(beside.photo, model, source.data_dir, settings.seed)[0]
    found = find(model, layer, units=units, start=initial, near=near, **asked)
    print(found_text(found))
    return found


def _check_files(film: Path | None, films: Sequence[str], snapshots: int, beside: PatternFileSettings) -> None:
    """Raises PellucidError for a film of so many snapshots, or a table, that could not be written."""
    from pellucid.show.export import check_film_output

    if film is not None:
        check_film_output(film, films, snapshots)
    for path in (beside.history, beside.answers):
        check_output(path, (".csv",))


def _write_tables(model: "Model", found: "Patterns", beside: PatternFileSettings) -> None:
    """Write the tables that were asked for, and say so."""
    from pellucid.see.dataset.activations import answers as answers_of
    from pellucid.see.patterns.pattern_files import write_answers

    if beside.history is not None:
        print_written(found.save_history(beside.history))
    if beside.answers is not None:
        behind = model.readable[len(model.layers) - 1 :]
        activations = answers_of(model, [found.layer, *(one.name for one in behind)], found.images)
        print_written(write_answers(beside.answers, found.units, activations))


def inspect(
    model: AnyModel,
    picture: str | None = None,
    /,
    *,
    index: int | Literal["random", "wrong"] = 0,
    split: TestPart = None,
    beside: str | None = None,
    layers: tuple[str, ...] = (),
    out: Path = Path("inspect.png"),
    table: FurtherFile = None,
    how: Flat[ModelSettings] = ModelSettings(),
    source: Flat[DataSettings] = DataSettings(),
    random: Flat[SeedSettings] = SeedSettings(),
) -> None:
    """Show the maps of the layers for one image, and the probabilities of the classes.

    Args:
        picture: image to show: a picture, or a file of pixels or patterns, .npz or .csv (default: of the data)
        index: number of the image in its split of the data, or in its file, counted from 0; random for any, wrong for
            any that the model takes for another class
        beside: second model, whose layers are shown beside those of the first (default: none)
        layers: layers to show, by name, besides the last (default: all; of more than 32, the blocks)
        out: file for the figure: .png, .pdf or .svg
        table: table (.csv) of every layer's inputs and outputs, unit by unit (default: none)
    """
    from pellucid.see.dataset.activations import inspect as look
    from pellucid.see.models.open import open_model
    from pellucid.show.figures.activations_figure import activations_figure, verdict
    from pellucid.show.figures.axes import save_figure
    from pellucid.show.style import FIGURES

    check_output(out, FIGURES)
    check_output(table, (".csv",))
    models = [open_model(model_of(model, how)), *([] if beside is None else [open_model(beside)])]
    image, truth, classes = _image_to_inspect(models[0], picture, index, split, source, random.seed)
    found = [look(one, image, layers or None, as_is=True) for one in models]
    for one in found:
        print(f"{one.model}: {verdict(one, truth, classes)}.")
    print_written(save_figure(activations_figure(*found, truth=truth, classes=classes), out))
    if table is not None:
        print_written(found[0].save(table))


def _image_to_inspect(
    model: "Model", picture: str | None, index: int | str, split: str | None, source: DataSettings, seed: int
) -> "tuple[np.ndarray, int | None, tuple[str, ...] | None]":
    """The image, and where they are known its label and the names of the classes."""
    import numpy as np

    from pellucid.learn.metrics import class_names
    from pellucid.see.dataset.activations import find_wrong
    from pellucid.see.dataset.fitting import split_for

    if picture is not None:
        images = images_of(picture, model, source.data_dir, seed)
        if not isinstance(index, int) or not 0 <= index < len(images):
            raise PellucidError(f"There is no image {index} in '{picture}'; give an index of 0 to {len(images) - 1}.")
        return images[index], None, None
    _, chosen, name = data_and_part(model, source, seed, split, "test")
    chosen = split_for(model, chosen)
    if isinstance(index, str):
        among = np.arange(len(chosen)) if index == "random" else find_wrong(model, chosen)
        if len(among) == 0:
            raise PellucidError(f"'{model.name}' takes no image of {name} for another class; give another split.")
        index = int(np.random.default_rng(seed).choice(among))
        print(f"Image {index} of {name}.")
    one = chosen.take([index])
    classes = class_names(chosen.classes, model.class_count) if chosen.classes else None
    return one.images[0], None if one.given is None else int(one.given[0]), classes
