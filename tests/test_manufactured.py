"""Manufactured solution of the full transient problem: cubic crystal, tensor Omega, chi and kappa all on.

Fields on the square (-1/2, 1/2)^2 of side L, with s = sin, k = cos of pi (x + 1/2), pi (y + 1/2) and slow factors
of time: u = U s s (vanishes on the edges), c = 1/2 + 1/5 k k, mu = 3/5 k k2 (no flux through the edges). Their
sources are derived by UFL from the strong form, independently of the energy.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import ufl
from dolfinx import fem
from mpi4py import MPI

import chemomech as cm
from chemomech.physics import energies
from chemomech.physics.constraints import rigid_motions
from chemomech.simulation import Simulation
from chemomech.solvers.stack import SolverStack
from chemomech.solvers.system import System
from tests.tools import rates, record

SIDE = 100.0  # internal units: a hundredth of the body is one


def case(divisions: int, steps: int, scheme: str, end: float = 2e-5) -> cm.Case:
    return cm.Case.model_validate(
        {
            "domain": {"shape": "rectangle", "size": ["10 nm", "10 nm"]},
            "mesh": {"size": 10e-9 / divisions, "structured": True},
            "materials": {
                "crystal": {
                    "elasticity": {"kind": "cubic", "c11": "187 GPa", "c12": "75 GPa", "c44": "71 GPa",
                                   "orientation": ["25 degree", "0 degree", "0 degree"]},
                    "partial_molar_volume": [["3e-6 m^3/mol", "7e-7 m^3/mol", "0 m^3/mol"],
                                             ["7e-7 m^3/mol", "1e-6 m^3/mol", "0 m^3/mol"],
                                             ["0 m^3/mol", "0 m^3/mol", "2e-6 m^3/mol"]],
                    "reference_concentration": 0.4,
                    "maximum_concentration": "42522 mol/m^3",
                    "interaction": 2.4,
                    "reference_potential": "500 J/mol",
                    "gradient_energy": "2e-10 J/m",
                    "diffusivity": "3e-13 m^2/s",
                }
            },
            "boundaries": {"outer": {"displacement": {"x": 0.0, "y": 0.0}}},
            "time": {"end": end, "fixed_step": end / steps, "scheme": scheme},
            "solver": {"tolerance": 1e-11},
        }
    )  # fmt: skip


class Manufactured(Simulation):
    """A simulation whose equations carry the sources of the manufactured fields."""

    def __init__(self, given: cm.Case) -> None:
        super().__init__(given, MPI.COMM_WORLD)
        p = self.physics
        msh, (phase,) = self.body.mesh, p.phases
        law, c_m = p.laws[phase], p.laws[phase].sites
        self.guarded, self._reservoirs = False, True
        self.now = fem.Constant(msh, 0.0)  # s
        x = ufl.SpatialCoordinate(msh)
        a, b = ufl.pi * (x[0] / SIDE + 0.5), ufl.pi * (x[1] / SIDE + 0.5)
        rate = 4.0e4  # 1/s
        turn = ufl.sin(rate * self.now)
        self.exact_u = ufl.as_vector([1.0, -0.6]) * (1.0 + turn) * ufl.sin(a) * ufl.sin(b)
        self.exact_c = 0.5 + 0.2 * (1.0 + 0.5 * turn) * ufl.cos(a) * ufl.cos(b)
        self.exact_mu = 0.6 * (1.0 - turn) * ufl.cos(a) * ufl.cos(2 * b)
        c_rate = 0.2 * 0.5 * rate * p.scales.time * ufl.cos(rate * self.now) * ufl.cos(a) * ufl.cos(b)

        u, c, mu = self.exact_u, self.exact_c, self.exact_mu
        e = ufl.sym(energies.gradient(u)) - law.expansion * (c - law.reference_concentration)
        sigma = energies.stress(e, law.stiffness)
        div = ufl.as_vector([sum(sigma[i, j].dx(j) for j in range(2)) for i in range(2)])
        mu_of_c = c_m * (ufl.ln(c / (1 - c)) + law.interaction * (1 - 2 * c) + law.reference_potential)
        s_c = mu_of_c - ufl.inner(sigma, law.expansion) - law.gradient_energy * ufl.div(ufl.grad(c)) - c_m * mu
        mobility = law.diffusivity * c * (1 - c)
        s_mu = c_m * (c_rate - ufl.div(mobility * ufl.grad(mu)))
        dx = ufl.dx(domain=msh, degree=6)
        v, r, q = (ufl.TestFunction(unknown.function.function_space) for unknown in p.equations.unknowns)
        sources = [-ufl.inner(div, v) * dx, s_c * r * dx, p.step * s_mu * q * dx]
        residuals = tuple(f - s for f, s in zip(p.equations.residuals, sources, strict=True))
        self.solver.destroy()
        self.solver = SolverStack(
            System(dataclasses.replace(p.equations, residuals=residuals, changing=(*p.equations.changing, self.now))),
            rigid_motions(self.body, p.space_u), [p.relief(phase)], 2, linear_solver="direct",
            tolerance=given.solver.tolerance, max_iterations=20, length=self.length, options={},
        )  # fmt: skip
        solve = self.solver.newton.solve

        def at_end_of_step(*, time: float = 0.0, step_size: float = 0.0) -> None:
            self.now.value = time + step_size
            solve(time=time, step_size=step_size)

        self.solver.newton.solve = at_end_of_step  # type: ignore[method-assign]

    def start(self) -> None:
        p = self.physics
        self.now.value = 0.0
        for function, exact in ((p.u, self.exact_u), (p.c[p.phases[0]], self.exact_c), (p.mu, self.exact_mu)):
            points = function.function_space.element.interpolation_points
            function.interpolate(fem.Expression(exact, points))
        self.state.begin(1.0)

    def errors(self) -> list[float]:
        p, dx = self.physics, ufl.dx(domain=self.body.mesh, degree=6)
        out = []
        for function, exact in ((p.u, self.exact_u), (p.c[p.phases[0]], self.exact_c), (p.mu, self.exact_mu)):
            square = [fem.assemble_scalar(fem.form(ufl.inner(w, w) * dx)) for w in (function - exact, exact)]
            top, bottom = MPI.COMM_WORLD.allreduce(np.array(square))
            out.append(float(np.sqrt(top / bottom)))
        return out


def solve(given: cm.Case) -> list[float]:
    simulation = Manufactured(given)
    simulation.start()
    control = simulation.control()
    while simulation.time < control.end * (1 - 1e-12):
        simulation.advance(control)
    errors = simulation.errors()
    simulation.destroy()
    return errors


def test_second_order_in_space() -> None:
    sizes = [8, 16, 32, 64]
    errors = np.array([solve(case(n, 40, "bdf2", end=4e-7)) for n in sizes])
    h = [1.0 / n for n in sizes]
    observed = {name: rates(h, list(errors[:, k])) for k, name in enumerate(("u", "c", "mu"))}
    record("manufactured_space", divisions=sizes, errors=errors, rates=observed)
    for name, order in observed.items():
        assert order[-1] >= 1.9, (name, observed, errors)


@pytest.mark.parametrize(("scheme", "order"), [("backward-euler", 0.95), ("bdf2", 1.9)])
def test_order_in_time(scheme: str, order: float) -> None:
    """Against the same mesh with a hundred times smaller steps of BDF2, so that the mesh's error drops out."""
    steps = [20, 40, 80]
    fields = [final(case(16, n, scheme, end=4e-5)) for n in steps]
    reference = final(case(16, 1280, "bdf2", end=4e-5))
    errors = [[float(np.linalg.norm(a - b)) for a, b in zip(f, reference, strict=True)] for f in fields]
    columns = list(zip(*errors, strict=True))
    observed = {n: rates([1 / s for s in steps], list(e)) for n, e in zip(("u", "c", "mu"), columns, strict=True)}
    record(f"manufactured_time_{scheme}", steps=steps, errors=errors, rates=observed)
    for name, found in observed.items():
        assert found[-1] >= order, (name, observed, errors)


def final(given: cm.Case) -> list[np.ndarray]:
    simulation = Manufactured(given)
    simulation.start()
    control = simulation.control()
    while simulation.time < control.end * (1 - 1e-12):
        simulation.advance(control)
    p = simulation.physics
    fields = [f.x.array.copy() for f in (p.u, p.c[p.phases[0]], p.mu)]
    simulation.destroy()
    return fields
