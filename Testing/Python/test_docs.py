"""What the pages say exists: commands, files, options."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import liverseg
from liverseg.cli.parser import build_parser

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "Testing" / "README.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    gone = [link for link in links if not (page.parent / link).exists()]
    named = re.findall(r"\b((?:scripts|docs|LiverSegModule|Testing)/[\w./-]+\.\w+)", text)
    gone += [name for name in named if not (ROOT / name).exists()]
    assert not gone


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_names_is_one(page: Path) -> None:
    commands = set(build_parser()._subparsers._group_actions[0].choices)  # type: ignore[union-attr]
    named = set(re.findall(r"^liverseg (\w+)", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert named <= commands


def test_the_version_to_cite_is_the_one_that_is_installed() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {liverseg.__version__}\n" in citation
    assert f"LiverSeg {liverseg.__version__}," in (ROOT / "README.md").read_text(encoding="utf-8")
