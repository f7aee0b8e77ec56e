"""Parameters: what commands share -> its words in their help, and each setting under its heading.

Flat: a group of settings -> options of a command, so that names, defaults, ranges and help exist once
"""

from pathlib import Path
from typing import Annotated, TypeVar

from cyclopts import Group, Parameter

from pellucid import settings

GROUPS = {heading: Parameter(group=Group.create_ordered(heading)) for heading in settings.HEADINGS}


def _put_under_headings() -> None:
    """Tell cyclopts the heading of each setting; the common ones stand with the command's own options."""
    for group in vars(settings).values():
        for info in getattr(group, "model_fields", {}).values():
            if (heading := info.json_schema_extra["heading"]) != settings.HEADINGS[0]:
                info.metadata = [*info.metadata, GROUPS[heading]]


_put_under_headings()
T = TypeVar("T")
Flat = Annotated[T, Parameter(name="*")]  # the fields of a group become options of the command
FurtherFile = Annotated[Path | None, GROUPS["Further files"]]
Architecture = Annotated[str, Parameter(help="architecture: a name, such as cnn-4-4-8-16, or a TOML file")]
AnyModel = Annotated[
    str,
    Parameter(
        help="model: a name of `pellucid models`, such as mnist-cnn or timm:resnet50, a file, or package.module:factory"
    ),
]
Layer = Annotated[str, Parameter(help="name of the layer, as `pellucid layers MODEL` lists it")]
Unit = Annotated[int, Parameter(help="unit of the layer, counted from 0; -1 for the mean of the whole layer")]
Start = Annotated[
    str | None,
    Parameter(
        help="initial images: a file of patterns or pixels (.npz, .csv), a picture, an image of the data such as "
        "mnist:test:123, or the mean of those taken for a class, such as mnist:average:7 (default: noise)"
    ),
    GROUPS["Initial images"],
]
_PART = (
    "split of the data that the images are from: train, dev, test or all; or the sizes of the three splits, such as "
    "60000,0,10000 (default: {}; all of images in one piece, for a model that Pellucid did not train)"
)
TestPart = Annotated[str | None, Parameter(help=_PART.format("test"))]
TrainPart = Annotated[str | None, Parameter(help=_PART.format("train"))]
