"""Inputs: a PyTorch module -> the shape of the images that it takes, or the sentence that says why it takes none."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import PellucidError, summary
from pellucid.see.models.base import InputShape
from pellucid.see.models.described import channels_of, stated_sizes

_SIDES = (8, 16, 28, 32, 48, 64, 96, 112, 128, 160, 192, 224, 256, 299)
_WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.Embedding)
_MISUSED = (TypeError, KeyError, IndexError, AttributeError, NotImplementedError)  # of a forward that expects no images
Forward = Callable[[nn.Module, Tensor], Any]


def found_shape(module: nn.Module, name: str, forward: Forward) -> InputShape:
    """The (channel, height, width) that a module takes; raises PellucidError where none fits, or several do.

    forward: a module and images (batch, channel, height, width) -> its output, or whatever it raises.
    """
    for shape in _stated_shapes(module):
        if _error(module, forward, _images(shape)) is None:
            return shape
    fitting, errors = [], []
    for shape in _usual_shapes(module):
        error = _error(module, forward, _images(shape))
        if error is not None:
            errors.append((shape, error))
            continue
        fitting.append(shape)
        if len(fitting) == 2:
            raise PellucidError(
                f"The module '{name}' runs on images of several sizes ({fitting[0]} and {fitting[1]}, for instance), "
                f"so its input is unknown; give input_shape={fitting[1]} or the size that it was made for."
            )
    if fitting:
        return fitting[0]
    alone = next((one for one in errors if _error(module, forward, _images(one[0])[:1]) is None), errors[-1])
    raise refusal(module, name, *alone, forward, begin=f"The module '{name}' runs on none of the usual sizes")


def refusal(
    module: nn.Module, name: str, shape: InputShape, error: BaseException, forward: Forward, begin: str = ""
) -> PellucidError:
    """Why a module does not run on a batch of images of this shape, in a sentence whose advice was tried."""
    first, said = _first_weighted(module), f"It said: {summary(error)}"
    if isinstance(first, nn.Conv1d | nn.Conv3d):
        return _of_other_dimensions(name, first)
    begin = begin or f"The module '{name}' does not run on images of shape {shape}"
    if _error(module, forward, _images(shape)[:1]) is None:
        return PellucidError(
            f"{begin} in batches, though it takes one alone; let its forward take any number of images, as by "
            f"x.flatten(1) in place of x.view(1, -1). {said}"
        )
    if _error(module, forward, (_images(shape) * 255).byte()) is None:
        return PellucidError(
            f"The module '{name}' takes bytes (uint8), through which no gradient comes back to an image; give the part "
            f"of it that takes floats."
        )
    if not isinstance(error, _MISUSED) and isinstance(first, nn.Conv2d):
        channels, side = first.in_channels, 224 if shape[1:] == (64, 64) else 64
        return PellucidError(
            f"{begin} (its first convolution takes {channels} channels); give the shape that it was made for, such as "
            f"input_shape=({channels}, {side}, {side}). {said}"
        )
    if isinstance(first, nn.Linear):
        for fits in (_usual_shapes(module)[0], (1, 1, first.in_features)):
            if _error(module, forward, _images(fits)) is None:
                begin = f"{begin} (its first layer takes {first.in_features} numbers); give the shape it was made for"
                return PellucidError(f"{begin}, such as input_shape={fits}, on which it runs. {said}")
    return PellucidError(_misused(module, name, begin, shape, forward, said))


def _misused(module: nn.Module, name: str, begin: str, shape: InputShape, forward: Forward, said: str) -> str:
    if (part := _part_that_runs(module, shape, forward)) is not None:
        return f"{begin}, but its part '{part}' runs on images; give that part. {said}"
    if isinstance(_first_weighted(module), nn.Embedding):
        return (
            f"The module '{name}' takes numbers of words or other tokens, through which no gradient comes back to an "
            f"image, so it cannot be opened."
        )
    return (
        f"{begin}; its forward has to take float images (batch, channel, height, width), and nothing else, so wrap it "
        f"in a module that makes of these what it takes. {said}"
    )


def _of_other_dimensions(name: str, first: nn.Conv1d | nn.Conv3d) -> PellucidError:
    channels = first.in_channels
    if isinstance(first, nn.Conv1d):
        return PellucidError(
            f"The module '{name}' takes signals (batch, {channels}, length) and no images; wrap it in a module whose "
            f"forward gives it images[:, :, 0], with input_shape=({channels}, 1, 100) for a length of 100."
        )
    return PellucidError(
        f"The module '{name}' takes films or volumes (batch, {channels}, depth, height, width); wrap it in a module "
        f"whose forward gives it images.unflatten(1, ({channels}, -1)), with the depth and size that it was made for: "
        f"input_shape=({16 * channels}, 224, 224) for a depth of 16."
    )


def _first_weighted(module: nn.Module) -> Any:
    return next((part for part in module.modules() if isinstance(part, _WEIGHTED)), None)


def _stated_shapes(module: nn.Module) -> Iterator[InputShape]:
    shapes = [(channels, *sides) for sides in stated_sizes(module) for channels in channels_of(module)]
    yield from dict.fromkeys(shapes)


def _usual_shapes(module: nn.Module) -> Sequence[InputShape]:
    """Squares of the usual sides; of a module that begins with a Linear, the one that has as many numbers."""
    first = _first_weighted(module)
    if isinstance(first, nn.Linear):
        sides = [(channels, round((first.in_features / channels) ** 0.5)) for channels in (1, 3)]
        squares = [(channels, side, side) for channels, side in sides if channels * side * side == first.in_features]
        if squares:
            return squares
    return [(channels, side, side) for side in _SIDES for channels in channels_of(module)[:1]]


def _images(shape: InputShape) -> Tensor:
    return torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))


def _error(module: nn.Module, forward: Forward, images: Tensor) -> BaseException | None:
    try:
        forward(module, images)
    except Exception as error:  # noqa: BLE001  # whatever a person's own code raises
        return error
    return None


def _part_that_runs(module: nn.Module, shape: InputShape, forward: Forward) -> str | None:
    for name, part in module.named_children():
        is_made = any(isinstance(inner, nn.Conv2d) for inner in part.children()) or len(list(part.modules())) > 3
        tried = [] if isinstance(_first_weighted(part), nn.Embedding) else [*_stated_shapes(part), shape]
        if is_made and any(_error(part, forward, _images(one)) is None for one in tried):
            return name
    return None
