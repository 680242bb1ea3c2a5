"""The look: warm paper, ink and one copper accent, in the fonts that the machine already has."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

STATIC = Path(__file__).parent / "static"
FONT = [
    "Inter",
    "ui-sans-serif",
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "Roboto",
    "Helvetica Neue",
    "Arial",
    "sans-serif",
]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]

COPPER = gr.themes.Color(
    name="copper",
    c50="#fbf3ee",
    c100="#f6e3d8",
    c200="#ecc6b1",
    c300="#dfa283",
    c400="#cf7f58",
    c500="#b9623a",
    c600="#a04f2b",
    c700="#833f23",
    c800="#663220",
    c900="#4c271b",
    c950="#2e170f",
)
PAPER = gr.themes.Color(
    name="paper",
    c50="#fbf9f6",
    c100="#f4f0ea",
    c200="#e8e2d9",
    c300="#d5ccc0",
    c400="#a89f93",
    c500="#7a7268",
    c600="#5b544c",
    c700="#443f39",
    c800="#2b2825",
    c900="#1f1d1b",
    c950="#161513",
)


def theme() -> gr.themes.Base:
    """Gradio's theme variables; what they can't say is in static/everyage.css."""
    base = gr.themes.Base(
        primary_hue=COPPER,
        secondary_hue=COPPER,
        neutral_hue=PAPER,
        radius_size=gr.themes.sizes.radius_lg,
        font=FONT,
        font_mono=MONO,
    )
    return base.set(
        body_background_fill="*neutral_100",
        body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_900",
        body_text_color_dark="*neutral_100",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        background_fill_primary="#fffdfa",
        background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_50",
        background_fill_secondary_dark="*neutral_800",
        block_background_fill="#fffdfa",
        block_background_fill_dark="*neutral_900",
        block_border_color="*neutral_200",
        block_border_color_dark="#35312d",
        border_color_primary="*neutral_300",
        border_color_primary_dark="#403b36",
        block_border_width="0px",
        block_shadow="none",
        block_label_background_fill="transparent",
        block_label_border_width="0px",
        block_title_text_color="*neutral_800",
        block_title_text_color_dark="*neutral_100",
        block_title_text_weight="600",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        input_background_fill="#ffffff",
        input_background_fill_dark="*neutral_800",
        input_border_color="*neutral_300",
        input_border_color_dark="#47413b",
        button_large_radius="12px",
        button_large_text_weight="600",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#ffffff",
        button_secondary_background_fill="transparent",
        button_secondary_background_fill_dark="transparent",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_hover_dark="*neutral_800",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="#4a443e",
        button_border_width="1px",
        slider_color="*primary_600",
        slider_color_dark="*primary_400",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_300",
    )


def look() -> dict[str, object]:
    """The arguments of `launch()` that make the page look and behave as ours.

    The style sheet goes in through the head: what is given as `css`, Gradio rewrites, and it breaks at commas.
    """
    style, script = ((STATIC / f"everyage.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    head = f'<meta name="color-scheme" content="light dark"><style>{style}</style><script>{script}</script>'
    return {"theme": theme(), "head": head}
