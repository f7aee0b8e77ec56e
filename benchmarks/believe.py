"""`python -m benchmarks.believe`: which way of making pictures is to be believed; writes docs/believe.md.

Classes and inner units of `efficientnet-lite0` are drawn by a seed. Every way makes a picture of each class, several
times from other seeds: do networks that had no part in it recognize the class (transfer)? And it explains each inner
unit by what excites it most and least: do these networks then tell strong images from weak ones (machine 2-AFC)?
Steps of all ways but the first are so many that a picture takes as many seconds of one thread as the first way's.
What is not installed is left out, and the page says so. The pictures of the first classes stand in one sheet, all of
them, whatever they look like.

DreamLens and Horama come without what they need (`pip install --no-deps dreamlens horama torch-lucent`); Horama's
spectrum is fetched from the network.
"""

import argparse
import math
import shlex
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import pellucid as pc
from benchmarks import peers
from benchmarks.__main__ import surroundings
from pellucid.data.scaling import byte_pixels
from pellucid.see.dataset.activations import answers
from pellucid.see.judge.judge import in_memory
from pellucid.see.judge.measures import high_share, recognized
from pellucid.see.models import wheels
from pellucid.see.models.base import Model
from pellucid.see.optimize.natural import COLORS
from pellucid.show.figures.axes import draw_image, draw_text, pixel_figure
from pellucid.show.style import GAP, LIGHT, MARGIN

EXPLAINED, JUDGES = "efficientnet-lite0", ("efficientnet-lite1", "efficientnet-lite2")
LUCID = {"image": "box-fourier", "colors": "decorrelated", "color_matrix": tuple(np.ravel(COLORS).tolist()),
         "optimizer": "adam", "learning_rate": 0.05, "noise": "fourier", "keep": "last", "jitter": 8, "zoom": 0.1,
         "rotate": 10, "pad": 16}  # fmt: skip
OURS = {
    "natural": {"image": "natural"},
    "natural, a band for each wave (MaCo)": {"image": "natural", "bands": "waves"},
    "sphere: whatever excites most": {"image": "sphere"},
    "Lucid's recipe, here": LUCID,
}
SHOWN, TIMED, TRIED = 8, 16, (2, 8)  # classes of the sheet; classes and steps from which seconds a step are told
TOP = """# Which pictures to believe

<!-- Written by `{command}`. -->

How much of a picture is the unit, and how much the way in which it was made? {classes} classes and {units} units of
`{layer}` of `{model}` were drawn by the seed {draw}; pictures have {side} pixels a side. Every way has as many seconds
of one thread a picture as the first has by its own defaults. Nothing was picked out. `{command}` writes this page.
"""
TRANSFER = """## Do other networks recognize the classes?

Shares of the classes that come first, and among the first five, and the mean probability, in the mean of {seeds}
seeds; a share's error over the classes is at most {error:.2f}. high: the share
of power above a quarter of Nyquist's frequency.
"""
INNER = """
![The first classes, uncurated](pictures/believe.jpg)

## Do they explain inner units?

Machine 2-AFC ([what that is](see.md#how-much-to-believe-a-picture)) by {judges}: {variants} pictures of what excites
each unit most, as many of what excites it least. robust: the answer under small shifts, scalings and turns over that to
the picture itself. Means over the units, and standard errors.

| explanation | 2-AFC | robust | high |
|---|---:|---:|---:|"""
Pictures = np.ndarray  # (picture, 3, height, width) in [0, 1]
Maker = Callable[[str, Sequence[int], bool, int, int | None], Pictures]
"""layer, units (a picture each), whether what excites least, seed, steps (None: as many as is usual) -> pictures"""


@dataclass
class Row:
    """What was found of one way; `missing`: why it was left out. Arrays have a number for each class, or unit."""

    name: str
    steps: int | None = None
    seconds: float = math.nan
    high: np.ndarray = field(default_factory=lambda: np.zeros(0))
    transfer: dict[str, np.ndarray] = field(default_factory=dict)
    inner: dict[str, tuple[float, float]] = field(default_factory=dict)
    missing: str = ""
    inner_seconds: float = math.nan


