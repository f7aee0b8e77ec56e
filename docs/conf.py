"""Sphinx: docs/*.md, the notebooks and the docstrings -> build/site (`make docs`).

The generator is chosen by upkeep: Sphinx and MyST are released every few months, by many hands, and read docstrings
themselves, while MkDocs had its last release in 2024, Material for MkDocs ends in 2027, and Zensical is still below
1.0. Furo needs no more than the palette to be ours. Formulas become MathML, which browsers draw by themselves, so that
the site needs no network.
"""

import ast
import dataclasses
import inspect
import re
import textwrap
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

import pellucid
from pellucid.show.style import DARK, LIGHT, MONO, SANS, SERIF, Palette

project, author, copyright = "Pellucid", "The Pellucid authors", "The Pellucid authors. Apache-2.0"  # noqa: A001
version = release = pellucid.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc"]
exclude_patterns = ["**/.ipynb_checkpoints"]
nitpicky = True
nitpick_ignore_regex = [("py:.*", ".*")]  # types of signatures, which other libraries document

myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 4
smartquotes = False
nb_execution_mode = "force"  # git holds no outputs
nb_execution_in_temp = True
nb_execution_timeout = 300
nb_execution_raise_on_error = nb_execution_show_tb = True
nb_output_stderr = "remove"  # bars, which replace themselves nowhere but in a notebook
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
maximum_signature_line_length = 100


def furo(palette: Palette) -> dict[str, str]:
    """The project's colors and type in the words of the theme."""
    return {
        "color-brand-primary": palette.accent,
        "color-brand-content": palette.accent,
        "color-brand-visited": palette.accent,
        "color-link--visited": palette.accent,
        "color-background-primary": palette.paper,
        "color-background-secondary": palette.raised,
        "color-background-hover": palette.line,
        "color-background-border": palette.line,
        "color-foreground-primary": palette.ink,
        "color-foreground-secondary": palette.muted,
        "color-foreground-muted": palette.muted,
        "color-highlight-on-target": palette.raised,
        "color-api-name": palette.accent,
        "color-api-pre-name": palette.muted,
        "color-code-background": palette.raised,
        "font-stack": SANS,
        "font-stack--headings": SERIF,
        "font-stack--monospace": MONO,
    }


html_theme = "furo"
html_title = "Pellucid"
html_static_path = ["_static"]
html_css_files, html_js_files = ["site.css"], [("site.js", {"defer": "defer"})]
html_theme_options = {"light_css_variables": furo(LIGHT), "dark_css_variables": furo(DARK)}
html_math_renderer = "mathml"
html_copy_source = html_show_sphinx = False
pygments_style, pygments_dark_style = "a11y-light", "a11y-dark"


def mathml(visitor: Any, node: nodes.Element) -> None:
    """A formula, in the line or by itself, as MathML."""
    block = isinstance(node, nodes.math_block)
    drawn = tex2mathml(node.astext(), as_block=block)
    visitor.body.append(f'<div class="math" tabindex="0">{drawn}</div>' if block else drawn)
    raise nodes.SkipNode


def as_rst(_: Sphinx, __: str, name: str, found: Any, ____: Any, lines: list[str]) -> None:
    """Docstrings are sentences with `code`; what is indented is set as it stands, what tells of arguments as a list."""
    blocks = []
    for block in re.split(r"\n\s*\n", "\n".join(lines).rstrip()):
        rows = block.strip("\n").split("\n")
        first = next((n for n, row in enumerate(rows) if row.startswith("  ")), len(rows))
        blocks.append(itemized("\n".join(rows[:first]), arguments(found)))
        if rows[first:]:
            blocks.append("::\n\n" + "\n".join("    " + row for row in rows[first:]))
    lines[:] = [*"\n\n".join(blocks).split("\n"), ""]


def arguments(found: Any) -> set[str]:
    """The names that a docstring may explain."""
    try:
        return set(inspect.signature(found).parameters) | set(getattr(found, "__annotations__", ()))
    except (TypeError, ValueError):
        return set()


def itemized(text: str, names: set[str]) -> str:
    """`name: what it is.  other: what that is.` as a list with the names in bold, the rest as it is."""
    name = f"(?:{'|'.join(map(re.escape, names))})"
    if not names or not (parts := re.split(rf"(?:^|\n|(?<=[.;]) +)({name}(?:, {name})*): ", text))[1:]:
        return inline(text)
    told = [
        f"- **{inline(name)}**: {inline(words).strip()}" for name, words in zip(parts[1::2], parts[2::2], strict=True)
    ]
    return "\n\n".join([inline(parts[0]), "\n".join(row.replace("\n", "\n  ") for row in told)])


def as_written(_: Sphinx, kind: str, ___: str, found: Any, *____: Any) -> tuple[str, str] | None:
    """A signature with the types as the source names them (`photo: PhotoLike`), not what they stand for."""
    try:
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(found)))).body
    except (TypeError, OSError, SyntaxError, ValueError):  # no source, or more than one statement
        return None
    if isinstance(node, ast.ClassDef):
        made = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
        fields = [part for part in node.body if isinstance(part, ast.AnnAssign) and "ClassVar" not in ast.unparse(part)]
        if not made:
            return (
                (f"({', '.join(map(ast.unparse, fields))})", "") if dataclasses.is_dataclass(found) and fields else None
            )
        node = made[0]
    if not isinstance(node, ast.FunctionDef):
        return None
    node.args.args = [part for part in node.args.args if part.arg not in ("self", "cls")]
    return f"({ast.unparse(node.args)})", ast.unparse(node.returns) if node.returns and kind != "class" else ""


def inline(text: str) -> str:
    """Words of a docstring as reStructuredText."""
    parts = re.split(r"(`+[^`]+`+)", text)
    return "".join(
        f"``{part.strip('`')}``" if part[:1] == "`" else re.sub(r"([*|_@\\])", r"\\\1", part) for part in parts
    )


def setup(app: Sphinx) -> None:
    """What Sphinx has no setting for."""
    app.add_html_math_renderer("mathml", (mathml, None), (mathml, None))
    app.connect("autodoc-process-docstring", as_rst)
    app.connect("autodoc-process-signature", as_written)
