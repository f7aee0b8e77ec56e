"""Settings of learning: how networks are trained and watched, how clusters become features, where images come from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from pellucid.settings.fields import Settings, field

VIEWS = 24_000
"""Images that a training sees in all where nothing says how many epochs: the 1,197 digits 21 times, MNIST's once."""

AUGMENTATION = ("shift", "flip", "rotate", "crop", "color")
"""Settings of what is done to training images; the defaults do nothing."""


class OptimizationSettings(Settings):
    """How a network is trained; architectures bring their own defaults."""

    epochs: int | None = field(None, unset=f"the architecture's, or as many as show {VIEWS:,} images", ge=0, le=10_000)
    """passes over all training images"""
    batch: int = field(128, ge=1, le=65_536)
    """images in a batch; the last batch of an epoch may be smaller"""
    optimizer: Literal["sgd", "momentum", "nesterov", "adam", "adamw"] = field("momentum")
    """update rule of the parameters: plain SGD, SGD with momentum or with Nesterov's momentum, Adam, or AdamW, which is
    Adam and a decay of the weights"""
    learning_rate: float = field(0.05, was="rate", gt=0, le=100)
    """learning rate: factor of a batch's mean gradient; 0.001 for adam, adamw"""
    momentum: float = field(0.9, heading="Optimization", ge=0, lt=1)
    """share of the previous update in the next one, Adam's beta1; not used by SGD"""
    weight_decay: float = field(0.01, ge=0, le=1)
    """share of each weight, times the learning rate, that a step takes off; AdamW only"""
    schedule: Literal["constant", "linear", "inverse", "exponential", "cosine", "step", "plateau"] = field("cosine")
    """learning rate after t epochs, from r at first: constant r, linear r - decay t, inverse r / (1 + decay t),
    exponential r exp(-decay t), cosine half a wave from r to 0; times decay_factor every decay_epochs (step), or after
    as many without a lower loss on the dev images (plateau)"""
    decay: float = field(0.0, ge=0)
    """decay of the learning rate per epoch: linear, inverse, exponential schedules"""
    decay_factor: float = field(0.1, gt=0, le=1)
    """factor of the learning rate at each of its falls: step and plateau schedules"""
    decay_epochs: int = field(5, ge=1)
    """epochs from one fall of the learning rate to the next (step schedule), or without a lower loss on the dev images
    until it falls (plateau schedule)"""
    learning_rates: tuple[Annotated[float, Field(gt=0, le=100)], ...] = field((), unset="the schedule's", was="rates")
    """learning rate of each epoch in turn, the last for all further ones"""
    warmup: int = field(0, ge=0)
    """steps over which the learning rate first rises, from near zero to its full value"""
    clip: float = field(0.0, ge=0)
    """largest norm of the gradient over all parameters, to which a longer one is scaled; 0 for no limit"""
    ridge: float = field(0.0, heading="Regularization", ge=0)
    """strength of the L2 penalty on weights: lambda / 2m times their sum of squares, for batches of m images"""
    robust: float = field(0.0, ge=0, le=1000)
    """robust training: largest distance by which each training image is moved to where its loss is higher, in the
    network's scaling (a standardized 28 x 28 digit has length 28, and 4 suits it); 0 for ordinary training"""
    label_smoothing: float = field(0.0, ge=0, lt=1)
    """share of each label that the training loss spreads evenly over all classes; 0 for none"""
    patience: int = field(0, ge=0)
    """early stopping: epochs without a lower loss on the dev images after which a training ends; in the end the network
    has its weights after the best epoch; 0 for no stopping, and the last weights"""
    shift: int = field(0, heading="Random changes", ge=0, le=16)
    """data augmentation: largest random shift of a training image, in pixels"""
    flip: Literal["none", "horizontal", "vertical", "both"] = field("none")
    """data augmentation: mirroring of half of the training images, left to right, top to bottom, or both"""
    rotate: float = field(0.0, ge=0, le=180)
    """data augmentation: largest random rotation of a training image, in degrees, either way"""
    crop: float = field(1.0, gt=0, le=1)
    """data augmentation: least share of an image's sides that is enlarged to the whole; 1 for none"""
    color: float = field(0.0, ge=0, le=1)
    """data augmentation: largest random change of brightness, contrast, saturation, as a share"""
    seed: int = field(0, heading="Common options", ge=0)
    """seed of the order and augmentation of training images; on the command line of first weights and splits too"""
    ema: float = field(0.99, heading="Seldom needed", was="alpha", ge=0, lt=1)
    """weight of the past in the exponential moving average of the reported loss"""

    @classmethod
    def of(cls, defaults: Mapping[str, Any] | None = None, /, **values: Any) -> Self:
        """As for all settings; but a given rate or schedule puts aside the `learning_rates` of the defaults.

        So does an optimizer whose steps are of another size, for the `learning_rate` too: Adam's is 0.001 by itself.
        """
        defaults, values = cls.renamed(defaults or {}), cls.renamed(values)
        before, after = (table.get("optimizer") in ("adam", "adamw") for table in (defaults, {**defaults, **values}))
        if before != after:
            defaults.pop("learning_rate", None)
        if before != after or values.keys() & {"learning_rate", "schedule", "decay"}:
            defaults.pop("learning_rates", None)
        if after and "learning_rate" not in {**defaults, **values}:
            defaults["learning_rate"] = 0.001
        return super().of(defaults, **values)

    def for_images(self, count: int) -> Self:
        """With a number of epochs: where none is given, what suits so many training images."""
        return self if self.epochs is not None else self.model_copy(update={"epochs": math.ceil(VIEWS / count)})


