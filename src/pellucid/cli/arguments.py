"""Arguments: values from the command line -> what the library takes.

Rooms are imported inside, so that `pellucid --help` does not wait for them.
"""

import inspect
import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pellucid.cli.app import app
from pellucid.errors import PellucidError
from pellucid.files import StrPath
from pellucid.settings import DataSettings, ModelSettings, NetworkSettings, Settings, SplitSettings

LARGEST_LIST = 2**22

if TYPE_CHECKING:
    import numpy as np

    from pellucid.data.splits import Data, Split
    from pellucid.learn.network import Network
    from pellucid.see.models.base import Model


def data_of(source: DataSettings, seed: int, network: "Network | None" = None) -> "Data":
    """The images that the options name; a word on stderr where they were split or sized as nobody asked for.

    network: one that there is already, to whose size pictures are brought.
    """
    from pellucid.data.load import load_data
    from pellucid.data.pictures import Pictures

    given = source.split if isinstance(source, SplitSettings) else None
    counts = None if given is None else _numbers("split", given, int, "train,dev,test")
    found = load_data(source.data, source.data_dir, seed, counts)
    if found.note:
        print(found.note, file=sys.stderr)
    if not isinstance(found.train.images, Pictures):
        return found
    if network is None:
        print(f"The pictures are read as {' x '.join(map(str, found.input_shape))}.", file=sys.stderr)
    return found if network is None else found.resized(network.image_shape)


def data_and_part(
    model: "Model", source: DataSettings, seed: int, split: str | None, usual: str
) -> "tuple[Data, Split, str]":
    """The images in the model's size, the split that is asked for by its name, and this name.

    It is `usual` where none is asked for, or all sizes are; but all of images in one piece, which were not split when a
    model of another library was trained.
    """
    from pellucid.see.dataset.fitting import data_for

    has_sizes = split is not None and "," in split
    counts = _numbers("split", split, int, "train,dev,test") if split is not None and has_sizes else None
    found = data_for(model, source.data, source.data_dir, seed, counts)
    name = usual if split is None or has_sizes else split
    if split is None and model.hand_written is None and found.note:
        name = "all"
    if found.note and name != "all":
        print(found.note, file=sys.stderr)
    return found, found.part(name), name


def initial_images(start: StrPath | None, model: "Model", data_dir: Path | None, seed: int) -> "np.ndarray | None":
    """Images (unit, channel, height, width) in model space; None for no start. The words are those of `images_of`."""
    if start is None:
        return None
    from pellucid.see.patterns.pattern_files import SUFFIXES, load_images

    if Path(start).suffix.lower() in SUFFIXES:
        return load_images(start, model)
    images: np.ndarray = model.prepared(images_of(str(start), model, data_dir, seed)).cpu().numpy()
    return images


def images_of(words: str, model: "Model", data_dir: Path | None, seed: int) -> "np.ndarray":
    """Images in [0, 1], (image, channel, height, width), of the size that the model takes.

    words: a picture, a file of patterns or pixels, DATA:SPLIT:NUMBER for one image of data, or DATA:average:CLASS for
    the mean of all images of data that the network is sure belong to the class.
    """
    import numpy as np

    from pellucid.data.photos import read_photo
    from pellucid.see.dataset.fitting import data_for
    from pellucid.see.patterns.pattern_files import SUFFIXES, read_images

    named = re.fullmatch(r"(.+):(average|train|dev|test|all):(\d{1,9})", words)
    if named and not os.path.exists(words):
        data, number = data_for(model, named[1], data_dir, seed), int(named[3])
        if named[2] == "average":
            return _mean_image(model, data, number)
        return np.asarray(data.part(named[2]).take([number]).images)
    if Path(words).suffix.lower() in SUFFIXES:
        images, are_pixels = read_images(words, model.input_shape)
        return images if are_pixels else model.scaling.to_pixels(images)
    image, note = model.read_picture(read_photo(words).over())
    if note:
        print(note)
    return image[None]


def _mean_image(model: "Model", data: "Data", number: int) -> "np.ndarray":
    from pellucid.see.dataset.class_means import average

    if number >= model.class_count:
        raise PellucidError(f"There is no class {number}; the network's are 0 to {model.class_count - 1}.")
    found = average(model, data.part("all"))
    if found.counts[number] == 0:
        raise PellucidError(f"No image of {data.name} is surely taken for class {number}; start from another image.")
    return found.images[number : number + 1]


def network_of(model: "str | Model") -> "Network":
    """The network of `learn` behind a name, a file or a Model; raises PellucidError for one of another library."""
    from pellucid.learn.network import hand_written
    from pellucid.see.models.open import open_model

    return hand_written(open_model(model))


def begun(given: str, source: DataSettings, how: NetworkSettings, seeds: Settings) -> "tuple[Network, Data, int]":
    """A network to train or check, its data and the seed of both: a new one of an architecture, or a saved one.

    Where no seed is given, it is that of the saved network, so that data are split as they were for it. Raises
    PellucidError for options that a saved network has no use for.
    """
    from pellucid.learn.build import network_for

    path, options = Path(given), given_options(how)
    is_saved = path.suffix == ".safetensors" or (os.path.exists(path) and path.suffix != ".toml")
    saved = network_of(given) if is_saved else None
    seed: int = given_options(seeds).get("seed", 0 if saved is None else saved.seed)
    data = data_of(source, seed, saved)
    if saved is None:
        return network_for(given, data, seed=seed, **options), data, seed
    if options:
        raise PellucidError(
            f"'{given}' is a network; leave out --{min(options).replace('_', '-')}, or give an architecture."
        )
    before = saved.provenance.get("data", data.name)
    if before != data.name:
        print(f"'{given}' was trained on {before!s:.80}, and these are {data.name}; give --data.", file=sys.stderr)
    return saved, data, seed


