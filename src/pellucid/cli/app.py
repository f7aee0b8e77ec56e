"""The command line's app: the functions of this room that do not begin with _ -> commands, imported when they are run.

Their help is read off the source, since importing all of them would take longer than the rest of `pellucid --help`.
"""

import ast
from contextvars import ContextVar
from importlib import metadata
from pathlib import Path
from typing import Any

from cyclopts import App, Group, Parameter


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

Start with `pellucid tour`. Every command explains itself: `pellucid COMMAND --help`.""",
    help_epilogue="With each command: --quiet (-q) for results, warnings and errors alone; --verbose (-v) for what it "
    "ran on and how long; --debug for where an error came from.\n",
    group_commands=Group.create_ordered("Options", sort_key=1),
    group_parameters=Group.create_ordered("Common options", sort_key=0),
    version=lambda: metadata.version("pellucid"),
    default_parameter=Parameter(consume_multiple=True, negative_iterable=(), show_default=_shown),
    suppress_keyboard_interrupt=False,
)
verbose = ContextVar("verbose", default=False)
"""Whether more was asked for than is printed else."""


def print_written(path: Path) -> None:
    """Print where a result was written."""
    print(f"Wrote {path}")


def _register(heading: str, *rooms: str) -> None:
    """Make commands of the functions in these files, and list them in help under the heading."""
    group = Group.create_ordered(heading, sort_key=0)
    for room in rooms:
        for node in ast.parse(Path(__file__).with_name(f"{room}.py").read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                app.command(f"pellucid.cli.{room}:{node.name}", help=ast.get_docstring(node), group=group)


_register("Learning", "learning")
_register("Seeing", "seeing", "models")
_register("Dreaming", "dreaming")
_register("Showing", "showing")
app.register_install_completion_command(help="Let the shell complete commands and options, from its next start on.")
