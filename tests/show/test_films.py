"""Films play the frames that they were given."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from pellucid.errors import PellucidError
from pellucid.show.films import save_film


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, shape, dtype=np.uint8)


def played(path: Path) -> tuple[list[np.ndarray], list[int]]:
    with Image.open(path) as film:
        frames, durations = [], []
        for frame in ImageSequence.Iterator(film):
            frames.append(np.asarray(frame.convert("RGB")))
            durations.append(frame.info["duration"])
        return frames, durations


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_gray_frames_come_back_as_they_were(tmp_path: Path, suffix: str):
    """Rejects lossy WebP, a GIF palette that merges grays, and a film that shows one frame only."""
    frames = numbers(3, 7, 5)
    path = save_film(frames, tmp_path / f"film{suffix}", milliseconds=50, hold=200, multiple=2)
    seen, durations = played(path)
    assert durations == [50, 50, 250]
    for frame, gray in zip(seen, frames, strict=True):
        np.testing.assert_array_equal(frame[::2, ::2], gray[:, :, None].repeat(3, 2))
        np.testing.assert_array_equal(frame[1::2, 1::2], frame[::2, ::2])


def test_colour_frames_come_back_as_they_were(tmp_path: Path):
    """Rejects channels taken for height when frames are enlarged."""
    frames = numbers(2, 6, 4, 3)
    seen, durations = played(save_film(frames, tmp_path / "film.webp", milliseconds=[40, 60], hold=0, multiple=3))
    assert durations == [40, 60]
    for frame, colours in zip(seen, frames, strict=True):
        np.testing.assert_array_equal(frame[::3, ::3], colours)


def test_a_refused_film_leaves_nothing_behind(tmp_path: Path):
    """Rejects a half-written file, and an unknown suffix that is taken for GIF."""
    with pytest.raises(PellucidError, match=r"its name ends in '\.avi'"):
        save_film(numbers(1, 2, 2), tmp_path / "film.avi")
    with pytest.raises(PellucidError, match="no frames"):
        save_film(numbers(0, 2, 2), tmp_path / "film.gif")
    with pytest.raises(PellucidError, match="2 frames but 1 durations"):
        save_film(numbers(2, 2, 2), tmp_path / "film.gif", milliseconds=[10])
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # imageio-ffmpeg leaves its pipes open
def test_an_mp4_holds_every_frame(tmp_path: Path):
    """Rejects odd sides that the format refuses, and frames that are dropped."""
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    path = save_film(np.full((3, 33, 35, 3), 90, np.uint8), tmp_path / "film.mp4", milliseconds=100, hold=100)
    reader = ffmpeg.read_frames(path)
    assert next(reader)["size"] == (36, 34)
    frames = [np.frombuffer(frame, np.uint8) for frame in reader]
    assert len(frames) == 4
    assert all(abs(frame.astype(int) - 90).max() < 8 for frame in frames)


def test_an_mp4_without_its_package_is_refused_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Rejects a traceback, and an empty file left behind."""
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(PellucidError, match="imageio-ffmpeg"):
        save_film(numbers(2, 8, 8), tmp_path / "film.mp4")
    assert list(tmp_path.iterdir()) == []
