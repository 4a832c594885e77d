"""Short names for the types of arrays and of DOLFINx objects in real arithmetic; importing this costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from dolfinx import fem, mesh

type Array = npt.NDArray[np.float64]
type Ints = npt.NDArray[np.int32]  # local numbers: dofs, nodes, cells, tags
type Longs = npt.NDArray[np.int64]  # numbers in the whole mesh
type Flags = npt.NDArray[np.bool_]

# DOLFINx is looked up only when somebody asks what one of these stands for.
type Mesh = mesh.Mesh[np.float64]
type MeshTags = mesh.MeshTags
type FunctionSpace = fem.FunctionSpace[np.float64]
type Function = fem.Function[np.float64]
type Constant = fem.Constant[np.float64]
type DirichletBC = fem.DirichletBC[np.float64]
