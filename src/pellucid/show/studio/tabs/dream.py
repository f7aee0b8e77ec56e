"""Dream: what a network sees, made stronger in a photograph, octave by octave, for somebody who watches.

A preset is a picture of itself; a click on it dreams. Another model, layer and units, tiles and all settings are one
click away. At the end the photo and the dream lie over each other, with a line to pull between them.
"""

import re
from collections import deque
from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np

from pellucid.data.photos import BUNDLED, Photo, bundled_photo
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
FIRST_CLASS, SIZE = "goldfinch", DreamSettings().size
UNITS = re.compile(r"\s*,\s*|\s+(?=-?\d|auto\b)")  # between two units: "56 34", "great white shark, 7"
BEGIN = "Choose a photograph, or drop one of your own, and click on what to dream into it."


class DreamTab:
    """The tab; `model` is its choice of models, empty where a preset dreams."""

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
        dreamt = [status, stage, *files]
        connect(go.click, self.dream, asked, dreamt, concurrency_id="work")
        for choice in (self._presets, self._classes):
            moved = [status, self._strength, self._classes, self.model, self._layer]
            chosen = connect(choice.input, self.choose, [self._presets], moved, queue=False)
            connect(chosen.then, self.dream, asked, dreamt, concurrency_id="work", trigger_mode="multiple")
        self._context.connect_stop(halt, "dream", status)
        connect(self._dropped.upload, self.show_dropped, [self._dropped], [status, stage, self._photo])
        connect(self._photo.input, self.show, [self._photo], [status, stage])
        connect(self.model.input, self.other, [self.model], [status, self._layer, self._presets, self._classes])

    def _asked(self) -> list[Any]:
        """The controls, in the order in which `dream` takes them."""
        with gr.Row(elem_classes="above"):
            self._dropped = dropzone("Drop a photograph")
            self._photo = gr.Radio([*BUNDLED], value=BUNDLED[0], label="Photograph", info="what is dreamt on")
            self._strength = controls.control(DreamSettings, "strength")
        names, words = [*dream_presets(), ("class", CLASS)], "what is dreamt, at a click"
        self._presets = gr.Radio(names, value=names[0], label="Preset", info=words, elem_classes="presets")
        # Capitals, for Gradio takes "file" and "radio" for words of its own to be translated.
        classes, words = sorted((name[0].upper() + name[1:], name) for name in imagenet_classes()), "write to search"
        self._classes = gr.Dropdown(classes, value=FIRST_CLASS, label="Class", info=words, visible=False)
        with gr.Accordion("More: models, layers, units, tiles, settings", open=False, elem_classes="more"):
            self.model = self._context.models("who dreams, in place of a preset", chosen=False)
            self._layer = gr.Dropdown([], value=None, label="Layer", info="where the units of that model are")
            words = "of that layer: auto, numbers as in 56 34, names; of tiles one for all, or for each level"
            units = gr.Textbox("auto", label="Units", info=words)
            seed = {"seed": self._context.seed}
            made = [controls.control(DreamSettings, name, seed.get(name)) for name in self._names]
        return [self._photo, self._presets, self._classes, self._strength, self.model, self._layer, units, *made]

    def dream(self, request: gr.Request, *asked: Any) -> Iterator[tuple[Any, ...]]:
        """The dream, octave by octave: a preset's, or that of the layer and units where a model is named."""
        photo, preset, named, strength, name, layer, units, *values = asked
        session, context = self._context.session(request), self._context
        settings = controls.changed_settings(DreamSettings, self._names, values) | {"strength": strength}
        own = {} if name else dream_presets().get(preset, {})
        whole = {**own, **settings}
        shot = self._chosen(session, photo, whole.get("size", SIZE))
        by = name or own.get("model", COLOR_NETWORK)
        model = context.model(request, by) if name or by in context.registry.names() else None
        title = name or str(named if preset == CLASS else preset).capitalize()
        what = {"preset": f"{CLASS}{named}" if preset == CLASS else preset}
        what = {"layer": layer, "unit": parse_units(units)} if name else what
        place = "Round" if whole.get("method") == "tiles" or "levels" in whole else "Octave"
        yield html.status_line("Looking at the photograph …", moving=True), gr.skip()
        shown = None
        with session.watch("dream", lambda job: _run(job, shot, model, place, {**what, **settings})) as job:
            for words, frame in job.frames():
                new = frame is not shown
                yield html.status_line(words, moving=True), _photo_html(shot, frame) if new else gr.skip()
                shown = frame
            found: Dreamt | None = job.result
        if found is None:
            if not session.replaced("dream", job):  # else what is said is of the dream that has taken its place
                yield (html.status_line("Stopped; the dream was not finished."),)
            return
        by = f"{_units(found)} of {found.layer}"
        words, picture = (f"The dream of {by}", "The photograph before"), found.save(session.path("dream.png"))
        yield (
            html.status_line(f"{title}, dreamt by {by}. Pull the line."),
            html.comparison(html.photo_uri(found.before), html.photo_uri(found.image), words, found.image.shape[1:]),
            *offered(picture, dream_export.save_dream_film(found, session.path("dream.gif"))),
        )

    def choose(self, request: gr.Request, preset: str) -> tuple[Any, ...]:
        """A preset, in place of another model: it ends what is being dreamt, and may have a strength of its own."""
        self._context.session(request).stop("dream")
        strength = dream_presets().get(preset, {}).get("strength", gr.skip())
        classes, none = gr.Dropdown(visible=preset == CLASS), gr.Dropdown(choices=[], value=None)
        return gr.skip(), strength, classes, gr.Dropdown(value=None), none

    def other(self, request: gr.Request, name: str) -> Iterator[tuple[Any, ...]]:
        """Another model, in place of a preset: its layers."""
        for told in self._context.layers(request, name):
            yield *told, gr.Radio(value=None), gr.Dropdown(visible=False)

    def show_dropped(self, request: gr.Request, content: bytes | None) -> tuple[str, str, Any]:
        """A photo of one's own."""
        photo = self._context.session(request).kept["photo"] = self._context.photo(content)
        _, height, width = photo.image.shape
        words = html.status_line(f"A photograph of {width} × {height} pixels.")
        return words, _photo_html(limit_size(photo, SIZE)), gr.Radio(choices=[*BUNDLED, OWN], value=OWN)

    def show(self, request: gr.Request, name: str) -> tuple[str, str]:
        """The photo that was chosen."""
        return html.status_line(BEGIN), _photo_html(self._chosen(self._context.session(request), name))

    def _chosen(self, session: Session, name: str, size: int = SIZE) -> Photo:
        """The photo of that name, its longer side at most `size` pixels."""
        own = name == OWN and "photo" in session.kept
        return limit_size(session.kept["photo"] if own else bundled_photo(name), size)


