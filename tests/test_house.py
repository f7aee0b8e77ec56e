"""The house: arrows between rooms, no circles of files, kinds of models and compiled code in their places, short files.

Every import counts, those inside functions and those for type checkers too.
"""

import ast
from functools import cache

import pytest

from sources import SOURCE, module_name

# What each room may import beside itself.
BASE = {"errors", "signatures", "files", "settings", "progress", "executors"}
ROOMS = {
    "errors": set(),
    "signatures": {"errors"},
    "files": {"errors"},
    "settings": {"errors"},
    "progress": {"errors"},
    "executors": {"errors", "progress"},
    "kernels": {"errors", "progress"},
    "data": {"kernels", *BASE},
    "learn": {"data", "kernels", *BASE},
    "see": {"learn", "data", "kernels", *BASE},
    "show": {"see", "learn", "data", "kernels", *BASE},
    "spread": {"see", "learn", "data", "kernels", *BASE},
    "cli": {"show", "spread", "see", "learn", "data", "kernels", *BASE},
    "__main__": {"cli"},
}
# The same inside `see`.
SEE = {
    "validation": set(),
    "models": {"validation"},
    "objectives": {"models", "validation"},
    "optimize": {"objectives", "models", "validation"},
    "patterns": {"optimize", "objectives", "models", "validation"},
    "dream": {"optimize", "objectives", "models", "validation"},
    "dataset": {"optimize", "objectives", "models", "validation"},
    "judge": {"patterns", "dataset", "optimize", "objectives", "models", "validation"},
}
COMPILERS = {"numba", "llvmlite"}

PACKAGE = SOURCE / "pellucid"
FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
INSIDE = [name for name in FILES if name != "pellucid"]


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_text(encoding="utf-8"))


@cache
def imported(module: str) -> frozenset[str]:
    """Every module that a file imports; of `from package import name`, `package.name` where that is a module."""
    names = set()
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}, line {node.lineno}: relative import"
            assert node.module is not None
            inner = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            names |= {path if path in FILES else node.module for path in inner.values()}
    return frozenset(names)


def rooms(modules: frozenset[str], package: str) -> set[str]:
    """The rooms of a package that these modules lie in."""
    inside = [name.removeprefix(f"{package}.") for name in modules if name.startswith(f"{package}.")]
    return {name.partition(".")[0] for name in inside}


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """The strongly connected components of more than one node: each node of one reaches every other."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            news = graph[waiting.pop()] - seen
            seen |= news
            waiting += news
        return seen

    reach = {node: reached(node) for node in graph}
    found: list[set[str]] = []
    for node in graph:
        circle = {other for other in reach[node] if node in reach[other]}
        if circle and circle not in found:
            found.append(circle)
    return found


@pytest.mark.parametrize("module", INSIDE)
def test_rooms_import_only_what_stands_before_them(module):
    """Rejects a room that reaches up (`learn` that knows of `see`) or to its side (`show` that knows of `spread`)."""
    room = module.split(".")[1]
    assert rooms(imported(module), "pellucid") <= ROOMS[room] | {room}


@pytest.mark.parametrize("module", [name for name in INSIDE if name.startswith("pellucid.see.")])
def test_inside_see_arrows_go_one_way(module):
    """Rejects a model that knows the optimizer, an objective that knows its ascent, a dream that needs patterns."""
    room = module.split(".")[2]
    assert rooms(imported(module), "pellucid.see") <= SEE[room] | {room}


def test_no_file_is_in_a_circle_of_imports():
    """Rejects two files that need each other, be it by an import inside a function."""
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == [{"b", "c"}]
    assert circles({name: set(imported(name) & FILES.keys()) - {name} for name in INSIDE}) == []


@pytest.mark.parametrize("module", FILES)
def test_only_kernels_compile(module):
    """Rejects compiled code beside the method, which the reference kernels would not replace, and ways around the
    interface of `kernels`."""
    if module.startswith("pellucid.kernels"):
        return
    assert not {name.partition(".")[0] for name in imported(module)} & COMPILERS
    assert not [name for name in imported(module) if name.startswith("pellucid.kernels.")]


def kinds_of_models() -> set[str]:
    """The classes in `see/models` that derive from Model."""
    return {
        node.name
        for module in FILES
        if module.startswith("pellucid.see.models.")
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id in ("Model", "HookedModel") for base in node.bases)
    }


@pytest.mark.parametrize("module", [name for name in INSIDE if not name.startswith("pellucid.see.models.")])
def test_kinds_of_models_are_known_to_their_own_files_only(module):
    """Rejects `isinstance(model, TorchModel)`: what a kind of model can do is a method of Model."""
    kinds = kinds_of_models()
    assert {"TorchModel", "KerasModel", "NetworkModel"} <= kinds
    named = {
        getattr(node, "id", getattr(node, "attr", getattr(node, "name", None))) for node in ast.walk(tree_of(module))
    }
    assert not named & kinds


@pytest.mark.parametrize("module", FILES)
def test_files_and_functions_fit_a_reader(module):
    """Rejects a module without an opening, a file of more than 400 lines, a function of more than a screen."""
    assert ast.get_docstring(tree_of(module))
    assert len(FILES[module].read_text(encoding="utf-8").splitlines()) <= 400
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = [n for n in node.body if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))]
            length = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert length <= 45, f"{node.name} has {length} lines"


def test_the_machine_room_keeps_its_budget():
    """Rejects a room of compiled code that grows until nobody reads it: 2,500 lines, the reference included."""
    files = sorted((SOURCE / "pellucid" / "kernels").glob("*.py"))
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files) <= 2500
    assert len((SOURCE / "pellucid" / "kernels" / "reference.py").read_text(encoding="utf-8").splitlines()) <= 450
