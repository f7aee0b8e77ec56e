"""Factories: "package.module:factory" -> a person's own model; a module, a file of weights -> the module with these.

Naming a module is asking for its code to run, as `python -m` does; the current folder counts. A file of weights never
runs anything: safetensors, or a state dict that PyTorch reads with `weights_only`, which refuses all other pickles.
"""

import importlib
import os
import pickle
import re
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present
from torch.nn.parameter import is_lazy

from pellucid.errors import DAMAGE, PellucidError, refusing, shortened, summary, unknown
from pellucid.files import StrPath, input_file, require_modest

NAMED = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)")
TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")
LARGEST_FILE = 2**36
_USUAL = ("", "state_dict", "model_state_dict", "model")  # where a state dict lies in its file
DEEPEST = 5  # mappings inside each other


def is_named(source: str) -> bool:
    """Whether this is the name of a factory, and of no file."""
    return NAMED.fullmatch(source) is not None and not os.path.exists(source)


def made(source: str, folder: StrPath = ".") -> Any:
    """What the factory "package.module:factory" returns; if the name is that of a model, the model itself.

    folder: where its module is looked for before the installed packages.

    Raises PellucidError for a module or a factory that does not exist (with the nearest), and for one that fails.
    """
    matched = NAMED.fullmatch(source)
    if matched is None:
        raise PellucidError(f"'{source}' names no factory; write package.module:factory.")
    path, names = matched.groups()
    with importing_from(folder):
        found: Any = _imported(path)
        for name in names.split("."):
            if not hasattr(found, name):
                there = [entry for entry, value in vars(found).items() if entry[0] != "_" and callable(value)]
                raise unknown(f"factory in '{path}' called", name, there)
            found = getattr(found, name)
        if not callable(found) or isinstance(found, nn.Module):
            return found
        return called(found, source)


def called(factory: Callable[[], Any], source: str) -> Any:
    """What a factory, or a class, makes; raises PellucidError where it fails."""
    try:
        with warnings.catch_warnings():  # PyTorch's own, of itself, as it opens an archive of torch.export
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
            return factory()
    except (Exception, SystemExit) as error:  # whatever a person's own code raises
        raise PellucidError(
            f"The factory '{source}' failed with {type(error).__name__}: {summary(error)}; let it make the model "
            f"without arguments."
        ) from error


