"""dreams: carved, not painted over; the photo survives."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from foreign import alike, assert_alike
from pellucid.data.photos import Photo, read_photo, to_gray
from pellucid.errors import PellucidError
from pellucid.see.dream import unit_choice
from pellucid.see.dream.dream import dream
from pellucid.see.dream.tiles import tiling
from pellucid.see.models.open import open_model
from tests.see.conftest import small_cnn

QUICK = {"rounds": 2, "steps": 6, "levels": 1}


def smooth(channels=3, height=40, width=64, seed=0):
    """A photo-like picture in [0, 1]."""
    grid = torch.rand(1, channels, 5, 7, generator=torch.Generator().manual_seed(seed))
    large = torch.nn.functional.interpolate(grid, (height, width), mode="bicubic", align_corners=False)[0]
    return (0.15 + 0.7 * large.clamp(0, 1)).numpy()


@pytest.fixture
def model():
    torch.manual_seed(0)
    return open_model(small_cnn(), input_shape=(1, 13, 9), scaling="standardized")


def test_a_dream_excites_the_unit_in_every_piece(model):
    """Rejects a change that is scaled, signed or placed wrongly on its way back into the photo."""
    found = dream(smooth(), model, layer="relu2", unit=1, levels=2, rounds=3, steps=20)
    assert found.image.shape == (3, 40, 64)
    assert (found.activations > found.activations_before).all()
    assert found.activations.mean() > 1.5 * found.activations_before.mean()


def test_the_photo_survives(model):
    """Rejects painting over: detail finer than the model sees stays, and nothing saturates."""
    photo = smooth()
    photo[:, ::2] += 0.05  # rows finer than a piece scaled down to 13 x 9 can hold
    found = dream(photo, model, layer="relu2", unit=1, **QUICK)
    assert 0.02 < np.abs(found.image - photo).max() <= 0.5
    rows = (found.image[:, :-2:2] + found.image[:, 2::2]) / 2 - found.image[:, 1:-1:2]
    assert rows.mean() == pytest.approx(0.05, rel=0.25)
    assert np.mean((found.image <= 0) | (found.image >= 1)) < 0.01


def test_only_luminance_changes(model):
    """Rejects a dream that tints."""
    photo = smooth()
    found = dream(photo, model, layer="relu2", unit=1, strength=0.1, **QUICK)
    np.testing.assert_allclose(found.image - to_gray(found.image), photo - to_gray(photo), atol=1e-5)


@given(st.tuples(st.sampled_from([1, 3]), st.integers(1, 40), st.integers(1, 40)))
def test_without_strength_the_photo_comes_back_to_the_bit(shape):
    """Rejects contrast without a dream, and a round trip through gray or through another size."""
    photo = np.random.default_rng(sum(shape)).random(shape, dtype=np.float32)
    torch.manual_seed(0)
    found = dream(
        photo, open_model(small_cnn(), input_shape=(1, 13, 9)), layer="relu2", unit=0, strength=0, contrast=2, levels=1
    )
    assert np.array_equal(found.image, photo)
    assert np.array_equal(found.frames[-1], photo)


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), (13, 9), (7, 50), (50, 7)])
def test_photos_of_any_size(model, size):
    """Rejects sizes that divide by zero, and proportions that no piece fits."""
    found = dream(np.random.default_rng(0).random((1, *size), dtype=np.float32), model, layer="relu2", unit=0, **QUICK)
    assert found.image.shape == (1, *size)
    assert np.isfinite(found.image).all()


def test_dark_and_even_ground_is_carved_as_well_as_any(model):
    """Rejects strokes as faint as the ground is even or dark, and noise blown up where there is nothing to see."""
    photo = smooth()
    photo[..., 32:] = 0.04 + 0.04 * photo[..., 32:]
    change = np.abs(dream(photo, model, layer="relu2", unit=1, levels=3, rounds=2, steps=6).change[0])
    assert change[:, 40:].mean() > 0.5 * change[:, :24].mean()
    even = np.full((3, 30, 20), 0.5, np.float32)
    noisy = even + np.random.default_rng(0).normal(0, 1e-6, even.shape).astype(np.float32)
    one, other = (dream(some, model, layer="relu2", unit=0, **QUICK) for some in (even, noisy))
    np.testing.assert_allclose(one.image, other.image, atol=0.01)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("unit", [0, 4, "auto", -1])
def test_each_tenth_of_strength_adds_its_share(model, channels, unit):
    """Rejects a strength that hardly matters beyond its middle, and steps that differ from photo to photo."""
    photo = smooth(channels, 60, 44)
    options = {"layer": "relu2", "unit": unit, "levels": 2, "rounds": 2, "steps": 4, "frame": 0}
    images = [dream(photo, model, strength=tenth / 10, **options).image for tenth in range(1, 11)]
    moved = np.array([np.abs(image - photo).mean() for image in images])
    assert (np.diff(moved) >= 0.06 * moved[-1]).all()
    assert moved[-1] > 0.2


def test_the_same_photo_gives_the_same_dream(model):
    """Rejects whatever draws by chance."""
    one, again = (dream(smooth(), model, layer="relu2", unit=2, seed=3, **QUICK) for _ in range(2))
    assert_alike(one.image, again.image)


def test_frames_end_with_the_dream(model):
    """Rejects frames without the contrast, and a first frame that is the photo."""
    found = dream(smooth(), model, layer="relu2", unit=1, rounds=3, steps=4, levels=1)
    assert len(found.frames) == 3
    assert np.array_equal(found.frames[-1], found.image)
    distance = [np.abs(frame - found.before).mean() for frame in found.frames]
    assert distance[0] > 0
    assert distance == sorted(distance)


def test_contrast_spreads_luminance_without_clipping(model):
    """Rejects contrast about black, which brightens, and a clip that flattens."""
    plain, strong = (dream(smooth(), model, layer="relu2", unit=1, contrast=c, **QUICK).image for c in (1, 1.5))
    assert to_gray(strong).std() > 1.2 * to_gray(plain).std()
    assert abs(to_gray(strong).mean() - to_gray(plain).mean()) < 0.02
    assert strong.min() >= 0
    assert strong.max() <= 1


def test_a_unit_for_each_level(model):
    """Rejects the first unit for all levels."""
    one = dream(smooth(), model, layer="relu2", unit=[1, 1], levels=2, rounds=1, steps=5)
    other = dream(smooth(), model, layer="relu2", unit=[1, 4], levels=2, rounds=1, steps=5)
    assert_alike(one.image, dream(smooth(), model, layer="relu2", unit=1, levels=2, rounds=1, steps=5).image)
    assert not alike(one.image, other.image)
    assert set(one.units) == {1}
    assert list(dict.fromkeys(other.units)) == [1, 4]
    assert len(other.units) == len(other.activations)


def test_a_large_photo_is_worked_on_at_the_size_asked_for(model):
    """Rejects a longer side that is not `size`, and proportions that change."""
    found = dream(smooth(), model, layer="relu2", unit=1, size=32, **QUICK)
    assert found.before.shape == found.image.shape == (3, 20, 32)


def test_gray_on_request(model):
    """Rejects a gray dream in three channels."""
    found = dream(smooth(), model, layer="relu2", unit=1, color=False, **QUICK)
    assert found.image.shape == (1, 40, 64)
    assert found.before.shape == (3, 40, 64)


@pytest.mark.parametrize("channels", [3, 7])
def test_models_of_other_channels(channels):
    """Rejects a model of one channel taken for granted."""
    torch.manual_seed(0)
    seeing = open_model(small_cnn(channels), input_shape=(channels, 13, 9))
    found = dream(smooth(), seeing, layer="relu2", unit=1, **QUICK)
    assert found.activations.mean() > 1.1 * found.activations_before.mean()


def test_files_and_transparency(model, tmp_path):
    """Rejects alpha that is lost or dreamt on, and a file that is not the picture."""
    picture = np.round(np.concatenate([smooth(), np.ones((1, 40, 64), np.float32) * 0.5]) * 255).astype(np.uint8)
    Image.fromarray(picture.transpose(1, 2, 0), "RGBA").save(tmp_path / "photo.png")
    found = dream(tmp_path / "photo.png", model, layer="relu2", unit=1, **QUICK)
    saved = read_photo(found.save(tmp_path / "dream.png"))
    assert saved.alpha is not None
    np.testing.assert_allclose(saved.alpha, 128 / 255)
    np.testing.assert_allclose(saved.image, found.image, atol=0.5 / 255 + 1e-6)
    assert read_photo(found.save(tmp_path / "dream.jpg")).image.shape == (3, 40, 64)
    again = dream(Photo(saved.image), model, layer="relu2", unit=1, strength=0)
    assert np.array_equal(np.asarray(again), saved.image)


def test_a_unit_for_each_tile(model):
    """Rejects units that land in another tile, and a count that follows the pieces and not the tiles."""
    photo = smooth(1, 40, 40)
    options = {"levels": 2, "rounds": 1, "steps": 8, "contrast": 1, "layer": "relu2"}
    four = [0, 1, 2, 3]
    found = dream(photo, model, unit=[5, four], **options)
    centers = {0: (10, 10), 1: (10, 30), 2: (30, 10), 3: (30, 30)}
    for tile in four:
        other = dream(photo, model, unit=[5, [*four[:tile], 4, *four[tile + 1 :]]], **options)
        moved = np.abs(other.image - found.image)[0]
        assert max(centers, key=lambda cell: moved[centers[cell]]) == tile


def test_neighboring_tiles_agree_on_what_auto_takes():
    """Rejects a choice tile by tile, which speckles, and rows taken for columns."""
    tiles = tiling(300, 400, 8, (13, 9))
    down, across = len(tiles.tops), len(tiles.lefts)
    scores = torch.full((down, across, 2), 1.0)
    scores[:, : across // 2, 0] += 0.3
    scores[:, across // 2 :, 1] += 0.3
    scores[1, 1] = torch.tensor([1.0, 1.6])  # a speck
    chosen = unit_choice.preferred_units(scores.flatten(0, 1), torch.ones(2), tiles).view(down, across)
    assert (chosen[:, : across // 2 - 1] == 0).all()
    assert (chosen[:, across // 2 + 1 :] == 1).all()


def test_auto_takes_what_stands_out_there(model):
    """Rejects one map everywhere, a choice after the first round, and one that depends on the other levels."""
    found = dream(smooth(), model, layer="relu2", unit="auto", levels=3, rounds=1, steps=2)
    assert len(set(found.units)) >= 2
    longer = dream(smooth(), model, layer="relu2", unit="auto", levels=3, rounds=2, steps=9)
    assert found.units == longer.units
    mixed = dream(smooth(), model, layer="relu2", unit=["auto", 3, "auto"], levels=3, rounds=1, steps=2)
    assert all(one in (3, other) for one, other in zip(mixed.units, found.units, strict=True))


def within(found, rows, columns):
    """The largest change inside and outside a part of the picture."""
    moved = np.abs(found.image - found.before).max(0)
    inside = moved[rows, columns].max()
    moved[rows, columns] = 0
    return inside, moved.max()


def test_undreamt_tiles_do_not_change_by_one_bit(model):
    """Rejects a dream that leaks over a tile's edge, contrast for all, and tiles counted down instead of across."""
    options = {"layer": "relu2", "unit": 1, "rounds": 1, "steps": 6}
    whole = dream(smooth(), model, levels=1, **options).change[0]
    found = dream(smooth(), model, levels=2, tiles=[None, [1]], **options).change[0]
    ratio = found[20:] / whole[20:]
    np.testing.assert_allclose(ratio, np.median(ratio), rtol=1e-3)  # what the whole picture's level has added
    np.testing.assert_allclose(found[:, :32], np.median(ratio) * whole[:, :32], atol=1e-5)
    assert np.abs(found[:20, 32:] - np.median(ratio) * whole[:20, 32:]).max() > 0.1


