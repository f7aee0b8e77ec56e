"""Shapes: a seed -> ten classes of colored shapes and textures on changing grounds, 32 x 32, drawn by Pillow.

load_shapes: sizes of the splits, seed -> Data

Pictures in color that need no download. Some classes differ in form alone (a triangle of any color), some in color
alone (a red disc, a green disc), some in texture, so that a network has to learn all three. Place, size, turn, colors
and ground are drawn for every image.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from colorsys import hsv_to_rgb

import numpy as np
from jaxtyping import Float32
from PIL import Image, ImageDraw

from pellucid.data.splits import Data, Split
from pellucid.errors import PellucidError
from pellucid.progress import bar

Array = np.ndarray
Pen = ImageDraw.ImageDraw
Points = list[tuple[float, float]]

SIDE, FINE = 32, 4  # pixels of an image, and finer pixels of the mask that each is the mean of
SIZES, MOST = (6000, 1000, 1000), 10**6
RED, YELLOW, GREEN, BLUE = 0.0, 0.14, 0.36, 0.62  # hues, in turns


def _polygon(corners: int, inner: float = 1.0) -> Callable[[Pen, np.random.Generator], None]:
    """A regular polygon, or a star whose inner corners are at this share of its radius."""

    def draw(pen: Pen, rng: np.random.Generator) -> None:
        count = corners if inner == 1 else 2 * corners
        x, y, radius, turn = _place(rng)
        angles = [turn + 2 * math.pi * k / count for k in range(count)]
        radii = [radius * (inner if k % 2 and inner != 1 else 1) for k in range(count)]
        pen.polygon([(x + r * math.cos(a), y + r * math.sin(a)) for r, a in zip(radii, angles, strict=True)], fill=255)

    return draw


def _disc(pen: Pen, rng: np.random.Generator) -> None:
    x, y, radius, _ = _place(rng)
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)


def _ring(pen: Pen, rng: np.random.Generator) -> None:
    x, y, radius, _ = _place(rng)
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=255, width=round(0.35 * radius))


def _texture(filled: Callable[[int, int], bool], dots: bool = False) -> Callable[[Pen, np.random.Generator], None]:
    """A lattice over the whole image, of one width and turn, some of whose cells are filled."""

    def draw(pen: Pen, rng: np.random.Generator) -> None:
        width, turn = FINE * rng.uniform(3, 5), rng.uniform(0, math.pi)
        across, up = width * math.cos(turn), width * math.sin(turn)
        begin = FINE * rng.uniform(0, SIDE, 2)
        reach = range(-math.ceil(1.5 * SIDE * FINE / width), math.ceil(1.5 * SIDE * FINE / width))
        for i, j in itertools.product(reach, reach):
            if not filled(i, j):
                continue
            x, y = begin[0] + i * across - j * up, begin[1] + i * up + j * across
            if dots:
                pen.ellipse((x - 0.3 * width, y - 0.3 * width, x + 0.3 * width, y + 0.3 * width), fill=255)
            else:
                corners = ((0, 0), (across, up), (across - up, up + across), (-up, across))
                pen.polygon([(x + dx, y + dy) for dx, dy in corners], fill=255)

    return draw


CLASSES: dict[str, tuple[Callable[[Pen, np.random.Generator], None], float | None]] = {
    "red disc": (_disc, RED),
    "green disc": (_disc, GREEN),
    "blue square": (_polygon(4), BLUE),
    "yellow square": (_polygon(4), YELLOW),
    "triangle": (_polygon(3), None),
    "star": (_polygon(5, 0.45), None),
    "ring": (_ring, None),
    "stripes": (_texture(lambda i, j: i % 2 == 0), None),
    "checks": (_texture(lambda i, j: (i + j) % 2 == 0), None),
    "dots": (_texture(lambda i, j: True, dots=True), None),
}
"""Name -> how its mask is drawn, and its hue; None: any."""


def load_shapes(seed: int = 0, sizes: Sequence[int] = SIZES) -> Data:
    """So many images for training, dev and test, the classes as even as can be; with 0 for dev, test stands in for it.

    Raises PellucidError where there are none to train on, or to test on.
    """
    if sizes[0] < 1 or sizes[1] < 0 or sizes[2] < 1 or max(sizes) > MOST:
        raise PellucidError(f"The sizes of the splits are {tuple(sizes)}; give 1 to {MOST:,}, or 0 for the second.")
    with bar(total=sum(sizes), desc="drawing shapes", unit="image") as drawn:
        parts = [_split(count, (seed, number), drawn.update) for number, count in enumerate(sizes) if count > 0]
    return Data(parts[0], parts[1], parts[-1], name="shapes", classes=tuple(CLASSES))


def _split(count: int, seed: tuple[int, ...], advance: Callable[[], object]) -> Split:
    labels, images = np.arange(count) % len(CLASSES), np.empty((count, 3, SIDE, SIDE), np.float32)
    for index, label in enumerate(labels):
        images[index] = _image(list(CLASSES)[label], np.random.default_rng([*seed, index]))
        advance()
    order = np.random.default_rng(seed).permutation(count)
    return Split(images[order], labels[order])


def _image(name: str, rng: np.random.Generator) -> Float32[Array, "3 side side"]:
    draw, hue = CLASSES[name]
    mask = Image.new("L", (SIDE * FINE, SIDE * FINE))
    draw(ImageDraw.Draw(mask), rng)
    share = np.asarray(mask.reduce(FINE), np.float32) / 255
    hue = rng.random() if hue is None else (hue + rng.normal(0, 0.02)) % 1
    color = np.array(hsv_to_rgb(hue, rng.uniform(0.6, 1), rng.uniform(0.6, 1)), np.float32)
    image = (1 - share) * _ground(rng) + share * color[:, None, None]
    noisy: Array = np.clip(image + rng.normal(0, 0.02, image.shape), 0, 1)
    return noisy.astype(np.float32)


def _ground(rng: np.random.Generator) -> Float32[Array, "3 side side"]:
    """From one muted color to another, in any direction."""
    turn, places = rng.uniform(0, 2 * math.pi), np.linspace(-0.5, 0.5, SIDE, dtype=np.float32)
    way = np.clip(0.5 + math.cos(turn) * places[None, :] + math.sin(turn) * places[:, None], 0, 1)
    hues = [(rng.random(), rng.uniform(0, 0.4), rng.uniform(0.15, 0.55)) for _ in range(2)]
    one, other = (np.array(hsv_to_rgb(*hue), np.float32)[:, None, None] for hue in hues)
    ground: Array = one * (1 - way) + other * way
    return ground.astype(np.float32)


def _place(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """(x, y, radius, turn) of a shape that lies within the image, in fine pixels and radians."""
    radius = rng.uniform(0.2, 0.4) * SIDE * FINE
    x, y = rng.uniform(radius, SIDE * FINE - radius, 2)
    return float(x), float(y), float(radius), float(rng.uniform(0, 2 * math.pi))
