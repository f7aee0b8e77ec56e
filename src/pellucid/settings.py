"""Settings: every knob once, with its default, its range and one line of words.

knob: (default, words, range) -> a field that becomes a keyword of the front door, an option of the command line
(with its range in `--help`), a slider of the studio, and the sentence that refuses a value out of range.

`of(**values)` is how the library builds settings; it raises `PellucidError`, never pydantic's own error.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pellucid.errors import PellucidError, unknown


def field(
    default: Any,
    words: str,
    *,
    was: str | None = None,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
) -> Any:
    """A settings field; the range is appended to the words, so that help and documents state it.

    was: the name that the field had in the last release, which is still taken; see `Settings.renamed`.
    ge, gt, le, lt: the limits of a number, as pydantic spells them (>=, >, <=, <).
    """
    low = f"at least {ge:g}" if ge is not None else f"above {gt:g}" if gt is not None else ""
    high = f"at most {le:g}" if le is not None else f"below {lt:g}" if lt is not None else ""
    limits = ", ".join(part for part in (low, high) if part)
    described = f"{words} ({limits})" if limits else words
    return Field(default, description=described, ge=ge, gt=gt, le=le, lt=lt, json_schema_extra={"was": was})


class Settings(BaseModel):
    """A frozen group of knobs; unknown names and values out of range are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def of(cls, defaults: Mapping[str, Any] | None = None, /, **values: Any) -> Self:
        """Settings from keywords over an optional mapping of defaults.

        Names of the last release are taken, too. Raises PellucidError for an unknown keyword (with the nearest names),
        one that is given by its old name and its new one, or a value out of range.
        """
        merged = {**cls.renamed(defaults or {}), **cls.renamed(values)}
        for name in merged:
            if name not in cls.model_fields:
                raise unknown("setting", name, cls.model_fields)
        try:
            return cls(**merged)
        except ValidationError as error:
            raise PellucidError(sentence(error)) from None

    @classmethod
    def former(cls) -> dict[str, str]:
        """The names of the last release -> those of today, for the fields that were renamed."""
        extras = {name: info.json_schema_extra for name, info in cls.model_fields.items()}
        return {str(extra["was"]): name for name, extra in extras.items() if isinstance(extra, dict) and extra["was"]}

    @classmethod
    def renamed(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """The same values under the names of today; raises PellucidError for a value under both of its names.

        For keywords, and for files written by the last release; the command line reads `former` itself.
        """
        former = cls.former()
        for old in values.keys() & former.keys():
            if former[old] in values:
                raise PellucidError(f"Setting '{old}' is now called '{former[old]}'; give it once, by that name.")
        return {former.get(name, name): value for name, value in values.items()}


def sentence(error: ValidationError) -> str:
    """The first complaint of a pydantic error as one sentence: setting, value, and what is allowed."""
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Input ").removeprefix("Value error, ")
    return f"Setting '{name}' is {first['input']!r}, but it {message}."


class OptimizationSettings(Settings):
    """How a network is trained; architectures bring their own defaults."""

    epochs: int = field(1, "how many times every training image is seen", ge=0, le=10_000)
    batch: int = field(128, "images per step; the last batch of an epoch may be smaller", ge=1, le=65_536)
    optimizer: Literal["sgd", "momentum", "nesterov"] = field("momentum", "the rule that turns gradients into steps")
    learning_rate: float = field(0.05, "learning rate, on the loss averaged over a batch", was="rate", gt=0, le=100)
    momentum: float = field(0.9, "share of the last step that is kept", ge=0, lt=1)
    schedule: Literal["constant", "linear", "inverse", "exponential", "cosine"] = field(
        "cosine",
        "how the rate falls: not, rate - decay t, rate / (1 + decay t), rate exp(-decay t), or a half cosine to zero",
    )
    decay: float = field(0.0, "decay per epoch of the linear, inverse and exponential schedules", ge=0)
    learning_rates: tuple[Annotated[float, Field(gt=0, le=100)], ...] = field(
        (), "a rate for each epoch in turn, the last one for all further ones; overrides rate and schedule", was="rates"
    )
    warmup: int = field(0, "steps over which the rate rises from nearly zero to its full size", ge=0)
    clip: float = field(0.0, "longest gradient, all parameters together; a longer one is cut to it, 0 for none", ge=0)
    ridge: float = field(0.0, "ridge term lambda of the L2 penalty on weights", ge=0)
    shift: int = field(0, "augmentation: shift each image by up to this many pixels", ge=0, le=16)
    seed: int = field(0, "seed of the shuffling and the augmentation", ge=0)
    ema: float = field(0.99, "share of the past in the moving average of the loss", was="alpha", ge=0, lt=1)

    @classmethod
    def of(cls, defaults: Mapping[str, Any] | None = None, /, **values: Any) -> Self:
        """As for all settings; but a given rate or schedule puts aside the `learning_rates` of the defaults."""
        defaults, values = cls.renamed(defaults or {}), cls.renamed(values)
        if values.keys() & {"learning_rate", "schedule", "decay"}:
            defaults.pop("learning_rates", None)
        return super().of(defaults, **values)


class TrainSettings(OptimizationSettings):
    """How one network is trained: its course, what is checked and judged, where its state is kept."""

    check: bool = field(True, "check the hand-written gradients before the first step")
    test: bool = field(False, "judge the test images after every epoch, too, and not only the dev images")
    checkpoint: Path | None = field(None, "file that keeps the state of the training, to go on after an interruption")
    resume: bool = field(False, "go on from the checkpoint, where there is one")
    checkpoint_batches: int = field(0, "batches between two checkpoints; 0 to go by the seconds", ge=0)
    checkpoint_seconds: float = field(30, "seconds between two checkpoints; 0 to go by the batches", ge=0)

    def course(self) -> dict[str, Any]:
        """The settings that determine what is learnt and recorded, as JSON can hold them: not where it is kept."""
        beside = {"check", "checkpoint", "resume", "checkpoint_batches", "checkpoint_seconds"}
        return self.model_dump(mode="json", exclude=beside)


class CallbackSettings(Settings):
    """What is kept of a training beside the network, and how it is watched."""

    live: Path | None = field(None, "a picture redrawn while it trains: curves, and an image in every layer (.png)")
    live_batches: int = field(50, "batches from one such picture, or one entry in TensorBoard's log, to the next", ge=1)
    tensorboard: Path | None = field(None, "folder for TensorBoard's log, which needs the package tensorboard")
    curves: Path | None = field(None, "figure of the curves, once it is over: .png, .pdf or .svg")
    history: Path | None = field(None, "file for the numbers of every batch and epoch: .json or .csv")
    tables: Path | None = field(None, "folder for weights and biases, one CSV table a layer")


class FeatureSettings(Settings):
    """How distances to the centres of clusters become what a network learns from."""

    normalization: Literal["centres", "images", "whitened"] = field(
        "whitened", "of the distances: each by itself, each image over all centres first, or these decorrelated"
    )
    copies: int = field(2, "shifted versions of each training image whose distances are learnt as well", ge=0, le=100)


class ClusterSettings(FeatureSettings):
    """How images become their distances to the centres of clusters."""

    clusters: int = field(70, "centres to learn the distances to; in a study, 0 for the pixels", ge=0, le=10_000)


class ScanSettings(Settings):
    """Which numbers of clusters are tried, and how they are judged."""

    counts: tuple[Annotated[int, Field(ge=2, le=10_000)], ...] = field(
        tuple(range(10, 171, 10)), "numbers of clusters that are tried"
    )
    sample: int = field(5000, "images over which a silhouette is taken; it is quadratic in them", ge=2, le=5000)


class PatternSettings(Settings):
    """How the pattern of a unit is found."""

    preset: Literal["none", "mlp-deep"] = field(
        "none", "defaults of a published method instead of ours; what is given beside it comes first"
    )
    ascent: Literal["power", "normalized", "adam", "gradient"] = field(
        "power", "the rule uphill: annealed power ascent, classic normalized steps, Adam, or the bare gradient"
    )
    steps: int = field(30, "steps uphill", ge=1, le=100_000)
    initial_step_size: float = field(
        100.0, "power ascent: weight of the gradient against the image at the first step", was="first", gt=0
    )
    final_step_size: float = field(
        0.1, "power ascent: the same at the last step; it falls geometrically", was="last", gt=0
    )
    momentum: float = field(0.3, "power ascent: share of the last direction in the next one", was="average", ge=0, lt=1)
    learning_rate: float | None = field(
        None,
        "length of a step of the other rules; normalized 0.01, adam 0.05, gradient 0.1 where none is given",
        was="rate",
        gt=0,
    )
    tolerance: float = field(
        0.0, "stop an image whose activation changes by less than this share of it; 0 never", ge=0, lt=1
    )
    patience: int = field(5, "in how many successive steps it has to", ge=1, le=1000)
    keep: Literal["best", "last"] = field(
        "best", "which image of an ascent is the pattern: that of the highest value on the way, or the last one"
    )
    restarts: int = field(1, "starts of each unit, the best pattern of which is kept", was="tries", ge=1, le=100)
    image: Literal["sphere", "box", "fourier", "box-fourier", "maco"] = field(
        "sphere",
        "what is ascended: standardized pixels, pixels in [0, 1], Fourier coefficients of either, or the mere phases "
        "of waves as strong as in the data's images (maco)",
    )
    colors: Literal["plain", "decorrelated"] = field(
        "plain", "color channels as they are, or taken apart as the data's images have them"
    )
    color_matrix: tuple[float, ...] = field(
        (),
        "how decorrelated channels mix, row by row (nine numbers for RGB), instead of what the data say; none for that",
    )
    at: tuple[int, int] | None = field(None, "row and column of one neuron of each map, instead of the map's mean")
    logit: bool = field(False, "what a unit says before the layer's softmax or rectifier: of a class its logit")
    others: float = field(0.0, "penalty: weight of the mean of the layer's other units", ge=0)
    tv: float = field(0.0, "penalty: weight of the total variation", ge=0)
    l1: float = field(0.0, "penalty: weight of the absolute values of the pixels", ge=0)
    l2: float = field(0.0, "penalty: weight of the squares of the pixels", ge=0)
    blur: float = field(0.0, "penalty: weight of the squares of what blurring takes away", ge=0)
    diversity: float = field(
        0.0, "penalty: weight of the likeness of a unit's images, if it is asked for several", ge=0
    )
    relative: bool = field(True, "penalties are means over pixels and grow with the activation; else plain sums")
    jitter: float | None = field(None, "transform: shift by up to so many pixels; 4 from 64 pixels on, else 0", ge=0)
    zoom: float | None = field(None, "transform: scale by up to this share; 0.05 from 64 pixels on, else 0", ge=0)
    rotate: float | None = field(
        None, "transform: rotate by up to so many degrees; 5 from 64 pixels on, else 0", was="turn", ge=0
    )
    pad: float | None = field(None, "transform: a gray frame of so many pixels around the image; 0 if not given", ge=0)
    pixel_noise: float | None = field(
        None, "transform: deviation of the noise that is added; 0 if not given", was="grain", ge=0
    )
    noise: Literal["scales", "fourier", "zero", "normal"] = field(
        "scales", "the start: noises of several scales, a random spectrum, almost black, or N(0.5, 0.1)"
    )
    scales: tuple[int, ...] = field((3, 7, 14, 28), "cells a side of the noises that are superposed into a start")
    scale_weights: tuple[float, ...] = field(
        (), "weights of these noises, one for each; none for equal ones", was="weights"
    )
    smooth: float = field(0.0, "deviation of a Gaussian that smooths the start, in pixels; 0 for none", ge=0, le=1000)
    stages: tuple[Annotated[int, Field(ge=1, le=100_000)], ...] = field(
        (),
        "evolving strategy: steps on each scale of noise, coarsest first, such as 20 40 80 400; none for all at once",
    )
    candidates: int = field(
        512, "noises scored in one pass, from which each unit takes its best start", ge=1, le=65_536
    )
    precision: Literal["float32", "bfloat16", "auto"] = field(
        "float32",
        "a PyTorch model's steps in float32, in bfloat16, or as is quicker here (auto); the last five in float32",
    )
    silent_restarts: int = field(3, "further starts for a unit that is still silent", was="retries", ge=0, le=100)
    report: bool = field(False, "keep of every step the other units' mean and maximum, TV, L1 and loss as well")
    compare: bool = field(
        False,
        "hold each pattern against the strongest of the data's images; on the command line, whenever data are given",
    )
    snapshots: int = field(8, "pictures kept of each ascent, at steps that double", was="shots", ge=0, le=1000)
    seed: int = field(0, "seed of the starts", ge=0)

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, values: Any) -> Any:
        """What a preset says, where nothing else is said."""
        if isinstance(values, Mapping) and values.get("preset") == "mlp-deep":
            return {**MLP_DEEP, **values}
        return values


