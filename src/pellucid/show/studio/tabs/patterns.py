"""Patterns: what units look for, found while one watches; stopped, kept, downloaded.

Everything that PatternSettings knows can be set. An ascent begins from noise, from what is drawn in the first tab, or
from the patterns that are shown, to go on from there.
"""

import itertools
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np

from pellucid.data.photos import Photo
from pellucid.data.pixels import Tones, image_wall
from pellucid.errors import PellucidError, counted
from pellucid.files import atomic_path
from pellucid.see.models.base import Model
from pellucid.settings import PatternSettings
from pellucid.show import export
from pellucid.show.studio import controls, html
from pellucid.show.studio.context import Context, connect, download, layer_choices, look, offered
from pellucid.show.studio.pattern_stream import PAGE, Request, Snapshot, patterns_html, stream_patterns
from pellucid.show.studio.sessions import Session
from pellucid.show.studio.tabs.draw import session_image

FIRST = ("optimizer", "steps", "tv", "l1", "l2", "others", "seed")  # the rest is one click away
NOISE, DRAWING, SHOWN = "noise", "what is drawn", "the patterns shown"
MOST_KEPT = 200
UNITS = re.compile(r"(-1|[0-9]{1,9})(?:-([0-9]{1,9}))?")
BEGIN = "Choose a layer and its units, and watch what they look for come out of noise."


class PatternsTab:
    """The tab; `model` is its choice of models."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._names = controls.names_of(PatternSettings, FIRST, without=("near_layer", "near_weight"))

    def build(self) -> None:
        """The tab's parts, and what they do."""
        with gr.Row(elem_classes=["sheet", "turned"]):
            with gr.Column(scale=4, min_width=300):
                asked = self._asked()
            with gr.Column(scale=7, min_width=300):
                status = look(html.status_line(BEGIN))
                with gr.Row(elem_classes="buttons"):
                    go = gr.Button("Evolve", variant="primary", elem_id="evolve")
                    halt = gr.Button("Stop", variant="stop")
                    keep = gr.Button("Keep", elem_classes="after")
                stage = look("", "stage", elem_id="stage")
                with gr.Row(elem_classes="buttons"):
                    files = [download("Picture, PNG"), download("Everything, NPZ"), download("Film, GIF")]
                kept = look("", "kept", elem_id="kept")
                with gr.Row(elem_classes="buttons"):
                    every = download("All that was kept, ZIP")
        connect(go.click, self.evolve, asked, [status, stage, *files], concurrency_id="work")
        self._context.connect_stop(halt, "patterns", status)
        connect(keep.click, self.keep, [], [status, kept, every])
        connect(self.model.change, self._context.layers, [self.model], [status, self._layer])

    def _asked(self) -> list[Any]:
        """The controls, in the order in which `evolve` takes them."""
        self.model = self._context.models("whose units are asked")
        choices, layer = layer_choices(self._context.registry.model(None, self.model.value))
        self._layer = gr.Dropdown(choices, value=layer, label="Layer", info="where the units are")
        words = "numbers, as in 3 7 20-30; all; -1 for the whole layer at once"
        units = gr.Textbox(value="0-15", label="Units", info=words)
        start = gr.Radio([NOISE, DRAWING, SHOWN], value=NOISE, label="Start", info="what the ascent begins from")
        made = controls.settings_panel(PatternSettings, self._names, len(FIRST), seed=self._context.seed)
        return [self.model, self._layer, units, start, *[made[name] for name in self._names]]

    def evolve(
        self, request: gr.Request, name: str, layer: str, units: str, start: str, *values: Any
    ) -> Iterator[tuple[Any, ...]]:
        """The ascent, picture by picture."""
        session, model = self._context.session(request), self._context.model(request, name)
        settings = controls.changed_settings(PatternSettings, self._names, values)
        begin = self._start(session, model, start)
        asked = Request(model, layer, parse_units(units, model.layer(layer).units), settings, begin)
        yield (html.status_line("Choosing the best of many starts …", moving=True),)
        snapshot = None
        for snapshot in stream_patterns(session, "patterns", asked, self._context.settings.seconds):
            if snapshot.found is None:
                yield html.status_line(_status(snapshot), moving=True), patterns_html(snapshot, asked, PAGE)
        if snapshot is None or (snapshot.found is None and snapshot.steps.max() < 0):
            yield html.status_line("Stopped before the first step."), ""
            return
        session.kept["patterns"] = (asked, snapshot)
        line = html.status_line(_status(snapshot, ended=True))
        yield line, patterns_html(snapshot, asked, PAGE), *_files(session, asked, snapshot)

    def keep(self, request: gr.Request) -> tuple[str, str, Any]:
        """Put what is shown among what is kept."""
        session = self._context.session(request)
        if "patterns" not in session.kept:
            raise PellucidError("There is nothing to keep yet; let a pattern evolve first.")
        asked, snapshot = session.kept["patterns"]
        gallery = session.kept.setdefault("gallery", [])
        if len(gallery) + len(snapshot.images) > MOST_KEPT:
            raise PellucidError(f"At most {MOST_KEPT} patterns are kept in a window; download them and reload it.")
        units = range(len(snapshot.images)) if asked.units is None else asked.units
        for unit, image, value in zip(units, snapshot.images, snapshot.activations.tolist(), strict=True):
            gallery.append((f"{asked.model.name}-{asked.layer}-{unit}", image, value, asked.tones))
        words = f"{len(gallery)} pattern{'s are' if len(gallery) > 1 else ' is'} kept."
        return html.status_line(words), _gallery_html(gallery), *offered(_zip(session, gallery))

    def _start(self, session: Session, model: Model, start: str) -> np.ndarray | None:
        """The images that the ascent begins from, in model space; None for noise."""
        if start == DRAWING:
            image, _ = session_image(session, model)
            if image is None:
                raise PellucidError("Nothing is drawn yet; draw something in the first tab, or start from noise.")
            return np.asarray(model.prepared(image[None]).cpu().numpy()[0])
        if start == SHOWN:
            if "patterns" not in session.kept:
                raise PellucidError("No pattern is shown yet; start from noise.")
            found: Snapshot = session.kept["patterns"][1]
            return found.images if len(found.images) > 1 else found.images[0]
        return None


