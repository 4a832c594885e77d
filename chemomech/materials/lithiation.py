"""Laws of silver that takes up lithium: volume of what is added, and a diffusivity that follows the melting point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from chemomech.errors import CaseError
from chemomech.typing import Array

# Volumes per atom, nm^3. Silver: a = 0.40862 nm, 4 atoms. Lithium: the cell of AgLi (B2, a = 0.3168 nm, recalled) less
# one silver atom, 0.01474 nm^3 or 8.88e-6 m^3/mol.
SILVER_VOLUME: Final = 0.40862**3 / 4.0
LITHIUM_VOLUME: Final = 0.3168**3 - SILVER_VOLUME
LITHIUM_TO_SILVER: Final = LITHIUM_VOLUME / SILVER_VOLUME  # 0.864


def added_volume(fraction: npt.ArrayLike, volume_ratio: float = LITHIUM_TO_SILVER) -> Array:
    """Relative volume change of a host to which lithium is added: r x/(1-x).

    x is the atomic fraction of lithium, x/(1-x) the lithium atoms per host atom. Lithium that takes the place of silver
    would hardly change the volume of the lattice; paper 000 sees 40 to 80 %.

    Args:
        fraction: x, from 0 to below 1.
        volume_ratio: r = v_Li/v_Ag.

    Raises:
        CaseError: If a fraction is outside.
    """
    x = np.asarray(fraction, dtype=float)
    if not (np.all(x >= 0.0) and np.all(x < 1.0)):
        raise CaseError("fraction", None, "a fraction is not between 0 and 1", "0 to below 1")
    return np.asarray(volume_ratio * x / (1.0 - x))


@dataclass(frozen=True)
class MeltingLine:
    """Melting temperature against composition, straight between the points given.

    Args:
        fractions: Atomic fractions of lithium, rising, the first 0 and the last 1.
        temperatures: Melting temperatures there, K; the solidus if there is one.

    Raises:
        CaseError: If the points do not make a line from 0 to 1.
    """

    fractions: Sequence[float] = (0.0, 1.0)
    temperatures: Sequence[float] = (1234.93, 453.65)

    def __post_init__(self) -> None:
        x, tm = np.asarray(self.fractions, dtype=float), np.asarray(self.temperatures, dtype=float)
        if x.shape != tm.shape or x.ndim != 1 or len(x) < 2 or np.any(np.diff(x) <= 0.0) or x[0] != 0.0 or x[-1] != 1.0:
            allowed = "rising fractions from 0 to 1 with one temperature each"
            raise CaseError("fractions", self.fractions, "they do not make a line", allowed)
        if not (np.all(np.isfinite(tm)) and np.all(tm > 0.0)):
            raise CaseError("temperatures", self.temperatures, "a temperature is not above zero", "temperatures in K")

    def __call__(self, fraction: npt.ArrayLike) -> Array:
        """T_m at these fractions, K."""
        x = np.asarray(fraction, dtype=float)
        if not (np.all(x >= 0.0) and np.all(x <= 1.0)):
            raise CaseError("fraction", None, "a fraction is not between 0 and 1", "0 to 1")
        return np.asarray(np.interp(x, self.fractions, self.temperatures))


SILVER_LITHIUM: Final = MeltingLine()
"""A straight line between the melting points of the elements, 1234.93 and 453.65 K (standard values).

Paper 000 draws the computed diagram and prints no number. Of the assessed one (Pelton, Bull. Alloy Phase Diagrams 7(3),
1986) only this was read: the region of (Ag) and liquid goes down to 317 degC = 590 K, with bends. The straight line is
there at 83 at.% lithium, beyond what silver dissolves, so that it is too high, and D(c) of it too small, in silver rich
in lithium. Points of the solidus, where known, go into a MeltingLine of their own.
"""

FCC_PREFACTOR: Final = 5.4e-5
"""D0 of self-diffusion in face-centred cubic metals, m^2/s: 5.5e-13 m^2/s at T_m.

Brown and Ashby, Acta Met. 28, 1085 (1980); recalled.
"""
FCC_ACTIVATION: Final = 18.4
"""a = Q/(R T_m) of self-diffusion in face-centred cubic metals; same source, recalled."""


def homologous_diffusivity(
    fraction: npt.ArrayLike,
    temperature: float,
    prefactor: float = FCC_PREFACTOR,
    activation: float = FCC_ACTIVATION,
    melting: MeltingLine = SILVER_LITHIUM,
) -> Array:
    """D(c) = D0 exp(-a T_m(c)/T), m^2/s.

    The argument of paper 000: all barriers scale with the local melting point, so that lithium speeds up its own
    diffusion. The defaults are those of self-diffusion and belong to a substitutional atom; what measured value there
    is should set ``prefactor``, see :func:`prefactor_for`.

    Args:
        fraction: Atomic fractions of lithium, 0 to 1.
        temperature: K.
        prefactor: D0, m^2/s.
        activation: a, Q/(R T_m).
        melting: T_m of the composition.

    Raises:
        CaseError: If a number is out of range.
    """
    for key, value in (("temperature", temperature), ("prefactor", prefactor)):
        if not (math.isfinite(value) and value > 0.0):
            raise CaseError(key, value, "it must be a finite number above zero", "a number above 0, in SI units")
    if not (math.isfinite(activation) and activation >= 0.0):
        raise CaseError("activation", activation, "it must not be negative", "0 or more; 18.4 for fcc metals")
    return np.asarray(prefactor * np.exp(-activation * melting(fraction) / temperature))


def prefactor_for(
    diffusivity: float,
    fraction: float,
    temperature: float,
    activation: float = FCC_ACTIVATION,
    melting: MeltingLine = SILVER_LITHIUM,
) -> float:
    """D0, m^2/s, that makes D(c) equal a known diffusivity at one fraction and temperature."""
    return diffusivity / float(homologous_diffusivity(fraction, temperature, 1.0, activation, melting))
