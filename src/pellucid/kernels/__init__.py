"""Kernels: arrays in, arrays out; the only room with compiled code and with threads that compute.

Every kernel takes float32 or float64, with the batch last. For float32 it is compiled (by Numba, when it is first
called, and kept on disk); for float64, and with PELLUCID_KERNELS=reference for all, it runs in plain NumPy, as it is
written in reference.py, where the formula of each is to be read. Other rooms import from here, and from no file inside.
What is not asked for is not imported: Numba takes a while.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pellucid.kernels.convolution import convolve as convolve
    from pellucid.kernels.convolution import convolve_input_gradient as convolve_input_gradient
    from pellucid.kernels.convolution import convolve_weight_gradient as convolve_weight_gradient
    from pellucid.kernels.dense import dense_forward as dense_forward
    from pellucid.kernels.dense import dense_gradients as dense_gradients
    from pellucid.kernels.pool_backward import pooled_input_gradient as pooled_input_gradient
    from pellucid.kernels.pooling import average_pool as average_pool
    from pellucid.kernels.pooling import average_pool_gradient as average_pool_gradient
    from pellucid.kernels.pooling import max_pool as max_pool
    from pellucid.kernels.pooling import max_pool_gradient as max_pool_gradient
    from pellucid.kernels.pooling import relu_gradient as relu_gradient
    from pellucid.kernels.reference import PoolGradient as PoolGradient
    from pellucid.kernels.reference import cross_entropy as cross_entropy
    from pellucid.kernels.reference import relu as relu
    from pellucid.kernels.reference import sigmoid as sigmoid
    from pellucid.kernels.reference import sigmoid_gradient as sigmoid_gradient
    from pellucid.kernels.reference import softmax as softmax
    from pellucid.kernels.standardize import standardize_features as standardize_features
    from pellucid.kernels.standardize import standardize_images as standardize_images
    from pellucid.kernels.threads import run_in_order as run_in_order
    from pellucid.kernels.threads import shards as shards
    from pellucid.kernels.threads import single_threaded_blas as single_threaded_blas
    from pellucid.kernels.threads import thread_count as thread_count
    from pellucid.kernels.update import exceeds as exceeds
    from pellucid.kernels.update import update_parameter as update_parameter

# Each file and what it gives; a test holds it against the imports above, which checkers read.
_FILES = {
    "convolution": ("convolve", "convolve_input_gradient", "convolve_weight_gradient"),
    "dense": ("dense_forward", "dense_gradients"),
    "pool_backward": ("pooled_input_gradient",),
    "pooling": ("average_pool", "average_pool_gradient", "max_pool", "max_pool_gradient", "relu_gradient"),
    "reference": ("PoolGradient", "cross_entropy", "relu", "sigmoid", "sigmoid_gradient", "softmax"),
    "standardize": ("standardize_features", "standardize_images"),
    "threads": ("run_in_order", "shards", "single_threaded_blas", "thread_count"),
    "update": ("exceeds", "update_parameter"),
}
_HOMES = {name: file for file, names in _FILES.items() for name in names}

__all__ = [*_HOMES]  # noqa: PLE0604 (they are strings)


if not TYPE_CHECKING:  # a checker that saw this would believe in every name

    def __getattr__(name):
        """The kernel of that name, imported from its file; AttributeError for a name that this room lacks."""
        if name not in _HOMES:
            raise AttributeError(f"module 'pellucid.kernels' has no attribute '{name}'")
        value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        return value
