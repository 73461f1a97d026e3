"""What a run's folder says it was begun with, and what a call that goes on may change."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from liverseg.errors import InputRefused, UsageError
from liverseg.training.checkpoints import LAST, WholeCheckpoints
from liverseg.training.config import RunConfig
from liverseg.training.roads import config_of_settings
from liverseg.writers.atomic import make_folder, written_whole

log = logging.getLogger(__name__)

SETTINGS = "settings.json"
# The parts that a run's weights or its samples hang on.
_SAME = ("task", "clinical", "network", "scan", "teacher", "optimizer", "learned_from", "held_out", "seed")


def keep_settings(
    config: RunConfig,
    folder: Path,
    learned_from: list[str],
    held_out: list[str],
    further: list[str],
    normalization: dict[str, float] | None,
    began_with: dict[str, Any] | None = None,
) -> None:
    """Write what a run is made of, or hold it against what the folder says it was begun with.

    Steps, minutes and what is only watched may change; what would bend the curve may not. What the weights
    began with is a checkpoint's: it stays where there is one.

    Raises:
        UsageError: the run was begun with other settings.
        InputRefused: the folder's settings are damaged.
    """
    told = {
        **asdict(config),
        "learned_from": learned_from,
        "held_out": held_out,
        "further_cases": further,
        "normalization": normalization,
        "began_with": began_with,
    }
    path = folder / SETTINGS
    if path.exists():
        before = read_settings(path)
        _compare(before, told, folder)
        if (folder / LAST).exists():
            _check_beginning(before["begin_from"], config.begin_from, folder)
            told |= {"begin_from": before["begin_from"], "began_with": before.get("began_with")}
    make_folder(folder)
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def read_settings(path: Path) -> dict[str, Any]:
    """What a run's folder says it is made of; settings from before one was there have its usual value.

    Raises:
        InputRefused: the file is damaged.
    """
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        filled = asdict(config_of_settings(before))
        told = {name: before[name] for name in ("task", "learned_from", "held_out")}
    except (ValueError, TypeError, KeyError) as error:
        raise InputRefused(
            f"{path} is damaged ({error}): copy it from where it is whole, or give run= a new folder"
        ) from error
    return {**before, **filled, "learned_from": told["learned_from"], "held_out": told["held_out"]}


def read_run_files(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of a run and its last checkpoint.

    Raises:
        InputRefused: one of them is not there, or damaged.
    """
    if not ((run / SETTINGS).is_file() and (run / LAST).is_file()):
        raise InputRefused(f"{run} holds no training run with a checkpoint; give the folder of run=")
    settings = read_settings(run / SETTINGS)
    # Our own checkpoint: Lightning keeps more in it than tensors.
    return settings, WholeCheckpoints().load_checkpoint(run / LAST, map_location="cpu", weights_only=False)


def _compare(before: dict[str, Any], told: dict[str, Any], folder: Path) -> None:
    changed = [part for part in _SAME if before.get(part) != told[part]]
    # A folder that is older than this entry says nothing about them.
    if "further_cases" in before and sorted(further_names(before)) != sorted(further_names(told)):
        changed.append("data.further")
    if told["further_cases"] and before["data"]["further_share"] != told["data"]["further_share"]:
        changed.append("data.further_share")
    if _a_step(before["trainer"]) != _a_step(told["trainer"]):
        changed.append("trainer.batch x trainer.accumulate x trainer.devices, the samples of a step")
    if changed:
        raise UsageError(
            f"{folder} was begun with other settings ({', '.join(changed)}); "
            "give run= a new folder or the old ones"
        )
    for name in ("batch", "accumulate", "devices", "precision"):
        old, new = before["trainer"][name], told["trainer"][name]
        if old != new:
            log.warning(
                "trainer.%s was %s and is now %s: the run goes on, with sums rounded otherwise",
                name,
                old,
                new,
            )


def _check_beginning(before: str, now: str, folder: Path) -> None:
    if now and (not before or Path(now).resolve() != Path(before).resolve()):
        began = f"began with {before}" if before else "began anew"
        raise UsageError(
            f"{folder} {began}, not with begin_from={now}: leave begin_from out to go on, "
            "or give run= a new folder"
        )


def further_name(case: str, folder: str) -> str:
    """How a further case of this folder is called in a run."""
    return f"{case} in {folder}"


def further_names(settings: Mapping[str, Any]) -> list[str]:
    """Names of a run's further cases without their folders, which may lie elsewhere on another machine."""
    folders = [*settings.get("data", {}).get("further", []), settings.get("teacher", {}).get("unlabeled", "")]
    return [_without_folder(name, folders) for name in settings.get("further_cases", [])]


def _without_folder(name: str, folders: Sequence[str]) -> str:
    # By the folders themselves: their paths, too, may hold the word between name and folder.
    told = [folder for folder in folders if folder and name.endswith(further_name("", folder))]
    if told:
        return name.removesuffix(further_name("", max(told, key=len)))
    return name.rpartition(" in ")[0] or name


def began_with(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Whom the weights that a run began with had learned from, and in how many steps; nobody in none."""
    return settings.get("began_with") or {"learned_from": [], "steps": 0}


def _a_step(trainer: dict[str, Any]) -> int:
    return int(trainer["batch"] * trainer["accumulate"] * trainer["devices"])
