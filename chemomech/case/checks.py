"""What the parts of a case demand of each other, checked before any mesh is made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from chemomech import expressions
from chemomech.case.checking import Errors, components, unknown_material, vector
from chemomech.case.grain_boundaries import grain_boundary_problems
from chemomech.case.grain_checks import grain_domain_problems
from chemomech.case.grains import MeasuredMap
from chemomech.case.layer_checks import boundary_problems, domain_problems, place_problems
from chemomech.case.misfit_checks import misfit_problems
from chemomech.case.parts import FRACTION, Box, Dislocation, MeshFile, Rectangle
from chemomech.case.sources import source_problems
from chemomech.errors import CaseError
from chemomech.frozen import Invalid, did_you_mean, listing
from chemomech.materials.laws import GAS_CONSTANT, Cubic, Material
from chemomech.units import pretty

if TYPE_CHECKING:
    from chemomech.case.case import Case

SIDES: Final = {
    "rectangle": ("left", "right", "bottom", "top"),
    "box": ("left", "right", "bottom", "top", "back", "front"),
    "ebsd": ("left", "right", "bottom", "top", "free"),
}
_DIGITS: Final = 1e-6


def problems(case: Case) -> Errors:
    """Everything that is wrong with a case whose parts are valid one by one."""
    yield from _materials(case)
    wrong = [*_domain(case), *domain_problems(case), *grain_domain_problems(case)]
    if not wrong:
        wrong = [*misfit_problems(case)]
    yield from wrong
    dislocations = case.dislocations if wrong else case.all_dislocations
    if not wrong:
        yield from _mesh(case, dislocations)
    for i, dislocation in enumerate(case.dislocations):
        yield from _dislocation(case, f"dislocations.{i}", dislocation, placed=not wrong)
    yield from _boundaries(case, dislocations)
    yield from grain_boundary_problems(case)
    yield from _initial(case)
    yield from _time(case)


def _materials(case: Case) -> Errors:
    if not case.materials:
        yield CaseError("materials", None, "there is no material", "at least one, such as [materials.llzo]")
    for name, material in case.materials.items():
        key = f"materials.{name}"
        if not name or "." in name:
            yield CaseError(key, None, "a dot can't stand in a name", "a name of letters, digits, - and _")
        if material.mobility == "paper":
            yield from _paper_mobility(case, key, material)


def _paper_mobility(case: Case, key: str, material: Material) -> Errors:
    from chemomech.materials.orientation import chemical_stiffness

    rt = GAS_CONSTANT * case.temperature
    largest = 2.0 + chemical_stiffness(material) / (2.0 * rt)
    if not material.interaction < largest:
        yield CaseError(
            f"{key}.interaction",
            material.interaction,
            "with mobility = 'paper' the mobility D0/(RT (1/(c(1-c)) - 2 chi) + c_max Omega:C:Omega/9) "
            "is not positive for every c, first at c = 0.5",
            f"a number below {largest:.6g} at this temperature, or mobility = 'darken'",
        )


def _domain(case: Case) -> Errors:
    domain = case.domain
    if isinstance(domain, MeshFile):
        for group, name in domain.materials.items():
            if name not in case.materials:
                yield unknown_material(f"domain.materials.{group}", name, case)
    elif not isinstance(domain, Rectangle | Box) or domain.layers:
        pass
    elif case.materials and not domain.material:
        yield CaseError("domain.material", None, "is missing, and there are several", listing(case.materials))
    elif case.materials and domain.material not in case.materials:
        yield unknown_material("domain.material", domain.material, case)
    if case.plane == "stress" and case.dimension == 3:
        yield CaseError("plane", case.plane, "a box is computed in three dimensions", "no plane, or a rectangle")


def _adapt(case: Case, dislocations: Sequence[Dislocation]) -> Errors:
    if case.mesh.adapt is None:
        return
    if isinstance(case.domain, MeshFile):
        yield CaseError(
            "mesh.adapt",
            None,
            "a mesh that is read from a file can't be made anew",
            "a rectangle or a box, or no adapt",
        )
    elif case.mesh.structured:
        yield CaseError(
            "mesh.adapt", None, "right-angled cells have one size everywhere", "structured = false, or no adapt"
        )
    slipped = [d for d in dislocations if d.eigenstrain == "slip"]
    if slipped:
        yield CaseError(
            "mesh.adapt",
            None,
            f"{len(slipped)} of the dislocations have eigenstrain = 'slip', a strip that looks like an error",
            "eigenstrain = 'elastic', or no adapt",
        )


def _mesh(case: Case, dislocations: Sequence[Dislocation]) -> Errors:
    yield from _adapt(case, dislocations)
    if not dislocations:
        return
    smallest = min(dislocation.core for dislocation in dislocations)
    name = "size" if case.mesh.structured else "core_size"
    size = getattr(case.resolved_mesh, name)
    if size is not None and size > smallest * (1.0 + _DIGITS):
        chosen = "" if getattr(case.mesh, name) is not None else ", taken because none is given,"
        yield CaseError(
            f"mesh.{name}",
            pretty(size, "m"),
            f"this size{chosen} does not resolve the dislocation core of {pretty(smallest, 'm')}",
            f"at most {pretty(smallest, 'm')}, better {pretty(smallest / 4.0, 'm')}",
        )


def _dislocation(case: Case, key: str, dislocation: Dislocation, placed: bool) -> Errors:
    wrong = [
        *components(case, f"{key}.position", dislocation.position, "lengths such as '1 nm'"),
        *components(case, f"{key}.burgers", dislocation.burgers, "lengths such as '1 nm'"),
        *components(case, f"{key}.normal", dislocation.normal or dislocation.burgers, "numbers"),
    ]
    if case.dimension is None and len(dislocation.position) != len(dislocation.burgers):
        count = len(dislocation.position)
        wrong.append(
            CaseError(f"{key}.burgers", None, f"has not the {count} components of position", f"{count} lengths")
        )
    if wrong:
        yield wrong[0]
        return
    yield from _slip_system(key, dislocation)
    if placed:
        yield from place_problems(case, key, dislocation)


def _slip_system(key: str, dislocation: Dislocation) -> Errors:
    pad = (0.0,) * (3 - len(dislocation.burgers))
    b = np.array([*dislocation.burgers, *pad])
    line = np.array(dislocation.line)
    flat = len(dislocation.burgers) == 2
    if flat and (line[0] or line[1] or line[2] < 0.0):
        yield CaseError(f"{key}.line", dislocation.line, "in 2D the line runs along z", "[0, 0, 1], or leave it out")
        return
    if abs(b @ line) > _DIGITS * np.linalg.norm(b) * np.linalg.norm(line):
        yield CaseError(
            f"{key}.burgers",
            vector(dislocation.burgers),
            "the Burgers vector is not perpendicular to the line, so that this is no edge dislocation",
            f"a vector perpendicular to line = {list(dislocation.line)}",
        )
        return
    if dislocation.normal is None:
        return
    normal = np.array([*dislocation.normal, *pad])
    if abs(b @ normal) > _DIGITS * np.linalg.norm(b) * np.linalg.norm(normal):
        yield CaseError(
            f"{key}.burgers",
            vector(dislocation.burgers),
            "the Burgers vector is not in the slip plane",
            f"a vector perpendicular to normal = {list(dislocation.normal)}",
        )
    elif abs(line @ normal) > _DIGITS * np.linalg.norm(line) * np.linalg.norm(normal):
        yield CaseError(
            f"{key}.normal",
            list(dislocation.normal),
            "the line is not in the slip plane",
            f"a direction perpendicular to line = {list(dislocation.line)}",
        )


def _boundaries(case: Case, dislocations: Sequence[Dislocation]) -> Errors:
    names = SIDES.get(case.domain.shape)
    if case.domain.shape == "polycrystal":
        names = SIDES["rectangle" if case.dimension == 2 else "box"]
    outer = case.boundaries.get("outer")
    for name, boundary in case.boundaries.items():
        key = f"boundaries.{name}"
        if names is not None and name not in (*names, "outer"):
            yield CaseError(
                key,
                None,
                f"a {case.domain.shape} has no boundary '{name}'{did_you_mean(name, (*names, 'outer'))}",
                f"{listing((*names, 'outer'))} (outer is the whole exterior)",
            )
        along_z = boundary.displacement is not None and boundary.displacement.z is not None
        if case.dimension == 2 and case.plane == "stress" and along_z:
            yield CaseError(
                f"{key}.displacement.z",
                None,
                "in plane stress every point moves freely along z",
                "x and y, or plane = 'strain'",
            )
        if isinstance(boundary.traction, tuple):
            yield from components(case, f"{key}.traction", boundary.traction, "pressures such as '10 MPa'")
        elif boundary.traction == "dislocations":
            yield from _dislocation_traction(case, f"{key}.traction", dislocations)
        yield from boundary_problems(case, name, boundary)
        yield from source_problems(case, name, boundary.source)
        turned = isinstance(case.domain, Rectangle) and abs(math.remainder(case.domain.rotation, 90.0)) > 1e-9
        if boundary.roller and turned:
            yield CaseError(
                f"{key}.roller",
                True,
                "the rotated boundary is along no coordinate plane",
                "a rotation of 0, 90 ... deg",
            )
        if boundary.chemical and case.mode == "equilibrium":
            yield CaseError(
                f"{key}.{boundary.chemical[0]}",
                None if boundary.source is not None else getattr(boundary, boundary.chemical[0]),
                "in equilibrium a body has one reservoir, which no single boundary owns",
                "[equilibrium] with chemical_potential or concentration for an open body, nothing for a closed one",
            )
        if outer is not None and boundary is not outer:
            twice = set(boundary.chemical) and set(outer.chemical)
            if twice or (boundary.displacement is not None and outer.displacement is not None):
                field = boundary.chemical[0] if twice else "displacement"
                yield CaseError(
                    f"{key}.{field}",
                    None,
                    "boundaries.outer already holds here, being the whole exterior",
                    "one of them",
                )


def _dislocation_traction(case: Case, key: str, dislocations: Sequence[Dislocation]) -> Errors:
    allowed = "a list of pressures, or 'dislocations' in an isotropic body with dislocations"
    if not dislocations:
        yield CaseError(key, "dislocations", "there are no dislocations", allowed)
    stiffness = [material.elasticity for material in case.used_materials.values()]
    if any(isinstance(elasticity, Cubic) for elasticity in stiffness):
        yield CaseError(key, "dislocations", "the closed form holds for isotropic elasticity only", allowed)
    elif any(elasticity != stiffness[0] for elasticity in stiffness):
        yield CaseError(key, "dislocations", "the closed form holds for one stiffness in the whole body", allowed)


def _initial(case: Case) -> Errors:
    given = case.initial.concentration
    if isinstance(given, dict):
        for name in given:
            if name not in case.materials:
                yield unknown_material(f"initial.concentration.{name}", name, case)
    for name, material in case.used_materials.items():
        without = given is None or (isinstance(given, dict) and name not in given)
        if without and material.reference_concentration in (0.0, 1.0):
            yield CaseError(
                "initial.concentration",
                None,
                f"is missing, and the reference concentration {material.reference_concentration:g} of {name} "
                "is no state to start from",
                FRACTION,
            )
    formulas = given.items() if isinstance(given, dict) else [("", given)]
    for name, formula in formulas:
        if isinstance(formula, str):
            key = f"initial.concentration.{name}" if name else "initial.concentration"
            yield from _formula(case, key, formula)


def _formula(case: Case, key: str, formula: str) -> Errors:
    """The range of a formula, sampled on the body; the nodes of the mesh are looked at when they are known."""
    if isinstance(case.domain, MeshFile | MeasuredMap):
        return
    axes = [s * np.linspace(-0.5, 0.5, 13) for s in case.domain.size]
    points = np.stack([grid.ravel() for grid in np.meshgrid(*axes, indexing="ij")])
    if isinstance(case.domain, Rectangle):
        angle = math.radians(case.domain.rotation)
        cos, sin = math.cos(angle), math.sin(angle)
        points = np.array([[cos, -sin], [sin, cos]]) @ points
    points += np.array(case.domain.center)[:, None]
    try:
        values = expressions.evaluate(formula, points)
    except Invalid as error:
        yield CaseError(key, formula, error.problem, error.allowed)
        return
    worst = int(np.argmax(np.abs(values - 0.5)))
    if not 0.0 < values[worst] < 1.0:
        yield CaseError(
            key,
            formula,
            f"the formula gives {values[worst]:.6g} at {vector(points[:, worst])}",
            "a formula with values in (0, 1) everywhere in the body",
        )


def _time(case: Case) -> Errors:
    time = case.time
    if case.mode == "transient" and time.end is None:
        yield CaseError(
            "time.end", None, "is missing in a transient case", "a time such as '1 ms', or mode = 'equilibrium'"
        )
    low, high = time.minimum_step, time.maximum_step
    if low is not None and high is not None and low > high:
        yield CaseError(
            "time.minimum_step",
            pretty(low, "s"),
            f"the smallest step is larger than the largest, maximum_step = {pretty(high, 's')}",
            f"at most {pretty(high, 's')}",
        )
    if case.mode == "transient" and time.end is not None:
        for i, moment in enumerate(case.output.times):
            if moment > time.end * (1.0 + 1e-12):
                yield CaseError(
                    f"output.times.{i}",
                    pretty(moment, "s"),
                    "this time is never reached",
                    f"times up to time.end = {pretty(time.end, 's')}",
                )
