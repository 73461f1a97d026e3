"""What a run's folder says it was begun with, and what a call that goes on may change."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from liverseg.errors import InputRefused, UsageError
from liverseg.training.config import RunConfig
from liverseg.training.roads import config_of_settings
from liverseg.writers.atomic import written_whole

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

    Steps, minutes and what is only watched may change; what would bend the curve may not.

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
        before = _read(path)
        _compare(before, told, folder)
        if began_with is None:
            told["began_with"] = before.get("began_with")
    folder.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        filled = asdict(config_of_settings(before))
    except (ValueError, TypeError, KeyError) as error:
        raise InputRefused(
            f"{path} is damaged ({error}): give run= a new folder, or delete this one"
        ) from error
    return {**before, **filled}


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


def further_names(settings: Mapping[str, Any]) -> list[str]:
    """Names of a run's further cases without their folders, which may lie elsewhere on another machine."""
    return [name.rpartition(" in ")[0] or name for name in settings.get("further_cases", [])]


def began_with(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Whom the weights that a run began with had learned from, and in how many steps; nobody in none."""
    return settings.get("began_with") or {"learned_from": [], "steps": 0}


def _a_step(trainer: dict[str, Any]) -> int:
    return int(trainer["batch"] * trainer["accumulate"] * trainer["devices"])
