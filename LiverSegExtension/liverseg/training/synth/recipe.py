"""What is planted: sizes, kinds, contrasts and shares, all in one place."""

from __future__ import annotations

from dataclasses import dataclass, field

KINDS = ("hypo", "hyper", "cyst", "ring", "iso")
CONFOUNDERS = ("bright vessel", "dark vessel", "fissure", "sac")


def _kind_shares() -> dict[str, float]:
    # Metastases and cysts make most of the lesions in portal venous scans.
    return {"hypo": 0.55, "ring": 0.16, "cyst": 0.13, "hyper": 0.11, "iso": 0.05}


@dataclass(frozen=True)
class LesionRecipe:
    """How lesions and what resembles them are planted into a patch.

    Lengths are in mm, contrasts in HU relative to the liver around.

    Attributes:
        radius_mm: smallest and largest radius of the first lesion of a patch, log-uniform between.
        more_lesions: mean number of further, smaller lesions (Poisson), as metastases come.
        largest_further_mm: largest radius of these.
        most_lesions: no more in one patch.
        kind_shares: how often each of ``KINDS`` comes, where the liver's own brightness allows it.
        least_cnr: smallest contrast-to-noise ratio: the contrast over the labeled voxels, noise left out
            (``looks.visible_contrast``), over the standard deviation of a single liver voxel around. Fainter
            lesions teach false alarms.
        least_cnr_small: the same at the smallest radius; up to 8 mm the limit falls to ``least_cnr``,
            because a small lesion has few voxels to be seen by.
        least_contrast_hu: smallest contrast, for scans with little noise.
        hypo_hu, hyper_hu: range of the contrast's size of dark and bright lesions.
        cyst_hu: range of a cyst's own HU (water).
        darkest_hu: no solid lesion is darker.
        irregularity: largest standard deviation of the surface, as a share of the radius.
        edge_mm: narrowest (about the scanner's own blur) and widest edge; a cyst keeps the narrowest.
        capsule_share: how many solid lesions above 6 mm have a thin capsule.
        mass_effect_share: how many lesions above 8 mm push their surroundings aside.
        largest_push_mm: how far at most.
        least_inside: share of the shape that must lie in liver tissue; the rest is cut off at its rim.
        gap_mm: distance that is kept to other lesions.
        confounder_share: how many patches get things that look like lesions and are none.
        most_confounders: no more in one patch.
        confounder_kinds: which of ``CONFOUNDERS``; vessels are left out where a label tells vessels apart.
        least_liver_ml: patches with less liver stay as they are.
    """

    radius_mm: tuple[float, float] = (2.0, 35.0)
    more_lesions: float = 1.0
    largest_further_mm: float = 9.0
    most_lesions: int = 5
    kind_shares: dict[str, float] = field(default_factory=_kind_shares)
    least_cnr: float = 1.5
    least_cnr_small: float = 2.5
    least_contrast_hu: float = 15.0
    hypo_hu: tuple[float, float] = (18.0, 75.0)
    hyper_hu: tuple[float, float] = (20.0, 55.0)
    cyst_hu: tuple[float, float] = (-2.0, 18.0)
    darkest_hu: float = 12.0
    irregularity: float = 0.22
    edge_mm: tuple[float, float] = (2.4, 7.0)
    capsule_share: float = 0.2
    mass_effect_share: float = 0.4
    largest_push_mm: float = 5.0
    least_inside: float = 0.6
    gap_mm: float = 2.0
    confounder_share: float = 0.4
    most_confounders: int = 3
    confounder_kinds: tuple[str, ...] = CONFOUNDERS
    least_liver_ml: float = 4.0

    def __post_init__(self) -> None:
        unknown = set(self.kind_shares) - set(KINDS)
        if unknown or not sum(self.kind_shares.values()) > 0:
            raise ValueError(f"kind_shares must give shares to {', '.join(KINDS)}; got {self.kind_shares}")
        if not set(self.confounder_kinds) <= set(CONFOUNDERS):
            raise ValueError(f"confounder_kinds are {', '.join(CONFOUNDERS)}; got {self.confounder_kinds}")
        if not 0 < self.radius_mm[0] <= self.radius_mm[1]:
            raise ValueError(f"radius_mm must rise and be above 0; got {self.radius_mm}")
