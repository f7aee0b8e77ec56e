"""The command about models themselves: models."""

from fnmatch import fnmatch
from pathlib import Path

from pellucid.cli.app import print_written
from pellucid.cli.arguments import model_options
from pellucid.cli.parameters import Flat
from pellucid.errors import PellucidError
from pellucid.files import check_output
from pellucid.settings import ModelSettings, SeedSettings


def models(
    model: str | None = None,
    /,
    *,
    save: Path | None = None,
    how: Flat[ModelSettings] = ModelSettings(),
    random: Flat[SeedSettings] = SeedSettings(),
) -> None:
    """List the models that open by a name, on this machine and over the network, or write a model file.

    Args:
        model: names to list, such as 'timm:*vit*', or with --save the model (default: what is here)
        save: model file (.toml) that will open this model with these options (default: none is written)
    """
    from pellucid.see.models import model_files, names
    from pellucid.see.models import open as opening

    if save is not None:
        check_output(save, (model_files.SUFFIX,))
        if model is None:
            raise PellucidError("Nothing was named to save; write `pellucid models MODEL --save mine.toml`.")
        options = model_options(how)
        print_written(model_files.save(save, model, opening.open_model(model, **options), **options))
        return
    here = dict.fromkeys(opening.zoo(), "comes with Pellucid") | dict.fromkeys(names.local(), "on this machine")
    which = (model or "").partition(":")[0]
    if which in names.LIBRARIES:
        listed = names.LIBRARIES[which].listed(names.imported(which))
        here = dict.fromkeys((f"{which}:{name}" for name in listed), "over the network") | here
    found = {name: where for name, where in here.items() if fnmatch(name, model or "*")}
    for name, where in found.items():
        print(f"{name:<40} {where}")
    if model is None:
        print("\nOver the network, with the weights, size, scaling and classes of their library:")
        for which, library in names.LIBRARIES.items():
            there = names.is_installed(library.package)
            print(f"{which}:NAME  " + (f"pellucid models '{which}:*'" if there else f"pip install 'pellucid[{which}]'"))
    elif not found:
        all_of_them = f" '{which}:*'" if which in names.LIBRARIES else ""
        raise PellucidError(f"No model is called '{model}'; `pellucid models{all_of_them}` lists what there is.")
