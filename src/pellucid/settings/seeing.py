"""Settings of seeing: how models are opened, how patterns and dreams are optimized."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from pellucid.settings.fields import Settings, field


def _cells(given: Any) -> Any:
    """Rows and columns as one word; what is neither that word nor a number is refused."""
    word = "x".join(map(str, given)) if isinstance(given, list | tuple) else str(given)
    if not re.fullmatch(r"[1-9]\d{0,5}(x[1-9]\d{0,5})?", word):
        raise ValueError("should be cells along the shorter side, such as 7, or rows x columns of them, such as 3x7")
    return word if "x" in word else int(word)


Cells = Annotated[int | str, BeforeValidator(_cells)]
"""Cells of a noise along the shorter side of an image, or rows and columns of them: "3x7", (3, 7)."""


def _place(given: Any) -> Any:
    """A place in a map as a tuple of whole numbers and words."""
    given = () if given is None else given
    entries = given if isinstance(given, list | tuple) else str(given).split(",")
    words = [str(entry).strip() for entry in entries]
    if not all(re.fullmatch(r"\d{1,6}|all", word) for word in words) and words != ["cls"]:
        raise ValueError("should be a row and a column, such as 4 5, the number of a token, such as 5, or cls")
    return tuple(int(word) if word.isdigit() else word for word in words)


Place = Annotated[tuple[int | str, ...], BeforeValidator(_place)]
"""Positions along each axis of a unit's map ("all" for the mean along it), the number of a token, or "cls"."""


def _rising(given: tuple[float, float]) -> tuple[float, float]:
    if given[0] >= given[1]:
        raise ValueError("should be the lowest and the highest value, such as 0 1")
    return given


@cache
def _presets(of: str = "pattern") -> dict[str, dict[str, Any]]:
    """The settings of each preset, of patterns or dreams."""
    return tomllib.loads((Path(__file__).parent / f"{of}_presets.toml").read_text(encoding="utf-8"))


class ModelSettings(Settings):
    """How a model of one's own is opened; bundled networks and Pellucid's files know all of it but the device."""

    weights: Path | None = field(None, heading="Model", unset="those it is made with")
    """weights of a model given as package.module:factory: .safetensors, a state dict (.pt, .pth), or Keras' .h5"""
    input_shape: str | None = field(None, unset="the model's own")
    """shape of the model's input as channels,height,width, such as 3,224,224"""
    scaling: str | None = field(None, unset="the model's own, or unit")
    """scaling of input images from [0, 1]: 'unit' (as they are), 'standardized' (each by itself), 'imagenet', or mean
    and deviation, two numbers or two per channel"""
    classes: Path | None = field(None, unset="the model's own")
    """file with the names of the model's classes, a line for each"""
    device: str | None = field(None, unset="where its weights lie")
    """device the model runs on: cpu, cuda, cuda:1, mps, or auto"""
    directions: tuple[Annotated[str, Field(pattern=".+=.+")], ...] = field((), unset="none")
    """vectors along a layer's units (concepts, a sparse autoencoder's), as one more layer: LAYER=FILE, several in a
    row, each a .npy, .npz or .safetensors file"""
    trust: bool = field(False)
    """permission for a model file to run the Python code that it names; it is remembered for this file"""


