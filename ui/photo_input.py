"""The widget that takes photos. Alone in its module: Gradio writes a stub file beside every subclass."""

from __future__ import annotations

from typing import Any

import gradio as gr


class PhotoInput(gr.Image):
    """Drop, choose, paste or camera. Hands over the uploaded file's path and never opens it.

    Gradio's own `Image` decodes what it is given, so a small file that claims to be huge would fill the memory before
    any check of ours.
    """

    is_template = True  # the browser side is `Image`'s

    def preprocess(self, payload: Any) -> str | None:
        """The file's path; Gradio has checked that it lies among its uploads."""
        return None if payload is None else payload.path
