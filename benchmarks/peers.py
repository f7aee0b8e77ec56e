"""Peers: other libraries for feature visualization, brought to run on the same weights, image and objective as ours.

Each function imports its library itself, and raises ImportError where that fails. Lucent needs two names of torchvision
(Normalize), which does not load beside every build of PyTorch; where it does not, a stand-in takes its place.
"""

import os
import sys
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.rivals import as_module
from pellucid.learn.layers import Conv
from pellucid.learn.network import Network

LUCENT_STEPS, KERAS_STEPS = 512, 200  # the libraries' own


class Standardize(nn.Module):
    """Images in [0, 1] as a network trained on standardized ones wants them."""

    def forward(self, x: Tensor) -> Tensor:
        """Each by itself."""
        centred = x - x.mean((1, 2, 3), keepdim=True)
        return centred / centred.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(x[0].numel() ** -0.5)


def for_images(net: Network, layer: str) -> tuple[nn.Sequential, str]:
    """The network up to a layer as a module for images in [0, 1], and Lucent's name for that layer."""
    body = as_module(net, layer)
    return nn.Sequential(OrderedDict(scale=Standardize(), body=body)).eval(), f"body_{len(body) - 1}"


@contextmanager
def own_hooks(module: nn.Module) -> Iterator[None]:
    """Lucent leaves its hooks behind, each call slower than the last; here they are taken away, in its favour."""
    try:
        yield
    finally:
        for submodule in module.modules():
            submodule._forward_hooks.clear()


def lucent() -> Any:
    """Lucent's parts; raises ImportError where they do not load."""
    try:
        import torchvision
    except (ImportError, RuntimeError):
        transforms = types.ModuleType("torchvision.transforms")
        transforms.Normalize = nn.Identity  # type: ignore[attr-defined]
        torchvision = types.ModuleType("torchvision")
        torchvision.transforms = transforms  # type: ignore[attr-defined]
        sys.modules.update({"torchvision": torchvision, "torchvision.transforms": transforms})
    from lucent.optvis import objectives, param, render

    return types.SimpleNamespace(objectives=objectives, param=param, render=render)


def lucent_maps(net: Network, layer: str, units: Sequence[int], steps: int = LUCENT_STEPS) -> Callable[[], np.ndarray]:
    """Work that renders one map after the other: images (unit, 1, height, width) in [0, 1]. No transforms."""
    library = lucent()
    module, name = for_images(net, layer)
    side = net.input_shape[1]

    def work() -> np.ndarray:
        found = []
        for unit in units:
            torch.manual_seed(unit)
            with own_hooks(module):
                images = library.render.render_vis(
                    module,
                    library.objectives.channel(name, unit),
                    lambda: library.param.image(side, channels=net.input_shape[0]),
                    transforms=[],
                    thresholds=(steps,),
                    preprocess=False,
                    progress=False,
                    show_image=False,
                    fixed_image_size=side,
                )
            found.append(images[-1][0].transpose(2, 0, 1))
        return np.stack(found)

    return work


def lucent_batch(module: nn.Module, layer: str, units: Sequence[int], side: int, steps: int) -> Callable[[], Any]:
    """Work that renders these channels in one batch, with Lucent's own transforms."""
    library = lucent()

    def work() -> Any:
        goals = [library.objectives.channel(layer, unit, batch=row) for row, unit in enumerate(units)]
        with own_hooks(module):
            return library.render.render_vis(
                module,
                library.objectives.Objective.sum(goals),
                lambda: library.param.image(side, batch=len(units)),
                thresholds=(steps,),
                preprocess=False,
                progress=False,
                show_image=False,
                fixed_image_size=side,
            )

    return work


def keras_maps(net: Network, layer: str, units: Sequence[int], steps: int = KERAS_STEPS) -> Callable[[], np.ndarray]:
    """Work that maximizes one map after the other by tf-keras-vis: images (unit, 1, height, width) in [0, 1]."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import tensorflow
    from tf_keras_vis.activation_maximization import ActivationMaximization

    def standardized(x: Any) -> Any:
        centred = x - tensorflow.reduce_mean(x, (1, 2, 3), keepdims=True)
        return centred / tensorflow.sqrt(tensorflow.reduce_mean(tensorflow.square(centred), (1, 2, 3), keepdims=True))

    channel, height, width = net.input_shape
    parts = [keras.Input((height, width, channel)), keras.layers.Lambda(standardized)]
    for name, one in zip(net.names[: net.names.index(layer) + 1], net.layers, strict=False):
        parts.append(
            keras.layers.Conv2D(one.maps, one.kernel, padding=one.padding, activation=one.activation, name=name)
            if isinstance(one, Conv)
            else keras.layers.MaxPooling2D(one.size)
        )
    model = keras.Sequential(parts)
    for part in model.layers:
        if isinstance(part, keras.layers.Conv2D):
            weight, bias = (net.parameters[f"{part.name}.{kind}"] for kind in ("weight", "bias"))
            part.set_weights([weight.transpose(2, 3, 1, 0), bias])
    maximization = ActivationMaximization(model, clone=False)

    def work() -> np.ndarray:
        found = []
        for unit in units:
            image = maximization(
                lambda output, unit=unit: output[..., unit],
                input_range=(0.0, 1.0),
                input_modifiers=[],
                regularizers=[],
                steps=steps,
                optimizer=keras.optimizers.RMSprop(1 / 255, 0.999),
            )
            found.append(np.asarray(image)[0].transpose(2, 0, 1))
        return np.stack(found)

    return work
