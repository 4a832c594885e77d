"""The problem in NGSolve: symbolic forms, a direct solver for everything, or block elimination like chemomech's.

    PEERS/bin/python benchmarks/peers/ngsolve.py PROBLEM.npz RESULT.npz [--solver NAME] [--whole]

It is written as a user of NGSolve would who cares for speed. What is linear is assembled once, and only the entropy
and the flux are assembled again in every Newton iteration. `--solver direct` is Pardiso of MKL if it is there, else
UMFPACK; both stay set up from one factorisation to the next. `sparsecholesky` needs a symmetric matrix and so leaves
out how the mobility depends on c: cheaper iterations, but more of them.
`--solver block` has the preconditioner of chemomech (chemomech/solvers/linear.py) made of NGSolve's parts.

Newton's method starts from the last step, stops when no node changes c by more than 1e-5 (with --whole 1e-4), and
keeps c inside (0, 1) by cutting what goes further than nine tenths of the way to a bound. Where the Jacobian or the
linear solve is not exact (sparsecholesky, block), a tenth of these changes has to be reached.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

# This file has the name of the package it imports.
sys.path = [p for p in sys.path if os.path.abspath(p or ".") != os.path.dirname(os.path.abspath(__file__))]
netgen: Any = import_module("netgen.meshing")
ng: Any = import_module("ngsolve")

Array = npt.NDArray[np.float64]

DIRECT = ("pardiso", "umfpack")
KEYS = ("sites", "interaction", "reference_potential", "diffusivity", "gradient_energy", "expansion", "stiffness")
C_REF = "reference_concentration"


class Problem:
    """Mesh, spaces, coefficients and measures."""

    def __init__(self, path: str) -> None:
        data = dict(np.load(path))
        self.data, self.d = data, int(data["dimension"])
        self.count = len(data["sites"])
        self.laws = [{k: data[k][p] for k in (*KEYS, C_REF)} for p in range(self.count)]
        raw = netgen.Mesh(dim=self.d)
        raw.AddPoints(np.ascontiguousarray(data["points"], dtype=np.float64))
        for p in range(self.count):
            if self.d == 2:
                raw.Add(netgen.FaceDescriptor(surfnr=p + 1, domin=p + 1, bc=p + 1))
            cells = np.ascontiguousarray(data["cells"][data["phase"] == p], dtype=np.int32)
            raw.AddElements(dim=self.d, index=p + 1, data=cells, base=0)
            raw.SetMaterial(p + 1, f"phase{p}")
        self.mesh = ng.Mesh(raw)
        self.n = n = self.mesh.nv
        kind = ng.TRIG if self.d == 2 else ng.TET
        corners = np.vstack([np.zeros(self.d), np.eye(self.d)])
        share = (0.5 if self.d == 2 else 1.0 / 6.0) / len(corners)
        lumped = ng.IntegrationRule([tuple(x) for x in corners.tolist()], [share] * len(corners))
        rules = {"corner": {kind: lumped}, "inner": {kind: ng.IntegrationRule(kind, 2)}}
        self.corner = [ng.dx(f"phase{p}", intrules=rules["corner"]) for p in range(self.count)]
        self.inner = [ng.dx(f"phase{p}", intrules=rules["inner"]) for p in range(self.count)]

        self.space_u = ng.VectorH1(self.mesh, order=1)
        # Nodes without the phase keep a number, so that all spaces count alike; they are not free.
        self.spaces_c = [ng.H1(self.mesh, order=1, definedon=f"phase{p}") for p in range(self.count)]
        self.space_mu = ng.H1(self.mesh, order=1)
        assert self.space_u.ndof == self.d * n and all(s.ndof == n for s in self.spaces_c)
        self.free_u = ng.BitArray(self.space_u.FreeDofs())
        for node, axis in data["pinned"]:
            self.free_u[int(axis) * n + int(node)] = False
        self.active = [np.array(list(s.FreeDofs()), dtype=bool) for s in self.spaces_c]

        self.eigenstrain = ng.GridFunction(ng.L2(self.mesh, order=0, dim=6))
        order = np.argsort(data["phase"], kind="stable")  # the cells were added phase by phase
        numpy(self.eigenstrain.vec).reshape(-1, 6)[:] = data["eigenstrain"][order]
        self.step = ng.Parameter(1.0)
        self.c0 = np.nan_to_num(np.atleast_2d(data["c0"]), nan=0.5)
        forms = [ng.LinearForm(s.TestFunction() * dx) for s, dx in zip(self.spaces_c, self.corner, strict=True)]
        self.weights = [numpy(form.Assemble().vec).copy() for form in forms]

    def initial_potential(self) -> Array:
        """mu of t = 0 without stress; where phases meet, of the last one."""
        mu = np.zeros(self.n)
        for law, c, active in zip(self.laws, self.c0, self.active, strict=True):
            value = np.log(c / (1.0 - c)) + law["interaction"] * (1.0 - 2.0 * c) + law["reference_potential"]
            mu[active] = value[active]
        return mu

    def load(self) -> Array:
        """Nodal forces in the order of the displacements."""
        return np.asarray(self.data["load"].T.ravel())

    def strain(self, u: Any) -> Any:
        """(xx, yy, zz, 2 yz, 2 xz, 2 xy)."""
        g = ng.Grad(u)
        if self.d == 2:
            return ng.CF((g[0, 0], g[1, 1], 0, 0, 0, g[0, 1] + g[1, 0]))
        return ng.CF((g[0, 0], g[1, 1], g[2, 2], g[1, 2] + g[2, 1], g[0, 2] + g[2, 0], g[0, 1] + g[1, 0]))

    def tensors(self, p: int) -> tuple[Any, Any]:
        """Stiffness and expansion."""
        law = self.laws[p]
        return ng.CF(tuple(law["stiffness"].ravel()), dims=(6, 6)), ng.CF(tuple(law["expansion"]))


def numpy(vector: Any) -> Array:
    """The numbers of a vector, not a copy."""
    return np.asarray(vector.FV().NumPy())


class Direct:
    """One matrix for everything, factorised in every Newton iteration.

    The balance has its sign reversed: the matrix is symmetric then, but for the mobility's dependence on c.
    """

    def __init__(self, problem: Problem, solver: str) -> None:
        self.problem, self.solver = problem, solver
        P, n, d = problem, problem.n, problem.d
        X = P.space_u
        for s in (*P.spaces_c, P.space_mu):
            X = X * s
        (u, *cs, mu), (v, *rs, q) = X.TnT()
        symmetric = solver == "sparsecholesky"
        linear, nonlinear, self.known = ng.BilinearForm(X), ng.BilinearForm(X), ng.LinearForm(X)
        self.old = [ng.GridFunction(s) for s in P.spaces_c]
        self.now = ng.GridFunction(X)
        for p, (c, r) in enumerate(zip(cs, rs, strict=True)):
            law, dc, di = P.laws[p], P.corner[p], P.inner[p]
            C, expansion = P.tensors(p)
            sites, chi = float(law["sites"]), float(law["interaction"])
            e, e_test = P.strain(u) - expansion * c, P.strain(v) - expansion * r
            linear += ng.InnerProduct(C * e, e_test) * di
            if law["gradient_energy"]:
                linear += float(law["gradient_energy"]) * ng.InnerProduct(ng.grad(c), ng.grad(r)) * di
            linear += sites * (-2.0 * chi * c * r - mu * r - c * q) * dc
            known = P.eigenstrain - expansion * float(law[C_REF])
            self.known += ng.InnerProduct(C * known, e_test) * di
            self.known += -sites * (chi + float(law["reference_potential"])) * r * dc
            nonlinear += (sites * ng.log(c / (1.0 - c)) * r).Compile() * dc
            mobile = self.now.components[1 + p] if symmetric else c
            flux = sites * float(law["diffusivity"]) * mobile * (1.0 - mobile)
            nonlinear += (-P.step * flux * ng.InnerProduct(ng.grad(mu), ng.grad(q))).Compile() * di
        linear.Assemble()
        self.known.Assemble()
        self.linear, self.nonlinear = linear, nonlinear
        numpy(self.known.vec)[: d * n] += P.load()
        self.free = ng.BitArray(X.FreeDofs())
        for node, axis in P.data["pinned"]:
            self.free[int(axis) * n + int(node)] = False
        self.inverse: Any = None
        x = numpy(self.now.vec)
        self.u, self.mu = x[: d * n], x[-n:]
        self.c = [x[(d + p) * n : (d + p + 1) * n] for p in range(P.count)]
        self.residual, self.product, self.change = (self.now.vec.CreateVector() for _ in range(3))

    def iterate(self, old: list[Array]) -> tuple[Array, list[Array], Array, int]:
        """One linear solve: what to take off u, c and mu, and linear iterations."""
        P, x, f = self.problem, self.now.vec, self.residual
        self.nonlinear.Apply(x, f)
        self.product.data = self.linear.mat * x
        f.data += self.product - self.known.vec
        numbers = numpy(f)
        for p in range(P.count):
            numbers[-P.n :] += float(P.laws[p]["sites"]) * P.weights[p] * old[p]
        self.nonlinear.AssembleLinearization(x)
        matrix = self.nonlinear.mat
        matrix.AsVector().data += self.linear.mat.AsVector()
        if self.inverse is None:
            self.inverse = self._factorised(matrix)
        else:
            self.inverse.Update()
        self.change.data = self.inverse * f
        w, m, n = numpy(self.change), len(self.u), P.n
        return w[:m], [w[m + p * n : m + (p + 1) * n] for p in range(P.count)], w[-n:], 1

    def _factorised(self, matrix: Any) -> Any:
        names = DIRECT if self.solver == "direct" else (self.solver,)
        for self.solver in names:
            try:
                return matrix.Inverse(self.free, inverse=self.solver)
            except Exception as error:  # in its own way NGSolve says that a library is not there
                reason = error
        raise SystemExit(f"ngsolve: {' and '.join(names)} can't factorise the matrix ({reason})")

    def begin_step(self) -> None:
        """Nothing to forget."""


class Operator(ng.BaseMatrix):  # type: ignore[misc]
    """A square matrix given by what it does to numbers."""

    def __init__(self, size: int, action: Callable[[Any, Any], None]) -> None:
        super().__init__()
        self.size, self.action = size, action

    def Mult(self, x: Any, y: Any) -> None:  # NGSolve's name, as those below
        self.action(x, y)

    def Height(self) -> int:
        return self.size

    def Width(self) -> int:
        return self.size

    def CreateColVector(self) -> Any:
        return ng.BaseVector(self.size)

    def CreateRowVector(self) -> Any:
        return ng.BaseVector(self.size)


class Block:
    """GMRES with block elimination, inexact Newton steps.

    K is factorised once (sparsecholesky), also in 3D: no multigrid of NGSolve for elasticity is tried here. The Schur
    complement on mu is symmetric without the mobility's dependence on c, and h1amg is its solver. All matrices that
    change belong to scalar fields, and the entropy is nodal: assembly costs little here.
    """

    solver = "block"

    def __init__(self, problem: Problem) -> None:
        self.problem = P = problem
        n, d, phases = P.n, P.d, range(P.count)
        u, v = P.space_u.TnT()
        m, q = P.space_mu.TnT()
        stiffness = ng.BilinearForm(P.space_u, symmetric=True)
        known = ng.LinearForm(P.space_u)
        self.to_c, self.from_c, self.mass = [], [], []
        self.nodal: list[Array] = []  # constant part of the residual of c
        self.relief = []
        self.c_now = [ng.GridFunction(s) for s in P.spaces_c]
        self.mu_now, self.schur_weight = ng.GridFunction(P.space_mu), ng.GridFunction(P.space_mu)
        self.schur = ng.BilinearForm(P.space_mu)  # the flux, and a diagonal that is taken off where it's not wanted
        self.drift = []
        for p in phases:
            law, dc, di, space, now = P.laws[p], P.corner[p], P.inner[p], P.spaces_c[p], self.c_now[p]
            c, r = space.TnT()
            C, expansion = P.tensors(p)
            sites = float(law["sites"])
            stiffness += ng.InnerProduct(C * P.strain(u), P.strain(v)) * di
            stress = C * expansion
            free = P.eigenstrain - expansion * float(law[C_REF])
            known += ng.InnerProduct(C * free, P.strain(v)) * di
            from_c = ng.BilinearForm(trialspace=space, testspace=P.space_u)
            from_c += -c * ng.InnerProduct(stress, P.strain(v)) * di
            to_c = ng.BilinearForm(trialspace=P.space_u, testspace=space)
            to_c += -r * ng.InnerProduct(stress, P.strain(u)) * di
            mass = ng.BilinearForm(space)
            mass += ng.InnerProduct(stress, expansion) * c * r * di
            if law["gradient_energy"]:
                mass += float(law["gradient_energy"]) * ng.InnerProduct(ng.grad(c), ng.grad(r)) * di
            self.from_c.append(from_c.Assemble().mat)
            self.to_c.append(to_c.Assemble().mat)
            self.mass.append(mass.Assemble().mat)
            constant = ng.LinearForm(space)
            constant += ng.InnerProduct(stress, free) * r * di
            constant.Assemble()
            offset = sites * P.weights[p] * (law["interaction"] + law["reference_potential"])
            self.nodal.append(numpy(constant.vec) + offset)
            mobility = sites * float(law["diffusivity"]) * now * (1.0 - now)
            flux = (P.step * mobility * ng.InnerProduct(ng.grad(m), ng.grad(q))).Compile()
            self.schur += flux * di
            self.schur += self.schur_weight * m * q * dc
            drift = ng.BilinearForm(trialspace=space, testspace=P.space_mu)
            slope = P.step * sites * float(law["diffusivity"]) * (1.0 - 2.0 * now)
            drift += (slope * c * ng.InnerProduct(ng.grad(self.mu_now), ng.grad(q))).Compile() * di
            self.drift.append(drift)
            self.relief.append(relief(law, d) * P.weights[p])
        known.Assemble()
        self.known = numpy(known.vec) + P.load()
        stiffness.Assemble()
        self.K = stiffness.mat
        self.K_inverse = self.K.Inverse(P.free_u, inverse="sparsecholesky")
        self.schur_inverse = ng.Preconditioner(self.schur, "h1amg")
        self.diagonal = [np.array([mat[i, i] if act else 0.0 for i, act in enumerate(active)])
                         for mat, active in zip(self.mass, P.active, strict=True)]  # fmt: skip
        self.state = ng.BaseVector((d + P.count + 1) * n)
        x = numpy(self.state)
        x[:] = 0.0
        self.u, self.mu = x[: d * n], x[-n:]
        self.c = [x[(d + p) * n : (d + p + 1) * n] for p in phases]
        self.fixed = ~np.array(list(P.free_u), dtype=bool)
        self.norm = 0.0
        self.tolerance = 0.0

    def begin_step(self) -> None:
        """The first solve of a step knows no residual before it."""
        self.norm = 0.0

    def _part(self, vector: Any, k: int) -> Any:
        d, n = self.problem.d, self.problem.n
        return vector.Range(0, d * n) if k == 0 else vector.Range((d + k - 1) * n, (d + k) * n)

    def iterate(self, old: list[Array]) -> tuple[Array, list[Array], Array, int]:
        """One inexact Newton step: what to take off u, c and mu, and linear iterations."""
        P, n, phases = self.problem, self.problem.n, range(self.problem.count)
        last, size = 1 + P.count, len(self.state)
        for p in phases:
            numpy(self.c_now[p].vec)[:] = self.c[p]
        numpy(self.mu_now.vec)[:] = self.mu
        residual = ng.BaseVector(size)
        u, mu = self._part(self.state, 0), self._part(self.state, last)
        ru, rmu = self._part(residual, 0), self._part(residual, last)
        ru.data = self.K * u
        entropic, inverse, coupling = [], [], []
        weight = np.zeros(n)
        for p in phases:
            law, w, c, active = P.laws[p], P.weights[p], self.c[p], P.active[p]
            sites, chi = law["sites"], law["interaction"]
            cv, rc = self._part(self.state, 1 + p), self._part(residual, 1 + p)
            ru.data += self.from_c[p] * cv
            rc.data = self.to_c[p] * u
            rc.data += self.mass[p] * cv
            numpy(rc)[:] += self.nodal[p] + sites * w * (np.log(c / (1.0 - c)) - 2.0 * chi * c - self.mu)
            numpy(rc)[~active] = 0.0
            self.drift[p].Assemble()
            entropic.append(sites * w * (1.0 / (c * (1.0 - c)) - 2.0 * chi))
            full = self.diagonal[p] + entropic[-1]
            soft = full - self.relief[p]
            chosen = np.where(np.abs(soft) > 0.02 * np.abs(full), soft, full)
            inverse.append(np.divide(1.0, chosen, out=np.zeros(n), where=active))
            coupling.append(sites * w)
            weight += coupling[p] ** 2 * inverse[p]
        numpy(ru)[:] -= self.known
        numpy(ru)[self.fixed] = 0.0
        numpy(self.schur_weight.vec)[:] = weight / sum(P.weights)
        self.schur.Assemble()
        rmu.data = self.schur.mat * mu
        numpy(rmu)[:] -= weight * self.mu
        for p in phases:
            numpy(rmu)[:] += coupling[p] * (self.c[p] - old[p])

        def jacobian(x: Any, y: Any) -> None:
            xu, xm, yu, ym = self._part(x, 0), self._part(x, last), self._part(y, 0), self._part(y, last)
            yu.data = self.K * xu
            ym.data = self.schur.mat * xm
            numpy(ym)[:] -= weight * numpy(xm)
            for p in phases:
                xc, yc = self._part(x, 1 + p), self._part(y, 1 + p)
                yu.data += self.from_c[p] * xc
                yc.data = self.to_c[p] * xu
                yc.data += self.mass[p] * xc
                numpy(yc)[:] += entropic[p] * numpy(xc) - coupling[p] * numpy(xm)
                ym.data += self.drift[p].mat * xc
                numpy(ym)[:] += coupling[p] * numpy(xc)
            numpy(yu)[self.fixed] = 0.0

        def eliminate(x: Any, y: Any) -> None:
            xu, xm, yu, ym = self._part(x, 0), self._part(x, last), self._part(y, 0), self._part(y, last)
            yu.data = self.K_inverse * xu
            right = xm.CreateVector()
            right.data = xm
            for p in phases:
                yc = self._part(y, 1 + p)
                yc.data = self._part(x, 1 + p) - self.to_c[p] * yu
                numpy(yc)[:] *= inverse[p]
                numpy(right)[:] -= coupling[p] * numpy(yc)
                right.data -= self.drift[p].mat * yc
            ym.data = self.schur_inverse.mat * right
            back = xu.CreateVector()
            back.data = xu
            for p in phases:
                yc = self._part(y, 1 + p)
                numpy(yc)[:] += inverse[p] * coupling[p] * numpy(ym)
                back.data -= self.from_c[p] * yc
            yu.data = self.K_inverse * back

        self._forcing(float(np.linalg.norm(numpy(residual))))
        solver = ng.la.GMRESSolver(
            mat=Operator(size, jacobian), pre=Operator(size, eliminate), tol=self.tolerance, maxiter=300,
        )  # fmt: skip
        change = ng.BaseVector(size)
        change.data = solver * residual
        d = numpy(change)
        m = len(self.u)
        return d[:m], [d[m + p * n : m + (p + 1) * n] for p in phases], d[-n:], solver.GetSteps()

    def _forcing(self, norm: float) -> None:
        """Eisenstat and Walker's second choice, with the numbers of chemomech/solvers/stack.py."""
        power = 0.5 * (1.0 + 5.0**0.5)
        if not self.norm:
            self.tolerance = 1e-3
        else:
            wish = (norm / self.norm) ** power
            kept = self.tolerance**power
            self.tolerance = min(1e-2, max(wish, kept) if kept > 0.1 else wish)
        self.norm = norm