# The deep MLP's write-up: pixels near black, thirty plain steps, sums of penalties, no choice among starts. Black has
# the highest value, for nothing is held against it: the pattern is where the steps end.
MLP_DEEP: Mapping[str, Any] = {
    "ascent": "gradient",
    "steps": 30,
    "learning_rate": 0.1,
    "image": "box",
    "tv": 0.256,
    "l1": 0.0256,
    "relative": False,
    "keep": "last",
    "noise": "zero",
    "candidates": 1,
}


class DreamSettings(Settings):
    """How a pattern is carved into a photograph."""

    size: int = field(560, "longer side of the working picture in pixels, if the photo has as many", ge=8, le=20_000)
    levels: int = field(4, "1: the whole picture; 2: its 4 tiles as well; 3: its 16, too; then 64 ...", ge=1, le=8)
    rounds: int = field(2, "rounds over all levels; 0 gives back the photo", ge=0, le=100)
    steps: int = field(20, "steps uphill in a round", ge=1, le=10_000)
    learning_rate: float = field(0.02, "length of a step, in deviations of the image", was="rate", gt=0, le=10)
    strength: float = field(
        0.25, "how much brighter or darker a pixel may become; 1 is from black to white", gt=0, le=1
    )
    contrast: float = field(1.1, "contrast of the finished dream; 1 leaves it alone", ge=1, le=10)
    color: bool = field(True, "keep the photo's colours, and change its brightness only; else a gray dream")
    frame: int = field(1000, "longer side of the frames kept of the rounds, in pixels; 0 for none", ge=0, le=20_000)
    seed: int = field(0, "seed of whatever is drawn", ge=0)


