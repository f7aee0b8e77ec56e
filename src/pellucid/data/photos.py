"""Photos: pictures of any size from outside, read upright, and pictures of ours, written.

read_photo: file -> Photo(image (channel, height, width) in [0, 1], alpha (height, width) or none)
Photo.save: the same -> PNG, JPEG or WebP, whole or not at all
to_gray:    three channels -> one, 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601)
fit_image:  a picture of any size -> one of the shape that a model takes

Gray pictures, of 1, 8 or 16 bits, give one channel; all others (palette, CMYK, YCbCr, Lab) three, in RGB. A picture
that carries transparency gives it apart, as `alpha`, and its colours as they are stored, not multiplied by it. Of an
animation the first frame is read. Colour profiles are not applied. Pictures of more than 89 million pixels are
refused, where Pillow itself would warn and read up to twice as many.
"""

import io
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float, Float32, Int64
from PIL import Image, ImageOps, UnidentifiedImageError

from pellucid.data.metadata import Metadata, only_pixels
from pellucid.data.scaling import pillow_of, unit_pixels
from pellucid.errors import DAMAGE, PellucidError, refusing, unknown
from pellucid.files import StrPath, atomic_path, bundled_file, format_of, read_bytes, require_modest

T = TypeVar("T")
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")  # none that runs other programs
GRAY = (0.299, 0.587, 0.114)
MOST_BYTES = 10**9
MOST_PIXELS = 89_478_485  # Pillow's own limit, which holds here even where another library lifted it
BUNDLED = ("flower.jpg", "china.jpg")
SCIKIT_IMAGE = ("astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "clock_motion.png", "coffee.png",
                "coins.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png", "page.png",
                "motorcycle_left.png", "retina.jpg", "rocket.jpg", "text.png")  # fmt: skip
CROP_SHARES, CROP_SIDES = (0.15, 0.8), (48, 256)  # of the shorter side of a photograph; pixels
WRITERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".webp": ("WEBP", {"quality": 95}),
}
LONGEST = {"JPEG": 65_500, "WEBP": 16_383}


@dataclass(frozen=True, eq=False)
class Photo:
    """A picture: `image` (channel, height, width) in [0, 1], one or three channels; `alpha` (height, width) or None.

    metadata: EXIF, color profile and note that go with it into a file.
    """

    image: Float32[np.ndarray, "channel height width"]
    alpha: Float32[np.ndarray, "height width"] | None = None
    metadata: Metadata = field(default_factory=Metadata)

    def over(self, ground: float = 1.0) -> Float32[np.ndarray, "channel height width"]:
        """The picture laid over an even ground (1 is white): alpha x image + (1 - alpha) x ground."""
        if self.alpha is None:
            return self.image
        return np.asarray(self.image * self.alpha + (1 - self.alpha) * np.float32(ground))

    def save(self, path: StrPath) -> Path:
        """Write the picture as PNG (exact to a byte), JPEG or WebP, by the suffix of `path`, which is given back.

        A JPEG, which knows no transparency, is laid over white. Raises PellucidError for another suffix or range, for
        sides that the format cannot hold, and where the disk refuses.
        """
        kind, options = WRITERS[format_of(path, tuple(WRITERS))]
        planes = self.over()
        if self.alpha is not None and kind != "JPEG":
            planes = np.concatenate([self.image, self.alpha[None]])
        for low, high in [(plane.min(), plane.max()) for plane in planes]:
            if not (low >= 0 and high <= 1):
                raise PellucidError(f"Pixels for '{path}' run from {low:g} to {high:g}; need [0, 1], so rescale them.")
        _, height, width = planes.shape
        if max(width, height) > LONGEST.get(kind, 2**31 - 1):
            raise PellucidError(f"{kind} has at most {LONGEST[kind]} pixels a side, not {width} x {height}; save .png.")
        with atomic_path(path) as temporary:
            options = options | self.metadata.options(kind, len(self.image))
            pillow_of(planes).save(temporary, format=kind, **options)
        return Path(path)


