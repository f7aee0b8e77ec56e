"""Pictures: several of them side by side, with words below each.

class_means_figure: ClassMeans -> the mean image of each class that a network predicts, with the number of images behind
dream_panel: Dream -> photo, gray, dream, dream with contrast
captioned_figure: names, words and pictures of one size -> all of them, several in a row
stages_panel: Dream by tiles -> what the model saw on the way, round by round

A class that no image is surely predicted as keeps its place, empty, and says so.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional

from pellucid.data.figures import own_style
from pellucid.errors import PellucidError, shortened
from pellucid.learn.metrics import class_names
from pellucid.see.dataset.class_means import MANY, ClassMeans
from pellucid.see.dream.dream import Dream
from pellucid.see.dream.pictures import luminance, resize
from pellucid.see.dream.tiled_dream import Stage
from pellucid.show.figures.activations_figure import pixel_multiple
from pellucid.show.figures.axes import draw_image, draw_text, pixel_figure
from pellucid.show.sprites import average_blocks
from pellucid.show.style import GAP, LIGHT, MARGIN, image_bytes

TILE = 112
ACROSS = 5
LONGEST = 14  # letters of a name


@own_style()
def class_means_figure(found: ClassMeans) -> Figure:
    """Mean images, gray for one channel and in colour for three; of many classes, only those that have one."""
    names = class_names(found.classes, len(found.counts))
    shown = np.arange(len(names)) if len(names) <= MANY else np.flatnonzero(found.counts)
    if len(shown) == 0:
        raise PellucidError(f"No image has a probability above {found.threshold:g}; give a lower threshold.")
    across = min(ACROSS, len(shown))
    images = average_blocks(found.images[shown], TILE)
    multiple = pixel_multiple(images.shape, TILE)
    tall = multiple * images.shape[2]
    step_x, step_y = TILE + 2 * GAP, tall + 2 * GAP + 38
    width = 2 * MARGIN + across * step_x - 2 * GAP
    figure, axes = pixel_figure(width, 2 * MARGIN + -(-len(shown) // across) * step_y - 2 * GAP)
    for index, label in enumerate(shown.tolist()):
        count = int(found.counts[label])
        left, top = MARGIN + index % across * step_x, MARGIN + index // across * step_y
        if count > 0:
            draw_image(axes, image_bytes(images[index]), left, top, multiple)
        words = f"of {count:,}" if count > 0 else f"none above {found.threshold:g}"
        draw_text(axes, shortened(names[label], LONGEST), left, top + tall + 4, size=12, colour=LIGHT.ink, serif=True)
        draw_text(axes, words, left, top + tall + 22, size=8, colour=LIGHT.muted)
    return figure


PANEL, STAGE = 480, 200  # pixels: the width of each picture of a panel, of stages
WIDEST, CAPTION = 1700, 48  # pixels of a row; below a picture, for its name and words
LETTER = 7  # pixels of a letter, about
FOOT = 22  # pixels below a picture, for its words


@own_style()
def dream_panel(dream: Dream) -> Figure:
    """The photo, gray, the dream, and the dream with its contrast, two by two."""
    photo = torch.from_numpy(dream.before)
    above = [("photo", photo), ("gray", luminance(photo, dream.settings.gray))]
    below = [("dream", torch.from_numpy(dream.plain)), ("dream, contrast", torch.from_numpy(dream.image))]
    return _rows([above, below], PANEL)


@own_style()
def stages_panel(dream: Dream) -> Figure:
    """A row for each round and level: the small pieces that the model saw before, during and after their ascent, these
    enlarged and put together, with the photo's detail, and the picture after the round.

    Raises PellucidError for a dream by octaves, which has no pieces.
    """
    if not dream.stages:
        raise PellucidError("There are no stages in a dream by octaves; ask for the method 'tiles'.")
    light, rows = luminance(torch.from_numpy(dream.before), dream.settings.gray), []
    for number, levels in enumerate(dream.stages):
        rows += [_stage_pictures(stage, light, level) for level, stage in enumerate(levels, 1)]
        if dream.frames:
            contrast = 1 + (dream.settings.contrast - 1) * (number + 1) / len(dream.stages)
            words = f"after round {number + 1}, contrast {contrast:.2f}"
            rows[-1].append((words, torch.from_numpy(dream.frames[number])))
    return _rows(rows, STAGE)


def _stage_pictures(stage: Stage, light: Float[Tensor, "1 height width"], level: int) -> list[tuple[str, Tensor]]:
    """Words and picture of each step of a stage, in the brightness of the photo's tiles."""
    tiles, seen = stage.tiles, torch.from_numpy(stage.seen).mean(2, keepdim=True)
    photo = tiles.downscale(light, (seen.shape[3], seen.shape[4]))
    seen = (photo.mean((2, 3), keepdim=True) + photo.std((2, 3), keepdim=True) * seen).clamp(0, 1)
    found = []
    for step, images in zip(stage.steps, seen, strict=True):
        framed = functional.pad(images, (0, 1, 0, 1), value=1.0)
        cells = framed.view(len(tiles.tops), len(tiles.lefts), *framed.shape[2:])
        pieces = cells.transpose(1, 2).flatten(2).flatten(0, 1)[None, :-1, :-1]
        found.append((f"level {level}, step {step}", pieces))
    enlarged = tiles.join(seen[-1])
    detail = light - tiles.join(photo)
    return [*found, ("enlarged", enlarged), ("with the detail", (enlarged + detail).clamp(0, 1))]


