"""`make docs`: write the pages of docs/ that follow from the code; a test refuses to let them drift from it."""

import inspect
import re
import sys
from pathlib import Path
from unittest.mock import patch

from pellucid import settings
from pellucid.cli import app
from pellucid.kernels import reference
from pellucid.settings import Settings

HERE = Path(__file__).resolve().parent
NOTE = "<!-- Written by `make docs` from the commands themselves; change those, not this page. -->\n\n"
PRESETS = "\n## pellucid dream\n", "\n## pellucid dream\n\n![The presets](pictures/presets.webp)\n"
SETTINGS = """<!-- Written by `make docs` from `pellucid.settings`; change that, not this page. -->

# Every setting

The same words, defaults and ranges hold for a keyword of the front door (`pc.patterns(..., steps=60)`), an option of a
command (`--steps 60`; `_` is `-` there) and a control of the studio. Which [command](cli.md) takes which is said there.
"""
QUOTE = re.compile(r"(<!-- reference: (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)
TABLE = re.compile(r"(<!-- table: (\S+) (\d+) -->\n).*?(<!-- end -->\n)", re.DOTALL)


def pages() -> dict[Path, str]:
    """Each generated page and what it must say."""
    with patch.object(sys, "argv", ["pellucid"]):  # else `python -m pytest` gets into the usage lines
        written = re.sub(r"\n {4}(?=\S)", " ", app.generate_docs())  # the help of an option is one line
        written = written.replace(*PRESETS, 1).replace("# pellucid\n", "# Every command\n", 1)
        written = written.replace("## Table of", f"{app.help_epilogue}\n## Table of", 1)
    # as headings are linked
    written = written.replace("#pellucid-install-completion", "#pellucid---install-completion")
    commands = NOTE + written.rstrip() + "\n"
    learning, peers = ((HERE / name).read_text(encoding="utf-8") for name in ("learning.md", "peers.md"))
    return {
        HERE / "cli.md": commands,
        HERE / "settings.md": settings_page(),
        HERE / "learning.md": QUOTE.sub(quoted, learning),
        HERE / "peers.md": TABLE.sub(table_of, peers),
    }


def settings_page() -> str:
    """A table of each group of settings, where each setting stands once."""
    groups = [group for group in vars(settings).values() if inspect.isclass(group) and issubclass(group, Settings)]
    parts = [SETTINGS]
    for group in (group for group in groups if group is not Settings):
        own = {name: info for name, info in group.model_fields.items() if name in group.__annotations__}
        beside = [f"[{base.__name__}](#{base.__name__.lower()})" for base in group.__bases__ if base is not Settings]
        parts.append(f"\n## {group.__name__}\n\n{group.__doc__ or ''}".rstrip())
        parts.append(f"\nBeside these, all of {' and '.join(beside)}." if beside else "")
        parts.append("\n| setting | default | what it is |\n|---|---|---|")
        parts += [f"| `{name}` | {default(info.default)} | {cell(info.description)} |" for name, info in own.items()]
    return "\n".join(part for part in parts if part) + "\n"


def default(value: object) -> str:
    """A default as one types it; what holds where there is none is told in words, in the last column."""
    return "" if value in (None, ()) else f"`{value}`"


def cell(text: str) -> str:
    """Words as a cell of a table."""
    return re.sub(r"([|*<])", r"\\\1", text)


def table_of(match: re.Match[str]) -> str:
    """The table of that number, from 1, on the page that stands between these marks."""
    tables = re.findall(r"(?:^\|.*\n)+", (HERE / match[2]).read_text(encoding="utf-8"), re.MULTILINE)
    return f"{match[1]}\n{tables[int(match[3]) - 1]}\n{match[4]}"


def quoted(match: re.Match[str]) -> str:
    """The function of the reference that stands between these marks."""
    code = inspect.getsource(getattr(reference, match[2])).strip()
    return f"{match[1]}```python\n{code}\n```\n{match[3]}"


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
        print(f"Wrote {path}")
