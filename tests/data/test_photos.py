"""Photos: every kind of picture upright and right, every file that is none one sentence."""

import random
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from pellucid.data import photos
from pellucid.data.photos import Photo, bundled_photo, read_photo, to_gray
from pellucid.data.scaling import unit_pixels
from pellucid.errors import PellucidError

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (5, 7, 3), np.uint8)
GRAY = RNG.integers(0, 256, (5, 7), np.uint8)
EXPECTED = unit_pixels(COLOUR).transpose(2, 0, 1)


def save(tmp_path: Path, picture: Image.Image, name: str = "a.png", **options: Any) -> Path:
    picture.save(tmp_path / name, **options)
    return tmp_path / name


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.bmp", "a.tif", "a.ppm"])
def test_colour_of_every_exact_format(tmp_path: Path, name: str) -> None:
    """Rejects axes turned about, blue before red, and a scale of 256."""
    photo = read_photo(
        save(tmp_path, Image.fromarray(COLOUR), name, **({"lossless": True} if name == "a.webp" else {}))
    )
    assert photo.alpha is None
    assert photo.image.dtype == np.float32
    assert photo.image.flags.c_contiguous
    assert np.array_equal(photo.image, EXPECTED)


def test_gray_has_one_channel(tmp_path: Path) -> None:
    """Rejects three equal channels made of one, and bits read as 0 and 1 of 255."""
    assert np.array_equal(read_photo(save(tmp_path, Image.fromarray(GRAY))).image, unit_pixels(GRAY)[None])
    bits = GRAY > 127
    assert np.array_equal(read_photo(save(tmp_path, Image.fromarray(bits))).image, bits[None])


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_are_kept(tmp_path: Path, name: str) -> None:
    """Rejects Pillow's own conversion, which clips everything above 255 to white."""
    deep = RNG.integers(0, 65_536, (5, 7), np.uint16)
    deep[0, :2] = 0, 65_535
    photo = read_photo(save(tmp_path, Image.fromarray(deep), name))
    np.testing.assert_allclose(photo.image, deep[None] / 65_535, rtol=1e-6)


def test_floats_are_taken_in_their_range_only(tmp_path: Path) -> None:
    """Rejects a guess at the scale of a scientific picture, and NaN."""
    fine = RNG.random((5, 7)).astype(np.float32)
    assert np.array_equal(read_photo(save(tmp_path, Image.fromarray(fine), "a.tif")).image, fine[None])
    for wrong, words in (
        (fine * 300, "not 0 to 1; save"),
        (fine * np.nan, "run from nan"),
        (-fine, "run from -0"),
    ):
        with pytest.raises(PellucidError, match=words):
            read_photo(save(tmp_path, Image.fromarray(wrong), "a.tif"))
    with pytest.raises(PellucidError, match="to 70000, not 0 to 65535"):
        read_photo(save(tmp_path, Image.fromarray(np.full((2, 2), 70_000, np.int32)), "a.tif"))


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    """Rejects the palette's positions taken for brightness."""
    palette = Image.fromarray(COLOUR).quantize(8)
    photo = read_photo(save(tmp_path, palette))
    assert np.array_equal(photo.image, unit_pixels(np.asarray(palette.convert("RGB"))).transpose(2, 0, 1))


@pytest.mark.parametrize(("mode", "name"), [("CMYK", "a.jpg"), ("CMYK", "a.tif"), ("YCbCr", "a.jpg"), ("LAB", "a.tif")])
def test_other_colour_spaces_become_rgb(tmp_path: Path, mode: str, name: str) -> None:
    """Rejects four channels handed on, and the inverted inks of JPEG: red stays red."""
    red = Image.new("RGB", (16, 16), (255, 0, 0))
    picture = (
        Image.merge("LAB", [Image.new("L", (16, 16), v) for v in (136, 208, 195)])
        if mode == "LAB"
        else red.convert(mode)
    )
    photo = read_photo(save(tmp_path, picture, name))
    assert photo.image.shape == (3, 16, 16)
    np.testing.assert_allclose(photo.image.mean(axis=(1, 2)), [1, 0, 0], atol=0.05)


def test_transparency_is_given_apart(tmp_path: Path) -> None:
    """Rejects colours laid over black or white unasked, and alpha dropped or kept as a fourth channel."""
    for picture, channels in (
        (Image.fromarray(np.dstack([COLOUR, GRAY])), 3),
        (Image.fromarray(np.dstack([GRAY, GRAY])), 1),
    ):
        photo = read_photo(save(tmp_path, picture))
        assert np.array_equal(photo.image, EXPECTED if channels == 3 else unit_pixels(GRAY)[None])
        assert photo.alpha is not None
        assert np.array_equal(photo.alpha, unit_pixels(GRAY))


