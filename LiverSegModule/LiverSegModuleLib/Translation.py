"""Slicer's ``_()`` for the parts that are free of Slicer; English where there is none."""

from __future__ import annotations


def _untranslated(text: str) -> str:
    return text


try:
    from slicer.i18n import tr as _
except ImportError:
    _ = _untranslated

__all__ = ["_"]
