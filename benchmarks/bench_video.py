"""Films: the dream on a clip beside the dream on each of its frames alone.

The clip is drawn from scikit-learn's two photographs: a slow pan over the palace, over which a piece of the flower
moves the other way; in the middle a cut to the flower, into which it zooms. Notes say what a viewer sees:

warping error: mean squared difference of a dreamed frame and the one before, moved by the clip's own flow, over that of
frames dreamt alone, where nothing is hidden (ways back and forth cancel, and the clip's own frames differ by less than
a tenth); what the clip itself has of it, over the same. drift: how much brighter or darker, of itself, a dream gets
against the clip. FRAMES (120) and SIZE (320, pixels) say how large, PRESET (classic) what is dreamt.
"""

import os
from collections.abc import Iterator

import numpy as np
from PIL import Image

import pellucid as pc
from benchmarks.harness import Row, seconds
from pellucid.data.photos import bundled_photo
from pellucid.data.scaling import byte_pixels, unit_pixels
from pellucid.see.dream.video import flow, looked_up, video

LIKE = 0.1


def rows() -> Iterator[Row]:
    """One row: seconds of all frames."""
    count, size = int(os.environ.get("FRAMES", "120")), int(os.environ.get("SIZE", "320"))
    asked = {"preset": os.environ.get("PRESET", "classic"), "seed": 0}
    model = pc.open_model("efficientnet-lite0")
    frames, kept = clip(count, size), {}
    ours = seconds(lambda: kept.update(ours=[found.image for found in video(frames, model, **asked)]))
    quiet = {"progress": lambda done, total: None, "frame": 0}
    theirs = seconds(lambda: kept.update(alone=[pc.dream(frame, model, **quiet, **asked).image for frame in frames]))
    of_ours, of_alone, own = (warping_error(frames, some) for some in (kept["ours"], kept["alone"], frames))
    light = [dreamt.mean() / frame.mean() for dreamt, frame in zip(kept["ours"], frames, strict=True)]
    yield Row(
        f"dream on {count} frames, {size} x {3 * size // 4}",
        ours,
        theirs,
        ours / theirs,
        repeats=1,
        against="each frame alone",
        notes={
            "warping error": of_ours / of_alone,
            "the clip's own": own / of_alone,
            "drift of brightness": f"{100 * (max(light) / min(light) - 1):.2f}%",
        },
    )


def clip(count: int, size: int) -> list[np.ndarray]:
    """The frames, (3, height, width) in [0, 1]."""
    palace, flower = (photograph(name, share * size / 320) for name, share in (("china.jpg", 1.5), ("flower.jpg", 1.3)))
    unit, shape, found = size / 320, (size, 3 * size // 4), []
    for number in range(count):
        step = number * 60 / count  # so that a longer clip is slower, not longer
        if number < count // 2:
            frame = window(palace, (300 + 1.7 * step) * unit, (330 - 0.6 * step) * unit, size, shape)
            piece = window(flower, 416 * unit, 278 * unit, size / 3, (size // 3, size // 4))
            frame.paste(piece, (round((10 + 3 * step) * unit), round((20 + 2 * step) * unit)))
        else:
            frame = window(flower, 416 * unit, 278 * unit, size * 0.985 ** (step - 30), shape)
        found.append(unit_pixels(np.ascontiguousarray(np.moveaxis(np.asarray(frame), -1, 0))))
    return found


def photograph(name: str, scale: float) -> Image.Image:
    """A bundled photograph, smooth enough that a shift by half a pixel loses nothing."""
    picture = Image.fromarray(np.moveaxis(byte_pixels(bundled_photo(name).image), 0, -1))
    return picture.resize((round(scale * picture.width), round(scale * picture.height)), Image.Resampling.BICUBIC)


def window(picture: Image.Image, across: float, down: float, width: float, shape: tuple[int, int]) -> Image.Image:
    """A part of a picture around a place, at any fraction of a pixel."""
    height = width * shape[1] / shape[0]
    part = (across - width / 2, down - height / 2, across + width / 2, down + height / 2)
    return picture.transform(shape, Image.Transform.EXTENT, part, Image.Resampling.BICUBIC)


def warping_error(frames: list[np.ndarray], dreamt: list[np.ndarray]) -> float:
    """The mean squared difference of each dreamed frame and the one before, moved by the flow of the frames."""
    found = []
    for number in range(1, len(frames)):
        places, sure = flow(frames[number - 1], frames[number])
        sure &= np.abs(looked_up(frames[number - 1], places) - frames[number]).mean(0) < LIKE
        if sure.mean() > 0.4:  # there was no cut
            moved = looked_up(dreamt[number - 1], places)
            found.append(np.square(moved - dreamt[number]).mean(0)[sure].mean())
    return float(np.mean(found))
