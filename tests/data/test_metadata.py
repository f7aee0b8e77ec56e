"""Metadata: what a photo brings goes with its dream, and bad metadata never cost a good picture."""

import io
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin
from PIL.ExifTags import GPS, IFD, Base

from pellucid.data.metadata import Metadata
from pellucid.data.photos import Photo, decode_photo, read_photo
from pellucid.errors import PellucidError

RNG = np.random.default_rng(0)
PIXELS = np.kron(RNG.integers(0, 256, (3, 4, 3), np.uint8), np.ones((8, 8, 1), np.uint8))  # 24 x 32
NOTE = 'pellucid dream "Füße ☃.jpg" --steps 3'
NAMES = ["a.png", "a.jpg", "a.webp"]


def encoded(form: str = "PNG", pixels: np.ndarray = PIXELS, **options: Any) -> bytes:
    memory = io.BytesIO()
    Image.fromarray(pixels).save(memory, form, **options)
    return memory.getvalue()


def profile(space: bytes = b"RGB ", size: int = 200) -> bytes:
    """The head of a color profile of this space, and zeros."""
    return struct.pack(">I12s4s16s4s", size, b"", space, b"", b"acsp") + bytes(size - 40)


def camera() -> Image.Exif:
    """What a camera says of a photo that it held upright by turning."""
    exif = Image.Exif()
    exif[Base.Make], exif[Base.Orientation] = "Canon", 6
    exif[Base.XResolution] = 300.0
    exif[IFD.Exif] = {
        Base.ExifImageWidth: 4000,
        Base.ExifImageHeight: 3000,
        Base.FNumber: 2.5,
        Base.DateTimeOriginal: "2024:02:29 11:12:13",
        Base.MakerNote: b"secret" * 9,
    }
    exif[IFD.GPSInfo] = {GPS.GPSLatitude: (52.0, 30.0, 1.5)}
    whole = Image.Exif()
    whole.load(exif.tobytes())  # as in a file, for Pillow's writer of TIFF
    whole[Base.Artist] = "Jörg".encode()
    return whole


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["jpeg", "png", "webp", "tiff"])
def test_what_the_camera_said_goes_along(tmp_path: Path, form: str, name: str) -> None:
    """Rejects EXIF dropped or copied whole: a photo turned twice, sizes that lie, letters lost, a cut note kept."""
    photo = decode_photo(encoded(form, exif=camera()), "photo")
    assert photo.image.shape == (3, 32, 24)
    with Image.open(Photo(photo.image, metadata=photo.metadata).save(tmp_path / name)) as saved:
        exif = saved.getexif()
        own, place = exif.get_ifd(IFD.Exif), exif.get_ifd(IFD.GPSInfo)
        assert saved.size == (24, 32)
    assert (exif[Base.Make], exif[Base.Orientation]) == ("Canon", 1)
    assert exif[Base.Artist].encode("latin-1").decode() == "Jörg"
    assert (own[Base.FNumber], own[Base.DateTimeOriginal]) == (2.5, "2024:02:29 11:12:13")
    assert place[GPS.GPSLatitude] == (52.0, 30.0, 1.5)
    assert {Base.ExifImageWidth, Base.ExifImageHeight, Base.MakerNote}.isdisjoint(own)
    assert {Base.XResolution, Base.Software}.isdisjoint(exif)
    assert read_photo(tmp_path / name).image.shape == (3, 32, 24)


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_stays_where_it_describes_the_pixels(tmp_path: Path, name: str) -> None:
    """Rejects the profile of inks for RGB, that of colors for gray, and one that is none; a real one stays."""
    real = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    fits = {("RGB ", 3), ("RGB ", 1) if name == "a.webp" else ("GRAY", 1)}  # WebP knows no gray
    for space, channels in [("RGB ", 3), ("RGB ", 1), ("GRAY", 3), ("GRAY", 1), ("CMYK", 3)]:
        gray = space == "GRAY"
        icc = real if space == "RGB " else profile(space.encode())
        photo = decode_photo(encoded("PNG", PIXELS[..., 0] if gray else PIXELS, icc_profile=icc), "photo")
        with Image.open(
            Photo(np.zeros((channels, 4, 5), np.float32), None, photo.metadata).save(tmp_path / name)
        ) as it:
            assert it.info.get("icc_profile") == (icc if (space, channels) in fits else None), (space, channels)
    for icc in (b"none", profile()[:36] + bytes(164), profile(size=2**20 + 1)):
        photo = decode_photo(encoded("JPEG", icc_profile=icc), "photo")
        with Image.open(photo.save(tmp_path / name)) as it:
            assert "icc_profile" not in it.info


