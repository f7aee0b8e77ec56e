"""Carving: what units like, carved into a picture, round by round.

Carver: model, what each level wishes, a picture -> `rounds()`, the change of luminance after each round

In every round the picture is cut into overlapping pieces, at every level; each is scaled down to the model's size
(bicubic, with antialiasing), standardized, and climbs gently (the classic ascent), the pieces of all levels together;
the *changes* are scaled up and added, times the piece's own deviation. What has changed in all is bent softly, so that
strokes never saturate to black or white. In the end, pieces that have lost more to others than they won climb again.
The surprise: of all this only luminance is kept at full size, so that a photograph of 43 million pixels fits into two
gigabytes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from pellucid.progress import Report
from pellucid.see.dream.colors import banded, limited, luminance, relit
from pellucid.see.dream.resampling import resized
from pellucid.see.dream.tiles import Tiling, tiling
from pellucid.see.dream.unit_choice import Wish, asks_auto, chosen, preferred, votes
from pellucid.see.models.base import Model, Reader
from pellucid.see.objectives.units import WHOLE_LAYER, Units
from pellucid.see.optimize.loop import BUDGET, AscentTask, StoppingRule, batch_size_for, objective_values, run_ascent
from pellucid.see.optimize.optimizers import Normalized
from pellucid.see.optimize.parametrizations import LEAST_DEVIATION, rescale_large, sphere_of, standardized
from pellucid.settings import DreamSettings

LIGHTEN, DARKEN = 0.5, 0.25  # of the way to white, to black: no stroke goes further; dark ones look harsh sooner
REHEARSED = 32  # noises that say how far a layer reaches
CHUNK = 1024  # pieces that climb in one call, so that what is kept of each stays small
MOST_ROWS = 256  # pieces at work at once
GAIN, FADING = 0.85, 0.6  # of what the finest pieces want; of that, what those of twice their side add
AGAIN = 4  # further climbs for pieces that ended below their beginning
REFERENCE = 4  # cells a side, whose pieces say what units usually answer on a photo


@dataclass(frozen=True, eq=False)
class Level:
    """The pieces of one size. dreamt: which of them climb.  units: what these climb.  area: where it is to be seen."""

    tiles: Tiling
    dreamt: Int64[Tensor, "piece"]
    units: Int64[Tensor, "piece"]
    area: Float[Tensor, "1 height width"] | None


class Carver:
    """One dream at work: the picture, and what stays the same from round to round."""

    def __init__(
        self,
        model: Model,
        read: Reader,
        layer: str,
        wishes: Sequence[Wish],
        areas: Sequence[Float[Tensor, "1 height width"] | None],
        settings: DreamSettings,
        picture: Float[Tensor, "channel height width"],
        report: Report,
    ) -> None:
        self._model, self._read, self._layer, self._settings, self._report = model, read, layer, settings, report
        self._picture, self._light = picture, banded(luminance, picture)
        self._total = torch.zeros_like(self._light)
        self._space, self._small = sphere_of(model), model.input_shape[1:]
        self._rows = max(1, min(MOST_ROWS, BUDGET // model.cost))
        self._reach = _reach(model, read, layer)
        _, height, width = picture.shape
        tilings = [tiling(height, width, 2**level, self._small) for level in range(len(wishes))]
        usual = self._usual(height, width) if any(asks_auto(wish) for wish in wishes) else None
        self.levels = [
            self._level(tiles, wish, area, usual) for tiles, wish, area in zip(tilings, wishes, areas, strict=True)
        ]

    def rounds(self) -> Iterator[Float[Tensor, "1 height width"]]:
        """The change of luminance after each round; the same tensor every time, so it is to be used at once."""
        chosen = self._settings
        self._report.expect(chosen.rounds * sum(len(level.dreamt) for level in self.levels) * (chosen.steps + 1))
        change = torch.zeros_like(self._light)
        before = self.activations(change)
        everywhere = torch.ones(len(before), dtype=torch.bool)
        for number in range(1, chosen.rounds + 1):
            change = self._carved(change, everywhere)
            if number == chosen.rounds:
                change = self._raised(change, before)
            yield change

    def activations(self, change: Float[Tensor, "1 height width"]) -> Float32[np.ndarray, "piece"]:
        """What their units say of every dreamt piece of every level, with that change of luminance."""
        found = []
        for level in self.levels:
            images = self._space.images(standardized(self._shrunk(change, level.tiles)[level.dreamt]))
            objective = Units(self._layer, level.units)
            found.append(objective_values(self._read, objective, images, batch_size=self._rows))
        return torch.cat(found).cpu().numpy()

    def _level(self, tiles: Tiling, wish: Wish, area: Tensor | None, usual: Tensor | None) -> Level:
        """The pieces that the area touches, each with its unit."""
        device = self._light.device
        dreamt = torch.arange(len(tiles), device=device)
        if area is not None:
            area = area.to(device)
            dreamt = torch.nonzero(torch.stack([(part > 0).any() for part in tiles.cut(area)])).flatten()
        favourites = None
        if usual is not None and asks_auto(wish):
            favourites = preferred(self._votes(tiles), usual)
        return Level(tiles, dreamt, chosen(wish, tiles, favourites, device)[dreamt], area)

    def _usual(self, height: int, width: int) -> Float[Tensor, "unit"]:
        """What each unit says of the photo's pieces on average."""
        return self._votes(tiling(height, width, REFERENCE, self._small)).mean(0)

    def _votes(self, tiles: Tiling) -> Float[Tensor, "piece unit"]:
        """What every unit says of every piece of the photo."""
        images = self._space.images(standardized(self._shrunk(torch.zeros_like(self._light), tiles)))
        return votes(self._model, self._read, self._layer, images)

    def _raised(self, change: Tensor, before: Float32[np.ndarray, "piece"]) -> Float[Tensor, "1 height width"]:
        """The change, after pieces that their neighbours and other levels have robbed of their gain climbed again."""
        for _ in range(AGAIN):
            robbed = torch.from_numpy(self.activations(change) <= before)
            if not bool(robbed.any()):
                break
            self._report.expect(int(robbed.sum()) * (self._settings.steps + 1))
            change = self._carved(change, robbed)
        return change

    def _carved(self, change: Tensor, climbing: Bool[Tensor, "piece"]) -> Float[Tensor, "1 height width"]:
        """The change after one climb of these of the dreamt pieces of all levels, all at once."""
        small = [self._shrunk(change, level.tiles) for level in self.levels]
        starts = torch.cat([pieces[level.dreamt] for pieces, level in zip(small, self.levels, strict=True)])
        units = torch.cat([level.units for level in self.levels])
        wanted = starts.new_zeros(len(starts), 1, *self._small)
        for begin in range(0, len(starts), CHUNK):
            which = begin + torch.nonzero(climbing[begin : begin + CHUNK]).flatten().to(starts.device)
            if len(which) > 0:
                wanted[which] = self._climbed(starts[which], units[which])
        parts = torch.split(wanted, [len(level.dreamt) for level in self.levels])
        for number, (level, pieces, own) in enumerate(zip(self.levels, small, parts, strict=True)):
            grown = pieces.new_zeros(len(pieces), 1, *self._small)
            grown[level.dreamt] = own * GAIN * FADING ** (len(self.levels) - 1 - number)
            carved = level.tiles.grown(grown, self._reach)
            self._total += carved if level.area is None else carved * level.area
        return banded(self._bent, self._total, self._light)

    def _climbed(self, small: Tensor, units: Tensor) -> Float[Tensor, "piece 1 height width"]:
        """How pieces change in luminance where they climb."""
        deviation = small.flatten(1).std(1, correction=0).clamp_min(LEAST_DEVIATION)
        starts = self._space.images(standardized(small))
        climbed = run_ascent(
            self._read,
            Units(self._layer, units),
            AscentTask(self._space, Normalized(self._settings.learning_rate), StoppingRule(self._settings.steps)),
            starts,
            batch_size=self._rows,
            advance=self._report.advance,
        )
        changes = self._space.points(climbed.images) - self._space.points(starts)
        return torch.stack([scale * luminance(change) for change, scale in zip(changes, deviation, strict=True)])

    def _shrunk(self, change: Tensor, tiles: Tiling) -> Float[Tensor, "piece channel height width"]:
        """The pieces of the changed picture at the model's size, in as many channels as it takes."""
        channels = self._model.input_shape[0]
        if channels == len(self._picture) and channels > 1:
            return tiles.shrunk(banded(relit, self._picture, change), self._small)
        return tiles.shrunk(self._light + change, self._small).expand(-1, channels, -1, -1).contiguous()

    def _bent(self, total: Tensor, light: Tensor) -> Tensor:
        """All that was carved, limited by the strength asked for and by the way to black and white."""
        strength = self._settings.strength
        up, down = (LIGHTEN * (1 - light)).clamp_max(strength), (DARKEN * light).clamp_max(strength)
        return limited(total, up, down)


