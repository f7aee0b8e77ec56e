"""Prints: the file says what was found, in the format that its name asks for."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from pellucid import cli
from pellucid.errors import PellucidError
from pellucid.learn.layers import Conv, Dense, Flatten
from pellucid.learn.network import Network
from pellucid.see.models.open import open_model
from pellucid.see.patterns.api import Snapshots, patterns
from pellucid.show import export
from pellucid.show.figures import patterns as strips
from pellucid.show.figures.axes import save_figure

LAYERS = [Conv(3, 3), Flatten(), Dense(4, "linear")]


@pytest.fixture(scope="module")
def found():
    """The patterns of three maps on images of 7 x 12 pixels."""
    net = Network(LAYERS, input_shape=(1, 7, 12), scaling="unit", seed=2)
    return patterns(net, "conv1", steps=4, candidates=8, silent_restarts=0, snapshots=3, scales=(2, 4))


def test_the_arrays_of_a_file_are_those_that_were_found(found, tmp_path):
    """Rejects a cast to bytes, and arrays under each other's names."""
    with np.load(export.save_patterns(found, tmp_path / "all.npz")) as arrays:
        np.testing.assert_array_equal(arrays["images"], found.images)
        np.testing.assert_array_equal(arrays["activations"], found.activations)
        np.testing.assert_array_equal(arrays["units"], [0, 1, 2])
    with np.load(found.one(1).save(tmp_path / "one.npz")) as arrays:
        np.testing.assert_array_equal(arrays["images"], found.images[1:2])
        assert arrays["activations"] == found.activations[1]


def test_a_picture_is_not_transposed_and_keeps_the_order_of_its_grays(found, tmp_path):
    """Rejects height for width, and a stretch that is not monotone."""
    path = found.one(2).save(tmp_path / "one.png", multiple=3)
    pixels = np.asarray(Image.open(path)).astype(float)
    assert pixels.shape == (21, 36)
    grays, values = pixels[::3, ::3].ravel(), found.images[2, 0].ravel()
    assert (np.diff(grays[np.argsort(values)]) >= 0).all()
    assert len(np.unique(grays)) > 10


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_a_wall_is_written_in_the_format_of_its_name(found, tmp_path, suffix):
    """Rejects a PNG under every name."""
    starts = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}
    assert export.save_patterns(found, tmp_path / f"wall{suffix}").read_bytes().startswith(starts[suffix])


@pytest.mark.parametrize("suffix", [".png", ".gif", ".webp"])
def test_a_film_has_a_frame_for_every_shot(found, tmp_path, suffix):
    """Rejects a film of the last image only."""
    with Image.open(export.save_strip(found.one(0), tmp_path / f"film{suffix}", 3)) as picture:
        frames = getattr(picture, "n_frames", 1)
        assert suffix == ".png" or picture.size == (36, 21)
    assert frames == (1 if suffix == ".png" else len(found.film.steps))


def test_a_strip_says_what_its_numbers_are(found, tmp_path, monkeypatch):
    """Rejects a percentage that nobody explains, and a result that is called the smoothed start."""
    one, told = found.one(0), []
    monkeypatch.setattr(strips, "strip_figure", lambda *given, **named: told.append((given, named)) or Figure())
    last = Snapshots(one.film.steps[-1:], one.film.images[-1:], one.film.activations[-1:])
    for film in (one.film, last):
        export.save_strip(replace(one, film=film, raw_start=one.image), tmp_path / "strip.png")
    assert told[0][1]["note"] == "below: activation, its change in that step"
    assert told[0][0][1][:2] == ["raw start", "smoothed"]
    assert told[1][0][1] == ["raw start", f"step {one.film.steps[-1]}"]


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_a_film_of_all_units_ends_with_the_wall_of_what_was_found(found, tmp_path, suffix):
    """Rejects units in another order than the wall's, frames of one unit only, and pixels that are interpolated."""
    expected = np.asarray(Image.open(export.save_patterns(found, tmp_path / "wall.png", 5)))
    kept = replace(
        found, film=Snapshots((0, 4), np.stack([found.images[::-1], found.images]), found.film.activations[:2])
    )
    with Image.open(export.save_ascents(kept, tmp_path / f"film{suffix}", 5)) as film:
        assert film.n_frames == 2
        first = np.asarray(film.convert("L"))
        film.seek(1)
        last = np.asarray(film.convert("L"))
    assert np.array_equal(last, expected)
    assert not np.array_equal(first, expected)


def test_a_bare_wall_holds_pixels_and_nothing_else(found, tmp_path):
    """Rejects labels, a border, and pictures of a folder at another size."""
    with Image.open(export.save_patterns(found, tmp_path / "wall.png", 3)) as picture:
        assert picture.size == (3 * (2 * 13 - 1), 3 * (2 * 8 - 1))
    with Image.open(export.save_patterns(found, tmp_path / "all", 3) / "unit-001.png") as picture:
        assert picture.size == (36, 21)
    assert export.save_patterns(found, tmp_path / "wall.svg", 3).read_bytes().startswith(b"<?xml")