def test_a_transparent_colour_is_transparency_too(tmp_path: Path) -> None:
    """Rejects looking for an alpha channel only: palettes, gray and RGB may name one colour transparent."""
    steps = np.array([[0, 100, 200]], np.uint8)
    palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    for picture, chosen in (
        (Image.fromarray(steps), 100),
        (Image.fromarray(np.dstack([steps] * 3)), (100, 100, 100)),
        (palette, 1),
    ):
        photo = read_photo(save(tmp_path, picture, transparency=chosen))
        assert photo.alpha is not None
        assert photo.alpha.tolist() == [[1, 0, 1]]


def test_laying_over_a_ground_by_its_formula() -> None:
    """Rejects the ground weighted by alpha in place of one minus alpha."""
    photo = Photo(np.full((3, 1, 3), 0.5, np.float32), np.array([[0, 0.5, 1]], np.float32))
    np.testing.assert_allclose(photo.over()[0], [[1, 0.75, 0.5]])
    np.testing.assert_allclose(photo.over(0.0)[2], [[0, 0.25, 0.5]])
    opaque = Photo(photo.image)
    assert opaque.over() is opaque.image


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
def test_every_photo_is_upright(tmp_path: Path, orientation: int, name: str) -> None:
    """Rejects ignoring EXIF, and a turn the wrong way: the sensor's picture, turned by hand, is the same."""
    block = np.kron(COLOUR[:2, :3], np.ones((16, 16, 1), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100, "subsampling": 0} if name == "a.jpg" else {"lossless": True} if name == "a.webp" else {}
    photo = read_photo(save(tmp_path, Image.fromarray(block), name, exif=exif, **options))
    turned = {
        1: block,
        2: block[:, ::-1],
        3: block[::-1, ::-1],
        4: block[::-1],
        5: block.swapaxes(0, 1),
        6: np.rot90(block, -1),
        7: np.rot90(block, 2).swapaxes(0, 1),
        8: np.rot90(block),
    }[orientation]
    assert photo.image.shape == (3, *turned.shape[:2])
    assert np.abs(photo.image - unit_pixels(np.ascontiguousarray(turned)).transpose(2, 0, 1)).mean() < 0.02


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_of_an_animation_the_first_frame_is_read(tmp_path: Path, name: str) -> None:
    """Rejects the last frame, and all of them in a row."""
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "lime", "blue")]
    photo = read_photo(save(tmp_path, frames[0], name, save_all=True, append_images=frames[1:], duration=50))
    assert photo.image.shape == (3, 4, 6)
    np.testing.assert_allclose(photo.image.mean(axis=(1, 2)), [1, 0, 0], atol=0.05)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_the_smallest_photos(tmp_path: Path, size: tuple[int, int]) -> None:
    """Rejects axes that vanish when they have one pixel."""
    assert read_photo(save(tmp_path, Image.new("RGB", size, "white"))).image.shape == (3, *size[::-1])


def bomb(tmp_path: Path, side: int) -> Path:
    """A PNG of a few bytes that says it has side x side pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    content = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(9))) + chunk(b"IEND", b"")
    )
    (tmp_path / "bomb.png").write_bytes(content)
    return tmp_path / "bomb.png"


@pytest.mark.parametrize("side", [30_000, 10_000])
def test_a_bomb_is_one_sentence(tmp_path: Path, side: int) -> None:
    """Rejects decoding 900 million pixels, and Pillow's mere warning from 89 to 179 million."""
    with pytest.raises(PellucidError, match=r"pixels.*give a smaller one"):
        read_photo(bomb(tmp_path, side))


def test_a_limit_lifted_elsewhere_still_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rejects relying on Pillow's global limit, which other libraries switch off."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(PellucidError, match="30000 x 30000 pixels, over 89478485"):
        read_photo(bomb(tmp_path, 30_000))


