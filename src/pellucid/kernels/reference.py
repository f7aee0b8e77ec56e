"""Reference: every kernel in plain NumPy, in the order of its formula. To be read: this is all that training computes.

images (channel, height, width, batch) or features (feature, batch), float32 or float64 -> the same, of the same type

The compiled kernels give the same numbers but for rounding, and tests compare them one by one. What runs here: all
float64 arrays (a gradient check needs them), and everything where PELLUCID_KERNELS=reference. Letters: w weights,
b biases, x what a layer takes, z = w x + b, y = activation(z) what it gives, dx the gradient of the loss for x.
"""

import inspect
from collections.abc import Sequence
from functools import reduce

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


# Convolutions: products of a filter with places of an image -----------------------------------------------------------
def convolve(
    x: Images, w: Filters, b: Bias, rectify: bool = False, border: Size = (0, 0), out: Size | None = None,
    stride: Size = (1, 1), dilation: Size = (1, 1),
) -> Maps:  # fmt: skip
    """y[o, r, s] = b[o] + sum over c, i, j of w[o, c, i, j] x[c, r v + i d - top, s v' + j d' - left]

    x is zero outside of the image; border: (top, left); out: (height, width) of y, if not all that fits without one;
    stride: (v, v'); dilation: (d, d'). Rectified, y is 0 where it would be less.
    """
    _, _, kh, kw = w.shape
    out = fitting_places(x.shape[1:3], (kh, kw), stride, dilation) if out is None else out
    y = np.broadcast_to(b[:, None, None, None], (len(w), *out, x.shape[3])).copy()
    around = with_zeros_around(x, border, reach(out, (kh, kw), stride, dilation))
    for i, j in np.ndindex(kh, kw):
        y += np.tensordot(w[:, :, i, j], around[:, *tap_places((i, j), out, stride, dilation)], axes=1)
    return np.maximum(y, 0) if rectify else y


def convolve_weight_gradient(
    x: Images, dy: Maps, window: Size, border: Size = (0, 0), stride: Size = (1, 1), dilation: Size = (1, 1)
) -> Filters:
    """dw[o, c, i, j] = sum over r, s, n of dy[o, r, s, n] x[c, r v + i d - top, s v' + j d' - left, n]

    window: (kh, kw)
    """
    out = dy.shape[1:3]
    dw = np.empty((len(dy), len(x), *window), x.dtype)
    around = with_zeros_around(x, border, reach(out, window, stride, dilation))
    for i, j in np.ndindex(window):
        places = around[:, *tap_places((i, j), out, stride, dilation)]
        dw[:, :, i, j] = np.tensordot(dy, places, axes=((1, 2, 3), (1, 2, 3)))
    return dw


def convolve_input_gradient(
    dy: Maps, w: Filters, size: Size, border: Size = (0, 0), stride: Size = (1, 1), dilation: Size = (1, 1)
) -> Images:
    """dx[c, p, q] = sum of w[o, c, i, j] dy[o, r, s] over o and all r v + i d - top = p, s v' + j d' - left = q

    size: (height, width) of x
    """
    (_, channels, kh, kw), out, (top, left) = w.shape, dy.shape[1:3], border
    down, across = reach(out, (kh, kw), stride, dilation)
    rows, columns = max(down, top + size[0]), max(across, left + size[1])
    dx = np.zeros((channels, rows, columns, dy.shape[3]), dy.dtype)
    for i, j in np.ndindex(kh, kw):
        dx[:, *tap_places((i, j), out, stride, dilation)] += np.tensordot(w[:, :, i, j].T, dy, axes=1)
    return np.ascontiguousarray(dx[:, top : top + size[0], left : left + size[1]])


