"""App: the studio as a web app that answers to this machine only.

studio_app: settings, models -> an ASGI app, a plain object that is tested in process
theme:      the palette and type of figures and pages (show/style.py), as Gradio's theme, without fonts from elsewhere
sheet:      CSS for our own parts and for what the theme cannot say
serve:      the same, listening on 127.0.0.1 until it is interrupted
"""

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import tomllib
import webbrowser
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from pellucid.errors import PellucidError
from pellucid.files import temporary_folder
from pellucid.see.dataset.activations import inspect
from pellucid.see.models.base import Model
from pellucid.settings import DataSettings, StudioSettings
from pellucid.show import style
from pellucid.show.pages import render_template
from pellucid.show.studio import html
from pellucid.show.studio.context import Context, ModelRegistry
from pellucid.show.studio.pattern_stream import Request, stream_patterns
from pellucid.show.studio.request_filter import HERE, RequestFilter
from pellucid.show.studio.sessions import Sessions
from pellucid.show.studio.tabs.atlas_tab import AtlasTab
from pellucid.show.studio.tabs.draw import DrawTab
from pellucid.show.studio.tabs.dream import DreamTab
from pellucid.show.studio.tabs.patterns import PatternsTab
from pellucid.show.studio.tabs.train import TrainTab
from pellucid.show.style import DARK, LIGHT, template_text

TURN = 0.0005  # seconds: work that calculates lets the server answer after so long, ten times as soon as usual
THREADS = 4  # of handlers for each window, at most


@dataclass(frozen=True, eq=False)
class Studio:
    """A studio that is ready to be served: the `app`, what it works with, and what it asks of other machines."""

    app: ASGIApp
    context: Context
    blocks: Any
    token: str | None


def studio_app(
    settings: StudioSettings,
    models: Sequence[str | Model],
    folder: Path,
    source: DataSettings = DataSettings(),
    seed: int = 0,
) -> Studio:
    """The app. models: offered beside the zoo, files too.  folder: for uploads and downloads.  source: images to offer.

    Raises PellucidError for a model that cannot be opened.
    """
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "gradio")
    context = Context(settings, ModelRegistry(models), Sessions(settings, folder), source, seed)

    async def made() -> Studio:
        return _studio(context)

    try:
        asyncio.get_running_loop()
    except RuntimeError:  # without one, Gradio would make its own, and never close it
        return asyncio.run(made())
    return _studio(context)


def _studio(context: Context) -> Studio:
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        context.sessions.close()

    outer = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    browse = AtlasTab(context)
    outer.add_route("/atlas/{key}/{path:path}", browse.serve)
    blocks = _blocks(context, browse)
    _mount(outer, blocks, context.settings)
    token = None if context.settings.host in HERE else secrets.token_urlsafe(24)
    return Studio(RequestFilter(outer, (context.settings.upload + 1) * 10**6, token), context, blocks, token)


def _mount(outer: FastAPI, blocks: Any, settings: StudioSettings) -> None:
    """Gradio's pages into the app.

    Gradio checks whether a path that a window sends lies among the uploads only once `launch` was called, which never
    happens to a mounted app; so the app is marked as launched.
    """
    gr.mount_gradio_app(
        outer,
        blocks,
        path="/",
        server_name="127.0.0.1",
        server_port=settings.port,
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=f"{settings.upload}mb",
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
        mcp_server=False,
        theme=theme(),
        css=sheet(),
        head=template_text("studio_head.html"),
    )
    blocks.has_launched = blocks.is_running = True


