"""Networks of grain boundaries against what holds exactly: isotherms under stress, fluxes at junctions, no drift."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import ufl
from dolfinx import fem, la
from mpi4py import MPI
from scipy.optimize import brentq

import chemomech as cm
from chemomech.meshing.arrays import MeshArrays
from chemomech.meshing.grains import mesh_grains
from chemomech.microstructure.voronoi import polycrystal
from chemomech.physics.columns import CELLS, regular_fraction, stiff_fraction
from chemomech.simulation import Simulation
from tests.networks import RT, begun, case, cube, junction, potential, run, simulation, uncorrected
from tests.tools import record

COMM = MPI.COMM_WORLD
SILVER = {"kind": "cubic", "c11": "124 GPa", "c12": "93.4 GPa", "c44": "46.1 GPa"}
SHIFT = -12320.0 / RT


def largest(value: float) -> float:
    return float(COMM.allreduce(value, op=MPI.MAX))


def network_of(made: Simulation) -> Any:
    assert made.physics.network is not None
    return made.physics.network


# ---- isotherms ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(("chi", "rounded"), [(-1.0, 0.2784), (0.0, 0.4000), (1.0, 0.7458), (2.0, 0.9693)])
def test_isotherm_in_a_grain_that_interacts_alike(chi: float, rounded: float) -> None:
    """Fowler and Guggenheim's form: the energy of segregation at infinite dilution, chi of grain and boundary equal."""
    law = {"diffusivity": "1e-11 m^2/s", "interaction": chi, "segregation_energy": SHIFT * RT}
    # At the critical point rounding alone leaves 1e-11 of the balance.
    given = case(
        {name: law for name in "abc"}, {"diffusivity": "1e-12 m^2/s", "interaction": chi},
        boundaries={"top": {"chemical_potential": potential(0.005, chi)}},
        initial={"concentration": 0.001}, time={"end": 1e6}, solver={"tolerance": 1e-11 if chi == 2.0 else 1e-12},
    )  # fmt: skip
    made = run(begun(given, lambda: junction(6)))

    def gap(x: float) -> float:
        return float(np.log(x / (1 - x)) + chi * (1 - 2 * x) + SHIFT - potential(0.005, chi) / RT)

    exact = brentq(gap, 1e-9, 1.0 - 1e-9, xtol=1e-15)
    assert exact == pytest.approx(rounded, abs=6e-5)
    off = largest(max(float(np.abs(c.x.array - exact).max(initial=0.0)) for c in network_of(made).c.values()))
    record(f"isotherm_{chi:g}", c=exact, off=off)
    assert off < 1e-6


def tilted(dimension: int) -> MeshArrays:
    """A square or cube cut by one plane in a general position, which its sides do not see."""
    arrays = junction(8, jiggle=0.0) if dimension == 2 else cube(4)
    size = 1e-6
    x, y, z = arrays.points.T / size
    slope = 0.35 * (y - 0.5) + (0.25 * (z - 0.5) if dimension == 3 else 0.0)
    moved = arrays.points.copy()
    moved[:, 0] += size * slope * (1.0 - np.abs(2.0 * x - 1.0))
    if dimension == 3:
        keep = arrays.facet_tags != arrays.boundaries["b"]
        names = {name: tag for name, tag in arrays.boundaries.items() if name != "b"}
        return MeshArrays(
            moved, arrays.cells, arrays.cell_tags, arrays.facets[keep], arrays.facet_tags[keep], arrays.phases, names
        )
    # The line x = 1/2 from side to side instead of the three that meet.
    edges = np.concatenate([arrays.cells[:, [0, 1]], arrays.cells[:, [1, 2]], arrays.cells[:, [2, 0]]])
    edges = np.unique(np.sort(edges, axis=1), axis=0)
    line = edges[np.isclose(x[edges], 0.5, atol=1e-9).all(axis=1)]
    outer = arrays.facet_tags <= 4
    return MeshArrays(
        moved, arrays.cells, arrays.cell_tags, np.concatenate([arrays.facets[outer], line]),
        np.concatenate([arrays.facet_tags[outer], np.full(len(line), 5, np.int32)]), arrays.phases,
        {name: tag for name, tag in arrays.boundaries.items() if tag <= 5},
    )  # fmt: skip