def _rows(rows: list[list[tuple[str, Tensor]]], width: int) -> Figure:
    """Rows of pictures (channel, height, width) of one width, words below each."""
    shown = [[(words, image_bytes(_at_width(picture, width).numpy())) for words, picture in row] for row in rows]
    tops = np.cumsum([MARGIN, *(max(len(pixels) for _, pixels in row) + FOOT for row in shown)]).tolist()
    figure, axes = pixel_figure(2 * MARGIN + max(map(len, rows)) * (width + GAP) - GAP, tops[-1] + MARGIN)
    for top, row in zip(tops, shown, strict=False):
        for column, (words, pixels) in enumerate(row):
            left = MARGIN + column * (width + GAP)
            draw_image(axes, pixels[..., None].repeat(3, -1) if pixels.ndim == 2 else pixels, left, top)
            draw_text(axes, words, left, top + len(pixels) + 5, size=9, colour=LIGHT.muted)
    return figure


@own_style()
def captioned_figure(cells: Sequence[tuple[str, str, Float32[np.ndarray, "channel height width"]]]) -> Figure:
    """Pictures in [0, 1], each with its name and some words below."""
    _, height, width = cells[0][2].shape
    across = min(len(cells), max(1, WIDEST // width))
    figure_height = 2 * MARGIN + -(-len(cells) // across) * (height + CAPTION + GAP) - GAP
    figure, axes = pixel_figure(2 * MARGIN + across * (width + GAP) - GAP, figure_height)
    for index, (name, words, picture) in enumerate(cells):
        left, top = MARGIN + index % across * (width + GAP), MARGIN + index // across * (height + CAPTION + GAP)
        draw_image(axes, image_bytes(np.broadcast_to(picture, (3, height, width))), left, top)
        draw_text(axes, name, left, top + height + 7, size=15, colour=LIGHT.ink, serif=True)
        few = shortened(words, width // LETTER)
        draw_text(axes, few, left, top + height + 29, size=9, colour=LIGHT.muted)
    return figure


def _at_width(picture: Float[Tensor, "channel height width"], width: int) -> Float[Tensor, "channel _ _"]:
    """The picture at this width; a small one with its pixels as squares."""
    size = max(1, round(width * picture.shape[1] / picture.shape[2])), width
    if picture.shape[2] < width:
        return functional.interpolate(picture[None], size)[0]
    return resize(picture, size).clamp(0, 1)