class PatternSettings(Settings):
    """How the pattern of a unit is found."""

    preset: Literal["none", "mlp-deep", "classic"] = field("none")
    """set of defaults: Pellucid's own (none), a write-up's on deep dense networks (mlp-deep), or one's on maps: 600
    small steps along the normalized gradient (classic); given settings override it"""
    optimizer: Literal["power", "normalized", "adam", "gradient"] = field("power", was="ascent")
    """update rule of the image: annealed power ascent, normalized gradient, Adam, or the plain gradient"""
    steps: int = field(30, ge=1, le=100_000)
    """optimization steps of an image; of natural color images 192, from 192 pixels a side on 128, of a layer of maps
    48"""
    initial_step_size: float = field(100.0, heading="Optimization", was="first", gt=0)
    """first step of the power optimizer, in standard deviations of the image; of natural images 2 or 1"""
    final_step_size: float = field(0.1, was="last", gt=0)
    """last step of the power optimizer, in standard deviations of the image"""
    momentum: float = field(0.5, was="average", ge=0, lt=1)
    """share of the previous direction in the power optimizer's next one"""
    initial_smoothing: float = field(2.0, ge=0, le=100)
    """smoothing of a map's rectifier in the power optimizer's first step, in standard deviations before it; it falls to
    0 over three quarters of the steps; 0 smooths nothing"""
    learning_rate: float | None = field(None, unset="0.01, 0.05 and 0.1, in this order", was="rate", gt=0)
    """step size of the optimizers normalized, adam and gradient"""
    tolerance: float = field(0.0, ge=0, lt=1)
    """relative change of the activation below which a step counts as converged; 0 for never"""
    patience: int = field(5, ge=1, le=1000)
    """successive steps within the tolerance after which the optimization of an image has converged"""
    converged: Literal["stop", "report"] = field("stop")
    """whether an optimization that has converged stops, or goes on and the step is only reported"""
    keep: Literal["best", "last"] = field("best")
    """image of the optimization that becomes the pattern: the one of highest value, or the last"""
    restarts: int = field(1, was="tries", ge=1, le=100)
    """optimizations of each unit, from different initial images; the best is kept"""
    image: Literal["auto", "natural", "sphere", "box", "fourier", "box-fourier", "near"] = field(
        "auto", heading="Common options"
    )
    """parametrization of the image: with the spectrum of photographs, of the data or of what the network has learnt
    from (natural), standardized pixels (sphere), pixels in [0, 1] (box), Fourier coefficients of either, a photograph
    with natural waves added (near); auto is natural where a spectrum is known, else sphere"""
    bands: Literal["colors", "octaves", "waves", "whole"] = field("colors", heading="Image")
    """what has a strength of its own in natural images: each color, each octave of a color, each wave of a color, of
    which only the phase is free (waves: MaCo), or all together (whole)"""
    exponent: float | None = field(None, unset="the spectrum of the data or of photographs, or else 1.25", ge=0, le=4)
    """spectrum of natural images: the strength of a wave is 1 / frequency to this power"""
    saturation: float = field(1.3, gt=0, le=10)
    """contrast of natural color images, about four times the standard deviation of their pixels"""
    grow: bool = field(False)
    """first steps at half the size and the next ones at three quarters, for models that take images of any size"""
    near_layer: str | None = field(None, unset="of the layers before the unit's, the one a quarter of the way")
    """layer in whose features an image is kept near a photograph"""
    near_weight: float = field(30.0, ge=0, le=1e6)
    """penalty weight of how far the image's features are from the photograph's, as a share of their square"""
    pixel_range: Annotated[tuple[float, float], AfterValidator(_rising)] = field((0.0, 1.0))
    """lowest and highest value that the pixels of the images box and box-fourier are clipped to"""
    colors: Literal["plain", "decorrelated"] = field("plain")
    """color channels of the image: as they are, or decorrelated as in the data's images"""
    color_matrix: tuple[float, ...] = field((), unset="the data's")
    """mixing matrix of decorrelated color channels, by rows (nine numbers for RGB)"""
    extreme: Literal["most", "least"] = field("most", heading="Common options")
    """image that is looked for: the one that excites a unit most, or least, by what the unit is before its ReLU,
    sigmoid or softmax"""
    at: Place = field((), heading="Objective", unset="the map's mean is maximized")
    """neuron to maximize in each unit's map: its row and column (or head and token; all for either), the number of a
    token, or cls"""
    logit: bool = field(False)
    """maximization of what a unit is before its ReLU, sigmoid or softmax: of a class, its logit"""
    others: float = field(0.0, heading="Penalties", ge=0)
    """penalty weight of the mean activation of the layer's other units"""
    tv: float = field(0.0, ge=0)
    """penalty weight of the image's total variation, |dx| + |dy| over all pixels"""
    l1: float = field(0.0, ge=0)
    """penalty weight of the pixels' absolute values (L1)"""
    l2: float = field(0.0, ge=0)
    """penalty weight of the pixels' squares (L2)"""
    blur: float = field(0.0, ge=0)
    """penalty weight of the squares of what a blur removes from the image"""
    diversity: float = field(0.0, ge=0)
    """penalty weight of how alike the images of one unit are, where --units names it several times"""
    relative: bool = field(True)
    """penalties tv, l1, l2, blur as means over pixels times the activation, or (no-relative) as sums over pixels"""
    crop: float = field(1.0, heading="Random changes", gt=0, le=1)
    """smallest share of the sides of the random crop that is scored at a step; 1 for the whole image"""
    views: int = field(1, ge=1, le=64)
    """randomly changed images of each image that are scored at a step"""
    jitter: float | None = field(None, unset="4 from 64 pixels a side on, else 0", ge=0)
    """largest random shift of the image at a step, in pixels"""
    zoom: float | None = field(None, unset="0.05 from 64 pixels a side on, else 0", ge=0)
    """largest random enlarging or shrinking of the image at a step, so that it is not tied to one size; 0.05 is 5%"""
    rotate: float | None = field(None, unset="5 from 64 pixels a side on, else 0", was="turn", ge=0)
    """largest random rotation of the image at a step, in degrees"""
    pad: float | None = field(None, unset="0", ge=0)
    """width of a gray frame around the image at a step, in pixels"""
    pixel_noise: float | None = field(None, unset="0", was="grain", ge=0)
    """standard deviation of noise added at a step, in pixels (white is 1) or units of the standardized image"""
    noise: Literal["scales", "fourier", "zero", "normal"] = field("scales", heading="Initial images")
    """initial image: noise of several scales or of a random spectrum, 0.01 everywhere (zero), N(0.5, 0.1) (normal)"""
    scales: tuple[Cells, ...] = field((3, 7, 14, 28))
    """noises that initial images are made of, the coarsest first: cells along the shorter side, or rows x columns such
    as 3x7"""
    scale_weights: tuple[float, ...] = field(
        (), unset="a fifth of the candidates has each of four scales alone, a fifth the sum of all", was="weights"
    )
    """weight of each of the scales of noise, in every initial image"""
    smooth: float = field(0.0, ge=0, le=1000)
    """standard deviation of a Gaussian that smooths the initial image, in pixels; 0 for none"""
    stages: tuple[Annotated[int, Field(ge=1, le=100_000)], ...] = field((), unset="all scales at once")
    """steps on each of the scales in turn, one number for each, such as 20 40 80 400; a stage adds the next scale's
    noise to the image of the stage before"""
    candidates: int = field(512, ge=1, le=65_536)
    """noise images among which each unit's initial image is chosen, by activation"""
    precursor_steps: int = field(0, ge=0, le=10_000)
    """steps that a unit's four best candidates make before the initial image is chosen; 0 for none"""
    precision: Literal["float32", "bfloat16", "auto"] = field("float32", heading="Optimization")
    """arithmetic of a PyTorch model's steps, the faster one with auto; the last five are float32"""
    silent_restarts: int = field(3, was="retries", ge=0, le=100)
    """further initial images for a unit that none has activated yet"""
    report: bool = field(False, heading="Pictures and report")
    """record of every step's mean and maximum of the other units, TV, L1 and loss"""
    report_ema: float = field(0.9, ge=0, lt=1)
    """share of the past in the moving averages of the printed report; 0 for the numbers themselves"""
    compare: bool = field(False)
    """comparison with each unit's strongest image of the data; on the command line, wherever data are given"""
    snapshots: int = field(8, was="shots", ge=0, le=1000)
    """images kept of an optimization, at steps that double; unless given, none where all would take over 1 GiB"""
    tones: Literal["deviations", "true", "stretched"] | None = field(None, unset="true for box images, else deviations")
    """brightness in pictures: deviations from the image's mean, true values, or each image stretched between its
    smallest and its largest value"""
    palette: Literal["gray", "viridis"] = field("gray")
    """colors of pictures of images of one channel"""
    seed: int = field(0, heading="Common options", ge=0)
    """seed of initial images and random transforms"""

    @property
    def sought(self) -> str:
        """What kind of picture a pattern is, in the few words that stand beside it everywhere."""
        some = {"natural": "among natural images", "near": "in this photograph"}.get(self.image)
        return f"what excites {self.extreme} {some}" if some else f"whatever excites {self.extreme}"

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, values: Any) -> Any:
        """The preset's settings, where no others are given."""
        preset = values.get("preset") if isinstance(values, Mapping) else None
        if isinstance(values, Mapping) and values.get("image") == "maco":  # whose only spheres are the single waves'
            values = {**values, "image": "natural", "bands": "waves"}
        if isinstance(values, Mapping) and values.get("image") == "near":
            values = {**_presets()["near"], **values}
        return {**_presets()[preset], **values} if preset in ("mlp-deep", "classic") else values

    def natural(self, kind: Literal["natural", "natural-large", "natural-maps", "natural-gray"]) -> Self:
        """For natural images, with the defaults of their kind where nothing is given."""
        given = self.model_dump(exclude_unset=True)
        return self.of({**_presets()["natural"], **_presets()[kind]}, **{**given, "image": "natural"})


