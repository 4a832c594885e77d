"""How far the interface of LLZO and lithium depends on what paper 004 does not say: one parameter at a time.

    ./chemomech-env python benchmarks/interface_sensitivity.py [--json FILE] [--page docs/interface.md]

Every row is two runs of the built-in cases, without and with a fully relaxing array. The table goes to the terminal,
into FILE, and between the marks of the page.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import chemomech as cm

RT = 8.31446261815324 * 298.15
LLZO_A, LITHIUM_A = 1.298, 0.351  # lattice constants, nm
MARKS = ("<!-- table -->\n", "<!-- end of table -->\n")
WIDTH = 150.0  # nm, about that of the built-in cases


def misfit(coincidence: str) -> dict[str, Any]:
    """A coincidence, in a body of a whole number of spacings."""
    n, m = map(int, coincidence.split(":"))
    strain = (n * LLZO_A - m * LITHIUM_A) / (m * LITHIUM_A)
    spacing = LITHIUM_A / abs(strain)
    width = max(1, round(WIDTH / spacing)) * spacing
    return {"misfits.0.coincidence": coincidence, "domain.size": [f"{width!r} nm", "80 nm"]}


def filling(c: float, chi: float = 0.0) -> dict[str, Any]:
    """LLZO filled to c, in equilibrium with lithium at 0.99 where nothing is under stress."""
    mu0 = RT * (math.log(c / (1 - c)) + chi * (1 - 2 * c) - math.log(99.0))
    return {
        "materials.llzo.reference_concentration": c,
        "materials.llzo.interaction": chi,
        "materials.lithium.reference_potential": mu0,
    }


VARIANTS: dict[str, dict[str, Any]] = {
    "built-in case": {},
    "$\\Omega_{\\rm LLZO}=0$": {"materials.llzo.partial_molar_volume": 0.0},
    "$\\Omega_{\\rm LLZO}=10^{-6}$ m³/mol": {"materials.llzo.partial_molar_volume": 1e-6},
    "$\\Omega_{\\rm LLZO}=4\\times10^{-6}$ m³/mol": {"materials.llzo.partial_molar_volume": 4e-6},
    "$\\Omega_{\\rm Li}=0$": {"materials.lithium.partial_molar_volume": 0.0},
    "$\\chi_{\\rm LLZO}=1$": filling(0.9, 1.0),
    "$\\chi_{\\rm LLZO}=1.8$": filling(0.9, 1.8),
    "LLZO filled to 0.5": filling(0.5),
    "LLZO filled to 0.98": filling(0.98),
    "core 0.5 nm": {"misfits.0.array.core": "0.5 nm"},
    "core 2 nm": {"misfits.0.array.core": "2 nm"},
    "misfit −0.44 % (7:26)": misfit("7:26"),
    "misfit +0.85 % (3:11)": misfit("3:11"),
    "misfit −7.55 % (1:4)": misfit("1:4"),
    "half the array": {"misfits.0.array.relaxation": 0.5},
    "sides held as in a wide stack": {"domain.mirror": ["x"]},
}


def measure(changes: dict[str, Any]) -> dict[str, Any]:
    """Both runs of a variant; numbers of the summaries."""
    out: dict[str, Any] = {}
    for name in ("coherent", "misfit"):
        case = cm.Case.load(f"llzo-li-interface-{name}")
        fits = {k: v for k, v in changes.items() if name == "misfit" or "array" not in k}
        summary = cm.run(case.replace(fits)).summary
        out[name] = {
            key: summary[key]
            for key in ("lithium_transferred_mol_per_m2", "interface_width_10_90_m", "far_field_stress_Pa", "dofs")
        }
    return out


def row(name: str, numbers: dict[str, Any]) -> str:
    """One line of the table."""
    moved = [numbers[k]["lithium_transferred_mol_per_m2"] * 1e6 for k in ("coherent", "misfit")]
    width = [(numbers[k]["interface_width_10_90_m"] or 0.0) * 1e9 for k in ("coherent", "misfit")]
    less = abs(moved[1]) < abs(moved[0])
    narrower = width[1] < width[0]
    verdict = {(True, True): "yes", (True, False): "less lithium only", (False, True): "width only"}.get(
        (less, narrower), "no"
    )
    ratio = abs(moved[0] / moved[1]) if moved[1] else math.inf
    cells = [f"{moved[0]:+.3g}", f"{moved[1]:+.3g}", f"{ratio:.3g}", f"{width[0]:.3g}", f"{width[1]:.3g}", verdict]
    return f"| {name} | {' | '.join(cell.replace('-', '−') for cell in cells)} |"


def main() -> None:
    """Compute and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path)
    given = parser.parse_args()
    head = [
        "| changed | lithium into LLZO, coherent (µmol/m²) | with the array | factor | width 10–90, coherent (nm) "
        "| with the array | less and narrower? |",
        "|---|---|---|---|---|---|---|",
    ]
    print(*head, sep="\n", flush=True)
    found, lines = {}, []
    for name, changes in VARIANTS.items():
        found[name] = measure(changes)
        lines.append(row(name, found[name]))
        print(lines[-1], flush=True)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    if given.page:
        before, _, rest = given.page.read_text().partition(MARKS[0])
        after = rest.partition(MARKS[1])[2]
        given.page.write_text(before + MARKS[0] + "\n".join([*head, *lines]) + "\n" + MARKS[1] + after)


if __name__ == "__main__":
    main()