def fitting_places(size: Size, window: Size, stride: Size = (1, 1), dilation: Size = (1, 1)) -> Size:
    """How many windows fit into an image of this size, down and across: floor((size - d (k - 1) - 1) / v) + 1"""
    down, across = ((n - d * (k - 1) - 1) // v + 1 for n, k, v, d in zip(size, window, stride, dilation, strict=True))
    return down, across


def reach(out: Size, window: Size, stride: Size, dilation: Size) -> tuple[int, int]:
    """The pixels, down and across, that so many windows cover."""
    down, across = ((n - 1) * v + d * (k - 1) + 1 for n, k, v, d in zip(out, window, stride, dilation, strict=True))
    return down, across


def tap_places(tap: Size, out: Size, stride: Size, dilation: Size = (1, 1)) -> tuple[slice, slice]:
    """The pixels that one tap of a window falls on, window by window."""
    down, across = (
        slice(i * d, i * d + (n - 1) * v + 1, v) for i, n, v, d in zip(tap, out, stride, dilation, strict=True)
    )
    return down, across


def with_zeros_around(x: Images, border: Size, size: Size) -> Array:
    """x in a larger image of zeros, `border` from its top and left; what does not fit is left out."""
    wide = np.zeros((x.shape[0], *size, x.shape[3]), x.dtype)
    height, width = (min(a, b - c) for a, b, c in zip(x.shape[1:3], size, border, strict=True))
    wide[:, border[0] : border[0] + height, border[1] : border[1] + width] = x[:, :height, :width]
    return wide


# Pools: one number of every window, `size` (height, width) pixels large, `stride` pixels from the one before ----------
def windows(x: Images, size: Size, stride: Size) -> Float[Array, "channel rows columns pixel batch"]:
    """The pixels of each window, row by row; what is left over at the bottom and at the right is in none."""
    out = fitting_places(x.shape[1:3], size, stride)
    return np.stack([x[:, *tap_places(tap, out, stride)] for tap in np.ndindex(size)], axis=3)


def max_pool(x: Images, size: Size, stride: Size) -> tuple[Pooled, Winner]:
    """y = the largest pixel of each window, and which one that is: the first of equal ones, and NaN before all."""
    pixels = windows(x, size, stride)
    winner = pixels.argmax(axis=3)
    return np.take_along_axis(pixels, winner[:, :, :, None], axis=3)[:, :, :, 0], winner.astype(np.uint8)


def max_pool_gradient(dy: Pooled, winner: Winner, size: Size, stride: Size, shape: Size) -> Images:
    """dx = the sum of dy over all windows that the pixel has won;  shape: (height, width) of x"""
    dx = np.zeros((len(dy), *shape, dy.shape[3]), dy.dtype)
    for number, tap in enumerate(np.ndindex(size)):
        dx[:, *tap_places(tap, dy.shape[1:3], stride)] += np.where(winner == number, dy, 0)
    return dx


def average_pool(x: Images, size: Size, stride: Size) -> Pooled:
    """y = the mean of each window's pixels"""
    return np.ascontiguousarray(windows(x, size, stride).mean(axis=3))


def average_pool_gradient(dy: Pooled, size: Size, stride: Size, shape: Size) -> Images:
    """dx = the sum of dy / (pixels of a window) over all windows that the pixel is in;  shape: (height, width) of x"""
    dx = np.zeros((len(dy), *shape, dy.shape[3]), dy.dtype)
    for tap in np.ndindex(size):
        dx[:, *tap_places(tap, dy.shape[1:3], stride)] += dy / (size[0] * size[1])
    return dx


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


def leaky_relu(z: Float[Array, "..."], slope: float = 0.01) -> Float[Array, "..."]:
    """y = z where z > 0, else slope z"""
    return np.where(z > 0, z, z.dtype.type(slope) * z)


def leaky_relu_gradient(y: Float[Array, "*shape"], dy: Float[Array, "*shape"], slope: float = 0.01) -> Array:
    """dz = dy where y > 0, else slope dy"""
    return np.where(y > 0, dy, dy.dtype.type(slope) * dy)


def tanh_gradient(y: Float[Array, "*shape"], dy: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """dz = dy (1 - y^2), of y = tanh(z)"""
    return dy * (1 - y * y)


def gelu(z: Float[Array, "..."]) -> Float[Array, "..."]:
    """y = z F(z), F the normal distribution function"""
    from scipy.special import ndtr  # here, as few networks need it, and it takes a while

    return z * ndtr(z)


def gelu_gradient(z: Float[Array, "*shape"], dy: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """dz = dy (F(z) + z f(z)), f = F' = exp(-z^2 / 2) / sqrt(2 pi)"""
    from scipy.special import ndtr

    return dy * (ndtr(z) + z * np.exp(-z * z / 2) * z.dtype.type(0.3989422804014327))


# Batch normalization: each unit by its mean and variance, over all images of the batch and all positions --------------
def batch_sums(x: Units | Images) -> Float[Array, "2 unit"]:
    """(the sum of x, the sum of (x - mean)^2) of each unit, over these images; sums of parts add by `joined_sums`"""
    flat = x.reshape(len(x), -1)
    total = flat.sum(axis=1, dtype=np.float64)
    return np.stack(
        [total, np.square(flat - (total / flat.shape[1])[:, None].astype(x.dtype)).sum(1, dtype=np.float64)]
    )


def joined_sums(parts: Sequence[Array], counts: Sequence[int]) -> tuple[Array, Array, int]:
    """mean, variance, count of all: squares around a part's own mean m add n (m - mean)^2, n its count"""
    count = sum(counts)
    mean = reduce(np.add, (part[0] for part in parts)) / count
    squares = [part[1] + n * np.square(part[0] / n - mean) for part, n in zip(parts, counts, strict=True)]
    return mean, reduce(np.add, squares) / count, count


def normalize(x: Array, mean: Array, variance: Array, w: Bias, b: Bias, least: float) -> tuple[Array, Array]:
    """y = w h + b, h = (x - mean) / sqrt(variance + least);  (y, h)"""
    along = (-1, *[1] * (x.ndim - 1))
    scale = (1 / np.sqrt(variance + least)).astype(x.dtype)
    h = (x - mean.astype(x.dtype).reshape(along)) * scale.reshape(along)
    return w.reshape(along) * h + b.reshape(along), h


def normalize_sums(h: Array, dy: Array) -> Float[Array, "2 unit"]:
    """(db, dw): the sums of dy and of dy h over these images and all positions"""
    flat, weight = dy.reshape(len(dy), -1), h.reshape(len(h), -1)
    return np.stack([flat.sum(axis=1), np.einsum("un,un->u", flat, weight)])


def normalize_gradient(h: Array, dy: Array, sums: Array, count: int, variance: Array, w: Bias, least: float) -> Array:
    """dx = w / sqrt(variance + least) (dy - db / count - h dw / count), (db, dw) = `sums` of the whole batch

    Where mean and variance are given numbers, not the batch's own, nothing goes back through them: sums of zero.
    """
    along = (-1, *[1] * (h.ndim - 1))
    scale = (w / np.sqrt(variance + least)).astype(h.dtype).reshape(along)
    db, dw = (sums / count).astype(h.dtype)
    return scale * (dy - db.reshape(along) - h * dw.reshape(along))


# Losses: what the logits z of the classes are worth, in nats ----------------------------------------------------------
@np.errstate(over="ignore", invalid="ignore")
def softmax(z: Logits) -> Logits:
    """p[k] = exp(z[k] - m) / sum over l of exp(z[l] - m), with m the largest z, so that nothing overflows"""
    p = np.exp(z - z.max(axis=0))
    return p / reduce(np.add, p)  # class by class, so that an image comes out the same alone and in any company


@np.errstate(over="ignore", invalid="ignore")
def cross_entropy(z: Logits, labels: Labels, smoothing: float = 0.0) -> tuple[Losses, Logits]:
    """loss = -log p[label] = log(sum over k of exp(z[k] - m)) - (z[label] - m), p = softmax(z);  dz = p - onehot(label)

    From the logits, and not from p, so that nothing has to be added to avoid log 0; p[label] - 1 is minus the sum of
    the others, for by itself it is mere rounding where a network is sure. Smoothed, a share of the truth is spread
    evenly over all K classes: q = (1 - smoothing) onehot(label) + smoothing / K,

    loss = -sum over k of q[k] log p[k];  dz = p - q
    """
    image, shifted = np.arange(len(labels)), z - z.max(axis=0)
    losses = np.log(np.exp(shifted).sum(axis=0)) - shifted[labels, image]
    dz = softmax(z)
    dz[labels, image] = 0
    dz[labels, image] = -reduce(np.add, dz)
    if smoothing > 0:
        losses += smoothing * (shifted[labels, image] - shifted.mean(axis=0))
        dz[labels, image] += smoothing
        dz -= smoothing / len(z)
    return losses, dz


def sigmoid_cross_entropy(z: Logits, labels: Labels, smoothing: float = 0.0) -> tuple[Losses, Logits]:
    """loss = -log(s[label] / sum over k of s[k]), s = sigmoid(z): cross_entropy(log s);  dz = (1 - s) d(log s)"""
    losses, d_log = cross_entropy(-np.logaddexp(0, -z), labels, smoothing)
    return losses, d_log * sigmoid(-z)


def log_loss(z: Logits, labels: Labels, smoothing: float = 0.0) -> tuple[Losses, Logits]:
    """loss = -log s[label] - sum over other k of log(1 - s[k]), s = sigmoid(z);  dz = s - onehot(label)

    With u = z, but u[label] = -z[label], that is the sum over k of log(1 + exp(u[k])), and |dz| = sigmoid(u). Smoothed,
    the truth of each class is 1 - smoothing / 2 or smoothing / 2: log(1 + exp(u)) - smoothing / 2 u, and so on.
    """
    sign = np.where(np.arange(len(z))[:, None] == labels, z.dtype.type(-1), z.dtype.type(1))
    u, half = sign * z, z.dtype.type(smoothing / 2)
    return (np.logaddexp(0, u) - half * u).sum(axis=0), sign * (sigmoid(u) - half)


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
    w: Float[Array, "*shape"], g: Float[Array, "*shape"], v: Float[Array, "*shape"] | None, rate: float,
    momentum: float = 0.0, decay: float = 0.0, factor: float = 1.0, nesterov: bool = False,
) -> None:  # fmt: skip
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


def update_by_adam(
    w: Float[Array, "*shape"], g: Float[Array, "*shape"], v: Float[Array, "*shape"], s: Float[Array, "*shape"],
    rate: float, step: int, momentum: float = 0.9, decay: float = 0.0, factor: float = 1.0, weight_decay: float = 0.0,
    beta: float = 0.999, least: float = 1e-8,
) -> None:  # fmt: skip
    """h = factor g + decay w, and then, in place, in the `step`-th step from 1,

    v = momentum v + (1 - momentum) h;  s = beta s + (1 - beta) h^2, the moving averages, which begin at 0, and so
    w = w - rate weight_decay w - rate v' / (sqrt(s') + least), v' = v / (1 - momentum^step), s' = s / (1 - beta^step)
    """
    real = w.dtype.type
    h = real(factor) * g + real(decay) * w
    v += real(1 - momentum) * (h - v)
    s += real(1 - beta) * (h * h - s)
    w -= real(rate * weight_decay) * w
    w -= real(rate / (1 - momentum**step)) * v / (np.sqrt(s / real(1 - beta**step)) + real(least))


def exceeds(g: Float[Array, "..."], largest: float) -> bool:
    """Whether some |g| > largest, or is NaN"""
    return not bool((np.abs(g) <= largest).all())


def source_of(name: str) -> str:
    """The code of one of these functions, for pages that quote it."""
    return inspect.getsource(globals()[name])
