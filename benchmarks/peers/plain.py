"""The problem as a short DOLFINx script: mixed element, NonlinearProblem, MUMPS.

    ./chemomech-env python benchmarks/peers/plain.py PROBLEM.npz RESULT.npz

With several phases every concentration lives on a submesh, and NonlinearProblem gets lists of blocks instead.
"""

import argparse
import resource
import time
from typing import Any

import basix.ufl
import dolfinx
import numpy as np
import ufl
from dolfinx import default_scalar_type, fem, mesh
from dolfinx.fem.petsc import NonlinearProblem, assign
from mpi4py import MPI
from petsc4py import PETSc

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("problem")
parser.add_argument("result")
parser.add_argument("--solver", choices=["direct"], default="direct")
parser.add_argument("--whole", action="store_true", help="march to the end with steps of our own choice")
parser.add_argument("--first-step", type=float, help="with --whole; default: the first of the file")
parser.add_argument("--growth", type=float, default=1.25, help="with --whole, of a step after an easy one")
parser.add_argument("--largest-step", type=float, help="with --whole; default: the end time")
parser.add_argument("--easy", type=int, default=4, help="with --whole, Newton iterations of an easy step at most")
parser.add_argument("--rtol", type=float, help="of Newton's method")
args = parser.parse_args()
memory_import = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
start = time.perf_counter()

data = np.load(args.problem)
dim = int(data["dimension"])
phases = range(len(data["sites"]))
single = len(phases) == 1

# Mesh; DOLFINx renumbers nodes and cells and remembers the old numbers.
cell = "triangle" if dim == 2 else "tetrahedron"
P1 = basix.ufl.element("P", cell, 1)
P1_vector = basix.ufl.element("P", cell, 1, shape=(dim,))
msh = mesh.create_mesh(MPI.COMM_WORLD, data["cells"], ufl.Mesh(P1_vector), data["points"])
nodes = msh.geometry.input_global_indices
cells = msh.topology.original_cell_index
markers = mesh.meshtags(msh, dim, np.arange(len(cells), dtype=np.int32), data["phase"][cells].astype(np.int32))
dx = ufl.Measure("dx", domain=msh, subdomain_data=markers)
dx_corner = dx(degree=1, scheme="vertex")
dx_inner = dx(degree=2)

# Unknowns and test functions
if single:
    W = fem.functionspace(msh, basix.ufl.mixed_element([P1_vector, P1, P1]))
    w, w_n = fem.Function(W), fem.Function(W)
    u, c, mu = ufl.split(w)
    v, r, q = ufl.TestFunctions(W)
    cs, cs_n, rs, entity_maps = [c], [ufl.split(w_n)[1]], [r], None
else:
    V, M = fem.functionspace(msh, P1_vector), fem.functionspace(msh, P1)
    submeshes = [mesh.create_submesh(msh, dim, markers.find(p)) for p in phases]
    entity_maps = [sub[1] for sub in submeshes]
    spaces = [fem.functionspace(sub[0], P1) for sub in submeshes]
    u, mu = fem.Function(V), fem.Function(M)
    cs, cs_n = [fem.Function(S) for S in spaces], [fem.Function(S) for S in spaces]
    v, q, rs = ufl.TestFunction(V), ufl.TestFunction(M), [ufl.TestFunction(S) for S in spaces]

# Coefficients
dt = fem.Constant(msh, default_scalar_type(1.0))
eigenstrain = fem.Function(fem.functionspace(msh, ("DG", 0, (6,))))
eigenstrain.x.array[:] = data["eigenstrain"][cells].ravel()


def strain(u: Any) -> Any:
    e = ufl.sym(ufl.grad(u))
    if dim == 2:
        return ufl.as_vector([e[0, 0], e[1, 1], 0, 0, 0, 2 * e[0, 1]])
    return ufl.as_vector([e[0, 0], e[1, 1], e[2, 2], 2 * e[1, 2], 2 * e[0, 2], 2 * e[0, 1]])


