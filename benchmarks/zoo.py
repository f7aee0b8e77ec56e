"""`python -m benchmarks.zoo`: some 200 architectures of six libraries, and whether a unit is what it is said to be.

examined: a case -> Result;  sweep: cases -> Results, one by one, in as many processes as there are cores

Each architecture is made with random weights at a small size, opened, and read. What every module really gives is found
without Pellucid (`zoo_truth.py`), image by image; the numbers of each unit have to be those that `Model.reading` gives
for it, wherever they stand: a layer that has as many rows as channels is caught too. Windows that a model folds into
its batch only have to come back to their own image. Counted are, for each architecture,

- known: modules whose own weights say which axis their units lie on;  wrong: those of them that are read otherwise;
- silent: modules that hold tensors and are neither listed nor named with a reason;  named: those with a reason, and
  unread: those of them whose axis is known, and whose output depends on the image (a table of positions' does not);
- blocks: modules that hand on what a known one gives or takes;  askew: those of them that are read otherwise;
- guessed: layers whose listing says that their axis is a guess;  touched: what was changed in the model by opening it.

`make zoo` sets up an environment of its own. `--only timm keras torchvision:swin_t` examines some.
"""

import argparse
import contextlib
import io
import json
import logging
import multiprocessing
import os
import sys
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")  # before any library imports Keras
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # weights are random, and nothing is to be fetched

import torch
from torch import Tensor, nn

import pellucid as pc
from benchmarks.zoo_models import LIBRARIES, Case, cases, made
from benchmarks.zoo_truth import Place, keras_places, torch_places
from pellucid.errors import PellucidError

TOLERANCE = 1e-3  # of a layer's largest number: batches of one and of two are rounded differently
APART = 16  # tokens that may stand apart from a layer's positions, such as the one of the class
RESULTS = Path(__file__).resolve().parent / "results"
Opener = Callable[..., Any]


@dataclass
class Fault:
    """A module that is not what the listing says, or is not in it; shapes without the batch's axis."""

    path: str
    kind: str
    output: tuple[int, ...] | None
    listed: tuple[int, ...] | None = None
    true: str = ""
    guessed: bool = False  # and so it is marked in the listing


@dataclass
class Result:
    """What became of one architecture.

    state: "opened", "refused" (by us, in a sentence), "broken" (by us, without one) or "not made" (by its own library).
    """

    library: str
    name: str
    size: int
    state: str = "opened"
    said: str = ""
    layers: int = 0
    known: int = 0
    wrong: list[Fault] = field(default_factory=list)
    silent: list[Fault] = field(default_factory=list)
    named: dict[str, str] = field(default_factory=dict)
    unread: list[Fault] = field(default_factory=list)
    blocks: int = 0
    askew: list[Fault] = field(default_factory=list)
    guessed: int = 0
    touched: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def bad(self) -> bool:
        """Whether it breaks a promise."""
        return bool(self.state == "broken" or self.wrong or self.silent or self.askew or self.touched)


def examined(case: Case, *, make: Callable[[Case], Any] = made, open_with: Opener = pc.open_model) -> Result:
    """One architecture, from its making to the last of its units."""
    result = Result(case.library, case.name, case.size)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            with timed(result, "made"):
                source = make(case)
        except Exception as error:  # noqa: BLE001 - whatever a foreign library raises
            result.state, result.said = "not made", f"{type(error).__name__}: {error}".splitlines()[0]
            return result
        try:
            judge(result, source, open_with)
        except Exception as error:  # noqa: BLE001 - the others are still to be examined
            refused = isinstance(error, PellucidError) and "opened" not in result.seconds
            result.state, result.said = ("refused", str(error)) if refused else ("broken", repr(error))
    return result