@pytest.mark.parametrize("name", NAMES)
def test_a_note_can_be_read_in_every_letter(tmp_path: Path, name: str) -> None:
    """Rejects "F??e", a note without the version, and one that takes the place of the photographer's words."""
    image = np.zeros((3, 4, 5), np.float32)
    for own in ("", "Our garden"):
        exif = {Base.ImageDescription: own.encode()} if own else {}
        photo = Photo(image, None, Metadata(exif, note=NOTE, identity="ab" * 16))
        for _ in range(2):  # a dream on a dream tells how it was made itself
            with Image.open(photo.save(tmp_path / name)) as saved:
                exif, texts = saved.getexif(), saved.info
            comment = exif.get_ifd(IFD.Exif)[Base.UserComment]
            assert comment.startswith(b"UNICODE\0")
            assert comment[8:].decode("utf-16-be") == photo.metadata.note
            assert exif[Base.ImageDescription].encode("latin-1").decode() == (own or photo.metadata.note)
            assert exif[Base.Software].startswith("pellucid ")
            assert name != "a.png" or texts["Description"] == photo.metadata.note
            found = read_photo(tmp_path / name).metadata
            assert found.identity == "ab" * 16
            photo = Photo(image, None, Metadata(found.exif, note="pellucid dream again.png", identity="ab" * 16))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("note", ["☃" * 10**5, "a" * 10**5, "\udc80\ud800.jpg"])
def test_no_note_is_too_long_or_strange(tmp_path: Path, name: str, note: str) -> None:
    """Rejects the error of a JPEG beyond 64 kilobytes of EXIF, and of letters that are none."""
    for letters in (16_000, 60_000):
        exif = Image.Exif()
        exif[Base.Artist] = "x" * letters
        kept = decode_photo(encoded("JPEG", exif=exif), "photo").metadata.exif
        assert len(kept.get(Base.Artist, b"")) == (letters if letters == 16_000 else 0)
    photo = Photo(np.zeros((1, 4, 5), np.float32), None, Metadata({Base.Artist: b"x" * 16_000}, note=note))
    assert read_photo(photo.save(tmp_path / name)).image.shape[1:] == (4, 5)


def chunk(kind: bytes, content: bytes, wrong: int = 0) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content) ^ wrong)


def segment(marker: int, content: bytes) -> bytes:
    return bytes([255, marker]) + struct.pack(">H", len(content) + 2) + content


def directory(*entries: tuple[int, int, int, int], following: int = 0) -> bytes:
    """An EXIF block of (tag, type, count, value or place)."""
    body = b"".join(struct.pack(">HHII", *entry) for entry in entries)
    return b"MM\0*" + struct.pack(">IH", 8, len(entries)) + body + struct.pack(">I", following)


def inside(content: bytes, part: bytes) -> bytes:
    """A PNG or JPEG with this part after its head."""
    at = 33 if content.startswith(b"\x89") else 2
    return content[:at] + part + content[at:]


