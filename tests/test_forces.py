"""Forces on dislocations: Peach-Koehler, domain integrals, images near a surface and near another phase."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad

import chemomech as cm
from chemomech.analysis.eshelby import ConfigurationalForces
from chemomech.defects.analytic import EdgeField
from tests.tools import LLZO, physics_of, record

NM = 1e-9
SHEAR, NU, B = 59.6e9, 0.257, 1.124e-9
RIGID = {**LLZO, "partial_molar_volume": 0.0}


def line(x: float, y: float = 0.0, angle: float = 0.0, core: str = "1 nm", **more: Any) -> dict[str, Any]:
    b = B * np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))])
    return {"position": [x * NM, y * NM], "burgers": b.tolist(), "core": core, **more}


def case(lines: list[dict[str, Any]], material: dict[str, Any] = RIGID, **more: Any) -> cm.Case:
    return cm.Case.model_validate(
        {
            "mode": "equilibrium",
            "domain": {"size": ["60 nm", "60 nm"]},
            "mesh": {"core_size": "0.2 nm", "growth": 0.15, "size": "4 nm"},
            "materials": {"llzo": material},
            "dislocations": lines,
            "boundaries": {"outer": {"traction": "dislocations"}},
            "initial": {"concentration": 0.5},
        }
        | more
    )


def singular(x: float) -> float:
    """Glide force between like edges on one plane, N/m (Hirth and Lothe, Theory of Dislocations)."""
    return SHEAR * B**2 / (2 * np.pi * (1 - NU) * x)


def once(x: float, core: float = NM) -> float:
    """b times the shear stress of a spread edge where a sharp one lies."""
    return float(B * EdgeField(B, core, SHEAR, NU).stress(np.array([x]), np.array([0.0]))[0, 0, 1])


def twice(x: float, core: float = NM) -> float:
    """Both spread: the stress of the one weighted with the core of the other, by quadrature in polar coordinates."""
    field = EdgeField(B, core, SHEAR, NU)
    t = np.linspace(0.0, 2 * np.pi, 721)[:-1]

    def ring(r: float) -> float:
        s = field.stress(x + r * np.cos(t), r * np.sin(t))[:, 0, 1]
        return float(np.mean(s)) * 2 * np.pi * r * 2 * core**4 / (np.pi * (r**2 + core**2) ** 3)

    return B * (quad(ring, 0.0, 40 * core, points=[core, x], limit=400)[0])


@pytest.mark.parametrize(("x", "spread_once", "spread_twice"), [(5.0, 3.10175, 2.97895), (2.0, 6.45164, 5.14993)])
def test_closed_forms_of_the_pair(x: float, spread_once: float, spread_twice: float) -> None:
    assert singular(x * NM) == pytest.approx({5.0: 3.22582, 2.0: 8.06455}[x], rel=1e-5, abs=0.0)
    assert once(x * NM) == pytest.approx(spread_once, rel=2e-5, abs=0.0)
    assert twice(x * NM) == pytest.approx(spread_twice, rel=2e-4, abs=0.0)


@pytest.mark.parametrize("x", [5.0, 2.0])
def test_two_parallel_edges(x: float) -> None:
    """Like dislocations on one glide plane push each other apart, with the force of two spread cores."""
    result = cm.run(case([line(-x / 2), line(x / 2)]))
    left, right = result.summary["dislocations"]
    expected = twice(x * NM)
    of_stress = [left["peach_koehler_N_per_m"][0], right["peach_koehler_N_per_m"][0]]
    assert of_stress == pytest.approx([-expected, expected], rel=0.03, abs=0.0)
    at_work = ConfigurationalForces(physics_of(result), result._simulation.derived)
    sharp = [at_work.peach_koehler(one, 0.125 * NM)[0] for one in physics_of(result).lines]
    assert sharp == pytest.approx([-once(x * NM), once(x * NM)], rel=0.03, abs=0.0)
    integral = [left["configurational_force_N_per_m"][0], right["configurational_force_N_per_m"][0]]
    # A domain between lines two core widths apart cuts off a part of either core.
    assert integral == pytest.approx([-expected, expected], rel=0.03 if x > 4 else 0.05, abs=0.0)
    record(
        f"forces_pair_{x:.0f}", twice=expected, once=once(x * NM),
        peach_koehler=of_stress[1], sharp=sharp[1], integral=integral[1],
    )  # fmt: skip


@pytest.mark.parametrize("angle", [0.0, 90.0])
def test_image_of_a_free_surface(angle: float) -> None:
    """10 nm below the surface, the other sides 1.2 um away: the surface attracts, whatever the Burgers vector."""
    body = {"size": ["1200 nm", "1200 nm"], "center": ["0 nm", "-600 nm"]}
    mesh = {"core_size": "0.2 nm", "growth": 0.06, "size": "60 nm"}
    result = cm.run(case([line(0.0, -10.0, angle)], domain=body, mesh=mesh, boundaries={}))
    expected = SHEAR * B**2 / (4 * np.pi * (1 - NU) * 10 * NM)
    assert expected == pytest.approx(0.80646, rel=1e-4, abs=0.0)
    (found,) = result.summary["dislocations"]
    for kind in ("configurational_force_N_per_m", "peach_koehler_N_per_m"):
        assert found[kind][:2] == pytest.approx([0.0, expected], rel=1e-6, abs=0.03 * expected)
    record(
        f"forces_surface_{angle:.0f}", expected=expected,
        integral=found["configurational_force_N_per_m"][1], peach_koehler=found["peach_koehler_N_per_m"][1],
    )  # fmt: skip


LITHIUM = {**RIGID, "elasticity": {"youngs_modulus": 2 * 2.83e9 * 1.381, "poissons_ratio": 0.381}}
HARD = {**RIGID, "elasticity": {"youngs_modulus": 2 * SHEAR * (1 + NU), "poissons_ratio": NU}}


def dundurs(g1: float, nu1: float, g2: float, nu2: float) -> float:
    """Image force of a bonded half-space over G1 b^2/(4 pi (1 - nu1) d), by Dundurs' parameters, plane strain."""
    k1, k2, g = 3 - 4 * nu1, 3 - 4 * nu2, g2 / g1
    alpha = (g * (k1 + 1) - (k2 + 1)) / (g * (k1 + 1) + (k2 + 1))
    beta = (g * (k1 - 1) - (k2 - 1)) / (g * (k1 + 1) + (k2 + 1))
    return (alpha + beta**2) / (1 - beta**2)


