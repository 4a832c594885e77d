"""Isotherms of grain-boundary segregation: McLean, Fowler and Guggenheim, shifted by the stress across the boundary.

    mu_gb = RT [ln(x/(1-x)) + chi_gb (1-2x)] + dG - Omega_gb sigma_nn = mu

dG is the part that does not depend on x. At infinite dilution a lithium atom gains dG + RT (chi_gb - chi) on going from
grain to boundary, so that dG itself is the energy of segregation where chi_gb = chi of the grain.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from chemomech.analysis.diffusion import positive
from chemomech.errors import CaseError
from chemomech.materials.laws import GAS_CONSTANT
from chemomech.typing import Array

type Branch = Literal["stable", "poor", "rich", "unstable"]


def _potential(odds: Array, chi: float) -> Array:
    """mu/RT of a regular solution with x = 1/(1 + exp(-odds)); odd in ``odds``, as 1 - 2x = -tanh(odds/2)."""
    return np.asarray(odds - chi * np.tanh(0.5 * odds))


def _newton(start: Array, m: Array, chi: float) -> Array:
    """Newton's method from a side where the function is convex or concave, so that it walks one way only."""
    odds = start.copy()
    todo = np.isfinite(odds)
    for _ in range(200):
        here = odds[todo]
        slope = 1.0 - 0.5 * chi / np.cosh(0.5 * np.clip(here, -700.0, 700.0)) ** 2
        gap = _potential(here, chi) - m[todo]
        step = np.divide(gap, slope, out=np.zeros_like(gap), where=slope != 0.0)
        odds[todo] = here - step
        todo[todo] = np.abs(step) > 1e-15 * (1.0 + np.abs(here))
        if not todo.any():
            break
    return odds


def _turn(chi: float) -> tuple[float, float]:
    """Odds at which the rich branch begins, and mu/RT there; chi > 2."""
    odds = 2.0 * math.acosh(math.sqrt(0.5 * chi))
    return odds, odds - chi * math.tanh(0.5 * odds)


def _single(m: Array, chi: float) -> Array:
    """Odds where there is one root for each potential: chi <= 2."""
    size = np.abs(m)
    start = size + chi if chi > 0.0 else np.zeros_like(size)
    return np.where(size > 0.0, np.copysign(_newton(start, size, chi), m), 0.0)


def _rich(m: Array, chi: float) -> Array:
    odds, lowest = _turn(chi)
    found = _newton(np.where(m >= lowest, m + chi, np.nan), m, chi)
    return np.where(np.isfinite(found), np.maximum(found, odds), np.nan)


def _unstable(m: Array, chi: float) -> Array:
    odds, lowest = _turn(chi)
    size = np.abs(m)
    found = np.minimum(_newton(np.where(size <= -lowest, 0.0, np.nan), -size, chi), odds)
    return np.copysign(1.0, -m) * found


def boundary_fraction_at(reduced: npt.ArrayLike, interaction: float = 0.0, branch: Branch = "stable") -> Array:
    """x where ln(x/(1-x)) + chi (1-2x) = m.

    For chi > 2 there are up to three: a poor and a rich branch, each at least metastable, and an unstable one between.
    The stable one has the lower grand potential: poor for m < 0, rich for m > 0; at m = 0 both, and the rich one is
    returned. A boundary that fills comes up the poor branch and may stay on it beyond m = 0.

    Args:
        reduced: m, the potential less all that does not depend on x, over RT.
        interaction: chi of the boundary.
        branch: Which solution, if there are several; with chi <= 2 there is one and this does not matter.

    Returns:
        Fractions; nan where the branch asked for does not exist.

    Raises:
        CaseError: If a number is not finite, or the branch unknown.
    """
    m = np.asarray(reduced, dtype=float)
    if not (np.all(np.isfinite(m)) and math.isfinite(interaction)):
        raise CaseError("reduced, interaction", None, "a number is not finite", "finite numbers")
    flat = m.reshape(-1)
    if branch not in ("stable", "poor", "rich", "unstable"):
        raise CaseError("branch", branch, "not one of the possible values", "'stable', 'poor', 'rich' or 'unstable'")
    if interaction <= 2.0:
        odds = _single(flat, interaction)
    elif branch == "unstable":
        odds = _unstable(flat, interaction)
    elif branch == "stable":
        odds = np.where(flat >= 0.0, 1.0, -1.0) * _rich(np.abs(flat), interaction)
    else:
        sign = 1.0 if branch == "rich" else -1.0
        odds = sign * _rich(sign * flat, interaction)
    return np.asarray(expit(odds).reshape(m.shape))


