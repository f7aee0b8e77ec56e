"""Video: the pictures of a film, one after another -> a dream on each that goes along with what is seen.

Dreamt one by one, the frames of a film flicker. So each begins with the change of the one before, moved as the film
moves and a little faded, and few steps more make good what faded. The flow is DIS (T. Kroeger et al., "Fast optical
flow using dense inverse search", 2016), down to the finest scale. Where its way back and the way forth from there do
not cancel (N. Sundaram et al., 2010), something was hidden, and begins anew; what comes in at a border begins with the
mirrored change; and after a cut all begins anew. The mean brightness of each frame is the film's own.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32

from pellucid.data.clips import Pixels, imported
from pellucid.data.photos import to_gray
from pellucid.data.scaling import byte_pixels
from pellucid.progress import ignore_progress
from pellucid.see.dream.dream import Dream, as_photo, dream, limit_size
from pellucid.see.dream.pictures import ENDS, carved, finished, ground, luminance
from pellucid.see.dream.presets import chosen
from pellucid.settings import DreamSettings

KEPT = 0.85  # of the change of the frame before
SHARE = 5  # so many times fewer steps, after the first frame
LEVELINGS, LEAST_SLOPE = 8, 1e-6  # Newton's steps towards the brightness; three leave 1% on dark frames
MISSED = 0.01, 0.5  # squares of the distance by which ways may miss: of their lengths, and in pixels
LEAST_SIDE = 12  # pixels of the shorter side, below which OpenCV follows nothing
Change = Float32[np.ndarray, "changed height width"]
CUT = 0.4, 0.2  # share of pixels that are followed, mean difference of what is seen there: beyond, nothing goes on


def video(
    pictures: Iterable[Pixels], model: Any = None, *, before: tuple[Pixels, Change] | None = None, **asked: Any
) -> Iterator[Dream]:
    """The dream on each picture of a film, by octaves if no other method is given.

    pictures: (channel, height, width) in [0, 1], of one size; taken one by one.  before: the picture before the first
    one, and the change of the dream on it, where a film is gone on with.  asked: keywords of `dream`.
    Raises PellucidError as `dream` does, and without the extra `video`.
    """
    given = {name: value for name, value in asked.items() if name in DreamSettings.model_fields}
    what = chosen(model, asked.get("layer"), asked.get("unit"), given)
    options = what.settings.for_octaves()
    asked = {"method": "octaves", **asked, "frame": 0, "progress": ignore_progress}
    for picture in pictures:
        start = None if not before else _moved(*before, limit_size(as_photo(picture), options.size).image)
        steps = options.steps if start is None else math.ceil(options.steps / SHARE)
        dreamt = _leveled(dream(picture, what.model, **{**asked, "start": start, "steps": steps}))
        before = dreamt.before, dreamt.change
        yield dreamt


def _leveled(dreamt: Dream) -> Dream:
    """The dream as bright in the mean as its photo, by one more change of the logits of all pixels that it changed."""
    change, settings = torch.from_numpy(dreamt.change), dreamt.settings
    photo = ground(dreamt.before, len(change), settings)
    where = (change != 0).any(0, keepdim=True).float()
    for _ in range(LEVELINGS):
        light = luminance(carved(photo, change))
        slope = (where * (light + ENDS) * (1 - light + ENDS)).mean().clamp_min(LEAST_SLOPE)
        change = change + where * (luminance(photo).mean() - light.mean()) / slope
    image = finished(photo, change, settings, 1.0, where)
    return replace(dreamt, image=image.numpy(), change=change.numpy())


def _moved(before: Pixels, change: Change, after: Pixels) -> Change | None:
    """The change of the picture before, moved and faded to go on with; 0 where nothing can be, None after a cut."""
    places, sure = flow(before, after)
    if sure.mean() < CUT[0] or np.abs(looked_up(before, places) - after).mean() > CUT[1]:
        return None
    last = np.array(before.shape[:0:-1], np.float32) - 1
    mirrored = last - np.abs(last - np.abs(places))
    moved: Change = KEPT * looked_up(change, mirrored) * (sure | (mirrored != places).any(-1))
    return moved


def flow(before: Pixels, after: Pixels) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of a picture was in the one before: (column, row), and whether it was there at all."""
    cv2 = imported("cv2")
    first, second = (np.ascontiguousarray(byte_pixels(to_gray(picture))[0]) for picture in (before, after))
    height, width = first.shape
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    back = forth = np.zeros((height, width, 2), np.float32)
    if min(height, width) >= LEAST_SIDE:
        back, forth = search.calc(second, first, None), search.calc(first, second, None)
    places = back + np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    there = np.moveaxis(looked_up(np.moveaxis(forth, -1, 0), places), 0, -1)
    lengths = np.square(back).sum(-1) + np.square(there).sum(-1)
    inside = ((places >= 0) & (places <= (width - 1, height - 1))).all(-1)
    return places, inside & (np.square(back + there).sum(-1) <= MISSED[0] * lengths + MISSED[1])


def looked_up(values: Pixels, places: np.ndarray) -> Pixels:
    """The values at these places (height, width, (column, row)), between pixels bicubic."""
    cv2 = imported("cv2")
    last = np.ascontiguousarray(np.moveaxis(values, 0, -1))
    found = cv2.remap(last, places, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.moveaxis(found.reshape(last.shape), -1, 0)
