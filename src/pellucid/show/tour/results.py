"""Results: every number on the tour's page, typed, and so also what stands in `results.json`.

The page is rendered from a `Results` and pictures alone; a number that is not here cannot get onto the page.
"""

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A frozen group of numbers; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataFacts(Record):
    """What was learnt from."""

    name: str
    train: int
    dev: int
    test: int
    height: int
    width: int
    classes: tuple[str, ...]


class Gradient(Record):
    """One parameter's hand-written gradient against central differences."""

    parameter: str
    shape: tuple[int, ...]
    entries: int  # how many of its entries were compared
    kinks: int  # how many could not be, because a rectifier switches there
    worst: float  # worst relative error
    tolerance: float
    right: bool


class Epoch(Record):
    """How well the network did after an epoch; accuracies in [0, 1]."""

    epoch: int
    train_loss: float
    train_accuracy: float
    dev_loss: float
    dev_accuracy: float


class Training(Record):
    """The network and its training; `losses[i]` is the loss of the batch of step `steps[i]`."""

    architecture: str
    layers: tuple[str, ...]
    parameters: int
    epochs: tuple[Epoch, ...]
    steps: tuple[int, ...]
    losses: tuple[float, ...]


class Mistake(Record):
    """A test image that the network got wrong, and how sure it was."""

    image: int  # index among the test images
    truth: int
    guess: int
    probability: float  # of the guess


class Test(Record):
    """The accuracy on images that the network never saw; `confusion[truth][guess]` counts them."""

    accuracy: float
    right: int
    images: int
    confusion: tuple[tuple[int, ...], ...]
    mistakes: tuple[Mistake, ...]


class LayerActivity(Record):
    """One layer's answer to one image."""

    layer: str
    kind: str  # "maps" or "units"
    shape: tuple[int, ...]
    largest: float
    silent: int  # maps (or units) that stay at zero
    values: tuple[float, ...] = ()  # the activations themselves, of units only


class Digit(Record):
    """One test image going through the network."""

    image: int
    truth: int
    guess: int
    pixels: tuple[tuple[int, ...], ...]  # 0 to 99
    probabilities: tuple[float, ...]
    layers: tuple[LayerActivity, ...]


class ModelFacts(Record):
    """The bundled model whose maps were asked."""

    name: str
    layers: tuple[str, ...]
    trained_on: str | None  # None where its file does not say so
    accuracy: float | None  # on the test images of that; None where neither its file nor the data at hand tell


class MapPattern(Record):
    """The pattern of one map, and how it came about; dead: none of the starts and training images tried woke it."""

    unit: int
    activation: float
    dead: bool
    steps: int
    tried_starts: int
    tried_images: int
    film_activations: tuple[float, ...]  # at each step of `film_steps`, and of the pattern itself


class LayerPatterns(Record):
    """The patterns of all maps of a layer; a film has a frame at each of `film_steps`, and last the pattern itself."""

    layer: str
    seconds: float
    dead: int
    mean_activation: float
    film_steps: tuple[int, ...]
    maps: tuple[MapPattern, ...]


class Strip(Record):
    """A pattern whose film is shown on the page."""

    layer: str
    unit: int


class DreamFacts(Record):
    """How the dream was made."""

    photo: str
    layer: str
    unit: int
    levels: int
    rounds: int
    steps: int
    height: int
    width: int


class Results(Record):
    """The tour in numbers; `seconds` per stage, in the order in which they ran."""

    command: str
    seed: int
    threads: int
    seconds: dict[str, float]
    versions: dict[str, str]
    data: DataFacts
    gradients: tuple[Gradient, ...]
    training: Training
    test: Test
    digit: Digit
    model: ModelFacts
    layers: tuple[LayerPatterns, ...]
    strips: tuple[Strip, ...]
    dream: DreamFacts

    @property
    def maps(self) -> int:
        """How many maps were asked."""
        return sum(len(layer.maps) for layer in self.layers)

    @property
    def dead(self) -> int:
        """How many of them are dead."""
        return sum(layer.dead for layer in self.layers)

    @property
    def total_seconds(self) -> float:
        """All stages together."""
        return sum(self.seconds.values())
