"""Recipe: settings as they were given, a model, its layers -> settings with nothing left open.

recipe_of: where the image is "auto", natural images if a spectrum is known for them, else the sphere; and where it is
"natural", what suits the model's colors and the layers' maps, but for what was given
"""

from collections.abc import Sequence
from contextlib import suppress

from pellucid.data.scaling import Images
from pellucid.errors import PellucidError
from pellucid.see.models.base import Model
from pellucid.see.optimize.natural import STROKES, spectrum_for
from pellucid.settings import PatternSettings

LARGE = 192  # pixels of the shorter side, from which half of the passes find as much
OF_OTHER_IMAGES = {"colors", "color_matrix", "pixel_range", "stages", "scale_weights"}
"""Settings that mean nothing to natural images, by which one has asked for another image."""


def recipe_of(model: Model, layers: Sequence[str], settings: PatternSettings, images: Images | None) -> PatternSettings:
    """The settings of an ascent for these layers.  images: some of the data's in [0, 1], whose spectrum counts."""
    image = settings.image
    if image == "auto":
        other = settings.noise == "zero" or OF_OTHER_IMAGES & settings.model_fields_set
        image = "natural" if not other and _knows_spectrum(model, settings, images) else "sphere"
    if image != "natural":
        return settings.model_copy(update={"image": image})
    channels, *size = model.input_shape
    if channels != 3 and min(size) < STROKES:
        return settings.natural("natural-gray")
    if all(len(model.layer(name).shape) == 3 for name in layers):
        return settings.natural("natural-maps")
    return settings.natural("natural-large" if min(size) >= LARGE else "natural")


def _knows_spectrum(model: Model, settings: PatternSettings, images: Images | None) -> bool:
    """Whether a model that sees images, not features of them, has a spectrum, or data that are not all even."""
    with suppress(PellucidError):
        return model.image_shape == model.input_shape and spectrum_for(model, settings, images) is not None
    return False
