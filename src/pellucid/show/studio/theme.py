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
    for name, field in _COLOURS.items():
        both[name], both[f"{name}_dark"] = getattr(LIGHT, field), getattr(DARK, field)
    plain = dict.fromkeys(_NONE, "none") | dict.fromkeys((f"{name}_dark" for name in _NONE), "none")
    return base.set(**both, **plain, **_SIZES)


def sheet() -> str:
    """The style sheet, with the palette as variables."""
    text = resources.files("pellucid.show").joinpath("templates", "studio.css").read_text(encoding="utf-8")
    type_ = f"--serif: {style.SERIF}; --sans: {style.SANS}; --mono: {style.MONO};"
    tones = f"--tone-ink: rgb{INK}; --tone-ivory: rgb{IVORY};"
    return f":root {{ {style.css_variables(LIGHT)} {type_} {tones} }}\n.dark {{ {style.css_variables(DARK)} }}\n{text}"


_COLOURS = {
    "body_background_fill": "paper",
    "body_text_color": "ink",
    "body_text_color_subdued": "muted",
    "background_fill_primary": "paper",
    "background_fill_secondary": "raised",
    "border_color_primary": "line",
    "border_color_accent": "accent",
    "border_color_accent_subdued": "line",
    "color_accent_soft": "raised",
    "link_text_color": "accent",
    "link_text_color_active": "accent",
    "link_text_color_hover": "ink",
    "link_text_color_visited": "accent",
    "block_background_fill": "paper",
    "block_border_color": "line",
    "block_info_text_color": "muted",
    "block_label_background_fill": "paper",
    "block_label_border_color": "line",
    "block_label_text_color": "muted",
    "block_title_text_color": "ink",
    "panel_background_fill": "paper",
    "panel_border_color": "line",
    "accordion_text_color": "ink",
    "checkbox_background_color": "raised",
    "checkbox_background_color_focus": "raised",
    "checkbox_background_color_hover": "raised",
    "checkbox_background_color_selected": "accent",
    "checkbox_border_color": "muted",
    "checkbox_border_color_focus": "accent",
    "checkbox_border_color_hover": "ink",
    "checkbox_border_color_selected": "accent",
    "checkbox_label_background_fill": "paper",
    "checkbox_label_background_fill_hover": "raised",
    "checkbox_label_background_fill_selected": "raised",
    "checkbox_label_text_color": "ink",
    "error_background_fill": "raised",
    "error_border_color": "wrong",
    "error_text_color": "wrong",
    "error_icon_color": "wrong",
    "input_background_fill": "raised",
    "input_background_fill_focus": "raised",
    "input_background_fill_hover": "raised",
    "input_border_color": "line",
    "input_border_color_focus": "accent",
    "input_border_color_hover": "muted",
    "input_placeholder_color": "muted",
    "loader_color": "accent",
    "slider_color": "accent",
    "button_primary_background_fill": "ink",
    "button_primary_background_fill_hover": "accent",
    "button_primary_border_color": "ink",
    "button_primary_border_color_hover": "accent",
    "button_primary_text_color": "paper",
    "button_primary_text_color_hover": "paper",
    "button_secondary_background_fill": "paper",
    "button_secondary_background_fill_hover": "raised",
    "button_secondary_border_color": "line",
    "button_secondary_border_color_hover": "muted",
    "button_secondary_text_color": "ink",
    "button_secondary_text_color_hover": "ink",
    "button_cancel_background_fill": "paper",
    "button_cancel_background_fill_hover": "raised",
    "button_cancel_border_color": "line",
    "button_cancel_border_color_hover": "wrong",
    "button_cancel_text_color": "wrong",
    "button_cancel_text_color_hover": "wrong",
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