@given(st.integers(0, 63), st.integers(0, 39), st.integers(1, 64), st.integers(1, 40), st.sampled_from([64, 32]))
@hypothesis_settings(max_examples=6)
def test_outside_a_rectangle_not_one_bit_changes(left, top, width, height, size):
    """Rejects a rectangle in the working picture's pixels, and one that is swapped."""
    torch.manual_seed(0)
    model = open_model(small_cnn(), input_shape=(1, 13, 9), scaling="standardized")
    right, bottom = min(64, left + width), min(40, top + height)
    options = {"layer": "relu2", "unit": 1, "levels": 1, "rounds": 1, "steps": 2, "size": size}
    found = dream(smooth(), model, area=[left, top, right, bottom], **options)
    share = size / 64
    rows, columns = ([round(a * share), round(b * share)] for a, b in ((top, bottom), (left, right)))
    rows[1], columns[1] = max(rows[0] + 1, rows[1]), max(columns[0] + 1, columns[1])
    assert within(found, slice(*rows), slice(*columns))[1] == 0


def test_masked_pixels_do_not_change_by_one_bit(model, tmp_path):
    """Rejects a mask that is inverted, thresholded, or forgotten by the contrast."""
    mask = np.zeros((40, 64), np.float32)
    mask[:, 30:] = 1
    mask[:, 25:30] = 0.5
    found = dream(smooth(), model, layer="relu2", unit=1, mask=mask, levels=2, rounds=2, steps=6)
    inside, outside = within(found, slice(None), slice(25, 64))
    assert inside > 0.05
    assert outside == 0
    Image.fromarray((mask * 255).astype(np.uint8)).resize((128, 80), 0).save(tmp_path / "mask.png")
    filed = dream(smooth(), model, layer="relu2", unit=1, mask=tmp_path / "mask.png", levels=2, rounds=2, steps=6)
    assert within(filed, slice(None), slice(23, 64))[1] == 0
    assert np.abs(filed.image - found.image).mean() < 0.01


