"""Train: a network from scratch, while one watches its curves, activations, gradients and filters.

A training is stopped between two batches and goes on from there, as if it had never stopped. What was trained, as it is
when it stops or ends, can be chosen in the other tabs. The settings shown are those that suit the
architecture; another architecture shows its own.
"""

from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Any

import gradio as gr

from pellucid.errors import PellucidError
from pellucid.learn.backprop_trace import trace_backprop
from pellucid.learn.history import curve_tags
from pellucid.learn.io.config import ARCHITECTURES
from pellucid.learn.network import Network
from pellucid.learn.training import Trainer
from pellucid.see.models.network import open_network
from pellucid.settings import TrainSettings
from pellucid.show.figures.training import HEADS, layer_pictures
from pellucid.show.labels import percent
from pellucid.show.sprites import data_uri
from pellucid.show.studio import controls, html
from pellucid.show.studio.context import Context, connect, download, look, offered
from pellucid.show.studio.sessions import Job, Session

FIRST = ("epochs", "batch", "learning_rate", "optimizer", "seed")
RATES = ("learning_rate", "learning_rates")
BESIDE = ("resume", "checkpoint_batches", "checkpoint_seconds")  # a window keeps its training in memory
ARCHITECTURE = "cnn-4-4-8-16"
SECONDS = 0.5  # from one picture of a training to the next
BEGIN = "Choose images and an architecture, and train a network from nothing."


