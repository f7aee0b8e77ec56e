"""Atlas: a site of every unit of a model, built here and browsed here.

The site is the one that `pellucid atlas` writes. It is served under an address that nobody can guess, from the folder
of the window that built it, and is gone with that window.
"""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from pellucid.errors import counted
from pellucid.settings import UNUSED, AtlasSettings
from pellucid.show.atlas.build import Atlas, atlas
from pellucid.show.studio import controls, html
from pellucid.show.studio.context import Context, connect, look
from pellucid.show.studio.sessions import Job

NONE = "none"
FIRST = ("layers", "variants", "steps")  # the rest is one click away
BEGIN = "Build a site that shows every unit of a model, and browse it."


class AtlasTab:
    """The tab; `model` is its choice of models."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._names = controls.names_of(AtlasSettings, FIRST, without=("resume", *UNUSED))
        self._sites: dict[str, StaticFiles] = {}

    def build(self) -> None:
        """The tab's parts, and what they do."""
        with gr.Row(elem_classes=["sheet", "turned"]):
            with gr.Column(scale=4, min_width=300):
                self.model = self._context.models("whose units are shown")
                data = self._context.images(NONE)
                made = controls.settings_panel(AtlasSettings, self._names, len(FIRST), seed=self._context.seed)
            with gr.Column(scale=7, min_width=300):
                status = look(html.status_line(BEGIN))
                with gr.Row(elem_classes="buttons"):
                    go = gr.Button("Build", variant="primary", elem_id="build")
                    halt = gr.Button("Stop", variant="stop")
        stage = look("", "stage", elem_id="atlas")
        asked = [self.model, data, *[made[name] for name in self._names]]
        connect(go.click, self.make, asked, [status, stage], concurrency_id="work")
        self._context.connect_stop(halt, "atlas", status)

    def make(self, request: gr.Request, name: str, data: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """The site, stage by stage."""
        session, model = self._context.session(request), self._context.model(request, name)
        settings = controls.changed_settings(AtlasSettings, self._names, values)
        folder = session.path("atlas")

        def work(job: Job) -> Atlas:
            stage = ""

            def ticks(done: int, total: int) -> None:
                job.show(f"{stage} … {100 * done // max(total, 1)}%")

            def progress(words: str, seconds: float | None) -> None:
                nonlocal stage
                stage = words[:1].upper() + words[1:]
                job.show(f"{stage} …" if seconds is None else f"{stage}: {seconds:.1f} s")

            images = None if data == NONE else self._context.data(request, data)
            return atlas(model, folder, images, progress=progress, ticks=ticks, **settings)

        with session.watch("atlas", work) as job:
            for words in job.frames():
                yield (html.status_line(words, moving=True),)
            made: Atlas | None = job.result
        if made is None:
            yield (html.status_line("Stopped; nothing was built."),)
            return
        units = sum(layer["units"] for layer in made.record["layers"])
        site = html.part("site", self._published(made.page.parent), model.name)
        yield html.status_line(f"{counted(units, 'unit')} of {model.name}."), site

    async def serve(self, request: Request) -> Response:
        """A file of a site that was built here."""
        site = self._sites.get(request.path_params["key"])
        if site is None or not Path(str(site.directory)).is_dir():
            raise HTTPException(404)
        return await site.get_response(request.path_params["path"], request.scope)

    def _published(self, folder: Path) -> str:
        """The address of a folder's site."""
        gone = [key for key, site in self._sites.items() if not Path(str(site.directory)).is_dir()]
        for key in gone:
            del self._sites[key]
        key = secrets.token_urlsafe(16)
        self._sites[key] = StaticFiles(directory=folder)
        return f"/atlas/{key}/index.html"
