"""The compare panel: the same seed under several settings, in one grid with figures."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from ui.widgets import live

FIRST = "guidance=cfg,apg;scale=2,6,12"
HELP = (
    "Settings and their values: the first runs across, the second down. Others are eta, momentum, norm_threshold, "
    "steps, sampler, seed and prompt."
)
READY = {
    "Guidance against scale": FIRST,
    "All methods": "guidance=cfg,apg,rescale,threshold,fdg,zero_star;scale=4,12",
    "At an equal push": "guidance=apg,matched,cfg;scale=6,12",
    "Seeds": "seed=1,2,3,4;guidance=cfg,apg",
    "Steps": "steps=8,20,40;guidance=cfg,apg",
}


@dataclass(frozen=True)
class ComparePanel:
    """The panel's widgets."""

    axes: gr.Textbox
    ready: gr.HTML
    run: gr.Button
    sheet: gr.HTML
    download: gr.DownloadButton


def render() -> ComparePanel:
    """Lay the panel out where it is called."""
    with gr.Accordion("Compare", open=False, elem_id="g-compare", elem_classes="ea-card"):
        buttons = "".join(f'<button type="button" data-act="axes" data-id="{name}">{name}</button>' for name in READY)
        ready = live(
            f'<div class="ea-g-ideas" role="group" aria-label="Comparisons">{buttons}</div>', elem_id="g-ready"
        )
        axes = gr.Textbox(FIRST, label="What to compare", info=HELP, elem_id="g-axes")
        run = gr.Button("Compare with one seed", elem_id="g-compare-run")
        sheet = live("", elem_id="g-sheet")
        download = gr.DownloadButton("Download grid", elem_id="g-sheet-download", visible=False, min_width=140)
    return ComparePanel(axes, ready, run, sheet, download)
