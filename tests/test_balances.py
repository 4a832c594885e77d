"""What must hold whatever the numbers: mass, energy decay, frame indifference, exact homogeneous states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

import chemomech as cm
from chemomech.materials.laws import GAS_CONSTANT
from chemomech.physics.chemomechanics import ChemoMechanics
from tests.tools import LLZO, gathered, record

NM = 1e-9


def small(**more: Any) -> cm.Case:
    return cm.Case.model_validate(
        {
            "domain": {"shape": "rectangle", "size": ["12 nm", "10 nm"]},
            "mesh": {"size": "0.5 nm", "structured": True},
            "materials": {"llzo": LLZO},
            "dislocations": [{"position": ["0.3 nm", "-0.2 nm"], "burgers": ["1.124 nm", "0 nm"], "core": "1 nm"}],
            "initial": {"concentration": 0.4},
            "time": {"end": "2 ms"},
        }
        | more
    )


# -- closed bodies -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("linear", ["direct", "block"])
@pytest.mark.parametrize("scheme", ["backward-euler", "bdf2"])
def test_closed_body_keeps_its_lithium_and_loses_energy(scheme: str, linear: str) -> None:
    case = small(time={"end": "1 ms", "fixed_step": "10 us", "scheme": scheme}, solver={"linear": linear})
    result = cm.run(case)
    assert result.summary["steps"] == 100
    energy = np.array(result.history["free_energy_J_per_m"])
    drift = np.abs(result.history["mass_relative_drift"]).max()
    rise = max(0.0, np.diff(energy).max()) / (energy[0] - energy[-1])
    record(
        f"closed_{scheme}_{linear}", steps=100, drift=drift, energy_rise=rise, step_s=1e-5,
        energy_change=[float(f"{v:.6g}") for v in np.diff(energy) / (energy[0] - energy[-1])],
        mass_drift=[float(f"{v:.6g}") for v in result.history["mass_relative_drift"]],
    )  # fmt: skip
    assert drift <= 1e-12
    assert energy[-1] < energy[0]
    assert rise <= 1e-10
    assert result.summary["max_free_energy_increase_relative"] <= 1e-10


@pytest.mark.parametrize("linear", ["direct", "block"])
@pytest.mark.parametrize("scheme", ["backward-euler", "bdf2"])
def test_lithium_is_kept_without_correction(scheme: str, linear: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps share out what the tolerance of the solvers leaves; that must not hide what a scheme loses."""
    monkeypatch.setattr(ChemoMechanics, "set_amount", lambda self, amount: None)
    solver = {"linear": linear, "tolerance": 1e-13}
    result = cm.run(small(time={"end": "0.2 ms", "fixed_step": "10 us", "scheme": scheme}, solver=solver))
    drift = np.abs(result.history["mass_relative_drift"]).max()
    record(f"uncorrected_{scheme}_{linear}", drift=drift)
    assert drift <= 1e-12


def test_unmixing_with_gradient_energy_loses_energy() -> None:
    """chi beyond the coherent spinodal, with kappa: phases form, and the energy falls all the way."""
    material = {**LLZO, "interaction": 6.5, "gradient_energy": "3e-10 J/m"}
    case = small(
        materials={"llzo": material},
        dislocations=[],
        initial={"concentration": "0.5 + 0.02*cos(2*pi*x/12e-9)*cos(2*pi*y/10e-9)"},
        time={"end": "0.2 ms", "scheme": "backward-euler", "maximum_step": "2 us"},
    )
    result = cm.run(case)
    energy = np.array(result.history["free_energy_J_per_m"])
    assert np.diff(energy).max() <= 1e-10 * (energy[0] - energy[-1])
    assert result.summary["concentration_max"] - result.summary["concentration_min"] > 0.5
    assert np.abs(result.history["mass_relative_drift"]).max() <= 1e-12


# -- open bodies -------------------------------------------------------------------------------------------


