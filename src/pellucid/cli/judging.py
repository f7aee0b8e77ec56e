"""The command of judging: judge."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pellucid.cli.app import AnyModel, Flat, Layer, app, print_written
from pellucid.cli.arguments import given_options, model_of
from pellucid.files import check_output
from pellucid.settings import AtlasDataSettings, JudgeSettings, ModelSettings


@app.command
def judge(
    model: AnyModel,
    layer: Layer,
    /,
    *,
    units: tuple[int, ...] = (),
    judges: Annotated[
        tuple[str, ...], Parameter(help="networks that compare, by name or file (default: others of as many channels)")
    ] = (),
    out: Path | None = None,
    how: Flat[ModelSettings] = ModelSettings(),
    source: Flat[AtlasDataSettings] = AtlasDataSettings(),
    settings: Flat[JudgeSettings] = JudgeSettings(),
) -> None:
    """Tell how much to believe the patterns of a layer's units, by other networks and images that had no part in them.

    Args:
        units: units of the layer, counted from 0 (default: all of them)
        out: file for the numbers: .csv or .json (default: none)
    """
    from pellucid.see.dataset.fitting import data_for
    from pellucid.see.judge.judge import SUFFIXES
    from pellucid.see.judge.judge import judge as ask
    from pellucid.see.models.open import open_model

    if out is not None:
        check_output(out, SUFFIXES)
    seen, data = open_model(model_of(model, how)), None
    if source.data is not None:
        data = data_for(seen, source.data, source.data_dir, settings.seed)
    found = ask(seen, layer, units=list(units) or None, data=data, judges=judges or None, **given_options(settings))
    print(found.listing())
    if out is not None:
        print_written(found.save(out))