def parse_units(words: str, count: int) -> tuple[int, ...] | None:
    """The units that a person wrote: "3 7 20-30"; None for all of the layer's `count`.

    Raises PellucidError for what are no units of the layer.

    >>> parse_units("3, 7 20-22", 32), parse_units("all", 32)
    ((3, 7, 20, 21, 22), None)
    """
    found: list[int] = []
    for word in words.replace(",", " ").split():
        if word == "all":
            return None
        written = UNITS.fullmatch(word)
        if written is None:
            raise PellucidError(f"'{word[:40]}' is no unit; write numbers, as in 3 7 20-30, or all.")
        span = (int(written[1]), int(written[1] if written[2] is None else written[2]))
        if not -1 <= span[0] <= span[1] < count:
            raise PellucidError(f"There are no units {word[:40]}; choose 0 to {count - 1}, or -1 for the whole layer.")
        found += range(span[0], span[1] + 1)
    if not found:
        raise PellucidError("No units are named; write numbers, as in 3 7 20-30, or all.")
    return tuple(dict.fromkeys(found))


def _status(snapshot: Snapshot, *, ended: bool = False) -> str:
    steps, mean = int(snapshot.steps.max()), html.activation_text(float(snapshot.activations.mean()))
    if not ended:
        return f"Step {max(steps, 0)}, mean activation {mean}."
    if snapshot.found is None:
        return f"Stopped after {counted(steps, 'step')}, at a mean activation of {mean}; what was reached stays."
    dead = int(snapshot.found.dead.sum())
    result = f"{counted(len(snapshot.images), 'pattern')} in {snapshot.seconds:.1f} s, mean activation {mean}"
    result += f", {snapshot.found.settings.sought}"
    return f"{result}; {dead} dead." if dead else f"{result}."


def _files(session: Session, asked: Request, snapshot: Snapshot) -> list[Any]:
    """The downloads: a picture always, everything and a film where there is a result."""
    stem = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in asked.layer)
    wall = image_wall(snapshot.images, asked.tones, multiple=export.MULTIPLE)
    picture = Photo(wall).save(session.path(f"{stem}.png"))
    arrays = film = None
    if snapshot.found is not None:
        arrays = snapshot.found.save(session.path(f"{stem}.npz"))
        if len(snapshot.images) == 1 and len(snapshot.found.film.steps) > 1:
            unit = int(snapshot.found.units[0])
            film = export.save_strip(snapshot.found.one(unit), session.path(f"{stem}-{unit}.gif"))
    return offered(picture, arrays, film)


def _gallery_html(gallery: list[tuple[str, np.ndarray, float, Tones]]) -> str:
    """All that is kept; patterns of one size and tone share a sheet."""
    walls = []
    for _, run in itertools.groupby(gallery, key=lambda kept: (kept[1].shape, kept[3])):
        names, images, values, tones = zip(*run, strict=True)
        units = [int(name.removeprefix("-").rpartition("-")[2]) for name in names]
        grays = html.image_grays(np.stack(images), tones[0])
        walls.append(html.tile_gallery(grays, units, [*map(html.activation_text, values)], target=56))
    return html.part("kept", walls)


def _zip(session: Session, gallery: list[tuple[str, np.ndarray, float, Tones]]) -> Any:
    """A PNG of each."""
    path = session.path("patterns.zip")
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for at, (name, image, _, tones) in enumerate(gallery):
            safe = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)
            picture = Photo(image_wall(image[None], tones, multiple=export.MULTIPLE)).save(path.with_name("one.png"))
            archive.write(picture, f"{at:03d}-{safe}.png")
    return path
