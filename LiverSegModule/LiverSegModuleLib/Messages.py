"""What the user is told, and what the log keeps, when something does not work."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import slicer
from slicer.i18n import tr as _


@contextmanager
def telling(what: str) -> Iterator[None]:
    """Show an error of the block in one dialog; the panel goes on.

    A refusal of the engine is one plain sentence, for which no one needs a traceback. Anything else is a
    defect, and its traceback goes into the log.

    Args:
        what: translated; what did not work.
    """
    from liverseg.errors import LiverSegError

    try:
        yield
    except LiverSegError as error:
        slicer.util.errorDisplay(f"{what}\n\n{error}", windowTitle=_("LiverSeg"))
    except Exception as error:
        logging.exception("LiverSeg: %s", what)
        slicer.util.errorDisplay(f"{what}\n\n{error}", windowTitle=_("LiverSeg"))