class NetworkSettings(Settings):
    """What of an architecture may be changed; whatever is not given is the architecture's own."""

    hidden: str | None = field(None, heading="Network", unset="the architecture's")
    """widths of the hidden dense layers, such as 100-50; as many layers as widths"""
    initialization: str | None = field(None, unset="the architecture's, with biases of 0")
    """weights to begin with: he, xavier, xavier-uniform, normal:DEVIATION, or uniform:C for -C to C over the root of a
    unit's inputs; then perhaps the biases, uniform:1:0.1; by kind of layer as conv=normal:0.5/dense=he/logits=he:0.1"""
    scaling: Literal["unit", "standardized", "unit-norm", "features"] | None = field(None, unset="the architecture's")
    """scaling of the network's input: none (unit); each image to zero mean and unit deviation (standardized), or to
    unit norm; each pixel by its mean and deviation in the training images (features)"""
    loss: Literal["cross-entropy", "log-loss", "sigmoid-cross-entropy"] | None = field(None, unset="the architecture's")
    """loss: cross-entropy of softmax outputs; of sigmoid outputs, log-loss (each class by itself) or
    sigmoid-cross-entropy (categorical, of their shares)"""
    drop_below: float = field(0.0, ge=0, le=1)
    """deviation over the training images (pixels of 0 to 1) below which a pixel, such as one at a blank border, is
    dropped; 0 to keep all"""


class TrainSettings(OptimizationSettings):
    """How one network is trained: its optimization, what is checked and measured, where its state is kept."""

    check: bool = field(True, heading="Monitoring")
    """check of the hand-written gradients by central differences, before the first step"""
    test: bool = field(False)
    """accuracy on the test images, too, after every epoch; not on the dev images only"""
    dev_batches: int = field(0, ge=0)
    """batches from one judging of the dev images inside an epoch, and the line that a command prints then, to the next;
    0 for the end of an epoch only"""
    full_epochs: int = field(0, ge=0)
    """epochs from one judging of all training images (accuracy, cost, ridge share) to the next; 0 for none"""
    checkpoint: Path | None = field(None, heading="Checkpoints", unset="none is kept")
    """file (.safetensors) for the state of the training"""
    resume: bool = field(False)
    """continuation of the training in the checkpoint's file, if that exists"""
    checkpoint_batches: int = field(0, ge=0)
    """batches from one checkpoint to the next; 0 to go by seconds only"""
    checkpoint_seconds: float = field(30, ge=0)
    """seconds from one checkpoint to the next; 0 to go by batches only"""
    snapshots: Path | None = field(None, unset="none are kept")
    """folder for the network on its way, as an atlas shows it: after 0, 1, 2, 4, 8 ... batches and each epoch"""

    def course(self) -> dict[str, Any]:
        """The settings that determine what is learnt and recorded, as JSON can hold them: not where it is kept."""
        beside = {"check", "checkpoint", "resume", "checkpoint_batches", "checkpoint_seconds", "snapshots"}
        return self.model_dump(mode="json", exclude=beside)


