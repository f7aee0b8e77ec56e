"""`make docs`: write the pages of docs/ that follow from the code; a test refuses to let them drift from it."""

import inspect
import re
import sys
from pathlib import Path
from unittest.mock import patch

from pellucid.cli import app
from pellucid.kernels import reference

HERE = Path(__file__).resolve().parent
NOTE = "<!-- Written by `make docs` from the commands themselves; change those, not this page. -->\n\n"
PRESETS = "\n## pellucid dream\n", "\n## pellucid dream\n\n![The presets](pictures/presets.webp)\n"
QUOTE = re.compile(r"(<!-- reference: (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)


def pages() -> dict[Path, str]:
    """Each generated page and what it must say."""
    with patch.object(sys, "argv", ["pellucid"]):  # else `python -m pytest` gets into the usage lines
        written = re.sub(r"\n {4}(?=\S)", " ", app.generate_docs())  # the help of an option is one line
        written = written.replace(*PRESETS, 1)
    commands = NOTE + written.rstrip() + "\n"
    learning = HERE / "learning.md"
    return {HERE / "cli.md": commands, learning: QUOTE.sub(quoted, learning.read_text(encoding="utf-8"))}


def quoted(match: re.Match[str]) -> str:
    """The function of the reference that stands between these marks."""
    code = inspect.getsource(getattr(reference, match[2])).strip()
    return f"{match[1]}```python\n{code}\n```\n{match[3]}"


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
        print(f"Wrote {path}")
