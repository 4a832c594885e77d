"""What a body of grains demands of the other parts, and what only such a body can have."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chemomech.case.checking import Errors, unknown_material
from chemomech.case.grain_boundaries import DEFAULT
from chemomech.case.grains import CLASSES, MeasuredMap, Polycrystal
from chemomech.case.parts import MeshFile
from chemomech.errors import CaseError
from chemomech.frozen import did_you_mean, listing
from chemomech.units import pretty

if TYPE_CHECKING:
    from chemomech.case.case import Case

_NEAR: Final = 1e-9
_WORDS: Final = {
    "core_size": "there are no dislocation cores among grains",
    "interface_size": "a body of grains has boundaries, not layers",
    "structured": "right-angled cells can't follow grain boundaries",
    "adapt": "grains are not meshed anew",
}


def grain_domain_problems(case: Case) -> Errors:
    """Words for grains where there are none, and words that do not fit to grains."""
    domain, mesh = case.domain, case.mesh
    if not isinstance(domain, Polycrystal | MeasuredMap):
        for key in ("boundary_size", "layers"):
            if getattr(mesh, key) is not None:
                what = "a mesh file is read as it is" if isinstance(domain, MeshFile) else "there are no grains"
                yield CaseError(f"mesh.{key}", None, what, "shape = 'polycrystal' or 'ebsd', or leave it out")
        return
    for key, problem in _WORDS.items():
        if getattr(mesh, key):
            yield CaseError(f"mesh.{key}", None, problem, "size, boundary_size, layers and growth, or leave it out")
    for key in ("dislocations", "misfits", "ensembles"):
        if getattr(case, key):
            yield CaseError(
                key, None, "dislocations and misfits are computed in bodies of one orientation, not among grains",
                "none, or a rectangle, a box or a mesh file",
            )  # fmt: skip
    for name in case.grain_boundaries:
        if name != DEFAULT and not any(fnmatchcase(known, name) for known in CLASSES):
            yield CaseError(
                f"grain_boundaries.{name}", None, f"no class of grain boundaries{did_you_mean(name, CLASSES)}",
                listing((*CLASSES, DEFAULT)),
            )  # fmt: skip
    if isinstance(domain, Polycrystal):
        yield from _polycrystal(case, domain)
    else:
        yield from _map(case, domain)
    size = case.resolved_mesh.size
    if size is not None and mesh.boundary_size is not None and mesh.boundary_size > size * (1.0 + _NEAR):
        yield CaseError(
            "mesh.boundary_size", pretty(mesh.boundary_size, "m"), "cells can't be larger at boundaries than inside",
            f"at most {pretty(size, 'm')}, the size inside",
        )  # fmt: skip
    if mesh.layers is not None and case.dimension == 3:
        yield CaseError("mesh.layers", None, "thin layers are made in 2D only", "boundary_size in a body in space")


def _polycrystal(case: Case, domain: Polycrystal) -> Errors:
    if case.materials and not domain.material:
        yield CaseError("domain.material", None, "is missing, and there are several", listing(case.materials))
    elif case.materials and domain.material not in case.materials:
        yield unknown_material("domain.material", domain.material, case)
    if domain.grain_size is not None and domain.grain_size > 2.0 * max(domain.size):
        yield CaseError(
            "domain.grain_size", pretty(domain.grain_size, "m"), "a grain would be larger than the body",
            "a smaller grain, or kind = 'single'",
        )  # fmt: skip
    size = case.mesh.size
    if size is not None and size > domain.diameter:
        yield CaseError(
            "mesh.size", pretty(size, "m"), "a cell would be larger than a grain",
            f"at most {pretty(domain.diameter, 'm')}, better {pretty(domain.diameter / 6.0, 'm')}",
        )  # fmt: skip


def _map(case: Case, domain: MeasuredMap) -> Errors:
    for phase, name in domain.materials.items():
        if name not in case.materials:
            yield unknown_material(f"domain.materials.{phase}", name, case)
    if domain.path and not Path(domain.path).is_file():
        yield CaseError("domain.path", domain.path, "there is no such file", "the path of an .ang, .ctf or HDF5 file")
