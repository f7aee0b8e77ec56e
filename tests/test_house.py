"""The house: rooms import in one direction only, and no file or function outgrows a reader."""

import ast
from pathlib import Path

import pytest

from sources import SOURCE, module_name

# A room may import itself and what stands before it; `spread` and `show` compose side by side, `cli` comes last.
ORDER = [
    "errors",
    "files",
    "settings",
    "progress",
    "executors",
    "kernels",
    "data",
    "learn",
    "zoo",
    "see",
    "show",
    "spread",
    "cli",
    "__main__",
]
FILES = sorted((SOURCE / "pellucid").rglob("*.py"))
ROOMS = [path for path in FILES if path != SOURCE / "pellucid" / "__init__.py"]


def imported(tree: ast.Module) -> set[str]:
    """Every module that a file imports anywhere, inside functions and for type checkers too."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def rooms_of(names: set[str]) -> set[str]:
    parts = [name.split(".") for name in names]
    return {part[1] for part in parts if part[0] == "pellucid" and len(part) > 1 and part[1] in ORDER}


@pytest.mark.parametrize("path", ROOMS, ids=module_name)
def test_rooms_import_only_what_stands_before_them(path: Path):
    """Rejects a room that reaches up (`learn` that knows of `see`), and so circles."""
    room = module_name(path).split(".")[1]
    assert room in ORDER
    beyond = set(ORDER[ORDER.index(room) + 1 :])
    assert not rooms_of(imported(ast.parse(path.read_text(encoding="utf-8")))) & beyond


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_files_and_functions_fit_a_reader(path: Path):
    """Rejects a module without an opening, a file of more than 400 lines, a function of more than a screen."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    assert len(text.splitlines()) <= 400
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = [n for n in node.body if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))]
            length = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert length <= 45, f"{node.name} has {length} lines"
