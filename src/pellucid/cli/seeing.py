"""The verbs of seeing: layers, pattern, patterns, inspect, dream."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from pellucid.cli.app import AnyModel, Flat, Layer, Start, Unit, Which, app, wrote
from pellucid.cli.arguments import data_of, given, opened, own_data, start_of
from pellucid.errors import PellucidError
from pellucid.settings import (
    AtlasDataSettings,
    DataSettings,
    DreamSettings,
    EngineSettings,
    ModelSettings,
    OctaveSettings,
    PatternSettings,
    SeedSettings,
)

if TYPE_CHECKING:
    from pellucid.see.models.base import Model as See
    from pellucid.see.patterns.api import Patterns

History = Annotated[
    Path | None, Parameter(help="a table of every step as well (.csv): activation, other units, TV, L1, loss")
]
Answers = Annotated[
    Path | None, Parameter(help="a table of what the layer and the last layer say of the result (.csv), to 10 decimals")
]


@app.command
def layers(
    model: AnyModel, /, *, how: Flat[ModelSettings] = ModelSettings(), drawn: Flat[SeedSettings] = SeedSettings()
) -> None:
    """List a model's layers: name, kind, units, shape."""
    from pellucid.see.models.open import open_model
    from pellucid.show.console import table

    found = open_model(opened(model, how)).layers
    shapes = [" x ".join(str(size) for size in layer.shape) for layer in found]
    rows = [[layer.name, layer.kind, layer.units, shape] for layer, shape in zip(found, shapes, strict=True)]
    print(table(["layer", "kind", "units", "shape"], rows))


@app.command
def pattern(
    model: AnyModel,
    layer: Layer,
    unit: Unit,
    /,
    *,
    out: Annotated[Path, Parameter(help="where it is written: .png, or .npz for the numbers")] = Path("pattern.png"),
    multiple: Annotated[int, Parameter(help="each pixel becomes a square of so many a side")] = 8,
    film: Annotated[Path | None, Parameter(help="how it came about: a .gif or .webp, or a strip as .png")] = None,
    start: Start = None,
    history: History = None,
    answers: Answers = None,
    how: Flat[ModelSettings] = ModelSettings(),
    source: Flat[AtlasDataSettings] = AtlasDataSettings(),
    settings: Flat[PatternSettings] = PatternSettings(),
) -> None:
    """Find the image that one unit answers to most."""
    from pellucid.data.pixels import require_multiple
    from pellucid.see.models.open import open_model
    from pellucid.see.patterns.api import pattern as find
    from pellucid.show import export
    from pellucid.show.console import relative_text, report_text

    export.ready(out, export.PICTURES)
    if film is not None:
        export.ready_film(film, export.FILMS, settings.snapshots)
    beside = _beside(history, answers)
    if film is not None and film.resolve() == out.resolve():
        raise PellucidError(f"The picture and the film would both be '{out}'; give one of them another name.")
    seen = open_model(opened(model, how))
    require_multiple(multiple, math.prod(seen.input_shape) * (1 if film is None else settings.snapshots))
    wanted = {
        "start": start_of(start, seen),
        "data": own_data(source, settings.seed),
        **_asked(settings, history, source),
    }
    found = find(seen, layer, unit, **wanted)
    print(f"Unit {unit} of {layer}: {'dead' if found.dead else f'activation {found.activation:.4f}'}.")
    if found.strongest is not None:
        print(relative_text(found.alone()))
    if found.history.terms:
        print(report_text(found.history, found.steps))
    wrote(export.save_pattern(found, out, multiple))
    if film is not None:
        wrote(export.save_strip(found, film, multiple))
    for path in beside(seen, found.alone()):
        wrote(path)


@app.command
def patterns(
    model: AnyModel,
    layer: Layer,
    /,
    *,
    units: Annotated[tuple[int, ...], Parameter(help="some units only; all, if not given")] = (),
    out: Annotated[Path, Parameter(help="a wall (.png, .pdf, .svg), .npz, or a folder")] = Path("patterns.png"),
    multiple: Annotated[
        int | None, Parameter(help="each pixel of a bare wall (.png), a folder or the film: a square of so many a side")
    ] = None,
    film: Annotated[Path | None, Parameter(help="how all of them came about: a .gif or .webp")] = None,
    start: Start = None,
    history: History = None,
    answers: Answers = None,
    how: Flat[ModelSettings] = ModelSettings(),
    source: Flat[AtlasDataSettings] = AtlasDataSettings(),
    settings: Flat[PatternSettings] = PatternSettings(),
) -> None:
    """Find the patterns of all units of a layer at once."""
    from pellucid.data.pixels import require_multiple
    from pellucid.see.models.open import open_model
    from pellucid.see.patterns.api import patterns as find
    from pellucid.show import export
    from pellucid.show.console import found_text, relative_text

    export.ready(out, export.WALLS)
    if film is not None:
        export.ready_film(film, export.PLAYED, settings.snapshots)
    beside = _beside(history, answers)
    seen = open_model(opened(model, how))
    if multiple is not None:
        if film is None and out.suffix.lower() not in ("", ".png"):
            raise PellucidError(f"'{out}' has no pixels to repeat; write a .png or a folder, or give no multiple.")
        tiles = (len(units) or seen.layer(layer).units) * (1 if film is None else settings.snapshots)
        require_multiple(multiple, math.prod(seen.input_shape) * tiles)
    wanted = {
        "start": start_of(start, seen),
        "data": own_data(source, settings.seed),
        **_asked(settings, history, source),
    }
    found = find(seen, layer, units=list(units) if units else None, **wanted)
    print(found_text(found))
    if found.strongest is not None:
        print(relative_text(found))
    wrote(export.save_patterns(found, out, multiple))
    if film is not None:
        wrote(export.save_ascents(found, film, multiple))
    for path in beside(seen, found):
        wrote(path)