@pytest.mark.parametrize("angle", [0.0, 90.0])
@pytest.mark.parametrize("side", ["llzo", "lithium"])
def test_image_of_the_other_phase(side: str, angle: float) -> None:
    """10 nm from the interface of two half-spaces: LLZO's dislocations go to lithium, lithium's away from LLZO."""
    factor = {"llzo": dundurs(SHEAR, NU, 2.83e9, 0.381), "lithium": dundurs(2.83e9, 0.381, SHEAR, NU)}[side]
    assert factor == pytest.approx({"llzo": -0.88917, "lithium": 0.94461}[side], abs=2e-5)
    shear, nu, b = (SHEAR, NU, B) if side == "llzo" else (2.83e9, 0.381, 0.304 * NM)
    one = line(0.0, -10.0 if side == "llzo" else 10.0, angle, core="0.5 nm")
    one["burgers"] = (np.array(one["burgers"]) * b / B).tolist()
    body = {"size": ["2400 nm", "2400 nm"]}
    body["layers"] = [{"material": "llzo", "thickness": "1200 nm"}, {"material": "lithium"}]
    mesh = {"core_size": "0.1 nm", "growth": 0.06, "size": "120 nm"}
    materials = {"llzo": HARD, "lithium": LITHIUM}
    result = cm.run(case([one], domain=body, mesh=mesh, materials=materials, boundaries={}))
    # Up in either case: LLZO lies below, where lithium's dislocation comes from and LLZO's does not stay.
    expected = shear * b**2 / (4 * np.pi * (1 - nu) * 10 * NM) * abs(factor)
    (found,) = result.summary["dislocations"]
    for kind in ("configurational_force_N_per_m", "peach_koehler_N_per_m"):
        assert found[kind][:2] == pytest.approx([0.0, expected], rel=1e-6, abs=0.03 * expected)
    assert not found["crosses_interface"]
    record(
        f"forces_{side}_{angle:.0f}", expected=expected, factor=factor,
        integral=found["configurational_force_N_per_m"][1], peach_koehler=found["peach_koehler_N_per_m"][1],
    )  # fmt: skip


