"""Older descriptions of Keras models: what a file says of its layers -> the same as Keras 3 says it today.

Keras 3 stops at what has changed since Keras 2, or passes it over: a Sequential was a list, its first layer had the
shape of the input, names could have "/", layers were known by other names and had arguments that are gone. What only
training needs (initializers, regularizers, constraints) is left out.
"""

import json
import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

MODULES = {"Sequential": "keras", "Model": "keras"} | dict.fromkeys(
    ("LayerScale", "StochasticDepth"), "keras.src.applications.convnext"
)
RENAMED = {"Functional": "Model", "ThresholdedReLU": "ReLU"} | dict.fromkeys(
    ("BatchNormalizationV1", "BatchNormalizationV2", "SyncBatchNormalization"), "BatchNormalization"
)
GONE = {"groups": 1, "noise_shape": None} | dict.fromkeys(
    ("dynamic", "ragged", "softmax_robust_masking", "sparse", "time_major"), False
)
"""Arguments that some layers no longer have -> the value at which they do nothing."""
UNUSED = ("batch_input_shape", "trainable", "rng_type", "query_shape", "key_shape", "value_shape")
SINGLE = ("axis", "input_layers", "output_layers")  # which were lists, even of one
OPERATIONS = "keras.src.ops.numpy"
TRAINING = ("_initializer", "_regularizer", "_constraint")


def modern(keras: Any, config: Any) -> Any:
    """The description of a model as Keras 3 writes it; parts that are not Keras' own stay as they are."""
    text = json.dumps(config)
    for name in set(re.findall(r'"name": ("[^"]*/[^"]*")', text)):
        text = text.replace(name, name.replace("/", "_"))
    return _modern(keras, json.loads(text))


def _modern(keras: Any, part: Any) -> Any:
    if isinstance(part, list):
        return [_modern(keras, each) for each in part]
    if not isinstance(part, Mapping):
        return part
    shape = _input_shape(part)
    part = {key: _modern(keras, each) for key, each in part.items()}
    name, config = RENAMED.get(str(part.get("class_name")), part.get("class_name")), part.get("config")
    if name == "Policy":  # of precision
        return config["name"]
    is_layer = isinstance(name, str) and isinstance(getattr(keras.layers, name, None), type)
    nodes = part.get("inbound_nodes") or [None]
    several = isinstance(nodes[0], Mapping) and len(nodes[0].get("args", ())) > 1
    if several and "module" not in part and hasattr(import_module(OPERATIONS), str(name)):  # x + y, not the layer Add
        return {**part, "module": OPERATIONS, "registered_name": None}
    is_foreign = not re.match(r"(tf_)?keras\b(?!.*\bops\b)", str(part.get("module", "keras")))
    if is_foreign or not (is_layer or name in MODULES):
        return part
    config = _arguments({"name": None, "layers": config} if isinstance(config, list) else config)
    if name == "Sequential" and shape:
        first = {"class_name": "InputLayer", "module": "keras.layers", "config": {"batch_shape": shape}}
        config["layers"] = [first, *(layer for layer in config["layers"] if layer["class_name"] != "InputLayer")]
    elif name == "InputLayer":
        config["batch_shape"] = shape
    named = {"class_name": name, "module": MODULES.get(str(name), "keras.layers"), "registered_name": None}
    return {**part, **named, "config": config}


def _input_shape(part: Mapping[str, Any]) -> Any:
    """The shape that a layer says it takes, or the first of its own layers does; None where neither does."""
    config = part.get("config")
    layers = config.get("layers") if isinstance(config, Mapping) else config
    if isinstance(layers, list) and layers and isinstance(layers[0], Mapping):
        return _input_shape(layers[0])
    return config.get("batch_shape", config.get("batch_input_shape")) if isinstance(config, Mapping) else None


def _arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in config.items() if key not in UNUSED and not key.endswith(TRAINING)}
    kept = {key: value for key, value in kept.items() if key not in GONE or value != GONE[key]}
    if "theta" in kept:
        kept["threshold"] = kept.pop("theta")
    alone = {key: kept[key][0] for key in SINGLE if isinstance(kept.get(key), list) and len(kept[key]) == 1}
    return {**kept, **alone}