def test_no_seam_shows_where_pieces_meet(model):
    """Rejects pieces set side by side: what changed must be no steeper across their borders than elsewhere."""
    found = dream(smooth(1, 130, 150), model, layer="relu2", unit=1, levels=3, rounds=2, steps=15, contrast=1)
    assert seam(found, model) <= 1.1


def seam(found, model):
    """Mean gradient of the change across the borders of pieces, over that elsewhere."""
    change = found.change[0]
    _, height, width = found.before.shape
    across, down = np.zeros(width - 1, bool), np.zeros(height - 1, bool)
    for level in range(found.settings.levels):
        tiles = tiling(height, width, 2**level, model.input_shape[1:])
        for flags, places, side in ((across, tiles.lefts, tiles.tile_width), (down, tiles.tops, tiles.tile_height)):
            for border in {*places, *(place + side for place in places)} - {0, len(flags) + 1}:
                flags[border - 1] = True
    columns, rows = np.abs(np.diff(change, axis=1)).mean(0), np.abs(np.diff(change, axis=0)).mean(1)
    borders = np.concatenate([columns[across], rows[down]])
    return borders.mean() / np.concatenate([columns[~across], rows[~down]]).mean()


def test_frames_are_as_large_as_asked_for(model):
    """Rejects a film that needs as much memory as there are rounds of a large photo."""
    small = dream(smooth(), model, layer="relu2", unit=1, frame=32, **QUICK)
    assert [frame.shape for frame in small.frames] == [(3, 20, 32)] * 2
    assert dream(smooth(), model, layer="relu2", unit=1, frame=0, **QUICK).frames == ()
    averaged = small.image.reshape(3, 20, 2, 32, 2).mean((2, 4))
    assert np.abs(small.frames[-1] - averaged).mean() < 0.02


