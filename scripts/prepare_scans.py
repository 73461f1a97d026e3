"""Write the cache of a ``scan`` experiment: each labeled scan once on the experiment's own grid.

scripts/prepare_scans.py --data DATA --adapter decathlon --cache CACHE/patches experiment=patches_unet3d
Further settings as for scripts/train.py, such as scan.spacing_mm=[3,3,3].
Every scan is checked first; nothing is written when one has a fatal fault.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from liverseg.errors import LiverSegError, UsageError
from liverseg.training.config import RunConfig
from liverseg.training.config_checks import checked_scan
from liverseg.training.datasets import list_scans
from liverseg.training.integrity import check_data
from liverseg.training.road_config import ScanConfig
from liverseg.training.roads import SCAN
from liverseg.training.scan_cache import cache_on_grid

CONFIGS = Path(__file__).resolve().parent / "configs"


def scan_settings(overrides: list[str]) -> ScanConfig:
    """The grid of an experiment, with what is changed on the command line.

    Raises:
        UsageError: it does not train the task "scan", or its grid cannot work.
    """
    ConfigStore.instance().store(name="run_config", node=RunConfig)
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        settings = compose("train", overrides)
    if settings.task.name != SCAN:
        raise UsageError("this experiment has no grid of its own: use scripts/prepare_data.py")
    scan = OmegaConf.to_object(settings.scan)
    assert isinstance(scan, ScanConfig)
    checked_scan(scan)
    return scan


def prepare(arguments: argparse.Namespace) -> int:
    """Check and write; the exit code."""
    # Settings right behind --exclude are taken for its cases.
    exclude = [word for word in arguments.exclude if "=" not in word]
    scan = scan_settings([*arguments.settings, *(word for word in arguments.exclude if "=" in word)])
    scans = list_scans(arguments.adapter, arguments.data, exclude)
    report = check_data(scans, arguments.data)
    if report.fatal:
        print("\n".join(report.lines()), file=sys.stderr)
        return 1
    for labeled in scans:
        cache_on_grid(labeled, scan, arguments.cache)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--adapter", required=True, help="layout of the data, as for scripts/check_data.py")
    parser.add_argument("--cache", type=Path, required=True, help="the folder to write")
    parser.add_argument("--exclude", nargs="+", default=[], metavar="CASE", help="cases to leave out")
    parser.add_argument("settings", nargs="*", help="experiment=NAME and further settings")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        return prepare(arguments)
    except (LiverSegError, HydraException, OmegaConfBaseException) as error:
        print(f"prepare_scans: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 2)


if __name__ == "__main__":
    sys.exit(main())
