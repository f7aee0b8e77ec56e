"""Zoom: a dream that goes ever deeper into the photo.

zoom: photo, model, layer, unit -> pictures, one after another: each a dream on the middle of the one before

Every picture is enlarged a little around its middle and dreamt on again, for one round, so that new strokes grow
inside the old ones. The strokes of many pictures add up, so a zoom takes smaller steps than one dream.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import ArrayLike

from pellucid.data.photos import Photo
from pellucid.errors import PellucidError
from pellucid.files import StrPath
from pellucid.progress import Progress, ignore_progress, reporting
from pellucid.see.dream.dream import dream
from pellucid.see.dream.resampling import resize
from pellucid.see.models.open import open_model
from pellucid.settings import DreamSettings

ZOOM_DEFAULTS = {"rounds": 1, "learning_rate": 0.005, "contrast": 1.0}


def zoom(
    photo: StrPath | Photo | ArrayLike,
    model: Any,
    *,
    layer: str,
    unit: Any,
    frames: int = 32,
    factor: float = 1.05,
    progress: Progress | None = None,
    **settings: Any,
) -> Iterator[Float32[np.ndarray, "channel height width"]]:
    """Pictures (channel, height, width) in [0, 1] of one size, the photo first, then `frames` dreams.

    factor: how much nearer each picture comes than the one before, above 1 and at most 2.  The rest as for `dream`,
    but with one round a picture, a smaller learning rate and no contrast where they are not given.
    Raises PellucidError as `dream` does, and for frames below 1 or another factor.
    """
    if frames < 1 or not 1 < factor <= 2:
        raise PellucidError(
            f"A zoom of {frames} frames, each {factor} times nearer, is none; give at least 1 frame, and a factor "
            f"above 1 and at most 2."
        )
    opened = open_model(model)
    options: dict[str, Any] = {"layer": layer, "unit": unit, **ZOOM_DEFAULTS, **DreamSettings.renamed(settings)}
    with reporting("zoom", progress) as report:
        report.expect(frames)
        first = dream(photo, opened, progress=ignore_progress, **{**options, "rounds": 0})
        image = first.image
        yield image
        for _ in range(frames):
            image = dream(_enlarge_middle(image, factor), opened, progress=ignore_progress, **options).image
            report.advance(1)
            yield image


def _enlarge_middle(image: Float32[np.ndarray, "channel height width"], factor: float) -> np.ndarray:
    """The middle of a picture, as large as the whole."""
    _, height, width = image.shape
    rows, columns = max(1, round(height / factor)), max(1, round(width / factor))
    top, left = (height - rows) // 2, (width - columns) // 2
    middle = torch.from_numpy(image[:, top : top + rows, left : left + columns].copy())
    nearer: np.ndarray = resize(middle, (height, width)).clamp(0, 1).numpy()
    return nearer
