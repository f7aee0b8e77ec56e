"""Initializations: text, a parameter's name and shape -> numbers to start from.

he              N(0, sqrt(2 / fan_in)), for ReLU (He et al. 2015, "Delving deep into rectifiers")
xavier          N(0, sqrt(2 / (fan_in + fan_out))), for tanh and sigmoid (Glorot & Bengio 2010)
xavier-uniform  evenly from -a to a, a = sqrt(6 / (fan_in + fan_out)): of the same deviation
normal:s        N(0, s)
uniform:c       evenly from -c / sqrt(fan_in) to c / sqrt(fan_in)

fan_in is the number of inputs that one unit sees, fan_out that of the units that see one input; the first three with a
number behind, he:0.1, are as many times as wide. A second number is the value of all biases, which else are 0:
normal:0.5:0.15. One text holds for all layers, or each kind of layer has its own, conv=normal:0.5/dense=normal:0.1;
"logits" is the last layer, and what no kind is named for holds for all others: he/logits=he:0.1.
"""

import math

import numpy as np

from pellucid.errors import PellucidError, unknown
from pellucid.learn.layers import Array

CALM = "he/logits=he:0.1"
"""He's, but for the logits: from his they are so large that the first loss is up to four times that of guessing."""

NAMED = ("he", "xavier", "xavier-uniform")  # initializations that need no number

Rule = tuple[str, float, float]  # a name, its number, and the biases' value


def parse(text: str) -> dict[str, Rule]:
    """The rule of each kind of layer, "" for all others; raises PellucidError for text that is none."""
    rules = {"": ("he", 1.0, 0.0)}
    for part in text.split("/"):
        kind, _, rule = part.rpartition("=")
        if kind not in ("", "conv", "dense", "logits"):
            raise unknown("kind of layer in an initialization", kind, ("conv", "dense", "logits"))
        rules[kind] = _rule(rule)
    return rules


def draw(text: str, name: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """The parameter of that name ("conv1.weight"), weights as (units, ...) with a unit's inputs behind; float32.

    A batch norm begins as the identity: factors and variances of 1, the rest 0.
    """
    rules, kind = parse(text), name.partition(".")[0].rstrip("0123456789")
    kinds = (kind, "dense", "") if kind == "logits" else (kind, "")
    rule, scale, bias = next(rules[each] for each in kinds if each in rules)
    if kind == "norm":
        return np.full(shape, name.endswith((".weight", ".variance")), np.float32)
    if len(shape) == 1:
        return np.full(shape, bias, np.float32)
    fan_in, fan_out = math.prod(shape[1:]), shape[0] * math.prod(shape[2:])
    if rule.endswith("uniform"):
        bound = scale / math.sqrt(fan_in if rule == "uniform" else (fan_in + fan_out) / 6)
        return rng.uniform(-bound, bound, shape).astype(np.float32)
    squares = {"he": 2 / fan_in, "xavier": 2 / (fan_in + fan_out), "normal": 1.0}
    return (rng.standard_normal(shape) * (scale * math.sqrt(squares[rule]))).astype(np.float32)


def _rule(text: str) -> Rule:
    name, *numbers = text.split(":")
    if name not in (*NAMED, "normal", "uniform"):
        raise unknown("initialization", text, (*NAMED, "normal:0.5", "uniform:1"))
    try:
        scale, bias, *more = [*map(float, numbers), *([1.0, 0.0] if name in NAMED and not numbers else [0.0])]
    except ValueError:
        scale, bias, more = math.nan, 0.0, []
    if not 0 < scale < math.inf or not math.isfinite(bias) or len(more) > 1:
        raise PellucidError(
            f"Initialization '{text}' needs a positive number after the colon, such as '{name}:0.5', and perhaps the "
            f"biases' value after another, '{name}:0.5:0.1'."
        )
    return name, scale, bias
