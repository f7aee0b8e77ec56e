"""The command about models themselves: models."""

from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pellucid.cli.app import Flat, app, print_written
from pellucid.cli.arguments import model_options
from pellucid.errors import PellucidError
from pellucid.files import check_output
from pellucid.settings import ModelSettings


@app.command
def models(
    model: Annotated[
        str, Parameter(help="names to list, such as 'timm:*vit*', or with --save the model (default: what is here)")
    ] = "",
    /,
    *,
    save: Annotated[
        Path | None,
        Parameter(help="model file (.toml) that will open this model with these options (default: none is written)"),
    ] = None,
    how: Flat[ModelSettings] = ModelSettings(),
) -> None:
    """List the models that open by a name, on this machine and over the network, or write a model file."""
    from pellucid.see.models import model_files, names, open as opening

    if save is not None:
        check_output(save, (model_files.SUFFIX,))
        if not model:
            raise PellucidError("Nothing was named to save; write `pellucid models MODEL --save mine.toml`.")
        print_written(model_files.save(save, model, **model_options(how)))
        return
    here = {name: "comes with Pellucid" for name in opening.zoo()} | dict.fromkeys(names.local(), "on this machine")
    which, _, _ = model.partition(":")
    if which in names.LIBRARIES and ":" in model:
        listed = names.LIBRARIES[which].listed(names.imported(which))
        here = dict.fromkeys((f"{which}:{name}" for name in listed), "over the network") | here
    found = {name: where for name, where in here.items() if fnmatch(name, model or "*")}
    for name, where in found.items():
        print(f"{name:<40} {where}")
    if not model:
        print("\nOver the network, with the weights, size, scaling and classes of their library:")
        for which, library in names.LIBRARIES.items():
            there = find_spec(library.package) is not None
            print(f"{which}:NAME  " + (f"pellucid models '{which}:*'" if there else f"pip install 'pellucid[{which}]'"))
    elif not found:
        raise PellucidError(f"No model is called '{model}'; `pellucid models` lists what there is.")
