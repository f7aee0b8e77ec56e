"""results: what was found, on disk and back, in a notebook, on axes."""

import re

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from pellucid.cli.arguments import initial_images
from pellucid.data.pixels import Tones, image_wall, tone, tone_images
from pellucid.data.scaling import Scaling
from pellucid.data.splits import Split
from pellucid.errors import PellucidError
from pellucid.see.models.open import open_model
from pellucid.see.patterns.api import History, Pattern, Patterns, pattern, patterns
from pellucid.see.patterns.pattern_files import load_images
from tests.see.conftest import small_cnn

QUICK = {"steps": 4, "candidates": 16, "silent_restarts": 0, "scales": (2, 4)}


@pytest.fixture(scope="module")
def found():
    """The patterns of three units on images of 13 x 9."""
    return patterns(
        open_model(small_cnn(), input_shape=(1, 13, 9), scaling="standardized"), "relu2", units=[4, 0, 2], **QUICK
    )


def test_an_npz_holds_all_of_it(found, tmp_path):
    """Rejects a field that is left out, cast, or swapped with another."""
    back = Patterns.load(found.save(tmp_path / "all.npz"))
    for name in ("units", "images", "activations", "dead", "steps", "tried_starts", "tried_images"):
        np.testing.assert_array_equal(getattr(back, name), getattr(found, name))
        assert getattr(back, name).dtype == getattr(found, name).dtype
    np.testing.assert_array_equal(back.history.activations, found.history.activations)
    np.testing.assert_array_equal(back.film.images, found.film.images)
    np.testing.assert_array_equal(back.film.activations, found.film.activations)
    assert (back.film.steps, back.settings) == (found.film.steps, found.settings)
    assert (back.model, back.layer) == (found.model, found.layer)


def test_one_pattern_comes_back_and_several_are_not_one(found, tmp_path):
    """Rejects the first of several in place of the one."""
    back = Pattern.load(found.one(2).save(tmp_path / "one.npz"))
    assert (back.unit, back.activation) == (2, found.one(2).activation)
    np.testing.assert_array_equal(back.image, found.images[2])
    with pytest.raises(PellucidError, match="3 patterns, not one"):
        Pattern.load(found.save(tmp_path / "all.npz"))


def test_a_table_gives_back_every_pixel(found, tmp_path):
    """Rejects rounded pixels, a transposed image, and a unit in the next one's row."""
    path = found.save(tmp_path / "all.csv")
    np.testing.assert_array_equal(load_images(path), found.images)
    head, first, *_ = path.read_text().splitlines()
    assert head.split(",")[:6] == ["unit", "activation", "dead", "steps", "c0y0x0", "c0y0x1"]
    assert first.split(",")[0] == "4"
    assert float(first.split(",")[1]) == found.activations[0]


def test_what_was_saved_is_gone_on_from(found, tmp_path):
    """Rejects a way back on which the images change."""
    start = load_images(found.save(tmp_path / "all.npz"))
    model = open_model(small_cnn(), input_shape=(1, 13, 9), scaling="standardized")
    again = patterns(model, "relu2", units=[4, 0, 2], start=start, **QUICK)
    np.testing.assert_allclose(again.film.images[0], found.images, atol=1e-5)


def test_patterns_are_held_against_the_strongest_image(tmp_path):
    """Rejects the strongest for another unit or position, dead units that divide by zero, and numbers lost on disk."""
    torch.manual_seed(3)
    module = small_cnn()
    with torch.no_grad():
        module.conv2.bias[2] = -100.0
    model = open_model(module, input_shape=(1, 13, 9), scaling="standardized")
    images = np.random.default_rng(0).random((300, 1, 13, 9), dtype=np.float32)
    asked = {"data": Split(images, np.zeros(300, np.int64)), "units": [4, 2, 0], "at": (1, 0), "others": 0.1, **QUICK}
    with torch.no_grad():
        said = module[:5](model.prepared(images))[:, :, 1, 0].amax(0).numpy()[[4, 2, 0]]
    told = []
    found = patterns(model, "relu2", compare=True, progress=lambda *done: told.append(done), **asked)
    np.testing.assert_allclose(found.strongest, said, rtol=1e-4)
    np.testing.assert_allclose(found.relative[[0, 2]], found.activations[[0, 2]] / said[[0, 2]], rtol=1e-4)
    assert np.isnan(found.relative[1])
    assert (found.one(2).relative, found.one(0).relative) == (None, pytest.approx(found.relative[2]))
    assert told[-1][0] == told[-1][1]
    assert patterns(model, "relu2", **asked).relative is None
    np.testing.assert_array_equal(Patterns.load(found.save(tmp_path / "all.npz")).strongest, found.strongest)
    assert Pattern.load(found.one(0).save(tmp_path / "one.npz")).strongest == found.strongest[2]
    path = found.save(tmp_path / "all.csv")
    head, first, *_ = path.read_text().splitlines()
    assert np.float32(first.split(",")[head.split(",").index("strongest")]) == found.strongest[0]
    np.testing.assert_array_equal(load_images(path), found.images)
    with pytest.raises(PellucidError, match="give data, or leave out compare"):
        patterns(model, "relu2", compare=True, **QUICK)


