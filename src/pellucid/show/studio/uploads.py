"""Uploads: a place to drop a picture; what arrives of it are its bytes.

dropzone: -> Gradio's control for files, which takes what was uploaded and nothing else

A window sends with its requests where its upload lies. Gradio checks whether that is among the uploads (see `_mount`
in app.py), but it would fetch an address of the web, which this control refuses.
"""

from typing import Any

import gradio as gr

from pellucid.errors import PellucidError


def dropzone(words: str) -> Any:
    """The control; its value is the content of the file."""
    part = gr.File(label=words, file_types=["image"], type="binary", height=84, elem_classes="drop")
    inner = part.async_move_resource_to_block_cache

    async def only_uploads(path: Any) -> Any:
        if "://" in str(path):
            raise PellucidError("Drop a file; the studio fetches nothing from the web.")
        return await inner(path)

    part.async_move_resource_to_block_cache = only_uploads
    return part
