"""Theme: the palette and the type of figures and pages (show/style.py), as Gradio's theme and as a style sheet.

theme: -> Gradio's theme, without fonts from elsewhere
sheet: -> CSS for our own parts and for what the theme cannot say
"""

from importlib import resources

import gradio as gr

from pellucid.show import style
from pellucid.show.style import DARK, INK, IVORY, LIGHT


def theme() -> gr.themes.Base:
    """Paper, ink and one accent, in both lights."""
    base = gr.themes.Base(
        font=[family.strip().strip('"') for family in style.SANS.split(",")],
        font_mono=[family.strip().strip('"') for family in style.MONO.split(",")],
        radius_size=gr.themes.sizes.radius_sm,
        text_size=gr.themes.sizes.text_md,
    )
    both = {}
    for role, names in _ROLES.items():
        for name in names.split():
            both[name], both[f"{name}_dark"] = getattr(LIGHT, role), getattr(DARK, role)
    plain = dict.fromkeys(_NONE, "none") | dict.fromkeys((f"{name}_dark" for name in _NONE), "none")
    return base.set(**both, **plain, **_SIZES)


def sheet() -> str:
    """The style sheet, with the palette as variables."""
    text = resources.files("pellucid.show").joinpath("templates", "studio.css").read_text(encoding="utf-8")
    type_ = f"--serif: {style.SERIF}; --sans: {style.SANS}; --mono: {style.MONO};"
    tones = f"--tone-ink: rgb{INK}; --tone-ivory: rgb{IVORY};"
    return f":root {{ {style.css_variables(LIGHT)} {type_} {tones} }}\n.dark {{ {style.css_variables(DARK)} }}\n{text}"


_ROLES = {  # a palette's color: the variables of Gradio's theme that have it
    "paper": (
        "body_background_fill background_fill_primary block_background_fill block_label_background_fill "
        "panel_background_fill checkbox_label_background_fill button_primary_text_color "
        "button_primary_text_color_hover button_secondary_background_fill button_cancel_background_fill"
    ),
    "ink": (
        "body_text_color link_text_color_hover block_title_text_color accordion_text_color "
        "checkbox_border_color_hover checkbox_label_text_color button_primary_background_fill "
        "button_primary_border_color button_secondary_text_color button_secondary_text_color_hover"
    ),
    "muted": (
        "body_text_color_subdued block_info_text_color block_label_text_color checkbox_border_color "
        "input_border_color_hover input_placeholder_color button_secondary_border_color_hover"
    ),
    "raised": (
        "background_fill_secondary color_accent_soft checkbox_background_color checkbox_background_color_focus "
        "checkbox_background_color_hover checkbox_label_background_fill_hover "
        "checkbox_label_background_fill_selected error_background_fill input_background_fill "
        "input_background_fill_focus input_background_fill_hover button_secondary_background_fill_hover "
        "button_cancel_background_fill_hover"
    ),
    "line": (
        "border_color_primary border_color_accent_subdued block_border_color block_label_border_color "
        "panel_border_color input_border_color button_secondary_border_color button_cancel_border_color"
    ),
    "accent": (
        "border_color_accent link_text_color link_text_color_active link_text_color_visited "
        "checkbox_background_color_selected checkbox_border_color_focus checkbox_border_color_selected "
        "input_border_color_focus loader_color slider_color button_primary_background_fill_hover "
        "button_primary_border_color_hover"
    ),
    "wrong": (
        "error_border_color error_text_color error_icon_color button_cancel_border_color_hover "
        "button_cancel_text_color button_cancel_text_color_hover"
    ),
}
_NONE = ("block_shadow", "checkbox_label_shadow", "input_shadow", "input_shadow_focus")
_SIZES = {
    "block_border_width": "0px",
    "block_border_width_dark": "0px",
    "block_padding": "0.4rem 0",
    "block_title_text_weight": "500",
    "block_label_border_width": "0px",
    "color_accent": "var(--accent)",
    "button_border_width": "1px",
    "input_border_width": "1px",
    "checkbox_border_width": "1px",
    "button_large_radius": "2rem",
    "button_medium_radius": "2rem",
    "button_small_radius": "2rem",
    "button_large_text_weight": "500",
    "button_medium_text_weight": "500",
    "button_large_text_size": "0.95rem",
}