@pytest.mark.parametrize("interaction", [0.0, 1.0])
def test_domain_does_not_matter(interaction: float) -> None:
    """In equilibrium with lithium, Sigma with its chemical term has no divergence outside the cores."""
    material = {**LLZO, "interaction": interaction}
    mesh = {"core_size": "0.2 nm", "growth": 0.1, "size": "3 nm"}
    result = cm.run(case([line(-6.0), line(6.0, 2.0)], material, mesh=mesh))
    at_work = ConfigurationalForces(physics_of(result), result._simulation.derived)
    one = physics_of(result).lines[0]
    radii = [(3, 5), (4, 6), (3, 7), (5, 7), (6, 8), (6, 9.5)]
    found = np.array([at_work.domain_integral(one, a * NM, b * NM)[:2] for a, b in radii])
    spread = np.abs(found - found.mean(axis=0)).max() / np.linalg.norm(found.mean(axis=0))
    assert spread < 0.01
    assert np.linalg.norm(at_work.peach_koehler(one)[:2] - found[-1]) < 0.01 * np.linalg.norm(found[-1])
    bare = cm.run(case([line(-6.0), line(6.0, 2.0)], mesh=mesh)).summary["dislocations"][0]
    screened = np.linalg.norm(found[-1]) / np.linalg.norm(bare["peach_koehler_N_per_m"])
    assert 0.5 < screened < 0.8  # lithium takes a part of the stress away (physics: E_open/E = 0.61 at c = 0.5)
    record(f"forces_domain_{interaction:.0f}", spread=float(spread), radii=radii, force=found, screened=float(screened))


def test_while_lithium_flows() -> None:
    """Long before rest the domain integral gives the force from the stress of the other line all the same."""
    lines = [line(-6.0), line(6.0, 2.0)]
    mesh = {"core_size": "0.2 nm", "growth": 0.1, "size": "3 nm"}
    result = cm.run(case(lines, LLZO, mesh=mesh, mode="transient", time={"end": "2 us"}))
    assert np.ptp(result.function("chemical_potential").x.array) > 500.0  # J/mol, not at rest
    for found in result.summary["dislocations"]:
        of_stress, integral = (np.array(found[k]) for k in ("peach_koehler_N_per_m", "configurational_force_N_per_m"))
        assert np.linalg.norm(of_stress - integral) < 0.02 * np.linalg.norm(of_stress)


@pytest.mark.parametrize("sides", ["periodic", "mirror"])
@pytest.mark.parametrize("angle", [0.0, 90.0])
def test_row_below_a_surface(sides: str, angle: float) -> None:
    """A row of lines has no stress of its own where it lies: both forces see the images in the surfaces only."""
    body = {"size": ["40 nm", "60 nm"], sides: ["x"]}
    result = cm.run(case([line(0.0, 12.0, angle)], domain=body, boundaries={"bottom": {"displacement": {"y": 0.0}}}))
    for found in result.summary["dislocations"]:
        of_stress, integral = (np.array(found[k]) for k in ("peach_koehler_N_per_m", "configurational_force_N_per_m"))
        assert np.linalg.norm(integral) > 0.1
        assert np.linalg.norm(of_stress - integral) < 0.02 * np.linalg.norm(integral)


@pytest.mark.parametrize("film", ["above", "below"])
def test_the_substrate_keeps_its_size(film: str) -> None:
    """With the film on either side a full array frees both layers of mean stress."""
    layers = [{"material": "llzo", "thickness": "100 nm"}, {"material": "lithium", "thickness": "100 nm"}]
    body = {"size": ["41.0665 nm", "200 nm"], "periodic": ["x"], "layers": layers if film == "above" else layers[::-1]}
    materials = {
        "llzo": {**HARD, "lattice_constant": "1.298 nm"},
        "lithium": {**LITHIUM, "lattice_constant": "0.351 nm"},
    }
    misfit = {
        "phase": "lithium",
        "substrate": "llzo",
        "coincidence": "3:11",
        "array": {"relaxation": 1.0, "core": "1 nm"},
    }
    mesh = {"core_size": "0.25 nm", "size": "4 nm", "interface_size": "1 nm"}
    result = cm.run(case([], domain=body, materials=materials, misfits=[misfit], mesh=mesh, boundaries={}))
    coherent = 2 * 2.83e9 * 1.381 * 0.33 / 38.61 / (1 - 0.381)
    assert abs(result.summary["far_field_stress_Pa"]) < 0.02 * coherent
