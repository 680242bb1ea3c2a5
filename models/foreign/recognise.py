"""What a file holds, told by the names of its tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .aging_nets import adapter_plan, dex_plan, encoder_plan, irse_plan, sam_plan
from .content import Content, Plan, described, unfold
from .generators import generator_plan
from .refusal import Refused

# Names that must all be there, and what the file is then; the first that fits.
RECOGNISED: tuple[tuple[tuple[str, ...], Callable[[Content], Plan]], ...] = (
    (("encoder.input_layer.0.weight", "decoder.input.input"), sam_plan),
    (("encoder.input_layer.0.weight", "decoder.synthesis.b4.const"), sam_plan),
    (("input.input", "conv1.conv.weight"), generator_plan),
    (("synthesis.b4.const", "mapping.fc0.weight"), generator_plan),
    (("bottleneck_0.0.weight", "age_mlp.0.weight"), adapter_plan),
    (("blender.bottleneck_0.0.weight",), adapter_plan),
    (("fc8-101.weight",), dex_plan),
    (("fc8_101.weight",), dex_plan),
    (("input_layer.0.weight", "output_layer.3.weight"), irse_plan),
    (("input_layer.0.weight", "styles.0.linear.weight"), encoder_plan),
)


def recognise(tree: Any) -> Plan:
    """The plan for what torch.save or safetensors gave. Raises Refused for what is none of our kinds."""
    content = unfold(tree)
    for marks, plan in RECOGNISED:
        if all(mark in content.state for mark in marks):
            return plan(content)
    raise Refused(f"holds no network that this app knows, but {described(tree)}")
