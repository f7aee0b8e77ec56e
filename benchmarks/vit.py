"""ViT-L/16 (Dosovitskiy et al., "An image is worth 16 x 16 words", ICLR 2021), its size alone: the weights are random.

No training: what is timed does not depend on the weights' values.
"""

import torch
from torch import Tensor, nn

DEPTH, WIDTH, HEADS, HIDDEN, PATCH, SIDE = 24, 1024, 16, 4096, 16, 224


class Transformer(nn.Module):
    """Images (batch, 3, 224, 224) -> classes; `blocks.0` to `blocks.23` answer (batch, 197, 1024)."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.places = nn.Parameter(0.02 * torch.randn(1, 1 + (SIDE // PATCH) ** 2, WIDTH))
        self.blocks = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(WIDTH, HEADS, HIDDEN, 0.0, "gelu", batch_first=True, norm_first=True)
                for _ in range(DEPTH)
            )
        )
        self.logits = nn.Linear(WIDTH, 1000)

    def forward(self, images: Tensor) -> Tensor:
        """The logits of the first token."""
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.places
        return self.logits(self.blocks(x)[:, 0])


def vit(seed: int = 0) -> Transformer:
    """The model, ready to be looked into."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Transformer().eval()
