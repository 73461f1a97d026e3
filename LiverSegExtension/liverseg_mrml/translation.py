"""Slicer's translations for sentences that people read on screen; English where there is no Slicer.

Sentences that go into a report or a scene stay in English: they are data, and a file has one language.
"""

from __future__ import annotations


def _untranslated(text: str) -> str:
    return text


try:
    from slicer.i18n import tr as _
except ImportError:
    # The package slicer-core has no translations.
    _ = _untranslated

__all__ = ["_"]
