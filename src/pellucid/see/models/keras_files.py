"""Keras files: .keras and .h5 -> keras.Model, without running anything that a file holds.

A Keras file describes layers by name, and some of them *are* code: a Lambda is marshalled Python, a wrapped module a
pickle. Keras' `safe_mode` refuses these; but its history of holes is long (CVE-2025-1550, -8747, -9905, -9906, -12058),
so a file is read here first, as plain JSON and HDF5, and Keras sees only what is built of its own layers, or of classes
that the person has registered already. Links inside an HDF5 file can point to any file of the machine, and are refused.
A damaged HDF5 file can crash the process that reads it, so a child process reads it first.
"""

import copy
import json
import math
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pellucid.errors import DAMAGE, PellucidError, refusing, shortened
from pellucid.files import StrPath, input_file, require_modest, too_large
from pellucid.see.models.keras_legacy import modern

LARGEST_FILE, LARGEST_CONFIG = 2**35, 2**26
LARGEST_ANSWER = 2**28  # numbers of a layer for one image
PARTS = ("metadata.json", "config.json", "model.weights.h5")
REHEARSAL = """
import contextlib, os, sys, zipfile
import h5py

with contextlib.suppress(ImportError):  # Windows has none
    import resource
    resource.setrlimit(resource.RLIMIT_CPU, (seconds := 5 + os.path.getsize(sys.argv[1]) // 10**6, seconds))

def look(name, thing):
    for key in thing.attrs:
        thing.attrs[key]
    if isinstance(thing, h5py.Dataset) and not thing.external and not thing.is_virtual and thing.nbytes < most:
        thing[()]

path = sys.argv[1]
most = min(2**30, max(10**8, 100 * os.path.getsize(path)))
if zipfile.is_zipfile(path):
    content = zipfile.ZipFile(path).open("model.weights.h5")
with h5py.File(content if zipfile.is_zipfile(path) else path, "r") as file:
    look("", file)
    file.visititems(look)
"""  # run by a child process before this process reads the file
CODE = {
    "Lambda": "a Lambda layer, which is code",
    "__lambda__": "a lambda function, which is code",
    "TorchModuleWrapper": "a wrapped PyTorch module, which is a pickle",
    "FlaxLayer": "a wrapped Flax module, which is a pickle",
    "JaxLayer": "a wrapped JAX function, which is a pickle",
    "TFSMLayer": "a TensorFlow SavedModel, which is code",
    "TFOpLambda": "an operation of TensorFlow, which Keras 3 cannot read",
    "SlicingOpLambda": "an operation of TensorFlow, which Keras 3 cannot read",
    "TensorFlowOpLayer": "an operation of TensorFlow, which Keras 3 cannot read",
    "StringLookup": "a StringLookup layer, which reads other files",
    "IntegerLookup": "an IntegerLookup layer, which reads other files",
    "TextVectorization": "a TextVectorization layer, which reads other files",
}
# Where the parts of a model are; not `keras.utils`, `keras.saving` or `keras.config`, whose functions do other things.
MODULES = ["activations", "constraints", "dtype_policies", "initializers", "layers", "losses", "metrics", "models",
           "ops", "optimizers", "quantizers", "random", "regularizers"]  # fmt: skip
_BACKENDS = re.compile(r"^backend\.\w+\.(?=optimizers\.)")  # each has optimizers of its own
CLASSES = ("Sequential", "Model", "Functional", "DTypePolicy", "FloatDTypePolicy", "Variable", "KerasTensor",
           "Function")  # fmt: skip
SAVE = "save it by model.save() of Keras 3"
BUILD = "make the model by a function, package.module:factory, and give the file as weights"


def load_model(keras: Any, path: StrPath) -> Any:
    """The model in a file; raises PellucidError for one that is missing, damaged, or holds code."""
    checked = input_file(path, "model", LARGEST_FILE)
    is_zipped = checked.suffix.lower() == ".keras"
    config, version = _zipped(checked) if is_zipped else _hdf5(checked)
    what = f"'{path}', saved by Keras {version}, is no model that Keras {keras.__version__} can open"
    with refusing(what, BUILD):
        config = modern(keras, config)
        _require_plain(checked, config)
        _require_affordable(keras, checked, config)
        model = keras.saving.deserialize_keras_object(config, safe_mode=True)
        if is_zipped:
            model.load_weights(checked)
        else:  # Keras' own door takes such a file for another kind by its name
            import h5py
            from keras.src.legacy.saving.legacy_h5_format import load_weights_from_hdf5_group

            with h5py.File(checked, "r") as file:
                load_weights_from_hdf5_group(file["model_weights"], model)
    return model


def load_weights(model: Any, path: StrPath) -> Any:
    """The model with the weights of an HDF5 file; raises PellucidError where there are none, or they do not fit."""
    if Path(path).suffix.lower() not in (".h5", ".hdf5"):
        raise PellucidError(f"The weights '{path}' are not for a Keras model; give a .weights.h5 or .h5 file.")
    checked = input_file(path, "file of weights", LARGEST_FILE)
    _hdf5(checked)
    with refusing(f"The weights '{path}' do not fit the Keras model", "give those of this very model"):
        model.load_weights(checked)
    return model


