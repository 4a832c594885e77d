"""The Jacobian is the derivative of the residual, and every parameter is seen by the one or the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI
from petsc4py import PETSc

import chemomech as cm
from chemomech.simulation import Simulation
from tests.tools import record

CUBIC = {
    "kind": "cubic",
    "c11": "187 GPa",
    "c12": "75 GPa",
    "c44": "71 GPa",
    "orientation": ["25 degree", "0 degree", "0 degree"],
}


def case(changes: dict[str, Any] | None = None, **more: Any) -> cm.Case:
    base = cm.Case.model_validate(
        {
            "domain": {"shape": "rectangle", "size": ["6 nm", "5 nm"]},
            "mesh": {"size": "1 nm", "structured": True},
            "materials": {
                "llzo": {
                    "elasticity": CUBIC,
                    "partial_molar_volume": ["3e-6 m^3/mol", "1e-6 m^3/mol", "2e-6 m^3/mol"],
                    "reference_concentration": 0.45,
                    "maximum_concentration": "42522 mol/m^3",
                    "interaction": 1.4,
                    "reference_potential": "700 J/mol",
                    "diffusivity": "3e-13 m^2/s",
                    "gradient_energy": "1e-10 J/m",
                }
            },
            "dislocations": [{"position": [0.0, 0.0], "burgers": ["1.1 nm", "0.2 nm"], "core": "1 nm"}],
            "boundaries": {
                "left": {"molar_flux": 1.0, "displacement": {"x": 0.0}},
                "right": {"displacement": {"x": "0.1 nm"}},
            },
            "time": {"end": "1 ms"},
        }
        | more
    )
    return base.replace(changes) if changes else base


_made: list[Simulation] = []


@pytest.fixture(autouse=True)
def _destroyed() -> Iterator[None]:
    yield
    while _made:
        _made.pop().destroy()


def at_random_state(given: cm.Case) -> Simulation:
    simulation = Simulation(given, MPI.COMM_WORLD)
    _made.append(simulation)
    simulation.begin()
    p, rng = simulation.physics, np.random.default_rng(3)
    p.step.value = 0.8
    c = p.c[p.phases[0]]
    p.u.x.array[:] += 0.05 * rng.standard_normal(p.u.x.array.size)
    c.x.array[:] = rng.uniform(0.05, 0.95, c.x.array.size)
    p.mu.x.array[:] = rng.standard_normal(p.mu.x.array.size)
    simulation.solver.system.push()
    return simulation


def linearised(simulation: Simulation, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Jacobian times a direction, the same by central differences (four points), and their rounding errors."""
    system = simulation.solver.system
    x = system.x.duplicate()
    system.x.copy(x)
    system.pull(x)
    system.jacobian()
    d, jd, f = x.duplicate(), x.duplicate(), x.duplicate()
    d.setArray(direction)
    system.matrix.mult(d, jd)
    values = []
    h = 1e-4
    for factor in (-2, -1, 1, 2):
        moved = x.duplicate()
        x.copy(moved)
        moved.axpy(factor * h, d)
        system.residual(moved, f)
        values.append(f.array_r.copy())
    difference = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * h)
    return jd.array_r.copy(), difference, 1e-15 * np.abs(values[0]) / h


