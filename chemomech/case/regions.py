"""Where which material lies in a rectangle or box: layers, interfaces, inclusions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from chemomech.case.misfit import Misfit
from chemomech.case.parts import Box, Domain, Rectangle

AXES: Final = {"x": 0, "z": 2}
MOST: Final = 20000
"""So many dislocations at most come from one array or ensemble."""
NEAR: Final = 1e-6
"""Lengths that differ by less than this part of the body are one."""


class Span(NamedTuple):
    """A flat piece of a body, heights in m before any rotation."""

    low: float
    high: float
    material: str


class Interface(NamedTuple):
    """A flat interface between two materials, its height in m before any rotation."""

    height: float
    lower: str
    upper: str


class Contact(NamedTuple):
    """An interface of a misfit.

    Attributes:
        height: Where it is, m.
        side: +1 if the strained phase is above it, -1 if below.
        depth: Thickness of the strained phase there, m.
    """

    height: float
    side: int
    depth: float


def spans(domain: Rectangle | Box) -> tuple[Span, ...]:
    """The layers from bottom to top; the whole body if there are none."""
    low, high = bottom_and_top(domain)
    if not domain.layers:
        return (Span(low, high, domain.material),)
    rest = (high - low) - sum(layer.thickness or 0.0 for layer in domain.layers)
    heights = [low]
    for layer in domain.layers:
        heights.append(heights[-1] + (rest if layer.thickness is None else layer.thickness))
    heights[-1] = high
    return tuple(Span(a, b, layer.material) for (a, b), layer in zip(pairwise(heights), domain.layers, strict=True))


def runs(domain: Rectangle | Box) -> tuple[Span, ...]:
    """The layers, neighbours of one material as one."""
    merged: list[Span] = []
    for span in spans(domain):
        if merged and merged[-1].material == span.material:
            merged[-1] = Span(merged[-1].low, span.high, span.material)
        else:
            merged.append(span)
    return tuple(merged)


def interfaces(domain: Domain) -> tuple[Interface, ...]:
    """The flat interfaces between layers of different materials, from bottom to top."""
    if not isinstance(domain, Rectangle | Box):
        return ()
    pieces = runs(domain)
    return tuple(Interface(a.high, a.material, b.material) for a, b in pairwise(pieces))


def contacts(domain: Domain, misfit: Misfit) -> tuple[Contact, ...]:
    """The flat interfaces between the two materials of a misfit."""
    found = []
    for k, (height, lower, upper) in enumerate(interfaces(domain)):
        if {lower, upper} == {misfit.phase, misfit.substrate} and isinstance(domain, Rectangle | Box):
            above = upper == misfit.phase
            film = runs(domain)[k + above]
            found.append(Contact(height, 1 if above else -1, film.high - film.low))
    return tuple(found)


def bottom_and_top(domain: Rectangle | Box) -> tuple[float, float]:
    """The heights between which a body lies, before any rotation."""
    return domain.center[1] - 0.5 * domain.size[1], domain.center[1] + 0.5 * domain.size[1]


def unturned(domain: Rectangle | Box, point: Sequence[float]) -> tuple[float, ...]:
    """A point in the frame in which the body is not rotated."""
    if isinstance(domain, Box) or not domain.rotation:
        return tuple(point)
    return _about(domain, point, -domain.rotation)


def turned(domain: Rectangle | Box, point: Sequence[float]) -> tuple[float, ...]:
    """The inverse of :func:`unturned`."""
    if isinstance(domain, Box) or not domain.rotation:
        return tuple(point)
    return _about(domain, point, domain.rotation)


def _about(domain: Rectangle, point: Sequence[float], degrees: float) -> tuple[float, float]:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = (p - c for p, c in zip(point, domain.center, strict=True))
    return domain.center[0] + cos * x - sin * y, domain.center[1] + sin * x + cos * y


def materials_at(domain: Rectangle | Box, point: Sequence[float]) -> tuple[str, ...]:
    """The material at a point of the body; both of them on an interface, none outside of bottom and top."""
    at = unturned(domain, point)
    near = NEAR * min(domain.size)
    found: list[str] = []
    for inclusion in domain.inclusions:
        depth = inclusion.radius - math.dist(at, inclusion.center)
        if depth > near:
            return (inclusion.material,)
        if depth > -near:
            found.append(inclusion.material)
    found += [span.material for span in spans(domain) if span.low - near <= at[1] <= span.high + near]
    return tuple(dict.fromkeys(found))