def read_photo(path: StrPath) -> Photo:
    """A picture from a file, upright by its EXIF orientation, its pixels float32 in [0, 1].

    "flower.jpg" and "china.jpg", where there are no such files, are the bundled photographs.
    Raises PellucidError for a file that is missing, no picture, cut short or damaged, or has too many pixels.
    """
    if os.fspath(path) in BUNDLED and not os.path.exists(path):
        return bundled_photo(os.fspath(path))
    return decode_photo(read_bytes(path, "photo", MOST_BYTES), path)


def decode_photo(content: bytes, name: StrPath, most_pixels: int = MOST_PIXELS) -> Photo:
    """The same from the content of a file, which sentences call `name`; of at most so many pixels.

    Raises PellucidError as `read_photo` does.
    """
    return decoded(content, name, lambda one: replace(photo_of(one, name), metadata=Metadata.of(one)), most_pixels)


def decoded(content: bytes, name: StrPath, make: Callable[[Image.Image], T], most_pixels: int = MOST_PIXELS) -> T:
    """What `make` makes of Pillow's picture, loaded and upright; errors as for `decode_photo`.

    A file that cannot be read for what it holds beside the pixels, such as a text too long, is read without.
    """
    file = Path(name)
    with refusing(f"The photo '{file}' is damaged or cut short", "fetch it again"):
        try:
            Image.init()  # not every build of Pillow knows every format
            known = [name for name in FORMATS if name in Image.OPEN]
            # From memory, for Pillow maps files, and one that another program cuts short meanwhile would end this one.
            with Image.open(io.BytesIO(content), formats=known) as picture:
                check_size("photo", file, picture.size, len(content), most_pixels, len(picture.getbands()))
                picture.load()
                with suppress(*DAMAGE):  # of its EXIF
                    ImageOps.exif_transpose(picture, in_place=True)
                return make(picture)
        except Image.DecompressionBombError as error:
            raise PellucidError(f"The photo '{file}' has too many pixels ({error}); give a smaller one.") from error
        except DAMAGE as error:
            if (plain := only_pixels(content)) != content:
                return decoded(plain, name, make, most_pixels)
            if isinstance(error, UnidentifiedImageError):
                raise PellucidError(
                    f"The file '{file}' is no picture that can be read; give one of {', '.join(FORMATS)}."
                ) from error
            raise


def bundled_photo(name: str) -> Photo:
    """One of the two photographs that come with scikit-learn, 427 x 640 in colour: "flower.jpg" or "china.jpg".

    Raises PellucidError for another name.
    """
    if name not in BUNDLED:
        raise unknown("bundled photo", name, BUNDLED)
    return read_photo(bundled_file("sklearn", f"datasets/images/{name}"))


