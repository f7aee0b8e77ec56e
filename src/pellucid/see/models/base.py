"""Models: the interface of whatever has layers of units whose activations and gradients can be asked for.

Model:  a list of layers, and `reading`: names of layers -> a Reader
Reader: images in model space (batch, channel, height, width) -> {layer: LayerOutput}, differentiable

One file per kind of model implements this: `torch.py` for PyTorch, `keras.py` for Keras, `network.py` for networks of
`learn`; `open.py` chooses among them. A new kind has to implement `reading` alone; everything else has a default that
asks the Reader. A LayerOutput holds a layer's pre-activation as well as its output, where that can be had, because the
output of a silent rectifier has no gradient, but its pre-activation has.
"""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from pellucid.data.html import table
from pellucid.data.photos import fit_image
from pellucid.data.scaling import Images, Scaling, pillow_of
from pellucid.data.spectrum import Spectrum
from pellucid.data.strokes import read_strokes
from pellucid.errors import PellucidError, counted, summary, unknown
from pellucid.learn.losses import probabilities_of
from pellucid.learn.network import Network
from pellucid.see.models.receptive_field import ReceptiveField, field_by_nan
from pellucid.see.models.unit_axis import PROBED

MOST_LISTED = 60
DIRECTIONS = "Directions"  # the kind of a layer that follows from another one alone, beside those that feed each other
_PASSING = re.compile(r"Identity|Dropout|DropPath|StochasticDepth|Pad\w*$")  # what hands on what it was given
MOST_PREDICTED, PREDICTED_NUMBERS = 512, 2**26  # images classified at a time, and numbers held for them
InputShape = tuple[int, int, int]
UnitMeans = Callable[[np.ndarray], dict[str, np.ndarray]]
"""images (image, channel, height, width) in [0, 1] -> {layer: (image, unit)}"""


@dataclass(frozen=True)
class LayerInfo:
    """A place in a model that has units: its `name`, its `kind` ("Conv2d"), how many `units`, one image's output shape.

    shape is (units,) for a dense layer, (units, height, width) for a convolution; of tokens that are patches in rows
    and columns it is (units, rows, columns), with `prefix` more tokens before them (CLS, registers).
    parameters: numbers that the layer, with those inside it, has.  activation: the one that it ends in, where it says.
    guessed: nothing in the model says along which axis its units are.  names: of its units, where they have some.
    """

    name: str
    kind: str
    units: int
    shape: tuple[int, ...]
    prefix: int = 0
    parameters: int = 0
    activation: str = ""
    guessed: bool = False
    names: tuple[str, ...] = ()

    @property
    def sizes(self) -> str:
        """The shape in words; a question mark where the axis of the units is a guess."""
        before = f" + {self.prefix}" if self.prefix else ""
        return " x ".join(map(str, self.shape)) + before + (" ?" if self.guessed else "")


@dataclass(frozen=True, eq=False)
class LayerOutput:
    """What one layer gives for a batch: its `output`, and its `pre_activation`, before a final rectifier, softmax or
    sigmoid (None where there is none, or where it cannot be reached).

    smoothing: how far an ascent smooths that rectifier, see `objectives.units.smooth_rectified`; None: not at all.
    prefix: the tokens that are no patches, where the output's are.
    """

    output: Float[Tensor, "batch unit *position"]
    pre_activation: Float[Tensor, "batch unit *place"] | None = None
    smoothing: Float[Tensor, "batch"] | None = None
    prefix: Float[Tensor, "batch unit token"] | None = None

    @property
    def unit_means(self) -> Float[Tensor, "batch unit"]:
        """The mean of each unit's map over its positions; of a dense layer, its output."""
        return self.output.flatten(2).mean(2) if self.output.ndim > 2 else self.output


class Reader(ABC):
    """images (batch, channel, height, width) in model space -> {layer: LayerOutput}, in the dtype of the images."""

    @abstractmethod
    def __call__(self, images: Float[Tensor, "batch channel height width"]) -> dict[str, LayerOutput]:
        """Run the model as far as the deepest layer that is asked for."""

    @property
    def supports_bfloat16(self) -> bool:
        """Whether the model can work in bfloat16, so that `bfloat16()` changes anything."""
        return False

    def bfloat16(self) -> AbstractContextManager[Any]:
        """A context in which the model may work in bfloat16; outputs have the dtype of the images just the same."""
        return nullcontext()

    def override_relu(self, images: Bool[Tensor, "batch"]) -> None:
        """For these images, the next backward pass takes rectifiers inside the model as the identity.

        Does nothing where a model's rectifiers cannot be reached.
        """
        del images