def test_plain_is_the_dream_without_its_contrast(model):
    """Rejects the photo, and contrast that is taken away by its inverse."""
    strong = dream(smooth(), model, layer="relu2", unit=1, contrast=1.4, **QUICK)
    assert_alike(strong.plain, dream(smooth(), model, layer="relu2", unit=1, contrast=1, **QUICK).image)
    gray = dream(smooth(), model, layer="relu2", unit=1, contrast=1.4, color=False, **QUICK)
    assert gray.plain.shape == (1, 40, 64)


HOSTILE = {
    "cmyk.jpg": lambda path: Image.new("CMYK", (30, 20), (20, 90, 160, 10)).save(path),
    "palette.png": lambda path: Image.effect_noise((30, 20), 60).convert("P").save(path),
    "deep.png": lambda path: Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30) * 100).save(path),
    "line.png": lambda path: Image.effect_noise((1, 40), 60).save(path),
    "dot.png": lambda path: Image.new("RGB", (1, 1), (9, 99, 199)).save(path),
    "moving.gif": lambda path: Image.effect_noise((30, 20), 60).save(
        path, save_all=True, append_images=[Image.new("L", (30, 20))]
    ),
    "turned.jpg": lambda path: Image.effect_noise((20, 30), 60).save(path, exif=turned()),
}


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize("name", HOSTILE)
def test_photos_of_every_kind_end_in_a_picture(model, tmp_path, name):
    """Rejects a mode, a size or an orientation that nobody thought of."""
    HOSTILE[name](tmp_path / name)
    found = dream(tmp_path / name, model, layer="relu2", unit="auto", **QUICK)
    assert read_photo(found.save(tmp_path / "dream.png")).image.shape == found.image.shape
    sizes = {"line.png": (40, 1), "dot.png": (1, 1)}
    assert found.image.shape[1:] == sizes.get(name, (20, 30))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: b"Dear all,", "no picture"),
        (lambda: noise_bytes()[:700], "damaged or cut short"),
        (lambda: bomb(30_000), "has too many pixels"),
    ],
)
def test_files_that_are_no_photos_end_in_a_sentence(model, tmp_path, content, message):
    """Rejects a traceback, and a dream on the half that could be read."""
    (tmp_path / "photo.png").write_bytes(content())
    with pytest.raises(PellucidError, match=message):
        dream(tmp_path / "photo.png", model, layer="relu2", unit=1, **QUICK)