def model_of(model: str, how: ModelSettings) -> Any:
    """The model, opened with the options; its name alone, where there are none, for the library to open."""
    options = model_options(how)
    if not options:
        return model
    from pellucid.see.models.open import open_model

    return open_model(model, **options)


def other_of(path: str, model: str, how: ModelSettings) -> Any:
    """Another model, opened with the same options; where those name weights, the same one with this file of weights."""
    if how.weights is None:
        return model_of(path, how)
    return model_of(model, how.model_copy(update={"weights": path}))


def model_options(how: ModelSettings) -> dict[str, Any]:
    """The options that say how a model is opened, as `open_model` takes them."""
    from pellucid.files import read_bytes

    options = {name: value for name, value in given_options(how).items() if value is not None}
    if "input_shape" in options:
        options["input_shape"] = _numbers("input-shape", options["input_shape"], int, "channels,height,width")
    if "classes" in options:
        lines = read_bytes(options["classes"], "file of classes", LARGEST_LIST).decode("utf-8", "replace").splitlines()
        options["classes"] = [line.strip() for line in lines if line.strip()]
    if "directions" in options:
        options["directions"] = dict(pair.split("=", 1) for pair in options["directions"])
    if "scaling" in options and "," in options["scaling"]:
        numbers = _numbers("scaling", options["scaling"], float, "mean,deviation")
        if len(numbers) % 2:
            raise PellucidError(f"'--scaling' has {len(numbers)} numbers; need as many deviations as means.")
        half = len(numbers) // 2
        mean, deviation = (part[0] if half == 1 else list(part) for part in (numbers[:half], numbers[half:]))
        options["scaling"] = {"kind": "mean-deviation", "mean": mean, "deviation": deviation}
    return options


def _numbers(option: str, text: str, kind: type[int] | type[float], form: str) -> tuple[Any, ...]:
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        raise PellucidError(f"Option '--{option}' is '{text:.60}'; give {form} as numbers.") from None


def renamed(words: Sequence[str]) -> list[str]:
    """The words of a command line, with verbs and options of the last release under their names of today.

    Help does not show such options. Raises PellucidError for an option under both of its names.
    """
    if words and words[0] == "octaves":
        words = ["dream", *words[1:], "--method", "octaves"]
    if not words or words[0].startswith("-") or words[0] not in app:
        return list(words)
    former, split = former_options(words[0]), [word.partition("=") for word in words]
    options = {option for option, _, _ in split}
    for old in options & former.keys():
        if former[old] in options:
            raise PellucidError(f"Option '{old}' is now called '{former[old]}'; give it once, by that name.")
    return [former.get(option, option) + equals + value for option, equals, value in split]


def former_options(verb: str) -> dict[str, str]:
    """The options of a command in the last release -> those of today, for the settings that were renamed."""
    command = app[verb].default_command
    assert command is not None  # every verb has one
    parameters = inspect.signature(command).parameters
    groups = [type(parameter.default) for parameter in parameters.values() if isinstance(parameter.default, Settings)]
    today = {*parameters, *(name for group in groups for name in group.model_fields)}
    pairs = [pair for group in groups for pair in group.former().items()]
    return {f"--{old}": "--" + name.replace("_", "-") for old, name in pairs if old not in today}


def given_options(settings: Settings) -> dict[str, Any]:
    """The options that were given, without defaults."""
    return settings.model_dump(exclude_unset=True)


def command_of(words: Sequence[str], *groups: Settings, without: Sequence[str] = (), **options: Any) -> str:
    """The command line of these words, of the options that were given in the groups but for some, and further ones."""
    line = list(words)
    for name, value in [pair for group in groups for pair in given_options(group).items()] + [*options.items()]:
        option = name.replace("_", "-")
        if name in without:
            continue
        if isinstance(value, bool):
            line.append(f"--{option}" if value else f"--no-{option}")
        elif value is not None and value != ():
            line += [f"--{option}", *map(str, value if isinstance(value, tuple) else (value,))]
    return shlex.join(line)


def grid_of(words: Sequence[str]) -> dict[str, list[str]]:
    """The grid of `name=value,value` words; the library turns the values into numbers.

    >>> grid_of(["ridge=0.1,0.2", "seed=0"])
    {'ridge': ['0.1', '0.2'], 'seed': ['0']}
    """
    grid: dict[str, list[str]] = {}
    for word in words:
        name, equals, values = word.partition("=")
        if not (name and equals and all(values.split(","))):
            raise PellucidError(f"Cannot vary '{word}'; write it as ridge=0.01,0.1: a setting, and values with commas.")
        if name in grid:
            raise PellucidError(f"Setting '{name}' is varied twice; give all its values at once.")
        grid[name] = values.split(",")
    return grid
