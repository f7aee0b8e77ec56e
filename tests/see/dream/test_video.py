"""Dreams on films go along with what is seen, and are as bright as the film."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from pellucid.data.photos import to_gray
from pellucid.see.dream.dream import dream
from pellucid.see.dream.video import flow, video
from pellucid.see.models.open import open_model
from tests.see.conftest import small_cnn

pytest.importorskip("cv2")
ASKED = {"layer": "relu2", "unit": 1, "octaves": 2}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return open_model(small_cnn(3), input_shape=(3, 13, 9))


def scene(seed: int, height: int = 61, width: int = 97) -> np.ndarray:
    """A photo-like picture in [0, 1]."""
    grid = torch.rand(1, 3, height // 6, width // 6, generator=torch.Generator().manual_seed(seed))
    large = torch.nn.functional.interpolate(grid, (height, width), mode="bicubic", align_corners=False)[0]
    return large.clamp(0, 1).numpy()


def panned(count: int, seed: int = 0) -> list[np.ndarray]:
    """The scene from further and further right, one pixel a frame, 48 x 64."""
    return [np.ascontiguousarray(scene(seed)[:, 5:53, number : number + 64]) for number in range(count)]


def unrest(pictures: list[np.ndarray]) -> float:
    """How much of a panned film changes other than by its motion, which is one pixel a frame."""
    pairs = pairwise(pictures)
    return float(np.mean([np.square(one[:, :, 1:] - other[:, :, :-1]).mean() for one, other in pairs]))


def test_the_flow_is_the_way_back_and_knows_what_is_new():
    """Rejects a flow forwards, rows taken for columns, and a border that comes into view taken for known."""
    before, after = panned(5)[0], panned(5)[4]
    places, sure = flow(before, after)
    rows, columns = np.mgrid[8:40, 8:50]
    np.testing.assert_allclose(places[8:40, 8:50, 0], columns + 4, atol=0.3)
    np.testing.assert_allclose(places[8:40, 8:50, 1], rows, atol=0.3)
    assert sure[8:40, 8:50].mean() > 0.95
    assert not sure[:, -4:].any()


def test_a_film_flickers_less_than_its_frames_alone_and_stays_as_bright(model):
    """Rejects frames that begin anew, a change carried over without moving it, and brightness that drifts."""
    frames = panned(12)
    found = list(video(frames, model, **ASKED))
    alone = [dream(frame, model, frame=0, progress=lambda *_: None, **ASKED) for frame in frames]
    assert unrest([one.image for one in found]) < 0.5 * unrest([one.image for one in alone])
    strength = [float(np.abs(one.change).mean()) for one in found]
    assert min(strength) > 0.7 * max(strength)
    light = [one.image.mean() / frame.mean() for one, frame in zip(found, frames, strict=True)]
    assert np.ptp(light) < 0.01


def test_a_dark_film_stays_dark(model):
    """Rejects a change whose mean is 0 in logits, which brightens what is dark and darkens what is bright."""
    for dim in (lambda frame: 0.3 * frame, lambda frame: 1 - 0.3 * frame):
        frames = [dim(frame) for frame in panned(3)]
        for one, frame in zip(video(frames, model, strength=0.8, **ASKED), frames, strict=True):
            assert to_gray(one.image).mean() == pytest.approx(to_gray(frame).mean(), rel=0.003)


def test_after_a_cut_a_film_begins_anew(model):
    """Rejects the change of one scene painted over another."""
    frames = [*panned(3), *panned(3, seed=1)]
    found = list(video(frames, model, **ASKED))
    fresh = next(video(frames[3:], model, **ASKED))
    np.testing.assert_array_equal(found[3].change, fresh.change)
    assert np.abs(found[4].change - next(video(frames[4:], model, **ASKED)).change).mean() > 1e-3


def test_a_film_that_is_gone_on_with_is_the_same_to_the_bit(model):
    """Rejects a state that is more than the picture before and the change on it."""
    frames = panned(5)
    whole = list(video(frames, model, **ASKED))
    rest = list(video(frames[2:], model, before=(whole[1].before, whole[1].change), **ASKED))
    for one, other in zip(rest, whole[2:], strict=True):
        np.testing.assert_array_equal(one.image, other.image)


@pytest.mark.parametrize("size", [(8, 9), (1, 20), (13, 64)])
def test_small_and_gray_frames_are_dreamt_on(size):
    """Rejects sizes that OpenCV refuses, and one channel taken for three."""
    torch.manual_seed(0)
    gray = open_model(small_cnn(1), input_shape=(1, 13, 9))
    frames = [frame[:, : size[0], : size[1]] for frame in panned(3)]
    assert [one.image.shape for one in video(frames, gray, **ASKED)] == [(3, *size)] * 3
    assert [one.image.shape for one in video([frame[:1] for frame in frames], gray, **ASKED)] == [(1, *size)] * 3


def test_without_strength_a_film_is_itself(model):
    """Rejects brightness that is mended where nothing changed."""
    frames = panned(2)
    for one, frame in zip(video(frames, model, strength=0, **ASKED), frames, strict=True):
        np.testing.assert_array_equal(one.image, frame)


def test_where_a_mask_is_black_the_film_is_itself(model):
    """Rejects a change that flows out of its mask."""
    mask = np.zeros((1, 48, 64), np.float32)
    mask[:, :, 32:] = 1
    frames = panned(3)
    for one, frame in zip(video(frames, model, mask=mask, **ASKED), frames, strict=True):
        np.testing.assert_array_equal(one.image[:, :, :32], frame[:, :, :32])
        assert np.abs(one.image - frame).max() > 0.01


def test_films_can_be_dreamt_by_tiles(model):
    """Rejects a method that begins anew at each frame."""
    frames = panned(6)
    found = list(video(frames, model, method="tiles", levels=1, layer="relu2", unit=1))
    alone = [dream(frame, model, method="tiles", levels=1, layer="relu2", unit=1, frame=0) for frame in frames]
    assert unrest([one.image for one in found]) < 0.8 * unrest([one.image for one in alone])
