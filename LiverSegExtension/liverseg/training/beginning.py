"""Fine-tuning: a run that begins with the weights of another run or of a bundle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from liverseg.bundle import load_network, read_bundle
from liverseg.errors import InputRefused, ModelError, UsageError
from liverseg.training.kept_settings import SETTINGS, began_with, further_names, read_run_files
from liverseg.training.persons import person_of
from liverseg.training.roads import config_of_settings, task_facts

# Weights of a Lightning module are named after its attribute.
_PREFIX = "network."
# Of the outputs of coarser levels, in MONAI's DynUNet, which keeps each under two names.
_COARSER = ("deep_supervision_heads.", ".super_head.")


@dataclass(frozen=True)
class Beginning:
    """What a run begins with.

    Attributes:
        weights: of the network, by name.
        classes: of its output.
        learned_from: cases that they have seen, in any form.
        steps: of the training behind them.
    """

    weights: dict[str, torch.Tensor]
    classes: tuple[str, ...]
    learned_from: tuple[str, ...]
    steps: int

    def facts(self) -> dict[str, Any]:
        """What the settings of a run tell of its beginning."""
        return {"learned_from": list(self.learned_from), "steps": self.steps}


def read_beginning(folder: Path, stage: str) -> Beginning:
    """The averaged weights of a run's last checkpoint, or a bundle's network of that stage.

    Raises:
        InputRefused: neither is there, or the bundle does not say whom it learned from.
    """
    if (folder / SETTINGS).is_file():
        return read_run(folder)
    if (folder / "card.json").is_file():
        return _of_bundle(folder, stage)
    raise InputRefused(f"begin_from: {folder} is neither a run's folder nor a bundle's; give one of these")


def read_run(folder: Path) -> Beginning:
    """The averaged weights of a run's last checkpoint.

    Raises:
        InputRefused: there is none, or it is damaged.
    """
    settings, state = read_run_files(folder)
    before = began_with(settings)
    return Beginning(
        weights={
            name.removeprefix(_PREFIX): value.float() if value.is_floating_point() else value
            for name, value in state["state_dict"].items()
            if name.startswith(_PREFIX)
        },
        classes=task_facts(config_of_settings(settings)).classes,
        learned_from=tuple(
            sorted({*settings["learned_from"], *further_names(settings), *before["learned_from"]})
        ),
        steps=int(state["global_step"]) + int(before["steps"]),
    )


def _of_bundle(folder: Path, stage: str) -> Beginning:
    try:
        bundle = read_bundle(folder)
        weights = load_network(bundle, stage).state_dict()
    except ModelError as error:
        raise InputRefused(f"begin_from: {error}") from error
    entry = bundle.card["networks"][stage]
    if "learned_from" not in entry:
        raise InputRefused(
            f"begin_from: the card of {bundle.name} does not say whom its {stage} learned from; "
            "add learned_from, a list of cases, to it"
        )
    return Beginning(
        weights,
        bundle.networks[stage].classes,
        tuple(sorted(entry["learned_from"])),
        int(entry.get("training_steps", 0)),
    )


def begin_with(
    network: torch.nn.Module, classes: Sequence[str], beginning: Beginning, unseen: set[str]
) -> None:
    """Give a network the weights of another; parts that only training has keep theirs where those lack them.

    A network may tell more classes apart than the one it begins with: what is added to the end begins anew.

    Args:
        network: the new run's.
        classes: of its output.
        beginning: what it begins with.
        unseen: persons whom the new run holds out.

    Raises:
        UsageError: the weights are another network's, or have seen a person who is held out.
    """
    seen = sorted(unseen & {person_of(case) for case in beginning.learned_from})
    if seen:
        raise UsageError(
            f"begin_from has learned from {', '.join(seen)}, whom this run holds out; "
            "begin with a model of the same fold"
        )
    known = len(beginning.classes)
    if tuple(classes[:known]) != beginning.classes:
        raise UsageError(
            f"begin_from tells {', '.join(beginning.classes)} apart and this run {', '.join(classes)}; "
            "classes may only be added at the end"
        )
    own = network.state_dict()
    weights = {
        name: _with_new_classes(value, own[name], known, len(classes)) if name in own else value
        for name, value in beginning.weights.items()
        if name in own or not has_coarser_outputs([name])
    }
    strange = sorted(name for name in weights if name not in own or own[name].shape != weights[name].shape)
    if strange:
        raise UsageError(
            f"begin_from is another network than this run's ({strange[0]}); "
            "set task.filters, task.kernels and network as they were there"
        )
    network.load_state_dict(weights, strict=False)


def has_coarser_outputs(names: Iterable[str]) -> bool:
    """Whether weights of these names give outputs of coarser levels (deep supervision).

    Those of a bundle do not. Outputs that begin anew beside weights that have learned cost these what they
    know: their loss is the larger one, and the network follows it.
    """
    return any(part in name for name in names for part in _COARSER)


def _with_new_classes(value: torch.Tensor, own: torch.Tensor, known: int, wanted: int) -> torch.Tensor:
    """The weights of a head with the classes it lacks as they are in the new network."""
    fits = value.dim() and value.shape[0] == known and own.shape[0] == wanted
    if known == wanted or not fits or value.shape[1:] != own.shape[1:]:
        return value
    return torch.cat([value, own[known:].to(value.dtype)])