def noise_bytes():
    file = io.BytesIO()
    Image.effect_noise((60, 40), 80).save(file, "PNG")
    return file.getvalue()


def bomb(side):
    """A PNG whose header announces side x side pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head)) + bytes(4) + b"IDAT"
    )


@pytest.mark.parametrize(
    ("photo", "options", "message"),
    [
        (np.zeros((2, 4, 4)), {}, "give \\(1 or 3, height, width\\)"),
        (np.full((1, 4, 4), 200.0), {}, "divide bytes by 255"),
        (np.full((1, 4, 4), np.nan), {}, "holds NaN or infinity; give numbers in \\[0, 1\\]"),
        (smooth(), {"unit": 6}, "no unit 6 in layer 'relu2'"),
        (smooth(), {"unit": [1, 2, 3]}, "3 units for 2 levels"),
        (smooth(), {"unit": [1, [1, 2]]}, "2 units for the 4 tiles"),
        (smooth(), {"unit": "most"}, "have no names such as 'most'; give 0 to 5, -1 or 'auto'"),
        (smooth(), {"area": [0, 0, 65, 9]}, "does not lie in the photo of 64 x 40"),
        (smooth(), {"area": [9, 0, 9, 9]}, "does not lie in the photo"),
        (smooth(), {"area": [9, 0]}, "2 numbers; give four"),
        (smooth(), {"tiles": [None, [4]]}, "no tile 4; on this level there are 4"),
        (smooth(), {"tiles": [None, []]}, "no tile chosen"),
        (smooth(), {"tiles": [1, 2]}, "not one group, or None, for each of 2 levels"),
        (smooth(), {"mask": np.zeros((4, 4))}, "black everywhere"),
        (smooth(), {"mask": np.full((4, 4), 2)}, "mask's values run from 2"),
        (smooth(), {"layer": "conv9"}, "no layer 'conv9'"),
        (smooth(), {"round": 3}, "no setting 'round'"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(model, photo, options, message):
    """Rejects a traceback, and bytes taken for [0, 1]."""
    with pytest.raises(PellucidError, match=message):
        dream(photo, model, **{"layer": "relu2", "unit": 1, "levels": 2, **options})


def test_progress_reaches_its_total(model):
    """Rejects a bar that stops short."""
    told = []
    dream(smooth(), model, layer="relu2", unit=1, progress=lambda *done: told.append(done), **QUICK)
    assert told[-1][0] == told[-1][1]


def test_rounds_are_told_as_they_end(model):
    """Rejects a callback that hears another picture than is kept, and one that cannot end the dream."""
    told = []
    found = dream(smooth(), model, layer="relu2", unit=1, on_round=lambda *now: told.append(now), **QUICK)
    assert [(number, rounds) for number, rounds, _ in told] == [
        (number, found.settings.rounds) for number in range(found.settings.rounds + 1)
    ]
    assert np.array_equal(told[0][2], found.before)
    assert all(np.array_equal(frame, kept) for (*_, frame), kept in zip(told[1:], found.frames, strict=True))

    def enough(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dream(smooth(), model, layer="relu2", unit=1, progress=enough, **QUICK)