def test_influx_is_counted() -> None:
    flux = 1e-4
    case = small(
        boundaries={"left": {"molar_flux": flux}, "right": {"molar_flux": -0.25 * flux}}, time={"end": "0.1 ms"}
    )
    result = cm.run(case)
    expected = 0.75 * flux * 10 * NM * 1e-4
    gained = result.history["lithium_mol_per_m"][-1] - result.history["lithium_mol_per_m"][0]
    assert gained == pytest.approx(expected, rel=1e-9, abs=0.0)
    assert result.summary["lithium_supplied_mol_per_m"] == pytest.approx(expected, rel=1e-9, abs=0.0)
    assert abs(result.summary["mass_relative_drift"]) < 1e-12


@pytest.mark.parametrize("condition", [{"concentration": 0.6}, {"chemical_potential": "800 J/mol"}])
def test_reservoirs_on_a_boundary(condition: dict[str, Any]) -> None:
    case = small(boundaries={"left": condition}, time={"end": "1 us"})
    result = cm.run(case)
    y = np.linspace(-4.9, 4.9, 7) * NM
    left = np.c_[np.full_like(y, -6 * NM), y]
    name, value = next(iter(condition.items()))
    expected = 800.0 if isinstance(value, str) else value
    assert result.evaluate(name, left) == pytest.approx(expected, rel=1e-9, abs=0.0)
    gained = result.history["lithium_mol_per_m"][-1] - result.history["lithium_mol_per_m"][0]
    assert gained > 0.0
    assert result.summary["lithium_supplied_mol_per_m"] == pytest.approx(gained, rel=1e-6, abs=0.0)


def test_fixed_concentration_keeps_chemical_equilibrium() -> None:
    """mu on the boundary is that of the fixed c under the stress there, not whatever leaves no flux."""
    case = small(dislocations=[], boundaries={"left": {"concentration": 0.6}}, time={"end": "10 s"}, plane="stress")
    result = cm.run(case)
    rt = GAS_CONSTANT * 298.15
    mu = result.function("chemical_potential").x.array
    assert result.summary["concentration_min"] == pytest.approx(0.6, abs=1e-8)
    assert mu == pytest.approx(rt * np.log(0.6 / 0.4), abs=1e-5 * rt)  # free to swell: no stress


# -- homogeneous states ------------------------------------------------------------------------------------


def test_free_swelling_is_free_of_stress() -> None:
    case = small(dislocations=[], initial={"concentration": 0.8}, mode="equilibrium", time={})
    result = cm.run(case.replace({"plane": "stress"}))
    assert np.abs(result.function("stress").x.array).max() < 1e-6 * 149.8e9 * 0.3
    strain = result.function("strain").x.array.reshape(-1, 3, 3)
    expected = 3e-6 * 42522 * 0.3 / 3
    assert strain[:, 0, 0] == pytest.approx(expected, rel=1e-9, abs=0.0) and strain[:, 1, 1] == pytest.approx(
        expected, rel=1e-9, abs=0.0
    )


def test_clamped_film_stress() -> None:
    """Held along the film, free across it: -E Omega c_m dc/(3 (1 - nu)) in plane strain, compressive for dc > 0."""
    sides = {side: {"displacement": {"x": 0.0}} for side in ("left", "right")}
    case = small(dislocations=[], boundaries=sides, initial={"concentration": 0.6}, mode="equilibrium", time={})
    sigma = cm.run(case).evaluate("stress", [[0.0, 0.0]])[0]
    expected = -149.8e9 * 3e-6 * 42522 * 0.1 / (3 * (1 - 0.257))
    assert [sigma[0, 0], sigma[2, 2]] == pytest.approx([expected, expected], rel=1e-9, abs=0.0)
    assert abs(sigma[1, 1]) < 1e-9 * abs(expected)


def test_traction_and_roller_patch() -> None:
    """Uniaxial tension in plane stress, held by rollers: exact on any mesh."""
    case = cm.Case.model_validate(
        {
            "domain": {"shape": "rectangle", "size": ["10 nm", "6 nm"]},
            "mesh": {"size": "1.3 nm"},
            "plane": "stress",
            "materials": {"llzo": {**LLZO, "partial_molar_volume": 0.0}},
            "boundaries": {
                "left": {"roller": True}, "bottom": {"roller": True}, "right": {"traction": ["150 MPa", "0 MPa"]},
            },
            "mode": "equilibrium",
        }
    )  # fmt: skip
    result = cm.run(case)
    sigma = result.function("stress").x.array.reshape(-1, 3, 3)
    assert sigma[:, 0, 0] == pytest.approx(150e6, rel=1e-9, abs=0.0)
    assert np.abs(np.delete(sigma.reshape(-1, 9), 0, axis=1)).max() < 1e-9 * 150e6
    u = result.evaluate("displacement", [[5 * NM, 3 * NM]])[0]
    strain = 150e6 / 149.8e9
    assert u == pytest.approx([strain * 10 * NM, -0.257 * strain * 6 * NM], rel=1e-9, abs=0.0)