class PatternFileSettings(Settings):
    """What patterns begin from, and the tables that are written of them."""

    photo: str | None = field(None, unset="none, patterns begin with noise")
    """photograph, or DATA:SPLIT:NUMBER, to show in what units answer to: in rows of photograph, pattern and where"""
    start: str | None = field(None, heading="Initial images", unset="noise")
    """initial images: a file of patterns or pixels (.npz, .csv), a picture, an image of the data such as
    mnist:test:123, or the mean of those taken for a class, such as mnist:average:7"""
    history: Path | None = field(None, heading="Further files", unset="none is written")
    """table (.csv) of every step's activation, other units, TV, L1 and loss"""
    answers: Path | None = field(None, unset="none")
    """table (.csv) of what the layer and the last layer answer to the pattern, and of the probabilities, to 10
    decimals"""


class JudgeSettings(PatternSettings):
    """How the patterns of units are found, and how they are judged."""

    variants: int = field(3, ge=1, le=16)
    """patterns of each unit, from different initial images, that explain it together; the strongest is judged alone"""
    queries: int = field(20, ge=1, le=1000)
    """held-out images of either kind, strong and weak, that each unit's explanation has to tell apart"""
    images: int = field(512, ge=8, le=100_000)
    """most images of the data that are looked at, drawn by the seed"""


