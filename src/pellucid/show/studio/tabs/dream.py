"""Dream: what a network sees, made stronger in a photograph, octave by octave, for somebody who watches.

A preset is a picture of itself; a click on it dreams. Another model, layer and units, tiles and all settings are one
click away. At the end the photo and the dream lie over each other, with a line to pull between them.
"""

import functools
import re
from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np

from pellucid.data.photos import BUNDLED, Photo, bundled_photo
from pellucid.errors import PellucidError
from pellucid.see.dream.dream import Dream as Dreamt
from pellucid.see.dream.dream import dream, limit_size
from pellucid.see.dream.presets import CLASS, COLOR_NETWORK
from pellucid.see.models.base import Model
from pellucid.see.models.wheels import imagenet_classes
from pellucid.settings import DreamSettings, dream_presets
from pellucid.show import dream_export
from pellucid.show.studio import controls, html
from pellucid.show.studio.context import Context, connect, download, dropzone, look, offered
from pellucid.show.studio.sessions import Job, Session

OWN = "the photo dropped"
OF_CLASS, FIRST_CLASS = CLASS.rstrip(":"), "goldfinch"
UNITS = re.compile(r"\s*,\s*|\s+(?=-?\d|auto\b)")  # between two units: "56 34", "great white shark, 7"
BEGIN = "Choose a photograph, or drop one of your own, and click on what to dream into it."


class DreamTab:
    """The tab; `model` is its choice of models, empty where the preset brings its own."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._names = controls.names_of(DreamSettings, without=("preset", "strength", "frame"))

    def build(self) -> None:
        """The tab's parts, and what they do."""
        with gr.Column(elem_classes=["sheet", "dreams"]):
            asked = self._asked()
            with gr.Row(elem_classes="buttons"):
                go = gr.Button("Dream", variant="primary", elem_id="dream")
                halt = gr.Button("Stop", variant="stop")
                status = look(html.status_line(BEGIN))
            stage = look(_photo_html(bundled_photo(BUNDLED[0])), "stage", elem_id="dreamt")
            with gr.Row(elem_classes="buttons"):
                files = [download("The dream, PNG"), download("Film of the octaves, GIF")]
        shown = {"inputs": asked, "outputs": [status, stage, *files], "concurrency_id": "work"}
        connect(go.click, self.dream, **shown)
        for choice in (self._presets, self._classes):
            chosen = [status, self._strength, self._classes, self.model, self._layer]
            then = connect(choice.input, self.choose, [self._presets], chosen, queue=False)
            connect(then.then, self.dream, **shown)
        self._context.connect_stop(halt, "dream", status)
        connect(self._dropped.upload, self.show_dropped, [self._dropped], [status, stage, self._photo])
        connect(self._photo.input, self.show, [self._photo], [status, stage])
        connect(self.model.input, self.other, [self.model], [status, self._layer, self._presets])

    def _asked(self) -> list[Any]:
        """The controls, in the order in which `dream` takes them."""
        with gr.Row(elem_classes="above"):
            self._dropped = dropzone("Drop a photograph")
            self._photo = gr.Radio([*BUNDLED], value=BUNDLED[0], label="Photograph", info="what is dreamt on")
            self._strength = controls.control(DreamSettings, "strength")
        names = [*dream_presets(), OF_CLASS]
        self._presets = gr.Radio(
            names, value=names[0], label="Preset", info="what is dreamt, at a click", elem_classes="presets"
        )
        self._classes = gr.Dropdown(
            sorted(imagenet_classes()), value=FIRST_CLASS, label="Class", info="write to search", visible=False
        )
        with gr.Accordion("More: models, layers, units, tiles, settings", open=False, elem_classes="more"):
            self.model = gr.Dropdown(
                self._context.registry.names(), value=None, label="Model", info="who dreams, in place of the preset's"
            )
            self._layer = gr.Dropdown([], value=None, label="Layer", info="where the units of that model are")
            units = gr.Textbox(
                "auto", label="Units", info="of that layer: auto, numbers as in 56 34, names; of tiles one for a level"
            )
            made = {name: controls.control(DreamSettings, name) for name in self._names}
        asked = [self._photo, self._presets, self._classes, self._strength, self.model, self._layer, units]
        return [*asked, *made.values()]

    def dream(
        self,
        request: gr.Request,
        photo: str,
        preset: str | None,
        named: str,
        strength: float,
        name: str | None,
        layer: str,
        units: str,
        *values: Any,
    ) -> Iterator[tuple[Any, ...]]:
        """The dream, octave by octave; of the preset, or of the units of a layer where a model is named."""
        session, registry = self._context.session(request), self._context.registry
        settings = controls.changed_settings(DreamSettings, self._names, values) | {"strength": strength}
        shot = limit_size(self._chosen(session, photo), DreamSettings.of(**settings).size)
        preset = preset or "classic"
        own = name or dream_presets().get(preset, {}).get("model", COLOR_NETWORK)
        model = registry.model(session, own) if name or own in registry.names(session) else None
        what = {"preset": f"{CLASS}{named}" if preset == OF_CLASS else preset}
        if name:
            what = {"layer": layer, "unit": parse_units(units)}
        yield html.status_line("Looking at the photograph …", moving=True), gr.skip()
        with session.watch("dream", lambda job: _run(job, shot, model, {**what, **settings})) as job:
            shown = None
            for words, frame in job.frames():
                yield (
                    html.status_line(words, moving=True),
                    gr.skip() if frame is shown else _image_html(frame, shot.image.shape[1:]),
                )
                shown = frame
            found: Dreamt | None = job.result
        if found is None:
            if not session.running("dream"):  # else another dream has taken its place
                yield (html.status_line("Stopped; the dream was not finished."),)
            return
        by = f"{_units(found)} of {found.layer}"
        words = (f"The dream of {by}", "The photograph before")
        told = f"Dreamt by {by}" if name else f"Dreamt: {_said(preset, named)}"
        yield (
            html.status_line(f"{told}. Pull the line."),
            html.comparison(html.photo_uri(found.before), html.photo_uri(found.image), words, found.image.shape[1:]),
            *_files(session, found),
        )

    def choose(self, request: gr.Request, preset: str) -> tuple[Any, ...]:
        """A preset, which ends what is being dreamt and sets its own strength, in place of another model."""
        self._context.session(request).stop("dream")
        strength = dream_presets().get(preset, {}).get("strength", gr.skip())
        return (
            gr.skip(),
            strength,
            gr.Dropdown(visible=preset == OF_CLASS),
            gr.Dropdown(value=None),
            gr.Dropdown(choices=[], value=None),
        )

    def other(self, request: gr.Request, name: str) -> tuple[Any, ...]:
        """Another model, in place of a preset: its layers."""
        return *self._context.layers(request, name), gr.Radio(value=None), gr.Dropdown(visible=False)

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

    def _chosen(self, session: Session, name: str) -> Photo:
        if name == OWN and "photo" in session.kept:
            photo: Photo = session.kept["photo"]
            return photo
        return bundled_photo(name)