@pytest.mark.parametrize("multiple", [1, 3])
def test_a_picture_has_every_pixel_as_it_is(found, tmp_path, multiple):
    """Rejects interpolation, a border around a single image, and a stretch of each image by itself."""
    image = found.images[1, 0].astype(np.float64)
    pixels = np.asarray(Image.open(found.one(0).save(tmp_path / "one.png", multiple)))
    assert pixels.shape == (13 * multiple, 9 * multiple)
    expected = tone((image - image.mean()) / image.std()).repeat(multiple, 0).repeat(multiple, 1)
    assert np.abs(pixels.astype(int) - expected).max() <= 1
    whole = np.asarray(Image.open(found.save(tmp_path / "all.png", multiple)))
    assert whole.shape[0] % multiple == 0
    np.testing.assert_array_equal(whole[: 13 * multiple, 10 * multiple : 19 * multiple], pixels)


@pytest.mark.parametrize("channels", [1, 3, 7])
def test_any_number_of_channels_can_be_looked_at(channels):
    """Rejects a wall that only knows gray and colours, and colours in place of channels side by side."""
    images = np.random.default_rng(0).random((4, channels, 5, 8), dtype=np.float32)
    picture = image_wall(images, columns=2)
    wide = 8 * channels if channels == 7 else 8
    assert picture.shape == (3 if channels == 3 else 1, 11, 2 * wide + 1)


def test_a_notebook_shows_it_and_words_cannot_break_out(found):
    """Rejects a tag without its picture, and a model's name that is taken for HTML."""
    assert re.fullmatch(r'<img alt="[^"<>]*" .*src="data:image/png;base64,[\w+/=]+">', found._repr_html_())
    hostile = Patterns(**{**vars(found), "model": '"><script>'})
    assert "<script>" not in hostile._repr_html_()
    assert "<img" in found.one(4)._repr_html_()


def test_plots_go_where_they_are_asked_to(found):
    """Rejects pyplot's global figure, and axes that are made where some were given."""
    axes = Figure().subplots()
    assert found.plot(axes) is axes
    assert found.one(4).plot().get_title().startswith("relu2, unit 4")


@pytest.mark.parametrize("name", ["patterns.bmp", "patterns"])
def test_another_suffix_is_refused(found, tmp_path, name):
    """Rejects a file of a guessed format."""
    with pytest.raises(PellucidError, match="let it end in"):
        found.save(tmp_path / name)
    with pytest.raises(PellucidError, match=r"give an \.npz or \.csv"):
        load_images(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_other_and_damaged_files_are_refused_in_a_sentence(found, tmp_path):
    """Rejects a traceback, and an array of another kind that is believed."""
    whole = found.save(tmp_path / "all.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    np.savez(tmp_path / "other.npz", images=found.images)
    arrays = dict(np.load(tmp_path / "all.npz"))
    np.savez(tmp_path / "wrong.npz", **{**arrays, "dead": arrays["steps"]})
    np.savez(tmp_path / "short.npz", **{**arrays, "moments": arrays["moments"][1:]})
    np.savez(tmp_path / "wide.npz", **{**arrays, "film": arrays["film"][..., 1:]})
    np.savez(tmp_path / "later.npz", **{**arrays, "about": np.frombuffer(b'{"format": 2}', np.uint8)})
    np.savez(tmp_path / "torn.npz", **{**arrays, "about": np.frombuffer(b"{", np.uint8)})
    expected = {"cut": "damaged", "other": "no 'about'", "wrong": "'dead' that does not fit", "later": "format 1"}
    expected |= {"short": "that does not fit", "wide": "that does not fit"}
    for name, message in (*expected.items(), ("torn", "cannot be read"), ("missing", "There is no NPZ file")):
        with pytest.raises(PellucidError, match=message):
            Patterns.load(tmp_path / f"{name}.npz")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has not 1 pixels"),
        ("unit,c0y0x0,c0y0x1\n1,2\n", "has not 2 pixels"),
        ("unit,c0y0x0,c0y0x2\n1,2,3\n", "has not 3 pixels"),
        ("7,0,0,0,0\n", "has not 4 pixels"),
        ("label,p0\n7,0\n", "has not 1 pixels"),
        ("unit,c0y0x0\n1,black\n", "no number"),
        ("unit,c0y0x0\n1,nan\n", "no finite images"),
        ("unit,c0y0x0\n", "no finite images"),
    ],
)
def test_tables_that_are_none(tmp_path, text, message):
    """Rejects rows of another length, numbers that are none, and a table without rows."""
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(PellucidError, match=message):
        load_images(tmp_path / "table.csv")


