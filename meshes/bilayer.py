"""Two layers, one on the other, as a gmsh file that a case can use: phases and boundaries by name.

    python meshes/bilayer.py bilayer.msh --lower hard --upper soft --width 10 --heights 10 10 --size 1

Lengths are in nm; say so in the case:

    [domain]
    path = "bilayer.msh"
    length_unit = "1 nm"
"""

from __future__ import annotations

import argparse
from pathlib import Path


def bilayer(path: Path, lower: str, upper: str, width: float, heights: tuple[float, float], size: float) -> None:
    """Write the mesh; its boundaries are ``bottom``, ``top``, ``left`` and ``right``."""
    import gmsh

    gmsh.initialize(interruptible=False)
    try:
        gmsh.option.setNumber("General.Verbosity", 1)
        model, occ = gmsh.model, gmsh.model.occ
        total = sum(heights)
        below = occ.addRectangle(0, 0, 0, width, heights[0])
        above = occ.addRectangle(0, heights[0], 0, width, heights[1])
        occ.fragment([(2, below)], [(2, above)])
        occ.synchronize()
        for _, surface in model.getEntities(2):
            name = lower if occ.getCenterOfMass(2, surface)[1] < heights[0] else upper
            model.addPhysicalGroup(2, [surface], name=name)
        sides: dict[str, list[int]] = {"bottom": [], "top": [], "left": [], "right": []}
        for _, curve in model.getEntities(1):
            x, y, _ = occ.getCenterOfMass(1, curve)
            at = {"bottom": abs(y), "top": abs(y - total), "left": abs(x), "right": abs(x - width)}
            nearest = min(at, key=at.__getitem__)
            if at[nearest] < 1e-6 * total:
                sides[nearest].append(curve)
        for name, curves in sides.items():
            model.addPhysicalGroup(1, curves, name=name)
        gmsh.option.setNumber("Mesh.MeshSizeMax", size)
        model.mesh.generate(2)
        gmsh.write(str(path))
    finally:
        gmsh.finalize()


def main() -> None:
    """Read the command line and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--lower", default="lower", help="name of the lower phase")
    parser.add_argument("--upper", default="upper", help="name of the upper phase")
    parser.add_argument("--width", type=float, default=10.0)
    parser.add_argument("--heights", type=float, nargs=2, default=(10.0, 10.0), metavar=("LOWER", "UPPER"))
    parser.add_argument("--size", type=float, default=1.0, help="size of the cells")
    given = parser.parse_args()
    bilayer(given.path, given.lower, given.upper, given.width, (given.heights[0], given.heights[1]), given.size)


if __name__ == "__main__":
    main()