def main(words: Sequence[str] | None = None) -> int:
    """Run it all and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.believe", description=__doc__.splitlines()[0])
    sizes = {"classes": 50, "units": 100, "seeds": 3, "variants": 3, "side": 128, "images": 512, "draw": 20}
    for name, usual in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=usual, help=f"(default: {usual})")
    parser.add_argument("--layer", default="blocks.10", help="of the inner units (default: blocks.10)")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="folder of the page (default: docs)")
    chosen = parser.parse_args(words)
    torch.set_num_threads(1)
    model = pc.open_model(EXPLAINED, input_shape=(3, chosen.side, chosen.side))
    judges = [pc.open_model(name) for name in JUDGES]
    draw = np.random.default_rng(chosen.draw)
    classes = np.sort(draw.choice(model.class_count, chosen.classes, replace=False))
    units = np.sort(draw.choice(model.layer(chosen.layer).units, chosen.units, replace=False))
    rows, sheet = [], {}
    for name, make in makers(model).items():
        row = Row(name)
        rows.append(row)
        try:
            first = None if len(rows) == 1 else rows[0]
            if first is not None:
                row.steps = steps_for(make, "logits", classes[:TIMED].tolist(), first.seconds)
            sheet[name] = transfer(row, model, make, classes, chosen.seeds, judges)
            few = units[:TIMED].tolist()
            if first is None:
                row.inner_seconds = timed(lambda: make(chosen.layer, few, False, 0, None))[1] / len(few)  # noqa: B023
            steps = None if first is None else steps_for(make, chosen.layer, few, first.inner_seconds)
            row.inner = explain(model, make, steps, chosen, units, judges)
        except Exception as error:  # whatever a rival raises
            if len(rows) == 1:
                raise
            row.missing = f"{type(error).__name__}: {error}".splitlines()[0][:160]
        print(line(row), flush=True)
    command = shlex.join(["python", "-m", "benchmarks.believe", *(sys.argv[1:] if words is None else words)])
    write(chosen.out, page(rows, classes, chosen, command), contact_sheet(sheet, model, classes))
    return 0


def makers(model: Model) -> dict[str, Maker]:
    """Every way by its name; the first is the one whose seconds the others get."""
    found: dict[str, Maker] = {name: ours(model, settings) for name, settings in OURS.items()}
    return found | {"Lucent": lucent(model), "DreamLens' MaCo": dreamlens(model), "Horama's MaCo": horama(model)}


def ours(model: Model, settings: dict[str, Any]) -> Maker:
    """A way of `patterns`."""

    def make(layer: str, units: Sequence[int], least: bool, seed: int, steps: int | None) -> Pictures:
        asked = {**settings, "seed": seed, "extreme": "least" if least else "most", "snapshots": 0}
        asked |= {} if steps is None else {"steps": steps}
        found = pc.patterns(model, layer, units=list(units), progress=lambda done, total: None, **asked)
        return model.scaling.to_pixels(found.images)

    return make


def module_of(model: Model) -> nn.Module:
    """The network for images in [0, 1], as other libraries take it; its parts are called body.stem and so on."""

    class Scaled(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return (images - float(wheels.BYTES.mean)) / float(wheels.BYTES.deviation)

    body = wheels.described(EXPLAINED).model
    return nn.Sequential(OrderedDict(scale=Scaled(), body=body)).eval().requires_grad_(False)


def lucent(model: Model) -> Maker:
    """Lucent's images and transforms, all units in one batch."""
    side = model.input_shape[1]

    def make(layer: str, units: Sequence[int], least: bool, seed: int, steps: int | None) -> Pictures:
        library, module = peers.lucent(), module_of(model)
        torch.manual_seed(seed)
        name = f"body_{layer.replace('.', '_')}"
        goals = [library.objectives.channel(name, int(unit), batch=row) for row, unit in enumerate(units)]
        goal = library.objectives.Objective.sum(goals)
        with peers.own_hooks(module):
            images = library.render.render_vis(
                module, -1 * goal if least else goal, lambda: library.param.image(side, batch=len(units)),
                thresholds=(steps,), preprocess=False, progress=False, show_image=False, fixed_image_size=side,
            )  # fmt: skip
        return np.ascontiguousarray(np.moveaxis(images[-1], -1, 1), np.float32).clip(0, 1)

    return make