def judge(result: Result, source: Any, open_with: Opener) -> None:
    """Open a model and read all its layers; see what that changed in it, and hold what was read against the truth."""
    shape = tuple(getattr(source, "zoo_shape", (3, result.size, result.size)))
    settle(source, shape)
    before = state_of(source)
    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(1))
    try:
        with timed(result, "opened"):
            model = open_with(source, input_shape=shape, scaling="unit")
        with timed(result, "read"), model.reading([layer.name for layer in model.layers]) as read, torch.no_grad():
            outputs = {name: one.output for name, one in read(images).items()}
    finally:
        result.touched = [name for name, value in state_of(source).items() if not same(before.get(name), value)]
    compare(result, model, outputs, source, images)


@contextlib.contextmanager
def timed(result: Result, what: str) -> Iterator[None]:
    """Notes how many seconds the block took."""
    begun = time.perf_counter()
    yield
    result.seconds[what] = round(time.perf_counter() - begun, 3)


def compare(result: Result, model: Any, outputs: dict[str, Tensor], source: Any, images: Tensor) -> None:
    """Hold the numbers of each unit against those that its module gives, image by image."""
    names = {layer.name: layer for layer in model.layers}
    unlisted = dict(getattr(model, "unlisted", {}))
    result.layers, result.named = len(names), unlisted
    result.guessed = sum(bool(getattr(layer, "guessed", False)) for layer in model.layers)
    places_of = keras_places if is_keras(source) else torch_places
    first, second = (places_of(source, image[None]) for image in images)
    last = {place.path: place.run for place in first}
    again: dict[tuple[str, int], Place] = {}
    for one, other in zip(first, second, strict=True):
        name = one.path if one.run == last[one.path] else f"{one.path}:{one.run}"
        if name not in names or one.axis is None:
            continue
        why = why_wrong(one, other, outputs[name])
        if why is not None and not again:
            again = {(place.path, place.run): place for place in places_of(source, images[:1])}
        if why is not None and differs(one, again[one.path, one.run]) and names[name].units == units_of(one):
            why = None  # random in every forward, so that only its width can be known
        result.known, result.blocks = result.known + one.known, result.blocks + (not one.known)
        if why is not None:
            (result.wrong if one.known else result.askew).append(fault(one, names[name], why))
    result.unread = [
        fault(one, None, unlisted[one.path])
        for one, other in zip(first, second, strict=True)
        if one.known and one.path in unlisted and differs(one, other)
    ]
    result.silent = silent(source, first, {name.partition(":")[0] for name in names} | unlisted.keys())


def why_wrong(one: Place, other: Place, read: Tensor) -> str | None:
    """What a reading (image, unit, *position) of two images has that its module has not; None where they agree."""
    if one.axis is None or one.output is None or other.output is None:
        return None
    units = units_of(one)
    for place, found in zip((one, other), read, strict=True):
        assert place.output is not None
        wanted = place.output.movedim(one.axis, 0).flatten(1)
        given = found.flatten(1) if found.ndim > 1 else found[:, None]
        if len(given) != units:
            return f"{units} units on axis {one.axis}, not {len(given)}"
        if not 0 <= wanted.shape[1] - given.shape[1] <= APART:
            return f"{wanted.shape[1]} positions for one image, not {given.shape[1]}"
        if bool(wanted.isfinite().all()) and not within(given.to(wanted.dtype), wanted):
            return f"its {units} units lie on axis {one.axis}, other numbers are read"
    return None


def within(given: Tensor, wanted: Tensor) -> bool:
    """Whether each unit's numbers, in whatever order, are those wanted, some of which may stand apart."""
    bound = TOLERANCE * float(wanted.abs().max()) + 1e-12
    if given.shape == wanted.shape and bool((given - wanted).abs().max() <= bound):
        return True
    given, wanted = given.contiguous().sort(1).values, wanted.contiguous().sort(1).values
    if given.shape == wanted.shape:
        return bool((given - wanted).abs().max() <= bound)
    above = torch.searchsorted(wanted, given).clamp(max=wanted.shape[1] - 1)
    nearest = [(wanted.gather(1, at) - given).abs() for at in (above, (above - 1).clamp(min=0))]
    return bool(torch.minimum(*nearest).max() <= bound)


