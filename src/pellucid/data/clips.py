"""Clips: files of moving pictures -> their frames, upright, one after another.

read_frames: MP4, MOV, WebM, MKV, AVI; animated GIF, WebP, PNG -> of each frame its pixels, its start and its time
is_clip:     whether a file is meant as one: by its suffix, and of a GIF, WebP or PNG by its having several frames

Films are decoded by FFmpeg (PyAV, extra `video`), which here reads the one file, as one of the named formats, and
nothing else: a playlist, say, could name other files. Animations are decoded by Pillow.
"""

import io
import os
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from PIL import Image

from pellucid.data.photos import MOST_BYTES, check_size, photo_of
from pellucid.data.scaling import unit_pixels
from pellucid.errors import DAMAGE, PellucidError, refusing, requiring
from pellucid.files import StrPath, input_file, read_bytes

FILMS = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi")
ANIMATIONS = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG", ".apng": "PNG"}
KINDS = (*FILMS, *ANIMATIONS)
DEMUXERS = {"format_whitelist": "mov,matroska,webm,avi"}
HDR, SDR = (16, 18), {"dst_color_trc": 13, "dst_color_primaries": 1}  # PQ and HLG; sRGB
UNTIMED = 100  # milliseconds of a frame whose file says none, as in browsers

Pixels = Float32[np.ndarray, "channel height width"]
Timed = Iterator[tuple[Pixels, float, float]]


def is_clip(path: StrPath) -> bool:
    """Whether the file is a film, by its name, or an animation of several frames."""
    suffix = Path(path).suffix.lower()
    if suffix not in ANIMATIONS or not os.path.isfile(path):
        return suffix in FILMS
    with suppress(*DAMAGE, Image.DecompressionBombError), Image.open(path, formats=[ANIMATIONS[suffix]]) as picture:
        return getattr(picture, "n_frames", 1) > 1
    return False  # whoever reads it as a photo says why


def read_frames(path: StrPath) -> Timed:
    """Each frame (3, height, width) in [0, 1], where it starts and how long it stands, in milliseconds.

    Transparent pixels are laid over white. Raises PellucidError for a file that is missing, no clip, damaged, without
    pictures or of too many pixels, and for a film without the extra `video`.
    """
    animated = Path(path).suffix.lower() in ANIMATIONS
    frames = (_animation if animated else _film)(path)
    also = Image.DecompressionBombError if animated else imported("av").FFmpegError
    while True:
        with refusing(
            f"The clip '{path}' is damaged, cut short, or none",
            f"fetch it again, or give one of {', '.join(KINDS)}",
            also,
        ):
            frame = next(frames, None)
        if frame is None:
            return
        yield frame


def frame_times(path: StrPath) -> list[float]:
    """How long each frame of a clip stands, in milliseconds. Raises PellucidError as `read_frames`, and for none."""
    frames = [(start, stay) for _, start, stay in read_frames(path)]
    if not frames:
        raise PellucidError(f"The clip '{path}' has no frames; give another one.")
    gaps = np.diff([start for start, _ in frames]).tolist()
    return [*gaps, max(frames[-1][1], float(np.median(gaps or frames[-1][1] or UNTIMED)))]


def _animation(path: StrPath) -> Timed:
    content = io.BytesIO(read_bytes(path, "clip", MOST_BYTES))
    with Image.open(content, formats=sorted({*ANIMATIONS.values()})) as picture:
        check_size("clip", path, picture.size, content.getbuffer().nbytes)
        start = 0.0
        for number in range(getattr(picture, "n_frames", 1)):
            picture.seek(number)
            pixels = photo_of(picture.convert("RGBA")).over()
            yield pixels, start, float(picture.info.get("duration") or UNTIMED)
            start += picture.info.get("duration") or UNTIMED


def _film(path: StrPath) -> Timed:
    av = imported("av")
    with input_file(path, "clip").open("rb") as file, av.open(file, options=DEMUXERS) as container:
        stream = container.streams.best("video")
        if stream is None or stream.codec_context is None:
            raise PellucidError(f"The clip '{path}' has no pictures that can be read; give another one.")
        size = stream.codec_context.width, stream.codec_context.height
        check_size("clip", path, size, os.fstat(file.fileno()).st_size)
        stretch, tick = float(stream.sample_aspect_ratio or 1), float(1000 * stream.time_base)
        for frame in container.decode(stream):
            tones = SDR if frame.color_trc in HDR else {}
            shown = frame.reformat(max(1, round(frame.width * stretch)), frame.height, "rgb24", **tones)
            turned = np.rot90(shown.to_ndarray(), round(frame.rotation / 90))
            pixels = unit_pixels(np.ascontiguousarray(np.moveaxis(turned, -1, 0)))
            yield pixels, (frame.pts or 0) * tick, (frame.duration or 0) * tick


def imported(module: str) -> Any:
    """A module of the extra `video`; raises PellucidError where it is not installed."""
    package = {"av": "PyAV", "cv2": "OpenCV"}[module]
    with requiring([module], f"Video needs the package {package}; install it: pip install 'pellucid[video]'."):
        return import_module(module)
