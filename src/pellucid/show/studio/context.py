"""Context: what every tab of a running studio works with.

ModelRegistry: (session, name) -> Model, of the zoo, the command line, or trained here; an unknown name is refused
Context: settings, the registry of models, the sessions, the images
look, dropzone, download: words -> the parts that several tabs have
connect: an event, a handler, inputs, outputs -> the handler called on the event, its errors shown in the first output
"""

import functools
import inspect
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from pellucid.data.load import NAMES, load_data
from pellucid.data.photos import Photo, decode_photo
from pellucid.data.splits import Data
from pellucid.errors import PellucidError, unknown
from pellucid.see.models import factories
from pellucid.see.models import names as libraries
from pellucid.see.models.base import Model
from pellucid.see.models.open import open_model, zoo
from pellucid.settings import DataSettings, StudioSettings
from pellucid.show.studio import html
from pellucid.show.studio.request_filter import HERE, PROXIED
from pellucid.show.studio.sessions import Session, Sessions


class ModelRegistry:
    """The zoo and the models given; files are opened at once, so that an error shows before anything is served."""

    def __init__(self, given: Sequence[str | Model] = ()) -> None:
        self._lock = threading.Lock()
        self._opened: dict[str, Model] = {}
        self._zoo = zoo()
        for source in given:
            if isinstance(source, Model) or source not in self._zoo:
                model = source if isinstance(source, Model) else open_model(source)
                self._opened[self._free(model.name)] = model

    def _free(self, name: str) -> str:
        """This name, numbered if another model has it."""
        numbered = (f"{name} {number}" for number in itertools.count(2))
        return next(free for free in itertools.chain([name], numbered) if free not in {*self._opened, *self._zoo})

    def names(self, session: Session | None = None) -> list[str]:
        """What there is to choose from, what was trained last first."""
        trained = [] if session is None else list(reversed(session.models))
        return [*trained, *[name for name in self._opened if name not in self._zoo], *self._zoo]

    def model(self, session: Session | None, name: str | None) -> Model:
        """The model of that name; raises PellucidError where there is none."""
        if session is not None and name in session.models:
            return session.models[name]
        with self._lock:
            if name in self._zoo and name not in self._opened:
                self._opened[name] = open_model(name)
        if name not in self._opened:
            raise unknown("model", str(name), self.names(session))
        return self._opened[name]


@dataclass(frozen=True, eq=False)
class Context:
    """What is shared by all windows."""

    settings: StudioSettings
    registry: ModelRegistry
    sessions: Sessions
    source: DataSettings = DataSettings()
    seed: int = 0
    _data: dict[str, Any] = field(default_factory=dict)  # the images read last
    _reading: threading.Lock = field(default_factory=threading.Lock)

    @property
    def data_names(self) -> list[str]:
        """The images that there are to choose from, those named on the command line first."""
        return list(dict.fromkeys([self.source.data, *NAMES]))

    def data(self, request: gr.Request | None, name: str, seed: int = 0) -> Data:
        """The images of that name or path; raises PellucidError for a path that is not typed at this machine."""
        if name not in self.data_names:
            _require_here(request)
        with self._reading:
            if self._data.get("key") != (name, seed):
                folder = self.source.data_dir if name == "mnist" else None
                self._data.update({"key": (name, seed), "data": load_data(name, folder, seed)})
            found: Data = self._data["data"]
        return found

    def session(self, request: gr.Request) -> Session:
        """The session of the window that asks."""
        return self.sessions.of(str(request.session_hash))

    def model(self, request: gr.Request, name: Any) -> Model:
        """The model of that name; one that was typed is opened for the window alone, and never by running code."""
        session = self.session(request)
        if isinstance(name, str) and name and name not in self.registry.names(session):
            _require_here(request)
            if factories.is_named(name) and not libraries.is_named(name):
                raise PellucidError(f"'{name}' would run code; give it at the start: pellucid studio {name}")
            session.add(name, open_model(name))
        return self.registry.model(session, name)

    def models(self, words: str, *, chosen: bool = True) -> Any:
        """The choice of models, with these words; any other name or file can be typed."""
        names, words = self.registry.names(), f"{words}; or type a name of `pellucid models`, or a file"
        first = names[0] if chosen else None
        return gr.Dropdown(names, value=first, label="Model", info=words, allow_custom_value=True)

    def images(self, *first: str) -> Any:
        """The choice of images, those named first before them; any path can be typed."""
        names, words = [*first, *self.data_names], DataSettings.model_fields["data"].description
        return gr.Dropdown(names, value=names[0], label="Data", info=words, allow_custom_value=True)

    def layers(self, request: gr.Request, name: str) -> Iterator[tuple[Any, Any]]:
        """The choice of layers of the model of that name; before it, of one that was typed, that it is being opened."""
        typed = bool(name) and name not in self.registry.names(self.session(request))
        if typed:
            yield html.status_line(f"Opening {name} …", moving=True), gr.skip()
        choices, layer = layer_choices(self.model(request, name))
        yield html.status_line(f"{name} is open.") if typed else gr.skip(), gr.Dropdown(choices=choices, value=layer)

    def connect_stop(self, button: Any, name: str, output: Any) -> None:
        """Let a click on the button stop the window's job of this name; errors are shown in `output`."""

        def stop(request: gr.Request) -> Any:
            self.session(request).stop(name)
            return gr.skip()

        connect(button.click, stop, [], [output], queue=False)

    def photo(self, content: bytes | None) -> Photo:
        """A picture that was dropped; raises PellucidError for one that is none, or too large."""
        if content is None:
            raise PellucidError("No picture arrived; drop one again.")
        megabytes = len(content) / 10**6
        if megabytes > self.settings.upload:
            raise PellucidError(f"The picture has {megabytes:.1f} MB, over {self.settings.upload}; drop a smaller one.")
        return decode_photo(content, "dropped picture", self.settings.pixels * 10**6)