def relief(law: dict[str, Any], d: int) -> float:
    """What a relaxed body takes off the diagonal of the c block, per volume (ChemoMechanics.relief)."""
    C, e = law["stiffness"], law["expansion"]
    stress = C @ e
    clamped = float(e @ stress)
    relaxed = float(np.mean([clamped - stress[k] ** 2 / C[k, k] for k in range(d)]))
    return 2.0 / (d + 2.0) * clamped - relaxed


def solve_step(method: Direct | Block, active: list[Any], old: list[Array], tolerance: float) -> tuple[int, int]:
    """Newton's method; iterations and linear iterations, or (0, n) if it fails."""
    linear = 0
    method.begin_step()
    for k in range(1, 16):
        du, dc, dmu, its = method.iterate(old)
        linear += its
        largest = 0.0
        method.u[:] -= du
        method.mu[:] -= dmu
        for c, change, there in zip(method.c, dc, active, strict=True):
            new = np.clip(c - change, 0.1 * c, 1.0 - 0.1 * (1.0 - c))
            largest = max(largest, float(np.max(np.abs(new - c)[there])))
            c[there] = new[there]
        if not np.isfinite(largest):
            return 0, linear
        if largest <= tolerance:
            return k, linear
    return 0, linear


def march(method: Direct | Block, problem: Problem, given: argparse.Namespace) -> dict[str, Any]:
    """All steps; with --whole their sizes follow the Newton iterations, as many codes have it."""
    fixed = problem.data["steps"]
    end, step = float(problem.data["end"]), float(given.first_step or fixed[0])
    newton: list[int] = []
    linear: list[int] = []
    wasted, now, k = 0, 0.0, 0
    # Where it's nearly Newton's method, a fraction of the last change is left, not its square.
    exact = method.solver not in ("sparsecholesky", "block")
    tolerance = (1e-4 if given.whole else 1e-5) * (1.0 if exact else 0.1)
    while now < end * (1.0 - 1e-12) if given.whole else k < len(fixed):
        h = min(step, end - now) if given.whole else float(fixed[k])
        problem.step.Set(h)
        saved = method.u.copy(), [c.copy() for c in method.c], method.mu.copy()
        its, lin = solve_step(method, problem.active, saved[1], tolerance)
        if not its:
            if not given.whole or step < 1e-9 * end:
                raise SystemExit(f"ngsolve: Newton's method failed in step {k + 1}")
            wasted += 15
            step = 0.5 * h
            method.u[:], method.mu[:] = saved[0], saved[2]
            for c, value in zip(method.c, saved[1], strict=True):
                c[:] = value
            continue
        newton.append(its)
        linear.append(lin)
        now, k = now + h, k + 1
        step *= given.growth if its <= 4 else 0.5 if its >= 8 else 1.0
    return {"newton": newton, "linear": linear, "wasted": wasted, "end": now}


