"""Draws docs/figures/adapt.png: errors of equal, graded and adapted cells around one dislocation; prints the numbers.

./chemomech-env python docs/make_adapt_figure.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from mpi4py import MPI

import chemomech as cm
from chemomech.adapt import adapted
from chemomech.analysis.recovery import estimate, gather_cells
from chemomech.defects.dislocations import infinite_medium_stress
from chemomech.defects.simplex import _RULES
from chemomech.drawing import DPI, FONT, INK
from chemomech.materials.orientation import VOIGT
from chemomech.meshing.arrays import MeshArrays, measures
from chemomech.simulation import Simulation

OUT = Path(__file__).resolve().parent / "figures" / "adapt.png"
NM = 1e-9
CASE: dict[str, Any] = {
    "mode": "equilibrium",
    "domain": {"size": [60 * NM, 60 * NM]},
    "materials": {
        "llzo": {
            "elasticity": {"youngs_modulus": 149.8e9, "poissons_ratio": 0.257},
            "partial_molar_volume": 0.0,
            "reference_concentration": 0.5,
            "maximum_concentration": 42522.0,
            "diffusivity": 3e-13,
        }
    },
    "dislocations": [{"position": [0.0, 0.0], "burgers": [1.124 * NM, 0.0], "core": NM}],
    "boundaries": {"outer": {"traction": "dislocations"}},
}


def exact_peak(case: cm.Case) -> float:
    y = np.linspace(-2.0, 0.0, 200_001) * NM
    points = np.column_stack([0.0 * y, y])
    stress = infinite_medium_stress(cm.lines(case), case.materials["llzo"].elasticity, points)  # type: ignore[arg-type]
    return float(np.trace(stress, axis1=1, axis2=2).max() / 3)


def measured(case: cm.Case, mesh: MeshArrays | None = None) -> dict[str, float]:
    """Unknowns, relative error in energy norm, effectivity of its estimate, relative error of the peak."""
    simulation = Simulation(case, MPI.COMM_WORLD, mesh, given=mesh is not None)
    simulation.begin()
    simulation.equilibrate()
    state, arrays = gather_cells(simulation.physics, simulation.derived), simulation.arrays
    assert state is not None and arrays is not None
    found = estimate(arrays, state)
    points, weights = _RULES[3]
    at = np.einsum("qk,mkd->mqd", points, arrays.points[arrays.cells])
    medium: Any = case.materials["llzo"].elasticity
    wanted = infinite_medium_stress(cm.lines(case), medium, at.reshape(-1, 3)).reshape(*at.shape[:2], 3, 3)
    error = np.stack([wanted[..., i, j] for i, j in VOIGT], axis=-1) - state.stress[:, None]
    squares = np.einsum("mqi,ij,mqj,q->m", error, state.compliance[1], error, weights)
    total = float(squares @ np.abs(measures(arrays.points, arrays.cells)))
    unknowns = simulation.solver.system.dofs()
    simulation.destroy()
    return {
        "unknowns": unknowns,
        "norm": float(np.sqrt(0.5 * total / found.energy)),
        "effectivity": float(np.sqrt(found.squares.sum() / total)),
        "peak": abs(found.peaks[0].found / exact_peak(case) - 1.0),
    }


def adapted_to(quantity: str, tolerance: float) -> tuple[cm.Case, MeshArrays, list[dict[str, Any]]]:
    rules = {"quantity": quantity, "tolerance": tolerance, "max_unknowns": 400_000}
    case = cm.Case.model_validate({**CASE, "mesh": {"size": 5 * NM, "core_size": NM, "adapt": rules}})
    mesh, about = adapted(case, MPI.COMM_WORLD, lambda comm, text: None)
    assert mesh is not None
    return case, mesh, about["adapt_cycles"]


def main() -> None:
    """Compute, print and draw."""
    uniform = [
        measured(cm.Case.model_validate({**CASE, "mesh": {"size": h * NM, "structured": True}}))
        for h in (1.0, 0.5, 0.25, 0.125)
    ]
    graded = [
        measured(cm.Case.model_validate({**CASE, "mesh": {"size": 12 * h * NM, "core_size": h * NM}}))
        for h in (0.5, 0.25, 0.125, 0.0625)
    ]
    by_energy = [adapted_to("energy", t)[:2] for t in (3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4)]
    case, mesh, _ = adapted_to("peak_stress", 1e-2)
    *_, cycles = adapted_to("peak_stress", 5e-4)
    peak = exact_peak(case)
    by_peak = [
        {
            "unknowns": row["unknowns"],
            "peak": abs(row["hydrostatic_stress_peak_Pa"] / peak - 1.0),
            "estimate": row["estimate"],
        }
        for row in cycles
    ]
    series = {
        "equal cells": uniform,
        "graded by hand": graded,
        "adapted to the energy": [measured(*made) for made in by_energy],
        "adapted to the peak stress": by_peak,
    }
    for name, rows in series.items():
        for row in rows:
            print(f"{name:28s}", *(f"{key} {value:.4g}" for key, value in row.items()))
    print("mesh for 1 % of the peak:", measured(case, mesh))
    draw(series, mesh)


def draw(series: dict[str, list[dict[str, float]]], mesh: MeshArrays) -> None:
    colours = ("#888888", "#d98200", "#2a6fb0", "#b03a2e")
    with mpl.rc_context(FONT):
        figure = Figure(figsize=(12.6, 4.3), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(1, 3, width_ratios=(1.0, 1.0, 0.92))
        for ax, key in zip(axes, ("norm", "peak"), strict=False):
            for (name, rows), colour, mark in zip(series.items(), colours, "s^ov", strict=True):
                if key not in rows[0]:
                    continue
                n, error = (np.array([row[k] for row in rows]) for k in ("unknowns", key))
                ax.loglog(n, 100 * error, mark + "-", color=colour, label=name, lw=1.4, ms=5)
            ax.set(xlabel="unknowns", xlim=(8e2, 2e6))
            ax.grid(which="major", color="#e4e4e4", lw=0.6)
        n = np.array([2e3, 3e5])
        axes[0].loglog(n, 100 * 2.6 / np.sqrt(n), "--", color=INK, lw=0.8)
        axes[0].annotate(
            "$N^{-1/2}$", (6e3, 100 * 2.6 / np.sqrt(6e3)), (-6, -14), textcoords="offset points", ha="right"
        )
        axes[0].set_title("a  error of the stress, energy norm (%)", loc="left", fontsize=10.5)
        axes[1].axhline(1.0, color=INK, lw=0.8, ls="--")
        axes[1].set_title("b  error of the largest hydrostatic stress (%)", loc="left", fontsize=10.5)
        figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=4)
        corners = mesh.points[mesh.cells][:, :, :2] / NM
        axes[2].add_collection(PolyCollection(list(corners), facecolors="none", edgecolors="#2a4d69", linewidths=0.35))
        axes[2].set(xlim=(-10, 10), ylim=(-10, 10), aspect="equal", xlabel="nm", yticks=[-10, -5, 0, 5, 10])
        axes[2].set_title("c  adapted to 1 % of the peak", loc="left", fontsize=10.5)
        figure.savefig(OUT)
    print(OUT)


if __name__ == "__main__":
    main()