def loaded(module: nn.Module, path: StrPath) -> nn.Module:
    """The module with the weights of a file, every one of them: .safetensors, or .pt, .pth, .bin, .ckpt.

    Raises PellucidError for another suffix, a file that is missing, damaged, or a pickle of more than tensors, and for
    weights that do not fit the module.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".safetensors", *TORCH_SUFFIXES):
        raise PellucidError(
            f"The weights '{path}' are of no known kind; give a .safetensors file, or a state dict as .pt or .pth."
        )
    checked = input_file(path, "file of weights", LARGEST_FILE)
    if suffix == ".safetensors":
        with refusing(f"The weights '{path}' are no whole safetensors file", "save them once more", SafetensorError):
            held: Any = load_file(checked)
    else:
        held = unpickled(checked)
    found, wanted = _tensors_in(held), module.state_dict()
    for tensors in found.values():
        _strip(tensors, wanted)
    fitting = {name: one for name, one in found.items() if not wanted.keys().isdisjoint(one)} or found
    usual = [name for name in _USUAL if name in fitting]
    if len(fitting) != 1 and not usual:
        what = f"state dicts by the names {', '.join(fitting)}" if fitting else f"{type(held).__name__}"
        raise PellucidError(
            f"The weights '{path}' hold {what} and not names with tensors; save module.state_dict() alone."
        )
    _fill(module, fitting[usual[0] if usual else next(iter(fitting))], checked)
    return module


def _strip(tensors: dict[str, Any], wanted: Mapping[str, Any]) -> None:
    """Take off the prefix that all names have in common ("module.", "_orig_mod.", "model.") until they are known."""
    while tensors and not any(name in wanted for name in tensors):
        prefixes = {name.partition(".")[0] if "." in name else "" for name in tensors}
        if len(prefixes) > 1 or prefixes == {""}:
            return
        consume_prefix_in_state_dict_if_present(tensors, f"{prefixes.pop()}.")


def _imported(path: str) -> Any:
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        missing = error.name if error.name is not None else path
        if path == missing or path.startswith(f"{missing}."):
            raise PellucidError(
                f"There is no Python module '{missing}' here or among the installed packages; "
                f"run this in the folder that holds it, or install it."
            ) from error
        raise PellucidError(f"The module '{path}' needs '{missing}', which is not installed; install it.") from error
    except (Exception, SystemExit) as error:  # whatever a person's own code raises
        raise PellucidError(
            f"The module '{path}' cannot be imported: {type(error).__name__}: {summary(error)}; mend it first."
        ) from error


@contextmanager
def importing_from(folder: StrPath) -> Iterator[None]:
    """Inside the block, this folder is first on `sys.path`, as the current one is for `python -m`."""
    here = os.path.abspath(folder)
    sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(here)


def unpickled(path: Path) -> Any:
    """What a file of `torch.save` holds, if that is tensors and plain values alone; nothing in the file is run."""
    with suppress(*DAMAGE), zipfile.ZipFile(path) as archive:
        unpacked = sum(info.file_size for info in archive.infolist())
        require_modest("file of weights", path, path.stat().st_size, unpacked)
    try:
        with refusing(f"The weights '{path}' are no whole state dict", "save them once more"):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # whose advice, to load it anyway, is left out
        named = re.search(r"GLOBAL ([\w.]{1,80})", str(error))
        asked = f" (it names '{named[1]}')" if named else ""
        raise PellucidError(
            f"The weights '{path}' are a pickle that asks for more than tensors{asked}, so nothing of it "
            f"was run; save the state dict alone: torch.save(module.state_dict(), ...)."
        ) from error
    except PellucidError as error:
        raise archive_refused(path) or error from error.__cause__


def archive_refused(path: Path) -> PellucidError | None:
    """The sentence for TorchScript and for torch.export's archives, which hold code; None for other files."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except DAMAGE:
        return None
    if any("/code/" in name for name in names):
        return PellucidError(
            f"The file '{path}' is TorchScript, whose layers take no hooks; give a function that makes the module, "
            f"package.module:factory, and as its weights the file that this writes: "
            f"torch.save(torch.jit.load('{path}').state_dict(), 'weights.pt')."
        )
    if any(name.endswith("archive_format") or "/models/" in name for name in names):
        return PellucidError(
            f"The file '{path}' is an archive of torch.export, which PyTorch reads by pickle and by evaluating its "
            f"text, so it can run code; if you trust it, give a function, package.module:factory, that returns "
            f"torch.export.unflatten(torch.export.load('{path}'))."
        )
    return None


def _tensors_in(held: Any, name: str = "", depth: int = 0) -> dict[str, dict[str, Any]]:
    """The state dicts among nested mappings, by name, as training scripts keep them beside other things."""
    if not isinstance(held, Mapping) or not held or depth > DEEPEST:
        return {}
    if all(isinstance(value, Tensor) or str(key).endswith("_extra_state") for key, value in held.items()):
        tensors = held if isinstance(held, dict) else dict(held)
        return {name: tensors} if all(isinstance(key, str) for key in held) else {}
    inner = [_tensors_in(value, str(key), depth + 1) for key, value in held.items()]
    return {key: one for found in inner for key, one in found.items()}


def _fill(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load the weights as strictly as PyTorch itself does; raises PellucidError for the first that does not fit.

    A .safetensors file holds tensors that share their memory once, as `safetensors.torch.save_model` writes them.
    """
    wanted = module.state_dict()
    for name, value in wanted.items():
        if name in tensors and isinstance(value, Tensor) and not is_lazy(value) and value.shape != tensors[name].shape:
            raise PellucidError(
                f"The weights '{path}' have '{name}' of shape {tuple(tensors[name].shape)}, but the module's is of "
                f"{tuple(value.shape)}; give those of this very module."
            )
    with refusing(f"The weights '{path}' do not fit the module", "give those of this very module"):
        found = module.load_state_dict(tensors, strict=False)
    missing, strange = found.missing_keys, found.unexpected_keys
    if path.suffix.lower() == ".safetensors":
        given = {wanted[name].data_ptr() for name in tensors if name in wanted}
        missing = [name for name in missing if wanted[name].data_ptr() not in given]
    if missing:
        beside = f", but '{shortened(strange[0])}', which the module has not" if strange else ""
        raise PellucidError(
            f"The weights '{path}' lack '{missing[0]}'{beside}; give those of this very module "
            f"({len(missing)} of {len(wanted)} are missing)."
        )
    if strange:
        raise unknown(f"weight of the module, as '{path}' has it, called", strange[0], wanted)
