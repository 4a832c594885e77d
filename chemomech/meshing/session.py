"""A gmsh session with the settings of this package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def session(name: str) -> Iterator[Any]:
    """The gmsh module with an empty model; its errors are raised, and meshes are the same every time."""
    import gmsh

    gmsh.initialize(interruptible=False)
    try:
        gmsh.option.setNumber("General.Terminal", 0)  # its errors are raised
        gmsh.option.setNumber("General.NumThreads", 1)  # the same mesh every time
        gmsh.model.add(name)
        yield gmsh
    finally:
        gmsh.finalize()