@pytest.mark.parametrize("dimension", [2, 3])
def test_imposed_stress_shifts_the_isotherm_of_a_tilted_boundary(dimension: int) -> None:
    """Under a uniform stress of six parts ln(c/(1-c)) + dG/RT = (mu + Omega n.sigma.n)/RT, though the plane opens."""
    omega, gain = 9e-6, -3.0
    stress = np.array([[80e6, 30e6, -20e6], [30e6, -50e6, 10e6], [-20e6, 10e6, 40e6]])
    normals = {"left": (0, -1), "right": (0, 1), "bottom": (1, -1), "top": (1, 1), "back": (2, -1), "front": (2, 1)}
    d = dimension
    pulled: dict[str, Any] = {
        side: {"traction": [float(sign * t) for t in stress[axis][:d]]}
        for side, (axis, sign) in normals.items()
        if axis < d
    }
    pulled["top"]["chemical_potential"] = potential(0.05)
    law = {
        "diffusivity": "1e-11 m^2/s", "partial_molar_volume": omega, "segregation_energy": gain * RT, "width": "1 nm"
    }  # fmt: skip
    elasticity = SILVER | {"orientation": ["20 deg", "30 deg", "50 deg"] if d == 3 else ["20 deg", 0.0, 0.0]}
    given = case(
        {"a": law}, {"diffusivity": "1e-12 m^2/s", "elasticity": elasticity}, boundaries=pulled,
        initial={"concentration": 0.001}, time={"end": 1e6}, solver={"tolerance": 1e-12},
    )  # fmt: skip
    made = run(begun(given, lambda: tilted(d)))
    n = np.array([1.0, -0.35, -0.25 if d == 3 else 0.0])
    n /= np.linalg.norm(n)
    along = float(n @ stress @ n)
    at = (potential(0.05) + omega * along) / RT - gain
    exact = 1.0 / (1.0 + np.exp(-at))
    free = 1.0 / (1.0 + np.exp(gain - potential(0.05) / RT))
    assert abs(exact / free - 1.0) > 0.02  # it matters
    c = network_of(made).c["a"].x.array
    assert COMM.allreduce(len(c)) > 0
    off = largest(float(np.abs(c / exact - 1.0).max(initial=0.0)))
    record(f"isotherm_stress_{d}d", off=off, shift=exact / free - 1.0)
    assert off < 1e-9
    sigma = made.function("stress").x.array.reshape(-1, 3, 3)[:, :d, :d]
    assert largest(float(np.abs(sigma - stress[:d, :d]).max(initial=0.0))) < 1e-6 * 80e6


# ---- junctions ---------------------------------------------------------------------------------------
def test_branch_fluxes_add_up_at_rest() -> None:
    """Grains that take nothing up, contacts of three potentials: in the end what comes in goes out, class by class."""
    classes = {
        "default": {"width": "1 nm", "partial_molar_volume": "9e-6 m^3/mol", "segregation_energy": -2.0 * RT},
        "a": {"diffusivity": "1e-13 m^2/s", "interaction": 0.5},
        "b": {"diffusivity": "1e-14 m^2/s", "segregation_energy": -RT},
        "c": {"diffusivity": "1e-13 m^2/s", "width": "2 nm"},
    }
    contacts = {"top": 0.05, "right": 0.02, "left": 0.005}
    given = case(
        classes, {"diffusivity": 1e-40, "elasticity": SILVER | {"orientation": ["20 deg", 0.0, 0.0]}},
        boundaries={side: {"chemical_potential": potential(c)} for side, c in contacts.items()},
        initial={"concentration": 0.01}, time={"end": 1e8}, solver={"tolerance": 1e-14},
    )  # fmt: skip
    made = run(begun(given, lambda: junction(12)))
    p, system = made.physics, made.solver.system
    x = p.space_mu.tabulate_dof_coordinates()[: system.owned[-1], :2] * made.length
    here = np.flatnonzero(np.linalg.norm(x - 0.5e-6, axis=1) < 1e-10)
    balance = network_of(made).balance(p.mu, ufl.TestFunction(p.space_mu), p.step)
    branches = []
    for along in balance.integrals()[2::3]:  # of each class: c, c* and the flux
        branch = fem.assemble_vector(fem.form(ufl.Form([along]), entity_maps=p.entity_maps))
        branch.scatter_reverse(la.InsertMode.add)
        branches.append(COMM.allreduce(float(branch.array[here].sum())))
    record("junction_at_rest", branches=branches, rest=sum(branches))
    assert min(np.abs(branches)) > 1e-2 * max(np.abs(branches))
    assert abs(sum(branches)) < 1e-10 * max(np.abs(branches))


# ---- a polycrystal -----------------------------------------------------------------------------------
def grains() -> MeshArrays:
    """A dozen grains with random and low-angle boundaries and a twin."""
    structure = polycrystal(2, [4e-6, 3e-6], number=12, lloyd=2, phase="ag", seed=35)
    return mesh_grains(structure, 0.3e-6).to_arrays("class")


