"""The parts of a case, as frozen and validated classes; their attributes are the keys of the TOML."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, field_validator, model_validator

from chemomech import expressions
from chemomech.case.grains import BoundaryLayers, MeasuredMap, Polycrystal, shape_of
from chemomech.case.layers import Inclusion, Layer
from chemomech.case.sources import Galvanostatic, Reservoir
from chemomech.frozen import NUMBER, Entries, Frozen, Hint, Invalid, Within, did_you_mean
from chemomech.units import (
    Angle,
    Duration,
    Length,
    MolarEnergy,
    MolarFlux,
    PositiveDuration,
    PositiveLength,
    expected,
    to_si,
    to_text,
)

FRACTION: Final = "a number in (0, 1)"
Fraction = Annotated[
    float, NUMBER, Within("a fraction of occupied sites lies between 0 and 1", FRACTION, gt=0.0, lt=1.0)
]
Vector = tuple[Length, ...]

_PAIR: Final = Entries(2, "two lengths such as ['60 nm', '40 nm']")
_TRIPLE: Final = Entries(3, "three lengths such as ['60 nm', '40 nm', '40 nm']")


class Rectangle(Frozen):
    """A rectangle with the boundaries ``left``, ``right``, ``bottom`` and ``top``.

    ``rotation`` turns the body about its center, counter-clockwise, names included. ``layers``, from bottom to top,
    stand in place of ``material``. The sides of an axis in ``periodic`` become one; those of an axis in ``mirror``
    are planes of symmetry.
    """

    shape: Literal["rectangle"] = "rectangle"
    size: Annotated[tuple[PositiveLength, PositiveLength], _PAIR]
    center: Annotated[tuple[Length, Length], _PAIR] = (0.0, 0.0)
    rotation: Angle = 0.0
    material: str = ""
    layers: tuple[Layer, ...] = ()
    inclusions: tuple[Inclusion, ...] = ()
    periodic: tuple[Literal["x"], ...] = ()
    mirror: tuple[Literal["x"], ...] = ()


class Box(Frozen):
    """A box with the boundaries ``left``, ``right`` (x), ``bottom``, ``top`` (y), ``back``, ``front`` (z).

    ``layers``, ``periodic`` and ``mirror`` as in a :class:`Rectangle`; layers are stacked along y.
    """

    shape: Literal["box"] = "box"
    size: Annotated[tuple[PositiveLength, PositiveLength, PositiveLength], _TRIPLE]
    center: Annotated[tuple[Length, Length, Length], _TRIPLE] = (0.0, 0.0, 0.0)
    material: str = ""
    layers: tuple[Layer, ...] = ()
    inclusions: tuple[Inclusion, ...] = ()
    periodic: tuple[Literal["x", "z"], ...] = ()
    mirror: tuple[Literal["x", "z"], ...] = ()


class MeshFile(Frozen):
    """A gmsh file; physical groups give the phases (cells) and the boundaries (facets) their names.

    ``path`` is relative to the TOML file it stands in, else to the working folder. The sides of an axis in
    ``periodic`` or ``mirror`` must be flat; the nodes on two periodic ones must match. ``grains`` is the table of
    the grains with their orientations; the one beside the mesh if there is one (``film.grains.csv`` of ``film.msh``).
    """

    shape: Literal["file"] = "file"
    path: Annotated[str, Hint("the path of a .msh file")]
    length_unit: PositiveLength = 1.0
    grains: Annotated[str, Hint("the path of a .grains.csv file")] = ""
    materials: dict[str, str] = Field(default_factory=dict)
    periodic: tuple[Literal["x", "z"], ...] = ()
    mirror: tuple[Literal["x", "z"], ...] = ()


def _with_shape(value: object) -> object:
    """A domain written without ``shape`` gets the shape its keys belong to."""
    if not isinstance(value, Mapping) or "shape" in value:
        return value
    if grains := shape_of(value):
        return {"shape": grains, **value}
    if "path" in value:
        return {"shape": "file", **value}
    size = value.get("size")
    three = isinstance(size, Sequence) and not isinstance(size, str) and len(size) == 3
    return {"shape": "box" if three else "rectangle", **value}


Domain = Annotated[
    Annotated[Rectangle | Box | MeshFile | Polycrystal | MeasuredMap, Field(discriminator="shape")],
    BeforeValidator(_with_shape),
]


class Adapt(Frozen):
    """Meshes made anew, each from the errors of the state at t = 0 on the one before, until the last is good enough.

    Attributes:
        quantity: What is to be right: the energy, or the largest hydrostatic and von Mises stress.
        tolerance: Its relative error at the end; that of the energy over the elastic energy.
        max_cycles: Meshes at most.
        max_unknowns: Unknowns of a mesh at most.
        reduction: What a mesh leaves of the error of the one before, at least.
    """

    quantity: Literal["energy", "peak_stress"] = "peak_stress"
    tolerance: Annotated[
        float, NUMBER, Within("the tolerance must lie between 0 and 1", "a number in (0, 1)", gt=0.0, lt=1.0)
    ] = 0.01
    max_cycles: Annotated[
        int, NUMBER, Within("too few or too many meshes", "a whole number from 1 to 50", ge=1, le=50)
    ] = 12
    max_unknowns: Annotated[
        int, NUMBER, Within("this is no mesh to compute on", "a whole number of at least 100", ge=100)
    ] = 500_000
    reduction: Annotated[
        float, NUMBER, Within("the reduction must lie between 0 and 0.6", "a number in (0, 0.6]", gt=0.0, le=0.6)
    ] = 0.25


class Mesh(Frozen):
    """How fine the mesh is: ``size`` far from defects, ``core_size`` at cores, ``interface_size`` between materials.

    The size grows away from a core or an interface by ``growth`` per unit of distance. ``structured`` asks for equal
    right-angled cells of ``size`` instead. With ``adapt`` this mesh is the first of several. In a body of grains
    ``boundary_size`` holds at grain boundaries, and ``layers`` puts thin cells along them.
    ``Case.resolved_mesh`` holds the numbers used where none are given.
    """

    size: PositiveLength | None = None
    core_size: PositiveLength | None = None
    interface_size: PositiveLength | None = None
    boundary_size: PositiveLength | None = None
    layers: BoundaryLayers | None = None
    growth: Annotated[
        float, NUMBER, Within("the growth must lie between 0 and 2", "a number in (0, 2]", gt=0.0, le=2.0)
    ] = 0.2
    structured: bool = False
    adapt: Adapt | None = None


class Dislocation(Frozen):
    """A straight edge dislocation.

    Attributes:
        position: A point of the line, m.
        burgers: Burgers vector, m. With ``line`` out of the plane and the slip-plane normal
            ``normal = line x burgers``, the extra half plane lies on the side of ``normal``,
            which is under compression; the other side is under tension.
        core: Width a of the spreading function, m (paper 004, eq. 7).
        line: Direction of the line (3D only; z in 2D).
        normal: Slip-plane normal; found from ``line`` and ``burgers`` if not given.
        cut: On which side of the line the slipped half plane lies: ``backward`` (against the
            Burgers vector) or ``forward``. Stress and concentration do not depend on it, unless a boundary
            that the slipped plane crosses is held.
        eigenstrain: How the line enters. ``elastic``: minus the elastic strain it would have in an infinite
            medium, a smooth field that makes the mesh free of the slipped plane. ``slip``: the slip spread
            over the slipped half plane (paper 004, eq. 6), which needs a fine mesh all along that plane.
            Both have the same incompatibility, and so the same stress and concentration.
        phase: The material the line is meant to lie in, to be checked; not given: any.
        at_rest: In a periodic or mirrored body, the side of the row of lines that keeps its size; the other becomes
            shorter by b per period.
    """

    position: Annotated[Vector, Hint("a point such as ['0 nm', '0 nm']")]
    burgers: Annotated[Vector, Hint("a vector in the slip plane such as ['1.124 nm', '0 nm']")]
    core: PositiveLength
    line: Annotated[tuple[float, float, float], Entries(3, "a direction such as [0, 0, 1]")] = (0.0, 0.0, 1.0)
    normal: tuple[float, ...] | None = None
    cut: Literal["backward", "forward"] = "backward"
    eigenstrain: Literal["elastic", "slip"] = "elastic"
    phase: str = ""
    at_rest: Literal["below", "above"] = "below"

    @field_validator("line", "normal")
    @classmethod
    def _directed(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and not any(value):
            raise Invalid("a direction must not be zero", "a direction such as [0, 0, 1]")
        return value

    @field_validator("burgers")
    @classmethod
    def _slips(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not any(value):
            raise Invalid("the Burgers vector is zero", "a vector in the slip plane such as ['1.124 nm', '0 nm']")
        return value


class Displacement(Frozen):
    """Prescribed displacement components, m; a component not given is free."""

    x: Length | None = None
    y: Length | None = None
    z: Length | None = None


_TRACTION: Final = "a list of pressures such as ['0 Pa', '10 MPa'], or 'dislocations'"


def _read_traction(value: Any) -> Any:
    if value is None or value == "dislocations":
        return value
    if isinstance(value, str) or not isinstance(value, Sequence):
        guess = did_you_mean(value, ["dislocations"]) if isinstance(value, str) else ""
        raise Invalid(f"a force per area has one entry per direction{guess}", _TRACTION)
    return tuple(to_si(x, "Pa") for x in value)


def _write_traction(value: Any) -> Any:
    return [to_text(x, "Pa") for x in value] if isinstance(value, tuple) else value


Traction = Annotated[
    tuple[float, ...] | Literal["dislocations"] | None,
    BeforeValidator(_read_traction),
    PlainSerializer(_write_traction),
]

CHEMICAL: Final = ("concentration", "chemical_potential", "molar_flux", "reservoir", "galvanostatic")


class Boundary(Frozen):
    """What holds on a named boundary; what is not given is free and impermeable.

    Attributes:
        displacement: Prescribed components.
        roller: No displacement along the normal (boundaries along a coordinate plane only).
        traction: Force per area, Pa, or ``"dislocations"``: the infinite-medium stress of all
            dislocations times the outward normal.
        concentration: Fixed occupied fraction c.
        chemical_potential: Fixed mu, J/mol.
        molar_flux: Lithium entering the body, mol/(m^2 s).
        reservoir: A finite amount of lithium that the body may take up here.
        galvanostatic: A given total current, with one mu all over the boundary.
    """

    displacement: Displacement | None = None
    roller: bool = False
    traction: Traction = None
    concentration: Fraction | None = None
    chemical_potential: MolarEnergy | None = None
    molar_flux: MolarFlux | None = None
    reservoir: Reservoir | None = None
    galvanostatic: Galvanostatic | None = None

    @property
    def given(self) -> tuple[str, ...]:
        """The conditions given here."""
        fields = ("displacement", "roller", "traction", *CHEMICAL)
        return tuple(name for name in fields if getattr(self, name) is not None and getattr(self, name) is not False)

    @property
    def source(self) -> Reservoir | Galvanostatic | None:
        """The condition that asks for one mu all over the boundary, to be found, if there is one."""
        return self.reservoir or self.galvanostatic

    @property
    def chemical(self) -> tuple[str, ...]:
        """The chemical conditions given here, of which there may be one."""
        return tuple(name for name in CHEMICAL if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _one_of_each(self) -> Boundary:
        if self.roller and self.displacement is not None:
            raise Invalid(
                "a roller fixes the displacement along the normal, so displacement can't stand beside it",
                "roller or displacement",
                ("roller",),
            )
        if len(self.chemical) > 1:
            raise Invalid(
                f"{' and '.join(self.chemical)} can't hold on the same boundary",
                f"one of {', '.join(CHEMICAL[:-1])} and {CHEMICAL[-1]}",
                (self.chemical[1],),
            )
        return self


def _read_initial(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise Invalid("a number or a formula is needed", f"{FRACTION}, or a formula of x, y, z in quotes")
    if isinstance(value, str):
        expressions.check(value)
        return value
    if not 0.0 < value < 1.0:
        raise Invalid("a fraction of occupied sites lies between 0 and 1", FRACTION)
    return float(value)


class Initial(Frozen):
    """State at t = 0: a number, an expression of x, y, z (in m), or one of these per material.

    Without it every phase starts at its reference concentration.
    """

    concentration: float | str | dict[str, float | str] | None = None

    @field_validator("concentration", mode="before")
    @classmethod
    def _readable(cls, value: object) -> object:
        if value is None:
            return None
        if not isinstance(value, Mapping):
            return _read_initial(value)
        read = {}
        for name, part in value.items():
            try:
                read[name] = _read_initial(part)
            except Invalid as error:
                raise Invalid(error.problem, error.allowed, (name,)) from None
        return read


class Time(Frozen):
    """Time stepping; ``tolerance`` is the allowed local error of c per step."""

    end: PositiveDuration | None = None
    scheme: Literal["bdf2", "backward-euler"] = "bdf2"
    tolerance: Annotated[
        float, NUMBER, Within("the tolerance must lie between 0 and 1", "a number in (0, 1)", gt=0.0, lt=1.0)
    ] = 1e-3
    initial_step: PositiveDuration | None = None
    minimum_step: PositiveDuration | None = None
    maximum_step: PositiveDuration | None = None
    fixed_step: PositiveDuration | None = None
    growth: Annotated[
        float, NUMBER, Within("the growth of a step must lie between 1 and 10", "a number in (1, 10]", gt=1.0, le=10.0)
    ] = 2.0


class Equilibrium(Frozen):
    """The reservoir of an open body: a chemical potential, or the fraction c it holds free of stress.

    With neither, the body is closed and keeps the lithium of ``initial``.
    """

    chemical_potential: MolarEnergy | None = None
    concentration: Fraction | None = None

    @model_validator(mode="after")
    def _one_reservoir(self) -> Equilibrium:
        if self.chemical_potential is not None and self.concentration is not None:
            raise Invalid(
                "a reservoir has either a chemical potential or a concentration",
                "one of chemical_potential and concentration",
                ("concentration",),
            )
        return self


def _petsc_value(value: object) -> object:
    if not isinstance(value, (str, int, float)):
        raise Invalid("a PETSc option has a single value", "a text, a number, true or false")
    return value


class Solver(Frozen):
    """Newton and linear solvers; ``petsc`` passes options to PETSc as they are."""

    linear: Literal["auto", "direct", "block"] = "auto"
    tolerance: Annotated[
        float, NUMBER, Within("the tolerance must lie between 0 and 1e-3", "a number in (0, 1e-3]", gt=0.0, le=1e-3)
    ] = 1e-10
    max_iterations: Annotated[
        int, NUMBER, Within("too few or too many iterations", "a whole number from 1 to 1000", ge=1, le=1000)
    ] = 30
    petsc: dict[str, Annotated[str | float | int | bool, BeforeValidator(_petsc_value)]] = Field(default_factory=dict)


Moment = Annotated[Duration, Within("a time must not be negative", expected("s", " of at least 0"), ge=0.0)]


class Output(Frozen):
    """What is written: fields at ``times`` (hit exactly), at t = 0 and the end, and ``every`` n steps (0: no more)."""

    times: tuple[Moment, ...] = ()
    every: Annotated[
        int, NUMBER, Within("a number of steps must not be negative", "a whole number of at least 0", ge=0)
    ] = 0
    checkpoint_every: Annotated[
        int, NUMBER, Within("at least one step must lie between", "a whole number of at least 1", ge=1)
    ] = 10
    figures: bool = True
    window: PositiveLength | None = None


def inside_distance(domain: Rectangle | Box, position: Sequence[float], line: Sequence[float] = (0, 0, 1)) -> float:
    """How deep a dislocation lies in the body, m: positive inside, minus the distance to the body outside.

    In a box the deepest point of the line counts.

    Args:
        domain: The body.
        position: A point of the line, m, as many components as the body has.
        line: Direction of the line (3D only).
    """
    local = [p - c for p, c in zip(position, domain.center, strict=True)]
    half = [0.5 * s for s in domain.size]
    if isinstance(domain, Rectangle):
        angle = math.radians(domain.rotation)
        cos, sin = math.cos(angle), math.sin(angle)
        local = [cos * local[0] + sin * local[1], cos * local[1] - sin * local[0]]
        return _depth(local, half)
    length = math.hypot(*line)
    direction = [t / length for t in line]
    reach = sum(half) + math.hypot(*local)
    low, high = -reach, reach
    for _ in range(200):  # the depth is concave along the line
        first, second = low + (high - low) / 3.0, high - (high - low) / 3.0
        depths = [_depth([p + s * t for p, t in zip(local, direction, strict=True)], half) for s in (first, second)]
        low, high = (first, high) if depths[0] < depths[1] else (low, second)
    return _depth([p + 0.5 * (low + high) * t for p, t in zip(local, direction, strict=True)], half)


def _depth(local: Sequence[float], half: Sequence[float]) -> float:
    outside = [max(abs(p) - h, 0.0) for p, h in zip(local, half, strict=True)]
    if any(outside):
        return -math.hypot(*outside)
    return min(h - abs(p) for p, h in zip(local, half, strict=True))
