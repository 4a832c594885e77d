"""Versions of what a result depends on."""

from __future__ import annotations

import platform
from importlib import metadata

__version__ = "0.1.0"


def versions() -> dict[str, str]:
    """Name -> version of chemomech and the libraries that compute."""
    import dolfinx
    import numpy
    from petsc4py import PETSc

    def of(name: str) -> str:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return "unknown"

    return {
        "chemomech": __version__,
        "dolfinx": dolfinx.__version__,
        "petsc": ".".join(map(str, PETSc.Sys.getVersion())),
        "mpi4py": of("mpi4py"),
        "numpy": numpy.__version__,
        "gmsh": of("gmsh"),
        "python": platform.python_version(),
    }


def features() -> dict[str, str]:
    """What this installation can do, in words."""
    import os

    import numpy as np
    from dolfinx import jit
    from mpi4py import MPI
    from petsc4py import PETSc

    def has(name: str) -> str:
        return "yes" if PETSc.Sys.hasExternalPackage(name) else "no"

    return {
        "MUMPS": has("mumps"),
        "hypre": has("hypre"),
        "PETSc numbers": f"{np.dtype(PETSc.ScalarType).name}, {np.dtype(PETSc.IntType).name} indices",
        "MPI": MPI.Get_library_version().split("\n")[0].split(",")[0].rstrip("\x00"),
        "threads per rank": os.environ.get("OMP_NUM_THREADS", "not limited (set OMP_NUM_THREADS=1)"),
        "kernel cache": str(jit.get_options()["cache_dir"]),
    }