def parse_units(words: str) -> Any:
    """The units that a person wrote, as `dream` takes them; nothing is "auto".

    >>> parse_units("56 34"), parse_units("great white shark, 7"), parse_units(" auto")
    ([56, 34], ['great white shark', 7], 'auto')
    """
    parts = [int(part) if re.fullmatch(r"-?\d{1,9}", part) else part for part in UNITS.split(words.strip()) if part]
    return parts if len(parts) > 1 else parts[0] if parts else "auto"


def _run(job: Job, shot: Photo, model: Model | None, place: str, asked: dict[str, Any]) -> Dreamt:
    """The dream, telling how far it is."""
    latest: deque[tuple[int, int, np.ndarray]] = deque([(0, 1, shot.image)], maxlen=1)

    def progress(done: int, total: int) -> None:
        number, count, frame = latest[0]
        job.show((f"{place} {min(number + 1, count)} of {count}, {100 * done // max(total, 1)}% …", frame))

    return dream(shot, model, progress=progress, on_round=lambda *now: latest.append(now), **asked)


def _photo_html(photo: Photo, frame: np.ndarray | None = None) -> str:
    """The photo, or a frame of its dream, as large as the photo."""
    image = photo.over() if frame is None else frame
    return html.part("photograph", html.photo_uri(image), photo.image.shape[2], photo.image.shape[1])


def _units(found: Dreamt) -> str:
    """The units that dreamt, the one of most tiles first."""
    units, counts = np.unique(found.units, return_counts=True)
    names = ["all units" if unit < 0 else f"unit {unit}" for unit in units[np.argsort(-counts, kind="stable")]]
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
