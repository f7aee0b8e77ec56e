"""The verbs of showing: tour, atlas, studio."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pellucid.cli.app import AnyModel, Flat, app, wrote
from pellucid.cli.arguments import given, opened
from pellucid.errors import PellucidError
from pellucid.settings import (
    AtlasDataSettings,
    AtlasSettings,
    DataSettings,
    EngineSettings,
    ModelSettings,
    SeedSettings,
    StudioSettings,
)


@app.command
def tour(
    *,
    out: Annotated[Path, Parameter(help="the folder that the page is written to")] = Path("tour"),
    source: Flat[DataSettings] = DataSettings(),
    drawn: Flat[SeedSettings] = SeedSettings(),
) -> None:
    """Train a network, open another, see its maps, dream: one page to look at."""
    from pellucid.show.tour.tour import run_tour

    wrote(run_tour(out, source.data, data_dir=source.data_dir, seed=drawn.seed).page)


@app.command
def atlas(
    model: AnyModel,
    /,
    *,
    out: Annotated[Path, Parameter(help="the folder that the site is written to")] = Path("atlas"),
    how: Flat[ModelSettings] = ModelSettings(),
    source: Flat[AtlasDataSettings] = AtlasDataSettings(),
    settings: Flat[AtlasSettings] = AtlasSettings(),
    where: Flat[EngineSettings] = EngineSettings(),
) -> None:
    """Write a site that shows every unit of a model: its patterns, its strongest images, its neighbours.

    What was interrupted goes on with the same command, on the same engine or another.
    """
    from pellucid.show.atlas.build import atlas as make
    from pellucid.spread.engines import engine_of

    with engine_of(**given(where)) as engine:
        made = make(opened(model, how), out, source.data, data_dir=source.data_dir, engine=engine, **given(settings))
    wrote(made.page)


@app.command
def studio(
    *models: Annotated[str, Parameter(help="models of your own to open in it, beside those that come with Pellucid")],
    how: Flat[ModelSettings] = ModelSettings(),
    source: Flat[DataSettings] = DataSettings(),
    drawn: Flat[SeedSettings] = SeedSettings(),
    settings: Flat[StudioSettings] = StudioSettings(),
) -> None:
    """Open the studio: draw, watch patterns evolve, dream, train, in a browser on this machine."""
    try:
        from pellucid.show.studio.app import serve
    except ModuleNotFoundError as error:
        if error.name not in ("gradio", "fastapi", "uvicorn", "starlette"):
            raise
        raise PellucidError(
            "The studio needs the package gradio; install it: pip install 'pellucid[studio]'."
        ) from None

    if given(how) and not models:
        option = next(iter(given(how))).replace("_", "-")
        raise PellucidError(f"Option '--{option}' says how a model of your own is opened; name the model too.")
    serve(settings, [opened(model, how) for model in models], source, drawn.seed)
