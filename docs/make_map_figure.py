"""Draws docs/figures/map-and-mesh.png: a measured map and the mesh of it side by side.

./chemomech-env python docs/make_map_figure.py twins.ctf --size 0.6
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

import chemomech as cm
from chemomech.microstructure.maps import ipf_colours
from chemomech.microstructure.plots import map_panel

DOCS = Path(__file__).resolve().parent


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("map", type=Path)
    parser.add_argument("--size", type=float, default=0.6, help="length of edges, um")
    parser.add_argument("--out", type=Path, default=DOCS / "figures" / "map-and-mesh.png")
    given = parser.parse_args()
    made = cm.mesh_map(given.map, 1e-6 * given.size)
    figure = Figure(figsize=(12.0, 4.9), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    map_panel(left, made.measured)
    left.set_title(f"measured: {len(made.measured)} points", loc="left", fontsize=11)
    mesh = made.mesh
    grains = made.structure
    colours = ipf_colours(grains.orientations, grains.grain_phase, grains.point_groups)[mesh.cell_grain]
    corners = mesh.points[mesh.cells][:, :, :2]
    right.add_collection(PolyCollection(list(corners), facecolors=colours, edgecolors="#333333", linewidths=0.12))
    low, high = mesh.points[:, :2].min(axis=0), mesh.points[:, :2].max(axis=0)
    right.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]), xticks=[], yticks=[], aspect="equal")
    inner = mesh.facets[mesh.facet_boundary >= 0]
    for line in mesh.points[inner][:, :, :2]:
        right.plot(*line.T, color="black", lw=0.7)
    quality = mesh.quality()
    right.set_title(
        f"mesh: {len(made.structure)} grains, {len(mesh.cells)} triangles, worst shape {quality.worst:.2f}, "
        f"mean {quality.mean:.2f}", loc="left", fontsize=11,
    )  # fmt: skip
    given.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(given.out)
    print(given.out, np.abs(made.area_changes).max())


if __name__ == "__main__":
    main()
