"""MNIST: 70,000 handwritten digits of 28 x 28 gray pixels, from four IDX files.

load_mnist: places -> Data of 50,000 training, 10,000 dev and 10,000 test images

Source: LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist. The files are looked for by name, packed or not, in
`root`, or else in $PELLUCID_DATA, or else in the user's cache, in the folder itself and in its `mnist` subfolder. A
folder that is named has to hold them; in the cache they are downloaded where they lack, and checked against the SHA-256
of the originals. The dev split is the last 10,000 training images, as is usual. Files that a person put there are
checked by shape, not against these sums, since unpacking and packing them again changes the bytes.
"""

import logging
import os
from pathlib import Path

import numpy as np

from pellucid.data.idx import idx_files, read_idx
from pellucid.data.scaling import unit_pixels
from pellucid.data.splits import Data, Split
from pellucid.errors import PellucidError
from pellucid.files import StrPath, output_folder

VARIABLE = "PELLUCID_DATA"
SUBFOLDER = "mnist"
MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
SUMS = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
DEV_SHARE, SIDE = 6, 28


def load_mnist(root: StrPath | None = None) -> Data:
    """MNIST as images (n, 1, 28, 28) in [0, 1]: 50,000 to train, 10,000 as dev, the last sixth of a file, and test.

    Raises PellucidError where `root` or $PELLUCID_DATA is no folder or holds only some of the files, a file is
    damaged or has another shape, or the download fails.
    """
    files = find_mnist(root)
    if files is None:
        folder = output_folder(cache_folder())
        files = _files_in(folder)
        files |= {name: _fetch(folder, name, checksum) for name, checksum in SUMS.items() if name not in files}
    shapes = ((SIDE, SIDE), ()) * 2
    arrays = [_read(files[name], shape) for name, shape in zip(SUMS, shapes, strict=True)]
    images, labels, test_images, test_labels = arrays
    pixels, rest = unit_pixels(images)[:, None], len(images) - len(images) // DEV_SHARE
    return Data(
        train=Split(pixels[:rest], labels[:rest]),
        dev=Split(pixels[rest:], labels[rest:]),
        test=Split(unit_pixels(test_images)[:, None], test_labels),
        name="mnist",
        classes=tuple("0123456789"),
    )


def find_mnist(root: StrPath | None = None) -> dict[str, Path] | None:
    """Where MNIST's four files lie, by their original names; None where the cache lacks them and no folder is named.

    Raises PellucidError where `root` or $PELLUCID_DATA is no folder, or does not hold all of the files.
    """
    named, words = (root, "data folder") if root is not None else (os.environ.get(VARIABLE) or None, f"${VARIABLE}")
    place = cache_folder().parent if named is None else Path(named)
    if named is not None and not os.path.isdir(place):
        raise PellucidError(f"The {words} '{place}' is no folder; give the one that holds MNIST's four files.")
    found = max((_files_in(folder) for folder in (place, place / SUBFOLDER)), key=len)
    if len(found) == len(SUMS):
        return found
    if named is None:
        return None  # a download begins, or goes on where it stopped
    missing = ", ".join(name.removesuffix(".gz") for name in SUMS if name not in found)
    raise PellucidError(f"The {words} '{place}' lacks files of MNIST: {missing}; put them there, or leave it out.")


def cache_folder() -> Path:
    """Where downloaded MNIST files are kept: a `mnist` folder in the user's cache."""
    import platformdirs

    return platformdirs.user_cache_path("pellucid") / SUBFOLDER


def _files_in(folder: Path) -> dict[str, Path]:
    """Those of the four files that lie in a folder, packed or not, by their original names."""
    files = idx_files(folder) if os.path.isdir(folder) else {}
    return {name: files[plain] for name in SUMS if (plain := name.removesuffix(".gz")) in files}


def _read(file: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The bytes of a file of any number of items of a shape; raises PellucidError for others."""
    array = read_idx(file)
    if array.shape[1:] != shape or array.dtype != np.uint8:
        raise PellucidError(
            f"The file '{file}' holds {array.dtype} numbers of shape {array.shape}, but MNIST's has bytes of shape "
            f"{(len(array), *shape)}; put the original file there, or load the folder by its path."
        )
    return array


def _fetch(folder: Path, name: str, checksum: str) -> Path:
    """One file from the first mirror that gives the right bytes, written whole or not at all (pooch sees to it)."""
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)  # the progress bar says it already
    reasons = []
    for mirror in MIRRORS:
        try:
            downloader = pooch.HTTPDownloader(progressbar=True, timeout=30)
            return Path(pooch.retrieve(mirror + name, f"sha256:{checksum}", name, folder, downloader=downloader))
        except ValueError:  # pooch's word for a wrong checksum
            reasons.append(f"{mirror}: its SHA-256 is not the original's")
        except OSError as error:  # those of requests are among them, without a strerror
            reasons.append(f"{mirror}: {type(error).__name__ if error.strerror is None else error.strerror}")
    raise PellucidError(
        f"MNIST's '{name}' could not be downloaded ({'; '.join(reasons)}); put the four files {', '.join(SUMS)} "
        f"into '{folder}' by hand, or into a folder named by --data-dir or ${VARIABLE}."
    )
