"""Activation statistics of a whole data set in one call; the atlas computes and merges the chunks itself."""

from collections.abc import Sequence

from pellucid.see.dataset.activation_stats import JoinedSplits, LayerStats, image_chunks, merged, partial_stats
from pellucid.see.models.base import Model


def activation_stats(
    model: Model, layers: Sequence[str], images: JoinedSplits, *, classes: int, top: int = 16
) -> dict[str, LayerStats]:
    """{layer: LayerStats} over all images."""
    chunks = image_chunks(model, layers, images)
    partials = [partial_stats(model, layers, images, chunk, classes=classes, top=top) for chunk in chunks]
    return {name: merged([partial[name] for partial in partials], images) for name in layers}
