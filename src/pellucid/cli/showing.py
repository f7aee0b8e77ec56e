"""The commands of showing: tour, atlas, judge, studio."""

import sys
from pathlib import Path

from pellucid.cli.app import print_written
from pellucid.cli.arguments import command_of, given_options, model_of, other_of
from pellucid.cli.parameters import AnyModel, Flat, Layer
from pellucid.errors import PellucidError, requiring
from pellucid.files import check_output
from pellucid.settings import (
    AtlasSettings,
    DataSettings,
    EngineSettings,
    JudgeDataSettings,
    JudgeSettings,
    ModelSettings,
    OptionalDataSettings,
    SeedSettings,
    StudioSettings,
)


def tour(
    *,
    out: Path = Path("tour"),
    source: Flat[DataSettings] = DataSettings(),
    random: Flat[SeedSettings] = SeedSettings(),
) -> None:
    """Train a network, open another, see its maps, dream: write one page of it all.

    Args:
        out: folder for the page
    """
    from pellucid.show.tour.tour import run_tour

    print_written(run_tour(out, source.data, data_dir=source.data_dir, seed=random.seed).page)


def atlas(
    model: AnyModel,
    /,
    *,
    out: Path = Path("atlas"),
    beside: str | None = None,
    checkpoints: Path | None = None,
    how: Flat[ModelSettings] = ModelSettings(),
    source: Flat[OptionalDataSettings] = OptionalDataSettings(),
    settings: Flat[AtlasSettings] = AtlasSettings(),
    execution: Flat[EngineSettings] = EngineSettings(),
) -> None:
    """Write a site that shows every unit of a model: its patterns, its strongest images, its neighbours.

    The same command continues an atlas that was interrupted, on the same engine or another.

    Args:
        out: folder for the site
        beside: another model of the same input, whose units are matched by what they answer to the data (default: none)
        checkpoints: folder of files of the same model while it learnt, in the order of their names (default: none)
    """
    from pellucid.show.atlas.beside import checkpoint_files
    from pellucid.show.atlas.build import atlas as make
    from pellucid.spread.engines import engine_of

    words = ["pellucid", "atlas", model]
    also = {"out": out, "beside": beside, "checkpoints": checkpoints}
    command = command_of(words, how, source, settings, without=("resume", "chunk"), **also)
    asked = {"data_dir": source.data_dir, "command": command, **given_options(settings)}
    if beside is not None:
        asked["beside"] = other_of(beside, model, how)
    if checkpoints is not None:
        files = checkpoint_files(checkpoints)
        asked["checkpoints"] = {name: other_of(str(path), model, how) for name, path in files.items()}
    with engine_of(**given_options(execution)) as engine:
        made = make(model_of(model, how), out, source.data, engine=engine, **asked)
    print_written(made.page)


def judge(
    model: AnyModel,
    layer: Layer,
    /,
    *,
    units: tuple[int, ...] = (),
    judges: tuple[str, ...] = (),
    out: Path | None = None,
    how: Flat[ModelSettings] = ModelSettings(),
    source: Flat[JudgeDataSettings] = JudgeDataSettings(),
    settings: Flat[JudgeSettings] = JudgeSettings(),
) -> None:
    """Tell how much to believe patterns, by other networks, and images that had no part in them.

    Args:
        units: units of the layer, counted from 0 (default: all of them)
        judges: networks that compare, names or files (default: those of `pellucid models` that take as many channels)
        out: table (.csv) for the numbers (default: none)
    """
    from pellucid.see.dataset.fitting import data_for
    from pellucid.see.judge.judge import SUFFIXES
    from pellucid.see.judge.judge import judge as ask
    from pellucid.see.models.open import open_model

    if out is not None:
        check_output(out, SUFFIXES)
    seen = open_model(model_of(model, how))
    data = None if source.data is None else data_for(seen, source.data, source.data_dir, settings.seed)
    found = ask(seen, layer, units=list(units) or None, data=data, judges=judges or None, **given_options(settings))
    print(found)
    if out is not None:
        print_written(found.save(out))


def studio(
    *models: str,
    how: Flat[ModelSettings] = ModelSettings(),
    source: Flat[DataSettings] = DataSettings(),
    random: Flat[SeedSettings] = SeedSettings(),
    settings: Flat[StudioSettings] = StudioSettings(),
) -> None:
    """Open the studio: draw, watch patterns evolve, dream, train, in a browser on this machine.

    Args:
        models: models of your own to open in it (default: those that come with Pellucid)
    """
    if given_options(how) and not models:
        option = next(iter(given_options(how))).replace("_", "-")
        raise PellucidError(f"Option '--{option}' says how a model of your own is opened; name the model too.")
    print("The studio is starting ...", file=sys.stderr, flush=True)  # importing PyTorch and Gradio takes a while
    missing = "The studio needs the package gradio; install it: pip install 'pellucid[studio]'."
    with requiring(("gradio", "fastapi", "uvicorn", "starlette"), missing):
        from pellucid.show.studio.app import serve
    serve(settings, [model_of(model, how) for model in models], source, random.seed)