class AtlasSettings(Settings):
    """What an atlas shows of every unit."""

    layers: tuple[str, ...] = field((), "layers to show; none for every layer with weights, seen behind its rectifier")
    variants: int = field(3, "patterns of each unit, from other starts each; the strongest is on the wall", ge=1, le=16)
    steps: int = field(30, "steps uphill for each pattern", ge=1, le=100_000)
    snapshots: int = field(8, "pictures of each film strip, at steps that double", was="shots", ge=1, le=16)
    examples: int = field(16, "strongest images of the data shown for each unit", ge=1, le=64)
    links: int = field(8, "units before and after that are named, those of the largest weights", ge=1, le=64)
    seed: int = field(0, "seed of the first pattern's starts; the others take the seeds after it", ge=0)
    chunk: int = field(128, "units found together, one task of a cluster; fewer need less memory", ge=1, le=4096)
    resume: bool = field(True, "take over finished layers from the folder, if model, data and settings are the same")


class EngineSettings(Settings):
    """Where the work is done: in this process, or on the workers of a Ray cluster; the results are the same."""

    engine: Literal["local", "ray"] = field("local", "where the work is done: in this process, or by workers of Ray")
    address: str | None = field(
        None, "a Ray cluster that runs already: auto, or the host:port of its head; else workers on this machine"
    )
    workers: int = field(0, "most workers at the same time; 0 for as many as there are processors or GPUs", ge=0)
    threads: int = field(1, "threads of each worker", ge=1, le=1024)
    gpus: float = field(1, "share of a GPU for each worker, where the cluster has GPUs; 0 for none", ge=0, le=64)
    retries: int = field(10, "how often a piece of work is begun again whose worker died", ge=0, le=1000)


