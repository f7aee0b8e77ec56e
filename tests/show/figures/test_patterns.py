"""Figures show what they were given, to the pixel and to the count."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError
from pellucid.show import style
from pellucid.show.figures import curves, patterns, wall
from pellucid.show.figures.axes import save_figure


def drawn(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3]


def words(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def tones(images: np.ndarray) -> np.ndarray:
    return style.tone(Scaling("standardized").apply(images))


def holds(pixels: np.ndarray, tile: np.ndarray, top: int, left: int) -> bool:
    height, width = tile.shape[:2]
    return np.array_equal(pixels[top : top + height, left : left + width], tile)


@pytest.mark.parametrize("multiple", [1, 3])
def test_every_pixel_of_the_wall_is_a_pixel_of_its_pattern(multiple: int):
    """Rejects interpolation, tiles half a pixel off, and height taken for width (the images are not square)."""
    images = noise(5, 1, 6, 9)
    pixels = drawn(patterns.wall_figure(images, np.arange(5.0), columns=2, multiple=multiple))
    step_x, step_y = 9 * multiple + style.GAP, 6 * multiple + style.GAP + 14
    for index, image in enumerate(tones(images)[:, 0]):
        tile = style.duotone(image).repeat(multiple, 0).repeat(multiple, 1)
        top, left = style.MARGIN + index // 2 * step_y, style.MARGIN + index % 2 * step_x
        assert holds(pixels, tile, top, left)


def test_the_wall_names_units_and_says_who_is_dead():
    """Rejects a wall that gives a dead unit's activation as 0.00, as if it had merely been quiet."""
    figure = patterns.wall_figure(
        noise(3, 1, 4, 4), np.array([0.5, 0.0, 2.25]), np.array([False, True, False]), units=[7, 8, 56]
    )
    assert words(figure) == ["7", "0.50", "8", "dead", "56", "2.25"]


def test_a_picture_of_a_wall_is_the_figure(tmp_path: Path):
    """Rejects a PNG laid out otherwise than the PDF: a tile or a number in another place, or of another size."""
    given = noise(3, 1, 12, 9), np.array([0.5, 0.0, 2.25]), np.array([False, True, False])
    figure = save_figure(patterns.wall_figure(*given, title="a model"), tmp_path / "figure.png")
    picture = wall.draw_wall(wall.PictureBoard, *given, title="a model").save(tmp_path / "picture.png")
    one, other = (np.asarray(Image.open(path).convert("RGB"), float) for path in (figure, picture))
    assert one.shape == other.shape
    paper = one[0, 0]
    blocks = [
        np.abs(each - paper).max(axis=2)[: len(each) // 8 * 8, : each.shape[1] // 8 * 8] > 60 for each in (one, other)
    ]
    shares = [each.reshape(len(each) // 8, 8, -1, 8).mean(axis=(1, 3)) for each in blocks]
    assert np.abs(shares[0] - shares[1]).mean() < 0.1 * shares[0].mean()
    left, top = 2 * style.MARGIN, 2 * (style.MARGIN + 30)
    assert np.array_equal(one[top : top + 48, left : left + 36], other[top : top + 48, left : left + 36])


def test_colour_patterns_keep_their_channels():
    """Rejects a wall that shows only the first of three channels."""
    images = noise(1, 3, 4, 5)
    pixels = drawn(patterns.wall_figure(images, np.ones(1), multiple=1))
    assert holds(pixels, np.moveaxis(tones(images)[0], 0, -1), style.MARGIN, style.MARGIN)


def test_a_strip_shows_frames_in_order_with_step_and_activation():
    """Rejects a strip that sorts or drops frames."""
    frames = noise(3, 1, 5, 4)
    figure = patterns.strip_figure(frames, ["step 0", "step 9", "step 30"], [0.125, 1.5, 2.0], multiple=2)
    assert words(figure) == ["step 0", "0.125", "step 9", "1.500", "step 30", "2.000"]
    pixels = drawn(figure)
    for index, frame in enumerate(tones(frames)[:, 0]):
        tile = style.duotone(frame).repeat(2, 0).repeat(2, 1)
        assert holds(pixels, tile, style.MARGIN, style.MARGIN + index * (4 * 2 + style.GAP))


def test_a_strip_tells_how_much_changed():
    """Rejects a change that stands under another frame, and one where there is none."""
    changes = [math.nan, 0.25, -0.0004]
    figure = patterns.strip_figure(noise(3, 1, 5, 4), ["step 0", "step 9", "step 30"], [0.1, 1.5, 2.0], changes=changes)
    assert words(figure) == ["step 0", "0.100", "step 9", "1.500", "+25.0%", "step 30", "2.000", "-0.0%"]
    with pytest.raises(PellucidError, match="2 changes"):
        patterns.strip_figure(noise(3, 1, 5, 4), ["step 0", "step 9", "step 30"], [0.1, 1.5, 2.0], changes=[0.1, 0.2])


def test_training_curves_are_the_numbers_given():
    """Rejects curves that were smoothed, thinned out or shifted by a step."""
    figure = curves.loss_curve([1, 2, 3], [2.0, 1.0, 0.5], smoothed=[2.0, 1.5, 1.0])
    raw, smooth = figure.axes[0].lines
    np.testing.assert_array_equal(raw.get_xydata(), [[1, 2.0], [2, 1.0], [3, 0.5]])
    np.testing.assert_array_equal(smooth.get_ydata(), [2.0, 1.5, 1.0])
    figure = curves.accuracy_curve([1, 2], {"training": [0.5, 0.99], "kept aside": [0.4, 0.98]})
    np.testing.assert_allclose(figure.axes[0].lines[1].get_ydata(), [40, 98])
    assert set(words(figure)) == {"training", "kept aside"}


def test_labels_at_the_ends_of_curves_do_not_collide():
    """Rejects two names written over each other where two curves end together."""
    figure = curves.accuracy_curve([1, 2], {"training": [0.5, 0.991], "kept aside": [0.5, 0.99]})
    heights = {text.get_text(): text.xyann[1] for text in figure.axes[0].texts}  # in shares of the axes' height
    assert heights["training"] - heights["kept aside"] > 0.07


def test_figures_need_no_pyplot():
    """Rejects a figure that registers itself with pyplot and so is never freed."""
    before = set(sys.modules)
    patterns.wall_figure(noise(2, 1, 3, 3), np.ones(2))
    assert "matplotlib.pyplot" not in set(sys.modules) - before


def test_what_does_not_fit_is_refused_in_a_sentence():
    """Rejects zip's silent shortening where lengths differ."""
    with pytest.raises(PellucidError, match="3 images, 2 activations"):
        patterns.wall_figure(noise(3, 1, 4, 4), np.ones(2))
    with pytest.raises(PellucidError, match="2 frames, 1 captions"):
        patterns.strip_figure(noise(2, 1, 4, 4), ["step 1"], [1.0, 2.0])


def test_five_channels_stand_side_by_side():
    """Rejects an error instead of a picture, and channels one below the other."""
    images = noise(2, 5, 4, 3)
    assert wall.image_tones(images).shape == (2, 4, 15)
    assert np.array_equal(wall.image_tones(images)[1, :, 3:6], tones(images)[1, 1])
