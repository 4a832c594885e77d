"""A polycrystal as a gmsh file that a case can use, its grains and boundaries by name, and a picture of it.

    python meshes/polycrystal.py film.msh --size 20 5 --mean-size 1.5 --columnar y --edges 0.2

Lengths are in um; the file is in m. `--by class` names cells by phase and boundaries by class (HAGB, LAGB, twin);
`--by grain` names every grain and every boundary.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import chemomech as cm


def main() -> None:
    """Read the command line, write the mesh and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="a .msh or .vtu file")
    parser.add_argument("--size", type=float, nargs="+", default=[10.0, 10.0], help="edges of the body, two or three")
    parser.add_argument("--mean-size", type=float, default=2.0, help="mean diameter of grains")
    parser.add_argument("--spread", type=float, help="log-normal width of the diameters; Voronoi grains if not given")
    parser.add_argument("--lloyd", type=int, default=2, help="steps of relaxation towards round grains")
    parser.add_argument("--columnar", choices=("x", "y", "z"), help="axis along which boundaries run straight")
    parser.add_argument("--edges", type=float, default=0.3, help="length of the edges of cells")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--phase", default="silver", help="name of the phase, which a case takes for the material")
    parser.add_argument("--by", choices=("class", "phase", "grain"), default="class")
    given = parser.parse_args()
    structure = cm.polycrystal(
        len(given.size), [f"{x} um" for x in given.size], mean_size=f"{given.mean_size} um", spread=given.spread,
        lloyd=given.lloyd, columnar=given.columnar, seed=given.seed, phase=given.phase,
    )  # fmt: skip
    mesh = cm.mesh_grains(structure, 1e-6 * given.edges)
    mesh.save(given.path, given.by)
    from chemomech.microstructure.plots import overview

    overview(structure, given.path.with_suffix(".png"), title=given.path.stem)
    print(f"{len(structure)} grains, {len(mesh.cells)} cells, worst shape {mesh.quality().worst:.2f}: {given.path}")


if __name__ == "__main__":
    main()
