"""Two phases against closed forms: inclusions, equilibrium of strained layers, fluxes through an interface."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from dolfinx import fem
from mpi4py import MPI
from scipy.optimize import brentq

import chemomech as cm
from chemomech.materials.laws import GAS_CONSTANT
from chemomech.physics import energies
from chemomech.physics.constraints import extent, rigid_motions
from chemomech.simulation import Simulation
from tests.tools import at_quadrature, l2, physics_of, quadrature, rates, record

NM, GPA = 1e-9, 1e9
RT = GAS_CONSTANT * 298.15
E, NU, EIGEN = 149.8e9, 0.257, 0.01

# -- Eshelby -----------------------------------------------------------------------------------------------


def inclusion(box: tuple[float, ...], cell: float, contrast: float = 1.0, **mesh: Any) -> cm.Case:
    """A circle or sphere of radius 1 nm that would be 1 % larger in all directions; lengths in nm."""
    inert = {
        "partial_molar_volume": 0.0, "reference_concentration": 0.5,
        "maximum_concentration": "40000 mol/m^3", "diffusivity": "1e-13 m^2/s",
    }  # fmt: skip
    elastic = {"youngs_modulus": E, "poissons_ratio": NU}
    return cm.Case.model_validate(
        {
            "mode": "equilibrium",
            "domain": {
                "size": [s * NM for s in box], "material": "matrix",
                "inclusions": [{"material": "inside", "center": [0.0] * len(box), "radius": NM}],
            },
            "mesh": {"size": 0.2 * box[0] * NM, "interface_size": cell * NM, **mesh},
            "materials": {
                "matrix": {**inert, "elasticity": elastic},
                "inside": {**inert, "elasticity": {**elastic, "youngs_modulus": contrast * E}, "eigenstrain": EIGEN},
            },
            "initial": {"concentration": 0.5},
        }
    )  # fmt: skip


def cylinder(x: np.ndarray, contrast: float = 1.0) -> np.ndarray:
    """Stress at points (..., 3), m, (..., 3, 3): plane strain, u = A r inside and A R^2/r outside.

    At r = R, -2 G2 A = 2 (lambda1 + G1) A - 3 K1 eps.
    """
    shear, lame = E / (2 * (1 + NU)), E * NU / ((1 + NU) * (1 - 2 * NU))
    bulk = contrast * (lame + 2 * shear / 3)
    a = 3 * bulk * EIGEN / (2 * (contrast * (lame + shear) + shear))
    out = np.zeros((*x.shape[:-1], 3, 3))
    r2 = x[..., 0] ** 2 + x[..., 1] ** 2
    n = x[..., :2] / np.sqrt(r2)[..., None]
    outside = (-2 * shear * a * NM**2 / r2)[..., None, None] * (2 * n[..., :, None] * n[..., None, :] - np.eye(2))
    out[..., :2, :2] = outside
    zz = contrast * lame * 2 * a - 3 * bulk * EIGEN
    within = np.diag([-2 * shear * a, -2 * shear * a, zz])
    out[r2 < NM**2] = within
    return out


def sphere(x: np.ndarray) -> np.ndarray:
    """Same moduli: sigma_h = -(4/3)... inside, sigma_rr = sigma_h (R/r)^3 outside."""
    inside = -2 * E * EIGEN / (3 * (1 - NU))
    r = np.linalg.norm(x, axis=-1)
    n = x / r[..., None]
    out = (inside * (NM / r) ** 3)[..., None, None] * (1.5 * n[..., :, None] * n[..., None, :] - 0.5 * np.eye(3))
    out[r < NM] = inside * np.eye(3)
    return out


def stress_errors(result: cm.Result, exact: Any, reach: float) -> tuple[float, float, float]:
    """In-plane stress within ``reach`` nm: relative L2 error, and errors of the field's size inside and outside."""
    x, w, _, _ = quadrature(result)
    d = result.mesh.geometry.dim
    wanted, found = exact(x)[..., :d, :d], at_quadrature(result, "stress")[..., :d, :d]
    r = np.linalg.norm(x, axis=-1) / NM
    near = w * np.all(r < reach, axis=1)[:, None]
    sizes = []
    for part in (near * (r < 0.8), near * (r > 1.2)):
        both = MPI.COMM_WORLD.allreduce(np.einsum("cqij,cqij,cq->", wanted, found, part))
        sizes.append(abs(both / MPI.COMM_WORLD.allreduce(np.einsum("cqij,cqij,cq->", wanted, wanted, part)) - 1))
    return l2(found - wanted, near) / l2(wanted, near), sizes[0], sizes[1]