PNG, JPEG = encoded(), encoded("JPEG", quality=95)
SIX = 6 << 16  # a short number in the first half of the value
EXIF = {
    "without its head": directory((Base.Orientation, 3, 1, SIX))[4:],
    "of text": b"no EXIF at all",
    "orientation 9": directory((Base.Orientation, 3, 1, 9 << 16)),
    "orientation in letters": directory((Base.Orientation, 2, 2, 0x36000000)),
    "a part that is the whole": directory((Base.ExifOffset, 4, 1, 8), (Base.GPSInfo, 4, 1, 8)),
    "round in a circle": directory((Base.Orientation, 3, 1, 1 << 16), following=8),
    "beyond its end": directory((Base.Make, 2, 2000, 0xFFFFFFF0), (Base.ExifOffset, 4, 1, 0x7FFFFFFF)),
    "many entries": b"MM\0*\0\0\0\x08\xff\xff" + b"\x01" * 40,
}
LONG = zlib.compress(b"a" * 3_000_000)
HARMLESS = {
    **{f"png, EXIF {name}": inside(PNG, chunk(b"eXIf", exif)) for name, exif in EXIF.items()},
    **{f"jpeg, EXIF {name}": encoded("JPEG", quality=95, exif=b"Exif\0\0" + exif) for name, exif in EXIF.items()},
    **{f"webp, EXIF {name}": encoded("WEBP", lossless=True, exif=exif) for name, exif in EXIF.items()},
    "png, long zTXt": inside(PNG, chunk(b"zTXt", b"k\0\0" + LONG)),
    "png, long zTXt at its end": PNG[:-12] + chunk(b"zTXt", b"k\0\0" + LONG) + PNG[-12:],
    "png, long iTXt": inside(PNG, chunk(b"iTXt", b"k\0\1\0\0\0" + LONG)),
    "png, 70 MB of text in all": inside(PNG, chunk(b"zTXt", b"k\0\0" + zlib.compress(b"a" * 10**6)) * 70),
    "png, a large profile": inside(PNG, chunk(b"iCCP", b"k\0\0" + LONG)),
    "png, a wrong sum of text": inside(PNG, chunk(b"tEXt", b"k\0v", wrong=1)),
    "png, a wrong sum of EXIF": inside(PNG, chunk(b"eXIf", EXIF["orientation 9"], wrong=1)),
    "png, a short gAMA": inside(PNG, chunk(b"gAMA", b"\1")),
    "png, a short acTL": inside(PNG, chunk(b"acTL", b"\1")),
    "png, XMP of nothing": inside(PNG, chunk(b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0\xff<tiff:Orientation="x"')),
    "jpeg, a profile without its number": inside(JPEG, segment(0xE2, b"ICC_PROFILE\0")),
    "jpeg, a cut block of Photoshop": inside(JPEG, segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed")),
    "jpeg, a cut note of Adobe": inside(JPEG, segment(0xEE, b"Adobe")),
    "jpeg, a cut JFIF": inside(JPEG, segment(0xE0, b"JFIF\0\1")),
    "jpeg, a list of pictures that are not there": inside(JPEG, segment(0xE2, b"MPF\0garbage")),
    "jpeg, junk between segments": inside(JPEG, b"junk\0\xff\xff"),
    "tiff, a circle and a profile that is none": encoded(
        "TIFF", tiffinfo={Base.ExifOffset: 8, Base.InterColorProfile: b"none", 700: b"\xff<"}
    ),
}


@pytest.mark.parametrize("case", HARMLESS)
def test_bad_metadata_cost_no_picture(case: str, tmp_path: Path) -> None:
    """Rejects "damaged or cut short" for what every viewer opens, and what is damaged written on."""
    photo = decode_photo(HARMLESS[case], case)
    assert photo.image.shape == (3, 24, 32)
    assert np.abs(photo.image - PIXELS.transpose(2, 0, 1) / 255).mean() < 0.05
    for name in NAMES:
        again = read_photo(photo.save(tmp_path / name))
        assert again.image.shape == (3, 24, 32)


def test_beside_bad_metadata_the_good_are_kept() -> None:
    """Rejects a picture that lies on its side, or animation and transparency gone, as soon as a text is too long."""
    text, six = chunk(b"zTXt", b"k\0\0" + LONG), directory((Base.Orientation, 3, 1, SIX))
    assert decode_photo(inside(PNG, text + chunk(b"eXIf", six)), "photo").image.shape == (3, 32, 24)
    turned = inside(encoded("JPEG", exif=b"Exif\0\0" + six), segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed"))
    assert decode_photo(turned, "photo").image.shape == (3, 32, 24)
    colors = bytearray(encoded("JPEG", quality=95, keep_rgb=True))  # of which nothing but Adobe's note tells
    for marker, first, step in ((b"\xff\xc0", 10, 3), (b"\xff\xda", 5, 2)):
        at = colors.index(marker) + first
        colors[at : at + 3 * step : step] = b"\1\2\3"
    plain, noted = (
        decode_photo(one, "photo") for one in (bytes(colors), inside(bytes(colors), segment(0xE0, b"JFIF")))
    )
    assert np.array_equal(noted.image, plain.image)
    assert np.abs(plain.image - PIXELS.transpose(2, 0, 1) / 255).mean() < 0.05
    clear = decode_photo(inside(encoded(transparency=tuple(PIXELS[0, 0].tolist())), text), "photo")
    assert clear.alpha is not None
    assert clear.alpha[0, 0] == 0


def test_pixels_that_are_damaged_are_refused_as_before() -> None:
    """Rejects a second look that takes what is cut short, since it has bad metadata too."""
    text = chunk(b"zTXt", b"k\0\0" + LONG)
    for content in (PNG[: len(PNG) // 2], PNG.replace(b"IDAT", b"IDAt"), JPEG[:200]):
        with pytest.raises(PellucidError, match=r"damaged or cut short|is no picture"):
            decode_photo(inside(content, text) if content.startswith(b"\x89") else content, "photo")


def test_a_bomb_of_text_does_not_go_off() -> None:
    """Rejects a text inflated to 100 MB, and limits of Pillow that are another's from then on."""
    bomb = zlib.compress(bytes(100_000_000), 1)
    limits = PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY
    content = inside(PNG, chunk(b"zTXt", b"k\0\0" + bomb) + chunk(b"iCCP", b"k\0\0" + bomb))
    tracemalloc.start()
    try:
        assert decode_photo(content, "photo").image.shape == (3, 24, 32)
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()
    assert limits == (PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY)
