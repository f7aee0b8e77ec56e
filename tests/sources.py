"""sources: where the code under test lies, and how a file's path becomes a module's name."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"


def module_name(path: Path) -> str:
    """`src/pellucid/see/models/open.py` -> `pellucid.see.models.open`; a package's `__init__.py` -> the package."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
