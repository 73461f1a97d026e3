"""``liverseg devices``: what the networks could run on here."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from liverseg.cli.console import Listener


def add_devices(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's options."""
    p = commands.add_parser("devices", help="list the devices that the networks can run on here")
    p.add_argument("--json", action="store_true", help="as JSON")
    p.add_argument("--json-progress", action="store_true", help="one JSON object a line on standard output")


def run_devices(arguments: argparse.Namespace, listener: Listener) -> int:
    """The devices found, the one that "auto" takes first."""
    from liverseg.device import found_devices

    found = found_devices()
    if arguments.json:
        lines = [json.dumps([asdict(device) for device in found], indent=2)]
    else:
        lines = [device.describe() for device in found]
    listener.done("", lines)
    return 0
