"""``sr.dcm``: the measurements as a DICOM structured report, template TID 1500 (PS3.16).

One measurement group (TID 1411, volumetric region of interest) for the liver, each Couinaud segment and each
lesion. A group names the segment it was measured on, in ``seg.dcm`` or in the label maps, and shares its
tracking identifier and UID. The template of such a group allows no coordinates, so a lesion has a group of
TID 1501 besides, with the same tracking identifier and UID: its axes, each inferred from its two ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from highdicom import sr
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from liverseg import labels
from liverseg.case import Case, LesionReadout, Point
from liverseg.dicom_headers import SourceHeaders, derived_uid, source_headers
from liverseg.geometry import LPS_TO_RAS
from liverseg.labels import Structure
from liverseg.writers.dicom_object import (
    MANUFACTURER,
    MODEL_NAME,
    SegmentAddress,
    addresses,
    algorithm_name,
    case_digest,
    code_of,
    device_uid,
    quiet_highdicom,
    series_attributes,
    series_uid,
    sites_of,
    tracking_uid,
)

# LiverSeg's own codes, for what has none in DICOM or SNOMED CT.
SCHEME = "99LIVERSEG"
REVIEW = Code("review", SCHEME, "Review by a reader")
REVIEW_STATES = {
    "accepted": Code("accepted", SCHEME, "Accepted"),
    "rejected": Code("rejected", SCHEME, "Rejected"),
}
COMPLETE = Code("liver_complete", SCHEME, "Liver wholly inside the scan")

_ML = Code("ml", "UCUM", "ml")
_MM = Code("mm", "UCUM", "mm")
_HU = Code("[hnsf'U]", "UCUM", "Hounsfield unit")
_PERCENT = Code("%", "UCUM", "%")
_ONE = Code("1", "UCUM", "no units")

_VOLUME = codes.SCT.Volume
_LONG_AXIS = Code("103339001", "SCT", "Long Axis")
_SHORT_AXIS = Code("103340004", "SCT", "Short Axis")
# The farthest pair of points of the lesion's surface, as IBSI defines it.
_DIAMETER_3D = Code("L0JK", "IBSI", "Maximum 3D Diameter of a Mesh")
_SPHERICITY = Code("QCFX", "IBSI", "Sphericity")
_ATTENUATION = Code("112031", "DCM", "Attenuation Coefficient")
_CERTAINTY = Code("111012", "DCM", "Certainty of Finding")
_MEAN = codes.SCT.Mean
_SD = codes.SCT.StandardDeviation
_PROCEDURE = Code("25045-6", "LN", "CT unspecified body region")
_DECIMALS = 4


def write_report(case: Case, path: Path) -> None:
    """Write the report on the segments of ``seg.dcm``. The case must have a liver."""
    _write(case, "binary", path)


def write_report_on_maps(case: Case, path: Path) -> None:
    """Write the report on the segments of the label maps ``seg_*.dcm``. The case must have a liver."""
    _write(case, "labelmap", path)


def _write(case: Case, encoding: str, path: Path) -> None:
    headers = source_headers(case.ct)
    digest = case_digest(case)
    builder = _Groups(case, headers, addresses(case, encoding, digest))
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=_observer(case)),
        procedure_reported=_PROCEDURE,
        imaging_measurements=builder.all(),
    )
    evidence = [
        _instance(headers.first, place, series_uid(encoding, digest)) for place in builder.instances()
    ]
    if not headers.generated:
        evidence += [_with_patient(image, headers.first) for image in headers.images]
    with quiet_highdicom():
        report = sr.Comprehensive3DSR(
            evidence=evidence,
            content=content[0],
            sop_instance_uid=derived_uid("report", encoding, digest),
            instance_number=1,
            is_complete=True,
            is_final=False,
            coding_schemes=[
                CodingSchemeIdentificationItem(SCHEME, name="LiverSeg", responsible_organization="LiverSeg")
            ],
            **series_attributes(case, "report", digest),
        )
    report.save_as(path, enforce_file_format=True)


def _observer(case: Case) -> sr.ObserverContext:
    return sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=device_uid(case),
            name=algorithm_name(case),
            manufacturer_name=MANUFACTURER,
            model_name=MODEL_NAME,
            serial_number=case.provenance.version,
        ),
    )


class _Groups:
    """Builds the measurement groups of a case."""

    def __init__(self, case: Case, headers: SourceHeaders, places: dict[str, SegmentAddress]) -> None:
        self._case, self._headers, self._places = case, headers, places
        self._algorithm = sr.AlgorithmIdentification(
            name=algorithm_name(case), version=case.provenance.version
        )

    def instances(self) -> list[SegmentAddress]:
        """One address a segmentation that a group refers to."""
        structures = [labels.LIVER, *labels.segments(self._case.split_segment_4)]
        structures += [labels.lesion_structure(lesion.id) for lesion in self._case.lesions]
        used = [self._places[s.key] for s in structures if s.key in self._places]
        return list({place.sop_instance_uid: place for place in used}.values())

    def all(
        self,
    ) -> list[
        sr.VolumetricROIMeasurementsAndQualitativeEvaluations | sr.MeasurementsAndQualitativeEvaluations
    ]:
        """The liver, its segments (those that have voxels), the lesions by id, then the lesions' axes."""
        by_name = {labels.numeral(s): s for s in labels.segments(self._case.split_segment_4)}
        segments = [(by_name[each.name], each.volume_ml) for each in self._case.segments]
        return [
            self._liver(),
            *(self._segment(s, volume) for s, volume in segments if s.key in self._places),
            *(self._lesion(lesion) for lesion in self._case.lesions),
            *(self._axes(lesion) for lesion in self._case.lesions),
        ]

    def _liver(self) -> sr.VolumetricROIMeasurementsAndQualitativeEvaluations:
        liver = self._case.liver
        complete = codes.SCT.Yes if liver.complete else codes.SCT.No
        numbers = [
            _number(_VOLUME, liver.volume_ml, _ML),
            _number(_ATTENUATION, liver.mean_hu, _HU, _MEAN),
            _number(_ATTENUATION, liver.sd_hu, _HU, _SD),
        ]
        return self._group(labels.LIVER, numbers, evaluations=[sr.QualitativeEvaluation(COMPLETE, complete)])

    def _segment(
        self, structure: Structure, volume_ml: float
    ) -> sr.VolumetricROIMeasurementsAndQualitativeEvaluations:
        return self._group(structure, [_number(_VOLUME, volume_ml, _ML)], sites=[code_of(labels.LIVER)])

    def _lesion(self, lesion: LesionReadout) -> sr.VolumetricROIMeasurementsAndQualitativeEvaluations:
        certainty = None if lesion.confidence is None else 100.0 * lesion.confidence
        numbers = [
            _number(_VOLUME, lesion.volume_ml, _ML),
            _number(_LONG_AXIS, lesion.long_axis_mm, _MM),
            _number(_SHORT_AXIS, lesion.short_axis_mm, _MM),
            _number(_DIAMETER_3D, lesion.max_diameter_3d_mm, _MM),
            _number(_ATTENUATION, lesion.mean_hu, _HU, _MEAN),
            _number(_ATTENUATION, lesion.sd_hu, _HU, _SD),
            _number(_SPHERICITY, lesion.sphericity, _ONE),
            _number(_CERTAINTY, certainty, _PERCENT),
        ]
        state = REVIEW_STATES.get(lesion.review.state)
        return self._group(
            labels.lesion_structure(lesion.id),
            numbers,
            sites=sites_of(self._case, lesion),
            evaluations=[] if state is None else [sr.QualitativeEvaluation(REVIEW, state)],
        )

    def _axes(self, lesion: LesionReadout) -> sr.MeasurementsAndQualitativeEvaluations:
        """Long and short axis with their ends, in the frame of reference of the scan."""
        structure = labels.lesion_structure(lesion.id)
        frame = self._headers.first.FrameOfReferenceUID
        return sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=sr.TrackingIdentifier(
                uid=tracking_uid(self._case, structure), identifier=structure.name
            ),
            finding_type=code_of(structure),
            algorithm_id=self._algorithm,
            finding_sites=[sr.FindingSite(site) for site in sites_of(self._case, lesion)] or None,
            measurements=[
                _between(_LONG_AXIS, lesion.long_axis_mm, lesion.long_axis_points_ras_mm, frame),
                _between(_SHORT_AXIS, lesion.short_axis_mm, lesion.short_axis_points_ras_mm, frame),
            ],
        )

    def _group(
        self,
        structure: Structure,
        numbers: Sequence[sr.Measurement | None],
        sites: Sequence[Code] = (),
        evaluations: Sequence[sr.QualitativeEvaluation] = (),
    ) -> sr.VolumetricROIMeasurementsAndQualitativeEvaluations:
        place = self._places[structure.key]
        return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=sr.TrackingIdentifier(
                uid=tracking_uid(self._case, structure), identifier=structure.name
            ),
            referenced_segment=sr.ReferencedSegment(
                sop_class_uid=place.sop_class_uid,
                sop_instance_uid=place.sop_instance_uid,
                segment_number=place.number,
                source_series=sr.SourceSeriesForSegmentation(self._headers.first.SeriesInstanceUID),
            ),
            finding_type=code_of(structure),
            algorithm_id=self._algorithm,
            finding_sites=[sr.FindingSite(site) for site in sites] or None,
            measurements=[number for number in numbers if number is not None],
            qualitative_evaluations=list(evaluations) or None,
        )


