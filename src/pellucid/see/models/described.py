"""Described: a model, what its library, its file and the caller say of its images -> what opening it needs."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image
from torch import nn

from pellucid.data.scaling import Scaling
from pellucid.see.models.base import InputShape

Pipeline = Callable[[Image.Image], np.ndarray]
"""a picture in RGB -> (channel, height, width) as the model takes it"""
SIZES = ("input_image_size", "image_size", "img_size", "input_size")
STATEMENTS = ("pretrained_cfg", "preprocess_cfg")  # of timm, of open_clip
LARGEST_SIDE = 4096


@dataclass(frozen=True)
class Described:
    """A model, and what is said of it; None or empty where nothing is said.

    model: the object of its library.  name: for people.  takes_bgr: see `Model.takes_bgr`.
    pipeline: see `Model.pipeline`.  random: why its weights are random, if they are.  fresh: whether nobody else has
    the model, so that weights may be put into it.
    """

    model: Any
    name: str | None = None
    input_shape: InputShape | None = None
    scaling: Scaling | None = None
    classes: tuple[str, ...] = ()
    pipeline: Pipeline | None = None
    takes_bgr: bool = False
    random: str = ""
    fresh: bool = False


def stated_sizes(module: nn.Module) -> Iterator[tuple[int, int]]:
    """Every (height, width) that the module or a part of it says it takes, the most particular first."""
    config: Any = getattr(module, "config", None)
    parts: list[Any] = [module, *module.modules(), config, getattr(config, "vision_config", None)]
    found = [getattr(part, name, None) for name in SIZES for part in parts]
    found += [cfg.get(name) for cfg in _statements(module) for name in ("input_size", "size")]
    for one in found:
        sides = one[-2:] if isinstance(one, tuple | list) and len(one) in (2, 3) else (one, one)
        if all(isinstance(side, int) and 0 < side <= LARGEST_SIDE for side in sides):
            yield sides[0], sides[1]


def stated(module: nn.Module) -> Described:
    """What a module says of the scaling and the classes; timm's, open_clip's and Hugging Face's do."""
    config: Any = getattr(module, "config", None)
    name, transformers = getattr(config, "_name_or_path", ""), sys.modules.get("transformers")
    if name and transformers is not None:
        pipeline = processor(transformers, name, local_files_only=True)
        return replace(through(module, pipeline, labels(config)), input_shape=None, fresh=False)
    for cfg in _statements(module):
        if cfg.get("mean") and cfg.get("std"):
            fits = len(cfg["mean"]) in channels_of(module)  # timm keeps those of colors for a network of other channels
            numbers = [list(one) if fits else float(np.mean(one)) for one in (cfg["mean"], cfg["std"])]
            scaling = Scaling("mean-deviation", *numbers)
            return Described(module, scaling=scaling, classes=tuple(map(str, cfg.get("label_names") or ())))
    return Described(module, classes=labels(config))


def labels(config: Any) -> tuple[str, ...]:
    """The names of the classes in a configuration of Hugging Face; none where they are numbers alone."""
    named = getattr(config, "id2label", None)
    names = tuple(str(named[key]) for key in sorted(named, key=int)) if isinstance(named, Mapping) else ()
    return () if all(name.startswith("LABEL_") for name in names) else names


def processor(transformers: Any, name: str, **where: Any) -> Pipeline | None:
    """The preprocessing that Hugging Face keeps beside a model; None where there is none."""
    try:
        found = transformers.AutoImageProcessor.from_pretrained(name, **where)
    except (OSError, ValueError, KeyError):  # no file of it, or one of text alone
        return None
    return lambda picture: np.asarray(found(images=picture, return_tensors="pt")["pixel_values"][0])


def through(model: Any, pipeline: Pipeline | None, classes: Sequence[str] = (), random: str = "") -> Described:
    """A model whose pictures come through this pipeline; its shape, scaling and order of colors are seen in pictures of
    one color. No scaling is told where what the pipeline does to them is no mean and deviation."""
    plain = Described(model, classes=tuple(classes), random=random, fresh=True)
    if pipeline is None:
        return plain
    colors = [(0, 0, 0), (255, 255, 255), (255, 0, 0), (102, 102, 102)]
    answers = [pipeline(Image.new("RGB", (640, 640), color)) for color in colors]
    if np.ndim(answers[0]) != 3:  # several crops, or words beside the picture
        return plain
    middles = [np.asarray(one[:, one.shape[1] // 2, one.shape[2] // 2], np.float64) for one in answers]
    black, span, red, gray = middles[0], middles[1] - middles[0], middles[2] - middles[0], middles[3]
    if not (span > 0).all() or not np.allclose(gray, black + 0.4 * span, atol=1e-3 * span.max()):
        return replace(plain, input_shape=answers[0].shape)
    turned = bool(np.argmax(red) == 2)
    order = slice(None, None, -1 if turned else 1)
    scaling = Scaling("mean-deviation", (-black / span)[order], (1 / span)[order])
    way = (lambda picture: pipeline(picture)[::-1]) if turned else pipeline
    return replace(plain, input_shape=answers[0].shape, scaling=scaling, pipeline=way, takes_bgr=turned)


def channels_of(module: nn.Module) -> tuple[int, ...]:
    """The channels that its first convolution takes; where it has none, those that are likely."""
    first = next((part for part in module.modules() if isinstance(part, nn.Conv2d)), None)
    return (3, 1) if first is None else (first.in_channels,)


def _statements(module: nn.Module) -> list[Mapping[str, Any]]:
    found = [getattr(part, name, None) for part in (module, getattr(module, "visual", None)) for name in STATEMENTS]
    return [one for one in found if isinstance(one, Mapping)]