def regular_potential(fraction: npt.ArrayLike, interaction: float = 0.0) -> Array:
    """ln(x/(1-x)) + chi (1-2x), the potential of a regular solution over RT.

    Raises:
        CaseError: If a fraction is not between 0 and 1.
    """
    x = np.asarray(fraction, dtype=float)
    if not (np.all(x > 0.0) and np.all(x < 1.0)):
        raise CaseError("fraction", None, "a fraction is not between 0 and 1", "fractions above 0 and below 1")
    return np.asarray(logit(x) + interaction * (1.0 - 2.0 * x))


def fowler_guggenheim(
    bulk: npt.ArrayLike,
    energy: float,
    temperature: float,
    interaction: float = 0.0,
    *,
    bulk_interaction: float | None = None,
    normal_stress: npt.ArrayLike = 0.0,
    volume: float = 0.0,
    branch: Branch = "stable",
) -> Array:
    """Fraction x of lithium in a boundary in equilibrium with a grain.

    x/(1-x) = x_b/(1-x_b) exp[-(dG - Omega_gb sigma_nn)/RT + 2 chi_gb x - 2 chi x_b - (chi_gb - chi)]; Fowler and
    Guggenheim, Statistical Thermodynamics (1939), for chi_gb = chi. The grain is taken free of stress; with stress,
    give the fraction that a free grain of the same potential would have.

    Args:
        bulk: x_b, fractions of lithium in the grain.
        energy: dG, J/mol; negative if lithium prefers the boundary.
        temperature: K.
        interaction: chi_gb; above 2 a boundary of two states, see ``branch``.
        bulk_interaction: chi of the grain; that of the boundary if not given.
        normal_stress: sigma_nn on the boundary, Pa, tension positive; broadcast with ``bulk``.
        volume: Omega_gb, m^3/mol.
        branch: See :func:`boundary_fraction_at`.

    Returns:
        Fractions; nan where the branch asked for does not exist.

    Raises:
        CaseError: If a fraction is not between 0 and 1 or a number is not finite.
    """
    rt = GAS_CONSTANT * positive("temperature", temperature)
    grain = regular_potential(bulk, interaction if bulk_interaction is None else bulk_interaction)
    gain = (energy - volume * np.asarray(normal_stress, dtype=float)) / rt
    return boundary_fraction_at(grain - gain, interaction, branch)


def mclean(
    bulk: npt.ArrayLike,
    energy: float,
    temperature: float,
    *,
    normal_stress: npt.ArrayLike = 0.0,
    volume: float = 0.0,
) -> Array:
    """Fraction of lithium in a boundary without interaction; McLean, Grain Boundaries in Metals (1957).

    Arguments as in :func:`fowler_guggenheim`; no longer right where x is above about 0.1, as atoms meet each other.
    """
    return fowler_guggenheim(bulk, energy, temperature, normal_stress=normal_stress, volume=volume)


def segregation_energy(
    boundary: npt.ArrayLike,
    bulk: npt.ArrayLike,
    temperature: float,
    interaction: float = 0.0,
    bulk_interaction: float | None = None,
) -> Array:
    """dG, J/mol, that makes two measured fractions an equilibrium without stress; the isotherm the other way round."""
    other = interaction if bulk_interaction is None else bulk_interaction
    gap = regular_potential(bulk, other) - regular_potential(boundary, interaction)
    return np.asarray(GAS_CONSTANT * positive("temperature", temperature) * gap)


def enrichment(energy: float, temperature: float, interaction: float = 0.0, bulk_interaction: float = 0.0) -> float:
    """Henry's limit s = x/x_b of high dilution: exp(-(dG + RT (chi_gb - chi))/RT)."""
    gain = energy / (GAS_CONSTANT * positive("temperature", temperature)) + interaction - bulk_interaction
    return math.exp(-gain)


def two_states(interaction: float) -> tuple[float, float, float] | None:
    """Where a boundary has two states: poor fraction at coexistence, poor fraction and m at the end of the poor branch.

    The rich ones are one less these, and the rich branch ends at -m. None if chi <= 2: there is one state.
    """
    if interaction <= 2.0:
        return None
    odds, lowest = _turn(interaction)
    poor = float(boundary_fraction_at(0.0, interaction, "poor"))
    return poor, float(expit(-odds)), -lowest