def main() -> None:
    """Read, solve, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem")
    parser.add_argument("result")
    names = ["direct", "pardiso", "umfpack", "sparsecholesky", "block"]
    parser.add_argument("--solver", choices=names, default="direct")
    parser.add_argument("--whole", action="store_true", help="march to the end with steps of our own choice")
    parser.add_argument("--first-step", type=float, help="with --whole; default: the first of the file")
    parser.add_argument("--growth", type=float, default=1.25, help="with --whole, of a step after an easy one")
    given = parser.parse_args()
    imported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    ng.SetNumThreads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    start = time.perf_counter()
    with ng.TaskManager():
        problem = Problem(given.problem)
        method = Block(problem) if given.solver == "block" else Direct(problem, given.solver)
        for c, value in zip(method.c, problem.c0, strict=True):
            c[:] = value
        method.mu[:] = problem.initial_potential()
        ready, cpu = time.perf_counter(), time.process_time()
        counts = march(method, problem, given)
        done, cpu = time.perf_counter(), time.process_time() - cpu
    c = np.where(problem.active, method.c, np.nan)
    np.savez(
        given.result,
        u=method.u.reshape(problem.d, -1).T,
        c=c if problem.count > 1 else c[0],
        mu=method.mu,
        **counts,
        time_setup_s=ready - start,
        time_march_s=done - ready,
        cpu_march_s=cpu,
        time_per_newton_s=(done - ready) / (sum(counts["newton"]) + counts["wasted"]),
        peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        import_memory_bytes=imported,
        solver=method.solver,
        versions=f"NGSolve {ng.__version__}, {method.solver}, Python {sys.version.split()[0]}",
    )


if __name__ == "__main__":
    main()
