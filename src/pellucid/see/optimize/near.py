"""Near: a photograph -> images around it, how far their features lie from its own, and where a unit's answer rose.

What in a photograph a unit answers to is seen when it is exaggerated until a person sees it, and no further: "feature
accentuation" (Hamblin, Fel, Saha, Konkle and Alvarez, arXiv:2402.10039). Theirs moves the photograph's own Fourier
coefficients; here only what is added is made of waves, as strong as in photographs.
"""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from pellucid.data.photos import read_photo
from pellucid.data.scaling import Images as DataImages
from pellucid.data.spectrum import COLORS
from pellucid.data.splits import validate_images
from pellucid.see.models.base import LayerOutput, Model
from pellucid.see.objectives.base import Objective
from pellucid.see.objectives.features import likeness
from pellucid.see.optimize.bases import wave_pixels
from pellucid.see.optimize.batches import batch_size_for
from pellucid.see.optimize.natural import LEAST_POWER, Natural, natural_of
from pellucid.see.optimize.parametrizations import Images, Parametrization, Points, in_model_space
from pellucid.see.optimize.penalties import added, penalties_of
from pellucid.see.validation import as_array
from pellucid.settings import PatternSettings

PATH = 8  # points between the photograph and an image at which gradients are taken
BLUR = 1 / 60  # deviation of the Gaussian that smooths a map of where, in shorter sides
_INSIDE = 0.05, 0.95  # pixels whose logits move: black and white move as dark and light gray do
Photo = Float32[np.ndarray, "1 channel height width"]


@dataclass(frozen=True, eq=False)
class Around(Parametrization):
    """Images of waves added to a photograph (pixels in [0, 1]), with which every ascent begins."""

    waves: Natural
    photo: Float32[Tensor, "1 channel height width"]

    def images(self, points: Points) -> Images:
        waves, inside = self.waves, self.photo.clamp(*_INSIDE)
        change = wave_pixels(points, waves.strength, waves.width)
        if waves.inner is None:
            change = torch.einsum("ck,bkhw->bchw", torch.tensor(COLORS, device=change.device), change)
        logits = torch.logit(inside)
        moved = torch.sigmoid(logits + waves.contrast * change) - torch.sigmoid(logits)  # exactly 0 where nothing is
        return in_model_space(waves.scaling, (self.photo + moved).clamp(0, 1))

    def points(self, images: Images) -> Points:
        """No waves: the photograph, whatever the images are."""
        return images.new_zeros(len(images), *self.waves.strength.shape[:2], 2 * self.waves.strength.shape[2])

    def direction(self, gradient: Points) -> Points:
        return self.waves.direction(gradient)


def read_near(model: Model, photo: Any) -> Photo:
    """A photograph as one image of the model's size: the path of a picture, or (channel, height, width) in [0, 1]."""
    if isinstance(photo, str | os.PathLike):
        return model.read_picture(read_photo(photo).over())[0][None]
    given = validate_images(as_array(photo, "A photograph")[None])
    return given if given.shape[1:] == model.input_shape else model.fit(given[0])[None]


def near_parts(
    model: Model, objective: Objective, photo: Photo, settings: PatternSettings, data: DataImages | None
) -> tuple[PatternSettings, dict[str, Any], Images]:
    """The settings with the near_layer that is taken, what keeps ascents near the photograph, and itself (model space).

    The penalty: near_weight x the squared distance of the layer's features, as a share of the photograph's own square,
    x the root mean square of what the units answer to the photograph. Raises PellucidError for an unknown layer.
    """
    names, last = [layer.name for layer in model.readable], objective.layers[-1]
    early = names[names.index(last) // 4] if settings.near_layer is None else settings.near_layer
    wanted = likeness(model, early, photo)
    with model.reading([last]) as read, torch.no_grad():
        answers = read(model.prepared(photo))[last]  # a silent layer's are known before its rectifier
        before = answers if answers.pre_activation is None else LayerOutput(answers.pre_activation)
        weight = settings.near_weight * before.unit_means.square().mean().sqrt()

    def distance(images: Tensor, values: Tensor) -> Tensor:
        jobs = torch.zeros_like(values, dtype=torch.int64)
        with model.reading([early]) as read:
            return -weight * wanted.select(jobs)(read(images)).value

    others = penalties_of(settings)
    around = Around(natural_of(model, settings, data), torch.from_numpy(photo).to(model.device))
    penalties = distance if others is None else added([others, distance])
    begin = around.images(around.points(model.prepared(photo)))
    return settings.model_copy(update={"near_layer": early}), {"image": around, "penalties": penalties}, begin


def contributions(
    model: Model, objective: Objective, begin: Images, images: DataImages
) -> Float32[np.ndarray, "job height width"]:
    """Where what is maximized rose from one image (model space) to each of these: 1 where most, 0 where it fell.

    Each pixel's change times the mean gradient on the straight way (integrated gradients: Sundararajan, Taly and Yan,
    ICML 2017), whose sum is the rise; those above 0, smoothed.
    """
    from scipy.ndimage import gaussian_filter  # here, as it takes a while and most patterns have no photograph

    rows, found = batch_size_for(model, objective.layers)[0], np.zeros(images[:, 0].shape, np.float32)
    with model.reading(objective.layers) as read:
        for at in range(0, len(images), rows):
            change = torch.from_numpy(images[at : at + rows]).to(begin) - begin
            selected = objective.select(torch.arange(at, at + len(change), device=change.device))
            for step in range(PATH):
                between = (begin + (step + 0.5) / PATH * change).requires_grad_()
                slope = torch.autograd.grad(selected(read(between)).maximized.sum(), between)[0]
                found[at : at + rows] += (slope * change).sum(1).cpu().numpy()
    soft = gaussian_filter(found.clip(0), (0, *[BLUR * min(found.shape[1:])] * 2))
    return np.asarray(soft / np.maximum(soft.max((1, 2), keepdims=True), LEAST_POWER), np.float32)
