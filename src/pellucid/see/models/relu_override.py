"""ReLU override: the pre-activations of ReLU and its kin inside any PyTorch model, and gradients through silent units.

ReluOverride: a TorchFunctionMode; rectifier(x) -> the same values; backward -> the usual gradient, or the identity's

Where its input is negative a rectifier has no gradient, so an image that leaves a unit silent gives gradient ascent no
direction. While the mode is on, every rectifier (relu, relu6, hardtanh, threshold, clamp; as function, method or in
place) does two things:

- it remembers its input, so that a layer that ends in a rectifier has a pre-activation as well (`pre_activation_of`);
  so does every softmax, log-softmax and sigmoid, whose inputs are the logits;
- for the images marked in `passing`, and only those, its backward pass is the identity (the straight-through estimator:
  Bengio et al., arXiv:1308.3432). This is decided image by image, after the forward pass and before the backward.

A `TorchFunctionMode` intercepts functions as they are called from Python, so that models written with modules,
functions or methods are all reached, and nothing is changed on the model.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

# Names of rectifiers: functions of torch or of torch.nn.functional, or methods. Those in place end in "_".
_RECTIFIERS = {"relu", "relu6", "hardtanh", "threshold", "clamp", "clip", "clamp_min"}
_FLAGGED = {functional.relu: 1, functional.relu6: 1, functional.hardtanh: 3, functional.threshold: 3}
"""Those with a flag `inplace`, and the position at which it may stand."""
_SOFT = {"softmax", "log_softmax", "sigmoid", "special_expit"}


class ReluOverride(TorchFunctionMode):
    """Inside a `with` block, rectifiers remember their input, and pass the gradients of the images in `passing`.

    passing (batch,): the images for which rectifiers pass gradients unchanged; None for none. Read during backward.
    """

    def __init__(self) -> None:
        super().__init__()
        self.passing: Bool[Tensor, "batch"] | None = None
        self._last: tuple[Tensor, Tensor] | None = None

    def pre_activation_of(self, output: Tensor) -> Tensor | None:
        """The input of the last rectifier, softmax or sigmoid, if `output` is its output; None otherwise."""
        return self._last[1] if self._last is not None and self._last[0] is output else None

    def forget(self) -> None:
        """Drop the references to the last rectifier's tensors."""
        self._last = None

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named, name = {} if kwargs is None else dict(kwargs), getattr(func, "__name__", "")
        if name.strip("_") in _RECTIFIERS:
            return self._rectified(func, list(args), named)
        after = func(*args, **named)
        if name in _SOFT:
            self._last = (after, args[0] if args else named["input"])
        return after

    def _rectified(self, func: Callable[..., Any], args: list[Any], named: dict[str, Any]) -> Any:
        given = args.pop(0) if args else named.pop("input")
        in_place, name = func.__name__.endswith("_"), func.__name__.strip("_")
        if func in _FLAGGED:
            position = _FLAGGED[func] - 1
            in_place = args.pop(position) if len(args) > position else named.pop("inplace", False)
        before = given.clone() if in_place else given
        plain = getattr(torch, name, None) or getattr(functional, name) if func.__name__.endswith("_") else func
        after = plain(before, *args, **named)
        if after.requires_grad:
            after = _StraightThrough.apply(before, after, self)  # type: ignore[no-untyped-call]
        if in_place:
            after = given.copy_(after)
        self._last = (after, before)
        return after


class _StraightThrough(torch.autograd.Function):
    """(before, after) -> after; backward: the gradient to `before` for images in `passing`, to `after` for others."""

    @staticmethod
    def forward(ctx: Any, before: Tensor, after: Tensor, mode: ReluOverride) -> Tensor:
        ctx.mode = mode
        return after.view_as(after)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        passing = ctx.mode.passing
        if passing is None or len(passing) != len(gradient):
            return None, gradient, None
        passing = passing.view(-1, *[1] * (gradient.ndim - 1))
        return torch.where(passing, gradient, 0), torch.where(passing, 0, gradient), None
