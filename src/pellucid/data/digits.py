"""Digits: 1,797 handwritten digits that come with scikit-learn, so that everything runs without a network.

load_digits: seed -> Data of 1,197 training, 300 dev and 300 test images, stratified
read_cells:  all of them as small as they are

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository (1998);
the 8 x 8 counts, 0 to 16, of its test set. They fill their frame to the edge, so each gets a margin of one cell and is
then scaled bicubically to 28 x 28: strokes end inside the picture, as MNIST's do, and the same networks fit both.
The file is read from the installed package without importing it, which would take over a second.
"""

import numpy as np
from jaxtyping import Float32
from PIL import Image

from pellucid.data.splits import Data, Split, split_three_ways
from pellucid.files import bundled_file

SIZES = (1197, 300, 300)
SIDE, MARGIN, BRIGHTEST = 28, 1, 16


def load_digits(seed: int = 0) -> Data:
    """The bundled digits as images (n, 1, 28, 28) in [0, 1]; `seed` chooses which are for training, dev and test.

    Raises PellucidError where scikit-learn is not installed.
    """
    cells = read_cells()
    whole = Split(scale_up(cells.images[:, 0])[:, None], cells.labels)
    train, dev, test = split_three_ways(whole, seed, sizes=SIZES, name="digits")
    return Data(train, dev, test, name="digits", classes=tuple("0123456789"))


def read_cells() -> Split:
    """The digits as small as their file has them, (1797, 1, 8, 8), in sixteenths, and in its order."""
    table = np.loadtxt(bundled_file("sklearn", "datasets/data/digits.csv.gz"), delimiter=",", dtype=np.float32)
    return Split(table[:, :-1].reshape(-1, 1, 8, 8) / BRIGHTEST, table[:, -1].astype(np.int64))


def scale_up(cells: Float32[np.ndarray, "image 8 8"]) -> Float32[np.ndarray, "image 28 28"]:
    """Small digits in [0, 1] scaled smoothly, with a dark margin of one cell; the overshoot of bicubic is clipped."""
    framed = np.pad(cells, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)))
    large = [np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for image in framed]
    return np.asarray(np.clip(np.stack(large), 0, 1))
