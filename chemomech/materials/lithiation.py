"""Laws of silver that takes up lithium: volume of what is added, and a diffusivity that follows the melting point."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

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
        return np.asarray(broken_line(x, *self.bends))

    @property
    def bends(self) -> tuple[float, Array, Array]:
        """T_m at x = 0, and where by how much the slope changes: arguments of :func:`broken_line`."""
        x, tm = np.asarray(self.fractions, dtype=float), np.asarray(self.temperatures, dtype=float)
        return float(tm[0]), x[:-1], np.diff(np.diff(tm) / np.diff(x), prepend=0.0)


def broken_line(x: Any, start: Any, knots: Any, bends: Any, maximum: Callable[..., Any] = np.maximum) -> Any:
    """start + sum of bends_k max(x - knots_k, 0): a line straight between knots.

    Args:
        x: Where; an array, or an expression of UFL with its own ``maximum``.
        start: Value left of all knots.
        knots: Places where the slope changes.
        bends: By how much.
        maximum: The larger one of two.
    """
    return start + sum(bend * maximum(x - knot, 0.0) for knot, bend in zip(knots, bends, strict=True))


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


@dataclass(frozen=True)
class HomologousLaw:
    """D(c) over its value at a reference, where barriers follow the melting point (paper 000).

    D(c)/D(c_ref) = exp[-(a/T) (T_m(x) - T_m(x_ref))], the exponent being a broken line in the atomic fraction of
    lithium x = c/(1+c): c counts lithium atoms per atom of the host, as for silver of the library, whose
    ``maximum_concentration`` is that of its atoms. Numbers and arrays, or constants and
    expressions of UFL: whoever needs D(c) asks this class.

    Attributes:
        start, knots, bends: Of the exponent, see :func:`broken_line`; a number, and as many of each as there are bends.
    """

    start: Any
    knots: Sequence[Any]
    bends: Sequence[Any]

    @classmethod
    def of(
        cls,
        line: MeltingLine,
        activation: float,
        temperature: float,
        reference: float,
        number: Callable[[float], Any] = float,
    ) -> HomologousLaw:
        """The law of a melting line.

        Args:
            line: T_m of the composition.
            activation: a, Q/(R T_m).
            temperature: K.
            reference: c_ref, where the ratio is one.
            number: Makes what is kept of each number.
        """
        _, knots, bends = line.bends
        bends = -activation / temperature * bends
        start = -float(broken_line(atomic_fraction(reference), 0.0, knots, bends))
        return cls(number(start), tuple(map(number, knots)), tuple(map(number, bends)))

    def ratio(self, c: Any, exp: Callable[..., Any] = np.exp, maximum: Callable[..., Any] = np.maximum) -> Any:
        """D(c)/D(c_ref).

        Args:
            c: Occupied fraction of sites.
            exp: That of UFL if c is an expression.
            maximum: Likewise.
        """
        return exp(broken_line(atomic_fraction(c), self.start, self.knots, self.bends, maximum))

    def extremes(self) -> tuple[float, float]:
        """Smallest and largest ratio over 0 <= c <= 1."""
        x = np.array([0.0, *(k for k in self.knots if 0.0 < k < 0.5), 0.5])
        ratio = self.ratio(x / (1.0 - x))
        return float(ratio.min()), float(ratio.max())


def atomic_fraction(c: Any) -> Any:
    """x = c/(1+c), the atomic fraction of lithium where there are c atoms of it per atom of the host."""
    return c / (1.0 + c)


def prefactor_for(
    diffusivity: float,
    fraction: float,
    temperature: float,
    activation: float = FCC_ACTIVATION,
    melting: MeltingLine = SILVER_LITHIUM,
) -> float:
    """D0, m^2/s, that makes D(c) equal a known diffusivity at one fraction and temperature."""
    return diffusivity / float(homologous_diffusivity(fraction, temperature, 1.0, activation, melting))
