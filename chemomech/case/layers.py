"""What a body of several phases is built of: flat layers, and round inclusions in them."""

from __future__ import annotations

from typing import Annotated

from chemomech.frozen import Frozen, Hint
from chemomech.units import Length, PositiveLength


class Layer(Frozen):
    """A flat layer of one material, as wide as the body.

    Attributes:
        material: What it is made of.
        thickness: Along y, m; one layer of a body may leave it out and gets the rest.
    """

    material: Annotated[str, Hint("the name of a material")]
    thickness: PositiveLength | None = None


class Inclusion(Frozen):
    """A circle (2D) or sphere (3D) of another material, inside one layer.

    Attributes:
        material: What it is made of.
        center: Its middle, m; a rotated body takes it along.
        radius: m.
    """

    material: Annotated[str, Hint("the name of a material")]
    center: Annotated[tuple[Length, ...], Hint("a point such as ['0 nm', '5 nm']")]
    radius: PositiveLength