def crystalline(**more: Any) -> cm.Case:
    """Grains that swell, in directions of their own; boundaries that open."""
    wide = {"width": "1 nm", "partial_molar_volume": "9e-6 m^3/mol", "segregation_energy": -3.0 * RT}
    slow = {"diffusivity": "1e-15 m^2/s", "segregation_energy": -RT}
    material = {
        "elasticity": SILVER, "partial_molar_volume": "3e-6 m^3/mol", "diffusivity": "1e-17 m^2/s", "interaction": 0.3
    }  # fmt: skip
    parts: dict[str, Any] = {
        "boundaries": {"top": {"chemical_potential": potential(0.05, 0.3)}},
        "initial": {"concentration": 0.01},
        "time": {"end": 300.0},
    }
    classes = {"default": wide, "HAGB": {"diffusivity": "2e-14 m^2/s", "interaction": -0.5}, "LAGB": slow, "tw*": slow}
    return case(classes, material, **parts | more)


@pytest.mark.parametrize("linear", ["direct", "block"])
@pytest.mark.parametrize("contact", [True, False])
def test_no_lithium_is_lost_in_a_polycrystal(linear: str, contact: bool) -> None:
    """u_z is an unknown there, and everything is coupled to everything."""
    closed: dict[str, Any] = {"boundaries": {}, "initial": {"concentration": "0.02 + 0.05*exp(-(y-3e-6)**2/1e-12)"}}
    solver = {"linear": linear, "tolerance": 1e-12}
    made = uncorrected(begun(crystalline(solver=solver, **({} if contact else closed)), grains))
    assert made.physics.u.function_space.dofmap.bs == 3
    assert set(network_of(made).c) == {"HAGB", "LAGB", "tw*"}
    control, drift = made.control(), 0.0
    before = network_of(made).amounts()
    while made.time < control.end * (1.0 - 1e-12):
        made.advance(control)
        drift = max(drift, abs(made.row()["mass_relative_drift"]))
    record(f"polycrystal_drift_{linear}_{contact}", drift=drift, steps=made.step)
    assert min(abs(now / before[k] - 1.0) for k, now in network_of(made).amounts().items()) > 1e-3
    assert drift < 1e-12


def test_columns_begin_with_what_their_nodes_hold() -> None:
    """Crystals that swell differently are under stress at t = 0; finding it must not move any lithium."""
    made = begun(crystalline(initial={"concentration": 0.03}), grains)
    local = made.physics.local
    assert local is not None
    sigma = made.function("hydrostatic_stress").x.array
    assert largest(float(np.abs(sigma).max(initial=0.0))) > 1e6
    columns = local.columns.x.array.reshape(-1, CELLS)[local._rows]
    assert COMM.allreduce(columns.size) > 0
    assert columns == pytest.approx(np.full(columns.shape, 0.03), rel=1e-15, abs=0.0)


def test_stiff_fraction() -> None:
    """ln(c/(1-c)) + chi (1-2c) + s (c - c_0) = psi, from soft to very stiff."""
    psi, stiffness = (a.ravel() for a in np.meshgrid(np.linspace(-12.0, 12.0, 21), [0.0, 1.0, 1e2, 1e5]))
    at = np.linspace(0.01, 0.99, len(psi))
    for chi in (-2.0, 0.0, 1.9):
        c = stiff_fraction(psi, chi, stiffness, at)
        back = np.log(c / (1.0 - c)) + chi * (1.0 - 2.0 * c) + stiffness * (c - at)
        assert back == pytest.approx(psi, rel=1e-9, abs=1e-9)
        assert c[stiffness == 0.0] == pytest.approx(regular_fraction(psi[stiffness == 0.0], chi)[0], rel=1e-12, abs=0.0)


def test_periodic_bodies_are_refused() -> None:
    arrays = junction(6, jiggle=0.0)
    x, y = np.round(arrays.points[:, :2].T / 1e-6 * 6).astype(int)
    low = {int(j): k for k, (i, j) in enumerate(zip(x, y, strict=True)) if i == 0}
    twins = np.array([[k, low[int(j)]] for k, (i, j) in enumerate(zip(x, y, strict=True)) if i == 6])
    sides = np.isin(arrays.facet_tags, [1, 2])
    closed = replace(
        arrays, twins=twins, facets=arrays.facets[~sides], facet_tags=arrays.facet_tags[~sides],
        boundaries={k: v for k, v in arrays.boundaries.items() if v > 2},
    )  # fmt: skip
    with pytest.raises(cm.CaseError, match="periodic") as caught:
        simulation(case({"a": {"diffusivity": 1e-14}}), closed if COMM.rank == 0 else None)
    assert caught.value.key == "grain_boundaries"
