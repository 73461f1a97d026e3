"""The families of networks: what each needs in a description, and who builds it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from liverseg.errors import ModelError

Description = Mapping[str, Any]

# Keys of a description that every family knows, see :func:`liverseg.networks.build_network`.
COMMON = frozenset({"name", "in_channels", "out_channels", "dimensions", "context", "normalization"})


@dataclass(frozen=True)
class Blueprint:
    """What a builder is given: a description that has been checked, and what follows from it.

    Attributes:
        description: of the network, with the family's own options.
        dimensions: 3, or 2 for a network over slices.
        in_channels: of the first layer; over slices the neighbors count.
        out_channels: classes.
        deep_supervision: coarser levels with an output of their own.
        training: with the parts that serve training alone.
    """

    description: Description
    dimensions: int
    in_channels: int
    out_channels: int
    deep_supervision: int = 0
    training: bool = False

    def option(self, name: str, default: Any) -> Any:
        """A family's own option, or its default."""
        return self.description.get(name, default)


@dataclass(frozen=True)
class Family:
    """A kind of network.

    Attributes:
        build: makes it, untrained.
        levels: resolution levels: sides of a patch are multiples of ``2 ** (levels - 1)``.
        required: keys that a description must have.
        options: keys that it may have.
        dimensions: 3, 2 or both.
        deep_supervision: coarser levels can have outputs of their own.
        needs: packages beyond those of the engine.
        training_only: beginnings of the names of weights that serve training alone.
    """

    build: Callable[[Blueprint], nn.Module]
    levels: Callable[[Description], int]
    required: frozenset[str] = frozenset()
    options: frozenset[str] = frozenset()
    dimensions: tuple[int, ...] = (2, 3)
    deep_supervision: bool = False
    needs: tuple[str, ...] = ()
    training_only: tuple[str, ...] = field(default=())


FAMILIES: dict[str, Family] = {}


def by_filters(description: Description) -> int:
    """The levels of a family with one number of filters a level."""
    return len(description["filters"])


def family_of(description: Description) -> Family:
    """The family of a description that fits it.

    Raises:
        ModelError: an unknown network, an option it does not know or lacks, or a package that is missing.
    """
    name = description.get("name")
    if name not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise ModelError(f"the model card asks for the network {name!r}; this version knows {known}")
    family = FAMILIES[name]
    missing = sorted((family.required | {"in_channels", "out_channels"}) - description.keys())
    if missing:
        raise ModelError(f"the network {name} lacks {', '.join(missing)} in its description")
    surplus = sorted(description.keys() - COMMON - family.required - family.options)
    if surplus:
        allowed = ", ".join(sorted(family.required | family.options))
        raise ModelError(f"the network {name} has no option {', '.join(surplus)}; it knows {allowed}")
    dimensions = int(description.get("dimensions", 3))
    if dimensions not in family.dimensions:
        raise ModelError(f"the network {name} has {family.dimensions[0]} dimensions, not {dimensions}")
    for package in family.needs:
        if importlib.util.find_spec(package) is None:
            raise ModelError(f"the network {name} needs the package {package}: pip install {package}")
    return family
