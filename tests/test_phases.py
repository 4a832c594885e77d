"""Two phases in one body: c jumps where they meet, mu does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq

import chemomech as cm
from chemomech.materials.laws import GAS_CONSTANT

RT = GAS_CONSTANT * 298.15
BASE = {
    "elasticity": {"youngs_modulus": "150 GPa", "poissons_ratio": 0.25},
    "partial_molar_volume": 0.0,
    "reference_concentration": 0.5,
    "maximum_concentration": "40000 mol/m^3",
    "diffusivity": "1e-13 m^2/s",
}
SOFT = {
    **BASE,
    "elasticity": {"youngs_modulus": "0.15 GPa", "poissons_ratio": 0.4},
    "maximum_concentration": "80000 mol/m^3",
    "diffusivity": "1e-7 m^2/s",
    "reference_potential": "2000 J/mol",
    "interaction": 0.8,
}


@pytest.fixture(scope="module")
def bilayer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two squares of 10 nm, one above the other; every rank makes its own copy."""
    path = tmp_path_factory.mktemp("mesh") / "bilayer.msh"
    root = Path(__file__).parent.parent
    layers = ["--lower", "hard", "--upper", "soft"]
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OMPI_", "PMIX_", "PRTE_"))}
    subprocess.run([sys.executable, root / "meshes" / "bilayer.py", path, *layers], check=True, env=clean)
    return path


def case(path: Path, **more: Any) -> cm.Case:
    return cm.Case.model_validate(
        {
            "domain": {"shape": "file", "path": str(path), "length_unit": "1 nm"},
            "materials": {"hard": BASE, "soft": SOFT},
            "initial": {"concentration": {"hard": 0.7, "soft": 0.2}},
            "time": {"end": "1 s"},
        }
        | more
    )


def potential(c: float, material: dict[str, Any]) -> float:
    mu0 = float(str(material.get("reference_potential", "0 J/mol")).split()[0])
    return float(RT * (np.log(c / (1 - c)) + material.get("interaction", 0.0) * (1 - 2 * c)) + mu0)


def fractions() -> tuple[float, float]:
    """Equal mu, given lithium: the closed form of the body at rest."""
    total = 0.7 * 40_000 + 0.2 * 80_000

    def soft(c: float) -> float:
        return (total - 40_000 * c) / 80_000

    hard = brentq(lambda c: potential(c, BASE) - potential(soft(c), SOFT), 0.41, 0.99999, xtol=1e-15)
    return hard, soft(hard)


@pytest.mark.parametrize("mode", ["transient", "equilibrium"])
def test_two_phases_at_rest(bilayer: Path, mode: str) -> None:
    result = cm.run(case(bilayer, mode=mode, **({} if mode == "transient" else {"time": {}})))
    hard, soft = fractions()
    points = [[5e-9, 3e-9], [5e-9, 17e-9], [2e-9, 9.9e-9], [2e-9, 10.1e-9]]
    assert result.evaluate("concentration", points) == pytest.approx([hard, soft, hard, soft], abs=1e-6)
    assert result.evaluate("chemical_potential", points) == pytest.approx(potential(hard, BASE), abs=1e-6 * RT)
    assert abs(result.summary["mass_relative_drift"]) < 1e-12


def test_lithium_crosses_with_contrasts_and_swelling(bilayer: Path) -> None:
    """Diffusivities 1 : 10^6, moduli 1000 : 1, sites 1 : 2, swelling on."""
    swelling = {
        "hard": {**BASE, "partial_molar_volume": "2e-6 m^3/mol"},
        "soft": {**SOFT, "partial_molar_volume": "9e-6 m^3/mol"},
    }
    result = cm.run(case(bilayer, materials=swelling, time={"end": "0.2 ms"}))
    energy = np.array(result.history["free_energy_J_per_m"])
    assert np.abs(result.history["mass_relative_drift"]).max() < 1e-12
    assert np.diff(energy).max() <= 1e-10 * (energy[0] - energy[-1])
    hard, soft = result.evaluate("concentration", [[5e-9, 9.5e-9], [5e-9, 10.5e-9]])
    assert abs(hard - soft) > 0.1


def test_missing_boundary_name_of_a_file(bilayer: Path) -> None:
    with pytest.raises(cm.CaseError, match=r"boundaries\.lft.*outer, .*bottom"):
        cm.run(case(bilayer, boundaries={"lft": {"concentration": 0.3}}))
