"""Clips are read frame by frame, as they are meant to be seen, and never run or name anything else."""

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pellucid.data.clips import frame_times, is_clip, read_frames
from pellucid.errors import PellucidError

COLORS = np.array([[200, 30, 40], [20, 180, 60], [30, 60, 220], [240, 240, 20], [0, 128, 128], [90, 90, 90]], np.uint8)
TURNED = bytes.fromhex("000000000001000000000000ffff0000" + "0" * 32 + "40000000")  # by 90 degrees
UPRIGHT = bytes.fromhex("00010000" + "0" * 24 + "00010000" + "0" * 24 + "40000000")


def frames(count: int = 6, height: int = 32, width: int = 48) -> list[np.ndarray]:
    """Frames of one color each, the upper left quarter white."""
    found = [np.tile(color, (height, width, 1)) for color in COLORS[:count]]
    for frame in found:
        frame[: height // 2, : width // 2] = 255
    return found


def film(path: Path, times: tuple[int, ...] = (0, 40, 80, 120, 160, 200), pixels: str = "yuv420p", **how) -> Path:
    """A film of the frames at these milliseconds."""
    av = pytest.importorskip("av")
    codec = "libvpx" if path.suffix == ".webm" else "libx264"
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25, options={"crf": "5", **({"b": "2M"} if codec == "libvpx" else {})})
        stream.width, stream.height, stream.pix_fmt = 48, 32, pixels
        stream.codec_context.time_base = Fraction(1, 1000)
        for name, value in how.items():
            setattr(stream.codec_context, name, value)
        for time, frame in zip(times, frames(len(times)), strict=True):
            picture = av.VideoFrame.from_ndarray(frame).reformat(format=pixels)
            picture.pts, picture.time_base = time, Fraction(1, 1000)
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    return path


def animation(path: Path) -> Path:
    pictures = [Image.fromarray(frame) for frame in frames()]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[40, 40, 40, 40, 40, 90], lossless=True)
    return path


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.webm", "a.mkv", "a.gif", "a.webp", "a.png"])
def test_every_frame_is_read_at_its_time(tmp_path: Path, name: str):
    """Rejects frames dropped, doubled or in the order of decoding, and times in other units."""
    path = (animation if name.endswith(("gif", "webp", "png")) else film)(tmp_path / name)
    assert is_clip(path)
    seen = list(read_frames(path))
    assert [start for _, start, _ in seen] == pytest.approx([0, 40, 80, 120, 160, 200], abs=1)
    assert frame_times(path)[:5] == pytest.approx([40] * 5, abs=1)
    for (pixels, _, _), color in zip(seen, COLORS, strict=True):
        assert pixels.shape == (3, 32, 48)
        np.testing.assert_allclose(255 * pixels[:, 28, 40], color, atol=12)
        np.testing.assert_allclose(255 * pixels[:, 4, 4], 255, atol=12)


def test_a_film_of_uneven_times_keeps_them(tmp_path: Path):
    """Rejects a frame rate that is taken for the time of every frame, and a last frame that is gone at once."""
    assert frame_times(film(tmp_path / "a.mp4", (0, 10, 200, 240))) == pytest.approx([10, 190, 40, 40], abs=1)
    assert frame_times(film(tmp_path / "one.mp4", (0,))) == pytest.approx([40], abs=1)


def test_a_film_is_read_upright_and_of_square_pixels(tmp_path: Path):
    """Rejects a telephone's film that lies on its side or is turned the wrong way, and one that is squeezed."""
    path = film(tmp_path / "a.mp4")
    content = path.read_bytes()
    at = content.index(UPRIGHT, content.index(b"tkhd"))
    path.write_bytes(content[:at] + TURNED + content[at + len(TURNED) :])
    pixels = next(read_frames(path))[0]
    assert pixels.shape == (3, 48, 32)
    np.testing.assert_allclose(255 * pixels[:, 4, 28], 255, atol=12)
    np.testing.assert_allclose(255 * pixels[:, 4, 4], COLORS[0], atol=12)
    wide = next(read_frames(film(tmp_path / "wide.mp4", sample_aspect_ratio=Fraction(3, 2))))[0]
    assert wide.shape == (3, 32, 72)


