"""Everything a user can say, as frozen and validated data; TOML is its written form."""

from chemomech.case.case import Case, builtin_cases
from chemomech.case.grains import BoundaryClasses, BoundaryLayers, GrainTexture, MadeMap, MeasuredMap, Polycrystal
from chemomech.case.layers import Inclusion, Layer
from chemomech.case.misfit import Ensemble, Misfit, MisfitArray
from chemomech.case.parts import (
    Adapt,
    Boundary,
    Box,
    Dislocation,
    Displacement,
    Domain,
    Equilibrium,
    Fraction,
    Initial,
    Mesh,
    MeshFile,
    Output,
    Rectangle,
    Solver,
    Time,
    Vector,
    inside_distance,
)
from chemomech.case.reading import builtin_names, parse_override
from chemomech.frozen import Frozen
from chemomech.materials.laws import Material

__all__ = [
    "Adapt",
    "Boundary",
    "BoundaryClasses",
    "BoundaryLayers",
    "Box",
    "Case",
    "Dislocation",
    "Displacement",
    "Domain",
    "Ensemble",
    "Equilibrium",
    "Fraction",
    "Frozen",
    "GrainTexture",
    "Inclusion",
    "Initial",
    "Layer",
    "MadeMap",
    "Material",
    "MeasuredMap",
    "Mesh",
    "MeshFile",
    "Misfit",
    "MisfitArray",
    "Output",
    "Polycrystal",
    "Rectangle",
    "Solver",
    "Time",
    "Vector",
    "builtin_cases",
    "builtin_names",
    "inside_distance",
    "parse_override",
]
