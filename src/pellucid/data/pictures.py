"""Pictures: what is read as it is needed -> images (image, channel, height, width) in [0, 1], as if they lay in memory.

Pictures: sources of pictures of any size, a shape -> slices as arrays, each picture resized to the shape
opened:   PIL image | array | tensor | (picture, label) | {"image": picture} -> PIL image, or array in [0, 1]

A source is whatever has a length and is indexed: a list of paths, a data set of PyTorch or Hugging Face, an array. The
largest centered part of the shape's proportions is resized (bicubic, antialiased), nothing is squeezed. Whoever goes
through all images asks `Split.batches`, which leaves out pictures that cannot be read, and says so at the end.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64, UInt8
from PIL import Image, ImageOps

from pellucid.data import photos
from pellucid.data.scaling import unit_pixels
from pellucid.errors import PellucidError, PellucidWarning, summary
from pellucid.files import read_bytes

Array = np.ndarray
Shape = tuple[int, int, int]
COLUMNS = ("image", "img", "pixel_values")  # of a data set whose items are named
LOOKED_AT = 32  # pictures whose sizes decide that of all
LARGEST_OWN, USUAL_SIDE = 128, 64  # pixels a side: up to which pictures of one size keep it; longer side of others
UNREADABLE = "cannot be read"
MOST_NAMED = 10  # skipped files
PIXELS = {1: "L", 3: "RGB"}


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures of any size as images of `image_shape`, read whenever they are asked for.

    places: (which source, which of its items) of each image.  fit: a model's own way from a picture to an image of the
    shape.  skipped: what is left out, and why, by its name; shared by all that is taken from these pictures.
    """

    sources: tuple[Any, ...]
    places: Int64[Array, "image 2"]
    image_shape: Shape = (3, USUAL_SIDE, USUAL_SIDE)
    fit: Callable[[Array], Array] | None = None
    skipped: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, source: Any, skipped: dict[str, str] | None = None) -> "Pictures":
        """All of a source in the size that all have, if they are small; else in their median one, made small.

        Raises PellucidError where none of those that are looked at can be read.
        """
        places = np.array([(0, at) for at in range(len(source))], np.int64)
        made = cls((source,), places, skipped={} if skipped is None else skipped)
        few = {round(at) for at in np.linspace(0, len(made) - 1, min(LOOKED_AT, len(made))).tolist()}
        sizes = np.array([size for at in sorted(few) if (size := made._tried(at, _shape_of)) is not None])
        if len(sizes) == 0:
            name, why = next(iter(made.skipped.items()))
            raise PellucidError(f"None of {len(made)} pictures can be read, such as {name}: {why.rstrip('.')}.")
        channels, (height, width) = int(sizes[:, 0].max()), np.median(sizes[:, 1:], axis=0).tolist()
        if (sizes != sizes[0]).any() or max(height, width) > LARGEST_OWN:
            height, width = (max(1, round(side * USUAL_SIDE / max(height, width))) for side in (height, width))
        return replace(made, image_shape=(channels, int(height), int(width)))

    def __len__(self) -> int:
        return len(self.places)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(image, channel, height, width), as of an array."""
        return len(self), *self.image_shape

    def part(self, which: Array) -> "Pictures":
        """Those at these positions, unread."""
        return replace(self, places=self.places[which])

    def joined(self, other: "Pictures") -> "Pictures":
        """These and the others after them, unread."""
        self.skipped.update(other.skipped)
        places = np.concatenate([self.places, other.places + np.array([len(self.sources), 0])])
        return replace(self, sources=self.sources + other.sources, places=places)

    def __getitem__(self, which: Any) -> Any:
        """One image, or those of a slice or of positions, as an array; PellucidError where one cannot be read."""
        if isinstance(which, int | np.integer):
            return self._made(int(which), self._fitted)
        found = [self._made(at, self._fitted) for at in np.arange(len(self))[which].tolist()]
        return np.array(found, np.float32).reshape(-1, *self.image_shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """All of them in memory."""
        del copy
        return np.asarray(self[:], dtype)

    def readable(self, positions: Int64[Array, "chosen"]) -> tuple[Array, Float32[Array, "read channel height width"]]:
        """Those of these positions that can be read, and their images."""
        images = np.empty((len(positions), *self.image_shape), np.float32)
        read: list[int] = []
        for at in positions.tolist():
            image = self._tried(at, self._fitted)
            if image is not None:
                images[len(read)] = image
                read.append(at)
        return np.array(read, np.int64), images[: len(read)]

    @property
    def contents(self) -> Iterator[Array]:
        """Of each picture what it is known by: the bytes of its file, or its pixels; its place, where it has none."""
        for at in range(len(self)):
            item = self._item(at)
            image = np.fromfile(item, np.uint8) if isinstance(item, str) else self._tried(at, self._fitted)
            yield self.places[at] if image is None else image

    @property
    def identity(self) -> UInt8[Array, "32"]:
        """A hash of all pictures and their shape."""
        digest = blake2b(repr(self.shape).encode(), digest_size=32)
        for content in self.contents:
            digest.update(content.tobytes())
        return np.frombuffer(digest.digest(), np.uint8)

    def _item(self, at: int) -> Any:
        source, index = self.places[at].tolist()
        return self.sources[source][index]

    def _made(self, at: int, make: Callable[[Any], Any]) -> Any:
        """What `make` makes of a picture; raises PellucidError where it cannot be read."""
        item = self._item(at)
        if isinstance(item, str):
            return photos.decoded(read_bytes(item, "picture", photos.MOST_BYTES), item, make)
        return make(opened(item, f"item {self.places[at, 1]} of the data"))

    def _tried(self, at: int, make: Callable[[Any], Any]) -> Any:
        """The same; None where it cannot be read, which is noted."""
        try:
            return self._made(at, make)
        except PellucidError as error:
            item = self._item(at)
            named = (item, UNREADABLE) if isinstance(item, str) else (f"item {self.places[at, 1]}", str(error))
            self.skipped.setdefault(*named)
            return None

    def _fitted(self, picture: Image.Image | Array) -> Float32[Array, "channel height width"]:
        """A picture as an image of the shape; bytes are resized as bytes, as the field's libraries do."""
        channels, height, width = self.image_shape
        if isinstance(picture, Image.Image):
            if self.fit is None and picture.mode in ("L", "RGB") and channels in PIXELS:
                picture = picture.convert(PIXELS[channels])
                return photos.photo_of(ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC)).image
            picture = photos.photo_of(picture).over()
        if self.fit is not None:
            return self.fit(picture)
        return picture if picture.shape == self.image_shape else photos.fit_image(picture, self.image_shape)


