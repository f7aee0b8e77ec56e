"""Gradient check: the step that trains against the reference, and the reference against central differences.

    step:        |s - a| / max |a|             s the gradient of `train_step`, a the reference's, layer by layer
    difference:  |a - n| / max(|a| + |n|, floor)    n = (cost(w + h) - cost(w - h)) / 2h, entry by entry

The cost is the mean loss and the ridge term, whose gradient a step adds as it moves the weights (optimizers.py). The
step is the very one that training makes: compiled kernels, float32, shards and threads. The reference is plain NumPy in
float64 (kernels/reference.py). For the step it goes back through what the step's own way forward found, in double
precision, so that a unit that float32 rounds across its kink does not count as an error.

Each sampled difference is judged on its own: an average over entries hides a wrong one. A ReLU or a maximum may switch
between w - h and w + h; such an entry is measured again with smaller steps and, where the kink stays inside, is left
out, counted as such, and another one is taken. `floor` is what float64 can resolve of a difference of two losses. A
touch of noise is added to the images for the differences: in the blank parts of a picture all maps are even, so that
every maximum is a tie and every unit without a bias sits on its kink, where there is no gradient to compare.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Integer

from pellucid.data.html import text_tag
from pellucid.errors import PellucidError
from pellucid.learn.layers import Array, Parameters
from pellucid.learn.network import Network
from pellucid.learn.optimizers import Optimizer, ridge_term
from pellucid.learn.passes import Trace
from pellucid.learn.train_step import layer_stats, train_step
from pellucid.settings import TrainSettings

BAR = 1e-6  # largest relative error of one entry that is accepted, beside its central difference
STEP_BAR = 1e-4  # largest error of the step that trains, by the largest entry of its array: what float32 may round to
NOISE = 0.01  # deviation of the noise that parts ties, in model space
TRIES = 4  # times as many entries are tried as are wanted, to make up for those at kinks
SEED = (0,)  # of the random numbers of a dropout, the same in all that is compared
STEPS = (1e-5, 1e-6, 1e-7)  # differences in the parameter's own units, tried in turn until no kink lies between


@dataclass(frozen=True)
class GradientRow:
    """One parameter array (or "input").

    size: its entries; checked: those compared with central differences; kinks: those left out at a kink; worst: their
    largest relative error; measured, hand: the central difference and the hand-written gradient of the entry it is of
    (0 where none was compared); step: the largest error of the step that trains, of all entries, None for the input.
    """

    name: str
    size: int
    checked: int
    kinks: int
    worst: float
    measured: float
    hand: float
    step: float | None = None

    @property
    def passed(self) -> bool:
        """Whether every compared entry agrees."""
        return self.worst <= BAR and (self.step is None or self.step <= STEP_BAR)


@dataclass(frozen=True)
class GradientReport:
    """All rows, and the layers none of whose units was active for any of the images."""

    rows: tuple[GradientRow, ...]
    dead_layers: tuple[str, ...]

    @property
    def worst(self) -> float:
        """The largest relative error of all."""
        return max(row.worst for row in self.rows)

    @property
    def right(self) -> bool:
        """Whether every row passed."""
        return all(row.passed for row in self.rows)

    @property
    def passed(self) -> bool:
        """Whether every row passed and every layer answered: where one is dead, zeros were compared with zeros."""
        return self.right and not self.dead_layers

    @property
    def verdict(self) -> str:
        """What came out, in a sentence."""
        wrong = max(self.rows, key=lambda row: row.worst if row.worst == row.worst else math.inf)
        steps = {row.name: row.step for row in self.rows if row.step is not None}
        name, error = max(steps.items(), key=lambda item: item[1])
        if not wrong.worst <= BAR:
            return (
                f"The hand-written gradient of '{wrong.name}' is wrong: its relative error is {wrong.worst:.1e} over "
                f"{wrong.checked} entries, and {BAR:g} is the most allowed; mend the layer's backward pass."
            )
        if not self.right:
            return (
                f"The gradient of '{name}' that would be trained with is wrong: it is off by {error:.1e} of its "
                f"largest entry from the reference, and {STEP_BAR:g} is the most allowed; mend the kernel, or train "
                f"with PELLUCID_KERNELS=reference."
            )
        if self.dead_layers:
            first, *more = map(repr, self.dead_layers)
            beside = f" (and so {'are' if more[1:] else 'is'} {', '.join(more)})" if more else ""
            return (
                f"Layer {first} is dead for these images{beside}: none of its units answers, so all gradients up to it "
                f"are zero, right or not; draw other weights (another seed, or initialization 'he'), or take more "
                f"images."
            )
        return (
            f"Gradients are right: {sum(row.checked for row in self.rows)} entries of {len(self.rows)} arrays agree "
            f"with central differences to {wrong.worst:.0e} ({BAR:g} is allowed), and the step that trains with the "
            f"reference to {error:.0e} ({STEP_BAR:g} is allowed)."
        )

    @property
    def table(self) -> str:
        """A line for each array; "relative" and what was measured and hand-written are those of its worst entry."""
        heads = ("parameter", "entries", "compared", "at kinks", "measured", "hand-written", "relative", "of the step")
        lines = ["{:<16}{:>9}{:>10}{:>10}{:>14}{:>14}{:>10}{:>13}".format(*heads)]
        for row in self.rows:
            mark = "  NOT COMPARED" if row.checked == 0 else "" if row.passed else "  WRONG"
            mark = "  DEAD" if row.name.partition(".")[0] in self.dead_layers else mark
            step = "" if row.step is None else f"{row.step:.1e}"
            counts = f"{row.name:<16}{row.size:>9,}{row.checked:>10}{row.kinks:>10}"
            lines.append(f"{counts}{row.measured:>14.6e}{row.hand:>14.6e}{row.worst:>10.1e}{step:>13}{mark}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return text_tag(str(self))

    def __str__(self) -> str:
        return f"{self.table}\n{self.verdict}"


class GradientError(PellucidError):
    """A gradient check that failed; `report` is all that it found, and a traceback shows its table."""

    def __init__(self, sentence: str, report: GradientReport | None = None) -> None:
        super().__init__(sentence)
        self.report = report
        if report is not None:
            self.add_note(report.table)


def check_gradients(
    network: Network,
    images: Float[Array, "batch channel height width"],
    labels: Integer[Array, " batch"],
    *,
    samples: int = 12,
    seed: int = 0,
    ridge: float | None = None,
    smoothing: float | None = None,
) -> GradientReport:
    """Check the step of these images (in [0, 1]), and `samples` entries (at least 1) of every array's gradient.

    The cost has a ridge term of strength `ridge`, and labels smoothed by `smoothing`: the architecture's own, if these
    are not given.

    Raises GradientError, with its `report`, for the worst parameter, where an entry's relative error beside its central
    difference exceeds 1e-6, or the step's beside the reference 1e-4, and for a layer that is dead for these images;
    PellucidError where images or labels do not fit the network or the loss is not finite.
    """
    if samples < 1:
        raise PellucidError(f"{samples} entries were asked for; compare at least 1 of each array.")
    if len(images) == 0:
        raise PellucidError("No images were given to check the gradients with; give at least 1.")
    network.checked_labels(labels, len(images))
    ridge = float(network.recipe.get("ridge", 0.0)) if ridge is None else ridge
    smoothing = float(network.recipe.get("label_smoothing", 0.0)) if smoothing is None else smoothing
    TrainSettings.of(seed=seed, ridge=ridge, label_smoothing=smoothing)  # raises where one is out of range
    double = network.astype(np.float64)
    x = double.to_batch_last(double.checked(images))
    rng = np.random.default_rng(seed)
    x = x + NOISE * rng.standard_normal(x.shape)
    trace = double.forward(x, seed=SEED)
    losses, dlogits = double.loss_function.value_and_gradient(trace.output, labels, smoothing)
    if not np.isfinite(losses).all():
        raise PellucidError(f"Layer '{double.overflowing(images)}' gives NaN or infinity, so nothing can be checked.")
    errors = _step_errors(network, double, images, labels, ridge, smoothing)
    gradients, dx = double.backward(trace, dlogits / len(labels))
    gradients = _with_ridge(double, gradients, ridge / len(labels))
    rows = []
    for name, value in {**double.trained, "input": x}.items():
        hand = dx if name == "input" else gradients[name]
        assert hand is not None
        entries = rng.choice(value.size, min(TRIES * samples, value.size), replace=False)
        probe = _Probe(double, name, x, labels, trace, ridge, smoothing)
        rows.append(replace(_row(name, probe, hand, entries, samples), step=errors.get(name)))
    dead = layer_stats(trace.layers, trace.outputs)[1] == 1
    report = GradientReport(tuple(rows), tuple(np.array(trace.names)[dead].tolist()))
    if not report.passed:
        raise GradientError(report.verdict, report)
    return report


def _step_errors(
    network: Network, double: Network, images: Array, labels: Array, ridge: float, smoothing: float
) -> dict[str, float]:
    """By how much the step's gradients differ from the reference's, by the largest entry of each layer."""
    with np.errstate(over="ignore", invalid="ignore"):
        step = train_step(network, images, labels, seed=SEED, smoothing=smoothing)
        # From rest and at rate 1 a step's velocities are the gradients that it takes, ridge term and all, but negated.
        copies = {name: value.copy() for name, value in network.trained.items()}
        optimizer = Optimizer(TrainSettings(momentum=0, ridge=ridge), copies)
        optimizer.step(copies, step.gradients, 1.0, len(labels))
        (trace,) = network.forward_shards([network.to_batch_last(images)], SEED)
    dlogits = network.loss_function.value_and_gradient(trace.output.astype(np.float64), labels, smoothing)[1]
    straight, _ = double.backward(_doubled(trace), dlogits / len(labels), wanted="parameters")
    straight = _with_ridge(double, straight, ridge / len(labels))
    largest: dict[str, float] = {}  # of a layer: before a batch norm, the gradient of a bias is nothing but rounding
    for name, expected in straight.items():
        layer = name.partition(".")[0]
        largest[layer] = max(largest.get(layer, 0.0), float(np.abs(expected).max()))
    return {
        name: _largest_error(-optimizer.memory[f"velocity:{name}"], expected, largest[name.partition(".")[0]])
        for name, expected in straight.items()
    }


def _with_ridge(network: Network, gradients: Parameters, strength: float) -> Parameters:
    """The gradients of the cost from those of the mean loss: a weight's has strength w beside it, a bias's has not."""
    parameters = network.parameters
    return {name: g + strength * parameters[name] if g.ndim > 1 else g for name, g in gradients.items()}


def _doubled(trace: Trace) -> Trace:
    def doubled(found: Any) -> Any:
        if isinstance(found, tuple):
            return tuple(map(doubled, found))
        return found.astype(np.float64) if isinstance(found, Array) and found.dtype == np.float32 else found

    return replace(trace, outputs=list(map(doubled, trace.outputs)), caches=list(map(doubled, trace.caches)))


def _largest_error(found: Array, expected: Array, whole: float) -> float:
    """The largest difference as a share of `whole`; infinite for NaN, and for anything where nothing is expected."""
    error = float(np.abs(found - expected).max())
    if not math.isfinite(error) or (whole == 0 and error > 0):
        return math.inf
    return error / whole if whole > 0 else 0.0


class _Probe:
    """The cost as a function of one entry of one array, with the switches (signs and winners) that it passed."""

    def __init__(
        self, network: Network, name: str, x: Array, labels: Array, trace: Trace, ridge: float, smoothing: float
    ) -> None:
        given = {**network.parameters, "input": x}
        nudged = {name: given[name].copy()}  # so that nobody else's arrays are
        self.x, self.flat = (given | nudged)["input"], nudged[name].reshape(-1)
        self.nudged = {} if name == "input" else nudged
        self.network = network.with_parameters(network.parameters | self.nudged)
        self.labels, self.ridge, self.smoothing, self.switches = labels, ridge, smoothing, _switches(trace)

    def difference(self, entry: int, step: float) -> tuple[float, float, bool]:
        """(central difference, floor, whether no switch lies between)."""
        original = self.flat[entry]
        losses, smooth = [], True
        for sign in (1, -1):
            self.flat[entry] = original + sign * step
            trace = self.network.forward(self.x, seed=SEED)
            each, _ = self.network.loss_function.value_and_gradient(trace.output, self.labels, self.smoothing)
            losses.append(float(each.mean()) + ridge_term(self.nudged, self.ridge, len(self.labels)))
            smooth &= all(np.array_equal(a, b) for a, b in zip(_switches(trace), self.switches, strict=True))
        self.flat[entry] = original
        floor = 1e-15 * (1 + max(losses)) / step / BAR
        return (losses[0] - losses[1]) / (2 * step), floor, smooth


def _row(name: str, probe: _Probe, hand: Array, entries: Array, samples: int) -> GradientRow:
    """Compare entries in turn until `samples` are."""
    worst, checked, kinks = (0.0, 0.0, 0.0), 0, 0
    for entry in entries:
        found = _error(float(hand.reshape(-1)[entry]), probe, int(entry))
        if found is None:
            kinks += 1
        else:
            checked += 1
            worst = found if checked == 1 else max(worst, found, key=lambda one: one[0])
        if checked == samples:
            break
    return GradientRow(name, hand.size, checked, kinks, *worst)


def _error(hand: float, probe: _Probe, entry: int) -> tuple[float, float, float] | None:
    """(relative error, measured, hand) at the first step that stays clear of kinks and resolves it; None at a kink."""
    if not math.isfinite(hand):
        return math.inf, math.nan, hand
    best = None
    for step in STEPS:
        measured, floor, smooth = probe.difference(entry, step)
        if not smooth:
            continue
        error = abs(hand - measured) / max(abs(hand) + abs(measured), floor)
        best = (error, measured, hand) if best is None or error < best[0] else best
        if best[0] <= BAR:
            return best
    return best


def _switches(trace: Trace) -> list[Array]:
    """What makes the network piecewise: which units are active, and which pixel won each pool."""
    found = []
    for layer, cache, y in zip(trace.layers, trace.caches, trace.outputs, strict=True):
        if layer.kind == "pool" and cache[0] is not None:
            found.append(cache[0])
        elif getattr(layer, "activation", "") == "relu":
            found.append(y > 0)
    return found