@dataclass(frozen=True, eq=False)
class Model(ABC):
    """A model whose layers can be read.

    name: for people.  input_shape: (channel, height, width).  scaling: images in [0, 1] -> what the model receives.
    layers: every layer with units, in the order in which they run.  device: where its images must be.
    classes: the names of what the last layer's units stand for; empty where they are not known.
    pipeline: the library's own way from a picture (PIL, RGB) to (channel, height, width) in model space, if it has one.
    takes_bgr: whether what is inside takes its colors in the order BGR; images are RGB here all the same.
    spectrum: that of the images that it was made for, as data/spectrum.py has it, where that is known.
    unlisted: why each module that has weights, but is no layer, is none.
    """

    name: str
    input_shape: InputShape
    scaling: Scaling
    layers: tuple[LayerInfo, ...]
    device: torch.device
    classes: tuple[str, ...] = field(default=(), kw_only=True)
    pipeline: Callable[[Any], np.ndarray] | None = field(default=None, kw_only=True)
    takes_bgr: bool = field(default=False, kw_only=True)
    unlisted: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    spectrum: Spectrum | None = field(default=None, kw_only=True)

    @abstractmethod
    def reading(self, layers: Sequence[str]) -> AbstractContextManager[Reader]:
        """A Reader of these layers, valid inside the `with` block; the model is left as it was."""

    def layer(self, name: str) -> LayerInfo:
        """The layer of that name; raises PellucidError with the nearest names where there is none."""
        for layer in self.readable:
            if layer.name == name:
                return layer
        raise unknown("layer", name, [layer.name for layer in self.readable])

    def unit_names(self, layer: str) -> tuple[str, ...]:
        """The names of a layer's units: their own, or the classes that the last layer's stand for; else none."""
        info = self.layer(layer)
        are_classes = info in self.readable[len(self.layers) - 1 :] and info.shape == (len(self.classes),)
        return self.classes if are_classes else info.names

    @property
    def probabilities(self) -> LayerInfo | None:
        """What can be read behind the last of the `layers`: the classes' probabilities; None where there are none."""
        return None

    @property
    def readable(self) -> tuple[LayerInfo, ...]:
        """All that `reading` takes: the layers, and the probabilities."""
        return self.layers if self.probabilities is None else (*self.layers, self.probabilities)

    @property
    def hand_written(self) -> Network | None:
        """The network of `learn` behind this model; None where the model is of another kind."""
        return None

    def folded(self, layers: Sequence[str]) -> "Model":
        """The same function up to these layers, as a model whose passes are quicker; itself where there is none."""
        del layers
        return self

    @contextmanager
    def unit_means(self, layers: Sequence[str]) -> Iterator[UnitMeans]:
        """A function from images in [0, 1] to the mean over each unit's map, layer by layer, valid inside the block."""
        with self.reading(layers) as read:

            def means(images: np.ndarray) -> dict[str, np.ndarray]:
                with torch.no_grad():
                    return {name: one.unit_means.cpu().numpy() for name, one in read(self.prepared(images)).items()}

            yield means

    @property
    def image_shape(self) -> InputShape:
        """The shape of one image in [0, 1]: that of the input, but for a network that sees features of images."""
        return self.input_shape if self.hand_written is None else self.hand_written.image_shape

    @property
    def class_count(self) -> int:
        """How many classes the last layer tells apart; raises PellucidError where it gives no number for each."""
        last = self.readable[-1]
        if len(last.shape) != 1:
            raise PellucidError(
                f"The last layer '{last.name}' of '{self.name}' gives {last.shape} for an image, not one number for "
                f"each class; give a model that ends in classes."
            )
        return last.units

    def predict(self, images: Images) -> Float[np.ndarray, "image class"]:
        """The classes' probabilities for images in [0, 1], some at a time; raises PellucidError as `class_count` does,
        for a wrong shape, and where the model answers with NaN or infinity."""
        self.class_count  # noqa: B018  # there are classes
        last, step = self.readable[-1].name, max(1, min(MOST_PREDICTED, PREDICTED_NUMBERS // self.passing))
        found = []
        with self.reading([last]) as read, torch.no_grad():
            for begin in range(0, len(images), step):
                one = read(self.prepared(images[begin : begin + step]))[last]
                before = None if one.pre_activation is None else one.pre_activation.float().cpu().numpy()
                found.append(probabilities_of(one.output.float().cpu().numpy(), before))
        return self.finite(last, np.concatenate(found))

    def guesses_held(self, layer: str, values: Mapping[int, float], images: Images) -> Int64[np.ndarray, "unit image"]:
        """The likeliest class of images in [0, 1] while one unit after another is its value at every position; raises
        PellucidError where no unit of the layer can be held so."""
        del values, images
        raise PellucidError(f"Units of '{layer}' of '{self.name}' cannot be held at a value; name another layer.")

    def finite(self, layer: str, numbers: np.ndarray) -> np.ndarray:
        """What a layer answered, known to be finite: what would be drawn of other numbers looks like any picture."""
        if not np.isfinite(numbers).all():
            raise PellucidError(
                f"Layer '{layer}' of '{self.name}' gives NaN or infinity; check the model's weights and its scaling."
            )
        return numbers

    def receptive_field(self, layer: str) -> ReceptiveField | None:
        """The pixels that each position of a layer's map sees; None where it has no map, whose units see them all."""
        if len(self.layer(layer).shape) != 3:
            return None
        with self.reading((layer,)) as read:
            return field_by_nan(lambda images: read(images)[layer].output, self.input_shape, self.device)

    def weights_between(self, before: str, layer: str) -> Float[np.ndarray, "unit feature *window"] | None:
        """The weights of `layer` for the units of `before`, whose features stand together unit by unit; None where
        `before` does not feed `layer` directly, or where the weights cannot be read."""
        del before, layer
        return None

    def contributions(self, before: str, layer: str, unit: int, image: Images) -> tuple[np.ndarray, float, float]:
        """Of what goes into a unit's activation where that is largest, for (1, channel, height, width) in [0, 1]: what
        each unit of `before` adds, the bias, and the sum; PellucidError where there are no `weights_between` both."""
        del unit, image
        raise PellucidError(f"What '{before}' adds to '{layer}' cannot be told; name two layers that follow.")

    def identity(self) -> dict[str, np.ndarray]:
        """Arrays that tell this model from others, by name: its weights, or else what its layers answer to noise."""
        noise = torch.rand(4, *self.input_shape, generator=torch.Generator().manual_seed(0)).to(self.device)
        with self.reading([layer.name for layer in self.layers]) as read, torch.no_grad():
            return {name: layer.output.cpu().numpy() for name, layer in read(noise).items()}

    def moved_to(self, device: torch.device) -> "Model":
        """The same model, working on another device; itself where it has to stay."""
        del device
        return self

    def require_declared(self) -> None:
        """Raises PellucidError where the Reader does not give what `layers` and `input_shape` declare."""
        try:
            with self.reading([layer.name for layer in self.layers]) as read, torch.no_grad():
                found: Any = read(torch.zeros(1, *self.input_shape, device=self.device))
                given = {layer: tuple(found[layer.name].output.shape[1:]) for layer in self.layers}
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise PellucidError(
                f"'{self.name}' gives no LayerOutput for every layer and an image of {self.input_shape}: "
                f"{summary(error)}; correct its Reader, its layers or its input_shape."
            ) from error
        for layer, shape in given.items():
            if layer.shape != shape or layer.units != shape[0]:
                raise PellucidError(
                    f"Layer '{layer.name}' of '{self.name}' is declared with {counted(layer.units, 'unit')} and shape "
                    f"{layer.shape}, but gives {shape} for an image; correct its LayerInfo."
                )

    def require_shape(self, images: Images) -> None:
        """Nothing, where the model takes images of this shape; PellucidError otherwise."""
        if images.shape[1:] != self.input_shape:
            raise PellucidError(
                f"Images have shape {images.shape[1:]}, but '{self.name}' takes {self.input_shape}; "
                f"give images of that (channel, height, width)."
            )

    def fit(self, image: Float[np.ndarray, "channels rows columns"]) -> Float32[np.ndarray, "channel height width"]:
        """A picture of any size and one or three channels in [0, 1] as an image of the model's shape, in [0, 1] too.

        Resized and cropped as the library that the model comes from does it, or else as `fit_image` does. Raises
        PellucidError for another number of channels.
        """
        if self.pipeline is None or image.shape[0] not in (1, 3):
            return fit_image(image, self.input_shape)
        given = self.pipeline(pillow_of(np.broadcast_to(image, (3, *image.shape[1:]))))
        return np.asarray(self.scaling.invert(given[None])[0])

    @property
    def reads_strokes(self) -> bool:
        """Whether it learnt digits such as MNIST's: by the data that it was trained on, else its classes' names."""
        if self.hand_written is None or self.input_shape[0] != 1:
            return self.input_shape[0] == 1 and self.classes == tuple("0123456789")
        trained = self.hand_written.provenance
        return bool(trained.get("strokes", trained.get("data") in ("digits", "mnist")))

    def read_picture(
        self, picture: Float[np.ndarray, "channels rows columns"], as_is: bool = False
    ) -> tuple[Float32[np.ndarray, "channel height width"], str]:
        """A picture as `fit` gives it, or for a network of digits as these are, and what was done to it, in words.

        as_is: as `fit` gives it in any case.
        """
        if as_is or not self.reads_strokes:
            return self.fit(picture), ""
        image, done = read_strokes(picture, self.input_shape)
        return image, f"The picture is {done}, as the digits are that '{self.name}' learnt." if done else ""

    def prepared(self, images: Images) -> Float[Tensor, "image channel height width"]:
        """Images in [0, 1] as a tensor in model space on the model's device; raises PellucidError for a wrong shape."""
        self.require_shape(images)
        return torch.from_numpy(np.ascontiguousarray(self.scaling.apply(images))).to(self.device)

    @property
    def passing(self) -> int:
        """Numbers that a pass without gradients holds for an image at once: into a layer, out of it, and between."""
        return 3 * max(math.prod(shape) for shape in (self.input_shape, *(layer.shape for layer in self.layers)))

    def bytes_held(self, layers: Sequence[str]) -> int:
        """What autograd keeps of one image as far as the deepest of these layers, if PyTorch computes it."""
        held: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            if tensor.requires_grad or not tensor.is_floating_point():  # others are weights, which all images share
                held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        images = torch.zeros(PROBED, *self.input_shape, device=self.device, requires_grad=True)
        with self.reading(layers) as read, torch.enable_grad(), saved_tensors_hooks(note, lambda tensor: tensor):
            kept = read(images)  # alive until all is counted, for what is freed gives its address to others
            return sum(held.values()) // len(images) if kept else 0

    def blocks(self, most: int) -> list[LayerInfo]:
        """The layers, without identities, dropout and padding; of more than `most`, the blocks of the outer depths."""
        shown = [layer for layer in self.layers if not _PASSING.search(layer.kind)]
        depth = max(layer.name.count(".") for layer in self.layers)
        while len(shown) > most and depth > 0:
            depth -= 1
            shown = [layer for layer in shown if layer.name.count(".") <= depth]
        return shown

    def listing(self, inside: str = "", *, everything: bool = False) -> str:
        """The layers as lines of text; of a model of many, its blocks, and those in the block `inside` when asked.

        everything: all of them, identities, dropout and padding too, and every module that is no layer.
        Raises PellucidError for a block that is none.
        """
        shown = list(self.layers) if everything else self.blocks(len(self.layers) if inside else MOST_LISTED)
        if inside:
            self.layer(inside)
            shown = [layer for layer in shown if layer.name == inside or layer.name.startswith(f"{inside}.")]
        heads = ["layer", "kind", "units", "shape", "parameters", "activation"]
        rows = [
            [layer.name, layer.kind, layer.units, layer.sizes, numbers, layer.activation]
            for layer in shown
            for numbers in [layer.parameters if layer.parameters < 1000 else f"{layer.parameters:,}"]
        ]
        used = [at for at in range(len(heads)) if at < 4 or any(row[at] for row in rows)]
        size = " x ".join(map(str, self.input_shape))
        said = [(name, np.ravel(one)) for name, one in self.scaling.to_dict().items() if name != "kind"]
        few = ", ".join(f"{name} {' '.join(f'{n:.3g}' for n in numbers)}" for name, numbers in said if len(numbers) < 5)
        lines = [f"{self.name}: images of {size}, scaling {self.scaling.kind}" + (few and f" ({few})")]
        lines += [table([heads[at] for at in used], [[row[at] for at in used] for row in rows])]
        if left := len(self.layers) - len(shown):
            hint = "" if inside else "name one to see what is inside it, or ask for all"
            lines.append(f"{counted(left, 'more layer is', 'more layers are')} not shown{hint and f'; {hint}'}.")
        if any(layer.guessed for layer in shown):
            lines += ["? Nothing in the model says along which axis these have their units; set units_axis if wrong."]
        return "\n".join([*lines, *self._left_out(everything)])

    def _left_out(self, everything: bool) -> list[str]:
        reasons: dict[str, list[str]] = {}
        for name, reason in self.unlisted.items():
            reasons.setdefault(reason, []).append(name)
        few = None if everything else 3
        return [
            f"{counted(len(names), 'with weights is', 'with weights are')} no layer: {', '.join(names[:few])}"
            f"{', ...' if len(names[:few]) < len(names) else ''}: {reason}."
            for reason, names in reasons.items()
        ]

    def __repr__(self) -> str:
        return self.listing()
