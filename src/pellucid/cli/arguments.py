"""Arguments: what a person said on the command line -> what the library takes.

Rooms are imported inside, so that `pellucid --help` does not wait for them.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pellucid.errors import PellucidError
from pellucid.settings import DataSettings, Settings

if TYPE_CHECKING:
    import numpy as np

    from pellucid.data.splits import Data
    from pellucid.learn.network import Network


def data_of(source: DataSettings, seed: int) -> "Data":
    """The images that the options name."""
    from pellucid.data.load import load_data

    return load_data(source.data, source.data_dir, seed)


def class_names(images: "Data", count: int) -> list[str]:
    """Names for a network's classes, numbers beyond those that the data name."""
    return [images.classes[index] if index < len(images.classes) else str(index) for index in range(count)]


def start_of(start: Path | None) -> "np.ndarray | None":
    """The images of saved patterns, if any were named."""
    from pellucid.see.keeping import load_images

    return None if start is None else load_images(start)


def network_of(model: str) -> "Network":
    """The network of `learn` behind a name or a file."""
    from pellucid.see.models import open_model
    from pellucid.see.scratch import ScratchModel

    opened = open_model(model)
    if not isinstance(opened, ScratchModel):
        raise PellucidError(
            f"'{model}' was not trained by Pellucid, so it has no hand-written parts; give one that was."
        )
    return opened.network


def given(settings: Settings) -> dict[str, Any]:
    """The options that were given, and no others."""
    return settings.model_dump(exclude_unset=True)
