"""chemomech: lithium, stress and crystal defects in solid-state batteries.

The shortest program:

    import chemomech as cm

    case = cm.Case.load("llzo-edge-dislocation")
    result = cm.run(case.replace({"initial.concentration": 0.3}))
    result.evaluate("hydrostatic_stress", [[0.0, -1e-9]])
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from chemomech.versions import __version__

if TYPE_CHECKING:
    from chemomech.case import Case, builtin_cases, builtin_names
    from chemomech.defects.dislocations import infinite_medium_displacement, infinite_medium_stress, lines
    from chemomech.driver import run
    from chemomech.errors import CaseError, ChemomechError, ConvergenceError, OutputError, OutputExistsError
    from chemomech.materials.laws import Cubic, Isotropic, Material
    from chemomech.meshing.ebsd import mesh_map
    from chemomech.meshing.grains import mesh_grains
    from chemomech.microstructure.ebsd.reading import read_map
    from chemomech.microstructure.structure import Microstructure
    from chemomech.microstructure.voronoi import polycrystal
    from chemomech.result import Result
    from chemomech.simulation import Simulation
    from chemomech.sweep import Sweep, run_sweep

_HOME = {
    "Case": "chemomech.case",
    "builtin_cases": "chemomech.case",
    "builtin_names": "chemomech.case",
    "CaseError": "chemomech.errors",
    "ChemomechError": "chemomech.errors",
    "ConvergenceError": "chemomech.errors",
    "OutputError": "chemomech.errors",
    "OutputExistsError": "chemomech.errors",
    "Cubic": "chemomech.materials.laws",
    "Isotropic": "chemomech.materials.laws",
    "Material": "chemomech.materials.laws",
    "Microstructure": "chemomech.microstructure.structure",
    "mesh_grains": "chemomech.meshing.grains",
    "mesh_map": "chemomech.meshing.ebsd",
    "polycrystal": "chemomech.microstructure.voronoi",
    "read_map": "chemomech.microstructure.ebsd.reading",
    "infinite_medium_displacement": "chemomech.defects.dislocations",
    "infinite_medium_stress": "chemomech.defects.dislocations",
    "lines": "chemomech.defects.dislocations",
    "Result": "chemomech.result",
    "Simulation": "chemomech.simulation",
    "run": "chemomech.driver",
    "Sweep": "chemomech.sweep",
    "run_sweep": "chemomech.sweep",
}

__all__ = [
    "Case",
    "CaseError",
    "ChemomechError",
    "ConvergenceError",
    "Cubic",
    "Isotropic",
    "Material",
    "Microstructure",
    "OutputError",
    "OutputExistsError",
    "Result",
    "Simulation",
    "Sweep",
    "__version__",
    "builtin_cases",
    "builtin_names",
    "infinite_medium_displacement",
    "infinite_medium_stress",
    "lines",
    "mesh_grains",
    "mesh_map",
    "polycrystal",
    "read_map",
    "run",
    "run_sweep",
]


def __getattr__(name: str) -> Any:
    # Importing chemomech must not cost the seconds that its solver libraries take.
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'chemomech' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
