"""EfficientNet-Lite: a table of stages -> torch modules with readable names, images -> logits of 1,000 classes.

stem:     convolution 3 x 3 of stride 2
blocks.0, blocks.1 ...: inverted bottlenecks: `expand` to more channels, `depthwise` each channel by itself, `project`
          to few; the input is added where shapes agree, so the sum is what `blocks.3` gives
head:     convolution 1 x 1 to 1,280 channels, then the mean over all positions
logits:   dense

Every convolution is followed by its `norm`, and all but those of `project` by a `relu` that stops at 6. (M. Tan and
Q. Le, "EfficientNet", ICML 2019; "lite": without squeeze-and-excitation, ReLU6 for swish.) Trained with "same" padding
as TensorFlow has it, where a stride of 2 puts the odd zero at the far end. Dropout is left out: this is for looking.
"""

from collections import OrderedDict
from math import ceil

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

STAGES = (  # blocks, kernel, stride of the first, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, HEAD, CLASSES = 32, 1280, 1000
EPSILON = 1e-3  # of the batch norms, as they were trained

Images = Float[Tensor, "image channel height width"]
Maps = Float[Tensor, "image unit row column"]


class Conv2dSame(nn.Conv2d):
    """A convolution of stride 2 that gives half the sides, rounded up; an even side gets its odd zero at the end."""

    def forward(self, images: Images) -> Maps:
        """Padded by what the size asks for."""
        zeros = [self.kernel_size[0] - 2 + side % 2 for side in (images.shape[3], images.shape[2])]
        ends = [end for total in zeros for end in (total // 2, total - total // 2)]
        return super().forward(functional.pad(images, ends))


class InvertedBottleneck(nn.Sequential):
    """expand (where there is any), depthwise, project; plus the input where its shape stays the same."""

    def __init__(self, channels: int, kernel: int, stride: int, expansion: int, units: int) -> None:
        wide = channels * expansion
        parts = OrderedDict[str, nn.Module]()
        if expansion > 1:
            parts["expand"] = _convolution(channels, wide, 1)
        parts["depthwise"] = _convolution(wide, wide, kernel, stride, groups=wide)
        parts["project"] = _convolution(wide, units, 1, rectified=False)
        super().__init__(parts)
        self.adds_input = stride == 1 and channels == units

    def forward(self, images: Images) -> Maps:
        """One after the other, and the input."""
        maps = images
        for part in self:
            maps = part(maps)
        return maps + images if self.adds_input else maps


class EfficientNetLite(nn.Module):
    """The network, without weights; `width` and `depth` multiply channels and blocks of all stages but first and last.

    Takes any size from 32 pixels on.
    """

    def __init__(self, width: float, depth: float) -> None:
        super().__init__()
        self.stem = _convolution(3, STEM, 3, 2)
        blocks, channels = [], STEM
        for number, (count, kernel, stride, expansion, units) in enumerate(STAGES):
            for at in range(count if number in (0, len(STAGES) - 1) else ceil(depth * count)):
                wanted = _rounded(width * units)
                blocks.append(InvertedBottleneck(channels, kernel, 1 if at else stride, expansion, wanted))
                channels = wanted
        self.blocks = nn.ModuleList(blocks)
        self.head = _convolution(channels, HEAD, 1)
        self.logits = nn.Linear(HEAD, CLASSES)

    def forward(self, images: Images) -> Float[Tensor, "image class"]:
        """The logits."""
        maps = self.stem(images)
        for block in self.blocks:
            maps = block(maps)
        logits: Tensor = self.logits(self.head(maps).mean((2, 3)))
        return logits


def _convolution(
    channels: int, units: int, kernel: int, stride: int = 1, groups: int = 1, *, rectified: bool = True
) -> nn.Sequential:
    kind, padding = (nn.Conv2d, kernel // 2) if stride == 1 else (Conv2dSame, 0)
    parts = OrderedDict[str, nn.Module](
        conv=kind(channels, units, kernel, stride, padding, groups=groups, bias=False),
        norm=nn.BatchNorm2d(units, EPSILON),
    )
    if rectified:
        parts["relu"] = nn.ReLU6()
    return nn.Sequential(parts)


def _rounded(channels: float) -> int:
    """To a multiple of 8, by at most a tenth down."""
    near = max(8, int(channels + 4) // 8 * 8)
    return near + 8 if near < 0.9 * channels else near
