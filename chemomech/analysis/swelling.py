"""Swelling of silver by added lithium, and what the diameters of pillars in paper 000 say about it."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from chemomech.errors import CaseError
from chemomech.materials.lithiation import LITHIUM_TO_SILVER, added_volume
from chemomech.typing import Array

# Paper 000, Supplementary Table 1: diameter before and after, height (um), and the swelling it prints (%).
_PILLARS: Final = (
    (1.24, 1.67, 1.18, 81.4),
    (1.47, 2.43, 1.82, 173.3),
    (1.53, 1.82, 1.13, 41.5),
    (1.16, 1.56, 1.44, 80.9),
    (0.90, 2.03, 2.62, 408.8),
    (1.50, 2.02, 1.62, 81.4),
)


def fraction_from_swelling(swelling: npt.ArrayLike, volume_ratio: float = LITHIUM_TO_SILVER) -> Array:
    """Atomic fraction x of lithium that explains a relative volume change: V = r x/(1-x), so x = V/(V + r).

    Args:
        swelling: Volume change over volume, not negative.
        volume_ratio: r = v_Li/v_Ag.

    Raises:
        CaseError: If a swelling is negative.
    """
    v = np.asarray(swelling, dtype=float)
    if not np.all(v >= 0.0):
        raise CaseError("swelling", None, "added lithium does not shrink the host", "0 or more")
    return np.asarray(v / (v + volume_ratio))


def swelling_strain(fraction: npt.ArrayLike, volume_ratio: float = LITHIUM_TO_SILVER) -> Array:
    """Linear strain of free swelling, (1 + V)^(1/3) - 1; V/3, the small-strain value, exceeds it by 28 % at V = 0.8."""
    return np.asarray(np.cbrt(1.0 + added_volume(np.asarray(fraction, dtype=float), volume_ratio)) - 1.0)


class Pillar(NamedTuple):
    """One pillar before and after lithiation.

    Attributes:
        sample: Number in the table.
        diameter_before, diameter_after, height: m.
        volume_before, volume_after: At constant height, m^3.
        swelling: Relative volume change at constant height, as paper 000 takes it.
        uncertainty: Of it, from the last digit of both diameters.
        swelling_isotropic: If the height grew like the diameter, which the paper could not measure.
        fraction: Atomic fraction of lithium that explains ``swelling``.
        printed: Relative volume change as printed; nan if there is none.
    """

    sample: int
    diameter_before: float
    diameter_after: float
    height: float
    volume_before: float
    volume_after: float
    swelling: float
    uncertainty: float
    swelling_isotropic: float
    fraction: float
    printed: float


def pillar(
    before: float,
    after: float,
    height: float,
    *,
    resolution: float = 1e-8,
    volume_ratio: float = LITHIUM_TO_SILVER,
    sample: int = 1,
    printed: float = math.nan,
) -> Pillar:
    """Swelling of a cylinder from its diameters.

    Args:
        before: Diameter before, m.
        after: Diameter after, m.
        height: Height, m.
        resolution: Last digit of a diameter, m; each is off by half of it at most.
        volume_ratio: v_Li/v_Ag.
        sample: Number of the pillar.
        printed: A value to compare with.
    """
    if not min(before, after, height) > 0.0:
        raise CaseError("before, after, height", (before, after, height), "a length is not above zero", "lengths in m")
    stretch = after / before
    area = 0.25 * math.pi * height
    spread = 2.0 * stretch**2 * 0.5 * resolution * math.hypot(1.0 / before, 1.0 / after)
    swelling = stretch**2 - 1.0
    return Pillar(
        sample=sample,
        diameter_before=before,
        diameter_after=after,
        height=height,
        volume_before=area * before**2,
        volume_after=area * after**2,
        swelling=swelling,
        uncertainty=spread,
        swelling_isotropic=stretch**3 - 1.0,
        fraction=float(fraction_from_swelling(max(swelling, 0.0), volume_ratio)),
        printed=printed,
    )


def swelling_table(volume_ratio: float = LITHIUM_TO_SILVER) -> list[Pillar]:
    """Supplementary Table 1 of paper 000, evaluated from its own diameters.

    Samples 2 and 5 would hold 67 and 83 at.% lithium, more than silver dissolves: voids, lithium pressed out or plated
    are part of their diameters.
    """
    um = 1e-6
    return [
        pillar(a * um, b * um, h * um, volume_ratio=volume_ratio, sample=i, printed=0.01 * percent)
        for i, (a, b, h, percent) in enumerate(_PILLARS, start=1)
    ]