def _zipped(path: Path) -> tuple[Any, str]:
    """The JSON description in a .keras file, and the version of Keras; PellucidError where a part is refused."""
    with refusing(f"The Keras file '{path}' is damaged or something else", SAVE), zipfile.ZipFile(path) as held:
        names = [info.filename for info in held.infolist() if not info.is_dir()]
        strange = [name for name in names if name not in PARTS]
        if strange or "config.json" not in names:
            what = f"holds '{strange[0]:.80}'" if strange else "holds no 'config.json'"
            raise PellucidError(
                f"The Keras file '{path}' {what}, so it is no plain network; save it by model.save('x.keras')."
            )
        sizes = {info.filename: info.file_size for info in held.infolist()}
        require_modest("Keras file", path, path.stat().st_size, sum(sizes.values()))
        if sizes["config.json"] > LARGEST_CONFIG:
            raise too_large("Keras file", f"{path}: config.json", sizes["config.json"], LARGEST_CONFIG)
        if "model.weights.h5" in names:
            with held.open("model.weights.h5") as weights:
                _hdf5(path, weights)
        stated = json.loads(held.read("metadata.json")) if "metadata.json" in names else {}
        return json.loads(held.read("config.json")), shortened(stated.get("keras_version", 3), 20)


def _hdf5(path: Path, content: Any = None) -> tuple[Any, str]:
    """The description in an HDF5 file, or None, and the version of Keras; PellucidError for links that lead out."""
    try:
        import h5py
    except ImportError as error:
        raise PellucidError("Keras files need the package h5py; pip install 'pellucid[keras]'.") from error
    _require_survivable(path)
    with (
        refusing(f"The Keras file '{path}' is damaged or something else", SAVE),
        h5py.File(path if content is None else content, "r") as file,
    ):
        found, numbers = _leading_out(h5py, file)
        require_modest("Keras file", path, path.stat().st_size, numbers)
        if found is not None:
            raise PellucidError(f"The Keras file '{path}' has {found}; save the model once more, whole.")
        config, version = file.attrs.get("model_config"), file.attrs.get("keras_version", "1")
        return None if config is None else json.loads(config), shortened(os.fsdecode(version), 20)


def _require_survivable(path: Path) -> None:
    """Raise PellucidError where a child process that reads all of the file crashes, or is at it for too long.

    HDF5 is a library in C, which damaged files can crash: better another process than the person's. A file that it
    refuses in words is refused in words here, too, by whoever reads it next.
    """
    read = subprocess.run([sys.executable, "-I", "-c", REHEARSAL, str(path)], capture_output=True, check=False)
    if read.returncode not in (0, 1):
        raise PellucidError(
            f"The Keras file '{path}' is damaged: reading it crashed the library HDF5, in another process, or never "
            f"ended; save the model once more by model.save()."
        )


def _leading_out(h5py: Any, file: Any) -> tuple[str | None, int]:
    """The first link to another file, or data stored in one, or None; and how many bytes the data claim to have."""
    numbers = 0

    def judged(name: str, link: Any) -> str | None:
        nonlocal numbers
        if isinstance(link, h5py.ExternalLink):
            return f"'/{name:.80}', which is a link to another file"
        found = file[name] if isinstance(link, h5py.HardLink) else None
        if not isinstance(found, h5py.Dataset):
            return None
        if found.external or found.is_virtual:
            return f"'/{name:.80}', which lies in another file"
        numbers += found.nbytes
        return None

    return file.visititems_links(judged), numbers


def _require_plain(path: Path, config: Any) -> None:
    """Raise PellucidError for the first part of a description that is code, or names something that is no layer."""
    if not isinstance(config, Mapping):
        raise PellucidError(f"The Keras file '{path}' has weights but no description of a model; {BUILD}.")
    waiting: list[Any] = [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting.extend(part)
        elif isinstance(part, Mapping):
            waiting.extend(part.values())
            if "class_name" in part:
                _require_known(path, part)


def _require_affordable(keras: Any, path: Path, config: Any) -> None:
    """Raise PellucidError for a description of far more numbers than the file has; it is built without memory first."""
    numbers = 0
    with suppress(*DAMAGE), keras.device("meta"):  # what cannot be built is refused by whoever builds it next
        drawn = keras.saving.deserialize_keras_object(copy.deepcopy(config), safe_mode=True)
        answers = [math.prod(one.shape[1:]) for layer in drawn.layers for one in keras.tree.flatten(layer.output)]
        numbers = drawn.count_params() + sum(size for size in answers if size > LARGEST_ANSWER)
    require_modest("Keras file", path, path.stat().st_size, 4 * numbers)


def _require_known(path: Path, part: Mapping[str, Any]) -> None:
    import keras

    name, module, registered = (part.get(key) for key in ("class_name", "module", "registered_name"))
    if isinstance(name, str) and name.rpartition(">")[2] in CODE:
        raise PellucidError(
            f"The Keras file '{path}' holds {CODE[name.rpartition('>')[2]]}, so nothing of it was run; write the model "
            f"without it, or make it yourself and give the keras.Model."
        )
    if isinstance(registered, str) and keras.saving.get_registered_object(registered) is not None:
        return
    if module is None or (module == "builtins" and name in ("function", "dict", "tuple", "list", "int", "float")):
        return
    steps = _BACKENDS.sub("", str(module).removeprefix("keras.src.").removeprefix("keras.")).split(".")
    if str(module).split(".")[0] == "keras" and (steps[0] in MODULES or (steps == ["keras"] and name in CLASSES)):
        return
    own = vars(sys.modules.get(str(module), keras)).get(str(name)) if steps[0] == "applications" else None
    if isinstance(own, type) and issubclass(own, keras.layers.Layer):  # ConvNeXt's scales; networks are functions there
        return
    raise PellucidError(
        f"The Keras file '{path}' names '{module!s:.80}.{name!s:.80}', which is no part of Keras' networks, so it was "
        f"not imported; if it is yours, register it by keras.saving.register_keras_serializable first."
    )
