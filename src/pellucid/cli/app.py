"""The command line's app, and the parameters that its commands share.

Flat: a group of settings -> options of a command, so that names, defaults, ranges and help exist once
"""

from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cyclopts import App, Parameter

T = TypeVar("T")
Flat = Annotated[T, Parameter(name="*")]  # the fields of a group become options of the command
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
]
_PART = (
    "split of the data that the images are from: train, dev, test or all; or the sizes of the three splits, such as "
    "60000,0,10000 (default: {}; all of images in one piece, for a model that Pellucid did not train)"
)
TestPart = Annotated[str | None, Parameter(help=_PART.format("test"))]
TrainPart = Annotated[str | None, Parameter(help=_PART.format("train"))]


def _shown(default: Any) -> str | None:
    """A default as a person would type it; None where there is nothing to type, and the help says what holds."""
    if isinstance(default, tuple):
        return " ".join(str(value) for value in default) or None
    if isinstance(default, bool):
        return "yes" if default else "no"
    return None if default is None else f"{default:g}" if isinstance(default, float) else str(default)


app = App(
    name="pellucid",
    help="""Train an image network from scratch, see what every unit answers to, let it dream on a photograph.

Start with `pellucid tour`. Every command explains itself: `pellucid COMMAND --help`. With `--debug`, an error shows
where it came from.""",
    version=lambda: metadata.version("pellucid"),
    default_parameter=Parameter(consume_multiple=True, negative_iterable=(), show_default=_shown),
    suppress_keyboard_interrupt=False,
)


def print_written(path: Path) -> None:
    """Print where a result was written."""
    print(f"Wrote {path}")
