"""Sources of lithium whose chemical potential is to be found: finite reservoirs and given currents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import model_validator

from chemomech.case.checking import Errors, unknown_material
from chemomech.errors import CaseError
from chemomech.frozen import Frozen, Invalid, listing
from chemomech.materials.laws import FARADAY, Material
from chemomech.units import (
    CurrentDensity,
    MolarEnergy,
    MolarFlux,
    PositiveAmountPerArea,
    PositiveCurrentDensity,
    Voltage,
    pretty,
)

if TYPE_CHECKING:
    from chemomech.case.case import Case


class Reservoir(Frozen):
    """A finite amount of lithium on a boundary.

    Attributes:
        amount: Lithium per area of the boundary at t = 0, mol/m^2.
        chemical_potential: That of lithium metal (or another pure substance), J/mol: it stays until nothing is left.
        capacity: Instead: sites of a well-stirred source, mol/m^2. Its fraction amount/capacity falls as lithium
            leaves, and with it its potential, that of a solution free of stress.
        material: Whose ``interaction`` and ``reference_potential`` that solution has; the only one if not given.
    """

    amount: PositiveAmountPerArea
    chemical_potential: MolarEnergy | None = None
    capacity: PositiveAmountPerArea | None = None
    material: str = ""

    @model_validator(mode="after")
    def _one_law(self) -> Reservoir:
        if (self.chemical_potential is None) == (self.capacity is None):
            raise Invalid(
                "a reservoir has either one chemical potential until it is used up, or a capacity it is diluted in",
                "one of chemical_potential ('0 J/mol' is lithium metal) and capacity",
                ("capacity",) if self.capacity is not None else ("chemical_potential",),
            )
        if self.capacity is not None and not self.amount < self.capacity:
            raise Invalid(
                "the source can't hold more lithium than it has sites",
                f"less than capacity = {pretty(self.capacity, 'mol/m^2')}",
                ("amount",),
            )
        if self.material and self.capacity is None:
            raise Invalid("only a source with a capacity is a solution", "capacity, or no material", ("material",))
        return self


class Galvanostatic(Frozen):
    """A total current through a boundary on which mu is uniform.

    Attributes:
        current_density: Mean current per area, A/m^2; above zero lithium enters the body.
        molar_flux: Instead: mean flux of lithium into the body, mol/(m^2 s).
        exchange_current_density: i0 of the charge transfer, A/m^2; without it there is no overpotential.
        cut_off_voltage: The run ends when the potential against lithium metal has come so far, V.
    """

    current_density: CurrentDensity | None = None
    molar_flux: MolarFlux | None = None
    exchange_current_density: PositiveCurrentDensity | None = None
    cut_off_voltage: Voltage | None = None

    @property
    def current(self) -> float:
        """Mean current density into the body, A/m^2."""
        return self.current_density if self.current_density is not None else FARADAY * (self.molar_flux or 0.0)

    @model_validator(mode="after")
    def _one_current(self) -> Galvanostatic:
        if (self.current_density is None) == (self.molar_flux is None):
            raise Invalid(
                "the current is given in one way",
                "one of current_density and molar_flux",
                ("molar_flux",) if self.molar_flux is not None else ("current_density",),
            )
        if self.cut_off_voltage is not None and self.current == 0.0:
            raise Invalid(
                "without a current the potential goes to no cut-off", "a current, or no cut_off_voltage",
                ("cut_off_voltage",),
            )  # fmt: skip
        return self


def law_of(case: Case, reservoir: Reservoir) -> Material:
    """The material whose solution a reservoir with a capacity holds."""
    return case.materials[reservoir.material or next(iter(case.used_materials))]


def source_problems(case: Case, name: str, source: Reservoir | Galvanostatic | None) -> Errors:
    """What a source demands of the materials."""
    if not isinstance(source, Reservoir) or source.capacity is None:
        return
    key = f"boundaries.{name}.reservoir"
    if source.material and source.material not in case.materials:
        yield unknown_material(f"{key}.material", source.material, case)
    elif not source.material and len(case.used_materials) > 1:
        yield CaseError(f"{key}.material", None, "is missing, and there are several", listing(case.used_materials))
    elif case.used_materials and law_of(case, source).interaction > 2.0:
        yield CaseError(
            f"{key}.capacity", pretty(source.capacity, "mol/m^2"),
            f"with interaction = {law_of(case, source).interaction:g} a solution has two states at one potential",
            "a material with an interaction up to 2, or chemical_potential instead",
        )  # fmt: skip