def test_closed_forms_of_inclusions() -> None:
    inside, outside = cylinder(np.array([[0.3, 0.2, 0.0], [2.0, 0.0, 0.0]]) * NM) / GPA
    assert inside == pytest.approx(np.diag([-1.00808, -1.00808, -2.01615]), abs=2e-5)
    assert outside == pytest.approx(np.diag([-1.00808, 1.00808, 0.0]) / 4, abs=1e-5)
    assert np.trace(inside) / 3 == pytest.approx(-1.34410, abs=1e-5)
    inside, outside = sphere(np.array([[0.3, 0.2, 0.4], [0.0, 2.0, 0.0]]) * NM) / GPA
    assert inside == pytest.approx(-1.34410 * np.eye(3), abs=1e-5)
    assert outside == pytest.approx(-1.34410 / 8 * np.diag([-0.5, 1.0, -0.5]), abs=1e-5)


@pytest.mark.parametrize("contrast", [1.0, 1000.0])
def test_cylinder(contrast: float) -> None:
    """Of the same stiffness as what surrounds it, and 1000 times stiffer; a box of 80 radii."""
    sizes = [0.2, 0.1, 0.05]
    results = [cm.run(inclusion((80.0, 80.0), h, contrast, growth=h, size=20 * h * NM)) for h in sizes]
    found = [stress_errors(r, lambda x: cylinder(x, contrast), 4.0) for r in results]
    errors, inside, outside = zip(*found, strict=True)
    points = np.array([[0.05, 0.03, 0.0], [-0.5, 0.3, 0.0], [0.1, -0.7, 0.0]]) * NM
    stress, wanted = results[-1].evaluate("stress", points), cylinder(points, contrast)
    at_points = float((np.abs(stress - wanted) / np.abs(wanted[:, :1, :1])).max())
    record(
        f"interface_cylinder_{contrast:.0f}", h_over_radius=sizes, error=errors, order=rates(sizes, list(errors)),
        inside=inside, outside=outside, at_points=at_points, stress_GPa=np.diag(stress[0]) / GPA,
        expected_GPa=np.diag(wanted[0]) / GPA,
    )  # fmt: skip
    assert max(inside[-1], outside[-1], at_points) < 0.01
    assert rates(sizes, list(errors))[-1] == pytest.approx(1.0, abs=0.15)


@pytest.mark.slow
def test_sphere() -> None:
    sizes = [0.2, 0.1]
    results = [cm.run(inclusion((16.0, 16.0, 16.0), h, growth=4 * h)) for h in sizes]
    errors, inside, outside = zip(*[stress_errors(r, sphere, 2.0) for r in results], strict=True)
    record(
        "interface_sphere", h_over_radius=sizes, error=errors, order=rates(sizes, list(errors)),
        inside=inside, outside=outside,
    )  # fmt: skip
    assert max(inside[-1], outside[-1]) < 0.03


@pytest.mark.parametrize("box", [(8.0, 8.0), (8.0, 8.0, 8.0)], ids=["2d", "3d"])
def test_a_free_body_is_held(box: tuple[float, ...]) -> None:
    """The pins of a body that nothing else holds stop every rigid motion."""
    simulation = Simulation(inclusion(box, 0.8), MPI.COMM_WORLD)
    p, d = simulation.physics, len(box)
    owned = p.space_u.dofmap.index_map.size_local * d
    pinned = np.unique(np.concatenate([bc.dof_indices()[0] for bc in p.constraints.displacement]))
    rows = rigid_motions(p.body, p.space_u)[pinned[pinned < owned]]
    rows[:, d:] /= np.ptp(extent(p.body), axis=0).max()
    held = np.linalg.svd(np.concatenate(MPI.COMM_WORLD.allgather(rows)), compute_uv=False)
    simulation.destroy()
    assert len(held) == d * (d + 1) // 2
    assert held[-1] > 0.05 * held[0]


# -- strained layers with lithium in equilibrium -----------------------------------------------------------

LOWER = {
    "elasticity": {"youngs_modulus": 149.8e9, "poissons_ratio": 0.257},
    "partial_molar_volume": 2e-6,
    "reference_concentration": 0.6,
    "maximum_concentration": 40_000.0,
    "interaction": 0.4,
    "reference_potential": -500.0,
    "diffusivity": 1e-13,
    "eigenstrain": [0.002, 0.001, 0.002],
}
UPPER = {
    "elasticity": {"youngs_modulus": 7.82e9, "poissons_ratio": 0.381},
    "partial_molar_volume": 9e-6,
    "reference_concentration": 0.3,
    "maximum_concentration": 80_000.0,
    "interaction": 0.8,
    "reference_potential": 1500.0,
    "diffusivity": 1e-12,
}
MISFIT = 0.012
THICKNESS = {"lower": 6.0, "upper": 4.0}  # nm
START = {"lower": 0.7, "upper": 0.25}
BILAYER = {"lower": LOWER, "upper": UPPER}


