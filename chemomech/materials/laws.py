"""Material data as frozen classes: elasticity, partial molar volume, regular solution, mobility."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, Field, PlainSerializer, model_validator

from chemomech.errors import CaseError
from chemomech.frozen import NUMBER, Entries, Frozen, Invalid, Within, did_you_mean, listing
from chemomech.materials import library as _library
from chemomech.materials.lithiation import FCC_ACTIVATION, HomologousLaw, MeltingLine
from chemomech.units import (
    Angle,
    GradientEnergy,
    MolarEnergy,
    PositiveDiffusivity,
    PositiveLength,
    PositiveMolarConcentration,
    PositivePressure,
    PositiveSurfaceEnergy,
    PositiveTemperature,
    Pressure,
    expected,
    to_si,
    to_text,
)

__all__ = ["FARADAY", "GAS_CONSTANT", "Cubic", "Elasticity", "Frozen", "Isotropic", "Material", "MolarVolumeTensor"]

GAS_CONSTANT: Final = 8.31446261815324  # J/(mol K), exact in the SI
FARADAY: Final = 96485.33212331001  # C/mol, exact in the SI


class Isotropic(Frozen):
    """Isotropic elasticity."""

    kind: Literal["isotropic"] = "isotropic"
    youngs_modulus: PositivePressure
    poissons_ratio: Annotated[
        float,
        NUMBER,
        Within("an isotropic solid is stable only between -1 and 0.5", "a number in (-1, 0.5)", gt=-1.0, lt=0.5),
    ]


class Cubic(Frozen):
    """Cubic elasticity.

    ``orientation`` holds the Bunge angles phi1, Phi, phi2 that turn the sample axes into the crystal axes.
    """

    kind: Literal["cubic"] = "cubic"
    c11: Pressure
    c12: Pressure
    c44: Pressure
    orientation: Annotated[
        tuple[Angle, Angle, Angle], Entries(3, "the angles phi1, Phi, phi2, such as ['45 deg', '0 deg', '0 deg']")
    ] = (0.0, 0.0, 0.0)

    @model_validator(mode="after")
    def _stable(self) -> Cubic:
        rule = "a cubic solid is stable only with c11 > |c12|, c11 + 2 c12 > 0 and c44 > 0"
        if not self.c44 > 0.0:
            raise Invalid(rule, "a pressure above 0 such as '71 GPa'", ("c44",))
        if not self.c11 > abs(self.c12):
            raise Invalid(rule, f"a pressure above |c12| = {abs(self.c12) / 1e9:.6g} GPa", ("c11",))
        if not self.c11 + 2.0 * self.c12 > 0.0:
            raise Invalid(rule, f"a pressure above -c11/2 = {-self.c11 / 2e9:.6g} GPa", ("c12",))
        return self


def _kind_of(keys: Iterable[str]) -> str:
    """The kind of elasticity that these keys belong to."""
    return "cubic" if {"c11", "c12", "c44", "orientation"} & set(keys) else "isotropic"


def _with_kind(value: object) -> object:
    """Elasticity written without ``kind`` gets the kind its keys belong to."""
    if not isinstance(value, Mapping) or "kind" in value:
        return value
    return {"kind": _kind_of(value), **value}


Elasticity = Annotated[Annotated[Isotropic | Cubic, Field(discriminator="kind")], BeforeValidator(_with_kind)]

Diagonal = tuple[float, float, float]
_OMEGA: Final = "m^3/mol"
_TENSOR: Final = "; or 3 of them (diagonal), or 3 rows of 3 (symmetric)"
_OMEGA_EXPECTED: Final = expected(_OMEGA) + _TENSOR
_STRAIN_EXPECTED: Final = "a number in (-0.5, 0.5) such as 0.01" + _TENSOR


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _read_tensor(value: Any, number: Callable[[Any], float], allowed: str) -> Any:
    if not _is_list(value):
        try:
            return number(value)
        except Invalid as error:
            raise Invalid(error.problem, allowed) from None
    if len(value) != 3:
        raise Invalid(f"a tensor has 3 entries or 3 rows, not {len(value)}", allowed)
    if not any(_is_list(row) for row in value):
        return tuple(number(x) for x in value)
    if not all(_is_list(row) and len(row) == 3 for row in value):
        raise Invalid("every row of the tensor has 3 entries", allowed)
    rows = tuple(tuple(number(x) for x in row) for row in value)
    size = max(abs(x) for row in rows for x in row)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        if abs(rows[i][j] - rows[j][i]) > 1e-9 * size:
            raise Invalid(
                f"the tensor is not symmetric: row {i + 1} column {j + 1} differs from row {j + 1} column {i + 1}",
                "3 rows of 3 that form a symmetric tensor",
            )
    return rows


def _read_omega(value: Any) -> Any:
    return _read_tensor(value, lambda x: to_si(x, _OMEGA), _OMEGA_EXPECTED)


def _strain(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Invalid("a strain is a number", _STRAIN_EXPECTED)
    if not -0.5 < value < 0.5:
        raise Invalid("a strain of this size is outside the small strains computed here", _STRAIN_EXPECTED)
    return float(value)


def _read_strain(value: Any) -> Any:
    return _read_tensor(value, _strain, _STRAIN_EXPECTED)


def _write_omega(value: Any) -> Any:
    return [_write_omega(x) for x in value] if _is_list(value) else to_text(value, _OMEGA)


MolarVolumeTensor = Annotated[
    float | Diagonal | tuple[Diagonal, Diagonal, Diagonal], BeforeValidator(_read_omega), PlainSerializer(_write_omega)
]
EigenstrainTensor = Annotated[float | Diagonal | tuple[Diagonal, Diagonal, Diagonal], BeforeValidator(_read_strain)]


_MELTING: Final = "pairs from 0 to 1 in rising order, such as [[0.0, '1234.93 K'], [1.0, '453.65 K']]"
MeltingPoints = tuple[Annotated[tuple[float, PositiveTemperature], Entries(2, _MELTING)], ...]


class Material(Frozen):
    """One phase: elastic host with lithium as a regular solution.

    Paper 004, eqs 2, 4, 8 and 15, as corrected in docs/theory.md.

    Attributes:
        library: Name of the library entry that gives the numbers not written in the case. What is written wins;
            elasticity of another ``kind`` than the library's replaces it as a whole.
        elasticity: Stiffness of the host.
        partial_molar_volume: Omega, m^3/mol; a scalar, or the tensor whose trace/3 is that scalar
            (as 3 diagonal entries or 3 x 3 rows, in sample axes).
        reference_concentration: c_ref, the fraction free of eigenstrain.
        maximum_concentration: c_max, lithium sites per volume, mol/m^3.
        interaction: chi of the regular solution, in units of RT.
        reference_potential: mu0, J/mol.
        diffusivity: D0, m^2/s; with ``melting_points`` its value at the reference concentration.
        melting_points: Pairs of an atomic fraction of lithium, from 0 to 1, and the melting temperature there, K, with
            straight lines between: D(c) = D0 exp(-a [T_m(x) - T_m(x_ref)]/T), x = c/(1+c), see
            :class:`~chemomech.materials.lithiation.HomologousLaw`. None: D0 holds for every c.
        homologous_activation: a = Q/(R T_m); that of self-diffusion in fcc metals if only ``melting_points`` are given.
        mobility: ``darken``: M = D0 c (1 - c)/RT; ``paper``: eq. 15 without its surplus c_max.
        gradient_energy: kappa, J/m.
        lattice_constant: Edge of the cubic cell, m.
        eigenstrain: Strain of the phase when it is free of stress at the reference concentration: a number, 3
            (diagonal) or 3 rows of 3, in sample axes.
        fracture_energy: Energy per area of crack, J/m^2.
        fracture_length: Width of a smeared crack, m.
        yield_stress: Uniaxial stress at which the host flows, Pa; a run tells where the von Mises stress passes it.
    """

    library: str = ""
    elasticity: Elasticity
    partial_molar_volume: MolarVolumeTensor
    reference_concentration: Annotated[
        float, NUMBER, Within("a fraction of occupied sites lies between 0 and 1", "a number in [0, 1]", ge=0.0, le=1.0)
    ]
    maximum_concentration: PositiveMolarConcentration
    interaction: Annotated[float, NUMBER] = 0.0
    reference_potential: MolarEnergy = 0.0
    diffusivity: PositiveDiffusivity
    melting_points: MeltingPoints | None = None
    homologous_activation: (
        Annotated[
            float,
            NUMBER,
            Within("barriers don't fall with a rising melting point", "a number of at least 0, such as 18.4", ge=0.0),
        ]
        | None
    ) = None
    mobility: Literal["darken", "paper"] = "darken"
    gradient_energy: Annotated[
        GradientEnergy, Within("the gradient energy must not be negative", "a gradient energy of at least 0", ge=0.0)
    ] = 0.0
    lattice_constant: PositiveLength | None = None
    eigenstrain: EigenstrainTensor = 0.0
    fracture_energy: PositiveSurfaceEnergy | None = None
    fracture_length: PositiveLength | None = None
    yield_stress: PositivePressure | None = None

    @classmethod
    def from_library(cls, name: str, **changes: Any) -> Material:
        """The material ``name`` of the library with some of its fields replaced.

        Raises:
            CaseError: If the library has no such material, or a change is wrong.
        """
        return cls(**{"library": name, **changes})

    @property
    def melting_line(self) -> MeltingLine | None:
        """T_m of the composition, if the diffusivity follows it."""
        points = self.melting_points
        return None if points is None else MeltingLine(tuple(x for x, _ in points), tuple(tm for _, tm in points))

    def homologous_law(self, temperature: float, number: Callable[[float], Any] = float) -> HomologousLaw | None:
        """D(c)/D0 at a temperature in K; None if the diffusivity is one number.

        Args:
            temperature: K.
            number: Makes what the law keeps of each of its numbers, constants of a form perhaps.
        """
        line, activation = self.melting_line, self.homologous_activation
        if line is None or activation is None:
            return None
        return HomologousLaw.of(line, activation, temperature, self.reference_concentration, number)

    @model_validator(mode="after")
    def _melting(self) -> Material:
        if self.melting_points is None and self.homologous_activation is not None:
            raise Invalid("is missing, and homologous_activation needs it", _MELTING, ("melting_points",))
        try:
            _ = self.melting_line
        except CaseError:
            raise Invalid("these points do not make a line", _MELTING, ("melting_points",)) from None
        return self

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        if data.get("melting_points") is not None and data.get("homologous_activation") is None:
            data = {**data, "homologous_activation": FCC_ACTIVATION}
        name = data.get("library", "")
        if not isinstance(name, str):
            return data
        if not name:
            missing = [key for key, field in cls.model_fields.items() if field.is_required() and key not in data]
            if missing and not set(data) - set(cls.model_fields):
                raise Invalid(
                    "is missing",
                    f"the value itself, or library = NAME in the material, NAME being {listing(_library.names())}",
                    (missing[0],),
                )
            return data
        if name not in _library.names():
            raise Invalid(
                f"the library has no such material{did_you_mean(name, _library.names())}",
                listing(_library.names()),
                ("library",),
            )
        fields = _library.material_fields(name)
        filled = {**fields, **data}
        written = data.get("elasticity", {})
        if isinstance(written, BaseModel):
            return filled
        if isinstance(written, Mapping):
            kind = written.get("kind") if written else fields["elasticity"]["kind"]
            if kind is None and "kind" not in written:
                kind = _kind_of(written)
            known = _library.elasticity(name, kind) if isinstance(kind, str) else {}
            filled["elasticity"] = {"kind": kind, **known, **written}
        return filled