class TrainTab:
    """The tab; `pickers` are the choices of models in the other tabs, which get what is trained here."""

    def __init__(self, context: Context, pickers: Sequence[Any]) -> None:
        self._context, self._pickers = context, list(pickers)
        self._names = controls.names_of(TrainSettings, FIRST, without=BESIDE)

    def build(self) -> None:
        """The tab's parts, and what they do."""
        with gr.Row(elem_classes=["sheet", "turned"]):
            with gr.Column(scale=4, min_width=300):
                asked = self._asked()
            with gr.Column(scale=7, min_width=300):
                status = look(html.status_line(BEGIN), elem_id="trained-line")
                with gr.Row(elem_classes="buttons"):
                    go = gr.Button("Train", variant="primary", elem_id="train")
                    halt = gr.Button("Stop", variant="stop", elem_id="train-stop")
                    on = gr.Button("Go on", elem_id="train-on", elem_classes="after")
                stage = look("", "stage", elem_id="training")
                with gr.Row(elem_classes="buttons"):
                    file = download("The network, safetensors")
        shown = [status, stage, file, *self._pickers]
        connect(go.click, self.train, asked, shown, concurrency_id="work")
        connect(on.click, self.go_on, [], shown, concurrency_id="work")
        self._context.connect_stop(halt, "train", status)
        for choice in (self._data, self._architecture):
            connect(choice.input, self.recipe, [self._data, self._architecture], [status, *asked[2:]])
        optimizer, *rates = (asked[2 + self._names.index(name)] for name in ("optimizer", *RATES))
        connect(optimizer.input, self.rates, [self._architecture, optimizer], [status, *rates])

    def _asked(self) -> list[Any]:
        """The controls, in the order in which `train` takes them."""
        self._data = self._context.images()
        names, words = list(ARCHITECTURES), "the layers, from image to classes"
        self._architecture = gr.Dropdown(names, value=ARCHITECTURE, label="Architecture", info=words)
        suits = self._suited(None, self._context.data_names[0], ARCHITECTURE)
        made = controls.settings_panel(TrainSettings, self._names, len(FIRST), **suits)
        return [self._data, self._architecture, *[made[name] for name in self._names]]

    def train(self, request: gr.Request, data: str, name: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """A training from the beginning, picture by picture."""
        session = self._context.session(request)
        settings = TrainSettings.of(**controls.changed_settings(TrainSettings, self._names, values, all_of_them=True))
        session.stop("train")

        def begin(job: Job) -> None:
            images = self._context.data(request, data, settings.seed)
            job.check()
            network = Network(name, input_shape=images.input_shape, classes=len(images.classes), seed=settings.seed)
            session.kept["trainer"] = Trainer(network, images, settings)
            _run(job, session.kept["trainer"])

        yield html.status_line(f"Reading the images of {data}, and checking the gradients …", moving=True), gr.skip()
        yield from self._watch(session, begin)

    def go_on(self, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """The training that was stopped, from where it was."""
        session = self._context.session(request)
        trainer = session.kept.get("trainer")
        if trainer is None:
            raise PellucidError("There is no training to go on with; begin one.")
        if session.running("train"):
            raise PellucidError("The training is running; stop it first.")
        if trainer.done:
            raise PellucidError("This training has done all its epochs; begin one with more.")
        yield from self._watch(session, lambda job: _run(job, trainer))

    def recipe(self, request: gr.Request, data: str, architecture: str) -> list[Any]:
        """The settings that suit an architecture and images."""
        suits = self._suited(request, data, architecture)
        defaults = {**{name: TrainSettings.model_fields[name].default for name in self._names}, **suits}
        return [gr.skip(), *[gr.update(value=controls.shown_value(defaults[name])) for name in self._names]]

    def _suited(self, request: gr.Request | None, data: str, name: str) -> dict[str, Any]:
        """The architecture's own settings, with as many epochs as suit the images."""
        suits = dict(ARCHITECTURES[name].recipe)
        epochs = TrainSettings.of(suits).for_images(len(self._context.data(request, data).train)).epochs
        return suits | {"seed": self._context.seed, "epochs": epochs}

    def rates(self, request: gr.Request, name: str, optimizer: str) -> list[Any]:
        """The learning rates that suit an architecture with another optimizer."""
        suits = TrainSettings.of(ARCHITECTURES[name].recipe, optimizer=optimizer)
        return [gr.skip(), *[gr.update(value=controls.shown_value(getattr(suits, rate))) for rate in RATES]]

    def _watch(self, session: Session, work: Any) -> Iterator[tuple[Any, ...]]:
        """Pictures of a training, and at the end the network, for the other tabs."""
        with session.watch("train", work) as job:
            for words, picture in job.frames():
                yield html.status_line(words, moving=True), picture
        trainer = session.kept.get("trainer")
        if trainer is None or not trainer.history.batches:
            yield html.status_line("Stopped before the first batch."), ""
            return
        name, file = _register(session, trainer)
        choices = self._context.registry.names(session)
        words = f"{_summary(trainer)} The other tabs have it as '{name}'."
        picked = [gr.Dropdown(choices=choices) for _ in self._pickers]
        yield html.status_line(words), _picture(trainer), *offered(file), *picked


def _run(job: Job, trainer: Trainer) -> None:
    """Train, showing a picture now and then."""
    last = 0.0

    def on_batch(trainer: Trainer) -> None:
        nonlocal last
        job.check()
        if monotonic() - last >= SECONDS:
            job.show((_summary(trainer), _picture(trainer)))
            last = monotonic()

    for _ in trainer.run(progress=False, on_batch=on_batch):
        job.check()


def _summary(trainer: Trainer) -> str:
    """Epoch, loss and accuracy so far."""
    history = trainer.history
    last, epochs = history.batches[-1], trainer.settings.epochs or 0
    position = f"Epoch {min(last.epoch + 1, epochs)} of {epochs}, batch {last.number + 1}: loss {trainer.average:.3f}."
    if not history.epochs:
        return position
    return f"{position} It reads {percent(history.epochs[-1].dev_accuracy)} of the dev images."


def _picture(trainer: Trainer) -> str:
    """Curves, the worst image of the last batch with its class bars, and every layer, as the live figure has them."""
    seen, history = trace_backprop(trainer.network, *trainer.worst), trainer.history
    names = [str(name) for name in trainer.data.classes][: len(seen.probabilities)]
    names += [str(index) for index in range(len(names), len(seen.probabilities))]
    image = html.received(seen.image, f"the worst image of the last batch: a {names[seen.label]}")
    bars = html.class_bars(seen.probabilities, names, seen.label)
    largest, _ = history.latest_layer_stats()
    of_layer = dict(zip(history.layers, zip(largest.tolist(), seen.dead.tolist(), strict=True), strict=True))
    pictures = layer_pictures(seen, len(names), trainer.filters)
    del pictures["input"]  # which stands above already
    layers = [
        (name, html.activation_text(of_layer[name][0]), of_layer[name][1] == 1, [
            (f"{head}, {words}", data_uri(pixels, "png")) for head, (pixels, words) in zip(HEADS, strips, strict=False)
        ])
        for name, strips in pictures.items()
    ]  # fmt: skip
    return html.part("training", curve_tags(history, trainer.per_epoch), image, bars, layers, not trainer.done)


def _register(session: Session, trainer: Trainer) -> tuple[str, Any]:
    """Keep the network as it is now among the session's models, under one name for each training; and its file."""
    parameters = {name: value.copy() for name, value in trainer.network.parameters.items()}
    network = trainer.network.with_parameters(parameters)
    kept = session.kept.setdefault("names", {})
    if id(trainer) not in kept:
        kept.clear()
        session.kept["count"] = session.kept.get("count", 0) + 1
        kept[id(trainer)] = f"trained here {session.kept['count']}: {network.architecture}"
    name = kept[id(trainer)]
    session.add(name, open_network(network, name=name))
    file = session.path(f"{network.architecture}.safetensors")
    network.save(file)
    return name, file
