"""Albums keep what was dreamt: films, panels, many photos."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from pellucid.data.photos import read_photo
from pellucid.errors import PellucidError
from pellucid.executors import Engine
from pellucid.see.dream.dream import dream, zoom
from pellucid.see.models.open import open_model
from pellucid.show import dream_export
from pellucid.show.figures.pictures import WORDS, dream_panel
from tests.see.conftest import small_cnn

ASKED = {"layer": "relu2", "unit": 1, "levels": 1, "rounds": 2, "steps": 3}


class Elsewhere(Engine):
    """An engine that is not this process."""

    def map(self, work, shared, items, count, *, label="", progress=None):
        return iter(())


@pytest.fixture
def model():
    torch.manual_seed(0)
    return open_model(small_cnn(), input_shape=(1, 13, 9), scaling="standardized")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    y, x = np.mgrid[0:33, 0:51] / 51
    pixels = np.stack([x, y, np.sin(9 * x) / 2 + 0.5], -1) * 200 + 20
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_a_film_plays_the_photo_and_every_round(model, photo, tmp_path):
    """Rejects a film without its first or last picture."""
    dreamt = dream(photo, model, **ASKED)
    with Image.open(dream_export.save_dream_film(dreamt, tmp_path / "film.webp")) as film:
        frames = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(film)]
    assert len(frames) == 3
    for frame, picture in zip(frames, (dreamt.before, *dreamt.frames), strict=True):
        np.testing.assert_allclose(frame, 255 * picture.transpose(1, 2, 0), atol=0.51)
    gray = dream(photo, model, color=False, frame=20, **ASKED)
    with Image.open(dream_export.save_dream_film(gray, tmp_path / "film.gif")) as film:
        assert film.size == (20, 13)
    with pytest.raises(PellucidError, match="kept no frames"):
        dream_export.save_dream_film(dream(photo, model, frame=0, **ASKED), tmp_path / "film.gif")


def test_a_zoom_comes_nearer(model, photo):
    """Rejects dreams that stay where they are, and pictures whose size changes."""
    pictures = list(
        zoom(photo, model, layer="relu2", unit=1, levels=1, steps=1, learning_rate=1e-6, frames=6, factor=1.1)
    )
    assert len(pictures) == 7
    assert {picture.shape for picture in pictures} == {(3, 33, 51)}
    nearer = 1.1**6
    spread = [picture[0, :, -1].mean() - picture[0, :, 0].mean() for picture in (pictures[0], pictures[-1])]
    assert spread[1] == pytest.approx(spread[0] / nearer, rel=0.1)
    with pytest.raises(PellucidError, match="above 1 and at most 2"):
        next(zoom(photo, model, layer="relu2", unit=1, factor=1.0))


def test_a_panel_shows_all_four(model, photo):
    """Rejects a panel that shows one picture twice."""
    figure = dream_panel(dream(photo, model, **ASKED))
    shown = [np.asarray(image.get_array()) for image in figure.axes[0].images]
    assert len({image.tobytes() for image in shown}) == 4
    assert [text.get_text() for text in figure.axes[0].texts] == list(WORDS)


def test_many_photos_become_many_pictures(model, photo, tmp_path):
    """Rejects pictures that overwrite each other, and files that are no pictures."""
    for name in ("a.png", "a.jpg", "b.webp"):
        Image.open(photo).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no photo")
    written = list(dream_export.save_dreams(tmp_path, model, out=tmp_path / "out", **ASKED))
    assert [path.name for path in written] == ["a.jpg.png", "a.png.png", "b.png", "photo.png"]
    assert all(read_photo(path).image.shape == (3, 33, 51) for path in written)
    assert dream_export.find_photos(f"{tmp_path}/a.*") == [tmp_path / "a.jpg", tmp_path / "a.png"]
    with pytest.raises(PellucidError, match="no picture in"):
        dream_export.find_photos(f"{tmp_path}/z*.png")
    with pytest.raises(PellucidError, match="stands for 4 photos"):
        list(dream_export.save_dreams(tmp_path, model, film=tmp_path / "film.gif", **ASKED))


def test_one_photo_with_all_that_can_be_kept(model, photo, tmp_path):
    """Rejects a path that is not tried before the work, and a file that is forgotten."""
    paths = {"out": tmp_path / "d.jpg", "film": tmp_path / "f.gif", "panel_path": tmp_path / "p.png"}
    written = list(dream_export.save_dreams(photo, model, zoom=2, **paths, **ASKED))
    assert sorted(written) == sorted(paths.values())
    assert all(path.stat().st_size > 100 for path in written)
    with pytest.raises(PellucidError, match="one piece of work"):
        list(dream_export.save_dreams(photo, model, engine=Elsewhere(), **ASKED))
    with pytest.raises(PellucidError, match="--film"):
        list(dream_export.save_dreams(photo, model, zoom=2, **ASKED))
    with pytest.raises(PellucidError, match="does not exist"):
        list(dream_export.save_dreams(tmp_path / "no.png", model, film=tmp_path / "nowhere" / "f.gif", **ASKED))
