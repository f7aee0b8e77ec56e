"""The palette can be read, and the tones keep what they show in order."""

from dataclasses import asdict

import numpy as np
import pytest

from pellucid.show import style
from pellucid.show.pages import template

TEXT = ("ink", "muted", "accent", "truth", "wrong")


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two `#rrggbb` colours, 1 to 21, as WCAG 2 defines it."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    channels = np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ np.array([0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("palette", [style.LIGHT, style.DARK], ids=["light", "dark"])
@pytest.mark.parametrize("colour", TEXT)
@pytest.mark.parametrize("ground", ["paper", "raised"])
def test_every_text_colour_can_be_read(palette: style.Palette, colour: str, ground: str):
    """Rejects a palette that looks elegant and fails WCAG's AA (4.5 : 1)."""
    assert contrast(getattr(palette, colour), getattr(palette, ground)) >= 4.5


def test_contrast_of_known_pairs():
    """Rejects a contrast without the sRGB curve: mid gray on white is 4.48 by the standard's own examples."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert contrast("#123456", "#123456") == 1


def test_tone_keeps_the_mean_in_the_middle_and_never_turns_round():
    """Rejects clipping at 2.5 deviations: patterns reach 12, and what differs must not fall together at 3."""
    tones = style.tone(np.array([-12.0, -3.0, -2.5, 0.0, 2.5, 3.0, 12.0]))
    assert tones[3] in (127, 128)
    assert (np.diff(tones.astype(int)) > 0).all()
    np.testing.assert_allclose(tones.astype(int) + tones[::-1], 255, atol=1)


def test_tone_is_the_same_for_every_image():
    """Rejects a min-max stretch, with which a faint stripe and a strong one look alike."""
    image = np.linspace(-1, 1, 12).reshape(3, 4)
    np.testing.assert_array_equal(style.tone(np.stack([image, 3 * image]))[0], style.tone(image))


def test_light_begins_at_zero_and_ends_at_the_largest():
    """Rejects a stretch from the smallest value, which would make a silent map glow."""
    np.testing.assert_array_equal(style.activation_tones(np.array([0.0, 1.0, 2.0, -4.0])), [0, 128, 255, 0])
    np.testing.assert_array_equal(style.activation_tones(np.array([0.0, 1.0]), largest=4.0), [0, 64])
    np.testing.assert_array_equal(style.activation_tones(np.zeros((2, 3))), 0)


def test_signed_puts_zero_in_the_middle():
    """Rejects a stretch from the smallest to the largest weight, which moves zero."""
    np.testing.assert_array_equal(style.signed_tones(np.array([-1.0, 0.0, 4.0])), [96, 128, 255])
    np.testing.assert_array_equal(style.signed_tones(np.zeros(3)), 128)


def test_duotone_keeps_every_gray_apart():
    """Rejects a tint so narrow that two grays become one colour."""
    colours = style.duotone(np.arange(256, dtype=np.uint8)[None])[0]
    assert len({tuple(colour) for colour in colours.tolist()}) == 256
    assert tuple(colours[0]) == style.INK
    assert tuple(colours[255]) == style.IVORY


def test_css_variables_name_every_colour():
    """Rejects a colour that the palette has and the page's stylesheet never hears of."""
    for name, colour in asdict(style.DARK).items():
        assert f"--{name}: {colour};" in template("palette.css").module.variables(style.DARK)
