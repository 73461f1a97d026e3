"""The log in a file, so that neither a reload nor a crash of the application loses it. Free of Qt."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path

NAME = "LiverSeg-log.txt"
# Above the larger size only the newest lines of the smaller one are kept.
LARGEST_BYTES, KEPT_BYTES = 2_000_000, 500_000


class EngineLog:
    """Lines with their time in a file of the application's temporary folder.

    A disk that is full or a folder that cannot be written to is told of once, and disturbs nothing else.

    Args:
        folder: where the file lies; kept from one start of the application to the next.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._writable = True
        self._shorten()

    def add(self, text: str) -> None:
        """Append a line."""
        if not self._writable:
            return
        time = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        try:
            # Names of files are in it, which are nobody else's business.
            self.path.touch(mode=0o600, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{time[:19]} {text}\n")
        except OSError as error:
            self._writable = False
            logging.warning("LiverSeg: the log cannot be kept in a file: %s", error)

    def lines(self) -> list[str]:
        """What is kept, oldest first."""
        try:
            return self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []

    def _shorten(self) -> None:
        try:
            if self.path.is_file() and self.path.stat().st_size > LARGEST_BYTES:
                newest = self.path.read_bytes()[-KEPT_BYTES:].split(b"\n", 1)[-1]
                self.path.write_bytes(newest)
        except OSError:
            self._writable = False