# Residuals
F_u, F_c, F_mu = 0, [], 0
for p, c, c_n, r in zip(phases, cs, cs_n, rs, strict=True):
    corner, inner = dx_corner(p), dx_inner(p)
    sites, chi, mu0, c_ref, D = (
        float(data[key][p])
        for key in ("sites", "interaction", "reference_potential", "reference_concentration", "diffusivity")
    )
    kappa = float(data["gradient_energy"][p])
    C = ufl.as_matrix(data["stiffness"][p].tolist())
    expansion = ufl.as_vector(data["expansion"][p].tolist())
    stress = ufl.dot(C, strain(u) - eigenstrain - expansion * (c - c_ref))
    F_u += ufl.inner(stress, strain(v)) * inner
    chemical = sites * (ufl.ln(c / (1 - c)) + chi * (1 - 2 * c) + mu0)
    F = (chemical - sites * mu) * r * corner - ufl.inner(stress, expansion) * r * inner
    F_c.append(F + kappa * ufl.inner(ufl.grad(c), ufl.grad(r)) * inner if kappa else F)
    F_mu += sites * (c - c_n) * q * corner
    F_mu += dt * sites * D * c * (1 - c) * ufl.inner(ufl.grad(mu), ufl.grad(q)) * inner

# Grain boundaries: in equilibrium with the grains, so that their fraction follows from mu; all integrals by corners
new_number = np.argsort(nodes)
if "facets" in data:
    if not single:
        raise SystemExit("plain: grain boundaries in a body of several phases are not in this script")
    msh.topology.create_entities(dim - 1)
    msh.topology.create_connectivity(dim - 1, dim)
    facets = np.arange(msh.topology.index_map(dim - 1).size_local, dtype=np.int32)
    ends = np.sort(mesh.entities_to_geometry(msh, dim - 1, facets), axis=1)
    given = np.sort(new_number[data["facets"]], axis=1)
    kind = {tuple(key): k for key, k in zip(given.tolist(), data["facet_class"].tolist(), strict=True)}
    kinds = np.array([kind.get(tuple(key), -1) for key in ends.tolist()], dtype=np.int32)
    tags = mesh.meshtags(msh, dim - 1, facets[kinds >= 0], kinds[kinds >= 0])
    dS = ufl.Measure("dS", domain=msh, subdomain_data=tags)
    normal = ufl.FacetNormal(msh)("+")
    mu_n = ufl.split(w_n)[2]

    def along(f: Any) -> Any:
        slope = ufl.grad(f)("+")
        return slope - ufl.dot(slope, normal) * normal

    for k, (area_sites, gain, D_b) in enumerate(
        zip(data["class_sites"], data["class_gain"], data["class_diffusivity"], strict=True)
    ):
        facet = dS(k, degree=1, scheme="vertex")
        c_b, c_b_n = (1 / (1 + ufl.exp(float(gain) - m("+"))) for m in (mu, mu_n))
        F_mu += float(area_sites) * (c_b - c_b_n) * q("+") * facet
        F_mu += dt * float(area_sites * D_b) * c_b * (1 - c_b) * ufl.dot(along(mu), along(q)) * facet

# One form on a mixed element, or blocks; and where the values of each node are in the unknowns
corners = msh.geometry.dofmaps[0]
u_at = np.empty((len(nodes), dim), dtype=np.int64)
mu_at = np.empty(len(nodes), dtype=np.int64)
if single:
    residual: Any = F_u + F_c[0] + F_mu
    unknowns: Any = w
    old_c = [w_n]
    dofs = W.dofmap.list
    u_at[corners] = dofs[:, : dim * (dim + 1)].reshape(-1, dim + 1, dim)
    c_at, c_nodes = [np.empty(len(nodes), dtype=np.int64)], [nodes]
    c_at[0][corners] = dofs[:, -2 * (dim + 1) : -(dim + 1)]
    mu_at[corners] = dofs[:, -(dim + 1) :]
    f_u, f_c, f_mu, space_u, functions = w, [w], w, W.sub(0), [w]
else:
    residual = [F_u, *F_c, F_mu]
    unknowns = [u, *cs, mu]
    old_c = cs_n
    u_at[corners] = dim * V.dofmap.list[:, :, None] + np.arange(dim)
    mu_at[corners] = M.dofmap.list
    c_at, c_nodes = [], []
    for sub, S in zip(submeshes, spaces, strict=True):
        c_at.append(np.empty(len(sub[3]), dtype=np.int64))
        c_at[-1][sub[0].geometry.dofmaps[0]] = S.dofmap.list
        c_nodes.append(nodes[sub[3]])
    f_u, f_c, f_mu, space_u, functions = u, cs, mu, V, [u, *cs, mu]

