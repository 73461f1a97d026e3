"""Hounsfield units to network input, the same in training and inference."""

from __future__ import annotations

import numpy as np


def normalize_hu(hu: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """HU clipped to ``window`` and scaled to 0..1 (float32). Air is 0, so a grid may be padded with 0."""
    low, high = window
    scaled = hu.astype(np.float32)
    np.clip(scaled, low, high, out=scaled)
    scaled -= np.float32(low)
    scaled *= np.float32(1.0 / (high - low))
    return scaled
