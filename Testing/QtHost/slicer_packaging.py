"""A stand-in for ``slicer.packaging``, with the signatures of Slicer 5.12.

By default every requirement is met. With a folder of its own for packages it installs by pip, from where
pip's own settings say (``PIP_FIND_LINKS``), never from the network.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path
from types import ModuleType

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

Wanted = str | Requirement | list[str | Requirement]


class Packaging(ModuleType):
    """The module.

    Attributes:
        site: the folder of the packages; None where all are met.
        installed: what pip was told to install, one call a list.
    """

    def __init__(self, site: Path | None = None) -> None:
        super().__init__("slicer.packaging")
        self.site = site
        self.installed: list[list[str]] = []

    def load_requirements(self, path: str | Path) -> list[Requirement]:
        lines = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines()]
        return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]

    def pip_check(self, req: Wanted) -> bool:
        if self.site is None:
            return True
        found = {
            canonicalize_name(each.name): each.version
            for each in importlib.metadata.distributions(path=[str(self.site)])
        }
        return all(
            canonicalize_name(each.name) in found and found[canonicalize_name(each.name)] in each.specifier
            for each in _listed(req)
        )

    def pip_ensure(  # noqa: PLR0913
        self,
        requirements: Wanted,
        constraints: str | Path | None = None,
        skip_packages: list[str] | None = None,
        prompt_install: bool = True,
        prompt_restart: bool = True,
        requester: str | None = None,
        skip_in_testing: bool = True,
        show_progress: bool = True,
    ) -> list[str] | None:
        missing = [str(each) for each in _listed(requirements) if not self.pip_check(each)]
        assert not prompt_install, "the panel asks by itself, once"
        if missing:
            self.install(missing, ["-c", str(constraints)] if constraints else [])
        return None

    def install(self, requirements: list[str], options: list[str]) -> None:
        """Put packages into the folder."""
        assert self.site is not None
        self.installed.append(requirements)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index"]
        subprocess.run([*pip, "--target", str(self.site), *options, *requirements], check=True)


def _listed(wanted: Wanted) -> list[Requirement]:
    each = wanted if isinstance(wanted, list) else [wanted]
    return [Requirement(one) if isinstance(one, str) else one for one in each]
