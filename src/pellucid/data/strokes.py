"""Strokes: a drawn or photographed digit -> an image as networks of such digits learnt them.

read_strokes:   picture, shape -> image, and what was done: light strokes on a dark ground, cropped and centered
center_strokes: strokes, light on dark -> an image of the model's size, as MNIST's were made: the longer side of the
    strokes takes 20 of 28 pixels, and their center of mass lies in the middle (LeCun, Cortes and Burges, "The MNIST
    database")
are_strokes:    images -> whether they are made like that

The ground of a photograph is uneven. The pixels farthest from the mean around them say whether the strokes are darker
or lighter; then a closing (the largest, then the smallest of a neighborhood wider than a stroke) gives the paper
beneath the ink. Light strokes on a dark ground, in the middle, stay as they are, to the bit, and so does what is no
drawing: whose light and dark deviations from the ground are alike.
"""

import numpy as np
from jaxtyping import Float, Float32
from PIL import Image

from pellucid.data.photos import fit_image, to_gray

SHARE = 20 / 28
SHORTEST, LONGEST, OFF = 12 / 28, 23 / 28, 2.5 / 28  # of MNIST's strokes, and how far off the middle they lie
THICKNESS = 2.5 / 20  # of thin strokes, of their longer side
AROUND = 0.7  # of the shorter side: what a pixel is compared with, to see whether strokes are darker or lighter
ONE_SIDED = 8  # times as far (fifth powers) to one side: drawings have more than 20, noise and most patterns 1 to 3
SIDE, SMOOTH = 280, 1 / 200  # pixels of a photograph that is searched for strokes; deviation of its smoothing
WINDOW = 1 / 3  # of the shorter side: wider than any stroke
SPECK = 0.05  # of the largest piece of ink: smaller ones are no strokes
FEW = 200  # images that show how all are made
Gray = Float32[np.ndarray, "height width"]