def bilayer(size: tuple[float, ...] = (4.0, 10.0), cell: float = 1.0, **more: Any) -> cm.Case:
    """Two strained layers, held laterally, free across; lengths in nm."""
    domain = more.pop("domain", {})
    flat = {"out_of_plane": "coherent"} if len(size) == 2 else {}
    return cm.Case.model_validate(
        {
            "domain": {
                "size": [s * NM for s in size],
                "layers": [{"material": name, "thickness": h * NM} for name, h in THICKNESS.items()],
                "periodic": ["x", "z"][: len(size) - 1],
                **domain,
            },
            "mesh": {"size": cell * NM, "structured": True},
            "materials": BILAYER,
            "misfits": [{"phase": "upper", "substrate": "lower", "strain": MISFIT, **flat}],
            "initial": {"concentration": START},
            "mode": "equilibrium",
        }
        | more
    )


def along(name: str, c: float, materials: dict[str, Any] = BILAYER) -> float:
    """Stress sigma_xx = sigma_zz of a layer that may not stretch along x and z, Pa."""
    material = materials[name]
    elastic = material["elasticity"]
    free = MISFIT if name == "upper" else -material["eigenstrain"][0]
    swelling = material["maximum_concentration"] * material["partial_molar_volume"] / 3
    strain = free - swelling * (c - material["reference_concentration"])
    return float(elastic["youngs_modulus"] / (1 - elastic["poissons_ratio"]) * strain)


def potential(name: str, c: float, materials: dict[str, Any] = BILAYER) -> float:
    """mu, J/mol."""
    material = materials[name]
    mixing = np.log(c / (1 - c)) + material["interaction"] * (1 - 2 * c)
    stress = material["partial_molar_volume"] * 2 * along(name, c, materials) / 3
    return float(RT * mixing + material["reference_potential"] - stress)


def at_rest(materials: dict[str, Any] = BILAYER) -> tuple[float, float, float]:
    """c of both layers and mu: as much lithium as in the beginning, one potential."""
    sites = {name: THICKNESS[name] * materials[name]["maximum_concentration"] for name in START}
    total = sum(sites[name] * START[name] for name in START)

    def upper(c: float) -> float:
        return (total - sites["lower"] * c) / sites["upper"]

    low, high = (total - sites["upper"]) / sites["lower"], total / sites["lower"]
    ends = max(low, 0.0) + 1e-12, min(high, 1.0) - 1e-12
    c = brentq(lambda c: potential("lower", c, materials) - potential("upper", upper(c), materials), *ends, xtol=1e-15)
    return float(c), float(upper(c)), potential("lower", c, materials)


def difference_at_rest(result: cm.Result) -> tuple[float, float, float, float]:
    """Largest differences from the closed form: c, mu/RT (and its range), stress relative to the larger one."""
    lower, upper, mu = at_rest()
    d = result.mesh.geometry.dim
    y = np.array([-4.9, -2.3, 0.9, 1.1, 3.2, 4.9])
    points = np.column_stack([np.linspace(-1.7, 1.3, 6), y, np.linspace(1.2, -1.6, 6)])[:, :d] * NM
    c, found = result.evaluate("concentration", points), result.evaluate("chemical_potential", points) / RT
    stress = result.evaluate("stress", points)
    wanted = np.repeat([along("lower", lower), along("upper", upper)], 3)
    exact = wanted[:, None, None] * np.diag([1.0, 0.0, 1.0])
    return (
        float(np.abs(c - np.repeat([lower, upper], 3)).max()),
        float(np.abs(found - mu / RT).max()),
        float(np.ptp(found)),
        float(np.abs(stress - exact).max() / np.abs(exact).max()),
    )


@pytest.mark.parametrize("size", [(4.0, 10.0), (4.0, 10.0, 4.0)], ids=["2d", "3d"])
@pytest.mark.parametrize("closed", ["periodic", "mirror"])
def test_strained_layers_at_rest(closed: str, size: tuple[float, ...]) -> None:
    axes = ["x", "z"][: len(size) - 1]
    domain = {"periodic": axes} if closed == "periodic" else {"periodic": [], "mirror": axes}
    result = cm.run(bilayer(size, domain=domain))
    c, mu, spread, stress = difference_at_rest(result)
    lower, upper, value = at_rest()
    record(
        f"interface_rest_{closed}_{len(size)}d", c_lower=lower, c_upper=upper, mu=value, c_error=c, mu_error=mu,
        stress_error=stress, drift=result.summary["mass_relative_drift"],
    )  # fmt: skip
    assert abs(lower - START["lower"]) > 0.03  # lithium has moved
    assert max(c, mu, spread, stress) < 1e-6
    assert abs(result.summary["mass_relative_drift"]) < 1e-12