@pytest.mark.parametrize(
    ("save", "name"),
    [
        (export.save_patterns, "wall.bmp"),
        (export.save_ascents, "wall.png"),
        (lambda found, path: found.one(0).save(path), "one.gif"),
        (lambda found, path: export.save_strip(found.one(0), path), "film.mp4"),
        (lambda _, path: save_figure(Figure(), path), "figure"),
    ],
)
def test_another_format_is_refused_by_name(found, tmp_path, save, name):
    """Rejects a file that was opened before its format was looked at."""
    with pytest.raises(PellucidError, match=r"let (it|its name) end in"):
        save(found, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_capital_suffixes_are_the_same_formats(found, tmp_path):
    """Rejects a comparison of suffixes letter by letter."""
    assert found.one(0).save(tmp_path / "ONE.PNG").read_bytes().startswith(b"\x89PNG")


def test_a_film_without_shots_is_refused(found, tmp_path):
    """Rejects an empty strip."""
    one = found.one(0)
    bare = replace(one, film=Snapshots((), one.film.images[:0], one.film.activations[:0]))
    with pytest.raises(PellucidError, match="no snapshots"):
        export.save_strip(bare, tmp_path / "film.gif")
    with pytest.raises(PellucidError, match="no snapshots"):
        export.save_ascents(bare.alone(), tmp_path / "film.gif")


@pytest.mark.parametrize("name", ["wall.png", "folder", "film.gif", "film.webp", "strip.svg", "all.gif"])
def test_any_number_of_channels_is_drawn(tmp_path, name):
    """Rejects an error when all the work is done: what a network of seven channels likes could not be written."""
    net = Network(LAYERS, input_shape=(7, 7, 12), scaling="unit", seed=2)
    found = patterns(net, "conv1", steps=4, candidates=8, silent_restarts=0, snapshots=3, scales=(2, 4))
    film = name.startswith(("film", "strip"))
    path = tmp_path / name
    one, every = found.one(1), export.save_ascents if name == "all.gif" else export.save_patterns
    written = export.save_strip(one, path) if film else every(found, path)
    assert written.exists()
    if name == "film.webp":
        with Image.open(written) as picture:
            assert picture.size == (7 * 12 * export.MULTIPLE, 7 * export.MULTIPLE)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--multiple", "0"], "repeated 0 times"),
        (["--multiple", "100000"], "too large to be drawn"),
        (["--film", "one.png"], "Both --out and --film are 'one.png'"),
        (["--history", "a.csv", "--answers", "./a.csv"], "Both --history and --answers are"),
        (["--film", "one.gif", "--snapshots", "0"], "no snapshots"),
        (["--film", "one.gif", "--multiple", "800"], "too large to be drawn"),
    ],
)
def test_what_cannot_be_drawn_is_said_before_the_ascent(tmp_path, monkeypatch, capsys, words, said):
    """Rejects a sentence after minutes of work, running out of memory, and a film over the picture."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["pattern", "mnist-cnn", "conv1", "0", "--steps", "500", "--out", "one.png", *words]) == 2
    said_first = capsys.readouterr()
    assert said in said_first.err
    assert said_first.out == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--multiple", "0"], "repeated 0 times"),
        (["--multiple", "4", "--out", "wall.pdf"], "has no pixels"),
        (["--multiple", "100", "--film", "all.gif"], "too large to be drawn"),
        (["--snapshots", "0", "--film", "all.gif"], "no snapshots"),
        (["--film", "all.png"], "let it end in .gif, .webp"),
    ],
)
def test_a_wall_that_cannot_be_drawn_is_said_before_the_ascent(tmp_path, monkeypatch, capsys, words, said):
    """Rejects a sentence after the work, and a wall without the film that was asked for."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["patterns", "mnist-cnn", "conv1", "--steps", "500", *words]) == 2
    said_first = capsys.readouterr()
    assert said in said_first.err
    assert said_first.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_wall_names_its_units_and_counts_the_others(tmp_path, monkeypatch):
    """Rejects numbers where the classes' names are known, a name that runs into the number beside it, a wall of some
    units that passes for all of them, and the classes' names on another layer of as many units."""
    told = []
    monkeypatch.setattr(export.PictureBoard, "draw_text", lambda self, words, *_, **__: told.append(words))
    layers = [Conv(4, 3), Flatten(), Dense(4, "linear"), Dense(4, "linear")]
    model = open_model(Network(layers, input_shape=(1, 7, 12), scaling="unit", seed=2))
    model = replace(model, classes=("tench, Tinca", "goldfish", "x" * 99, "y"))
    few = {"steps": 2, "candidates": 4, "silent_restarts": 0, "image": "sphere"}
    last = model.layers[-1].name
    export.save_patterns(patterns(model, last, units=[0, 2], **few), tmp_path / "a.png", model=model)
    assert told[0].endswith(f"{last}, 2 of 4 units")
    assert told[1] == "whatever excites most"
    assert told[2] in ("tench", "ten")
    assert 3 <= len(told[4]) < 12
    told.clear()
    export.save_patterns(patterns(model, model.layers[0].name, **few), tmp_path / "b.png", model=model)
    assert told[0].endswith(model.layers[0].name)
    assert told[2::2] == ["0", "1", "2", "3"]
