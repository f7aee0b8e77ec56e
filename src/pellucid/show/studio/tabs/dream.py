"""Dream: what a unit likes, carved into a photograph, round by round, for somebody who watches.

Each level of the dream (the whole picture, its 4 tiles, its 16 ...) has a unit of its own, or "auto", what each tile
excites most already. At the end the photo and the dream lie over each other, with a line to pull between them.
"""

from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np

from pellucid.data.photos import BUNDLED, Photo, bundled_photo
from pellucid.errors import PellucidError
from pellucid.see.dream.dream import Dream as Dreamt
from pellucid.see.dream.dream import dream
from pellucid.see.models.base import Model
from pellucid.settings import DreamSettings
from pellucid.show import dream_export
from pellucid.show.studio import controls, html
from pellucid.show.studio.context import Context, connect, download, dropzone, look, offered
from pellucid.show.studio.sessions import Job, Session

FIRST = ("levels", "rounds", "steps", "strength")
LEVELS = 8  # as many as DreamSettings allows
OWN = "the photo dropped"
AUTO, WHOLE = "auto", "all units"
BEGIN = "Choose a photograph, or drop one of your own, and let a unit carve what it likes into it."


class DreamTab:
    """The tab; `model` is its choice of models."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._names = controls.names_of(DreamSettings, FIRST)

    def build(self) -> None:
        """The tab's parts, and what they do."""
        with gr.Row(elem_classes=["sheet", "turned"]):
            with gr.Column(scale=4, min_width=300):
                asked = self._asked()
            with gr.Column(scale=7, min_width=300):
                status = look(html.status_line(BEGIN))
                with gr.Row(elem_classes="buttons"):
                    go = gr.Button("Dream", variant="primary", elem_id="dream")
                    halt = gr.Button("Stop", variant="stop")
                stage = look(_photo_html(bundled_photo(BUNDLED[0])), "stage", elem_id="dreamt")
                with gr.Row(elem_classes="buttons"):
                    files = [download("The dream, PNG"), download("Film of the rounds, GIF")]
        connect(go.click, self.dream, asked, [status, stage, *files], concurrency_id="work")
        self._context.connect_stop(halt, "dream", status)
        connect(self._dropped.upload, self.show_dropped, [self._dropped], [status, stage, self._photo])
        connect(self._photo.input, self.show, [self._photo], [status, stage])
        connect(self.model.change, self._context.layers, [self.model], [status, self._layer])
        connect(self._layer.change, self.units, [self.model, self._layer], [status, *self._units])
        connect(self._made["levels"].change, self.levels, [self._made["levels"]], [status, *self._units])

    def _asked(self) -> list[Any]:
        """The controls, in the order in which `dream` takes them."""
        self._dropped = dropzone("Drop a photograph")
        self._photo = gr.Radio([*BUNDLED], value=BUNDLED[0], label="Photograph", info="what is dreamt on")
        self.model, self._layer = self._context.model_choice("who dreams")
        choices = _choices(self._context.registry.model(None, self.model.value), self._layer.value)
        count = DreamSettings.model_fields["levels"].default
        with gr.Row(elem_classes="levels"):
            self._units = [
                gr.Dropdown(choices, value=AUTO, label=_level(level), visible=level < count, min_width=120)
                for level in range(LEVELS)
            ]
        self._made = controls.settings_panel(DreamSettings, self._names, len(FIRST), seed=self._context.seed)
        return [self._photo, self.model, self._layer, *self._units, *[self._made[name] for name in self._names]]

    def dream(self, request: gr.Request, photo: str, name: str, layer: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """The dream, round by round."""
        session = self._context.session(request)
        model = self._context.registry.model(session, name)
        settings = controls.changed_settings(DreamSettings, self._names, values[LEVELS:])
        levels = DreamSettings.of(**settings).levels
        units = [{AUTO: "auto", WHOLE: -1}.get(str(unit), unit) for unit in values[:levels]]
        shot = self._chosen(session, photo)
        yield html.status_line("Looking at the photograph …"), _photo_html(shot)
        with session.watch("dream", lambda job: _run(job, shot, model, layer, units, settings)) as job:
            for words, frame in job.frames():
                yield html.status_line(words, moving=True), gr.skip() if frame is None else _image_html(frame)
            found: Dreamt | None = job.result
        if found is None:
            yield (html.status_line("Stopped; the dream was not finished."),)
            return
        words = (f"The dream of {_units(found)} of {found.layer}", "The photograph before")
        yield (
            html.status_line(f"Dreamt by {_units(found)} of {layer}. Pull the line."),
            html.comparison(html.photo_uri(found.before), html.photo_uri(found.image), words, found.image.shape[1:]),
            *_files(session, found),
        )

    def show_dropped(self, request: gr.Request, content: bytes | None) -> tuple[str, str, Any]:
        """A photo of one's own."""
        if content is None:
            raise PellucidError("No picture arrived; drop one again.")
        photo = self._context.photo(content)
        self._context.session(request).kept["photo"] = photo
        _, height, width = photo.image.shape
        words = html.status_line(f"A photograph of {width} × {height} pixels.")
        return words, _photo_html(photo), gr.Radio(choices=[*BUNDLED, OWN], value=OWN)

    def show(self, request: gr.Request, name: str) -> tuple[str, str]:
        """The photo that was chosen."""
        return html.status_line(BEGIN), _photo_html(self._chosen(self._context.session(request), name))

    def units(self, request: gr.Request, name: str, layer: str) -> list[Any]:
        """The units of another layer, for each level."""
        choices = _choices(self._context.registry.model(self._context.session(request), name), layer)
        return [gr.skip(), *[gr.Dropdown(choices=choices, value=AUTO) for _ in range(LEVELS)]]

    def levels(self, request: gr.Request, count: int) -> list[Any]:
        """As many choices of units as there are levels."""
        return [gr.skip(), *[gr.Dropdown(visible=level < count) for level in range(LEVELS)]]

    def _chosen(self, session: Session, name: str) -> Photo:
        if name == OWN and "photo" in session.kept:
            photo: Photo = session.kept["photo"]
            return photo
        return bundled_photo(name)


def _run(job: Job, shot: Photo, model: Model, layer: str, units: list[Any], settings: dict[str, Any]) -> Dreamt:
    """The dream, telling how far it is."""
    rounds = DreamSettings.of(**settings).rounds
    ended = 0
    latest: np.ndarray | None = None

    def progress(done: int, total: int) -> None:
        job.show((f"Round {min(ended + 1, rounds)} of {rounds}, {100 * done // max(total, 1)}% …", latest))

    def on_round(number: int, frame: np.ndarray) -> None:
        nonlocal ended, latest
        ended, latest = number, frame

    return dream(shot, model, layer=layer, unit=units, progress=progress, on_round=on_round, **settings)


def _level(level: int) -> str:
    return f"Unit, {'whole picture' if level == 0 else f'{4**level} tiles'}"


def _choices(model: Model, layer: str) -> list[Any]:
    """The units of a layer, before them what a tile excites most, and all together."""
    return [AUTO, WHOLE, *range(model.layer(layer).units)]


def _photo_html(photo: Photo) -> str:
    """The photograph, as large as it is worked on."""
    return _image_html(photo.over())


def _image_html(image: np.ndarray) -> str:
    height, width = image.shape[1:]
    return html.part("photograph", html.photo_uri(image), width, height)


def _units(found: Dreamt) -> str:
    """The units that dreamt, the one of most tiles first."""
    units, counts = np.unique(found.units, return_counts=True)
    names = ["all units" if unit < 0 else f"unit {unit}" for unit in units[np.argsort(-counts, kind="stable")]]
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _files(session: Session, found: Dreamt) -> list[Any]:
    picture = found.save(session.path("dream.png"))
    film = dream_export.save_dream_film(found, session.path("dream.gif")) if found.frames else None
    return offered(picture, film)
