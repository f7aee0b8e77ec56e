"""Reference: every kernel in plain NumPy, in the order of its formula. To be read: this is all that training computes.

images (channel, height, width, batch) or features (feature, batch), float32 or float64 -> the same, of the same type

The compiled kernels give the same numbers but for rounding, and tests compare them one by one. What runs here: all
float64 arrays (a gradient check needs them), and everything where PELLUCID_KERNELS=reference. Letters: w weights,
b biases, x what a layer takes, z = w x + b, y = activation(z) what it gives, dx the gradient of the loss for x.
"""

from functools import reduce
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer, UInt8

Array = np.ndarray
Images = Float[Array, "channel height width batch"]
Pooled = Float[Array, "channel rows columns batch"]
Winner = UInt8[Array, "channel rows columns batch"]
Maps = Float[Array, "map out_height out_width batch"]
Filters = Float[Array, "map channel kh kw"]
Weights = Float[Array, "unit feature"]
Bias = Float[Array, " unit"]
Features = Float[Array, "feature batch"]
Units = Float[Array, "unit batch"]
Logits = Float[Array, "class batch"]
Labels = Integer[Array, " batch"]
Losses = Float[Array, " batch"]
Size = tuple[int, int]  # (height, width); as a border, rows of zeros above the image and columns to its left


# Convolutions: products of a filter with every place of an image ------------------------------------------------------
def convolve(
    x: Images, w: Filters, b: Bias, rectify: bool = False, border: Size = (0, 0), out: Size | None = None
) -> Maps:
    """y[o, r, s] = b[o] + sum over c, i, j of w[o, c, i, j] x[c, r + i - top, s + j - left], or 0 where that is less.

    x is zero outside of the image; border: (top, left); out: (height, width) of y, if not all that fits without one.
    """
    _, _, kh, kw = w.shape
    height, width = (x.shape[1] - kh + 1, x.shape[2] - kw + 1) if out is None else out
    x = _with_zeros_around(x, border, (height + kh - 1, width + kw - 1))
    y = np.broadcast_to(b[:, None, None, None], (len(w), height, width, x.shape[3])).copy()
    for i in range(kh):
        for j in range(kw):
            y += np.tensordot(w[:, :, i, j], x[:, i : i + height, j : j + width], axes=1)
    return np.maximum(y, 0) if rectify else y


def convolve_weight_gradient(x: Images, dy: Maps, window: Size, border: Size = (0, 0)) -> Filters:
    """dw[o, c, i, j] = sum over r, s, n of dy[o, r, s, n] x[c, r + i - top, s + j - left, n];  window: (kh, kw)"""
    (kh, kw), (_, height, width, _) = window, dy.shape
    x = _with_zeros_around(x, border, (height + kh - 1, width + kw - 1))
    dw = np.empty((len(dy), len(x), kh, kw), x.dtype)
    for i in range(kh):
        for j in range(kw):
            dw[:, :, i, j] = np.tensordot(dy, x[:, i : i + height, j : j + width], axes=((1, 2, 3), (1, 2, 3)))
    return dw


def convolve_input_gradient(dy: Maps, w: Filters, size: Size, border: Size = (0, 0)) -> Images:
    """dx[c, r, s] = sum over o, i, j of w[o, c, i, j] dy[o, r - i + top, s - j + left];  size: (height, width) of x"""
    (_, channels, kh, kw), (_, height, width, batch), (top, left) = w.shape, dy.shape, border
    rows, columns = max(height + kh - 1, top + size[0]), max(width + kw - 1, left + size[1])
    dx = np.zeros((channels, rows, columns, batch), dy.dtype)
    for i in range(kh):
        for j in range(kw):
            dx[:, i : i + height, j : j + width] += np.tensordot(w[:, :, i, j].T, dy, axes=1)
    return np.ascontiguousarray(dx[:, top : top + size[0], left : left + size[1]])


def _with_zeros_around(x: Images, border: Size, size: Size) -> Array:
    wide = np.zeros((x.shape[0], *size, x.shape[3]), x.dtype)
    height, width = (min(a, b - c) for a, b, c in zip(x.shape[1:3], size, border, strict=True))
    wide[:, border[0] : border[0] + height, border[1] : border[1] + width] = x[:, :height, :width]
    return wide


