"""Internal units, in which all numbers of a computation are of moderate size."""

from __future__ import annotations

from dataclasses import dataclass

from chemomech.materials.laws import GAS_CONSTANT


@dataclass(frozen=True, slots=True)
class Scales:
    """What one internal unit is in SI units.

    Attributes:
        length: m.
        concentration: mol/m^3 (the largest c_max).
        diffusivity: m^2/s (the largest D0).
        temperature: K.
    """

    length: float
    concentration: float
    diffusivity: float
    temperature: float

    @property
    def potential(self) -> float:
        """R T, J/mol."""
        return GAS_CONSTANT * self.temperature

    @property
    def stress(self) -> float:
        """R T c_max, Pa; also the unit of energy density, J/m^3."""
        return self.potential * self.concentration

    @property
    def time(self) -> float:
        """length^2 / D0, s."""
        return self.length**2 / self.diffusivity

    @property
    def molar_flux(self) -> float:
        """c_max D0 / length, mol/(m^2 s)."""
        return self.concentration * self.diffusivity / self.length

    @property
    def gradient_energy(self) -> float:
        """J/m."""
        return self.stress * self.length**2

    def energy(self, dimension: int) -> float:
        """J/m in 2D, J in 3D."""
        return self.stress * self.length**dimension

    def amount(self, dimension: int) -> float:
        """mol/m in 2D, mol in 3D."""
        return self.concentration * self.length**dimension
