"""Case -> State -> Result: the one place where the pieces meet."""

from __future__ import annotations

import time as clock
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

from chemomech import summary
from chemomech.analysis.eshelby import ConfigurationalForces
from chemomech.analysis.fronts import Fronts
from chemomech.analysis.limits import Limits
from chemomech.case import Case
from chemomech.errors import CaseError, ConvergenceError
from chemomech.meshing.arrays import MeshArrays
from chemomech.meshing.body import Body, distribute
from chemomech.meshing.generate import generate
from chemomech.output import checkpoint
from chemomech.output.nodes import Layout, layout
from chemomech.parallel import global_max, global_min, on_rank_zero
from chemomech.physics.chemomechanics import ChemoMechanics, scales_of
from chemomech.physics.constraints import rigid_motions
from chemomech.physics.contacts import Contacts
from chemomech.physics.derived import Derived
from chemomech.solvers.stack import SolverStack
from chemomech.solvers.system import System
from chemomech.solvers.timestep import Formula, StepControl, formula, local_error
from chemomech.state import State
from chemomech.typing import Array
from chemomech.versions import versions

_FEW = 100  # dislocations up to which their forces on the nodes go into every field file


class Simulation:
    """A case being computed. Outputs see it as a ``Snapshot``.

    Args:
        case: The case.
        comm: Ranks that compute together.
        arrays: The mesh on rank 0 if it exists already; generated otherwise.
    """

    def __init__(self, case: Case, comm: MPI.Comm, arrays: MeshArrays | None = None, *, given: bool = False) -> None:
        self.case, self.comm = case, comm
        self._clock = clock.perf_counter()
        self.arrays = arrays if given else _generated(case, comm)
        length = _unit_length(case, self.arrays, comm)
        self.body: Body = distribute(self.arrays, length, comm)
        self.physics = ChemoMechanics(case, self.body, scales_of(case, length))
        self.derived = Derived(self.physics)
        self.limits = Limits(self.physics, self.derived)
        p = self.physics
        self.fronts = None if p.network is None else Fronts(p)
        system = System(p.equations)
        self.solver = SolverStack(
            system,
            rigid_motions(self.body, p.space_u),
            p.reliefs,
            self.body.dimension,
            linear_solver=case.solver.linear,
            tolerance=case.solver.tolerance,
            max_iterations=case.solver.max_iterations,
            length=length,
            options=dict(case.solver.petsc),
        )
        held = {u.name: u.function for u in p.equations.unknowns}
        if p.local is not None:
            held[p.local.columns.name] = p.local.columns
        self.state = State(held)
        self._bounds: dict[str, tuple[float, float] | None] = {p.local.columns.name: (0.0, 1.0)} if p.local else {}
        self._bounds |= {u.name: u.bounds for u in p.equations.unknowns}
        self._influx = p.influx()
        self._reservoirs = comm.allreduce(len(p.constraints.supply)) > 0
        self.newton_iterations = self.linear_iterations = 0
        self._layouts: dict[str, Layout] = {}
        self._last_row: tuple[int, dict[str, float]] | None = None
        self._predicted: dict[str, Array] = {}  # of the step at hand
        self._energies: list[float] = []  # the first and the latest
        self.energy_rise = 0.0
        self.rejected = 0
        self.guarded = self.physics.isolated  # the free energy can only fall, and is held to it

    # -- what outputs see ---------------------------------------------------------------------------

    @property
    def mesh(self) -> Any:
        """The mesh, in internal units."""
        return self.body.mesh

    @property
    def length(self) -> float:
        """Metres per internal unit of length."""
        return self.body.length

    @property
    def time(self) -> float:
        """Time reached, s."""
        return self.state.time

    @property
    def step(self) -> int:
        """Accepted steps."""
        return self.state.step

    @property
    def step_size(self) -> float:
        """Last accepted step, s."""
        return self.state.step_size

    @property
    def field_names(self) -> tuple[str, ...]:
        """Fields ``function`` gives."""
        few = 0 < len(self.physics.lines) <= _FEW
        return (*self.derived.names, *(["configurational_force"] if few else []))

    def function(self, name: str) -> Any:
        """A field in SI units at the present state."""
        if name == "configurational_force" and self.forces is not None:
            return self.forces.nodal()
        return self.derived.function(name)

    @property
    def grain_boundaries(self) -> Mapping[str, Any]:
        """Class of grain boundaries -> occupied fraction on its facets."""
        return {} if self.physics.network is None else self.physics.network.c

    @property
    def grain_boundary_potentials(self) -> Mapping[str, Any]:
        """Class of grain boundaries -> its potential on its facets, J/mol; empty in local equilibrium."""
        return {} if self.physics.network is None else self.physics.network.potentials()

    @property
    def contacts(self) -> Contacts:
        """Boundaries whose chemical potential is found from step to step."""
        return self.physics.constraints.contacts

    @property
    def ended(self) -> str:
        """Why the run is over before its end; empty if it is not."""
        return self.contacts.ended

    @property
    def warnings(self) -> tuple[str, ...]:
        """Where the run has left what is computed well, in words."""
        return tuple(passed.text for passed in self.limits.passed)

    @cached_property
    def forces(self) -> ConfigurationalForces | None:
        """Forces on dislocations, if there are any; made when first asked for. Collective."""
        return ConfigurationalForces(self.physics, self.derived) if self.physics.lines else None

    def row(self) -> dict[str, float]:
        """Global numbers of the present state."""
        if self._last_row is None or self._last_row[0] != self.step:
            numbers = summary.row(self.physics, self.derived, self.state)
            numbers |= {} if self.fronts is None else self.fronts.row()
            newton = self.solver.newton
            numbers |= {
                "newton_iterations": float(newton.iterations),
                "linear_iterations": float(newton.linear_iterations),
            }
            self._last_row = (self.step, numbers)
        return self._last_row[1]

    # -- state --------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The state at t = 0: given c, the stress in equilibrium with it, and their chemical potential."""
        p = self.physics
        for phase, values in p.initial_concentration().items():
            p.c[phase].x.array[:] = values
            p.c_star[phase].x.array[:] = values
        if p.open_equilibrium:
            p.mu.x.array[:] = p.reservoir_potential()
        elif p.local is not None:
            p.local.begin()
        else:
            p.mu.x.array[:] = 0.0
        self.solver.relax()
        if not p.open_equilibrium:
            p.set_potential(self.solver.system)
        self._look()
        p.constraints.contacts.begin(p.mu.x.array)
        self.state.begin(sum(p.amounts().values()))
        self._watch_energy(p.free_energy())
        self.limits.check(self.time, self.step)

    def restore(self, saved: checkpoint.Checkpoint) -> None:
        """Take up a checkpoint."""
        state = self.state
        state.set_meta(saved.meta)
        for name, function in state.functions.items():
            where = self._layout(name)
            for k in reversed(range(int(saved.meta["depth"]))):
                saved.restore(f"{name}.{k}", function, where)
                state.past[name].appendleft(function.x.array.copy())
        self.newton_iterations = int(saved.meta["newton_iterations"])
        self.linear_iterations = int(saved.meta["linear_iterations"])
        self._energies, self.energy_rise = list(saved.meta["energies"]), float(saved.meta["energy_rise"])
        self.wish = float(saved.meta["wish"])
        self.rejected = int(saved.meta["rejected"])
        self.limits.restore(saved.meta.get("warnings", ()))
        if self.physics.local is not None:
            self.physics.local.reach(float(saved.meta["columns_time"]))
        if self.contacts:
            self.contacts.set_meta(saved.meta["contacts"])
        self._look()
        self._clock -= float(saved.meta["wall_time"])

    def save(self, folder: Path, wish: float) -> Path:
        """Write a checkpoint."""
        arrays = {}
        for name, function in self.state.functions.items():
            where = self._layout(name)
            present = function.x.array.copy()
            for k, values in enumerate(self.state.past[name]):
                function.x.array[:] = values
                arrays[f"{name}.{k}"] = checkpoint.Nodal.of(function, where, self._nodes)
            function.x.array[:] = present
        meta = {
            **self.state.meta(),
            "newton_iterations": self.newton_iterations,
            "linear_iterations": self.linear_iterations,
            "energies": self._energies,
            "energy_rise": self.energy_rise,
            "wish": wish,
            "rejected": self.rejected,
            "warnings": [passed.as_dict() for passed in self.limits.passed],
            "wall_time": clock.perf_counter() - self._clock,
        }
        if self.physics.local is not None:
            meta["columns_time"] = self.physics.local.time
        if self.contacts:
            meta["contacts"] = self.contacts.meta()
        return checkpoint.write(folder, self.comm, self.step, arrays, meta)

    def _layout(self, name: str) -> Layout:
        """Where the values of an unknown sit in the input mesh."""
        if name not in self._layouts:
            numbers = np.asarray(self.body.mesh.geometry.input_global_indices, dtype=np.int64)
            of_phase = {c.name: self.physics.vertices[p] for p, c in self.physics.c.items()}
            if self.physics.network is not None:
                of_phase |= {c.name: self.physics.network.vertices[n] for n, c in self.physics.network.c.items()}
            own = numbers[of_phase[name]] if name in of_phase else numbers
            self._layouts[name] = layout(self.state.functions[name].function_space, own)
        return self._layouts[name]

    @property
    def _nodes(self) -> int:
        return int(self.body.mesh.geometry.index_map().size_global)

    # -- solving ------------------------------------------------------------------------------------

    def equilibrate(self) -> None:
        """Solve for the final state directly.

        If Newton's method fails from the initial state, dislocations and loads are applied in parts.
        """
        p, solver = self.physics, self.solver
        distortion = p.distortion.x.array.copy()
        load = p.constraints.load
        full = None if load is None else load.copy()

        def apply(part: float) -> None:
            p.distortion.x.array[:] = part * distortion
            if load is not None and full is not None:
                load[:] = part * full
            solver.system.refresh()

        done, part = 0.0, 1.0
        while done < 1.0:
            apply(min(1.0, done + part))
            try:
                solver.newton.solve()
            except ConvergenceError:
                self._count()
                part *= 0.5
                if part < 1e-3:
                    apply(1.0)
                    raise
                continue
            self._count()
            done += part
            part = min(2.0 * part, 1.0 - done) if done < 1.0 else part
        apply(1.0)
        f = formula(0.0, (), "backward-euler")
        supplied = sum(p.amounts().values()) - self.state.begun if p.open_equilibrium else 0.0
        self.state.accept(f, 0.0, supplied)
        self._watch_energy(p.free_energy())
        self.limits.check(self.time, self.step)

    def _count(self) -> None:
        self.newton_iterations += self.solver.newton.iterations
        self.linear_iterations += self.solver.newton.linear_iterations

    def control(self) -> StepControl:
        """Step control as the case asks for it."""
        t, s = self.case.time, self.physics.scales
        end = t.end
        if end is None:
            raise CaseError("time.end", None, "a transient run needs an end", "a time such as '10 ms'")
        core = self.case.resolved_mesh.core_size or self.case.resolved_mesh.size or s.length
        first = t.initial_step or min(1e-2 * end, 0.1 * core**2 / s.diffusivity)
        return StepControl(
            time=t,
            end=end,
            first=first,
            smallest=t.minimum_step or 1e-6 * first,
            largest=t.maximum_step or end,
            stops=sorted({*self.case.output.times, end}),
            fixed=t.fixed_step,
        )

    def advance(self, control: StepControl) -> None:
        """One accepted step.

        Raises:
            ConvergenceError: If even the smallest step fails; the state is the last accepted one.
        """
        p, state, scheme = self.physics, self.state, self.case.time.scheme
        dissipative = False
        while True:
            h, goal = control.next_step(state.time)
            f = self._prepare(h, "backward-euler" if dissipative else scheme)
            try:
                self._solve(f)
                while self.contacts.crossed is not None:
                    f = self._locate(f.step, self.contacts.crossed)
            except ConvergenceError as error:
                error.time, error.step_size = state.time, h
                self.rejected += 1
                self._reset()
                if control.failed(h):
                    continue
                raise
            if f.step < h:
                goal = state.time + f.step
            watched = [u.function for u in p.equations.unknowns if u.bounds is not None]
            local = max(local_error(c.x.array, self._predicted[c.name], f, control.time.tolerance) for c in watched)
            if not control.accept(f, global_max(self.comm, local)):
                self.rejected += 1
                self._reset()
                continue
            supplied = self.comm.allreduce(self.solver.system.supplied) + float(p.step.value) * self._influx
            supplied += sum(w * old for w, old in zip(f.weights, state.supplied, strict=False))
            supplied += float(self.contacts.entered.sum())
            if not self._reservoirs or p.network is not None or self.contacts:
                p.set_amount(state.begun + supplied)
            if p.local is not None:
                p.local.settle()
            self._look()
            energy = p.free_energy()
            if f.order == 2 and self.guarded and energy - self._energies[-1] > 1e-12 * abs(self._energies[0] - energy):
                # BDF2 may overshoot near equilibrium; backward Euler can't raise a convex energy.
                self.rejected += 1
                self._reset()
                control.wish = h
                dissipative = True
                continue
            break
        state.accept(f, goal, supplied)
        if self.contacts.accept(goal):
            state.restart()
        self._watch_energy(energy)
        self.limits.check(self.time, self.step)

    def _prepare(self, h: float, scheme: str) -> Formula:
        """Set up a step: what it starts from, and a first guess."""
        p, state = self.physics, self.state
        f = formula(h, tuple(state.steps), scheme)
        self._start_from(f)
        if p.local is not None and f.order == 2 and not self._positive():
            f = formula(h, tuple(state.steps), "backward-euler")
            self._start_from(f)
        state.predict(f, self._bounds)
        self.contacts.predict(f.weights, f.predictor)
        self._predicted = {u.name: u.function.x.array.copy() for u in p.equations.unknowns if u.bounds is not None}
        return f

    def _start_from(self, f: Formula) -> None:
        self.physics.step.value = np.asarray(f.g / self.physics.scales.time)
        for name, star in self.physics.stars.items():
            self.state.blend(name, f.weights, star.x.array)

    def _solve(self, f: Formula, *, pinned: int | None = None, emptied: int | None = None) -> None:
        """Solve a step that is set up, for the potentials of the contacts too."""

        def solve() -> Array:
            try:
                self.solver.newton.solve(time=self.state.time, step_size=f.step)
            finally:
                self._count()
            return np.asarray(self.comm.allreduce(self.solver.system.entered))

        floor = self.case.solver.tolerance * self.physics.site_amount
        self.contacts.match(solve, float(self.physics.step.value), floor, pinned=pinned, emptied=emptied)

    def _locate(self, h: float, contact: int) -> Formula:
        """Solve the step, at most h long, at whose end a contact closes or ends the run."""
        contacts, step = self.contacts, self.physics.step

        def gap(size: float) -> float:
            self._solve(self._prepare(size, "backward-euler"), pinned=contact)
            found = contacts.gap(contact, float(step.value))
            return found if abs(found) > 1e-11 else 0.0

        if gap(h) < 0.0:  # not in a step of the first order, which then is as good
            f = self._prepare(h, "backward-euler")
            self._solve(f)
            return f
        if gap(short := 1e-3 * h) > 0.0:  # the nodes of the contact alone may take more than there is
            f = self._prepare(short, "backward-euler")
            self._solve(f, emptied=contact)
        else:
            from scipy.optimize import brentq  # takes 5 MB

            end = float(brentq(gap, short, h, xtol=1e-15 * h, maxiter=100))
            f = self._prepare(end, "backward-euler")
            self._solve(f, pinned=contact)
        contacts.arrive(contact, float(step.value))
        return f

    def _reset(self) -> None:
        self.state.reset()
        self.contacts.reset()

    def _positive(self) -> bool:
        """Whether every c* is above zero; where the second-order formula is not, no c in (0, 1) solves the step."""
        local, stars = self.physics.local, self.physics.stars.values()
        if local is None:
            return True
        lowest = [float(np.min(s.x.array, initial=1.0)) for s in stars if s is not local.columns_star]
        return global_min(self.comm, min(*lowest, local.lowest_star())) > 0.0

    def _look(self) -> None:
        """Bring what is looked at, and no unknown, up to date."""
        products, network = self.solver.system.products, self.physics.network
        if products is not None and network is not None:
            products.evaluate(self.solver.system.functions, network.opening)

    def _watch_energy(self, energy: float) -> None:
        """Record by how much the free energy ever rose."""
        if self._energies:
            self.energy_rise = max(self.energy_rise, energy - self._energies[-1])
        self._energies = [*self._energies[:1], energy]

    def summary(self, converged: bool) -> dict[str, Any]:
        """What ``summary.json`` holds."""
        row = self.row()
        drop = abs(self._energies[0] - self._energies[-1])
        msh = self.body.mesh
        return {
            "title": self.case.title,
            "converged": converged,
            "mode": self.case.mode,
            "end_time_s": self.time,
            "steps": self.step,
            "rejected_steps": self.rejected,
            "newton_iterations": self.newton_iterations,
            "linear_iterations": self.linear_iterations,
            "linear_solver": self.solver.kind,
            "dofs": self.solver.system.dofs(),
            "cells": int(msh.topology.index_map(msh.topology.dim).size_global),
            "ranks": self.comm.size,
            "wall_time_s": clock.perf_counter() - self._clock,
            **{k: v for k, v in row.items() if k not in ("newton_iterations", "linear_iterations")},
            **({"ended": self.ended} if self.ended else {}),
            **summary.uptake(self.physics, self.state, self.fronts),
            "max_free_energy_increase_relative": self.energy_rise / drop if drop else 0.0,
            **summary.interface(self, self.physics, self.derived),
            **summary.defects(self.case, self.forces),
            "warnings": [{**passed.as_dict(), "text": passed.text} for passed in self.limits.passed],
            "versions": versions(),
        }

    def destroy(self) -> None:
        """Free the solver; collective."""
        self.solver.destroy()


def _generated(case: Case, comm: MPI.Comm) -> MeshArrays | None:
    """The mesh on rank 0, None elsewhere."""
    held: list[MeshArrays] = []
    on_rank_zero(comm, lambda: held.append(generate(case)))
    return held[0] if held else None


def _unit_length(case: Case, arrays: MeshArrays | None, comm: MPI.Comm) -> float:
    """The smallest core, or a hundredth of the body."""
    if case.all_dislocations:
        return min(d.core for d in case.all_dislocations)
    size = None if arrays is None else float(np.ptp(arrays.points, axis=0).max())
    return float(comm.bcast(size, root=0)) / 100.0