def photograph_crops(count: int, seed: int) -> tuple[list[Image.Image], Int64[np.ndarray, "crop"]]:
    """Square crops in color of the photographs that scikit-learn brings, and scikit-image where it is installed.

    As many of each photograph; and the numbers of these. Of two photographs, the left and the right half are two.
    """
    pictures = [bundled_photo(name) for name in BUNDLED]
    with suppress(PellucidError):  # it is not installed
        pictures += [read_photo(bundled_file("skimage", f"data/{name}")) for name in SCIKIT_IMAGE]
    images = [pillow_of(picture.over()).convert("RGB") for picture in pictures]
    if len(images) == len(BUNDLED):
        images = [one.crop((x, 0, x + one.width // 2, one.height)) for one in images for x in (0, one.width // 2)]
    rng, owners, crops = np.random.default_rng(seed), np.arange(count) % len(images), []
    for image in (images[owner] for owner in owners.tolist()):
        side = max(CROP_SIDES[0], int(min(image.size) * rng.uniform(*CROP_SHARES)))
        left, top = (int(rng.integers(0, length - side + 1)) for length in image.size)
        crops.append(image.crop((left, top, left + side, top + side)))
        crops[-1].thumbnail((CROP_SIDES[1], CROP_SIDES[1]))
    return crops, owners


def to_gray(image: Float32[np.ndarray, "*batch channel height width"]) -> Float32[np.ndarray, "*batch 1 height width"]:
    """One channel from three, 0.299 R + 0.587 G + 0.114 B; one channel is given back as it is.

    Works on one image or a batch. Raises PellucidError for another number of channels.
    """
    channels = image.shape[-3]
    if channels == 1:
        return image
    if channels != 3:
        raise PellucidError(f"An image to turn gray has {channels} channels; need 1 or 3.")
    return np.asarray(weighted_gray(image))


def weighted_gray(image: Any, weights: Sequence[float] = GRAY) -> Any:
    """0.299 R + 0.587 G + 0.114 B of (..., channel, height, width), as one channel; of NumPy and of PyTorch alike."""
    return sum(weight * image[..., channel : channel + 1, :, :] for channel, weight in enumerate(weights))


def fit_image(
    image: Float[np.ndarray, "channel height width"], shape: tuple[int, int, int]
) -> Float32[np.ndarray, "channel_out height_out width_out"]:
    """A picture of any size as one of `shape` (channel, height, width); channels are 1 or 3, pixels in [0, 1].

    The largest centered part of the right proportions is resized (bicubic, with antialiasing): margins are cut off
    and nothing is squeezed, since a model that knows upright shapes would see other shapes. A picture of squares, as
    patterns are saved, gives exactly their pixels. Gray is repeated for three channels; colors become gray for one.
    Raises PellucidError for other numbers of channels.
    """
    channels, height, width = shape
    if image.shape[0] not in (1, 3) or channels not in (1, 3):
        raise PellucidError(f"The picture has {image.shape[0]} channels, the model {channels}; both must be 1 or 3.")
    planes = image.astype(np.float32, copy=False)
    if channels == 1:
        planes = to_gray(planes)
    times = max(1, planes.shape[1] // height)
    few = planes[:, ::times, ::times]
    if few.shape[1:] == (height, width) and np.array_equal(few.repeat(times, 1).repeat(times, 2), planes):
        planes = few
    resized = [
        np.asarray(ImageOps.fit(Image.fromarray(plane), (width, height), Image.Resampling.BICUBIC))
        for plane in np.ascontiguousarray(planes)
    ]
    whole = np.clip(np.stack(resized), 0, 1)  # bicubic overshoots at edges
    return np.repeat(whole, channels, axis=0) if len(whole) < channels else whole


def check_size(
    what: str, path: StrPath, size: tuple[int, int], held: int, most: int = MOST_PIXELS, channels: int = 3
) -> None:
    """Raises PellucidError for more than `most` pixels, and for far more than a file of `held` bytes has reason to."""
    width, height = size
    if width * height > most:
        raise PellucidError(f"The {what} '{path}' has {width} x {height} pixels, over {most}; give a smaller one.")
    require_modest(what, path, held, channels * width * height)


def photo_of(picture: Image.Image, name: StrPath = "picture") -> Photo:
    """Pixels and transparency of an open picture of any mode; `name` is what a sentence calls it."""
    if picture.mode.startswith(("I", "F")):
        return Photo(_deep_gray(Path(name), np.asarray(picture))[None])
    channels, alpha = 1 if picture.mode in ("1", "L", "LA", "La") else 3, None
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        alpha = unit_pixels(np.asarray(picture)[..., 3])
    pixels = np.asarray(picture.convert("RGB"))[..., :channels].transpose(2, 0, 1)
    return Photo(unit_pixels(np.ascontiguousarray(pixels)), alpha)


def _deep_gray(file: Path, pixels: np.ndarray) -> np.ndarray:
    """Gray pixels of 16 bits, or of floats in [0, 1], as float32 in [0, 1]."""
    scale = 1.0 if pixels.dtype.kind == "f" else 65_535.0
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= scale):
        raise PellucidError(
            f"The pixels of '{file}' run from {low:g} to {high:g}, not 0 to {scale:g}; save it with 8 or 16 bits."
        )
    return (pixels / scale).astype(np.float32)