def _number(
    name: Code,
    value: float | None,
    unit: Code,
    derivation: Code | None = None,
) -> sr.Measurement | None:
    """A measurement, or None where the value is not known."""
    if value is None:
        return None
    return sr.Measurement(
        name=name,
        value=round(float(value), _DECIMALS),
        unit=unit,
        derivation=derivation,
    )


def _between(
    name: Code, length_mm: float, ends_ras_mm: tuple[Point, Point], frame_uid: str
) -> sr.Measurement:
    """A length that is inferred from the line between two points (PS3.3 C.18.9: LPS mm)."""
    ends = np.array(ends_ras_mm, dtype=np.float64) @ LPS_TO_RAS[:3, :3]
    line = sr.CoordinatesForMeasurement3D(sr.GraphicTypeValues3D.POLYLINE, ends, frame_uid)
    return sr.Measurement(
        name=name, value=round(float(length_mm), _DECIMALS), unit=_MM, referenced_coordinates=[line]
    )


def _instance(first: Dataset, place: SegmentAddress, series: str) -> Dataset:
    """As much of a segmentation as a report says of its evidence."""
    instance = Dataset()
    instance.SOPClassUID, instance.SOPInstanceUID = place.sop_class_uid, place.sop_instance_uid
    instance = _with_patient(instance, first)
    instance.SeriesInstanceUID = series
    instance.Modality = "SEG"
    return instance


def _with_patient(image: Dataset, first: Dataset) -> Dataset:
    """A header with the patient and the study of the series' first."""
    whole = Dataset()
    whole.update(first)
    whole.update(image)
    return whole