def dreamlens(model: Model) -> Maker:
    """DreamLens' MaCo with its own settings but for the size, one picture after the other."""
    side = model.input_shape[1]

    def make(layer: str, units: Sequence[int], least: bool, seed: int, steps: int | None) -> Pictures:
        from dreamlens import FeatureTarget, FeatureVisualizer, MacoConfig

        visualizer = FeatureVisualizer(module_of(model), quiet=True, normalize=False)
        config = MacoConfig(width=side, height=side, input_shape=(3, side, side), steps=steps or 256, crops=8)
        found = []
        for number, unit in enumerate(units):
            torch.manual_seed(seed * 1000 + number)
            np.random.seed(seed * 1000 + number)  # noqa: NPY002
            target = FeatureTarget.for_channel(f"body.{layer}", int(unit), sign=-1.0 if least else 1.0)
            found.append(np.asarray(visualizer.maco(target, config).image))
        return np.stack(found).astype(np.float32).clip(0, 1)

    return make


def horama(model: Model) -> Maker:
    """Horama's MaCo with its own settings but for the size, one picture after the other."""
    side = model.input_shape[1]

    def make(layer: str, units: Sequence[int], least: bool, seed: int, steps: int | None) -> Pictures:
        from horama import maco

        module, found = module_of(model), []
        seen: dict[str, torch.Tensor] = {}
        module.get_submodule(f"body.{layer}").register_forward_hook(lambda *given: seen.update(output=given[2]))

        def score(images: torch.Tensor, unit: int) -> torch.Tensor:
            module(images)
            return (-1 if least else 1) * seen["output"].flatten(2)[:, unit].mean()

        for number, unit in enumerate(map(int, units)):
            torch.manual_seed(seed * 1000 + number)
            options = {"image_size": side, "model_input_size": side, "values_range": (0.0, 1.0), "device": "cpu"}
            image, _ = maco(lambda images, unit=unit: score(images, unit), total_steps=steps or 1000, **options)
            found.append(image.detach().numpy())
        return np.stack(found).astype(np.float32).clip(0, 1)

    return make


def steps_for(make: Maker, layer: str, units: Sequence[int], seconds: float) -> int:
    """How many steps take so many seconds of one thread a picture."""
    few, more = (timed(lambda count=count: make(layer, units, False, 0, count))[1] / len(units) for count in TRIED)
    return max(1, round(TRIED[0] + (seconds - few) * (TRIED[1] - TRIED[0]) / max(more - few, 1e-6)))


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What some work gives, and the seconds of the processor that it took."""
    begin = time.process_time()
    return work(), time.process_time() - begin


def transfer(row: Row, model: Model, make: Maker, classes: np.ndarray, seeds: int, judges: Sequence[Model]) -> Pictures:
    """Fill in the row's seconds, high frequencies and what the judges recognize; the pictures of the first seed."""
    made = [timed(lambda seed=seed: make("logits", classes.tolist(), False, seed, row.steps)) for seed in range(seeds)]
    row.seconds = float(np.mean([seconds for _, seconds in made])) / len(classes)
    row.high = np.mean([high_share(pictures) for pictures, _ in made], axis=0)
    for judge in judges:
        said = [recognized(model, "logits", classes, in_memory(pictures), judge) for pictures, _ in made]
        ranks, shares = (np.stack([one[at] for one in said if one is not None]) for at in (0, 1))
        row.transfer |= {f"{judge.name} top-{k}": (ranks <= k).mean(0) for k in (1, 5)}
        row.transfer[f"{judge.name} p"] = shares.mean(0)
    return made[0][0]


def explain(
    model: Model, make: Maker, steps: int | None, chosen: argparse.Namespace, units: np.ndarray, judges: Sequence[Model]
) -> dict[str, tuple[float, float]]:
    """Means over the inner units, and their errors, of what `judge` says of the way's pictures."""
    jobs = np.repeat(units, chosen.variants)
    template = pc.patterns(model, chosen.layer, units=jobs, image="sphere", steps=1, candidates=1, snapshots=0)
    pair = []
    for least in (False, True):
        images = model.prepared(make(chosen.layer, jobs.tolist(), least, 0, steps)).numpy()
        values = answers(model, [chosen.layer], images)[chosen.layer][np.arange(len(jobs)), jobs]
        pair.append(replace(template, images=images, activations=values))
    asked = {"patterns": tuple(pair), "judges": list(judges), "images": chosen.images, "variants": chosen.variants}
    return pc.judge(model, chosen.layer, **asked).summary()


