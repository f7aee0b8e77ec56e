"""Films: frames -> a GIF or WebP that plays for ever, or an MP4.

The suffix of the path chooses the format. WebP is lossless here; a GIF holds 256 colours, so gray frames are exact in
both and colour frames are exact in WebP only. An MP4 (H.264) is small, lossy, and needs the package imageio-ffmpeg.
Equal neighbours become one longer frame in GIF and WebP; an MP4 repeats frames instead.
"""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pellucid.data.pixels import enlarge
from pellucid.errors import PellucidError, requiring
from pellucid.files import atomic_path, format_of

FORMATS = (".gif", ".webp", ".mp4")


def save_film(
    frames: UInt8[np.ndarray, "frame height width"] | UInt8[np.ndarray, "frame height width 3"],
    path: str | os.PathLike[str],
    *,
    milliseconds: int | Sequence[int] = 120,
    hold: int = 1200,
    multiple: int = 1,
) -> Path:
    """Write frames as an endless film and return its path; the last frame stays `hold` milliseconds longer.

    milliseconds: of every frame, or one number for all. multiple: each pixel is repeated so often, never interpolated.
    Raises PellucidError for another suffix, an MP4 without imageio-ffmpeg, no frames, or another number of durations
    than of frames.
    """
    target, suffix = Path(path), format_of(path, FORMATS)
    if not len(frames):
        raise PellucidError(f"The film '{target}' was given no frames; give at least one.")
    each = [milliseconds] * len(frames) if isinstance(milliseconds, int) else list(milliseconds)
    if len(each) != len(frames):
        raise PellucidError(f"The film '{target}' has {len(frames)} frames but {len(each)} durations.")
    each[-1] += hold
    gray = frames.ndim == 3
    tall = enlarge(frames, multiple) if gray else np.moveaxis(enlarge(np.moveaxis(frames, -1, 1), multiple), 1, -1)
    pictures = [Image.fromarray(frame) for frame in tall]
    with atomic_path(target) as temporary:
        if suffix == ".mp4":
            _save_mp4([np.asarray(picture.convert("RGB")) for picture in pictures], temporary, each)
        else:
            options = {"save_all": True, "append_images": pictures[1:], "duration": each, "loop": 0}
            pictures[0].save(temporary, suffix[1:], **options, **({"lossless": True} if suffix == ".webp" else {}))
    return target


def _save_mp4(frames: Sequence[UInt8[np.ndarray, "height width 3"]], path: Path, each: Sequence[int]) -> None:
    """H.264 of even sides, a border pixel repeated where a side is odd; each frame as often as its milliseconds ask."""
    instead = "run `pip install imageio-ffmpeg`, or write a .gif or .webp"
    with requiring(["imageio_ffmpeg"], f"An .mp4 needs the package imageio-ffmpeg; {instead}."):
        import imageio_ffmpeg
    height, width = frames[0].shape[:2]
    tick = math.gcd(*each)
    writer = imageio_ffmpeg.write_frames(
        os.fspath(path), (width + width % 2, height + height % 2), fps=1000 / tick, quality=8, macro_block_size=2
    )
    writer.send(None)
    for frame, milliseconds in zip(frames, each, strict=True):
        even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        for _ in range(milliseconds // tick):
            writer.send(np.ascontiguousarray(even))
    writer.close()
