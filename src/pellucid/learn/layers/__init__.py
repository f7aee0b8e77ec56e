"""Layers: forward maps and their gradients, by hand; base.py says what a layer is."""

from pellucid.learn.layers.base import KINDS, MOST, Array, Batch, Layer, Parameters, Shape, Wanted
from pellucid.learn.layers.convolution import Conv
from pellucid.learn.layers.dense import Dense, Flatten, Groups
from pellucid.learn.layers.normalization import PARTS, STATISTICS, BatchNorm, Dropout
from pellucid.learn.layers.pooling import GlobalPool, Pool
from pellucid.learn.layers.residual import Residual, Sum, in_a_row

__all__ = [
    "Array", "KINDS", "MOST", "PARTS", "STATISTICS", "Batch", "BatchNorm", "Conv", "Dense", "Dropout",
    "Flatten", "GlobalPool", "Groups", "Layer", "Parameters", "Pool", "Residual", "Shape", "Sum", "Wanted",
    "in_a_row",
]  # fmt: skip