def line(row: Row) -> str:
    """The row in words, as it comes."""
    if row.missing:
        return f"{row.name}: left out ({row.missing})"
    seen = ", ".join(f"{name} {numbers.mean():.2f}" for name, numbers in row.transfer.items())
    return f"{row.name}: {row.seconds:.2f} s a picture; {seen}; 2-AFC {share(row.inner['afc'])}"


def share(pair: tuple[float, float]) -> str:
    """A mean and its error."""
    return f"{pair[0]:.3f} &pm; {pair[1]:.3f}"


def page(rows: Sequence[Row], classes: np.ndarray, chosen: argparse.Namespace, command: str) -> str:
    """The page, in Markdown."""
    there = [row for row in rows if not row.missing]
    heads = ["way", "steps", "s", *(name.replace("efficientnet-", "") for name in there[0].transfer), "high"]
    lines = [TOP.format(command=command, model=EXPLAINED, **vars(chosen))]
    lines += [TRANSFER.format(seeds=chosen.seeds, error=0.5 / math.sqrt(len(classes)))]
    lines += ["| " + " | ".join(heads) + " |", "|---" + "|---:" * (len(heads) - 1) + "|"]
    for row in there:
        cells = [row.name, "default" if row.steps is None else str(row.steps), f"{row.seconds:.2f}"]
        numbers = [*row.transfer.values(), row.high]
        lines.append("| " + " | ".join([*cells, *(f"{one.mean():.2f}" for one in numbers)]) + " |")
    lines += [INNER.format(judges=" and ".join(JUDGES), variants=chosen.variants)]
    ends = {"real images of the other half": "afc_real", "noise": "afc_noise"}
    lines += [f"| {name} | {share(there[0].inner[column])} | | |" for name, column in ends.items()]
    for row in there:
        lines.append(
            "| " + " | ".join([row.name, *(share(row.inner[name]) for name in ("afc", "robust", "high"))]) + " |"
        )
    lines += ["", *(f"{row.name} is left out: {row.missing}.\n" for row in rows if row.missing)]
    return "\n".join([*lines, *(f"- {key}: {value}" for key, value in surroundings().items())]) + "\n"


def contact_sheet(sheet: dict[str, Pictures], model: Model, classes: np.ndarray) -> Any:
    """A row of pictures for each way, a column for each of the first classes."""
    side, count = model.input_shape[1], min(SHOWN, len(classes))
    step, head = side + GAP, 22
    figure, axes = pixel_figure(2 * MARGIN + count * step - GAP, 2 * MARGIN + head + len(sheet) * (step + head))
    for at, number in enumerate(classes[:count].tolist()):
        word = model.classes[number].partition(",")[0]
        short = word if len(word) <= side // 6 else f"{word[: side // 6 - 1]}\N{HORIZONTAL ELLIPSIS}"
        draw_text(axes, short, MARGIN + at * step, MARGIN, size=8, colour=LIGHT.muted)
    for row, (name, pictures) in enumerate(sheet.items()):
        top = MARGIN + head + row * (step + head)
        draw_text(axes, name, MARGIN, top, size=11, colour=LIGHT.ink, serif=True)
        for at, picture in enumerate(byte_pixels(np.moveaxis(pictures[:count], 1, -1))):
            draw_image(axes, picture, MARGIN + at * step, top + head)
    return figure


def write(folder: Path, text: str, figure: Any) -> None:
    """The page and its picture."""
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    (folder / "believe.md").write_text(text, encoding="utf-8")
    figure.savefig(folder / "pictures" / "believe.jpg", dpi=125, pil_kwargs={"quality": 85})
    print(f"Wrote {folder / 'believe.md'} and {folder / 'pictures' / 'believe.jpg'}")


if __name__ == "__main__":
    sys.exit(main())
