"""`make docs`: write the pages of docs/ that follow from the code; a test refuses to let them drift from it."""

import sys
from pathlib import Path
from unittest.mock import patch

from pellucid.cli import app

HERE = Path(__file__).resolve().parent
NOTE = "<!-- Written by `make docs` from the commands themselves; change those, not this page. -->\n\n"


def pages() -> dict[Path, str]:
    """Each generated page and what it must say."""
    with patch.object(sys, "argv", ["pellucid"]):  # else `python -m pytest` gets into the usage lines
        return {HERE / "cli.md": NOTE + app.generate_docs().rstrip() + "\n"}


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
        print(f"Wrote {path}")
