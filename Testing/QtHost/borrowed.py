"""What a process had before the host put stand-ins in its place: given back when the host closes."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

# Everything of Slicer's application and of ours that was loaded on top of the stand-ins.
OURS = ("LiverSegModule", "LiverSegModuleLib", "qt", "ctk", "SampleData", "PyTorchUtils")
_NOTHING = object()


def _is_ours(name: str) -> bool:
    return name.split(".", maxsplit=1)[0] in OURS or name in (
        *("slicer.i18n", "slicer.parameterNodeWrapper", "slicer.packaging"),
        "slicer.ScriptedLoadableModule",
    )


class Borrowed:
    """Modules and attributes that the host replaces."""

    def __init__(self) -> None:
        self._modules = {name: module for name, module in sys.modules.items() if _is_ours(name)}
        self._attributes: list[tuple[Any, str, Any]] = []
        for name in self._modules:
            if name.startswith("LiverSeg"):
                del sys.modules[name]

    def put(self, owner: Any, name: str, value: Any) -> None:
        """Set an attribute."""
        self._attributes.append((owner, name, vars(owner).get(name, _NOTHING)))
        setattr(owner, name, value)

    def put_module(self, module: ModuleType) -> None:
        """Let a module be imported by its name."""
        sys.modules[module.__name__] = module

    def give_back(self) -> None:
        """Everything as it was; what was loaded meanwhile is forgotten."""
        for name in [name for name in sys.modules if _is_ours(name)]:
            del sys.modules[name]
        sys.modules.update(self._modules)
        while self._attributes:
            owner, name, value = self._attributes.pop()
            if value is _NOTHING:
                delattr(owner, name)
            else:
                setattr(owner, name, value)