def tell_skipped(skipped: dict[str, str], files: str = "the data's files") -> None:
    """Warn of what was left out of these files, {name: reason}, of each thing once; the reasons become ""."""
    news = [f"{name} ({why.rstrip('.')})" for name, why in skipped.items() if why]
    if news:
        few = "; ".join(news[:MOST_NAMED] + [f"and {len(news) - MOST_NAMED} more"] * (len(news) > MOST_NAMED))
        warnings.warn(f"Skipped {len(news)} of {files}: {few}.", PellucidWarning, stacklevel=3)
        skipped.update(dict.fromkeys(skipped, ""))


def opened(item: Any, name: str) -> Image.Image | Float32[Array, "channel height width"]:
    """A picture of any kind in memory; raises PellucidError, with its `name`, for what is none."""
    if isinstance(item, Mapping):
        item = next((item[column] for column in COLUMNS if column in item), None)
    elif isinstance(item, tuple | list) and len(item) > 0:
        item = item[0]
    if isinstance(item, Image.Image):
        return ImageOps.exif_transpose(item)
    try:
        array = np.asarray(item)
    except (TypeError, ValueError, RuntimeError) as error:
        raise PellucidError(f"{name.capitalize()} is no picture ({summary(error)}); give pictures.") from error
    array = array[None] if array.ndim == 2 else array
    if array.ndim == 3 and array.shape[2] in (1, 3, 4) and array.shape[0] not in (1, 3):
        array = array[..., :3].transpose(2, 0, 1)
    array = unit_pixels(array) if array.dtype == np.uint8 and array.ndim == 3 else array
    good = array.ndim == 3 and array.dtype.kind == "f" and array.size > 0
    if not good or not (array.min() >= 0 and array.max() <= 1):
        size = f"from {array.min():g} to {array.max():g} " if good else ""
        raise PellucidError(
            f"{name.capitalize()} has {array.dtype} numbers {size}of shape {array.shape}; give PIL images, or arrays "
            f"(channel, height, width) of bytes or of floats in [0, 1], which the model scales itself: no Normalize."
        )
    return array.astype(np.float32, copy=False)


def _shape_of(picture: Image.Image | Array) -> Shape:
    if isinstance(picture, Image.Image):
        return 1 if picture.mode in ("1", "L", "LA") or picture.mode[0] in "IF" else 3, picture.height, picture.width
    return picture.shape[0], picture.shape[1], picture.shape[2]
