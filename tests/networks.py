"""Small bodies with grain boundaries for tests: one boundary in a half-plane, three that meet, planes in a cube."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

import chemomech as cm
from chemomech.materials.laws import GAS_CONSTANT
from chemomech.meshing.arrays import MeshArrays
from chemomech.simulation import Simulation

TEMPERATURE = 303.15
RT = GAS_CONSTANT * TEMPERATURE


def graded(first: float, growth: float, largest: float, end: float) -> np.ndarray:
    """0 up to ``end`` in steps that grow from ``first`` to ``largest``."""
    x, h = [0.0], first
    while x[-1] < end:
        x.append(x[-1] + h)
        h = min(h * growth, largest)
    return np.array(x)


def half_plane(x: np.ndarray, y: np.ndarray) -> MeshArrays:
    """Right triangles on a tensor grid, m; the boundary ``HAGB`` on x = 0, the contact ``bottom`` on y = 0."""
    grid = np.meshgrid(x, y, indexing="ij")
    points = np.stack([grid[0].ravel(), grid[1].ravel(), np.zeros(grid[0].size)], axis=1)
    i, j = np.meshgrid(range(len(x) - 1), range(len(y) - 1), indexing="ij")
    a = (i * len(y) + j).ravel()
    b, c, d = a + len(y), a + len(y) + 1, a + 1
    middle = int(np.argmin(np.abs(x))) * len(y) + np.arange(len(y) - 1)
    low = np.arange(len(x) - 1) * len(y)
    return MeshArrays(
        points=points,
        cells=np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)]).astype(np.int64),
        cell_tags=np.ones(2 * len(a), dtype=np.int32),
        facets=np.concatenate([np.stack([low, low + len(y)], axis=1), np.stack([middle, middle + 1], axis=1)]),
        facet_tags=np.repeat([1, 2], [len(low), len(middle)]).astype(np.int32),
        phases={"ag": 1},
        boundaries={"bottom": 1, "HAGB": 2},
    )


def junction(n: int, size: float = 1e-6, jiggle: float = 0.2) -> MeshArrays:
    """A distorted square whose boundaries ``a`` (up), ``b`` (down left) and ``c`` (right) meet at its middle."""
    x = np.linspace(0.0, 1.0, n + 1)
    grid = np.meshgrid(x, x, indexing="ij")
    p = np.stack([grid[0].ravel(), grid[1].ravel()], axis=1)
    i, j = np.meshgrid(range(n), range(n), indexing="ij")
    a = (i * (n + 1) + j).ravel()
    cells = np.concatenate([np.stack([a, a + n + 1, a + n + 2], axis=1), np.stack([a, a + n + 2, a + 1], axis=1)])

    def up(q: np.ndarray) -> np.ndarray:
        return np.isclose(q[:, 0], 0.5) & (q[:, 1] > 0.5 - 1e-9)

    def diagonal(q: np.ndarray) -> np.ndarray:
        return np.isclose(q[:, 0], q[:, 1]) & (q[:, 0] < 0.5 + 1e-9)

    def right(q: np.ndarray) -> np.ndarray:
        return np.isclose(q[:, 1], 0.5) & (q[:, 0] > 0.5 - 1e-9)

    edges = np.concatenate([cells[:, [0, 1]], cells[:, [1, 2]], cells[:, [2, 0]]])
    edges = np.unique(np.sort(edges, axis=1), axis=0)
    tag = np.zeros(len(edges), dtype=np.int32)
    for k, test in enumerate((up, diagonal, right), 5):
        tag[test(p[edges[:, 0]]) & test(p[edges[:, 1]]) & test(p[edges].mean(axis=1))] = k
    for k, (axis, place) in enumerate(((0, 0.0), (0, 1.0), (1, 0.0), (1, 1.0)), 1):
        tag[np.isclose(p[edges][:, :, axis], place).all(axis=1)] = k
    free = (p.min(axis=1) > 1e-9) & (p.max(axis=1) < 1.0 - 1e-9) & ~(up(p) | diagonal(p) | right(p))
    p = p + free[:, None] * jiggle / n * (np.random.default_rng(1).random(p.shape) - 0.5)
    return MeshArrays(
        points=np.pad(p, ((0, 0), (0, 1))) * size,
        cells=cells.astype(np.int64),
        cell_tags=np.ones(len(cells), dtype=np.int32),
        facets=edges[tag > 0].astype(np.int64),
        facet_tags=tag[tag > 0],
        phases={"ag": 1},
        boundaries={name: k for k, name in enumerate(("left", "right", "bottom", "top", "a", "b", "c"), 1)},
    )


def cube(n: int, size: float = 1e-6, jiggle: float = 0.15) -> MeshArrays:
    """A distorted cube with the planes ``a`` (x = 1/2) and ``b`` (y = 1/2, x > 1/2), which meet in a line."""
    grid = np.linspace(0.0, 1.0, n + 1)
    p = np.array(list(itertools.product(grid, grid, grid)))
    cells_ = []
    for corner in itertools.product(range(n), repeat=3):
        for way in itertools.permutations(range(3)):
            path = [np.array(corner)]
            for axis in way:
                path.append(path[-1] + np.eye(3, dtype=int)[axis])
            cells_.append([(k[0] * (n + 1) + k[1]) * (n + 1) + k[2] for k in path])
    cells = np.array(cells_)
    odd = np.linalg.det(p[cells[:, 1:]] - p[cells[:, :1]]) < 0.0
    cells[odd] = cells[odd][:, [1, 0, 2, 3]]
    faces = np.unique(np.sort(np.concatenate([np.delete(cells, k, axis=1) for k in range(4)]), axis=1), axis=0)
    x = p[faces]
    tag = np.zeros(len(faces), dtype=np.int32)
    on_a, on_b = np.isclose(x[:, :, 0], 0.5).all(axis=1), np.isclose(x[:, :, 1], 0.5).all(axis=1)
    tag[on_b & (x[:, :, 0] > 0.5 - 1e-9).all(axis=1)] = 8
    tag[on_a] = 7
    for k, (axis, place) in enumerate(itertools.product(range(3), (0.0, 1.0)), 1):
        tag[np.isclose(x[:, :, axis], place).all(axis=1)] = k
    on = np.isclose(p[:, 0], 0.5) | np.isclose(p[:, 1], 0.5)
    free = (p.min(axis=1) > 1e-9) & (p.max(axis=1) < 1.0 - 1e-9) & ~on
    p = p + free[:, None] * jiggle / n * (np.random.default_rng(0).random(p.shape) - 0.5)
    names = ("left", "right", "bottom", "top", "back", "front", "a", "b")
    return MeshArrays(
        points=p * size,
        cells=cells.astype(np.int64),
        cell_tags=np.ones(len(cells), dtype=np.int32),
        facets=faces[tag > 0].astype(np.int64),
        facet_tags=tag[tag > 0],
        phases={"ag": 1},
        boundaries={name: k for k, name in enumerate(names, 1)},
    )


def write_msh(arrays: MeshArrays, path: Path) -> None:
    """A gmsh file whose physical groups are the names of the arrays."""
    import meshio

    d = arrays.dimension
    kinds = ("triangle", "line") if d == 2 else ("tetra", "triangle")
    groups = {name: np.array([tag, d]) for name, tag in arrays.phases.items()}
    groups |= {name: np.array([tag, d - 1]) for name, tag in arrays.boundaries.items()}
    tags = [arrays.cell_tags, arrays.facet_tags]
    content = meshio.Mesh(
        arrays.points,
        [(kinds[0], arrays.cells), (kinds[1], arrays.facets)],
        cell_data={"gmsh:physical": tags, "gmsh:geometrical": tags},
        field_data=groups,
    )
    meshio.write(path, content, file_format="gmsh22", binary=True)


def potential(c: float, interaction: float = 0.0, reference: float = 0.0) -> float:
    """mu of a grain free of stress, J/mol."""
    return RT * (float(np.log(c / (1.0 - c))) + interaction * (1.0 - 2.0 * c)) + reference


def case(classes: dict[str, Any], material: dict[str, Any] | None = None, **more: Any) -> cm.Case:
    """A case on one of the bodies above; ``more`` replaces its parts."""
    grain = {
        "elasticity": {"youngs_modulus": "80 GPa", "poissons_ratio": 0.3},
        "partial_molar_volume": 0.0,
        "reference_concentration": 0.01,
        "maximum_concentration": "1e5 mol/m^3",
        "diffusivity": "1e-16 m^2/s",
    }
    data: dict[str, Any] = {
        "domain": {"shape": "file", "path": "given.msh"},
        "temperature": TEMPERATURE,
        "materials": {"ag": grain | (material or {})},
        "grain_boundaries": classes,
        "time": {"end": 1.0},
    }
    return cm.Case.model_validate(data | more)


def simulation(given: cm.Case, arrays: MeshArrays | None) -> Simulation:
    """The case on arrays made here, at t = 0."""
    comm = MPI.COMM_WORLD
    made = Simulation(given, comm, arrays if comm.rank == 0 else None, given=True)
    made.begin()
    return made


begun_here: list[Simulation] = []
"""What ``begun`` made; tests/conftest.py destroys it after each test, on all ranks together."""


def begun(given: cm.Case, arrays: Callable[[], MeshArrays]) -> Simulation:
    """The case on arrays that rank 0 makes, at t = 0, for the length of one test."""
    made = simulation(given, arrays() if MPI.COMM_WORLD.rank == 0 else None)
    begun_here.append(made)
    return made


def uncorrected(made: Simulation) -> Simulation:
    """The same without the correction that shares out what the solvers leave: it would hide what a scheme loses."""
    made.physics.set_amount = lambda amount: None  # type: ignore[method-assign]
    return made


def unknowns(made: Simulation) -> dict[str, np.ndarray]:
    """Unknowns in the order of the input mesh, on every rank: two meshings need not have one partition."""
    found = {}
    for name, function in made.state.functions.items():
        number, held = (np.concatenate(made.comm.allgather(part)) for part in made._layout(name).entries(function))
        found[name] = held[np.argsort(number)]
    return found


def run(made: Simulation) -> Simulation:
    """The same at its end."""
    control = made.control()
    while made.time < control.end * (1.0 - 1e-12):
        made.advance(control)
    return made


def along(made: Simulation, name: str = "HAGB", axis: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Places along an axis, m, and fractions of a class, ordered, on one rank."""
    network = made.physics.network
    assert network is not None
    c = network.c[name]
    x = c.function_space.tabulate_dof_coordinates()[:, axis] * made.length
    order = np.argsort(x)
    return x[order], c.x.array[order]
