"""Films play the frames that they were given."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from pellucid.data.clips import frame_times, read_frames
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
    with pytest.raises(PellucidError, match=r"it ends in '\.avi'"):
        save_film(numbers(1, 2, 2), tmp_path / "film.avi")
    with pytest.raises(PellucidError, match="no frames"):
        save_film(numbers(0, 2, 2), tmp_path / "film.gif")
    with pytest.raises(PellucidError, match="2 frames but 1 durations"):
        save_film(numbers(2, 2, 2), tmp_path / "film.gif", milliseconds=[10])
    assert not list(tmp_path.iterdir())


def test_frames_are_taken_one_by_one(tmp_path: Path):
    """Rejects a film that is held as a whole before its first frame is written, or cut short in silence."""
    alive, most = [0], [0]

    class Counted(np.ndarray):
        def __del__(self):
            alive[0] -= 1

    def frames():
        for number in range(40):
            alive[0] += 1
            most[0] = max(most[0], alive[0])
            yield np.full((8, 10, 3), 6 * number, np.uint8).view(Counted)

    for suffix in (".webp", ".gif"):
        seen, durations = played(save_film(frames(), tmp_path / f"film{suffix}", milliseconds=[30] * 40, hold=0))
        assert len(seen) == 40
        assert set(durations) == {30}
        assert most[0] < 8
    pytest.importorskip("av")
    save_film(frames(), tmp_path / "film.mp4", milliseconds=[30] * 40)
    assert most[0] < 8


def test_pictures_are_frames_too(tmp_path: Path):
    """Rejects a front door whose `save_film` takes no picture that `zoom` gives."""
    picture = np.array([[[0.0, 1.0]], [[0.2, 0.4]], [[1.0, 0.0]]], np.float32)
    seen, _ = played(save_film([picture, 1 - picture], tmp_path / "film.webp"))
    np.testing.assert_array_equal(seen[0], [[[0, 51, 255], [255, 102, 0]]])


def test_an_mp4_holds_every_frame_as_it_was_for_its_time(tmp_path: Path):
    """Rejects odd sides that the format refuses, frames that are dropped, colors of another standard, rounded times."""
    pytest.importorskip("av")
    colors = np.array([[40 * number, 90, 30] for number in range(5)], np.uint8)
    frames = np.broadcast_to(colors[:, None, None], (5, 33, 35, 3))
    path = save_film(frames, tmp_path / "film.mp4", milliseconds=[1001 / 30] * 4 + [20], hold=100)
    seen = [pixels for pixels, _, _ in read_frames(path)]
    assert [pixels.shape for pixels in seen] == [(3, 34, 36)] * 5
    for pixels, color in zip(seen, colors, strict=True):
        np.testing.assert_allclose(255 * pixels[:, 9, 9], color, atol=5)
    assert frame_times(path) == pytest.approx([1001 / 30] * 4 + [120], abs=0.02)
    gray = save_film(np.full((2, 8, 8), 90, np.uint8), tmp_path / "gray.mp4", milliseconds=50)
    assert all(np.abs(255 * pixels - 90).max() < 4 for pixels, _, _ in read_frames(gray))


def test_an_mp4_without_its_package_is_refused_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Rejects a traceback, and an empty file left behind."""
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(PellucidError, match=r"PyAV; install it: pip install 'pellucid\[video\]'"):
        save_film(numbers(2, 8, 8), tmp_path / "film.mp4")
    assert list(tmp_path.iterdir()) == []
