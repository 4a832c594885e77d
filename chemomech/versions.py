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
