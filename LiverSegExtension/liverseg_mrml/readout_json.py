"""A case without its arrays as JSON text, at full precision, for an attribute of a node.

The attribute travels with the scene, so that a scene that is opened again yields the same read-out.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from liverseg.case import (
    Case,
    CouinaudMethod,
    LesionReadout,
    LiverReadout,
    Masks,
    Provenance,
    Remnant,
    SegmentReadout,
)
from liverseg.errors import InputRefused
from liverseg.geometry import Geometry
from liverseg.volume import Source, Volume
from liverseg.writers.report_json import lesion_of
from liverseg_mrml.translation import _

FORMAT = 1


@dataclass(frozen=True, eq=False)
class StoredReadout:
    """What a node's attribute tells of a case.

    Attributes:
        geometry: the grid of the case's arrays.
        source: where the CT came from, without its name.
        warnings: of the networks' run, which stay true whatever a person corrects.
        fields: the read-out as plain JSON.
    """

    geometry: Geometry
    source: Source
    warnings: tuple[str, ...]
    fields: dict[str, Any]

    @property
    def method(self) -> CouinaudMethod:
        """How the liver was split."""
        return CouinaudMethod(**self.fields["method"])

    @property
    def provenance(self) -> Provenance:
        """What made the result."""
        return Provenance(**self.fields["provenance"])

    @property
    def lesions(self) -> tuple[LesionReadout, ...]:
        """The lesions as they were measured."""
        return tuple(lesion_of(lesion) for lesion in self.fields["lesions"])

    @property
    def remnant(self) -> Remnant | None:
        """The planned resection, if there is one."""
        remnant = self.fields["remnant"]
        if remnant is None:
            return None
        return Remnant(**{**remnant, "resected": tuple(remnant["resected"])})

    def text(self) -> str:
        """The attribute's text."""
        return _stored_text(self.geometry, self.source, self.warnings, self.fields)

    def case(self, ct: Volume, masks: Masks) -> Case:
        """The case with the arrays it was stored without.

        Raises:
            liverseg.case.InvariantError: the masks are not those that were read out.
        """
        fields = self.fields
        return Case(
            ct=ct,
            masks=masks,
            liver=LiverReadout(**fields["liver"]),
            segments=tuple(SegmentReadout(**segment) for segment in fields["segments"]),
            lesions=self.lesions,
            method=self.method,
            provenance=self.provenance,
            summary=tuple(fields["summary"]),
            hints=tuple(fields["hints"]),
            warnings=tuple(fields["warnings"]),
            remnant=self.remnant,
        )


def readout_text(case: Case, run_warnings: tuple[str, ...]) -> str:
    """The attribute's text; ``run_warnings`` are those to keep when masks are corrected."""
    geometry, source = case.ct.geometry, case.ct.source
    fields = {
        "liver": asdict(case.liver),
        "segments": [asdict(segment) for segment in case.segments],
        "lesions": [asdict(lesion) for lesion in case.lesions],
        "method": asdict(case.method),
        "provenance": asdict(case.provenance),
        "summary": case.summary,
        "hints": case.hints,
        "warnings": case.warnings,
        "remnant": None if case.remnant is None else asdict(case.remnant),
    }
    return _stored_text(geometry, source, run_warnings, fields)


def stored_readout(text: str | None) -> StoredReadout:
    """The reverse of :func:`readout_text`.

    Raises:
        InputRefused: there is no text, or it is of a version that is not known.
    """
    try:
        stored = json.loads(text or "")
        if stored["format"] != FORMAT:
            raise InputRefused(
                _("the scene was saved in format {number}; open it with a newer LiverSeg").format(
                    number=stored["format"]
                )
            )
        source = {
            **stored["source"],
            "instance_uids": tuple(stored["source"]["instance_uids"]),
            "files": (),
        }
        return StoredReadout(
            geometry=Geometry(tuple(stored["shape"]), np.array(stored["ijk_to_ras"])),
            source=Source(**source),
            warnings=tuple(stored["run_warnings"]),
            fields=stored["readout"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InputRefused(
            _("the segmentation holds no LiverSeg read-out; run LiverSeg on its CT")
        ) from error


def _stored_text(
    geometry: Geometry, source: Source, run_warnings: tuple[str, ...], fields: dict[str, Any]
) -> str:
    stored = {
        "format": FORMAT,
        "shape": geometry.shape,
        "ijk_to_ras": geometry.ijk_to_ras.tolist(),
        # A file or series may be named after a patient, and scenes are passed on.
        "source": {**asdict(replace(source, files=())), "name": ""},
        "run_warnings": run_warnings,
        "readout": fields,
    }
    return json.dumps(stored, ensure_ascii=False, default=_plain)


def _plain(value: object) -> object:
    """numpy scalars and arrays as JSON types."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return str(value)
