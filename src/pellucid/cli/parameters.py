"""Parameters: what commands share -> its words in their help, and each setting under its heading.

Flat: a group of settings -> options of a command, so that names, defaults, ranges and help exist once
"""

from pathlib import Path
from typing import Annotated, TypeVar

from cyclopts import Group, Parameter

from pellucid import settings

GROUPS = {heading: Parameter(group=Group.create_ordered(heading)) for heading in settings.HEADINGS}
for _group in vars(settings).values():
    for _info in getattr(_group, "model_fields", {}).values():
        if (_heading := _info.json_schema_extra["heading"]) != settings.HEADINGS[0]:  # those stand with a command's own
            _info.metadata = [*_info.metadata, GROUPS[_heading]]

T = TypeVar("T")
Flat = Annotated[T, Parameter(name="*")]  # the fields of a group become options of the command
FurtherFile = Annotated[Path | None, GROUPS["Further files"]]
Architecture = Annotated[str, Parameter(help="architecture: a name, such as cnn-4-4-8-16, or a TOML file")]
_MODEL = "model: a name of `pellucid models`, such as mnist-cnn or timm:resnet50, a file, or package.module:factory"
AnyModel = Annotated[str, Parameter(help=_MODEL)]
Layer = Annotated[str, Parameter(help="name of the layer, as `pellucid layers MODEL` lists it")]
Unit = Annotated[int, Parameter(help="unit of the layer, counted from 0; -1 for the mean of the whole layer")]
_PART = (
    "split of the data that the images are from: train, dev, test or all; or the sizes of the three splits, such as "
    "60000,0,10000 (default: {}; all of images in one piece, for a model that Pellucid did not train)"
)
TestPart = Annotated[str | None, Parameter(help=_PART.format("test"))]
TrainPart = Annotated[str | None, Parameter(help=_PART.format("train"))]