def units_of(place: Place) -> int:
    """How many units a place with a known axis has."""
    assert place.output is not None
    assert place.axis is not None
    return int(place.output.shape[place.axis])


def differs(one: Place, other: Place) -> bool:
    """Whether a module gave other numbers than in another forward: for another image, or by chance."""
    return one.output is not None and other.output is not None and not same(one.output, other.output)


def silent(source: Any, places: Sequence[Place], said: set[str]) -> list[Fault]:
    """The modules that hold tensors of their own and are in no listing; the model as a whole is in none."""
    if is_keras(source):
        given = {place.path: place for place in places}
        holding = [(p.path, p.kind) for p in given.values() if p.known]
    else:
        given = {place.path: place for place in places}
        holding = [
            (path, type(module).__name__)
            for path, module in source.named_modules()
            if path and any(True for _ in (*module.parameters(recurse=False), *module.buffers(recurse=False)))
        ]
    return [fault(given.get(path, Place(path, 1, kind, None)), None) for path, kind in holding if path not in said]


def fault(place: Place, listed: Any, true: str = "") -> Fault:
    """A place as what is written down of it, beside the layer that it is listed as, if it is."""
    output = None if place.output is None else tuple(place.output.shape)
    if not true:
        true = "never ran" if output is None else "no axis known" if place.axis is None else f"{units_of(place)} units"
    shape = None if listed is None else tuple(listed.shape)
    return Fault(place.path, place.kind, output, shape, true, bool(getattr(listed, "guessed", False)))


def is_keras(source: Any) -> bool:
    """Whether this is a model of Keras, which on PyTorch is a torch.nn.Module as well."""
    return type(source).__module__.startswith("keras.")


def settle(source: Any, shape: tuple[int, ...]) -> None:
    """Run a model once, for some add hooks and attributes of their own in their first forward."""
    places_of = keras_places if is_keras(source) else torch_places
    with contextlib.suppress(Exception):  # of a model that takes no images
        places_of(source, torch.zeros(1, *shape))


def state_of(source: Any) -> dict[str, Any]:
    """All of a model that opening and reading must leave as it was: weights, gradients, flags, hooks, attributes."""
    if not isinstance(source, nn.Module):
        return {}
    state: dict[str, Any] = {}
    for name, tensor in (*source.named_parameters(), *source.named_buffers()):
        state[name] = zlib.crc32(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy())
        state[f"{name}, flags"] = (tensor.requires_grad, tensor.grad is None, tensor.dtype, tensor.device)
    for path, module in source.named_modules():
        hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
        state[f"{path}, mode, hooks"] = (module.training, *[tuple(one) for one in hooks])
        state[f"{path}, attributes"] = tuple(sorted(vars(module)))
    state["the generator of random numbers"] = torch.get_rng_state()
    return state


