"""Draw the layers of networks: a picture each, and a table of names, shapes and parameters.

scripts/draw_network.py --out FOLDER [NAME ...]
Names are those of liverseg/networks/members.py, or FILE.json with a description and its "patch".
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from liverseg.errors import InputRefused, LiverSegError
from liverseg.networks import build_network
from liverseg.networks.members import MEMBERS, Member

# After Paul Tol's bright scheme; the kinds also have their names in the legend.
COLORS = {
    "convolution": "#4477AA",
    "transposed convolution": "#EE6677",
    "linear (attention, tokens)": "#228833",
    "1 x 1 convolution": "#CCBB44",
}


@dataclass(frozen=True)
class Layer:
    """One layer with weights, in the order of the forward pass.

    Attributes:
        name: its path in the network.
        kind: a key of :data:`COLORS`.
        inputs, outputs: shapes without the batch, channels first; of tokens (count, numbers).
        parameters: its own.
    """

    name: str
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    parameters: int


def kind_of(module: torch.nn.Module) -> str | None:
    """The kind of a layer that is drawn; None for the others."""
    if isinstance(module, torch.nn.Linear):
        return "linear (attention, tokens)"
    name = type(module).__name__
    if name.startswith("ConvTranspose"):
        return "transposed convolution"
    if name in ("Conv2d", "Conv3d"):
        return "1 x 1 convolution" if max(module.kernel_size) == 1 else "convolution"
    return None


def shape_of(tensor: torch.Tensor, kind: str) -> tuple[int, ...]:
    """A shape without the batch; windows of tokens, which stand on its axis, are taken together."""
    if kind.startswith("linear"):
        return tensor.numel() // tensor.shape[-1], tensor.shape[-1]
    return tuple(tensor.shape[1:])


def layers_of(member: Member) -> tuple[torch.nn.Module, list[Layer]]:
    """A network in its training form and its layers, as one pass over its patch meets them."""
    network = build_network(member.description, training=True).train()
    layers: list[Layer] = []

    def watch(name: str, kind: str) -> Any:
        def hook(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            count = sum(p.numel() for p in module.parameters())
            layers.append(Layer(name, kind, shape_of(inputs[0], kind), shape_of(output, kind), count))

        return hook

    for name, module in network.named_modules():
        kind = kind_of(module)
        if kind:
            module.register_forward_hook(watch(name, kind))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        network(torch.zeros(1, member.description["in_channels"], *member.patch))
    return network, layers


def level_of(layer: Layer, patch: tuple[int, int, int]) -> float:
    """How often the in-plane size of the patch is halved where the layer ends."""
    if layer.kind.startswith("linear"):
        tokens = math.prod(layer.outputs[:-1])
        return max(0.0, math.log2(math.prod(patch) / max(1, tokens)) / 3)
    return math.log2(patch[-1] / layer.outputs[-1])


def draw(name: str, member: Member, layers: list[Layer], total: int, path: Path) -> None:
    """One picture: layers from left to right, resolutions from top to bottom, heights by channels."""
    figure = Figure(figsize=(max(9.0, 0.12 * len(layers) + 3), 5.0), dpi=110)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for place, layer in enumerate(layers):
        channels = layer.outputs[-1] if layer.kind.startswith("linear") else layer.outputs[0]
        height = 0.08 + 0.075 * math.log2(max(2, channels))
        depth = level_of(layer, member.patch)
        axes.add_patch(Rectangle((place + 0.08, depth - height / 2), 0.84, height, color=COLORS[layer.kind]))
    depths = [level_of(layer, member.patch) for layer in layers]
    axes.plot([n + 0.5 for n in range(len(layers))], depths, color="#BBBBBB", linewidth=0.8, zorder=0)
    # The module each stretch of layers belongs to, where there is room for its name.
    begun = 0
    for place in range(1, len(layers) + 1):
        group = top_of(layers[begun].name)
        if place < len(layers) and top_of(layers[place].name) == group:
            continue
        if place - begun >= max(2, len(layers) // 40):
            y = min(depths[begun:place]) - 0.62
            axes.text((begun + place) / 2, y, group, fontsize=6, ha="center", rotation=35)
        begun = place
    axes.set_xlim(0, len(layers))
    axes.set_ylim(max(depths) + 0.8, -1.4)
    axes.set_yticks(range(int(max(depths)) + 1), [f"1/{2**n}" for n in range(int(max(depths)) + 1)])
    axes.set_ylabel("size in plane")
    axes.set_xlabel("layers in the order of the forward pass; taller: more channels")
    patch = " x ".join(str(side) for side in member.patch)
    axes.set_title(f"{name}: {len(layers)} layers, {total:,} parameters, patch {patch}", fontsize=10)
    kinds = [kind for kind in COLORS if any(layer.kind == kind for layer in layers)]
    axes.legend(
        handles=[Patch(color=COLORS[kind], label=kind) for kind in kinds],
        fontsize=7,
        loc="lower right" if depths[-1] < depths[len(depths) // 2] else "upper right",
    )
    figure.tight_layout()
    figure.savefig(path)


def top_of(name: str) -> str:
    """The first named parts of a layer's path, without the wrappers of networks over slices."""
    parts = [part for part in name.split(".") if part not in ("plane", "network", "model")]
    return ".".join(parts[: 2 if len(parts) > 2 else 1])


def table(name: str, layers: list[Layer], total: int) -> str:
    """Names, shapes and parameters as text."""
    rows = [f"{name}: {total:,} parameters, those of normalization and positions included", ""]
    width = max(len(layer.name) for layer in layers)
    for layer in layers:
        before, after = (" x ".join(map(str, shape)) for shape in (layer.inputs, layer.outputs))
        rows.append(
            f"{layer.name:{width}}  {layer.kind:26}  {before:>22} -> {after:22}  {layer.parameters:>11,}"
        )
    return "\n".join(rows) + "\n"


def member_of(name: str) -> Member:
    """A member by its name, or the network of a JSON file.

    Raises:
        InputRefused: there is none.
    """
    if name in MEMBERS:
        return MEMBERS[name]
    try:
        description = json.loads(Path(name).read_text(encoding="utf-8"))
        z, y, x = (int(side) for side in description["patch"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputRefused(f"no network {name!r}; give {', '.join(MEMBERS)}, or a JSON file") from error
    return Member((z, y, x), description)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="all members where none is given")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--format", choices=("png", "svg", "pdf"), default="svg")
    arguments = parser.parse_args()
    try:
        members = {name: member_of(name) for name in arguments.names or MEMBERS}
        arguments.out.mkdir(parents=True, exist_ok=True)
        for name, member in members.items():
            network, layers = layers_of(member)
            total = sum(p.numel() for p in network.parameters())
            file = re.sub(r"[^A-Za-z0-9]+", "_", Path(name).stem if name not in MEMBERS else name).strip("_")
            draw(name, member, layers, total, arguments.out / f"{file}.{arguments.format}")
            text = table(name, layers, total)
            (arguments.out / f"{file}.txt").write_text(text, encoding="utf-8")
            print(f"{name}: {len(layers)} layers, {total:,} parameters", flush=True)
    except LiverSegError as error:
        print(f"draw_network: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