# Pools: one number of every size x size window ------------------------------------------------------------------------
def _windows(x: Images, size: int) -> Float[Array, "channel rows columns pixel batch"]:
    """The pixels of each window, row by row; what is left over at the bottom and at the right is in none."""
    rows, columns = x.shape[1] // size, x.shape[2] // size
    whole = x[:, : rows * size, : columns * size].reshape(len(x), rows, size, columns, size, x.shape[3])
    return whole.transpose(0, 1, 3, 2, 4, 5).reshape(len(x), rows, columns, size * size, x.shape[3])


def _from_windows(pixels: Float[Array, "channel rows columns pixel batch"], size: int, shape: Size) -> Images:
    channels, rows, columns, _, batch = pixels.shape
    x = np.zeros((channels, *shape, batch), pixels.dtype)
    whole = pixels.reshape(channels, rows, columns, size, size, batch).transpose(0, 1, 3, 2, 4, 5)
    x[:, : rows * size, : columns * size] = whole.reshape(channels, rows * size, columns * size, batch)
    return x


def max_pool(x: Images, size: int) -> tuple[Pooled, Winner]:
    """y = the largest pixel of each window, and which one that is: the first of equal ones, and NaN before all."""
    pixels = _windows(x, size)
    winner = pixels.argmax(axis=3)
    return np.take_along_axis(pixels, winner[:, :, :, None], axis=3)[:, :, :, 0], winner.astype(np.uint8)


def max_pool_gradient(dy: Pooled, winner: Winner, size: int, shape: Size) -> Images:
    """dx = dy at the pixel that won its window, 0 at all others;  shape: (height, width) of x"""
    pixels = np.zeros((*dy.shape[:3], size * size, dy.shape[3]), dy.dtype)
    np.put_along_axis(pixels, winner[:, :, :, None].astype(np.intp), dy[:, :, :, None], axis=3)
    return _from_windows(pixels, size, shape)


def average_pool(x: Images, size: int) -> Pooled:
    """y = the mean of each window's pixels"""
    return np.ascontiguousarray(_windows(x, size).mean(axis=3))


def average_pool_gradient(dy: Pooled, size: int, shape: Size) -> Images:
    """dx = dy / size^2 at every pixel of a window;  shape: (height, width) of x"""
    return _from_windows(np.repeat(dy[:, :, :, None] / size**2, size * size, axis=3), size, shape)


class PoolGradient(NamedTuple):
    """The gradient for what a pool took the largest pixels of, before `max_pool_gradient` spreads it over all pixels.

    values: of each window.  winner: which pixel of a window gets it.  size: of a window.  shape: (height, width) of
    all pixels.
    """

    values: Pooled
    winner: Winner
    size: int
    shape: Size


def pooled_input_gradient(dy: PoolGradient, w: Filters, size: Size, border: Size = (0, 0)) -> Images:
    """`convolve_input_gradient` of a convolution whose output was pooled"""
    return convolve_input_gradient(max_pool_gradient(*dy), w, size, border)


# Dense layers: products of a matrix -----------------------------------------------------------------------------------
def dense_forward(w: Weights, x: Features, b: Bias, rectify: bool = False) -> Units:
    """y[o, n] = b[o] + sum over k of w[o, k] x[k, n], or 0 where that is less"""
    y = w @ x + b[:, None]
    return np.maximum(y, 0) if rectify else y


def dense_gradients(
    w: Weights, x: Features, dy: Units, wanted: tuple[bool, bool] = (True, True)
) -> tuple[Weights | None, Features | None]:
    """dw[o, k] = sum over n of dy[o, n] x[k, n];  dx[k, n] = sum over o of w[o, k] dy[o, n];  None if not wanted"""
    return dy @ x.T if wanted[0] else None, w.T @ dy if wanted[1] else None


# Activations, of any shape --------------------------------------------------------------------------------------------
def relu(z: Float[Array, "..."]) -> Float[Array, "..."]:
    """y = max(z, 0)"""
    return np.maximum(z, 0)  # which keeps NaN: a comparison would turn it into zero


