"""The problem in scikit-fem and SciPy: vectorised assembly in NumPy, one sparse factorisation per Newton iteration.

    PEERS/bin/python benchmarks/peers/skfem.py PROBLEM.npz RESULT.npz [--solver NAME] [--whole]

It is written as a user of scikit-fem would who cares for speed. What is linear is assembled once; the entropy is nodal
and needs no assembly; only the flux and its derivative are assembled again in every Newton iteration. `--solver direct`
is Pardiso of MKL by way of pypardiso where that is installed, else SciPy's SuperLU.

Newton's method starts from the last step, stops when no node changes c by more than 1e-5 (with --whole 1e-4), and
keeps c inside (0, 1) by cutting what goes further than nine tenths of the way to a bound.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

# This file has the name of the package it imports.
sys.path = [p for p in sys.path if os.path.abspath(p or ".") != os.path.dirname(os.path.abspath(__file__))]
scipy: Any = import_module("scipy")
sp: Any = import_module("scipy.sparse")
splu: Any = import_module("scipy.sparse.linalg").splu
skfem: Any = import_module("skfem")
dot: Any = import_module("skfem.helpers").dot

Array = npt.NDArray[np.float64]


class Problem:
    """Matrices that stay, and forms of those that change."""

    def __init__(self, path: str) -> None:
        data = dict(np.load(path))
        if len(data["sites"]) > 1:
            raise SystemExit(
                "skfem: several phases, with a concentration that jumps between them, are not written here"
            )
        self.data, self.d = data, int(data["dimension"])
        d, n = self.d, len(data["points"])
        self.n = n
        self.sites, self.chi, self.mu0, self.c_ref, self.diffusivity, self.kappa = (
            float(data[k][0])
            for k in (
                "sites", "interaction", "reference_potential", "reference_concentration", "diffusivity",
                "gradient_energy",
            )
        )  # fmt: skip
        C, expansion = data["stiffness"][0], data["expansion"][0]
        stress = C @ expansion
        points, cells = np.ascontiguousarray(data["points"].T), np.ascontiguousarray(data["cells"].T)
        mesh: Any = skfem.MeshTri(points, cells) if d == 2 else skfem.MeshTet(points, cells)
        element: Any = skfem.ElementTriP1() if d == 2 else skfem.ElementTetP1()
        # Strains are constant in a cell: one point is exact. The flux and the mass matrix have degree 2.
        once = skfem.Basis(mesh, skfem.ElementVector(element), intorder=1)
        once_scalar = once.with_element(element)
        self.basis = skfem.Basis(mesh, element, intorder=2)

        def strain(u: Any) -> list[Any]:
            g = u.grad
            if d == 2:
                return [g[0, 0], g[1, 1], 0.0, 0.0, 0.0, g[0, 1] + g[1, 0]]
            return [g[0, 0], g[1, 1], g[2, 2], g[1, 2] + g[2, 1], g[0, 2] + g[2, 0], g[0, 1] + g[1, 0]]

        used = [0, 1, 5] if d == 2 else list(range(6))

        def stiffness(u: Any, v: Any, _: Any) -> Any:
            a, b = strain(u), strain(v)
            return sum(sum(C[i, j] * a[j] for j in used if C[i, j]) * b[i] for i in used)

        def coupling(c: Any, v: Any, _: Any) -> Any:
            b = strain(v)
            return -sum(stress[i] * b[i] for i in used) * c

        def mass(c: Any, r: Any, _: Any) -> Any:
            out = float(stress @ expansion) * c * r
            return out + self.kappa * dot(c.grad, r.grad) if self.kappa else out

        free = data["eigenstrain"] - expansion * self.c_ref
        held = (free @ C.T).T[:, :, None]  # per cell, at its one point

        def known_u(v: Any, _: Any) -> Any:
            b = strain(v)
            return sum(held[i] * b[i] for i in used)

        def known_c(r: Any, _: Any) -> Any:
            return -np.tensordot(expansion, held, 1) * r

        def flux(m: Any, q: Any, w: Any) -> Any:
            return w["c"] * (1.0 - w["c"]) * dot(m.grad, q.grad)

        def drift(c: Any, q: Any, w: Any) -> Any:
            return (1.0 - 2.0 * w["c"]) * c * dot(w["mu"].grad, q.grad)

        def product(c: Any, r: Any, _: Any) -> Any:
            return c * r

        self.flux, self.drift = skfem.BilinearForm(flux), skfem.BilinearForm(drift)
        # SciPy drops zeros. With this added the pattern stays, and so does Pardiso's analysis of it.
        self.pattern = 1e-100 * skfem.BilinearForm(product).assemble(self.basis)
        volumes = np.asarray(once_scalar.dx).sum(axis=1)
        self.weights = self.sites * np.bincount(data["cells"].ravel(), np.repeat(volumes / (d + 1), d + 1), minlength=n)
        self.K = skfem.BilinearForm(stiffness).assemble(once)
        self.from_c = skfem.BilinearForm(coupling).assemble(once_scalar, once)
        self.to_c = self.from_c.T.tocsr()
        self.mass = skfem.BilinearForm(mass).assemble(self.basis)
        self.known_u = skfem.LinearForm(known_u).assemble(once) + data["load"].ravel()
        self.known_c = skfem.LinearForm(known_c).assemble(once_scalar) - self.weights * (self.mu0 + self.chi)
        pinned = data["pinned"][:, 0] * d + data["pinned"][:, 1]
        self.free = np.setdiff1d(np.arange(d * n), pinned)
        # A pinned displacement is no unknown of the linear systems.
        self.K_free = self.K[self.free][:, self.free]
        self.from_c_free, self.to_c_free = self.from_c[self.free], self.to_c[:, self.free]


def factorised(name: str) -> tuple[str, Any]:
    """A function that solves with a matrix and a right-hand side."""
    if name in ("direct", "pardiso"):
        try:
            solver = import_module("pypardiso").PyPardisoSolver()
        except ImportError:
            if name == "pardiso":
                raise SystemExit("skfem: pypardiso is not installed") from None
        else:
            analysed = np.zeros(0, dtype=np.int32)

            def solve(matrix: Any, b: Array) -> Array:
                # Phase 13 analyses, factorises and solves, phase 23 takes the last analysis as it is.
                nonlocal analysed
                solver._check_A(matrix)
                solver.set_phase(23 if np.array_equal(matrix.indices, analysed) else 13)
                analysed = matrix.indices
                return np.asarray(solver._call_pardiso(matrix, b))

            return "pardiso", solve
    return "superlu", lambda matrix, b: splu(matrix.tocsc()).solve(b)


class Newton:
    """The state, and one step of Newton's method on it."""

    def __init__(self, problem: Problem, solver: str) -> None:
        self.problem = P = problem
        self.solver, self._solve = factorised(solver)
        self.u = np.zeros(P.d * P.n)
        self.c = P.data["c0"].copy()
        self.mu = np.log(self.c / (1.0 - self.c)) + P.chi * (1.0 - 2.0 * self.c) + P.mu0

    def iterate(self, old: Array, step: float) -> float:
        """One iteration; the largest change of c."""
        P, c, mu = self.problem, self.c, self.mu
        basis, w, rate = P.basis, P.weights, step * P.sites * P.diffusivity
        at = {"c": basis.interpolate(c), "mu": basis.interpolate(mu)}
        flux = rate * P.flux.assemble(basis, c=at["c"]) + P.pattern
        drift = rate * P.drift.assemble(basis, **at) + P.pattern
        entropic = w * (1.0 / (c * (1.0 - c)) - 2.0 * P.chi)
        diagonal = sp.diags_array(w, format="csr")
        matrix = sp.block_array(
            [
                [P.K_free, P.from_c_free, None],
                [P.to_c_free, P.mass + sp.diags_array(entropic), -diagonal],
                [None, drift + diagonal, flux],
            ],
            format="csr",
        )
        residual = np.concatenate(
            [
                (P.K @ self.u + P.from_c @ c - P.known_u)[P.free],
                P.to_c @ self.u + P.mass @ c + w * (np.log(c / (1.0 - c)) - 2.0 * P.chi * c - mu) - P.known_c,
                flux @ mu + w * (c - old),
            ]
        )
        change = self._solve(matrix, residual)
        n = P.n
        self.u[P.free] -= change[: -2 * n]
        self.mu = mu - change[-n:]
        new = np.clip(c - change[-2 * n : -n], 0.1 * c, 1.0 - 0.1 * (1.0 - c))
        largest = float(np.max(np.abs(new - c)))
        self.c = new
        return largest

    def solve(self, step: float, tolerance: float) -> int:
        """One step of backward Euler; iterations, 0 if they failed."""
        old = self.c.copy()
        for k in range(1, 16):
            largest = self.iterate(old, step)
            if not np.isfinite(largest):
                return 0
            if largest <= tolerance:
                return k
        return 0