class CallbackSettings(Settings):
    """What is kept of a training beside the network, and how it is watched."""

    live: Path | None = field(None, heading="Monitoring", unset="none is drawn")
    """picture (.png) redrawn during the training: curves, an image in every layer; as .webp, .gif or .mp4 a film"""
    live_batches: int = field(50, ge=1)
    """batches from one live picture, or one TensorBoard entry, to the next; fewer in a film of under 16 pictures"""
    tensorboard: Path | None = field(None, unset="no log")
    """folder for a TensorBoard log of the training; needs the package tensorboard"""
    curves: Path | None = field(None, heading="Further files", unset="none is drawn")
    """figure (.png, .pdf or .svg) of the training's curves"""
    history: Path | None = field(None, unset="none is written")
    """file (.json or .csv) for the numbers of every batch and epoch"""
    tables: Path | None = field(None, unset="none are written")
    """folder for weights (a row per input) and biases, two CSV files per layer"""


class KMeansSettings(Settings):
    """How the centres of clusters are found."""

    restarts: int = field(1, heading="Clusters", ge=1, le=10_000)
    """sets of cluster centres to begin with, of which mini-batch k-means goes on from the best"""
    iterations: int = field(100, ge=1, le=10_000)
    """passes of mini-batch k-means over what is clustered, at most"""
    cluster_batch: int = field(512, ge=1, le=65_536)
    """images (or pixels) in a batch of mini-batch k-means"""
    cluster_scaling: Literal["unit", "standardized", "unit-norm", "features"] = field("unit")
    """scaling of the pixels that are clustered: none (unit); each image to zero mean and unit deviation (standardized),
    or to unit norm; each pixel by its mean and deviation in the training images (features)"""


class FeatureSettings(KMeansSettings):
    """How distances to the centres of clusters become what a network learns from."""

    copies: int = field(2, heading="Clusters", ge=0, le=100)
    """randomly shifted copies of each training image whose distances are learnt as well"""


class ClusterSettings(FeatureSettings):
    """What is put into clusters, and how a network learns from these."""

    clusters: int = field(70, heading="Clusters", ge=0, le=10_000)
    """cluster centres whose distances are the features; in a study 0, for pixels"""
    clustered: Literal["images", "pixels"] = field("images")
    """what is put into clusters: images, whose distances to the centres a network learns from; or pixels, and it learns
    from the mean of each group"""


class ScanSettings(Settings):
    """Which numbers of clusters are tried, and how they are judged."""

    counts: tuple[Annotated[int, Field(ge=2, le=10_000)], ...] = field(tuple(range(10, 171, 10)), heading="Clusters")
    """numbers of clusters to try"""
    sample: int = field(5000, ge=2, le=5000)
    """images behind a silhouette score, whose time is quadratic in them"""


IMAGES = (
    "images: 'digits', 'mnist', a folder of pictures (a folder for each class, train/ and test/ above them if there "
    "are; or pictures alone), a CSV or NPZ file, one to train on and one to test on with a comma between, or a folder "
    "of these two or of IDX files"
)


class OptionalDataSettings(Settings):
    """Which images go with a model, if any."""

    data: str | None = field(None, IMAGES, unset="none, and what needs images is left out")
    data_dir: Path | None = field(None, heading="Seldom needed", unset="$PELLUCID_DATA, or a download, which is kept")
    """folder of MNIST's files"""


class JudgeDataSettings(OptionalDataSettings):
    """Which images patterns are judged by."""

    data: str | None = field(None, IMAGES, unset="scikit-learn's digits, or in color crops of its photographs")


class DataSettings(OptionalDataSettings):
    """Which images are used, and where they lie."""

    data: str = field("digits", IMAGES)


class SplitSettings(DataSettings):
    """Which images are used, and how they are split."""

    split: str | None = field(None, unset="those of the data; of one file 80, 10 and 10%")
    """sizes of the splits for training, dev and test, such as 60000,0,10000; with 0 for dev, test images stand in"""


class SeedSettings(Settings):
    """The seed of commands that have no other settings."""

    seed: int = field(0, ge=0)
    """seed of whatever is random"""