class StudioSettings(Settings):
    """How the studio is served, and what it lets a person do."""

    port: int = field(7860, "port of 127.0.0.1 that it listens on; 0 takes any that is free", ge=0, le=65_535)
    open: bool = field(True, "open it in the browser")
    upload: int = field(20, "largest file that may be dropped, in megabytes", ge=1, le=1000)
    pixels: int = field(40, "largest picture that may be dropped, in millions of pixels", ge=1, le=89)
    frames: int = field(12, "pictures in a second, at most, while something evolves", ge=1, le=60)
    seconds: float = field(1.5, "an ascent that is watched takes at least so long, so that it can be seen", ge=0, le=60)
    jobs: int = field(3, "long pieces of work at the same time; further ones wait", ge=1, le=64)
    sessions: int = field(
        64, "windows whose work is kept; beyond, the one used least lately is forgotten", ge=1, le=1000
    )


class AtlasDataSettings(Settings):
    """Which images an atlas is made with, if any."""

    data: str | None = field(
        None, "images: 'digits', 'mnist', a CSV or NPZ file, or a folder of IDX files; none leaves out what needs them"
    )
    data_dir: Path | None = field(None, "folder of MNIST's files; else $PELLUCID_DATA, the user's cache, a download")


class OctaveSettings(Settings):
    """How a classic deep dream climbs, for models that take images of any size."""

    size: int = field(560, "longer side of the working picture in pixels, if the photo has as many", ge=8, le=20_000)
    octaves: int = field(4, "sizes at which it is dreamt, the last one the full size", ge=1, le=20)
    scale: float = field(1.4, "how much larger each size is than the one before", gt=1, le=4)
    steps: int = field(10, "steps uphill at each size; 0 gives back the photo", ge=0, le=10_000)
    learning_rate: float = field(
        0.01, "mean change of a pixel in a step; 1 is from black to white", was="rate", gt=0, le=1
    )
    jitter: int = field(32, "random shift before each step, up to so many pixels", ge=0, le=1000)
    tile: int = field(400, "side of the tiles whose gradients are taken one by one, in pixels", ge=16, le=10_000)
    seed: int = field(0, "seed of the shifts", ge=0)


class ModelSettings(Settings):
    """How a model of one's own is opened; bundled networks and Pellucid's files know all of it but the device."""

    weights: Path | None = field(
        None, "weights for package.module:factory: .safetensors, or a state dict as .pt or .pth, or Keras' .h5"
    )
    input_shape: str | None = field(None, "what it takes: channels,height,width, such as 3,224,224")
    scaling: str | None = field(
        None,
        "of images in [0, 1]: 'unit' (as they are), 'standardized' (each by itself), or the mean and the "
        "deviation, two numbers or two for each channel: 0.485,0.456,0.406,0.229,0.224,0.225",
    )
    device: str | None = field(None, "where it works: cpu, cuda, cuda:1, mps, or auto; else where it lies")


class DataSettings(Settings):
    """Which images are used, where they lie, and how they are split."""

    data: str = field("digits", "the images: 'digits', 'mnist', or a CSV file, an NPZ file or a folder of IDX files")
    data_dir: Path | None = field(None, "folder of MNIST's files; else $PELLUCID_DATA, the user's cache, a download")


class SeedSettings(Settings):
    """The one knob of whatever else is random."""

    seed: int = field(0, "seed of whatever is drawn", ge=0)
