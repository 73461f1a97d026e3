"""Wheels without any code, for tests of what pip installs where and in which version."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path


def make_wheel(folder: Path, name: str, version: str, requires: Sequence[str] = ()) -> Path:
    """A wheel that holds nothing but its name, its version and what it needs."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name.replace('-', '_')}-{version}"
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    metadata += [f"Requires-Dist: {each}" for each in requires]
    files = {
        "METADATA": "\n".join(metadata) + "\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in files.items():
            wheel.writestr(f"{stem}.dist-info/{file}", text)
    return path


def make_index(folder: Path) -> str:
    """A package index over the wheels of a folder, as pip reads one from a server; returns its address."""
    for path in folder.glob("*.whl"):
        page = folder / "simple" / path.name.split("-")[0].replace("_", "-").lower() / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        known = page.read_text(encoding="utf-8") if page.exists() else "<!DOCTYPE html>\n"
        page.write_text(f'{known}<a href="{path.as_uri()}">{path.name}</a>\n', encoding="utf-8")
    return (folder / "simple").as_uri()
