"""Draw: strokes on a canvas, or a picture, and at once what a network says and what every layer answers.

A stroke is read while it is drawn; of strokes that come faster than they are read, the last one counts. (Gradio's
`always_last` would keep the data of the first one, so strokes are numbered here.) A click on a map, or on the bar of a
unit, shows what it answers to the drawing, which follows the strokes, and what it looks for. The lesson of the tour
works out every number of it.
"""

import base64
import binascii
import threading
from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np
from jaxtyping import Float32

from pellucid.data.photos import decode_photo, to_gray
from pellucid.data.strokes import center_strokes
from pellucid.errors import PellucidError
from pellucid.see.dataset.activations import Activations, inspect
from pellucid.see.models.base import Model
from pellucid.show import style
from pellucid.show.pages import lesson_table, network_table, render_template
from pellucid.show.studio import html
from pellucid.show.studio.context import Context, connect, dropzone, look
from pellucid.show.studio.pattern_stream import LARGE, Request, patterns_html, stream_patterns
from pellucid.show.studio.sessions import Session

READERS = 2  # drawings that are read at the same time: more would only slow each other, and everything else
HINT = html.part("hint")
BEGIN = "Draw a digit: the network reads it while you draw."
LESSON_BYTES = 8_000_000  # of weights, at most, of a network whose numbers are worked out in the page


class DrawTab:
    """The tab; `model` is its choice of models."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._turns = threading.BoundedSemaphore(READERS)

    def build(self) -> None:
        """The tab's parts, and what they do."""
        with gr.Row(elem_classes="sheet"):
            with gr.Column(scale=4, min_width=300):
                canvas = look(
                    html_template=style.template_text("studio_canvas.html"),
                    js_on_load=style.template_text("studio_canvas.js"),
                )
            with gr.Column(scale=7, min_width=300):
                status = look(html.status_line(BEGIN))
                answer = look(elem_id="answer")
            with gr.Column(scale=3, min_width=220):
                self.model = self._context.models("which network reads")
                dropped = dropzone("or drop a picture")
        with gr.Row(elem_classes="beside"):
            inside = look("", "layers", js_on_load=style.template_text("studio_clicks.js"), elem_id="inside")
            with gr.Column(elem_classes="aside"):
                asked = look(elem_id="asked")
                wanted = look(HINT, elem_id="wanted")
        with gr.Row(elem_classes=["buttons", "work"]):
            work = gr.Button("Work it out, number by number", elem_id="work")
        lesson = look("", elem_id="lesson")
        shown = [status, answer, inside, asked]
        connect(work.click, self.lesson, [self.model], [status, lesson])
        connect(canvas.drawn, self.draw, [self.model], shown, trigger_mode="multiple", queue=False)
        connect(dropped.upload, self.drop, [dropped, self.model], shown)
        connect(self.model.change, self.again, [self.model], [*shown, wanted, lesson])
        connect(inside.look, self.look, [self.model], [status, asked, wanted], concurrency_limit=None)

    def draw(self, request: gr.Request, event: gr.EventData, name: str) -> tuple[Any, ...]:
        """What a network makes of the strokes so far; of strokes that later ones have overtaken, nothing."""
        session = self._context.session(request)
        fields = event._data if isinstance(event._data, dict) else {}
        strokes, number = decode_drawing(fields.get("pixels")), fields.get("number")
        number = number if isinstance(number, int) else 0
        turn = session.kept.setdefault("turn", threading.Lock())
        session.kept["drawn"] = max(number, session.kept.get("drawn", 0))
        with turn:
            if number < session.kept["drawn"]:
                return (gr.skip(),) * 4
            session.kept["strokes"] = strokes if strokes.any() else None
            session.kept.pop("picture", None)
            return self._read(session, self._context.model(request, name))

    def drop(self, request: gr.Request, content: bytes | None, name: str) -> tuple[str, ...]:
        """What a network makes of a picture."""
        session = self._context.session(request)
        session.kept["picture"] = self._context.photo(content)
        return self._read(session, self._context.model(request, name))

    def again(self, request: gr.Request, name: str) -> tuple[str, ...]:
        """The same strokes, or picture, as another network reads them."""
        session = self._context.session(request)
        session.kept.pop("clicked", None)
        return *self._read(session, self._context.model(request, name)), HINT, ""

    def lesson(self, request: gr.Request, name: str) -> tuple[Any, str]:
        """What is drawn, worked out number by number, taken for the class that the network reads."""
        session, model = self._context.session(request), self._context.model(request, name)
        image, _ = session_image(session, model)
        if image is None:
            raise PellucidError("Nothing is drawn yet; draw a digit first.")
        network = model.hand_written
        table = None if network is None else network_table(network, LESSON_BYTES)
        if network is None or table is None:
            kind = f"networks of pellucid.learn of at most {LESSON_BYTES // 10**6} MB"
            raise PellucidError(f"The lesson follows {kind}, unlike {model.name}; choose mnist-cnn, or train one.")
        guess = int(network.predict(image[None])[0].argmax())
        told = lesson_table(image, guess, model.classes or [*map(str, range(network.classes))])
        return gr.skip(), html.part("lesson", render_template("lesson_page.html", network=table, **told))

    def look(self, request: gr.Request, event: gr.EventData, name: str) -> Iterator[tuple[Any, Any, str]]:
        """What the unit that was clicked on answers to the drawing, and its pattern, as it evolves."""
        session, model = self._context.session(request), self._context.model(request, name)
        layer, unit = session.kept["clicked"] = _clicked(event, model)
        yield gr.skip(), self._read(session, model)[-1], ""
        asked = Request(model, layer, (unit,))
        for snapshot in stream_patterns(session, "look", asked, self._context.settings.seconds):
            yield gr.skip(), gr.skip(), patterns_html(snapshot, asked)

    def _read(self, session: Session, model: Model) -> tuple[str, str, str, str]:
        """What is drawn, read; in the session that it was drawn in, even where that has had to make room meanwhile."""
        image, note = session_image(session, model)
        if image is None:
            return html.status_line(BEGIN), "", "", ""
        with self._turns:
            inside = inspect(model, image, as_is=True)
            layers = html.layer_sections(inside.activations, _classes(inside))
            asked = _asked_html(inside, *session.kept.get("clicked", ("", 0)))
            return _guess_line(inside, note), _answer_html(inside), layers, asked


