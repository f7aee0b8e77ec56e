"""The command line's app and the words that its verbs share.

Flat: a group of settings -> options of a command, so that names, defaults, ranges and words exist once
"""

from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from cyclopts import App, Parameter

T = TypeVar("T")
Flat = Annotated[T, Parameter(name="*")]  # the fields of a group become options of the command
Architecture = Annotated[str, Parameter(help="an architecture's name, such as cnn-4-4-8-16, or a TOML file")]
Model = Annotated[str, Parameter(help="a bundled network's name, such as mnist-cnn, or a file")]
AnyModel = Annotated[
    str, Parameter(help="a bundled network's name, such as mnist-cnn, a file, or package.module:factory")
]
Layer = Annotated[str, Parameter(help="a layer's name (see: pellucid layers MODEL)")]
Unit = Annotated[int, Parameter(help="one unit of the layer, from 0; -1 is the mean of the whole layer")]
Which = Annotated[Literal["train", "dev", "test"], Parameter(help="which of the images")]
Start = Annotated[Path | None, Parameter(help="begin from patterns that were saved as .npz or .csv, or from a picture")]
Out = Annotated[Path, Parameter(help="where the result is written")]

app = App(
    name="pellucid",
    help="""Train an image network from scratch, see what every unit answers to, let it dream on a photograph.

Start with `pellucid tour`. Every command explains itself: `pellucid COMMAND --help`. With `--debug`, an error shows
where it came from.""",
    version=lambda: metadata.version("pellucid"),
    default_parameter=Parameter(consume_multiple=True, negative_iterable=()),
    suppress_keyboard_interrupt=False,
)


def wrote(path: Path) -> None:
    """Say where a result lies, on stdout."""
    print(f"Wrote {path}")
