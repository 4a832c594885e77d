"""The dislocations of misfits, one by one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from chemomech.case.misfit import Misfit, MisfitArray
from chemomech.case.parts import Box, Dislocation, Rectangle
from chemomech.case.positions import read_positions
from chemomech.case.regions import AXES, MOST, NEAR, contacts
from chemomech.errors import CaseError
from chemomech.units import pretty

if TYPE_CHECKING:
    from chemomech.case.case import Case

_FITS: Final = 1e-3
"""A spacing gives way by this part of itself, so that a whole number of them fills a period."""


class Array(NamedTuple):
    """The dislocations of a misfit, and the part of it that those along z take up."""

    lines: tuple[Dislocation, ...] = ()
    relaxed: float = 0.0


def misfit_array(case: Case, index: int) -> Array:
    """The dislocations of a misfit; empty if it has no array.

    Args:
        case: The case; misfit and layers are valid.
        index: Which of its misfits.

    Raises:
        CaseError: If the positions can't be read, are not in the body, do not fill a period, or take up more than
            the whole misfit.
    """
    misfit, domain = case.misfits[index], case.domain
    array = misfit.array
    if array is None or not isinstance(domain, Rectangle | Box):
        return Array()
    key = f"misfits.{index}.array"
    strain = misfit.elastic_strain(case.materials)
    b = burgers_length(case, misfit, array)
    axes = array.directions or ("x", "z")[: len(domain.size) - 1]
    listed = _listed(array, key, axes)
    found: list[Dislocation] = []
    relaxed = 0.0
    places: Sequence[float]
    for axis in axes:
        if axis in listed:
            places, per_length = listed[axis], _density(domain, axis, listed[axis], key, array)
        else:
            places, per_length = _regular(domain, axis, b / abs(strain), key, array)
        taken = b * per_length / abs(strain)
        if taken > 1.0 + _FITS:
            raise CaseError(
                f"{key}.{_rule(array)}", None,
                f"dislocations of b = {pretty(b, 'm')}, {pretty(1.0 / per_length, 'm')} apart along {axis}, take up "
                f"{taken:.4g} times the misfit of {100.0 * strain:.4g} %",
                f"a mean distance of at least {pretty(b / abs(strain), 'm')}",
            )  # fmt: skip
        if axis == "x":
            relaxed = min(taken, 1.0)
        for contact in contacts(domain, misfit):
            sign = contact.side * math.copysign(b, strain)
            height = contact.height + contact.side * array.offset
            more: dict[str, Any] = {"core": array.core, "phase": misfit.phase}
            more["at_rest"] = "below" if contact.side > 0 else "above"  # the substrate keeps its size
            found += [_line(domain, axis, place, height, sign, more) for place in places]
    return Array(tuple(found), relaxed)


def burgers_length(case: Case, misfit: Misfit, array: MisfitArray) -> float:
    """Length of the Burgers vector of an array, m: the lattice constant of the phase if not given."""
    return array.burgers or case.materials[misfit.phase].lattice_constant or math.nan


def _rule(array: MisfitArray) -> str:
    """The key that says where the dislocations of an array are."""
    return next(name for name in ("relaxation", "spacing", "positions", "file") if getattr(array, name) is not None)


def _listed(array: MisfitArray, key: str, axes: Sequence[str]) -> dict[str, tuple[float, ...]]:
    if array.positions is not None:
        return dict.fromkeys(axes, array.positions)
    return read_positions(array.file, f"{key}.file", axes) if array.file is not None else {}


def _line(
    domain: Rectangle | Box, axis: str, place: float, height: float, b: float, more: dict[str, Any]
) -> Dislocation:
    """A line in an interface; with b > 0 its extra half plane is above."""
    if isinstance(domain, Rectangle):
        return Dislocation(position=(place, height), burgers=(b, 0.0), **more)
    if axis == "x":
        return Dislocation(position=(place, height, domain.center[2]), burgers=(b, 0.0, 0.0), **more)
    position = (domain.center[0], height, place)
    return Dislocation(position=position, burgers=(0.0, 0.0, b), line=(-1.0, 0.0, 0.0), **more)


def _regular(
    domain: Rectangle | Box, axis: str, whole: float, key: str, array: MisfitArray
) -> tuple[list[float], float]:
    """Evenly spaced places along an axis, m, and lines per metre; ``whole`` is the spacing that takes up everything."""
    width, center = domain.size[AXES[axis]], domain.center[AXES[axis]]
    spacing = array.spacing or whole / (array.relaxation or 1.0)
    if width / spacing > MOST:
        raise CaseError(
            f"{key}.{_rule(array)}", None, f"these are {width / spacing:.3g} dislocations along {axis}",
            f"at most {MOST}: a spacing of at least {pretty(width / MOST, 'm')}",
        )  # fmt: skip
    if axis not in domain.periodic and axis not in domain.mirror:
        count = math.floor(width / spacing * (1.0 + NEAR))
        if count == 0:
            raise CaseError(
                f"{key}.{_rule(array)}", None,
                f"no dislocation of this array fits: its spacing is {pretty(spacing, 'm')}, the body is "
                f"{pretty(width, 'm')} wide along {axis}",
                "a wider body, a smaller spacing, or positions",
            )  # fmt: skip
        return [center + (i - 0.5 * (count - 1)) * spacing for i in range(count)], 1.0 / spacing
    mirrored = axis in domain.mirror
    period = 2.0 * width if mirrored else width
    count = round(period / spacing)
    if count < 1 or abs(period / spacing / count - 1.0) > _FITS:
        fewer = math.floor(period / spacing)
        fit = [pretty(n * spacing * width / period, "m") for n in (fewer, fewer + 1) if n]
        kind = "mirrored" if mirrored else "periodic"
        raise CaseError(
            f"{key}.{_rule(array)}", None,
            f"the array does not fit the {kind} body: its spacing is {pretty(spacing, 'm')}, the body is "
            f"{pretty(width, 'm')} wide along {axis}" + (" (half a period)" if mirrored else ""),
            f"a width of {' or '.join(fit)} (domain.size.{AXES[axis]}), or another spacing",
        )  # fmt: skip
    if mirrored:
        return [center + width * (2 * i / count - 0.5) for i in range(count // 2 + 1)], count / period
    return [center + width * ((i + 0.5) / count - 0.5) for i in range(count)], count / period


def _density(domain: Rectangle | Box, axis: str, places: Sequence[float], key: str, array: MisfitArray) -> float:
    """Lines per metre of listed places, those on a mirror plane counted half.

    Raises:
        CaseError: If a place is outside of the body, or taken twice.
    """
    width, center = domain.size[AXES[axis]], domain.center[AXES[axis]]
    near = NEAR * width
    closed = axis in domain.periodic or axis in domain.mirror
    weight = 0.0
    for i, place in enumerate(places):
        beyond = abs(place - center) - 0.5 * width
        entry = f"{key}.positions.{i}" if array.positions is not None else f"{key}.file"
        if beyond > near or (not closed and beyond > -near):
            where = f"outside the body by {pretty(beyond, 'm')}" if beyond > near else "on the edge of the body"
            raise CaseError(
                entry, pretty(place, "m"), f"this position along {axis} lies {where}",
                f"lengths between {pretty(center - 0.5 * width, 'm')} and {pretty(center + 0.5 * width, 'm')}",
            )  # fmt: skip
        weight += 0.5 if axis in domain.mirror and beyond > -near else 1.0
    order = sorted((place, i) for i, place in enumerate(places))
    pairs = list(pairwise(order))
    if axis in domain.periodic:
        pairs.append((order[-1], (order[0][0] + width, order[0][1])))
    for (one, i), (two, j) in pairs:
        if two - one < near and i != j:
            entry = f"{key}.positions.{j}" if array.positions is not None else f"{key}.file"
            raise CaseError(
                entry, pretty(places[j], "m"), "another dislocation of this array lies at this place",
                "every position once; the two sides of a periodic body are one",
            )  # fmt: skip
    return weight / width