VARIANTS: dict[str, dict[str, Any]] = {
    "all": {},
    "paper mobility": {"materials.llzo.mobility": "paper"},
    "melting line": {"materials.llzo.melting_points": [[0.0, "1200 K"], [0.3, "1000 K"], [1.0, "500 K"]]},
    "plane stress": {"plane": "stress"},
    "fixed concentration": {"boundaries": {"left": {"concentration": 0.3}}},
    "fixed potential": {"boundaries": {"left": {"chemical_potential": "500 J/mol"}}},
    "isotropic": {
        "materials.llzo.elasticity": {"kind": "isotropic", "youngs_modulus": "93 GPa", "poissons_ratio": 0.3}
    },
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_jacobian_against_differences(variant: str) -> None:
    simulation = at_random_state(case(VARIANTS[variant]))
    sizes = simulation.solver.system.owned
    rng = np.random.default_rng(11)
    of_allowed = []
    for k in range(len(sizes)):  # one column of blocks at a time, so that none hides behind another
        direction = np.zeros(sum(sizes))
        begin = sum(sizes[:k])
        direction[begin : begin + sizes[k]] = 0.01 * rng.standard_normal(sizes[k])
        if k == 0:
            for rows, _ in simulation.solver.system._fixed[:1]:
                direction[rows] = 0.0
        if k == 2 and len(simulation.solver.system._fixed[2][0]):
            direction[begin + simulation.solver.system._fixed[2][0]] = 0.0
        exact, difference, noise = linearised(simulation, direction)
        for i in range(len(sizes)):
            rows = slice(sum(sizes[:i]), sum(sizes[: i + 1]))
            allowed = 1e-6 * np.abs(exact[rows]).max() + noise[rows].max()
            of_allowed.append(np.abs(exact[rows] - difference[rows]).max() / max(allowed, 1e-300))
            assert np.abs(exact[rows] - difference[rows]).max() <= allowed, (variant, i, k)
    record(f"jacobian_{variant.replace(' ', '-')}", of_allowed=max(of_allowed))


def test_blocks_are_symmetric_where_the_energy_makes_them() -> None:
    simulation = at_random_state(case())
    system = simulation.solver.system
    system.jacobian()
    for i, j in ((0, 0), (0, 1), (1, 1)):
        transposed = system.blocks[j][i].transpose(PETSc.Mat())
        transposed.axpy(-1.0, system.blocks[i][j])
        assert transposed.norm() < 1e-12 * system.blocks[i][j].norm()


def test_what_is_constant_stays_constant() -> None:
    simulation = at_random_state(case())
    system = simulation.solver.system
    assert system.constant[0] == [True, True, True]
    assert not system.constant[1][1]
    before = dict(system.assemblies)
    before_norms = constant_norms(system)
    simulation.physics.c[simulation.physics.phases[0]].x.array[:] *= 0.9
    system.jacobian()
    # Mobility and its derivative as matrices, the chemical part of the c block as a diagonal.
    assert system.assemblies["block"] - before["block"] == 2
    assert system.assemblies["vector"] - before["vector"] == 1
    assert constant_norms(system) == before_norms


def constant_norms(system: Any) -> list[float]:
    rows = zip(system.blocks, system.constant, strict=True)
    return [block.norm() for row, kept in rows for block, fixed in zip(row, kept, strict=True) if block and fixed]


CHANGES: dict[str, tuple[str, Any, str]] = {
    "c11": ("materials.llzo.elasticity.c11", "190 GPa", "jacobian"),
    "c12": ("materials.llzo.elasticity.c12", "80 GPa", "jacobian"),
    "c44": ("materials.llzo.elasticity.c44", "75 GPa", "jacobian"),
    "orientation": ("materials.llzo.elasticity.orientation", ["40 degree", "0 degree", "0 degree"], "jacobian"),
    "partial_molar_volume": ("materials.llzo.partial_molar_volume", "2e-6 m^3/mol", "jacobian"),
    "interaction": ("materials.llzo.interaction", 1.3, "jacobian"),
    "mobility": ("materials.llzo.mobility", "paper", "jacobian"),
    "melting_points": ("materials.llzo.melting_points", [[0.0, "1200 K"], [1.0, "500 K"]], "jacobian"),
    "gradient_energy": ("materials.llzo.gradient_energy", "2e-10 J/m", "jacobian"),
    "plane": ("plane", "stress", "jacobian"),
    "temperature": ("temperature", "350 K", "jacobian"),
    "reference_concentration": ("materials.llzo.reference_concentration", 0.6, "residual"),
    "reference_potential": ("materials.llzo.reference_potential", "0 J/mol", "residual"),
    "burgers": ("dislocations.0.burgers", ["1.0 nm", "0.2 nm"], "residual"),
    "core": ("dislocations.0.position", ["0.2 nm", "0 nm"], "residual"),
    "molar_flux": ("boundaries.left.molar_flux", 2.0, "residual"),
    "displacement": ("boundaries.right.displacement.x", "0.2 nm", "residual"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_parameter_is_seen(name: str) -> None:
    key, value, where = CHANGES[name]
    numbers = []
    for given in (case(), case({key: value})):
        simulation = at_random_state(given)
        system = simulation.solver.system
        system.pull(system.x)
        system.jacobian()
        system.residual(system.x, system.f)
        norms = [b.norm() for row in system.blocks for b in row if b is not None]
        numbers.append((np.array(norms), np.array([part.norm() for part in system.f.getNestSubVecs()])))
    (j0, f0), (j1, f1) = numbers
    changed = np.abs(j1 - j0).max() / np.abs(j0).max() if where == "jacobian" else np.max(np.abs(f1 - f0) / f0)
    relative = np.max(np.abs(j1 - j0) / np.maximum(j0, 1e-300))
    assert changed > 1e-6 or (where == "jacobian" and relative > 1e-6), name


def test_diffusivity_and_sites_are_seen_through_the_units() -> None:
    """D0 and c_max set internal units of time and amount: what they change are the SI numbers."""
    fast = cm.run(case({"time.end": "1 us"}))
    slow = cm.run(case({"time.end": "1 us", "materials.llzo.diffusivity": "3e-14 m^2/s"}))
    assert abs(fast.summary["concentration_max"] - slow.summary["concentration_max"]) > 1e-3
    fewer = cm.run(case({"time.end": "1 us", "materials.llzo.maximum_concentration": "30000 mol/m^3"}))
    assert fewer.summary["lithium_mol_per_m"] < 0.8 * fast.summary["lithium_mol_per_m"]


def test_petsc_options_reach_petsc(caplog: pytest.LogCaptureFixture) -> None:
    """One that MUMPS reads at its first factorisation, and one that nothing reads."""
    given = case({"time.end": "1 us", "solver.linear": "direct"})
    plain = cm.run(given)
    other = cm.run(given.replace({"solver.petsc": {"mat_mumps_icntl_7": 2, "snes_max_it": 25, "no_such_option": 1}}))
    assert other.summary["newton_iterations"] == plain.summary["newton_iterations"]
    unknown = [r.getMessage() for r in caplog.records if "solver.petsc" in r.getMessage()]
    expected = ["PETSc knows no option no_such_option here (solver.petsc)"] if MPI.COMM_WORLD.rank == 0 else []
    assert unknown == expected
