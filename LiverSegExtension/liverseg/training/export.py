"""From a training run to a bundle that the engine runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from liverseg.bundle import STAGES, read_views, save_network
from liverseg.errors import InputRefused, UsageError
from liverseg.networks import build_network, training_only
from liverseg.training.checkpoints import LAST
from liverseg.training.kept_settings import began_with, further_names, read_run_files
from liverseg.training.persons import person_of
from liverseg.training.roads import (
    config_of_settings,
    described_network,
    grid_of_card,
    task_facts,
)
from liverseg.training.tasks import TASKS
from liverseg.writers.atomic import make_folder, written_whole

# Weights of a Lightning module are named after its attribute.
_PREFIX = "network."


def trained_network(run: Path) -> tuple[torch.nn.Module, dict[str, Any]]:
    """The averaged network of a run's last checkpoint, and its entry for a model card (without the file).

    Raises:
        InputRefused: no run with a checkpoint is there, or a damaged one.
    """
    settings, state = read_run_files(run)
    config = config_of_settings(settings)
    facts = task_facts(config)
    description = described_network(config, settings.get("normalization"))
    left_out = training_only(description)
    weights = {
        name.removeprefix(_PREFIX): value
        for name, value in state["state_dict"].items()
        if name.startswith(_PREFIX) and not name.removeprefix(_PREFIX).startswith(left_out)
    }
    built = build_network(description)
    missing, surplus = built.load_state_dict(weights, strict=False)
    if surplus or any(not name.startswith(left_out) for name in missing):
        raise InputRefused(f"{run / LAST} does not fit the settings beside it; keep a run's files together")
    entry = {
        "network": description,
        "spacing_mm": facts.spacing_mm,
        **grid_of_card(config),
        "patch": list(settings["task"]["patch"]),
        "window_hu": facts.window_hu,
        "classes": list(facts.classes),
        "training_steps": int(state["global_step"]) + int(began_with(settings)["steps"]),
        "held_out": settings["held_out"],
        "learned_from": _shown(settings),
    }
    if config.scan.segments:
        entry["segments"] = "of its second head; used as stage 2 of a model without a couinaud network"
    return built, entry


def _shown(settings: dict[str, Any]) -> list[str]:
    """Cases that a run learned from, made-up patients left out; further ones go by their person."""
    before = began_with(settings)["learned_from"]
    further = {person_of(name) for name in [*further_names(settings), *before]}
    further = {name for name in further if not name.startswith("phantom_")}
    labeled = {name for name in settings["learned_from"] if not name.startswith("phantom_")}
    known = {person_of(name) for name in labeled}
    return sorted(labeled | (further - known))


def unseen_cases(networks: list[dict[str, Any]]) -> list[str]:
    """The cases of persons whom no network saw: only these may judge the whole model.

    A person is unseen by a network that held one of the person's cases out, or that says whom it learned
    from and does not name the person.

    Args:
        networks: entries of a card with ``held_out`` and perhaps ``learned_from``, lists of cases; a person's
            scan and label maps have names of their own.
    """
    held = {case for network in networks for case in network.get("held_out", [])}
    unseen = {person_of(case) for case in held}
    for network in networks:
        left_out = {person_of(case) for case in network.get("held_out", [])}
        if "learned_from" in network:
            unseen -= {person_of(case) for case in network["learned_from"]} - left_out
        else:
            unseen &= left_out
    return sorted(case for case in held if person_of(case) in unseen)


# What the engine asks of a stage's classes.
_NEEDED = {"stage1": {"liver"}, "stage2": {"lesion"}}


def fits_stage(entry: dict[str, Any], stage: str) -> bool:
    """Whether a network's classes and inputs are those that the engine gives and wants in a stage."""
    wanted = TASKS[stage]
    if entry["classes"] == list(wanted.classes):
        return True
    sees_ct = entry["window_hu"] is not None and entry["network"]["in_channels"] == 1
    tissues = {name.split()[0] for name in entry["classes"]}
    return stage in _NEEDED and sees_ct and tissues >= _NEEDED[stage]


def export_bundle(
    folder: Path,
    name: str,
    runs: dict[str, Path],
    facts: dict[str, Any],
    eight_bits: bool = False,
    views: Sequence[tuple[float, float]] = (),
) -> None:
    """Write weights and card of the given runs into ``folder``; other networks of its card are kept.

    Args:
        folder: the bundle's folder.
        name: the model's name.
        runs: run folder for each stage to write.
        facts: what else the card says (sources, license, results); merged over what it said.
        eight_bits: write the weights in eight bits instead of half precision.
        views: (spacing in mm, share) of the grids that stage 2 looks at, where it is written.

    Raises:
        UsageError: no run at all, views that make no average, or views where no stage 2 is written, or a
            folder that cannot be written to.
        InputRefused: a folder holds no run, a damaged one, or that of another network; the card that is there
            is damaged.
    """
    if not runs:
        raise UsageError(f"no run to export: name that of {', '.join(STAGES[:-1])} or {STAGES[-1]}")
    if views and "stage2" not in runs:
        raise UsageError("views are stage 2's: name its run, too")
    path = folder / "card.json"
    card = _card_before(path)
    card.update({"format": 1, "name": name, **facts})
    networks = card.setdefault("networks", {})
    trained = {stage: _checked(run, stage, views) for stage, run in runs.items()}
    make_folder(folder)
    for stage, (network, entry) in trained.items():
        file = f"{stage}.safetensors"
        sha256 = save_network(network, folder / file, eight_bits)
        parameters = sum(p.numel() for p in network.parameters())
        networks[stage] = {**entry, "file": file, "sha256": sha256, "parameters": parameters}
    card["held_out"] = unseen_cases(list(networks.values()))
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def _card_before(path: Path) -> dict[str, Any]:
    """The card that is there; an empty one where none is."""
    if not path.is_file():
        return {}
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(card, dict) and isinstance(card.get("networks", {}), dict):
            return card
    except ValueError:
        pass
    raise InputRefused(f"{path} is damaged: delete it, or give another folder to write to")


def _checked(
    run: Path, stage: str, views: Sequence[tuple[float, float]]
) -> tuple[torch.nn.Module, dict[str, Any]]:
    network, entry = trained_network(run)
    if not fits_stage(entry, stage):
        raise InputRefused(f"{run} trained another network than {stage}")
    if stage == "stage2" and views:
        entry["views"] = [list(view) for view in views]
        try:
            read_views(entry)
        except ValueError as error:
            raise UsageError(f"views: {error}") from error
    return network, entry