def test_results_are_gone_through_one_by_one(tmp_path):
    """Rejects the first of two patterns of a unit, twice, and a table that is called a picture."""
    found = patterns(open_model(small_cnn(), input_shape=(1, 13, 9)), "relu1", units=[2, 0, 2], **QUICK)
    several = list(found)
    assert [one.unit for one in several] == [2, 0, 2]
    assert all(np.array_equal(one.image, image) for one, image in zip(several, found.images, strict=True))
    assert not np.array_equal(several[0].image, several[2].image)
    with pytest.raises(PellucidError, match=r"end in \.csv"):
        found.save_history(tmp_path / "history.png")


def test_a_change_is_that_of_the_step_before():
    """Rejects changes that stand a step too early, and a division by a silent unit."""
    activations = np.array([[0.0, 2.0, 2.5, np.nan], [4.0, 0.0, -2.0, -1.0]], np.float32)
    changes = History(activations).changes
    np.testing.assert_allclose(changes, [[np.nan, 1.0, 0.2, np.nan], [np.nan, np.nan, -1.0, 1.0]], rtol=1e-6)


@pytest.mark.parametrize(
    ("scaling", "channels"),
    [("unit", 1), (Scaling("mean-deviation", (0.1, 0.2, 0.3), (0.3, 0.2, 0.4)), 3), ("standardized", 1)],
)
def test_a_box_image_is_drawn_as_it_is_and_comes_back_as_a_start(tmp_path, scaling, channels):
    """Rejects black that is drawn gray, and a picture that is another image when the next search starts from it."""
    model = open_model(small_cnn(channels), input_shape=(channels, 13, 9), scaling=scaling)
    noise = "normal" if scaling == "standardized" else "zero"
    found = pattern(model, "relu2", 4, image="box", optimizer="gradient", keep="last", noise=noise, **QUICK)
    large = found.save(tmp_path / "large.png", 3)
    path = found.save(tmp_path / "box.png", 1)
    pixels = np.moveaxis(np.atleast_3d(np.asarray(Image.open(path))), -1, 0) / 255
    if scaling == "standardized":  # it forgets what was black, and the caption says so
        assert (pixels.min(), pixels.max()) == (0, 1)
        assert "stretched from its smallest" in found.plot().get_title()
    else:
        assert np.abs(pixels - found.scaling.invert(found.image[None])[0]).max() <= 0.5001 / 255
        assert "stretched" not in found.plot().get_title()
    start = initial_images(path, model, None, 0)
    np.testing.assert_allclose(start[0], found.image, atol=0.05 if scaling == "standardized" else 0.01)
    np.testing.assert_array_equal(initial_images(large, model, None, 0), start)  # each square is one pixel again
    again = Pattern.load(found.save(tmp_path / "box.npz"))
    assert again.scaling == found.scaling
    assert again._repr_html_() == found._repr_html_()


def test_a_stretched_picture_says_so_and_a_palette_is_a_palette(found):
    """Rejects a stretch by one image of another, silence about it, a flat image that divides by zero, and gray."""
    settings = found.settings.model_copy(update={"tones": "stretched", "palette": "viridis"})
    images = found.images.copy()
    images[0] = 0.3
    drawn = Patterns(**{**vars(found), "images": images, "settings": settings})
    assert "stretched" in drawn.plot().get_title()
    assert "stretched" in drawn._repr_html_()
    gray = tone_images(images, Tones("stretched"))
    assert [(tile.min(), tile.max()) for tile in gray] == [(0, 0), (0, 255), (0, 255)]
    colored = tone_images(images, drawn.tones)
    assert colored.shape == (3, 3, 13, 9)
    low, high = np.unravel_index(gray[1].argmin(), gray[1].shape), np.unravel_index(gray[1].argmax(), gray[1].shape)
    assert [tuple(colored[1][:, at[1], at[2]].tolist()) for at in (low, high)] == [(68, 1, 84), (253, 231, 36)]


def test_rows_of_numbers_are_pixels(tmp_path):
    """Rejects pixels that the model is given unscaled, a square forced on what is none, and bytes taken for pixels."""
    model = open_model(small_cnn(3), input_shape=(3, 13, 9), scaling=Scaling("mean-deviation", 0.5, 0.25))
    pixels = np.random.default_rng(0).random((2, 3, 13, 9), dtype=np.float32)
    np.savetxt(tmp_path / "rows.csv", pixels.reshape(2, -1), delimiter=",")
    np.testing.assert_allclose(load_images(tmp_path / "rows.csv", model), (pixels - 0.5) / 0.25, rtol=1e-5, atol=1e-6)
    np.savez(tmp_path / "data.npz", images=np.rint(255 * pixels).astype(np.uint8))
    np.testing.assert_allclose(load_images(tmp_path / "data.npz", model), (pixels - 0.5) / 0.25, atol=0.01)
    np.savetxt(tmp_path / "square.csv", np.arange(16)[None] / 16, delimiter=",")
    assert load_images(tmp_path / "square.csv").shape == (1, 1, 4, 4)
    np.savetxt(tmp_path / "bytes.csv", np.arange(16)[None], delimiter=",")
    with pytest.raises(PellucidError, match="Pixels run from 0 to 15"):
        load_images(tmp_path / "bytes.csv")