def march(method: Newton, given: argparse.Namespace) -> dict[str, Any]:
    """All steps; with --whole their sizes follow the Newton iterations, as many codes have it."""
    data = method.problem.data
    fixed = data["steps"]
    end, step = float(data["end"]), float(given.first_step or fixed[0])
    newton: list[int] = []
    wasted, now, k = 0, 0.0, 0
    while now < end * (1.0 - 1e-12) if given.whole else k < len(fixed):
        h = min(step, end - now) if given.whole else float(fixed[k])
        saved = method.u.copy(), method.c, method.mu
        its = method.solve(h, 1e-4 if given.whole else 1e-5)
        if not its:
            if not given.whole or step < 1e-9 * end:
                raise SystemExit(f"skfem: Newton's method failed in step {k + 1}")
            wasted += 15
            step = 0.5 * h
            method.u, method.c, method.mu = saved
            continue
        newton.append(its)
        now, k = now + h, k + 1
        step *= given.growth if its <= 4 else 0.5 if its >= 8 else 1.0
    return {"newton": newton, "linear": newton, "wasted": wasted, "end": now}


def main() -> None:
    """Read, solve, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem")
    parser.add_argument("result")
    parser.add_argument("--solver", choices=["direct", "pardiso", "superlu"], default="direct")
    parser.add_argument("--whole", action="store_true", help="march to the end with steps of our own choice")
    parser.add_argument("--first-step", type=float, help="with --whole; default: the first of the file")
    parser.add_argument("--growth", type=float, default=1.25, help="with --whole, of a step after an easy one")
    given = parser.parse_args()
    imported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    start = time.perf_counter()
    problem = Problem(given.problem)
    method = Newton(problem, given.solver)
    ready, cpu = time.perf_counter(), time.process_time()
    counts = march(method, given)
    done, cpu = time.perf_counter(), time.process_time() - cpu
    np.savez(
        given.result,
        u=method.u.reshape(-1, problem.d),
        c=method.c,
        mu=method.mu,
        **counts,
        time_setup_s=ready - start,
        time_march_s=done - ready,
        cpu_march_s=cpu,
        time_per_newton_s=(done - ready) / (sum(counts["newton"]) + counts["wasted"]),
        peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        import_memory_bytes=imported,
        solver=method.solver,
        versions=f"scikit-fem {skfem.__version__}, SciPy {scipy.__version__}, {method.solver}, "
        f"Python {sys.version.split()[0]}",
    )


if __name__ == "__main__":
    main()
