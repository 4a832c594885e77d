"""What misfits and ensembles demand, checked before any mesh is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chemomech.case.checking import Errors, unknown_material
from chemomech.case.misfit import Ensemble, Misfit, MisfitArray
from chemomech.case.parts import Box, MeshFile, Rectangle
from chemomech.case.random_lines import phase_area
from chemomech.case.regions import NEAR, contacts, runs
from chemomech.errors import CaseError
from chemomech.frozen import listing
from chemomech.units import pretty

if TYPE_CHECKING:
    from chemomech.case.case import Case


def misfit_problems(case: Case) -> Errors:
    """Everything that keeps misfits and ensembles from being made into dislocations."""
    seen: dict[str, int] = {}
    wrong = False
    for i, misfit in enumerate(case.misfits):
        for error in _misfit(case, f"misfits.{i}", misfit, seen):
            wrong = True
            yield error
        seen.setdefault(misfit.phase, i)
    for i, ensemble in enumerate(case.ensembles):
        for error in _ensemble(case, f"ensembles.{i}", ensemble):
            wrong = True
            yield error
    if wrong:
        return
    try:
        _ = case.all_dislocations
    except CaseError as error:
        yield error


def _misfit(case: Case, key: str, misfit: Misfit, seen: dict[str, int]) -> Errors:
    for field in ("phase", "substrate"):
        name = getattr(misfit, field)
        if name not in case.materials:
            yield unknown_material(f"{key}.{field}", name, case)
            return
        if name not in case.used_materials:
            yield CaseError(f"{key}.{field}", name, "the body has no such phase", listing(case.used_materials))
            return
    if misfit.phase == misfit.substrate:
        yield CaseError(f"{key}.substrate", misfit.substrate, "a phase fits to itself", "another material")
        return
    if misfit.phase in seen:
        yield CaseError(
            f"{key}.phase", misfit.phase, f"misfits.{seen[misfit.phase]} already says how this phase is strained",
            "one misfit per strained phase",
        )  # fmt: skip
    if isinstance(case.domain, Rectangle) and case.domain.rotation:
        yield CaseError(
            "domain.rotation", f"{case.domain.rotation:.6g} deg", "a misfit lies in a plane normal to y",
            "0 deg, or leave it out",
        )  # fmt: skip
    if misfit.out_of_plane != "array" and isinstance(case.domain, Box):
        yield CaseError(
            f"{key}.out_of_plane", misfit.out_of_plane, "in a box the strain along z is that along x", "leave it out"
        )
    if not _touch(case, misfit):
        yield CaseError(
            f"{key}.substrate", misfit.substrate, f"{misfit.phase} and {misfit.substrate} touch nowhere",
            "two phases that are neighbours",
        )  # fmt: skip
        return
    try:
        strain = misfit.elastic_strain(case.materials)
    except CaseError as error:
        where = error.key if error.key.startswith("materials.") else f"{key}.{error.key}"
        yield CaseError(where, error.value, error.problem, error.allowed)
        return
    if misfit.array is not None:
        yield from _array(case, f"{key}.array", misfit, misfit.array, strain)


def _touch(case: Case, misfit: Misfit) -> bool:
    domain = case.domain
    if not isinstance(domain, Rectangle | Box) or contacts(domain, misfit):
        return True
    pair = {misfit.phase, misfit.substrate}
    return any(
        {inclusion.material, span.material} == pair and span.low < inclusion.center[1] < span.high
        for inclusion in domain.inclusions
        for span in runs(domain)
    )


def _array(case: Case, key: str, misfit: Misfit, array: MisfitArray, strain: float) -> Errors:
    domain = case.domain
    faces = contacts(domain, misfit)
    if not isinstance(domain, Rectangle | Box) or not faces:
        body = "a mesh file" if isinstance(domain, MeshFile) else "an inclusion"
        yield CaseError(
            key, None, f"an array lies in a flat interface between layers, which {body} does not have",
            "dislocations one by one, or domain.layers",
        )  # fmt: skip
        return
    if strain == 0.0:
        yield CaseError(
            key, None, "the misfit is zero, so that there is nothing to take up", "a misfit with a strain, or no array"
        )
    if array.burgers is None and case.materials[misfit.phase].lattice_constant is None:
        yield CaseError(
            f"{key}.burgers", None, f"is missing, and {misfit.phase} has no lattice_constant to take instead",
            "a length such as '0.351 nm'",
        )  # fmt: skip
    if isinstance(domain, Rectangle) and "z" in array.directions:
        yield CaseError(f"{key}.directions", list(array.directions), "a 2D body has no lines across z", "['x']")
    thinnest = min(face.depth for face in faces)
    if not 0.0 <= array.offset < thinnest * (1.0 - NEAR):
        where = f"in {misfit.substrate}" if array.offset < 0.0 else f"beyond {misfit.phase}"
        yield CaseError(
            f"{key}.offset", pretty(array.offset, "m"),
            f"the dislocations would lie on the wrong side, {where}: the offset counts from the interface into "
            f"{misfit.phase}, which is {pretty(thinnest, 'm')} thick",
            f"a length from 0 up to less than {pretty(thinnest, 'm')}",
        )  # fmt: skip


def _ensemble(case: Case, key: str, ensemble: Ensemble) -> Errors:
    domain = case.domain
    if not isinstance(domain, Rectangle | Box):
        yield CaseError(key, None, "the area of a mesh file is not known here", "a rectangle or a box")
        return
    if not ensemble.phase:
        return
    if ensemble.phase not in case.materials:
        yield unknown_material(f"{key}.phase", ensemble.phase, case)
    elif ensemble.phase not in case.used_materials:
        yield CaseError(f"{key}.phase", ensemble.phase, "the body has no such phase", listing(case.used_materials))
    elif not phase_area(domain, ensemble.phase) > 0.0:
        yield CaseError(
            f"{key}.phase", ensemble.phase, "no straight line runs through the body inside this phase",
            "a phase that is a layer",
        )  # fmt: skip