def _asked(settings: PatternSettings, history: Path | None, source: AtlasDataSettings) -> dict[str, Any]:
    """The settings that were given; whoever wants the history on disk wants all of it, and who has data, to compare."""
    wanted = {"compare": source.data is not None, **given(settings)}
    return wanted if history is None else {**wanted, "report": True}


def _beside(history: Path | None, answers: Path | None) -> "Callable[[See, Patterns], list[Path]]":
    """What writes the tables that are wanted beside the patterns; raises PellucidError where they cannot be written."""
    from pellucid.see.dataset.activations import answers as answers_of
    from pellucid.see.patterns.pattern_files import write_answers
    from pellucid.show import export

    for path in filter(None, (history, answers)):
        export.ready(path, (".csv",))

    def write(model: "See", found: "Patterns") -> list[Path]:
        paths = [] if history is None else [found.save_history(history)]
        if answers is not None:
            said = answers_of(model, [found.layer, model.layers[-1].name], found.images)
            paths.append(write_answers(answers, found.units, said))
        return paths

    return write


@app.command
def inspect(
    model: AnyModel,
    picture: Annotated[Path | None, Parameter(help="an image file, instead of one of the data")] = None,
    /,
    *,
    index: Annotated[int, Parameter(help="which image of the data, from 0")] = 0,
    split: Which = "test",
    out: Annotated[Path, Parameter(help="where the figure is written: .png, .pdf or .svg")] = Path("inspect.png"),
    how: Flat[ModelSettings] = ModelSettings(),
    source: Flat[DataSettings] = DataSettings(),
    drawn: Flat[SeedSettings] = SeedSettings(),
) -> None:
    """Show every map of every layer for one image, and what the network says."""
    from pellucid.data.fitting import fitted
    from pellucid.data.photos import read_photo
    from pellucid.see.dataset.activations import inspect as look
    from pellucid.see.models.open import open_model
    from pellucid.show import export
    from pellucid.show.figures.activations_figure import journey

    export.ready(out, export.FIGURES)
    seen = open_model(opened(model, how))
    if picture is not None:
        image, truth, classes = fitted(read_photo(picture).over(), seen.input_shape), None, None
    else:
        data = data_of(source, drawn.seed)
        chosen = getattr(data, split).take([index])
        image, truth, classes = chosen.images[0], int(chosen.labels[0]), data.classes
    inside = look(seen, image)
    wrote(
        export.save_figure(journey(image, inside.activations, inside.probabilities, truth=truth, classes=classes), out)
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
    model: AnyModel = "mnist-cnn",
    out: Annotated[
        Path | None, Parameter(help="the picture, .png (dream.png), .jpg or .webp; for many photos a folder (dreams)")
    ] = None,
    film: Annotated[Path | None, Parameter(help="a film of the rounds as well: .gif, .webp or .mp4")] = None,
    zoom: Annotated[int, Parameter(help="the film shows so many dreams, each nearer, instead of the rounds")] = 0,
    panel: Annotated[Path | None, Parameter(help="photo, gray, dream, contrast as one figure as well")] = None,
    mask: Annotated[Path | None, Parameter(help="a picture, white where to dream and black where not")] = None,
    area: Annotated[tuple[int, int, int, int] | None, Parameter(help="only in: left top right bottom, pixels")] = None,
    tiles: Annotated[tuple[int, ...], Parameter(help="only in these tiles of the last level, row by row from 0")] = (),
    how: Flat[ModelSettings] = ModelSettings(),
    settings: Flat[DreamSettings] = DreamSettings(),
    worker: Flat[EngineSettings] = EngineSettings(),
) -> None:
    """Carve what a unit likes into a photograph, or into many.

    Of many, those that lie in the folder already and are the same are not dreamt again; an engine works on many only.
    """
    from pellucid.show import dream_export
    from pellucid.spread.engines import engine_of

    where = {"mask": mask, "area": area, "tiles": tiles if tiles else None}
    asked = {"layer": layer, "unit": unit[0] if len(unit) == 1 else unit, **where, **given(settings)}
    with engine_of(**given(worker)) as engine:
        asked = {**asked, "engine": engine}
        for path in dream_export.save_dreams(
            photo, opened(model, how), out=out, film=film, zoom=zoom, panel_path=panel, **asked
        ):
            wrote(path)


@app.command
def octaves(
    photo: Annotated[Path, Parameter(help="a photograph")],
    /,
    *,
    layer: Layer,
    unit: Unit = -1,
    model: AnyModel = "mnist-cnn",
    guide: Annotated[Path | None, Parameter(help="a picture whose activations lead")] = None,
    out: Annotated[Path, Parameter(help="the picture: .png, .jpg or .webp")] = Path("octaves.png"),
    how: Flat[ModelSettings] = ModelSettings(),
    settings: Flat[OctaveSettings] = OctaveSettings(),
) -> None:
    """The classic deep dream, from small to large, for models that take images of any size."""
    from pellucid.data.photos import WRITERS
    from pellucid.see.dream.octaves import octaves as dream_deep
    from pellucid.show import export

    export.ready(out, tuple(WRITERS))
    deep = dream_deep(photo, opened(model, how), layer=layer, unit=unit, guide=guide, **given(settings))
    print(f"Layer {layer} says {deep.activation:.4f} of the dream and {deep.activation_before:.4f} of the photo.")
    wrote(deep.save(out))
