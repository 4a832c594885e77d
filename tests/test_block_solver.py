"""The block solver where it is hard: stiff beside soft phases, phases that want to separate, a hierarchy kept."""

from __future__ import annotations

from typing import Any

import pytest
from mpi4py import MPI

import chemomech as cm
from chemomech.simulation import Simulation
from chemomech.solvers import stack
from tests.tools import record

MOST = 40  # linear iterations per Newton step


@pytest.fixture(params=["factorised", "multigrid"])
def displacement(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the displacement block is solved."""
    if request.param == "multigrid":
        monkeypatch.setattr(stack, "EXACT_LIMIT", {2: 0, 3: 0})
    return str(request.param)


def test_lithium_beside_llzo_that_separates(displacement: str) -> None:
    """Moduli 5 against 150 GPa, chi = 2.5 in both phases, misfit dislocations, c from 0.9 to 0.99."""
    case = cm.Case.load("llzo-li-interface-misfit").replace(
        {
            "mesh.size": "6 nm",
            "mesh.core_size": "0.3 nm",
            "mesh.interface_size": "0.6 nm",
            "materials.llzo.interaction": 2.5,
            "materials.lithium.interaction": 2.5,
            "solver.linear": "block",
        }
    )
    simulation = Simulation(case, MPI.COMM_WORLD)
    simulation.begin()
    simulation.equilibrate()
    each = simulation.linear_iterations / simulation.newton_iterations
    record(f"linear_iterations_contrast_{displacement}", per_newton=each, unknowns=simulation.solver.system.dofs())
    assert each < MOST


def separating(**changes: Any) -> Simulation:
    """A body that lithium hardly strains, beyond the spinodal, with an interface of some cells."""
    given = {
        "domain": {"size": ["40 nm", "40 nm"]},
        "mesh": {"size": "0.8 nm", "structured": True},
        "materials": {
            "llzo": {
                "library": "LLZO",
                "interaction": 2.5,
                "partial_molar_volume": "3e-7 m^3/mol",
                "gradient_energy": "2e-10 J/m",
            }
        },
        "dislocations": [{"position": ["0 nm", "0 nm"], "burgers": ["1.124 nm", "0 nm"], "core": "2.5 nm"}],
        "boundaries": {"outer": {"traction": "dislocations"}},
        "time": {"end": "2 ms"},
        "solver": {"linear": "block"},
    }
    return Simulation(cm.Case.model_validate(given).replace(changes), MPI.COMM_WORLD)


def test_separation_with_a_gradient_energy(displacement: str) -> None:
    simulation = separating()
    simulation.begin()
    control = simulation.control()
    worst = 0.0
    for _ in range(30):
        newton, linear = simulation.newton_iterations, simulation.linear_iterations
        simulation.advance(control)
        worst = max(worst, (simulation.linear_iterations - linear) / max(1, simulation.newton_iterations - newton))
    row = simulation.row()
    assert row["concentration_max"] - row["concentration_min"] > 0.3  # it does separate
    record(f"linear_iterations_separation_{displacement}", per_newton=worst)
    assert worst < MOST


def test_a_hierarchy_is_kept_while_it_fits() -> None:
    """Never made more than once per Newton step, and less often than that; the displacement's once."""
    simulation = separating(**{"materials.llzo.interaction": 0.0})
    simulation.begin()
    control = simulation.control()
    for _ in range(12):
        simulation.advance(control)
    elimination = simulation.solver._elimination
    assert elimination is not None
    assert simulation.step + simulation.rejected <= simulation.newton_iterations
    assert 1 <= elimination.setups < 0.7 * simulation.newton_iterations
