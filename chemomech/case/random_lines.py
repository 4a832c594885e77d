"""Random straight dislocations at a given density."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from chemomech.case.misfit import Ensemble
from chemomech.case.parts import Box, Dislocation, Rectangle
from chemomech.case.regions import MOST, runs, turned
from chemomech.errors import CaseError
from chemomech.units import pretty

if TYPE_CHECKING:
    from chemomech.case.case import Case

_TRIES: Final = 2000  # per line


def ensemble_lines(case: Case, index: int) -> tuple[Dislocation, ...]:
    """The dislocations of an ensemble: straight along z, at least a core width from each other and from edges.

    In a box they run through the whole body, so that density times area is that of a section along z.

    Raises:
        CaseError: If there would be no line, or not enough room.
    """
    ensemble, domain, key = case.ensembles[index], case.domain, f"ensembles.{index}"
    if not isinstance(domain, Rectangle | Box):
        return ()
    area = phase_area(domain, ensemble.phase)
    count = round(min(ensemble.density * area, 2.0 * MOST))
    if count < 1:
        where = f"the phase {ensemble.phase}" if ensemble.phase else "the body"
        raise CaseError(
            f"{key}.density", f"{ensemble.density:.6g} 1/m^2",
            f"{where} of {area:.6g} m^2 holds {ensemble.density * area:.3g} lines, so that there is none",
            f"at least {1.0 / area:.4g} 1/m^2",
        )  # fmt: skip
    if count > MOST:
        raise CaseError(
            f"{key}.density", f"{ensemble.density:.6g} 1/m^2",
            f"these are {ensemble.density * area:.3g} lines", f"at most {MOST} lines: {MOST / area:.4g} 1/m^2",
        )  # fmt: skip
    rng = np.random.default_rng(ensemble.seed)
    places = _places(domain, ensemble, count, rng, key)
    angles = np.deg2rad(rng.choice(np.array(ensemble.angles), size=count))
    signs = np.full(count, -1.0 if ensemble.signs == "negative" else 1.0)
    if ensemble.signs == "mixed":
        signs[(count + 1) // 2 :] = -1.0
        signs = rng.permutation(signs)
    made = []
    for place, angle, sign in zip(places, angles, signs, strict=True):
        position = turned(domain, place)
        b = float(sign) * ensemble.burgers
        burgers: tuple[float, ...] = (b * math.cos(angle), b * math.sin(angle))
        if isinstance(domain, Box):
            position, burgers = (*position, domain.center[2]), (*burgers, 0.0)
        made.append(Dislocation(position=position, burgers=burgers, core=ensemble.core, phase=ensemble.phase))
    return tuple(made)


def phase_area(domain: Rectangle | Box, phase: str) -> float:
    """Area of a phase in the xy plane, m^2; in a box, of what no sphere of another phase covers. All if no name."""
    if not phase:
        return domain.size[0] * domain.size[1]
    area = 0.0
    for low, high, material in runs(domain):
        inside = [c for c in domain.inclusions if low < c.center[1] < high and c.material != material]
        if material == phase:
            area += (high - low) * domain.size[0] - sum(math.pi * c.radius**2 for c in inside)
        elif isinstance(domain, Rectangle):
            area += sum(math.pi * c.radius**2 for c in inside if c.material == phase)
    return area


def _places(
    domain: Rectangle | Box, ensemble: Ensemble, count: int, rng: np.random.Generator, key: str
) -> list[tuple[float, float]]:
    """Points one after the other, each kept if it is far enough from edges and from those before it."""
    low = [c - 0.5 * s for c, s in zip(domain.center[:2], domain.size[:2], strict=True)]
    width = domain.size[0] if "x" in domain.periodic else math.inf
    cell = ensemble.core
    grid: dict[tuple[int, int], list[tuple[float, float]]] = {}
    places: list[tuple[float, float]] = []
    for _ in range(_TRIES * count):
        x, y = (float(v) for v in np.array(low) + np.array(domain.size[:2]) * rng.random(2))
        if not _inside(domain, ensemble, x, y):
            continue
        images = [x] if math.isinf(width) else [x - width, x, x + width]
        if any(
            math.dist((at, y), other) < ensemble.core
            for at in images
            for i in (-1, 0, 1)
            for j in (-1, 0, 1)
            for other in grid.get((math.floor(at / cell) + i, math.floor(y / cell) + j), ())
        ):
            continue
        grid.setdefault((math.floor(x / cell), math.floor(y / cell)), []).append((x, y))
        places.append((x, y))
        if len(places) == count:
            return places
    raise CaseError(
        f"{key}.core", pretty(ensemble.core, "m"),
        f"only {len(places)} of {count} lines find a place with a distance of one core to each other and to the edges",
        "a smaller core or density",
    )  # fmt: skip


def _inside(domain: Rectangle | Box, ensemble: Ensemble, x: float, y: float) -> bool:
    """Whether a point of the xy plane lies in the phase, a core width from where it ends."""
    core, phase = ensemble.core, ensemble.phase
    across = 0.5 * domain.size[0] - abs(x - domain.center[0])
    if across < core and "x" not in domain.periodic:
        return False
    top = 0.5 * domain.size[1] - abs(y - domain.center[1])
    if not phase:
        return top >= core
    for inclusion in domain.inclusions:
        depth = inclusion.radius - math.dist((x, y), inclusion.center[:2])
        if inclusion.material == phase and depth >= core and isinstance(domain, Rectangle):
            return True
        if inclusion.material != phase and depth > -core:
            return False
    return any(span.material == phase and span.low + core <= y <= span.high - core for span in runs(domain))
