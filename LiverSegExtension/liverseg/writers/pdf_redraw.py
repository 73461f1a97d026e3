"""Draws a ``report.pdf`` again with other numbers, from a report and the pictures in the earlier file.

A result folder holds no CT, so the pictures cannot be made again; they are taken over byte by byte.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from liverseg.case import CouinaudMethod, Provenance
from liverseg.errors import InputRefused
from liverseg.writers.pdf_content import Content
from liverseg.writers.pdf_sheet import CREATOR, PAPERS
from liverseg.writers.pdf_words import UNNAMED
from liverseg.writers.report_json import lesions_of, liver_of, remnant_of, segments_of
from liverseg.writers.report_pdf import write_content

_PICTURE = re.compile(rb"/Picture <</Key \(([\w-]+)\)>> BDC.*?/(\S+) Do", re.DOTALL)


def drawn_again(path: Path, report: dict[str, Any]) -> bytes:
    """The bytes of the new file; paper and patient as before.

    Raises:
        InputRefused: the file is no report of LiverSeg, or the report is damaged.
    """
    refused = InputRefused("it was not written by LiverSeg, or is damaged; write it again by 'measure --pdf'")
    try:
        reader = PdfReader(path)
        about = reader.metadata
        if about is None or about.creator != CREATOR:
            raise refused
        content = _content(report, _pictures(reader), about.keywords or "", about.subject or None)
        width = float(reader.pages[0].mediabox.width)
    except (PyPdfError, OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise refused from error
    paper = min(PAPERS, key=lambda name: abs(PAPERS[name][0] - width))
    with tempfile.TemporaryDirectory(prefix="liverseg-") as folder:
        target = Path(folder) / "report.pdf"
        write_content(content, target, paper)
        return target.read_bytes()


def _pictures(reader: PdfReader) -> dict[str, bytes]:
    """JPEG by key."""
    pictures = {}
    for page in reader.pages:
        drawing = page.get_contents()
        for key, name in _PICTURE.findall(drawing.get_data() if drawing is not None else b""):
            # A page's entries are of many kinds for the type checker; these are dictionaries and a stream.
            resources: Any = page["/Resources"]
            pictures[key.decode()] = resources["/XObject"][f"/{name.decode()}"].get_data()
    return pictures


def _content(report: dict[str, Any], pictures: dict[str, bytes], scan: str, patient: str | None) -> Content:
    made = {name: value for name, value in report["provenance"].items() if name != "extension"}
    return Content(
        liver=liver_of(report),
        segments=segments_of(report),
        lesions=lesions_of(report),
        method=CouinaudMethod(**report["method"]),
        provenance=Provenance(**made),
        hints=tuple(report["hints"]),
        warnings=tuple(report["warnings"]),
        remnant=remnant_of(report),
        ct_id=(report["provenance"]["input"].get("sha256") or UNNAMED)[:12],
        scan=scan,
        pictures=pictures,
        patient=patient,
    )