def same(one: Any, other: Any) -> bool:
    """Whether two of a state's values are equal."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and bool(torch.equal(one, other))
    return type(one) is type(other) and bool(one == other)


def sweep(wanted: Sequence[Case], processes: int) -> Iterator[Result]:
    """The results in the order of the cases."""
    if processes < 2 or len(wanted) < 2:
        yield from map(alone, wanted)
        return
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawned) as pool:
        yield from pool.map(alone, wanted)


def alone(case: Case) -> Result:
    """One case on one thread, since each core has a process of its own."""
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)  # libraries say that weights are random, which is known
    return examined(case)


HEADER = ["layers", "known", "wrong", "silent", "named", "unread", "blocks", "askew", "guessed", "touched", "open"]


def line(result: Result) -> str:
    """One line of the table."""
    name = f"{result.library}:{result.name}@{result.size}"
    if result.state != "opened":
        return f"{'* ' if result.bad else '  '}{name:<48} {result.state}: {result.said}"
    one = result
    faults = (len(one.wrong), len(one.silent), len(one.named), len(one.unread), one.blocks, len(one.askew))
    cells = (one.layers, one.known, *faults, one.guessed, len(one.touched))
    shown = "".join(f"{cell:>8}" for cell in cells)
    return f"{'  ' if not one.bad else '* '}{name:<48}{shown}{one.seconds['opened']:>7.1f}s"


def summary(results: Sequence[Result]) -> str:
    """A line for each library, one for all, and the kinds of modules that are at fault."""
    lines = [f"{'library':<14}" + "".join(f"{word:>13}" for word in SUMMED)]
    for library in (*LIBRARIES, "all"):
        own = [one for one in results if library in (one.library, "all")]
        if own and (library != "all" or len({one.library for one in results}) > 1):
            lines.append(f"{library:<14}" + "".join(f"{count(own):>13}" for count in SUMMED.values()))
    for word in ("wrong", "silent", "unread", "askew"):
        kinds = Counter(f"{one.library} {found.kind}" for one in results for found in getattr(one, word))
        lines += [f"{word}: {kind}: {count}" for kind, count in kinds.most_common(12)]
    reasons = Counter(reason for one in results for reason in one.named.values())
    return "\n".join(lines + [f"named: {count} x {reason}" for reason, count in reasons.most_common(12)])


SUMMED: dict[str, Callable[[Sequence[Result]], int]] = {
    "tried": len,
    "not made": lambda own: sum(one.state == "not made" for one in own),
    "refused": lambda own: sum(one.state == "refused" for one in own),
    "broken": lambda own: sum(one.state == "broken" for one in own),
    "known": lambda own: sum(one.known for one in own),
    "wrong": lambda own: sum(len(one.wrong) for one in own),
    "models wrong": lambda own: sum(bool(one.wrong) for one in own),
    "silent": lambda own: sum(len(one.silent) for one in own),
    "named": lambda own: sum(len(one.named) for one in own),
    "unread": lambda own: sum(len(one.unread) for one in own),
    "blocks": lambda own: sum(one.blocks for one in own),
    "askew": lambda own: sum(len(one.askew) for one in own),
    "touched": lambda own: sum(bool(one.touched) for one in own),
}


def chosen(only: Sequence[str]) -> list[Case]:
    """The cases that the words name, as a library or as library:name; all of them for no words."""
    every = list(cases())
    if strangers := [word for word in only if not any(word in (case.library, str(case)) for case in every)]:
        raise SystemExit(
            f"There is no '{strangers[0]}'; choose from: {', '.join(LIBRARIES)}, or one architecture as timm:resnet10t."
        )
    return [case for case in every if not only or case.library in only or str(case) in only]


def main(words: Sequence[str] | None = None) -> int:
    """Sweep what the words name, print the table, keep it as JSON, and return 1 where a promise was not kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zoo", description="Are units what they are said to be?")
    parser.add_argument("--only", nargs="+", default=[], metavar="WHAT", help="libraries or single architectures (all)")
    parser.add_argument("--out", type=Path, default=RESULTS / "zoo.json", help="the JSON file (%(default)s)")
    asked = parser.parse_args(words)
    begun = time.perf_counter()
    print(f"{'architecture':<50}" + "".join(f"{word:>8}" for word in HEADER), flush=True)
    results = []
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    try:
        for result in sweep(chosen(asked.only), os.cpu_count() or 1):
            results.append(result)
            print(line(result), flush=True)
    finally:  # what was found until a process was killed
        asked.out.write_text(json.dumps([asdict(one) for one in results], indent=1) + "\n", encoding="utf-8")
    print(f"\n{summary(results)}\n{time.perf_counter() - begun:.0f} s; wrote {asked.out}")
    return int(any(one.bad for one in results))


if __name__ == "__main__":
    sys.exit(main())