class DreamSettings(Settings):
    """How a pattern is dreamt into a photograph."""

    preset: str = field("classic")
    """what to dream: classic, fur, feathers, scales, eyes, temples, glass, fans, gardens, engraving, brush, worm, or
    class:NAME for a class of the color network, such as class:peacock; "list" prints them all, "all" makes one sheet of
    pictures of them; options that are given take the place of the preset's"""
    method: Literal["auto", "tiles", "octaves"] = field("auto")
    """way to dream: octaves, from a small picture to a large one; brightness carved by tiles of several levels; auto
    takes tiles where levels, tiles or units for them are given, and for a gray network whose layer takes one size"""
    size: int = field(1280, ge=8, le=20_000)
    """longer side of the dream, in pixels; a smaller photo keeps its size"""
    strength: float = field(0.35, ge=0, le=1)
    """strength of the dream: 0 returns the photo, 1 leaves little of it"""
    octaves: int | None = field(None, heading="Octaves", unset="as many as lead up from 180 pixels", ge=1, le=20)
    """image sizes, from small to the full one, that are dreamt at in turn, by the method octaves"""
    scale: float = field(1.4, gt=1, le=4)
    """ratio of each octave's size to that of the one before"""
    steps: int = field(20, heading="Common options", ge=0, le=10_000)
    """optimization steps of each tile in a round, by the method tiles; of each octave, if not given, 10"""
    levels: int = field(4, heading="Tiles", ge=1, le=8)
    """levels of tiles: 1 for the whole picture, 2 adds its 4 quarters, 3 adds 16 tiles, 4 adds 64"""
    rounds: int = field(2, ge=1, le=100)
    """rounds of optimization over all levels of tiles"""
    tolerance: float = field(0.0, ge=0, lt=1)
    """relative change of the activation below which a step of a tile counts as converged; 0 for never"""
    patience: int = field(5, ge=1, le=1000)
    """successive steps within the tolerance after which the optimization of a tile stops"""
    contrast: float = field(1.0, heading="Color and contrast", ge=0, le=10)
    """contrast of the finished dream, as a factor; 1 leaves it unchanged"""
    center: float | None = field(None, unset="the photo's own", ge=0, le=1)
    """brightness that contrast is about, and that the middle of the photo's gets, from 0 to 1"""
    clip: float | None = field(None, unset="no bound", gt=0, le=10)
    """largest distance of the finished brightness from its center, as a share of the nearer of the photo's extremes"""
    gray: tuple[float, float, float] = field((0.299, 0.587, 0.114))
    """weights of red, green and blue in what a gray network sees; such as 0.2126 0.7152 0.0722, or 0.3 0.59 0.11"""
    color: bool = field(True)
    """the photo's own colors under the dream; otherwise the dream of a gray photo"""
    luminance: bool = field(False)
    """dream in brightness alone, so that the photo's colors stay; networks that see gray always do"""
    jitter: int = field(16, heading="Octaves", ge=0, le=1000)
    """largest random shift of the image at a step of an octave, in pixels"""
    tile: int = field(512, ge=16, le=10_000)
    """side of the pieces of an octave whose gradients are computed one by one, in pixels"""
    frame: int = field(1000, heading="Film", ge=0, le=20_000)
    """longer side of the frame kept of each round or octave, in pixels; 0 for no frames"""
    seed: int = field(0, heading="Common options", ge=0)
    """seed of whatever is random in the dream"""

    def for_octaves(self) -> Self:
        """With the defaults of octaves where nothing is given."""
        return self.of({"steps": 10}, **self.model_dump(exclude_unset=True))

    @property
    def mean_change(self) -> float:
        """How much a pixel changes on average, where 1 is from black to white: 0.25 strength ^ 1.25."""
        return 0.25 * math.pow(self.strength, 1.25)


class FilmSettings(Settings):
    """How a film of dreams moves."""

    factor: float = field(1.05, heading="Film", gt=1, le=2)
    """how much nearer each picture of a zoom comes than the one before"""
    rotate: float = field(0.0, ge=-180, le=180)
    """how far each picture of a zoom is turned against the one before, in degrees counterclockwise"""
    milliseconds: float | None = field(None, unset="400 of rounds, 80 of a zoom", ge=1, le=60_000)
    """time that each picture of a film stands, in milliseconds"""
    loop: bool = field(False)
    """a zoom without beginning or end, whose last picture leads to the first"""


def dream_presets() -> dict[str, dict[str, Any]]:
    """Each preset of dreams: its words, model, layers, units, and settings."""
    return _presets("dream")