def read_strokes(
    picture: Float[np.ndarray, "channels rows columns"], shape: tuple[int, int, int]
) -> tuple[Float32[np.ndarray, "channel height width"], str]:
    """A picture of one or three channels in [0, 1] as an image of `shape`, and in words what was done to its strokes.

    The words are empty where nothing was done but to resize what is no drawing.
    """
    fitted = fit_image(picture, shape)
    gray = to_gray(picture.astype(np.float32, copy=False))[0]
    own_size = np.array_equal(fitted[0].repeat(len(gray) // shape[1], 0).repeat(len(gray) // shape[1], 1), gray)
    strokes, inverted = _light_on_dark(fitted[0] if own_size else gray)
    if strokes is None:
        return fitted, ""
    upright = 1 - fitted if inverted else fitted
    if _is_centered(upright[0]) and (own_size or not inverted):
        return upright, "inverted" * inverted
    if own_size and max(strokes[_box(strokes)].shape) < SHORTEST * min(shape[1:]):
        return fitted, ""  # no digit: such as the pattern of a unit that sees little
    if own_size and _is_centered(strokes):
        return (strokes[None].repeat(shape[0], 0), "inverted") if inverted else (fitted, "")
    return center_strokes(strokes, shape), "inverted, cropped and centered" if inverted else "cropped and centered"


def are_strokes(images: Float32[np.ndarray, "image channel height width"]) -> bool:
    """Whether nearly all of the first images, of one channel, are light strokes on dark, of MNIST's size and place."""
    few = images[:FEW]
    return few.shape[1] == 1 and bool(np.mean([_is_centered(image[0]) for image in few]) > 0.9)


def center_strokes(strokes: Gray, shape: tuple[int, int, int]) -> Float32[np.ndarray, "channel new_height new_width"]:
    """The strokes, in [0, 1] on a dark ground, in an image of `shape`, thin ones thicker; all dark where none are."""
    channels, height, width = shape
    whole = np.zeros((height, width), np.float32)
    if strokes.max(initial=0.0) > 0:
        cut = _thickened(strokes[_box(strokes)])
        scale = SHARE * min(height, width) / max(cut.shape)
        size = max(1, round(cut.shape[1] * scale)), max(1, round(cut.shape[0] * scale))
        _paste(whole, np.clip(np.asarray(Image.fromarray(cut).resize(size, Image.Resampling.BICUBIC)), 0, 1))
    return np.repeat(whole[None], channels, axis=0)


def _light_on_dark(gray: Gray) -> tuple[Float32[np.ndarray, "rows columns"] | None, bool]:
    """Strokes in [0, 1] on a ground of 0, and whether theirs was lighter; None where the picture is no drawing."""
    from scipy import ndimage  # here, as it takes a while and most pictures are no digits

    scale = min(1.0, SIDE / max(gray.shape))
    size = max(1, round(gray.shape[1] * scale)), max(1, round(gray.shape[0] * scale))
    small = np.asarray(Image.fromarray(gray).resize(size, Image.Resampling.BOX))
    small = ndimage.gaussian_filter(small, min(small.shape) * SMOOTH)
    apart = small - ndimage.uniform_filter(small, max(3, round(AROUND * min(small.shape))), mode="nearest")
    darker, lighter = float((np.maximum(-apart, 0) ** 5).sum()), float((np.maximum(apart, 0) ** 5).sum())
    if max(darker, lighter) <= ONE_SIDED * min(darker, lighter) + 1e-9:
        return None, False
    inverted = darker > lighter
    paper = np.clip(small if inverted else 1 - small, 1 / 255, 1)
    window = max(3, round(WINDOW * min(paper.shape)))
    ground = ndimage.grey_closing(np.pad(paper, window, mode="edge"), (window, window))[window:-window, window:-window]
    ink = np.clip(1 - paper / ndimage.uniform_filter(ground, window, mode="nearest"), 1e-6, 1)
    least = float(ink.max()) / 2
    pieces, count = ndimage.label(ink > least)
    areas = np.bincount(pieces.ravel(), minlength=count + 1)
    strokes = (areas >= SPECK * areas[1:].max(initial=0)) & (np.arange(count + 1) > 0)
    kept = ndimage.binary_dilation(strokes[pieces], iterations=2)
    darkest = float(np.median(ink[ink > least]))
    return np.where(kept, np.clip((ink - least / 2) / (darkest - least / 2), 0, 1), 0).astype(np.float32), inverted


def _thickened(strokes: Gray) -> Float32[np.ndarray, "taller wider"]:
    """Strokes at least as thick as a thin pen's in MNIST, for resizing would leave little of finer ones."""
    from scipy import ndimage

    lit = strokes >= strokes.max() / 2
    depth = ndimage.distance_transform_edt(np.pad(lit, 1))[1:-1, 1:-1][lit].mean()  # a quarter of the thickness
    more = max(0, round(THICKNESS * max(lit.shape) - (4 * depth - 1)))
    return np.asarray(ndimage.maximum_filter(np.pad(strokes, more), more + 1))


def _box(strokes: Gray) -> tuple[slice, slice]:
    """The rows and columns of what is at least half as light as the lightest."""
    rows, columns = np.nonzero(strokes >= strokes.max() / 2)
    return np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def _is_centered(strokes: Gray) -> bool:
    """Whether an image has MNIST's dark ground, size and place of the strokes."""
    side = min(strokes.shape)
    border = np.concatenate([strokes[[0, -1]].ravel(), strokes[:, [0, -1]].ravel()])
    if strokes.max() <= 10 * np.median(border):
        return False
    off = [abs(center - size / 2) for center, size in zip(_center(strokes), strokes.shape, strict=True)]
    longest = max(strokes[_box(strokes)].shape)
    return bool(SHORTEST * side <= longest <= LONGEST * side and max(off) <= OFF * side)


def _center(strokes: Gray) -> tuple[float, float]:
    """Row and column of the center of mass, in pixels from the corner."""
    total = max(float(strokes.sum()), 1e-12)
    rows, columns = (float((strokes.sum(axis=1 - axis) * (np.arange(size) + 0.5)).sum()) / total
                     for axis, size in enumerate(strokes.shape))  # fmt: skip
    return rows, columns


def _paste(whole: Gray, small: Float32[np.ndarray, "high wide"]) -> None:
    """Lay the small picture into the whole, its center of mass in the middle, as far as it does not stick out."""
    top, left = (
        int(np.clip(round(size / 2 - center), 0, size - part))
        for size, center, part in zip(whole.shape, _center(small), small.shape, strict=True)
    )
    whole[top : top + small.shape[0], left : left + small.shape[1]] = small