def _reach(model: Model, read: Reader, layer: str) -> tuple[Float[Tensor, "height"], Float[Tensor, "width"]]:
    """How strongly a layer's gradient moves each row and each column of an image, the strongest 1.

    It fades towards the edges, which fewer positions of a convolution look at; without making up for that, the middle
    of every piece would show in a dream. Of noise, so it says nothing of the photo, and mirrored, so it leans nowhere.
    """
    channels, height, width = model.input_shape
    generator = torch.Generator().manual_seed(0)
    waves = torch.rand(REHEARSED, channels, -(-height // 3), -(-width // 3), generator=generator)
    points = standardized(torch.stack([resized(wave, (height, width)) for wave in waves])).to(model.device)
    space, rows = sphere_of(model), min(REHEARSED, batch_size_for(model)[0])
    squares = torch.zeros(height, width)
    for begin in range(0, REHEARSED, rows):
        some = points[begin : begin + rows].requires_grad_(True)
        whole = torch.full((len(some),), WHOLE_LAYER, device=model.device)
        climbed = Units(layer, whole)(read(space.images(some))).maximized
        if climbed.requires_grad:
            squares += rescale_large(torch.autograd.grad(climbed.sum(), some)[0]).square().sum((0, 1)).cpu()
    squares = squares + squares.flip(0)
    squares = squares + squares.flip(1)
    sides = squares.sum(1).sqrt(), squares.sum(0).sqrt()
    if not bool(squares.any()):
        return torch.ones(height), torch.ones(width)
    return sides[0] / sides[0].max(), sides[1] / sides[1].max()


def finished(
    picture: Float[Tensor, "channel height width"],
    change: Float[Tensor, "1 height width"],
    contrast: float,
    area: Float[Tensor, "1 height width"] | None = None,
) -> Float[Tensor, "channel height width"]:
    """The picture with this change and more contrast around its mean luminance, softly, where the area is."""
    middle = luminance(picture.mean((1, 2), keepdim=True))

    def work(picture: Tensor, change: Tensor, *areas: Tensor) -> Tensor:
        light = luminance(picture)
        more = limited((contrast - 1) * (light + change - middle), 1 - light - change, light + change)
        for where in areas:
            more = more * where
        return relit(picture, change + more)

    return banded(work, picture, change, *([] if area is None else [area]))