def relu_gradient(y: Float[Array, "*shape"], dy: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """dz = dy where y > 0, else 0: also at the kink, where y is exactly 0; NaN in y lets dy through, to be seen"""
    return np.where(y <= 0, np.zeros((), dy.dtype), dy)


@np.errstate(over="ignore")
def sigmoid(z: Float[Array, "..."]) -> Float[Array, "..."]:
    """y = 1 / (1 + exp(-z)), where exp(-z) may be infinite, and y is the right 0"""
    return 1 / (1 + np.exp(-z))


def sigmoid_gradient(y: Float[Array, "*shape"], dy: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """dz = dy y (1 - y)"""
    return dy * y * (1 - y)


# Losses: what the logits z of the classes are worth, in nats ----------------------------------------------------------
@np.errstate(over="ignore", invalid="ignore")
def softmax(z: Logits) -> Logits:
    """p[k] = exp(z[k] - m) / sum over l of exp(z[l] - m), with m the largest z, so that nothing overflows"""
    p = np.exp(z - z.max(axis=0))
    return p / reduce(np.add, p)  # class by class, so that an image comes out the same alone and in any company


@np.errstate(over="ignore", invalid="ignore")
def cross_entropy(z: Logits, labels: Labels) -> tuple[Losses, Logits]:
    """loss = -log p[label] = log(sum over k of exp(z[k] - m)) - (z[label] - m), p = softmax(z);  dz = p - onehot(label)

    From the logits, and not from p, so that nothing has to be added to avoid log 0.
    """
    image, shifted = np.arange(len(labels)), z - z.max(axis=0)
    losses = np.log(np.exp(shifted).sum(axis=0)) - shifted[labels, image]
    dz = softmax(z)
    dz[labels, image] -= 1
    return losses, dz


def sigmoid_cross_entropy(z: Logits, labels: Labels) -> tuple[Losses, Logits]:
    """loss = -log(s[label] / sum over k of s[k]), s = sigmoid(z): cross_entropy(log s);  dz = (1 - s) d(log s)"""
    losses, d_log = cross_entropy(-np.logaddexp(0, -z), labels)
    return losses, d_log * sigmoid(-z)


def log_loss(z: Logits, labels: Labels) -> tuple[Losses, Logits]:
    """loss = -log s[label] - sum over other k of log(1 - s[k]), s = sigmoid(z);  dz = s - onehot(label)

    With u = z, but u[label] = -z[label], that is the sum over k of log(1 + exp(u[k])), and |dz| = sigmoid(u).
    """
    sign = np.where(np.arange(len(z))[:, None] == labels, z.dtype.type(-1), z.dtype.type(1))
    return np.logaddexp(0, sign * z).sum(axis=0), sign * sigmoid(sign * z)


# Scaling of images, (image, channel, height, width) -------------------------------------------------------------------
@np.errstate(invalid="ignore")
def standardize_images(x: Float[Array, "image channel height width"], least: float) -> Float[Array, "image ..."]:
    """(x - mean) / max(deviation, least), both over all pixels of an image, in double precision"""
    pixels = x.reshape(len(x), -1).astype(np.float64)
    pixels -= pixels.mean(axis=1, keepdims=True)
    deviation = np.sqrt((pixels**2).mean(axis=1, keepdims=True))
    return (pixels / np.maximum(deviation, least)).reshape(x.shape).astype(x.dtype)


# Optimizers: one step of one parameter array w, in place, against its gradient g --------------------------------------
def update_parameter(
    w: Float[Array, "*shape"],
    g: Float[Array, "*shape"],
    v: Float[Array, "*shape"] | None,
    rate: float,
    momentum: float = 0.0,
    decay: float = 0.0,
    factor: float = 1.0,
    nesterov: bool = False,
) -> None:
    """u = rate (factor g + decay w), and then, in place,

    plain, without velocities v:  w = w - u                                                            (v is None)
    momentum:                     v = momentum v - u;  w = w + v
    nesterov:                     v = momentum v - u;  w = w + momentum v - u
    """
    u = w.dtype.type(rate) * (w.dtype.type(factor) * g + w.dtype.type(decay) * w)
    if v is None:
        w -= u
        return
    v *= w.dtype.type(momentum)
    v -= u
    w += w.dtype.type(momentum) * v - u if nesterov else v


def exceeds(g: Float[Array, "..."], largest: float) -> bool:
    """Whether some |g| > largest, or is NaN"""
    return not bool((np.abs(g) <= largest).all())
