"""small: data and a network so small that a whole training takes a tenth of a second."""

import numpy as np

from pellucid.data.splits import Data, Split
from pellucid.learn.layers import Conv, Dense, Flatten, Pool
from pellucid.learn.network import Network

SHAPE = (2, 7, 6)
CLASSES = 3


def split(count, seed):
    """Images of noise with a bright corner where their class is: easy, but not at once."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    images = 0.6 * rng.random((count, *SHAPE), dtype=np.float32)
    for image, label in zip(images, labels, strict=True):
        image[0, 3 * (label // 2) : 3 * (label // 2) + 3, 3 * (label % 2) : 3 * (label % 2) + 3] += 0.4
    return Split(images, labels)


def data(train=70):
    return Data(split(train, 0), split(20, 1), split(21, 2), name="corners")


def network(seed=0, **options):
    plan = [Conv(4, 3, padding="same"), Pool(2), Flatten(), Dense(9, "sigmoid"), Dense(8), Dense(CLASSES, "linear")]
    return Network(plan, **{"input_shape": SHAPE, "scaling": "standardized", "seed": seed, **options})


def same(one, other):
    """Whether two networks hold the same bytes."""
    return one.parameters.keys() == other.parameters.keys() and all(
        value.tobytes() == other.parameters[name].tobytes() for name, value in one.parameters.items()
    )
