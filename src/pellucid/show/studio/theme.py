"""Theme: the palette and the type of figures and pages (show/style.py), as Gradio's theme and as a style sheet.

theme: -> Gradio's theme, without fonts from elsewhere; templates/studio_theme.toml says what has which color
sheet: -> CSS for our own parts and for what the theme cannot say
"""

import tomllib

import gradio as gr

from pellucid.show import style
from pellucid.show.pages import render_template, template_text
from pellucid.show.style import DARK, LIGHT


def theme() -> gr.themes.Base:
    """Paper, ink and one accent, in both lights."""
    base = gr.themes.Base(
        font=[family.strip().strip('"') for family in style.SANS.split(",")],
        font_mono=[family.strip().strip('"') for family in style.MONO.split(",")],
        radius_size=gr.themes.sizes.radius_sm,
        text_size=gr.themes.sizes.text_md,
    )
    table = tomllib.loads(template_text("studio_theme.toml"))
    values = dict.fromkeys(table["none"], ("none", "none"))
    for role, names in table["colors"].items():
        values |= dict.fromkeys(names, (getattr(LIGHT, role), getattr(DARK, role)))
    light, dark = ({f"{name}{end}": pair[at] for name, pair in values.items()} for at, end in enumerate(("", "_dark")))
    return base.set(**light, **dark, **table["sizes"])


def sheet() -> str:
    """The style sheet, with the palette as variables."""
    return render_template("studio.css")