def test_strained_layers_come_to_rest() -> None:
    """The same state after a long time."""
    result = cm.run(bilayer(mode="transient", time={"end": "0.1 s"}))
    c, mu, spread, stress = difference_at_rest(result)
    drift = float(np.abs(result.history["mass_relative_drift"]).max())
    energy = np.array(result.history["free_energy_J_per_m"])
    record("interface_rest_transient", c_error=c, mu_error=mu, mu_range=spread, stress_error=stress, drift=drift)
    assert max(c, mu, spread, stress) < 1e-6
    assert drift <= 1e-12
    assert np.diff(energy).max() <= 1e-10 * (energy[0] - energy[-1])


@pytest.mark.parametrize("linear", ["direct", "block"])
def test_contrasts(linear: str) -> None:
    """Diffusivities 1 : 10^6, sites 1 : 2, moduli 1000 : 1, both swell: no lithium is lost in any step."""
    soft = {**UPPER, "elasticity": {"youngs_modulus": 149.8e6, "poissons_ratio": 0.381}, "diffusivity": 1e-7}
    case = bilayer(
        materials={"lower": LOWER, "upper": soft}, mode="transient", time={"end": "1 ms"}, solver={"linear": linear}
    )
    result = cm.run(case)
    drift = np.abs(result.history["mass_relative_drift"])
    moved = abs(result.history["lithium_lower_mol_per_m"][-1] / result.history["lithium_lower_mol_per_m"][0] - 1)
    energy = np.array(result.history["free_energy_J_per_m"])
    rise = float(np.diff(energy).max() / (energy[0] - energy[-1]))
    record(f"interface_contrasts_{linear}", drift=drift.max(), steps=len(drift) - 1, moved=moved, energy_rise=rise)
    assert drift.max() <= 1e-12
    assert moved > 0.01
    assert rise <= 1e-10


# -- flux through an interface -----------------------------------------------------------------------------


def steady(cell: float) -> cm.Result:
    """c = 0.8 below, mu above: a steady flux through two layers, D 1 : 1000."""
    still = {"partial_molar_volume": 0.0, "interaction": 0.0}
    materials = {"lower": {**LOWER, **still}, "upper": {**UPPER, **still, "diffusivity": 1e-10}}
    case = bilayer(
        cell=cell, materials=materials, misfits=[], mode="transient",
        boundaries={"bottom": {"concentration": 0.8}, "top": {"chemical_potential": -1000.0}},
        time={"end": "10 s", "tolerance": 1e-3},
    )  # fmt: skip
    return cm.run(case)


def layer_fluxes(result: cm.Result) -> dict[str, float]:
    """Mean molar flux along y of each layer, mol/(m^2 s)."""
    p = physics_of(result)
    out = {}
    for name in p.phases:
        flux = energies.lithium_flux(p.c[name], p.mu, p.laws[name])[1] * p.inner(name)
        form = fem.form(flux, entity_maps=p.entity_maps)
        total = MPI.COMM_WORLD.allreduce(fem.assemble_scalar(form))
        out[name] = float(total) * p.scales.molar_flux * result.length**2 / (4.0 * THICKNESS[name] * NM**2)
    return out


def test_flux_is_the_same_in_both_layers() -> None:
    """Without interaction M c_m grad mu = D c_m grad c: c is linear per layer, mu equal where they meet."""

    def c_of(name: str, mu: float) -> float:
        return 1 / (1 + np.exp(-(mu - BILAYER[name]["reference_potential"]) / RT))

    lower = 1e-13 * 40_000 / (THICKNESS["lower"] * NM)
    upper = 1e-10 * 80_000 / (THICKNESS["upper"] * NM)

    def excess(mu: float) -> float:
        return lower * (0.8 - c_of("lower", mu)) - upper * (c_of("upper", mu) - c_of("upper", -1000.0))

    mu = brentq(excess, -20 * RT, 20 * RT, xtol=1e-12)
    exact = lower * (0.8 - c_of("lower", mu))
    sizes, found = [1.0, 0.5, 0.25], []
    for cell in sizes:
        fluxes = layer_fluxes(steady(cell))
        found.append([fluxes["lower"], fluxes["upper"]])
    error = [max(abs(j / exact - 1) for j in pair) for pair in found]
    unlike = [abs(a / b - 1) for a, b in found]
    record(
        "interface_flux", expected=exact, h_nm=sizes, found=found, error=error, order=rates(sizes, error), unlike=unlike
    )
    assert max(unlike) < 1e-8
    assert error[-1] < 1e-3
    assert rates(sizes, error)[-1] == pytest.approx(2.0, abs=0.2)