def test_a_file_that_is_no_picture_is_one_sentence(tmp_path: Path) -> None:
    """Rejects a traceback for renamed text, an empty file, or a program for a printer (which Pillow would run)."""
    for content in (b"dear diary, today", b"", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"):
        (tmp_path / "a.jpg").write_bytes(content)
        with pytest.raises(PellucidError, match=r"a\.jpg' is no picture that can be read; give one of JPEG"):
            read_photo(tmp_path / "a.jpg")
    with pytest.raises(PellucidError, match=r"no photo .*nearest name there is 'a\.jpg'"):
        read_photo(tmp_path / "b.jpg")
    with pytest.raises(PellucidError, match="is a folder"):
        read_photo(tmp_path)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.gif", "a.webp", "a.tif", "a.bmp", "a.ppm", "a.jp2"])
def test_hostile_bytes_never_get_more_than_a_sentence(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    """Rejects any other exception, whatever bytes are cut off or flipped (120 files of each format)."""
    monkeypatch.setattr(photos, "MOST_PIXELS", 10**6)  # some flips make a picture huge, which is slow
    exif = Image.Exif()
    exif[0x0112] = 6
    options: dict[str, Any] = {} if name in ("a.gif", "a.bmp", "a.ppm", "a.jp2") else {"exif": exif}
    path, rng = save(tmp_path, Image.fromarray(COLOUR), name, **options), random.Random(0)
    whole = path.read_bytes()
    refused = 0
    for turn in range(120):
        content = bytearray(whole[: rng.randrange(len(whole) // 2)] if turn % 2 else whole)
        for _ in range(4 if turn % 2 == 0 else 0):
            content[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(content)
        try:
            read_photo(path)
        except PellucidError:
            refused += 1
    assert refused >= 40


@given(arrays(np.float32, (3, 3, 4), elements=st.floats(0, 1, width=32)))
def test_gray_is_the_weighted_sum(image: np.ndarray) -> None:
    """Rejects a plain mean, other weights, and a result beyond 1 by rounding."""
    gray = to_gray(image)
    assert gray.shape == (1, 3, 4)
    np.testing.assert_allclose(gray[0], 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2], atol=1e-5)
    assert gray.dtype == np.float32
    assert gray.max() <= 1
    assert np.array_equal(to_gray(image[None])[0], gray)
    assert to_gray(gray) is gray


def test_white_stays_white_and_strange_channels_are_refused() -> None:
    """Rejects 0.99999994 for white, and gray made of alpha."""
    assert np.array_equal(to_gray(np.ones((3, 2, 2), np.float32)), np.ones((1, 2, 2)))
    with pytest.raises(PellucidError, match="has 4 channels; need 1 or 3"):
        to_gray(np.ones((4, 2, 2), np.float32))


@given(
    st.sampled_from([1, 3]).flatmap(lambda c: st.tuples(st.just(c), st.integers(1, 6), st.integers(1, 6))),
    st.booleans(),
    st.sampled_from(["a.png", "A.PNG"]),
)
def test_what_was_saved_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, shape: tuple[int, int, int], transparent: bool, name: str
) -> None:
    """Rejects truncating to bytes, height and width turned about, and alpha lost."""
    path = tmp_path_factory.mktemp("png") / name
    image, alpha = RNG.random(shape, dtype=np.float32), RNG.random(shape[1:], dtype=np.float32)
    assert Photo(image, alpha if transparent else None).save(path) == path
    again = read_photo(path)
    np.testing.assert_allclose(again.image, image, atol=0.5 / 255 + 1e-6)
    if transparent:
        assert again.alpha is not None
        np.testing.assert_allclose(again.alpha, alpha, atol=0.5 / 255 + 1e-6)
    else:
        assert again.alpha is None


@pytest.mark.parametrize("name", ["a.jpg", "a.jpeg", "a.webp"])
def test_lossy_formats_are_close_and_repeatable(tmp_path: Path, name: str) -> None:
    """Rejects another format under the name, and a time stamp in the file."""
    image = bundled_photo("flower.jpg").image[:, 100:164, 200:280]
    Photo(image).save(tmp_path / name)
    first = (tmp_path / name).read_bytes()
    Photo(image).save(tmp_path / name)
    assert (tmp_path / name).read_bytes() == first
    assert np.abs(read_photo(tmp_path / name).image - image).mean() < 0.02
    with Image.open(tmp_path / name) as picture:
        assert picture.format == ("WEBP" if name == "a.webp" else "JPEG")


FINE = np.zeros((3, 2, 2), np.float32)


@pytest.mark.parametrize(
    ("name", "image", "alpha", "words"),
    [
        ("a.tiff", FINE, None, r"it ends in '\.tiff'; let it end in \.png, \.jpg"),
        ("a", FINE, None, "it has no suffix"),
        ("a.png", FINE + 2, None, r"run from 2 to 2; need \[0, 1\]"),
        ("a.png", FINE * np.nan, None, "run from nan"),
        ("a.png", FINE, FINE[0] - 1, "run from -1 to -1"),
        ("a.webp", np.zeros((1, 1, 20_000), np.float32), None, "WEBP has at most 16383 pixels a side, not 20000 x 1"),
        ("nowhere/a.png", FINE, None, "does not exist; make it first"),
    ],
)
def test_what_cannot_be_saved_is_one_sentence(tmp_path: Path, name: str, image: Any, alpha: Any, words: str) -> None:
    """Rejects each missing check, and a file left behind."""
    with pytest.raises(PellucidError, match=words):
        Photo(image, alpha).save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_bundled_photos_are_those_that_scikit_learn_gives() -> None:
    """Rejects another picture, and a name that is looked for on the disk."""
    from sklearn.datasets import load_sample_image

    for name in photos.BUNDLED:
        photo = bundled_photo(name)
        assert photo.alpha is None
        assert photo.image.shape == (3, 427, 640)
        assert np.array_equal(photo.image, unit_pixels(load_sample_image(name)).transpose(2, 0, 1))
    with pytest.raises(PellucidError, match=r"no bundled photo 'rose\.jpg'; choose one of 'flower\.jpg', 'china\.jpg'"):
        bundled_photo("rose.jpg")
