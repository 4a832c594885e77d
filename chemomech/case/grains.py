"""Bodies of grains: polycrystals that are made up, and measured maps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from chemomech.frozen import NUMBER, Entries, Frozen, Hint, Invalid, Within, did_you_mean, listing
from chemomech.units import Angle, Length, PositiveLength, expected, to_si, to_text

CLASSES: Final = ("HAGB", "LAGB", "twin", "phase", "other")
"""Names of the classes of grain boundaries: ``phase`` between two phases, ``other`` what is below LAGB."""
MAPS: Final = (".ang", ".ctf")
_EDGES: Final = "two or three lengths such as ['20 um', '30 um']"
_MANY: Final = ("voronoi", "laguerre", "columnar")
_WORDS: Final = ("random", "twin")
_TURN: Final = "'random', 'twin', an angle above 0 and up to 45 deg, or a list of these"


def _read_edges(value: Any) -> Any:
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) not in (2, 3):
        raise Invalid("a section has two entries, a body in space three", _EDGES)
    return value


def _read_turns(value: Any) -> Any:
    if value is None:
        return None
    given = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if not given:
        raise Invalid("there is no boundary", _TURN)
    return tuple(_turn(one) for one in given)


def _turn(value: Any) -> float | str:
    if value in _WORDS:
        return str(value)
    try:
        angle = to_si(value, "degree")
    except Invalid as error:
        guess = did_you_mean(value, _WORDS) if isinstance(value, str) else ""
        raise Invalid(f"{error.problem}{guess}", _TURN) from None
    if not 0.0 < angle <= 45.0:
        raise Invalid("a cubic crystal turned about [001] is no further than 45 degrees from itself", _TURN)
    return angle


def _write_turns(value: Any) -> Any:
    return value if value is None else [one if isinstance(one, str) else to_text(one, "degree") for one in value]


Edges = Annotated[tuple[PositiveLength, ...], BeforeValidator(_read_edges)]
Turns = Annotated[tuple[float | str, ...] | None, BeforeValidator(_read_turns), PlainSerializer(_write_turns)]
Share = Annotated[float, NUMBER, Within("a share lies between 0 and 1", "a number from 0 to 1", ge=0.0, le=1.0)]
Seed = Annotated[int, NUMBER, Within("a seed must not be negative", "a whole number of at least 0", ge=0)]
Some = Annotated[int, NUMBER, Within("too few or too many", "a whole number from 1 to 100 000", ge=1, le=100_000)]
Few = Annotated[int, NUMBER, Within("too few or too many", "a whole number from 0 to 1000", ge=0, le=1000)]


def _angle(least: float, most: float) -> Within:
    return Within("an angle out of range", expected("degree", f" from {least:g} to {most:g}"), ge=least, le=most)


class BoundaryClasses(Frozen):
    """Which boundary is called what; a class is the name of its facets.

    Attributes:
        low_angle: From here on a disorientation is a boundary, ``LAGB``; below, the class is ``other``. Degrees.
        high_angle: Above, the class is ``HAGB``, degrees.
        twin: Largest deviation from 60 degrees about <111>, degrees; 15/sqrt(3) is Brandon's limit.
        coherent: Whether a twin must also lie in its twin plane (in a section: run along it), within 10 degrees.
    """

    low_angle: Annotated[Angle, _angle(0.0, 30.0)] = 2.0
    high_angle: Annotated[Angle, _angle(0.0, 60.0)] = 15.0
    twin: Annotated[Angle, _angle(0.0, 15.0)] = 15.0 / math.sqrt(3.0)
    coherent: bool = True

    @model_validator(mode="after")
    def _in_order(self) -> BoundaryClasses:
        if not self.low_angle < self.high_angle:
            raise Invalid(
                "there is no angle between the two limits", "an angle above low_angle", ("high_angle",), self.high_angle
            )
        return self


class GrainTexture(Frozen):
    """A fibre texture: a crystal direction lies near a direction of the body.

    Attributes:
        direction: Crystal direction, as indices of a cubic crystal.
        along: Axis of the body.
        spread: Standard deviation of the tilt in each of the two directions across, degrees.
        fraction: Share of the grains in the fibre; the others are random.
    """

    direction: Annotated[tuple[float, float, float], Entries(3, "a direction such as [1, 1, 1]")]
    along: Literal["x", "y", "z"] = "y"
    spread: Annotated[Angle, _angle(0.0, 90.0)] = 0.0
    fraction: Share = 1.0

    @model_validator(mode="after")
    def _directed(self) -> GrainTexture:
        if not any(self.direction):
            raise Invalid("a direction must not be zero", "a direction such as [1, 1, 1]", ("direction",))
        return self


class Polycrystal(Frozen):
    """A rectangle or box of cubic grains that is made from these words; the same words give the same one.

    Its sides have the names of those of a rectangle or a box, its grain boundaries those of their classes.

    Attributes:
        size: Edges, m; two of them make a section, three a body.
        center: Where its middle is, m.
        material: What the grains are made of.
        kind: ``voronoi``, ``laguerre`` (log-normal sizes), ``columnar`` (all boundaries along y), ``bicrystal``
            (straight boundaries along y, side by side) or ``single``.
        grain_size: Mean diameter of the circle or ball of the same size, across columns, m. This or ``grains``.
        grains: How many.
        spread: Standard deviation of the logarithm of the diameters; 0.35 in ``laguerre``.
        lloyd: How often grains are made more compact.
        elongation: How many times longer grains are along y than across.
        seed: Of places and orientations.
        orientation: Of a single crystal: Bunge angles, degrees.
        misorientation: Of each boundary of a bicrystal, from left to right: ``random`` (a HAGB by ``seed``), ``twin``
            (coherent) or an angle about z.
        texture: Random orientations if there is none.
        twins, low_angle: Share of the length or area of the boundaries that is to be of this class; without them,
            what comes by chance.
        classes: Limits of the classes.
    """

    periodic: ClassVar[tuple[str, ...]] = ()
    mirror: ClassVar[tuple[str, ...]] = ()

    shape: Literal["polycrystal"] = "polycrystal"
    size: Annotated[Edges, Hint(_EDGES)]
    center: tuple[Length, ...] = Field(default_factory=lambda data: (0.0,) * len(data.get("size", ())))
    material: str = ""
    kind: Literal["voronoi", "laguerre", "columnar", "bicrystal", "single"] = "voronoi"
    grain_size: PositiveLength | None = None
    grains: Some | None = None
    spread: (
        Annotated[float, NUMBER, Within("no spread that grains can have", "a number from 0 to 1", ge=0.0, le=1.0)]
        | None
    ) = None
    lloyd: Few = 3
    elongation: Annotated[
        float, NUMBER, Within("no grains of this form are made", "a number from 0.05 to 20", ge=0.05, le=20.0)
    ] = 1.0
    seed: Seed = 0
    orientation: Annotated[
        tuple[Angle, Angle, Angle], Entries(3, "three angles such as ['0 deg', '0 deg', '0 deg']")
    ] = (0.0, 0.0, 0.0)
    misorientation: Turns = None
    texture: GrainTexture | None = None
    twins: Share | None = None
    low_angle: Share | None = None
    classes: BoundaryClasses = BoundaryClasses()

    @model_validator(mode="after")
    def _of_its_kind(self) -> Polycrystal:
        many = self.kind in _MANY
        if len(self.center) != len(self.size):
            raise Invalid("center and size differ in their number of entries", "as many lengths as size", ("center",))
        if many and (self.grain_size is None) == (self.grains is None):
            raise Invalid("how many grains there are is not clear", "one of grain_size and grains", ("grains",))
        if self.kind == "bicrystal" and self.misorientation is None:
            raise Invalid("is missing", _TURN, ("misorientation",))
        belong = {
            "orientation": ("single",),
            "misorientation": ("bicrystal",),
            "spread": ("laguerre", "columnar"),
            "elongation": ("voronoi", "laguerre"),
            **dict.fromkeys(("grain_size", "grains", "lloyd", "texture", "twins", "low_angle"), _MANY),
        }
        for key, kinds in belong.items():
            if key in self.model_fields_set and getattr(self, key) is not None and self.kind not in kinds:
                if getattr(self, key) == type(self).model_fields[key].default:
                    continue
                allowed = f"kind = {listing(repr(kind) for kind in kinds)}"
                raise Invalid(f"does not belong to a domain of the kind '{self.kind}'", allowed, (key,))
        turns = self.misorientation or ()
        if any(isinstance(one, float) and two == "twin" for one, two in pairwise(turns)):
            raise Invalid("a twin can't stand right of a tilt, which decides on the crystal between them",
                          "'twin' left of the angle, or 'random' between them", ("misorientation",))  # fmt: skip
        made = (self.twins or 0.0) + (self.low_angle or 0.0)
        if self.texture is not None and made > 0.0:
            raise Invalid("a texture leaves no choice for shares of classes", "texture, or twins and low_angle",
                          ("texture",), "...")  # fmt: skip
        if made > 1.0:
            raise Invalid("the shares are more than the whole", "shares of 1 or less together", ("low_angle",))
        return self

    @property
    def diameter(self) -> float:
        """About how large a grain is, m."""
        if self.grain_size is not None:
            return self.grain_size
        count = self.grains or len(self.misorientation or ()) + 1
        if self.kind == "single":
            return min(self.size)
        across = [s for k, s in enumerate(self.size) if k != 1] if self.kind in ("columnar", "bicrystal") else self.size
        if self.kind == "bicrystal":
            return self.size[0] / count
        factor = {1: 1.0, 2: 4.0 / math.pi, 3: 6.0 / math.pi}[len(across)]
        return float((factor * math.prod(across) / count) ** (1.0 / len(across)))


class MadeMap(Frozen):
    """A measured map that is made up: a polycrystal seen by an instrument, point by point.

    Attributes:
        size: Width and height, m.
        step: Distance of points, m.
        grain_size: Mean diameter, m.
        twins, low_angle: As in a `Polycrystal`.
        noise: Scatter of the orientations of points in a grain, degrees.
        lost: Share of the points without orientation.
        seed: Of all that is random.
    """

    size: Annotated[tuple[PositiveLength, PositiveLength], Entries(2, "two lengths such as ['20 um', '20 um']")]
    step: PositiveLength
    grain_size: PositiveLength
    twins: Share = 0.0
    low_angle: Share = 0.0
    noise: Annotated[Angle, _angle(0.0, 5.0)] = 0.3
    lost: Annotated[Share, Within("too many points are lost", "a number up to 0.5", le=0.5)] = 0.0
    seed: Seed = 0


class MeasuredMap(Frozen):
    """The grains of an EBSD map, as the picture shows them: x to the right, y up, from its lower left corner.

    Sides as in a rectangle, grain boundaries by their classes; phases of the map are materials of the case.

    Attributes:
        path: An .ang, .ctf or HDF5 file; relative to the TOML file it stands in, else to the working folder.
        made: A map to take as long as there is no ``path``.
        scale: Factor on all lengths of the map.
        crop: Lowest x and y, highest x and y of the part to take, m.
        materials: Phase of the map -> material.
        angle: Points of one grain differ by this at most from a neighbour, degrees.
        minimum: Grains of fewer points go to a neighbour.
        quality: Least value by name of a quality; points below lose their orientation.
        largest_hole: Holes of more points stay holes; all are filled if not given.
        pseudosymmetry: Undo false 60 degrees <111> solutions (cubic; true twins go as well).
        smoothing: Steps of smoothing of the boundaries.
        frame: How the frame of the angles lies in that of the map, see ``microstructure.ebsd.reading.read_map``.
        classes: Limits of the classes.
    """

    periodic: ClassVar[tuple[str, ...]] = ()
    mirror: ClassVar[tuple[str, ...]] = ()

    shape: Literal["ebsd"] = "ebsd"
    path: Annotated[str, Hint("the path of an .ang, .ctf or HDF5 file")] = ""
    made: MadeMap | None = None
    scale: Annotated[float, NUMBER, Within("a scale is above zero", "a number above 0", gt=0.0)] = 1.0
    crop: (
        Annotated[
            tuple[Length, Length, Length, Length],
            Entries(4, "four lengths such as ['0 um', '0 um', '10 um', '10 um']: lowest x, y, highest x, y"),
        ]
        | None
    ) = None
    materials: dict[str, str] = Field(default_factory=dict)
    angle: Annotated[Angle, _angle(0.1, 60.0)] = 10.0
    minimum: Some = 5
    quality: dict[str, Annotated[float, NUMBER]] = Field(default_factory=dict)
    largest_hole: Few | None = None
    pseudosymmetry: bool = False
    smoothing: Few = 60
    frame: Literal["same", "x", "y", "xy", "-xy"] | None = None
    classes: BoundaryClasses = BoundaryClasses()

    @model_validator(mode="after")
    def _given(self) -> MeasuredMap:
        if not self.path and self.made is None:
            raise Invalid("is missing", "the path of an .ang, .ctf or HDF5 file", ("path",))
        if self.crop is not None and not (self.crop[0] < self.crop[2] and self.crop[1] < self.crop[3]):
            raise Invalid("nothing lies between these corners", "lowest x, lowest y, highest x, highest y", ("crop",))
        return self


class BoundaryLayers(Frozen):
    """Thin layers of cells along grain boundaries, on both sides, or along sides of the body, in 2D.

    Attributes:
        first: Thickness of the first one, m.
        growth: Thickness of a layer over that of the one before.
        count: How many.
        along: ``boundaries``, those between grains, and names of sides; not beside other sides.
    """

    first: Annotated[PositiveLength, Hint("a thickness such as '5 nm'")]
    growth: Annotated[
        float, NUMBER, Within("layers can't grow like that", "a number from 1 to below 10", ge=1.0, lt=10.0)
    ] = 1.3
    count: Annotated[
        int, NUMBER, Within("too few or too many layers", "a whole number from 1 to 100", ge=1, le=100)
    ] = 5
    along: tuple[Literal["boundaries", "left", "right", "bottom", "top"], ...] = ("boundaries",)


def classes_of(domain: object) -> tuple[str, ...]:
    """Classes that the boundaries of a domain of grains may have; nothing of another domain."""
    return CLASSES if isinstance(domain, Polycrystal | MeasuredMap) else ()


def shape_of(value: Mapping[str, Any]) -> str | None:
    """The shape of a domain of grains that keys without ``shape`` belong to; None if they belong to another."""
    path = value.get("path")
    if "made" in value or (isinstance(path, str) and path.lower().endswith(MAPS)):
        return "ebsd"
    if path is None and {"kind", "grain_size", "grains"} & set(value):
        return "polycrystal"
    return None
