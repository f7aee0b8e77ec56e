"""Films play the frames that they were given."""

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
    with pytest.raises(PellucidError, match=r"no film format '\.mp4'"):
        save_film(numbers(1, 2, 2), tmp_path / "film.mp4")
    with pytest.raises(PellucidError, match="no frames"):
        save_film(numbers(0, 2, 2), tmp_path / "film.gif")
    with pytest.raises(PellucidError, match="2 frames but 1 durations"):
        save_film(numbers(2, 2, 2), tmp_path / "film.gif", milliseconds=[10])
    assert not list(tmp_path.iterdir())