def test_ten_bits_and_high_dynamic_range_become_colors_of_a_screen(tmp_path: Path):
    """Rejects formats of more than 8 bits refused, and PQ taken for the gamma of a screen, which is pale."""
    deep = next(read_frames(film(tmp_path / "deep.mp4", pixels="yuv420p10le")))[0]
    np.testing.assert_allclose(255 * deep[:, 28, 40], COLORS[0], atol=12)
    bright = film(tmp_path / "hdr.mp4", pixels="yuv420p10le", color_trc=16, color_primaries=9, colorspace=9)
    pixels = next(read_frames(bright))[0]
    assert np.abs(255 * pixels[:, 28, 40] - COLORS[0]).max() > 20


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "a.webp", "a.png"])
def test_a_damaged_clip_is_one_sentence(tmp_path: Path, name: str):
    """Rejects a traceback, and a film shorter than the clip without a word."""
    path = (animation if name.endswith(("gif", "webp", "png")) else film)(tmp_path / name)
    content = path.read_bytes()
    for share in (0, 0.1, 0.7):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(PellucidError, match=r"a\.\w+' (is damaged, cut short, or none|has no pictures)"):
            frame_times(path)


@pytest.mark.parametrize(
    "text", ["hello\n" * 99, "#EXTM3U\n#EXTINF:1,\n{0}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile {0}\n"]
)
def test_what_is_no_film_is_refused_and_opens_no_other_file(tmp_path: Path, text: str):
    """Rejects a playlist by the name of a film, through which FFmpeg would read what it names."""
    other = film(tmp_path / "other.mp4")
    (tmp_path / "a.mp4").write_text(text.format(other.name))
    with pytest.raises(PellucidError, match=r"a\.mp4' is damaged, cut short, or none"):
        frame_times(tmp_path / "a.mp4")


def test_only_the_formats_that_are_named_are_read(tmp_path: Path):
    """Rejects FFmpeg's choice by content among hundreds of formats, playlists among them, whatever the name says."""
    pytest.importorskip("av")
    animation(tmp_path / "a.gif").rename(tmp_path / "a.mp4")
    with pytest.raises(PellucidError, match=r"a\.mp4' is damaged, cut short, or none"):
        frame_times(tmp_path / "a.mp4")


def test_sound_alone_or_no_file_is_refused(tmp_path: Path):
    """Rejects `None` taken for a stream, and a missing file that is told by FFmpeg's number."""
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "sound.mp4"), "w") as out:
        stream = out.add_stream("aac", rate=44100, layout="mono")
        heard = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        heard.sample_rate = 44100
        out.mux(stream.encode(heard))
        out.mux(stream.encode(None))
    with pytest.raises(PellucidError, match="no pictures that can be read"):
        frame_times(tmp_path / "sound.mp4")
    with pytest.raises(PellucidError, match=r"There is no clip .*none\.mp4"):
        frame_times(tmp_path / "none.mp4")


def test_stills_are_no_clips(tmp_path: Path):
    """Rejects a photograph that is dreamt on as a film, and a reader's error where the photo's sentence is due."""
    for suffix in ("gif", "webp", "png", "jpg"):
        Image.fromarray(frames()[0]).save(tmp_path / f"a.{suffix}")
        assert not is_clip(tmp_path / f"a.{suffix}")
    (tmp_path / "text.gif").write_text("no picture")
    assert not is_clip(tmp_path / "text.gif")
    assert not is_clip(tmp_path / "none.png")
    assert is_clip(tmp_path / "none.mp4")


def test_without_the_extra_a_film_is_refused_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Rejects a traceback, and an advice that installs something else."""
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(PellucidError, match=r"pip install 'pellucid\[video\]'"):
        frame_times(tmp_path / "a.mp4")
    assert len(frame_times(animation(tmp_path / "a.gif"))) == 6
