"""Films: frames -> a GIF or WebP that plays for ever, or an MP4.

The suffix of the path chooses the format. WebP is lossless here; a GIF holds 256 colours, so gray frames are exact in
both and colour frames are exact in WebP only. An MP4 (H.264) is small, lossy, and needs the extra `video`. Frames are
taken one by one, so that a long film needs no more memory than a short one (a GIF: a byte for each pixel).
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence, Sized
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pellucid.data.clips import DEMUXERS, imported
from pellucid.data.pixels import require_multiple
from pellucid.errors import PellucidError, PellucidWarning
from pellucid.files import StrPath, atomic_path, format_of
from pellucid.show.style import image_bytes

FORMATS = (".gif", ".webp", ".mp4")
TICKS = {".gif": 10.0, ".webp": 1.0, ".mp4": 1 / 90}  # milliseconds of which a format counts its times

Frame = UInt8[np.ndarray, "height width *color"]


def save_film(
    frames: Iterable[np.ndarray],
    path: StrPath,
    *,
    milliseconds: float | int | Sequence[float | int] = 120,
    hold: float | int = 1200,
    multiple: int = 1,
    sound: StrPath | None = None,
    quality: int | None = None,
) -> Path:
    """Write frames as an endless film and return its path; the last frame stays `hold` milliseconds longer.

    frames: bytes (height, width) or (height, width, 3), or pictures (channel, height, width) in [0, 1], of one size.
    milliseconds: of every frame, then frames are taken one by one; or one number for all. multiple: each pixel is
    repeated so often, never interpolated. sound: a clip whose sound an MP4 gets.
    quality: of a WebP with a little loss, 0 to 100.
    Raises PellucidError for another suffix, an MP4 without the extra `video`, no frames, or another number of durations
    than of frames.
    """
    target, suffix = Path(path), format_of(path, FORMATS)
    bytes_of: Iterator[Frame] = (_enlarged(frame, multiple) for frame in frames)
    if isinstance(milliseconds, int | float):
        held = list(bytes_of)
        bytes_of, milliseconds = iter(held), [milliseconds] * len(held)
    elif isinstance(frames, Sized) and len(frames) != len(milliseconds):
        raise PellucidError(f"The film '{target}' has {len(frames)} frames but {len(milliseconds)} durations.")
    if not len(milliseconds):
        raise PellucidError(f"The film '{target}' was given no frames; give at least one.")
    ends = np.rint(np.cumsum([*milliseconds[:-1], milliseconds[-1] + hold]) / TICKS[suffix])
    each = np.diff(ends, prepend=0).astype(int)  # in ticks, rounded so that no time is lost or won
    with atomic_path(target) as temporary:
        if suffix == ".mp4":
            _save_mp4(bytes_of, temporary, each.tolist(), sound)
        else:
            options = {"save_all": True, "loop": 0, "duration": (each * int(TICKS[suffix])).tolist(), "method": 4}
            options |= {"lossless": True} if quality is None else {"quality": quality}
            _Animation(map(Image.fromarray, bytes_of), len(each)).save(temporary, suffix[1:], **options)
    return target


def _enlarged(frame: np.ndarray, multiple: int) -> Frame:
    pixels = frame if frame.dtype == np.uint8 else image_bytes(frame)
    require_multiple(multiple, pixels.size)
    return pixels.repeat(multiple, axis=0).repeat(multiple, axis=1)


class _Animation(Image.Image):
    """Pillow's animation of so many pictures, of which it holds one."""

    def __init__(self, pictures: Iterator[Image.Image], count: int) -> None:
        super().__init__()
        self._pictures, self._number, self.n_frames = pictures, -1, count
        self.seek(0)

    def seek(self, frame: int) -> None:
        """Go on to the next picture; EOFError where there is none, as Pillow has it."""
        if frame >= self.n_frames:
            raise EOFError
        if frame > self._number:
            picture = next(self._pictures)
            self.im, self._mode, self._size, self._number = picture.im, picture.mode, picture.size, frame


def _save_mp4(frames: Iterable[Frame], path: Path, each: Sequence[int], sound: StrPath | None) -> None:
    """H.264 of even sides, a border pixel repeated where a side is odd; each frame at its own time."""
    av, tick, start = imported("av"), Fraction(1, 90_000), 0
    # All of the sound is handed over first, and waits for the frames that it goes with.
    with av.open(str(path), "w", options={"movflags": "+faststart", "max_interleave_delta": "0"}) as film:
        # Without B frames, frames are written in their order, and each as long as it stands.
        options, rate = {"crf": "17", "bf": "0"}, 1 / (tick * max(1, int(np.median(each))))
        stream, lengths = film.add_stream("libx264", rate=rate, options=options), iter(each)
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", tick
        for name in ("colorspace", "color_primaries", "color_trc", "color_range"):
            setattr(stream.codec_context, name, 1)  # BT.709, as players take it
        for frame, duration in zip(chain(frames, [None]), [*each, 0], strict=True):
            picture = None  # for which the encoder gives what it still holds
            if frame is not None:
                height, width = frame.shape[:2]
                colors = frame if frame.ndim == 3 else frame[..., None].repeat(3, axis=2)
                even = np.pad(colors, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
                picture = av.VideoFrame.from_ndarray(even).reformat(format="yuv420p", dst_colorspace="ITU709")
                picture.pts, picture.time_base = start, tick
            if frame is not None and not start:
                stream.height, stream.width = even.shape[:2]
                if sound is not None:
                    _add_sound(av, film, sound)
            start += duration
            for packet in stream.encode(picture):
                packet.duration = next(lengths)
                film.mux(packet)


def _add_sound(av: Any, film: Any, source: StrPath) -> None:
    """The clip's first sound as it is; none, with a warning, where an MP4 cannot hold it."""
    with Path(source).open("rb") as file, av.open(file, options=DEMUXERS) as clip:
        for given in clip.streams.audio[:1]:
            try:
                stream = film.add_stream_from_template(given)
            except ValueError:
                words = f"An .mp4 holds no sound of the kind '{given.name}', so the film is silent."
                warnings.warn(words, PellucidWarning, stacklevel=2)
                return
            for packet in clip.demux(given):
                if packet.dts is not None:
                    packet.stream = stream
                    film.mux(packet)
