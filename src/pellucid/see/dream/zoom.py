"""Zoom: a photo -> pictures, one after another: each a dream on the enlarged and turned middle of the one before.

A loop begins some way in. At its end the pictures that led there come up in the same motion, from the middle outwards,
so that the last picture leads to the first like any to its next.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch.nn import functional

from pellucid.data.clips import Pixels
from pellucid.data.photos import Photo
from pellucid.data.scaling import byte_pixels, unit_pixels
from pellucid.errors import PellucidError
from pellucid.files import StrPath
from pellucid.progress import Progress, ignore_progress, reporting
from pellucid.see.dream.dream import dream
from pellucid.see.dream.presets import model_for
from pellucid.settings import FilmSettings

DEFAULTS = {"steps": 2, "strength": 0.12}  # strokes of many pictures add up
LONGEST_JOIN = 24  # pictures that a loop's end and beginning share


def zoom(
    photo: StrPath | Photo | ArrayLike,
    model: Any = None,
    *,
    frames: int = 32,
    progress: Progress | bool | None = None,
    **asked: Any,
) -> Iterator[Pixels]:
    """Pictures (channel, height, width) in [0, 1] of one size, the photo, then `frames` dreams; or a loop of dreams.

    asked: keywords of `dream`, and fields of FilmSettings: factor, rotate, loop. Where they are not given, there are
    few and faint steps a picture.
    Raises PellucidError as `dream` does, and for frames below 1.
    """
    how = FilmSettings.of(**{name: asked.pop(name) for name in FilmSettings.model_fields if name in asked})
    if frames < 1:
        raise PellucidError(f"A zoom of {frames} frames is none; give at least 1.")
    opened = model_for(model, asked.get("preset"))
    asked = {**DEFAULTS, **asked, "frame": 0, "progress": ignore_progress}
    shared, begun = max(1, min(frames // 3, LONGEST_JOIN)) if how.loop else 0, []
    with reporting("zoom", progress, unit="frame") as report:
        report.expect(frames + (shared or 1) - 1)
        image = dream(photo, opened, **{**asked, "strength": 0}).image
        for number in range(frames + (shared or 1)):
            if number:
                image = dream(_nearer(image, how.factor, how.rotate), opened, **asked).image
                report.advance(1)
            if number < shared:
                begun.append(byte_pixels(image))
            elif shared and number >= frames:
                across, down = np.meshgrid(*(np.linspace(-1, 1, side, dtype=np.float32) for side in image.shape[:0:-1]))
                done = 2 * (number - frames + 1) / shared - np.hypot(across, down) / math.sqrt(2)
                yield image + np.clip(done, 0, 1) * (unit_pixels(begun[number - frames]) - image)
            else:
                yield image


def _nearer(image: Pixels, factor: float, degrees: float) -> Pixels:
    """The middle of a picture, turned, as large as the whole."""
    _, height, width = image.shape
    cos, sin = (function(math.radians(degrees)) / factor for function in (math.cos, math.sin))
    matrix = torch.tensor([[[cos, -sin * height / width, 0], [sin * width / height, cos, 0]]])
    places = functional.affine_grid(matrix, [1, 1, height, width], align_corners=False)
    options: dict[str, Any] = {"mode": "bicubic", "padding_mode": "reflection", "align_corners": False}
    return functional.grid_sample(torch.from_numpy(image)[None], places, **options)[0].clamp(0, 1).numpy()
