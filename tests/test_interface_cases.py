"""The two built-in cases of the LLZO/Li interface: the trend of paper 004, Fig. 6; the mesh does not make it."""

from __future__ import annotations

import pytest

import chemomech as cm
from tests.tools import record

NUMBERS = ("lithium_transferred_mol_per_m2", "interface_width_10_90_m", "far_field_stress_Pa")


def measure(name: str, part: float) -> dict[str, float]:
    """Numbers of a built-in case with all mesh sizes multiplied by ``part``."""
    case = cm.Case.load(f"llzo-li-interface-{name}")
    sizes = {k: getattr(case.mesh, k) for k in ("size", "interface_size", "core_size")}
    finer = {f"mesh.{k}": v * part for k, v in sizes.items() if v is not None}
    summary = cm.run(case.replace(finer)).summary
    assert abs(summary["mass_relative_drift"]) < 1e-12
    return {k: summary[k] for k in NUMBERS} | {"dofs": summary["dofs"]}


@pytest.mark.slow
def test_misfit_dislocations_keep_the_interface_abrupt() -> None:
    found = {name: measure(name, 1.0) for name in ("coherent", "misfit")}
    finer = {name: measure(name, 0.5) for name in found}
    for name, numbers in found.items():
        for key in NUMBERS[:2]:
            assert numbers[key] == pytest.approx(finer[name][key], rel=0.05, abs=0.0), (name, key)
    factors = {key: found["coherent"][key] / found["misfit"][key] for key in NUMBERS}
    assert factors["lithium_transferred_mol_per_m2"] > 60
    assert factors["interface_width_10_90_m"] > 25
    record("interface_cases", found=found, finer=finer, factors=factors)


def test_the_two_cases_differ_in_the_array_only() -> None:
    coherent, misfit = (cm.Case.load(f"llzo-li-interface-{name}") for name in ("coherent", "misfit"))
    assert misfit.misfits[0].array is not None and coherent.misfits[0].array is None
    assert len(misfit.all_dislocations) == 6
    without = misfit.replace({"misfits.0.array": None})
    for part in ("domain", "materials", "misfits", "initial", "temperature", "mode"):
        assert getattr(without, part) == getattr(coherent, part)