def parse_units(words: str) -> Any:
    """The units that a person wrote, as `dream` takes them; nothing is "auto".

    >>> parse_units("56 34"), parse_units("great white shark, 7"), parse_units(" auto")
    ([56, 34], ['great white shark', 7], 'auto')
    """
    parts = [int(part) if re.fullmatch(r"-?\d{1,9}", part) else part for part in UNITS.split(words.strip()) if part]
    return parts if len(parts) > 1 else parts[0] if parts else "auto"


def _run(job: Job, shot: Photo, model: Model | None, asked: dict[str, Any]) -> Dreamt:
    """The dream, telling how far it is."""
    of_tiles = asked.get("method") == "tiles" or "levels" in asked
    at, count = 0, 0
    latest: np.ndarray | None = None

    def progress(done: int, total: int) -> None:
        place = f"{'Round' if of_tiles else 'Octave'} {min(at + 1, count)} of {count}"
        job.show((f"{place}, {100 * done // max(total, 1)}% …", latest))

    def on_round(number: int, rounds: int, frame: np.ndarray) -> None:
        nonlocal at, count, latest
        at, count, latest = number, rounds, frame

    return dream(shot, model, progress=progress, on_round=on_round, **asked)


def _photo_html(photo: Photo) -> str:
    """The photograph, as large as it is dreamt on."""
    small = limit_size(photo, DreamSettings().size).over()
    return _image_html(small, small.shape[1:])


def _image_html(image: np.ndarray, size: tuple[int, ...]) -> str:
    """A picture as large as this (height, width)."""
    return html.part("photograph", html.photo_uri(image), size[1], size[0])


def _said(preset: str, named: str) -> str:
    """What a preset dreams, in words."""
    return f"the class {named}" if preset == OF_CLASS else f"{preset}, {dream_presets()[preset]['says']}"


def _units(found: Dreamt) -> str:
    """The units that dreamt, the one of most tiles first."""
    units, counts = np.unique(found.units, return_counts=True)
    names = ["all units" if unit < 0 else f"unit {unit}" for unit in units[np.argsort(-counts, kind="stable")]]
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _files(session: Session, found: Dreamt) -> list[Any]:
    picture = found.save(session.path("dream.png"))
    film = dream_export.save_dream_film(found, session.path("dream.gif")) if found.frames else None
    return offered(picture, film)
