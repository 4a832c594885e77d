"""Runs behind docs/silver.md: numbers, tables, pictures.

    ./chemomech-env python docs/make_silver.py [NAME ...]

Without names all runs are made, some ten minutes on one core; with names only these. What a run gives is kept in
docs/silver/runs.json, and the tables of the page are written anew from all that is there.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import chemomech as cm
from chemomech.analysis.front_history import FrontHistory
from chemomech.materials.laws import GAS_CONSTANT

DOCS = Path(__file__).parent
RUNS, FIGURES, PAGE = DOCS / "silver" / "runs.json", DOCS / "figures", DOCS / "silver.md"
RT = GAS_CONSTANT * 303.15
NETWORK, PAIR, SINGLE = "ag-grain-boundary-network", "ag-twin-vs-random", "ag-single-crystal"
HAGB, TWIN, SILVER = "grain_boundaries.HAGB", "grain_boundaries.twin", "materials.silver"

_FILM = """
title = "Columns that can't expand sideways"
temperature = "30 degC"

[domain]
shape = "polycrystal"
kind = "bicrystal"
size = [{width}, "24 um"]
center = [0.0, "12 um"]
misorientation = ["random", "random", "random"]
seed = 1

[mesh]
size = {cell}
"""


def potential(c: float) -> float:
    """mu/RT of an ideal solution."""
    return log(c / (1.0 - c))


def contact(grain: float, boundary: float = 2.0 / 3.0, interaction: float = 0.0) -> dict[str, float]:
    """Energies with which grain and random boundary hold these fractions on lithium metal."""
    mu0 = -RT * potential(grain)
    gain = -mu0 - RT * (potential(boundary) + interaction * (1.0 - 2.0 * boundary))
    return {
        f"{SILVER}.reference_potential": mu0,
        f"{HAGB}.segregation_energy": gain,
        f"{HAGB}.interaction": interaction,
    }


def no_stress(case: cm.Case) -> dict[str, float]:
    """Omega = 0 for grains and boundaries: lithium makes no stress and feels none."""
    zero = {f"grain_boundaries.{name}.partial_molar_volume": 0.0 for name in case.grain_boundaries}
    return {f"{SILVER}.partial_molar_volume": 0.0} | zero


def clamped(grain: float) -> cm.Case:
    """Columns of this width, m, between walls."""
    base = cm.Case.load(PAIR)
    case = cm.Case.loads(
        _FILM.format(width=4.0 * grain, cell=0.25 * grain),
        overrides={"materials": {"silver": base.materials["silver"].model_dump()}, "time.end": 2400.0}
        | {"grain_boundaries": {"HAGB": base.grain_boundaries["HAGB"].model_dump()}}
        | {f"boundaries.{side}.roller": True for side in ("left", "right")}
        | {"boundaries.bottom.chemical_potential": 0.0},
    )
    return case.replace({"output.checkpoint_every": 1000})


def cases() -> dict[str, cm.Case]:
    """All runs by name."""
    network, pair, single = (cm.Case.load(name) for name in (NETWORK, PAIR, SINGLE))
    twin_gain, hagb = pair.grain_boundaries["twin"].segregation_energy, pair.grain_boundaries["HAGB"]
    out = {
        "network": network,
        "network, no stress": network.replace(no_stress(network)),
        "single crystal": single,
        "twin and random": pair,
        "twin slow only": pair.replace({f"{TWIN}.segregation_energy": hagb.segregation_energy}),
        "twin poor only": pair.replace({f"{TWIN}.diffusivity": hagb.diffusivity}),
        "twin neither": pair.replace(
            {f"{TWIN}.diffusivity": hagb.diffusivity, f"{TWIN}.segregation_energy": hagb.segregation_energy}
        ),
    }
    for width in (1.5e-6, 0.37e-6):
        case = clamped(width)
        out |= {
            f"clamped {width * 1e6:.2g} um": case,
            f"clamped {width * 1e6:.2g} um, no stress": case.replace(no_stress(case)),
        }
    gain = hagb.segregation_energy or 0.0
    changes: dict[str, Mapping[str, Any]] = {
        "dG - 2 kJ/mol": {f"{HAGB}.segregation_energy": gain - 2e3},
        "dG + 2 kJ/mol": {f"{HAGB}.segregation_energy": gain + 2e3},
        "chi_gb = 1": contact(6e-4, interaction=1.0),
        "chi_gb = -1": contact(6e-4, interaction=-1.0),
        "grains hold 0.5 %": contact(5e-3),
        "grains hold 30 %": contact(0.3),
        "grains hold 30 %, their D / 1000": contact(0.3) | {f"{SILVER}.diffusivity": 1e-23},
        "D of grains x 100": {f"{SILVER}.diffusivity": 1e-18},
        "D of grains x 10 000": {f"{SILVER}.diffusivity": 1e-16},
        "D of the twin x 100": {f"{TWIN}.diffusivity": 1.7e-16},
        "twin_gain": {f"{TWIN}.segregation_energy": (twin_gain or 0.0) - 6e3},
        "delta = 1 nm": {f"{HAGB}.width": 1e-9, f"{TWIN}.width": 1e-9},
    }
    changes["dG of the twin - 6 kJ/mol"] = changes.pop("twin_gain")
    return out | {name: pair.replace(change) for name, change in changes.items()}


def numbers(result: cm.Result) -> dict[str, Any]:
    """What the page tells about a run."""
    s, h = result.summary, result.history
    out = {
        key: s[key]
        for key in (
            "end_time_s", "front_distance_m", "front_depth_m", "harrison_regime", "mean_concentration_change",
            "boundary_mean_concentration", "concentration_max", "mass_relative_drift",
        )
        if key in s
    }  # fmt: skip
    classes = [f"lithium_{name}_mol_per_m" for name in result.case.grain_boundaries]
    grains = "lithium_silver_mol_per_m" if classes else "lithium_mol_per_m"
    out["boundary_lithium_gained_mol_per_m"] = sum(h[key][-1] - h[key][0] for key in classes)
    out["grain_lithium_gained_mol_per_m"] = h[grains][-1] - h[grains][0]
    out["warnings"] = [told["text"] for told in s["warnings"]]
    if result.case.grain_boundaries:
        fit = FrontHistory.of(h).diffusivity("HAGB", since=0.1 * s["end_time_s"])
        out |= {"D_from_front": fit.diffusivity, "exponent": fit.exponent}
        held = result.grain_boundary("HAGB")
        out["HAGB_at_contact"] = float(np.max(held.concentration[held.depth < 1e-12], initial=0.0))
        near = result.stress_at_fronts(1e-6)["HAGB"]
        out["von_mises_at_front_Pa"], out["von_mises_elsewhere_Pa"] = near.mean, near.elsewhere
        out["hydrostatic_beside_boundaries_Pa"] = beside(result)
    return out


def beside(result: cm.Result) -> float:
    """Mean hydrostatic stress beside random boundaries that hold more than half of what they do at the contact, Pa."""
    held = result.grain_boundary("HAGB")
    full = held.concentration.mean(axis=1) > 0.5 * held.concentration.max()
    middle = held.corners[full].mean(axis=1)
    length = np.linalg.norm(held.corners[full, 1] - held.corners[full, 0], axis=1)
    along = held.corners[full, 1] - held.corners[full, 0]
    off = 0.05 * np.column_stack([-along[:, 1], along[:, 0]])
    stress = [result.evaluate("hydrostatic_stress", middle[:, :2] + sign * off) for sign in (1.0, -1.0)]
    return float(np.average(0.5 * (stress[0] + stress[1]), weights=length))


def make(names: Sequence[str]) -> dict[str, Any]:
    """Run what is asked for; all that is known afterwards."""
    known: dict[str, Any] = json.loads(RUNS.read_text()) if RUNS.exists() else {}
    every = cases()
    for name in names or every:
        with tempfile.TemporaryDirectory() as folder:
            keep = name in ("network",)
            result = cm.run(every[name], Path(folder) / "run" if keep else None)
            if keep:
                for picture, own in (("grain_boundaries", "silver-network"), ("fronts", "silver-fronts")):
                    whole = Image.open(Path(folder) / "run" / "figures" / f"{picture}.png").convert("RGB")
                    whole.thumbnail((1100, 1600))
                    whole.save(FIGURES / f"{own}.png", optimize=True)
        known[name] = numbers(result)
        print(f"{name}: {json.dumps(known[name])}", flush=True)
        RUNS.parent.mkdir(exist_ok=True)
        RUNS.write_text(json.dumps({k: known[k] for k in every if k in known}, indent=1) + "\n")
    return known


def row(*cells: str) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"


def percent(part: float) -> str:
    """With two digits."""
    return f"{100.0 * part:.2g} %" if part < 0.99 else f"{100.0 * part:.0f} %"


def claims(runs: Mapping[str, Any]) -> str:
    """Network, pair and crystal."""
    lines = [
        row(
            "run",
            "front along / straight (µm)",
            "$L^2/4t$ (m²/s)",
            "mean of HAGB",
            "LAGB / HAGB",
            "twin / HAGB",
            "regime",
        ),
        row(*["---"] * 7),
    ]
    for name in ("network", "twin and random", "twin slow only", "twin poor only", "twin neither"):
        r = runs[name]
        means = r["boundary_mean_concentration"]
        parts = [percent(means[k] / means["HAGB"]) if k in means else "–" for k in ("LAGB", "twin")]
        front = f"{1e6 * r['front_distance_m']:.2f} / {1e6 * r['front_depth_m']:.2f}"
        digits, power = f"{r['D_from_front']:.2e}".split("e")
        d = f"${digits}\\cdot10^{{{int(power)}}}$"
        lines.append(row(name, front, d, f"{means['HAGB']:.4f}", *parts, r["harrison_regime"]))
    return "\n".join(lines)


def mechanics(runs: Mapping[str, Any]) -> str:
    """With stress against without."""
    lines = [
        row(
            "body",
            "$\\sigma_h$ beside full boundaries (MPa)",
            "$c$ at the contact",
            "uptake with / without",
            "front with / without",
        ),
        row(*["---"] * 5),
    ]
    for name in ("network", "clamped 1.5 um", "clamped 0.37 um"):
        r, free = runs[name], runs[f"{name}, no stress"]
        uptake = r["boundary_lithium_gained_mol_per_m"] / free["boundary_lithium_gained_mol_per_m"]
        front = r["front_distance_m"] / free["front_distance_m"]
        stress = f"{r['hydrostatic_beside_boundaries_Pa'] / 1e6:.1f}".replace("-", "−")
        held = f"{r['HAGB_at_contact']:.3f} ({free['HAGB_at_contact']:.3f})"
        lines.append(row(name, stress, held, f"{uptake:.4f}", f"{front:.3f}"))
    return "\n".join(lines)


def sensitivity(runs: Mapping[str, Any]) -> str:
    """What changes with the assumptions, on a film with a twin and a random boundary."""
    lines = [
        row(
            "changed",
            "$L$ (µm)",
            "$c$ at the contact",
            "uptake of boundaries",
            "twin / HAGB",
            "grains / boundaries",
            "regime",
        ),
        row(*["---"] * 7),
    ]
    base = runs["twin and random"]
    for name in ("twin and random", *list(runs)[list(runs).index("dG - 2 kJ/mol") :]):
        r = runs[name]
        means, gained = r["boundary_mean_concentration"], r["boundary_lithium_gained_mol_per_m"]
        lines.append(
            row(
                "nothing" if r is base else name.replace("dG", "$\\Delta G$").replace("chi_gb", "$\\chi_{\\rm gb}$"),
                f"{1e6 * r['front_distance_m']:.2f}",
                f"{r['HAGB_at_contact']:.3f}",
                f"{gained / base['boundary_lithium_gained_mol_per_m']:.3f}",
                percent(means["twin"] / means["HAGB"]),
                f"{r['grain_lithium_gained_mol_per_m'] / gained:.2g}",
                r["harrison_regime"],
            )
        )
    return "\n".join(lines)


def write(runs: Mapping[str, Any]) -> None:
    """Put the tables into the page."""
    text = PAGE.read_text(encoding="utf-8")
    for table in (claims, mechanics, sensitivity):
        first, last = f"<!-- {table.__name__} -->", f"<!-- end of {table.__name__} -->"
        before, rest = text.split(first)
        text = f"{before}{first}\n{table(runs)}\n{last}{rest.split(last)[1]}"
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(make(sys.argv[1:]))
