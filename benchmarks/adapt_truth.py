"""How true the errors of mesh.adapt are: each cycle against a mesh that is much finer.

    ./chemomech-env python benchmarks/adapt_truth.py [NAME]...

Prints the estimated over the true error of the energy and of the peak stress, for every mesh on the way.
"""

from __future__ import annotations

import sys
from typing import Any

from mpi4py import MPI

import chemomech as cm
from chemomech.adapt import adapted

NM = 1e-9
COARSE = {"mesh.size": 5 * NM, "mesh.core_size": NM}
PEAKS = ("hydrostatic_stress", "von_mises_stress")


def cases() -> dict[str, cm.Case]:
    llzo = cm.Case.load("llzo-edge-dislocation", {"mode": "equilibrium", **COARSE})
    surface = {"dislocations.0.position": [0.0, 26 * NM], "boundaries": {}, "materials.llzo.partial_molar_volume": 0.0}
    return {
        "surface": llzo.replace(surface),
        "lithium": llzo,
        "chi": llzo.replace({"materials.llzo.interaction": 1.8}),
        "open": cm.Case.load("lmo-edge-dislocation", {"mesh.core_size": 0.5 * NM}),
    }


def cycles(case: cm.Case, **rules: Any) -> list[dict[str, Any]]:
    return list(
        adapted(case.replace({"mesh.adapt": rules}), MPI.COMM_WORLD, lambda comm, text: None)[1]["adapt_cycles"]
    )


def main() -> None:
    for name, case in cases().items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        energy = cycles(case, quantity="energy", tolerance=1.5e-4)
        last, before = energy[-1], energy[-2]
        # What is left falls like 1/unknowns in 2D.
        part = before["unknowns"] / last["unknowns"]
        change = last["free_energy_J_per_m"] - before["free_energy_J_per_m"]
        truth = last["free_energy_J_per_m"] + change * part / (1.0 - part)
        for row in energy[:-1]:
            error = abs(row["free_energy_J_per_m"] - truth) / row["elastic_energy_J_per_m"]
            print(f"{name:9s} energy {row['unknowns']:8d} {error:9.5f} {row['estimate'] / error:7.2f}", flush=True)
        peaks = [last[f"{peak}_recovered_Pa"] for peak in PEAKS]
        for row in cycles(case, quantity="peak_stress", tolerance=2e-3):
            error = max(abs(row[f"{peak}_peak_Pa"] / p - 1.0) for peak, p in zip(PEAKS, peaks, strict=True))
            print(f"{name:9s} peak   {row['unknowns']:8d} {error:9.5f} {row['estimate'] / error:7.2f}", flush=True)


if __name__ == "__main__":
    main()
