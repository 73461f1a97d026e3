"""A network's weights in a safetensors file: half precision, or whole numbers of eight bits.

In eight bits a tensor of filters is kept as whole numbers from -127 to 127 with one factor for each index of
its first axis (``NAME.factor``), which halves the file once more. A factor is the largest weight of its slice
over 127, so no weight moves by more than 1/254 of the largest one beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Of the eight bits' range the side that both signs have.
_LARGEST = 127
_FACTOR = ".factor"
# Smaller tensors (norms, biases) stay in half precision: they are few and matter each.
_LEAST_NUMBERS = 2048


def write_weights(weights: Mapping[str, torch.Tensor], path: Path, eight_bits: bool = False) -> None:
    """Write named tensors; whole numbers (counters, indices) are written as they are."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    stored: dict[str, torch.Tensor] = {}
    for name, tensor in weights.items():
        if (
            eight_bits
            and tensor.is_floating_point()
            and tensor.dim() > 1
            and tensor.numel() >= _LEAST_NUMBERS
        ):
            stored[name], stored[name + _FACTOR] = in_eight_bits(tensor.detach().cpu())
        else:
            stored[name] = _in_half_precision(tensor)
    save_file(stored, path)
    path.chmod(0o644)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file of :func:`write_weights` by name: float32, and whole numbers as they are.

    Raises:
        safetensors.SafetensorError: the file is damaged.
    """
    from safetensors.torch import load_file

    stored = load_file(path)
    weights = {}
    for name, tensor in stored.items():
        factor = stored.get(name + _FACTOR)
        if factor is not None:
            weights[name] = from_eight_bits(tensor, factor)
        elif not (name.endswith(_FACTOR) and name.removesuffix(_FACTOR) in stored):
            weights[name] = tensor.float() if tensor.is_floating_point() else tensor
    return weights


def in_eight_bits(tensor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Whole numbers (int8, as the tensor) and the factor (float32) of each index of its first axis."""
    import torch

    largest = tensor.float().flatten(1).abs().amax(dim=1)
    factor = torch.where(largest > 0, largest / _LARGEST, torch.ones_like(largest))
    whole = torch.round(tensor.float() / _along_first_axis(factor, tensor))
    return whole.to(torch.int8).contiguous(), factor


def from_eight_bits(whole: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """The weights (float32) that :func:`in_eight_bits` was given, but for rounding."""
    return whole.float() * _along_first_axis(factor, whole)


def _along_first_axis(factor: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    return factor.reshape(-1, *[1] * (tensor.dim() - 1))


def _in_half_precision(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    kind = torch.float16 if tensor.is_floating_point() else None
    return tensor.detach().to("cpu", kind).contiguous()