def session_image(session: Session, model: Model) -> tuple[Float32[np.ndarray, "channel height width"] | None, str]:
    """What is drawn or dropped in this window, as the model takes it, in [0, 1], and what was done to it, in words.

    None where there is nothing.
    """
    photo, strokes = session.kept.get("picture"), session.kept.get("strokes")
    if photo is not None:
        return model.read_picture(photo.over())
    return None if strokes is None else center_strokes(strokes, model.input_shape), ""


def _clicked(event: gr.EventData, model: Model) -> tuple[str, int]:
    """The layer and the unit that were clicked on."""
    fields = event._data if isinstance(event._data, dict) else {}
    layer, unit = fields.get("layer"), fields.get("unit")
    if not isinstance(layer, str) or type(unit) is not int or not 0 <= unit < model.layer(layer).units:
        raise PellucidError("That is no unit; click on a map or on a bar.")
    return layer, unit


def _classes(inside: Activations) -> int:
    last = list(inside.activations.values())[-1]
    return len(last) if last.ndim == 1 else 0


def _guess_line(inside: Activations, note: str) -> str:
    if not _classes(inside):
        return html.status_line(f"{inside.model} answers with maps, not with classes.")
    guess = int(inside.probabilities.argmax())
    sure = 100 * float(inside.probabilities[guess])
    return html.status_line(f"{inside.model} reads {guess}, at {sure:.1f}%. {note}".rstrip())


def _answer_html(inside: Activations) -> str:
    """The class bars, large the guess, and what the network received."""
    _, height, width = inside.image.shape
    seen = html.received(inside.image, f"what the network receives: {width} × {height} pixels")
    if not _classes(inside):
        return seen
    probabilities = inside.probabilities
    bars = html.class_bars(probabilities, range(len(probabilities)))
    return html.part("answer", int(probabilities.argmax()), seen, bars)


def _asked_html(inside: Activations, layer: str, unit: int) -> str:
    """What a unit answers to the image: its map, enlarged, as bright as it is in its layer, or its number."""
    values = inside.activations.get(layer)
    if values is None or unit >= len(values):
        return ""
    title, picture, own = f"{layer}, unit {unit}", "", values[unit]
    mean, most = (html.activation_text(float(number)) for number in (own.mean(), own.max()))
    words = f"answers {most} to this image"
    if own.ndim:
        tones = style.activation_tones(own, float(values.max(initial=0.0)))
        picture = html.plate(tones, f"What {title} answers to this image", LARGE)
        words = f"what it answers to this image · mean {mean} · maximum {most}"
    return html.part("portrait", picture, title, words, None)


PREFIX = "data:image/png;base64,"
LONGEST, MOST_PIXELS = 500_000, 1_000_000


def decode_drawing(address: object) -> Float32[np.ndarray, "height width"]:
    """The grays of a drawing; raises PellucidError where the address is not that of a PNG of moderate size."""
    if not isinstance(address, str) or not address.startswith(PREFIX) or len(address) > LONGEST:
        raise PellucidError("The drawing did not arrive as a picture; clear it and draw again.")
    try:
        content = base64.b64decode(address[len(PREFIX) :], validate=True)
    except binascii.Error as error:
        raise PellucidError("The drawing arrived damaged; clear it and draw again.") from error
    return np.asarray(to_gray(decode_photo(content, "drawing", MOST_PIXELS).over(0.0))[0])