def _blocks(context: Context, browse: AtlasTab) -> Any:
    """The page: a tab for each thing to do."""
    with gr.Blocks(
        title="Pellucid studio", analytics_enabled=False, fill_width=True, delete_cache=(3600, 3600)
    ) as blocks:
        gr.HTML(html.part("title"), apply_default_css=False)
        draw, patterns, dream = DrawTab(context), PatternsTab(context), DreamTab(context)
        pickers: list[Any] = []
        for words, tab in (("Draw", draw), ("Patterns", patterns), ("Dream", dream)):
            with gr.Tab(words, id=words.lower()):
                tab.build()
                pickers.append(tab.model)
        train = gr.Tab("Train", id="train")
        with gr.Tab("Atlas", id="atlas"):
            browse.build()
        with train:
            TrainTab(context, [*pickers, browse.model]).build()

        def closed(request: gr.Request) -> None:
            context.sessions.forget(str(request.session_hash))

        blocks.unload(closed)
    blocks.queue(default_concurrency_limit=context.settings.jobs, api_open=False)
    # Whoever watches a job waits in a thread; so many that a click on Stop never waits for one.
    blocks.max_threads = THREADS * context.settings.sessions
    return blocks


def warm_up(context: Context) -> None:
    """Run what compiles or allocates at its first use, so that the first person does not wait for it."""
    session = context.sessions.of("warm")
    model = context.registry.model(session, context.registry.names()[-1])
    inspect(model, np.zeros(model.input_shape, np.float32))
    for _ in stream_patterns(session, "warm", Request(model, model.layers[0].name, (0,), {"steps": 2}), 0.0):
        pass
    context.sessions.forget("warm")


def serve(
    settings: StudioSettings, models: Sequence[str | Model] = (), source: DataSettings = DataSettings(), seed: int = 0
) -> None:
    """Serve the studio, on 127.0.0.1 by default, until Ctrl-C; everything that was uploaded is gone afterwards.

    Raises PellucidError for a model that cannot be opened, and a port that is taken.
    """
    with temporary_folder() as folder, _listening(settings) as listening:
        studio = studio_app(settings, models, folder, source, seed)
        warm_up(studio.context)
        host = socket.gethostname() if settings.host == "0.0.0.0" else settings.host
        address = f"http://{host}:{listening.getsockname()[1]}" + (f"/?token={studio.token}" if studio.token else "")
        print(f"The studio is open at {address}; Ctrl-C closes it.", file=sys.stderr, flush=True)
        if settings.open:
            threading.Timer(0.5, webbrowser.open, [address]).start()
        sys.setswitchinterval(TURN)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # else the folder would stay
        logging.getLogger("uvicorn.error").addFilter(_worth_telling)
        config = uvicorn.Config(studio.app, log_level="warning", timeout_graceful_shutdown=1, server_header=False)
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(uvicorn.Server(config).serve([listening]))


def _worth_telling(record: logging.LogRecord) -> bool:
    """Whether the server's log says more than that windows were still open when the studio closed."""
    cancelled = record.exc_info is not None and record.exc_info[0] is asyncio.CancelledError
    return not cancelled and not str(record.msg).startswith("Cancel ")


def _listening(settings: StudioSettings) -> socket.socket:
    """A socket on the port and address asked for."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
        listening.listen(128)  # so that whoever comes before all models are open waits, and is not turned away
    except OSError as error:
        listening.close()
        raise PellucidError(
            f"Port {settings.port} of {settings.host} cannot be had ({error.strerror or error}); choose another --port."
        ) from error
    return listening


def theme() -> gr.themes.Base:
    """Paper, ink and one accent, in both lights."""
    base = gr.themes.Base(
        font=[family.strip().strip('"') for family in style.SANS.split(",")],
        font_mono=[family.strip().strip('"') for family in style.MONO.split(",")],
        radius_size=gr.themes.sizes.radius_sm,
        text_size=gr.themes.sizes.text_md,
    )
    table = tomllib.loads(template_text("studio_theme.toml"))
    values = dict.fromkeys(table["none"], ("none", "none"))
    for role, names in table["colors"].items():
        values |= dict.fromkeys(names, (getattr(LIGHT, role), getattr(DARK, role)))
    light, dark = ({f"{name}{end}": pair[at] for name, pair in values.items()} for at, end in enumerate(("", "_dark")))
    return base.set(**light, **dark, **table["sizes"])


def sheet() -> str:
    """The style sheet, with the palette as variables, and the presets' pictures."""
    return render_template("studio.css", presets=html.preset_pictures())
