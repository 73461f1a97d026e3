"""Strange read-outs on the grid of a made one: what every output must live with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from liverseg.case import Case, CouinaudMethod, Provenance, Review
from liverseg.measure import measure
from made_cases import make_case

UNICODE = "Ñandú 山田 \u202eمحمد\u202c \U0001f468\u200d⚕ “quoted”, comma\nnew line\ttab"


def case_of(liver: np.ndarray, lesions: np.ndarray, couinaud: np.ndarray | None = None) -> Case:
    """A measured case with other masks on the grid of a made one."""
    made = make_case()
    masks = replace(
        made.masks,
        liver=liver,
        lesions=lesions,
        couinaud=made.masks.couinaud if couinaud is None else couinaud,
    )
    return measure(made.ct, masks, method=CouinaudMethod("planes"), provenance=Provenance("1.2.3"))


def no_lesion() -> Case:
    return make_case(lesions=())


def three_hundred_lesions() -> Case:
    made = make_case(lesions=())
    lesions = np.zeros_like(made.masks.lesions)
    places = np.argwhere(made.masks.liver)[::7][:300]
    lesions[tuple(places.T)] = np.arange(1, 301)
    return case_of(made.masks.liver, lesions)


def one_voxel() -> Case:
    made = make_case(lesions=())
    lesions = np.zeros_like(made.masks.lesions)
    lesions[tuple(np.argwhere(made.masks.liver)[900])] = 1
    return case_of(made.masks.liver, lesions)


def outside_of_the_liver() -> Case:
    made = make_case()
    lesions = made.masks.lesions.copy()
    lesions[1:3, 1:3, 1:3] = 7
    return case_of(made.masks.liver, lesions)


def no_liver() -> Case:
    made = make_case()
    nothing = np.zeros_like(made.masks.liver)
    return case_of(nothing, nothing.astype(np.uint16), nothing.astype(np.uint8))


def one_voxel_liver() -> Case:
    nothing = np.zeros_like(make_case().masks.liver)
    liver = nothing.copy()
    liver[9, 9, 9] = True
    return case_of(liver, nothing.astype(np.uint16), np.where(liver, 5, 0).astype(np.uint8))


def unicode_names() -> Case:
    case = make_case()
    said = Review("accepted", UNICODE, "yesterday", UNICODE)
    lesions = (replace(case.lesions[0], review=said), *case.lesions[1:])
    method, provenance = replace(case.method, name=UNICODE), replace(case.provenance, model_name=UNICODE)
    return replace(case, lesions=lesions, method=method, provenance=provenance, warnings=(UNICODE,))


STRANGE = [
    *(no_lesion, three_hundred_lesions, one_voxel, outside_of_the_liver, no_liver),
    *(one_voxel_liver, unicode_names),
]