def test_pins_carry_no_force() -> None:
    """Opposite tractions on a body that nothing holds give the uniform stress, pinned nodes included."""
    pull = {"right": {"traction": ["100 MPa", "0 MPa"]}, "left": {"traction": ["-100 MPa", "0 MPa"]}}
    case = small(
        materials={"llzo": {**LLZO, "partial_molar_volume": 0.0}}, dislocations=[], boundaries=pull,
        mode="equilibrium", time={}, plane="stress",
    )  # fmt: skip
    sigma = cm.run(case).function("stress").x.array.reshape(-1, 3, 3)
    assert sigma[:, 0, 0] == pytest.approx(100e6, rel=1e-9, abs=0.0)
    assert np.abs(sigma[:, 1, 1]).max() < 1.0


def test_tractions_out_of_balance_are_refused() -> None:
    with pytest.raises(cm.CaseError, match="not in balance"):
        cm.run(small(boundaries={"right": {"traction": ["100 MPa", "0 MPa"]}}))


# -- frame -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("angle", [37.0, 90.0])
def test_rotating_everything_changes_nothing(angle: float) -> None:
    """Body, crystal, dislocation and load turned together, with a cubic crystal and a tensor Omega."""
    found = []
    for turn in (0.0, angle):
        a = np.deg2rad(turn)
        r = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
        omega = r @ np.diag([3e-6, 1e-6, 2e-6]) @ r.T
        case = small(
            domain={"shape": "rectangle", "size": ["12 nm", "10 nm"], "rotation": f"{turn} degree"},
            materials={
                "llzo": {
                    **LLZO,
                    "elasticity": {"kind": "cubic", "c11": "187 GPa", "c12": "75 GPa", "c44": "71 GPa",
                                   "orientation": [f"{20 + turn} degree", "0 degree", "0 degree"]},
                    "partial_molar_volume": omega.tolist(),
                    "interaction": 1.2,
                }
            },
            dislocations=[
                {"position": (r @ [0.3 * NM, -0.2 * NM, 0])[:2].tolist(), "core": "1 nm",
                 "burgers": (r @ [1.1 * NM, 0.3 * NM, 0])[:2].tolist()}
            ],
            boundaries={
                side: {"traction": (sign * r @ [2e8, 0, 0])[:2].tolist()} for side, sign in (("left", -1), ("right", 1))
            },
            time={"end": "0.1 ms"},
        )  # fmt: skip
        result = cm.run(case)
        stress = np.einsum("ki,nkl,lj->nij", r, gathered(result, "stress"), r)
        found.append((gathered(result, "concentration"), stress, result))
    (c0, s0, one), (c1, s1, two) = found
    record(
        f"rotation_{angle:.0f}", concentration=np.abs(c1 - c0).max(), stress=np.abs(s1 - s0).max() / np.abs(s0).max()
    )
    assert np.abs(c1 - c0).max() < 1e-8
    assert np.abs(s1 - s0).max() < 1e-8 * np.abs(s0).max()
    assert one.summary["free_energy_J_per_m"] == pytest.approx(two.summary["free_energy_J_per_m"], rel=1e-8, abs=0.0)


def test_running_twice_gives_the_same_numbers() -> None:
    case = small(time={"end": "20 us"})
    one, two = cm.run(case), cm.run(case)
    # Among several ranks the order of a sum is not fixed.
    allowed = 0.0 if MPI.COMM_WORLD.size == 1 else 1e-10
    for name, column in one.history.items():
        assert two.history[name] == pytest.approx(column, rel=allowed, abs=max(allowed * 1e-3, 0.0))
    assert np.abs(gathered(one, "concentration") - gathered(two, "concentration")).max() <= allowed
