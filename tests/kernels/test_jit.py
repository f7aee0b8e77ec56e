"""How loops are compiled is the same in every process, whichever room it enters first."""

import ast
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import pytest

SOURCE = Path(__file__).parents[1] / "src" / "pellucid"
WIDE = "-prefer-256-bit"
CODE = """
import importlib
importlib.import_module({module!r})
from numba.core.registry import cpu_target
print({wide!r} in cpu_target.target_context.codegen().magic_tuple()[-1])
"""


@pytest.mark.skipif(not llvm.get_host_cpu_features().get("avx512f"), reason="this processor has no wider vectors")
@pytest.mark.parametrize("module", ["data.standardization", "learn.team", "learn.network", "see.passes"])
def test_whoever_comes_first_finds_wide_vectors(module):
    """Rejects a wish that Numba hears of too late: sums then differ from one process to the next, and a training that
    is resumed goes another way."""
    code = CODE.format(module=f"pellucid.{module}", wide=WIDE)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert run.stdout.strip() == "True"


def test_decorators_come_from_one_place():
    """Rejects a loop that is compiled before anybody has asked for wide vectors."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "numba" and path.name != "jit.py":
                assert not {name.name for name in node.names} & {"njit", "jit", "vectorize", "guvectorize"}, path
