"""Lattices that do not fit, the dislocations at their interface, and random dislocations at a density."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import field_validator, model_validator

from chemomech.errors import CaseError
from chemomech.frozen import NUMBER, Frozen, Hint, Invalid, Within
from chemomech.materials.laws import Material
from chemomech.units import Angle, Length, PositiveLength, PositiveLineDensity

_RATIO: Final = "two whole numbers such as '3:11': 3 cells of the substrate on 11 of the phase"
_ONE_OF: Final = ("relaxation", "spacing", "positions", "file")


class MisfitArray(Frozen):
    """Edge dislocations at the interface of a misfit, their extra half planes on the side that lacks atoms.

    Exactly one of ``relaxation``, ``spacing``, ``positions`` and ``file`` says where they are.

    Attributes:
        relaxation: Part of the misfit that they take up, in (0, 1]; the spacing is b/(|strain| relaxation).
        spacing: Distance between neighbours, m.
        positions: Coordinates along the interface, m; the same along each of ``directions``.
        file: A CSV file whose columns ``x_nm`` and ``z_nm`` (or another unit) hold the positions; relative to the
            TOML file it is named in, else to the working folder.
        core: Width of the spreading function, m.
        burgers: Length of the Burgers vector, m; the lattice constant of the phase if not given. It lies in the
            interface, and its sign is the one that relaxes the misfit.
        offset: Distance of the lines from the interface, into the phase, m.
        directions: Axes along which the misfit is relaxed: all that lie in the interface if not given.
    """

    relaxation: (
        Annotated[
            float,
            NUMBER,
            Within("an array takes up at most the whole misfit", "a number in (0, 1]", gt=0.0, le=1.0),
        ]
        | None
    ) = None
    spacing: PositiveLength | None = None
    positions: tuple[Length, ...] | None = None
    file: str | None = None
    core: Annotated[PositiveLength, Hint("a length such as '0.5 nm'")]
    burgers: PositiveLength | None = None
    offset: Length = 0.0
    directions: tuple[Literal["x", "z"], ...] = ()

    @model_validator(mode="after")
    def _one_rule(self) -> MisfitArray:
        given = [name for name in _ONE_OF if getattr(self, name) is not None]
        if len(given) != 1:
            said = f"{' and '.join(given)} are given" if given else "nothing says where the dislocations are"
            raise Invalid(said, "exactly one of relaxation, spacing, positions and file", tuple(given[1:2]))
        if self.positions == ():
            raise Invalid("there is no position", "a list of lengths such as ['-10 nm', '10 nm']", ("positions",))
        if len(set(self.directions)) != len(self.directions):
            raise Invalid("a direction is given twice", "['x'], ['z'] or ['x', 'z']", ("directions",))
        return self


class Misfit(Frozen):
    """A phase that has to be strained to fit the lattice of another one.

    Attributes:
        phase: The strained material.
        substrate: The material that keeps its lattice.
        coincidence: ``n:m``: n cells of the substrate meet m cells of the phase.
        strain: Instead of ``coincidence``: elastic strain the phase takes to fit, along the interface.
        out_of_plane: Strain of the phase along z in 2D: ``array``: relaxed as along x; ``coherent``: all of the
            misfit; ``none``: no misfit.
        array: Dislocations at every interface between the two.
    """

    phase: Annotated[str, Hint("the name of the strained material")]
    substrate: Annotated[str, Hint("the name of the material it fits to")]
    coincidence: str | None = None
    strain: (
        Annotated[
            float,
            NUMBER,
            Within("a misfit of this size is no small strain", "a number in (-0.5, 0.5)", gt=-0.5, lt=0.5),
        ]
        | None
    ) = None
    out_of_plane: Literal["array", "coherent", "none"] = "array"
    array: MisfitArray | None = None

    @field_validator("coincidence")
    @classmethod
    def _ratio(cls, value: str | None) -> str | None:
        if value is None:
            return None
        match = re.fullmatch(r"\s*(\d{1,6})\s*:\s*(\d{1,6})\s*", value, re.ASCII)
        if match is None or not (int(match[1]) and int(match[2])):
            raise Invalid("a coincidence has the form n:m", _RATIO)
        return f"{int(match[1])}:{int(match[2])}"

    @model_validator(mode="after")
    def _one_measure(self) -> Misfit:
        if (self.coincidence is None) == (self.strain is None):
            both = self.strain is not None
            raise Invalid(
                "coincidence and strain can't both be given" if both else "the size of the misfit is missing",
                f"coincidence ({_RATIO}) or strain (a number)",
                ("strain",) if both else (),
            )
        return self

    def elastic_strain(self, materials: Mapping[str, Material]) -> float:
        """The strain the phase takes to fit: ``strain``, or (n a_s - m a_f)/(m a_f) of ``coincidence``.

        Args:
            materials: The materials of the case, by name.

        Raises:
            CaseError: If a lattice constant is missing, or the ratio makes no small strain; its key is that of
                the case for the lattice constant and ``coincidence`` for the ratio.
        """
        if self.strain is not None:
            return self.strain
        constants = []
        for name in (self.substrate, self.phase):
            constant = materials[name].lattice_constant
            if constant is None:
                raise CaseError(
                    f"materials.{name}.lattice_constant", None, "is missing, and a coincidence is made of it",
                    "a length such as '0.351 nm', or strain instead of coincidence in the misfit",
                )  # fmt: skip
            constants.append(constant)
        n, m = (int(part) for part in str(self.coincidence).split(":"))
        strain = (n * constants[0] - m * constants[1]) / (m * constants[1])
        if abs(strain) >= 0.5:
            raise CaseError(
                "coincidence", self.coincidence, f"this would strain {self.phase} by {100.0 * strain:.4g} %", _RATIO
            )
        return strain


class Ensemble(Frozen):
    """Straight dislocations along z at random places.

    Attributes:
        density: Lines per area, 1/m^2.
        burgers: Length of the Burgers vector, m.
        core: Width of the spreading function, m; also the least distance between two lines and to the edge.
        seed: The same seed gives the same lines.
        phase: Material they lie in; anywhere in the body if not given.
        angles: Angles of the slip directions from x, degrees, drawn with equal odds.
        signs: ``mixed``: as many of either sign (one more ``+`` if odd); ``positive``: Burgers vectors along the
            slip direction; ``negative``: against it.
    """

    density: Annotated[PositiveLineDensity, Hint("a line density such as '1e14 1/m^2'")]
    burgers: Annotated[PositiveLength, Hint("a length such as '0.304 nm'")]
    core: Annotated[PositiveLength, Hint("a length such as '0.5 nm'")]
    seed: Annotated[int, NUMBER, Within("a seed must not be negative", "a whole number of at least 0", ge=0)] = 0
    phase: str = ""
    angles: tuple[Angle, ...] = (0.0, 60.0, 120.0)
    signs: Literal["mixed", "positive", "negative"] = "mixed"

    @field_validator("angles")
    @classmethod
    def _some(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value:
            raise Invalid("there is no slip direction", "a list of angles such as ['0 deg', '60 deg', '120 deg']")
        return value