def _require_here(request: gr.Request | None) -> None:
    """Raises PellucidError for a request of a window on another machine: it must not have files of this one read."""
    if request is None or request.client.host not in HERE or PROXIED & {name.lower() for name in dict(request.headers)}:
        where = "name it where the studio is started: pellucid studio MODEL --data IMAGES."
        raise PellucidError(f"What is typed on another machine is not opened; {where}")


def layer_choices(model: Model) -> tuple[list[str], str]:
    """The names of a model's layers, and the one to begin with: the last one of maps."""
    maps = [layer.name for layer in model.layers if len(layer.shape) == 3]
    names = [layer.name for layer in model.layers]
    return names, maps[-1] if maps else names[0]


def look(content: str = "", *classes: str, **options: Any) -> Any:
    """HTML of our own, in the style of our pages (studio.css)."""
    return gr.HTML(content, elem_classes=["look", *classes], apply_default_css=False, **options)


def dropzone(words: str) -> Any:
    """A place to drop a picture; its value is the content of the file.

    A window sends with its requests where its upload lies. Gradio checks whether that is among the uploads (see
    `_mount` in app.py), but it would fetch an address of the web, which this control refuses.
    """
    part = gr.File(label=words, file_types=["image"], type="binary", height=84, elem_classes="drop")
    inner = part.async_move_resource_to_block_cache

    async def only_uploads(path: Any) -> Any:
        if "://" in str(path):
            raise PellucidError("Drop a file; the studio fetches nothing from the web.")
        return await inner(path)

    part.async_move_resource_to_block_cache = only_uploads
    return part


def download(words: str) -> Any:
    """A button that offers a file once there is one."""
    return gr.DownloadButton(words, visible=False, size="sm")


def offered(*paths: Path | None) -> list[Any]:
    """Buttons that offer these files, hidden where there is none."""
    return [gr.DownloadButton(value=None if path is None else str(path), visible=path is not None) for path in paths]


def connect(
    event: Callable[..., Any],
    handler: Callable[..., Any],
    inputs: Sequence[Any] = (),
    outputs: Sequence[Any] = (),
    **options: Any,
) -> Any:
    """Call `handler` on `event`. A PellucidError is shown in the first output; outputs left out stay as they are.

    No handler is offered as an interface to programs, and none draws Gradio's own veil over what it changes.
    """
    quiet = {"show_progress": "hidden", "api_visibility": "private", **options}
    return event(show_errors(handler, len(outputs)), list(inputs), list(outputs), **quiet)


def show_errors(handler: Callable[..., Any], outputs: int) -> Callable[..., Any]:
    """The handler, its PellucidErrors as words in the first output; outputs that it leaves out stay as they are."""

    def padded(found: Any) -> Any:
        given = [*found] if isinstance(found, tuple | list) else [found]
        whole = [*given, *(gr.skip() for _ in range(outputs - len(given)))]
        return tuple(whole) if outputs > 1 else whole[0]

    @functools.wraps(handler)
    def steps(*given: Any) -> Iterator[Any]:
        try:
            with closing(handler(*given)) as found:
                yield from map(padded, found)
        except PellucidError as error:
            yield padded(html.error_line(error))

    @functools.wraps(handler)
    def once(*given: Any) -> Any:
        try:
            return padded(handler(*given))
        except PellucidError as error:
            return padded(html.error_line(error))

    return steps if inspect.isgeneratorfunction(handler) else once