# Pinned displacements and nodal forces
pinned = u_at[new_number[data["pinned"][:, 0]], data["pinned"][:, 1]].astype(np.int32)
bcs = [fem.dirichletbc(0.0, pinned[data["pinned"][:, 1] == axis], space_u.sub(axis)) for axis in range(dim)]
if "held" in data:  # the chemical potential of a contact
    held = mu_at[new_number[data["held"]]].astype(np.int32)
    bcs.append(fem.dirichletbc(float(data["held_potential"]), held, W.sub(2)))
problem = NonlinearProblem(
    residual,
    unknowns,
    bcs=bcs,
    entity_maps=entity_maps,
    petsc_options_prefix="plain_",
    petsc_options={
        "ksp_type": "preonly",
        "pc_type": "lu",
        "pc_factor_mat_solver_type": "mumps",
        "snes_linesearch_type": "bt",
        "snes_rtol": args.rtol or (1e-4 if args.whole else 1e-6),
        "snes_atol": 1e-10,
        "snes_stol": 1e-10,
        "snes_max_it": 30,
    },
)
load = problem.b.duplicate()
load.array[u_at] = data["load"][nodes]  # the displacement comes first in blocks too
load.array[pinned] = 0.0

# Start
c0 = np.atleast_2d(data["c0"])
for p in phases:
    c_start = c0[p, c_nodes[p]]
    f_c[p].x.array[c_at[p]] = c_start
    start_mu = np.log(c_start / (1 - c_start)) + data["interaction"][p] * (1 - 2 * c_start)
    f_mu.x.array[mu_at[new_number[c_nodes[p]]]] = start_mu + data["reference_potential"][p]


newton: list[int] = []


def solve(step: float) -> bool:
    """One step of backward Euler; whether Newton's method converged."""
    dt.value = np.asarray(step)
    for old, new in zip(old_c, f_c, strict=True):
        old.x.array[:] = new.x.array
    assign(problem.u, problem.x)
    problem.solver.solve(load, problem.x)
    assign(problem.x, problem.u)
    newton.append(problem.solver.getIterationNumber())
    return bool(problem.solver.getConvergedReason() > 0)


ready = time.perf_counter()
passed = []
if args.whole:
    # The usual rule: longer steps while Newton's method is at ease, shorter ones where it is not.
    h, t = float(args.first_step or data["steps"][0]), 0.0
    longest = float(args.largest_step or data["end"])
    for stop in data["outputs"]:
        while t < stop:
            saved = [f.x.array.copy() for f in functions]
            last = t + h >= stop * (1 - 1e-12)
            if not solve(stop - t if last else h):
                for f, values in zip(functions, saved, strict=True):
                    f.x.array[:] = values
                h *= 0.5
                if h < 1e-9 * stop:
                    raise SystemExit(f"no step is small enough at t = {t}")
                continue
            t = stop if last else t + h
            h = min(longest, h * (args.growth if newton[-1] <= args.easy else 0.5 if newton[-1] >= 8 else 1.0))
        passed.append([f.x.array.copy() for f in f_c])
else:
    for step in data["steps"]:
        if not solve(step):
            raise SystemExit(f"Newton's method failed: reason {problem.solver.getConvergedReason()}")
march = time.perf_counter() - ready


def by_node(x: Any, at: Any, to: Any) -> Any:
    values = np.full((len(nodes), *at.shape[1:]), np.nan)
    values[to] = x[at]
    return values


def concentration(xs: Any) -> Any:
    c = [by_node(x, at, to) for x, at, to in zip(xs, c_at, c_nodes, strict=True)]
    return c[0] if single else np.array(c)


result = {
    "u": by_node(f_u.x.array, u_at, nodes),
    "c": concentration([f.x.array for f in f_c]),
    "mu": by_node(f_mu.x.array, mu_at, nodes),
    "c_outputs": np.array([concentration(xs) for xs in passed]),
    "newton": newton,
    "linear": [0] * len(newton),
    "time_setup_s": ready - start,
    "time_march_s": march,
    "time_per_newton_s": march / sum(newton) if sum(newton) else float("nan"),  # no steps: only the residual is timed
    "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    "import_memory_bytes": memory_import,
    "versions": f"DOLFINx {dolfinx.__version__}, PETSc {'.'.join(map(str, PETSc.Sys.getVersion()))}",
}

# What one residual costs, the unit in which Newton steps are counted
seconds = []
for _ in range(10):
    begin = time.perf_counter()
    problem.solver.computeFunction(problem.x, problem.b)
    seconds.append(time.perf_counter() - begin)
np.savez(args.result, time_residual_s=min(seconds), **result)
