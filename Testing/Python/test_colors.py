"""Colors that lie side by side can be told apart, also by people who see colors in another way."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from liverseg.labels import AORTA, HEPATIC_VEINS, LESION, LIVER, PORTAL_VEIN, VESSELS

ROOT = Path(__file__).resolve().parents[2]
# Machado, Oliveira and Fernandes, IEEE TVCG 2009, 15:1291, severity 1; on linear RGB.
VISIONS = {
    "usual": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = np.array([0.95047, 1.0, 1.08883])


def lab(color: tuple[int, int, int], vision: str) -> np.ndarray:
    """CIELAB of an sRGB color (0..255) as it is seen."""
    parts = np.asarray(color) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    xyz = XYZ @ np.clip(np.asarray(VISIONS[vision]) @ linear, 0, 1) / WHITE
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def difference(one, other, vision: str) -> float:
    """CIE 1976: 2 is just seen side by side, 10 is another shade, 50 another color."""
    return float(np.linalg.norm(lab(one.color, vision) - lab(other.color, vision)))


@pytest.mark.parametrize("vision", VISIONS)
def test_vessels_lesions_and_liver_are_far_apart_for_every_eye(vision: str) -> None:
    for one, other in itertools.combinations((PORTAL_VEIN, HEPATIC_VEINS, AORTA, LESION, LIVER), 2):
        apart = difference(one, other, vision)
        least = 40 if one in VESSELS else 30
        assert apart > least, f"{one.name} and {other.name}: {apart:.0f}"


@pytest.mark.parametrize("vision", VISIONS)
def test_portal_and_hepatic_veins_differ_in_lightness_too(vision: str) -> None:
    # In a gray print and under shading hues are lost.
    assert abs(lab(PORTAL_VEIN.color, vision)[0] - lab(HEPATIC_VEINS.color, vision)[0]) > 25


def test_slicers_terminology_has_the_same_colors() -> None:
    text = (ROOT / "Resources/Terminology/LiverSeg.term.json").read_text(encoding="utf-8")
    kinds = [
        kind for category in json.loads(text)["SegmentationCodes"]["Category"] for kind in category["Type"]
    ]
    colors = {kind["3dSlicerLabel"]: tuple(kind["recommendedDisplayRGBValue"]) for kind in kinds}
    assert colors["portal_vein"] == PORTAL_VEIN.color
    assert colors["aorta"] == AORTA.color
    # The cava is drained into by the veins, and drawn with them.
    assert colors["hepatic_veins"] == colors["inferior_vena_cava"] == HEPATIC_VEINS.color
