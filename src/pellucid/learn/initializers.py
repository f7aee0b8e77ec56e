"""Initializations: a weight's shape -> random numbers to start from; biases start at zero.

he:        N(0, sqrt(2 / fan_in)), for ReLU (He et al. 2015, "Delving deep into rectifiers")
normal:s   N(0, s), the same for every layer
uniform:c  evenly from -c / sqrt(fan_in) to c / sqrt(fan_in)

fan_in is the number of inputs that one unit sees.
"""

import math

import numpy as np

from pellucid.errors import PellucidError, unknown

Array = np.ndarray


def parse(text: str) -> tuple[str, float]:
    """'he', 'normal:0.5' or 'uniform:1' as a name and a number; raises PellucidError for anything else."""
    name, _, number = text.partition(":")
    if name not in ("he", "normal", "uniform"):
        raise unknown("initialization", text, ("he", "normal:0.5", "uniform:1"))
    if name == "he":
        return name, 1.0
    try:
        scale = float(number)
    except ValueError:
        scale = math.nan
    if not 0 < scale < math.inf:
        raise PellucidError(f"Initialization '{text}' needs a positive number after the colon, such as '{name}:0.5'.")
    return name, scale


def draw(text: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Weights of this shape, (units, ...) with one unit's inputs in the further axes; float32."""
    name, scale = parse(text)
    fan_in = math.prod(shape[1:])
    if name == "uniform":
        bound = scale / math.sqrt(fan_in)
        return rng.uniform(-bound, bound, shape).astype(np.float32)
    deviation = math.sqrt(2 / fan_in) if name == "he" else scale
    return (rng.standard_normal(shape) * deviation).astype(np.float32)
