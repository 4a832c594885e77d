"""Grain boundaries as fast paths: the words of ``[grain_boundaries.NAME]`` and what they demand of the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Final

from chemomech.case.checking import Errors
from chemomech.case.parts import Fraction
from chemomech.errors import CaseError
from chemomech.frozen import NUMBER, Frozen, Within
from chemomech.units import (
    MolarEnergy,
    MolarVolume,
    PositiveDiffusivity,
    PositiveLength,
    PositiveMolarConcentration,
    PositiveVelocity,
)

if TYPE_CHECKING:
    from chemomech.case.case import Case

DEFAULT: Final = "default"
"""Name of the table that gives what the others leave out, and holds for boundaries that have none of their own."""


class GrainBoundary(Frozen):
    """Lithium in a class of grain boundaries, in local equilibrium with the grains on both sides unless it has a rate.

    mu_gb = RT [ln(c/(1-c)) + chi_gb (1-2c)] + mu0 + dG - Omega_gb sigma_nn, with mu0 that of the grains. What is not
    given is taken from the table ``default``, and then from here. The name of a boundary on the outside of the body
    makes it a free surface: a grain on one side only, and no opening.

    Attributes:
        width: delta, m.
        diffusivity: D_gb, m^2/s; the mobility is D_gb c (1-c)/RT.
        segregation_energy: dG, the part of the energy of segregation that does not depend on c, J/mol; negative if
            lithium prefers the boundary.
        interaction: chi_gb, at most 2.
        partial_molar_volume: Omega_gb, m^3/mol: the boundary opens by delta c_max Omega_gb (c - c_0) along its normal,
            c_0 being what it holds at t = 0.
        maximum_concentration: c_max, sites per volume of boundary, mol/m^3; that of the grains if not given.
        initial_concentration: Fraction at t = 0; in equilibrium with the grains if not given.
        exchange_rate: k, m/s: each side of the boundary hands k n (a_gb - a) over to its grain, n being the sites per
            volume of the grain and a = exp((mu - mu0)/RT) activities. Local equilibrium if not given. All classes have
            one, or none.
    """

    width: PositiveLength | None = None
    diffusivity: PositiveDiffusivity | None = None
    segregation_energy: MolarEnergy | None = None
    interaction: (
        Annotated[
            float,
            NUMBER,
            Within(
                "above 2 a boundary has two states at one potential, which is not computed here",
                "a number up to 2",
                le=2.0,
            ),
        ]
        | None
    ) = None
    partial_molar_volume: MolarVolume | None = None
    maximum_concentration: PositiveMolarConcentration | None = None
    initial_concentration: Fraction | None = None
    exchange_rate: PositiveVelocity | None = None


_OTHERWISE: Final = {"width": 5e-10, "segregation_energy": 0.0, "interaction": 0.0, "partial_molar_volume": 0.0}


def resolved(tables: Mapping[str, GrainBoundary], name: str) -> GrainBoundary:
    """The table ``name`` with what it leaves out; diffusivity may still be missing."""
    found: dict[str, object] = dict(_OTHERWISE)
    for table in (tables.get(DEFAULT), tables[name]):
        if table is not None:
            found |= {key: value for key, value in table if value is not None}
    return GrainBoundary.model_validate(found)


def table_of(boundary: str, tables: Iterable[str]) -> str | None:
    """The table that holds for a named boundary of the mesh, but for ``default``: its name, or a pattern with ``*``."""
    names = [name for name in tables if name != DEFAULT]
    if boundary in names:
        return boundary
    return next((name for name in names if fnmatchcase(boundary, name)), None)


def grain_boundary_problems(case: Case) -> Errors:
    """What grain boundaries demand of the other parts."""
    tables = case.grain_boundaries
    for name in tables:
        key = f"grain_boundaries.{name}"
        if not name or set(name) & set("./"):
            yield CaseError(key, None, "dots and slashes can't stand in a name", "the name of a boundary of the mesh")
        elif name in case.materials:
            yield CaseError(key, None, "a material has this name", "the name of a boundary of the mesh")
        elif name != DEFAULT and resolved(tables, name).diffusivity is None:
            yield CaseError(f"{key}.diffusivity", None, "is missing", "a diffusivity such as '1e-14 m^2/s'")
    if not tables:
        return
    yield from _exchange_problems(case)
    only = [*case.used_materials.values()]
    if len(only) > 1:
        yield CaseError(
            "grain_boundaries", None, "lithium in grain boundaries needs grains of one material", "a single material"
        )
        return
    key = f"materials.{next(iter(case.used_materials), '')}"
    for material in only:
        if material.interaction > 2.0:
            yield CaseError(
                f"{key}.interaction", material.interaction, "grains that separate into two phases have fronts, which "
                "the columns beside grain boundaries don't follow", "a number up to 2",
            )  # fmt: skip
        if material.mobility != "darken":
            yield CaseError(f"{key}.mobility", material.mobility, "beside grain boundaries the mobility is Darken's",
                            "'darken'")  # fmt: skip
        if material.gradient_energy > 0.0:
            yield CaseError(f"{key}.gradient_energy", material.gradient_energy, "a gradient energy is not computed "
                            "beside grain boundaries", "0")  # fmt: skip
    if case.domain.periodic:
        yield CaseError("domain.periodic", case.domain.periodic, "grain boundaries need an open body", "[]")
    if case.mode == "equilibrium":
        yield CaseError(
            "mode", case.mode, "lithium in grain boundaries is followed in time", "'transient' with a long time.end"
        )


def _exchange_problems(case: Case) -> Errors:
    """What a finite rate of exchange demands."""
    tables = case.grain_boundaries
    laws = {name: resolved(tables, name) for name in tables}
    # The default is a class of its own only where it is complete.
    rates = {n: law.exchange_rate for n, law in laws.items() if n != DEFAULT or law.diffusivity is not None}
    if all(rate is None for rate in rates.values()):
        return
    without = [name for name, rate in rates.items() if rate is None]
    if without:
        yield CaseError(
            f"grain_boundaries.{without[0]}.exchange_rate", None, "is missing, but other classes have one, and at a "
            "junction boundaries share one potential that is either that of the grains or not",
            "a rate for every class (once, in grain_boundaries.default), or for none",
        )  # fmt: skip
    for name, boundary in case.boundaries.items():
        refused = ["reservoir", "galvanostatic", "concentration"]
        refused += ["molar_flux"] if table_of(name, tables) is not None else []
        for word in refused:
            if getattr(boundary, word) is not None:
                yield CaseError(
                    f"boundaries.{name}.{word}", None, "together with grain_boundaries.*.exchange_rate this is not "
                    "computed: it says nothing of what enters the grain boundaries themselves",
                    "chemical_potential, or no exchange_rate",
                )  # fmt: skip
