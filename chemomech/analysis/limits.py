"""Where a run leaves what linear elasticity describes: strains above 5 %, stresses above yield."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
import ufl
from dolfinx import fem
from mpi4py import MPI

from chemomech.drawing import metric
from chemomech.parallel import on_rank_zero
from chemomech.physics.chemomechanics import ChemoMechanics
from chemomech.physics.derived import Derived
from chemomech.typing import Array, Flags, Ints

SMALL_STRAIN: Final = 0.05
STRAIN: Final = "strain"
YIELD: Final = "von_mises_stress"
_PAIRS: Final = ((0, 1), (1, 2), (2, 0))
_AT_ONCE: Final = 8_192  # cells whose strain is held at a time
_PLACES: Final = ("position_m", "largest_position_m")


@dataclass(frozen=True)
class Passed:
    """A limit that a run has passed; one for each kind and material, however often and in however many places.

    Attributes:
        kind: ``strain`` or ``von_mises_stress``.
        material: Where it was passed first; for stresses the one whose limit it is.
        limit: 0.05, or the yield stress, Pa.
        step, time_s: When it was passed first.
        value: How large it was then, 1 or Pa.
        position_m: Where that was, middle of a cell.
        largest: The largest of the run.
        largest_time_s, largest_position_m: Its time and place.
    """

    kind: str
    material: str
    limit: float
    step: int
    time_s: float
    value: float
    position_m: tuple[float, ...]
    largest: float
    largest_time_s: float
    largest_position_m: tuple[float, ...]

    @property
    def text(self) -> str:
        """What a user is told when it happens."""
        size = max(map(abs, self.position_m))
        place = f"({', '.join(metric(x if abs(x) > 1e-3 * size else 0.0) for x in self.position_m)})"
        if self.kind == STRAIN:
            return (
                f"a strain of {100.0 * self.value:.2g} % in {self.material} at {place} passes "
                f"{100.0 * self.limit:.0f} %, up to which strains count as small here"
            )
        return (
            f"a von Mises stress of {_stress(self.value)} in {self.material} at {place} passes its yield stress of "
            f"{_stress(self.limit)}: it would flow there, what is computed is elastic"
        )

    def as_dict(self) -> dict[str, Any]:
        """For ``summary.json`` and checkpoints."""
        return asdict(self) | {key: list(getattr(self, key)) for key in _PLACES}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Passed:
        """The reverse of `as_dict`."""
        places = {key: tuple(data[key]) for key in _PLACES}
        return cls(**{**data, **places})


def _stress(value: float) -> str:
    size, unit = (1e9, "GPa") if value >= 1e9 else (1e6, "MPa") if value >= 1e5 else (1.0, "Pa")
    return f"{value / size:.3g} {unit}"


class Limits:
    """Watches the strain of every cell and, where a material has a yield stress, its von Mises stress.

    The strain is sym(grad u) without the slip of dislocations and the opening of boundaries, which are no deformation
    of the lattice; its largest principal value in magnitude counts. Stresses of cells at triple junctions are left
    out: where openings do not fit together the field is that of a dislocation, and its peak is one of the mesh.

    Args:
        physics: The problem.
        derived: Its fields.

    Attributes:
        passed: What was passed so far, in that order; the same on every rank.
    """

    def __init__(self, physics: ChemoMechanics, derived: Derived) -> None:
        self._physics, self._derived = physics, derived
        msh, body = physics.body.mesh, physics.body
        self._comm: MPI.Intracomm = msh.comm
        n = msh.topology.index_map(body.dimension).size_local
        middle = np.full((1, body.dimension), 1.0 / (body.dimension + 1))
        self._strain: Any = fem.Expression(ufl.sym(physics.beta), middle)
        self._number = np.asarray(msh.topology.original_cell_index, dtype=np.int64)[:n]
        self._phase = np.zeros(n, dtype=np.int32)
        for k, phase in enumerate(physics.phases):
            cells = body.cell_tags.find(body.phases[phase])
            self._phase[cells[cells < n]] = k
        self._yields = {
            k: limit for k, p in enumerate(physics.phases) if (limit := physics.materials[p].yield_stress) is not None
        }
        self._counted = ~_at_junctions(physics)[:n] if self._yields else np.ones(n, dtype=bool)
        self._of = {k: np.flatnonzero((self._phase == k) & self._counted) for k in self._yields}
        self._square, self._part = (np.zeros(n if self._yields else 0) for _ in range(2))
        self.passed: list[Passed] = []

    def check(self, time: float, step: int) -> None:
        """Look at the present state. Collective."""
        strain = self._largest_strain()
        found = [(STRAIN, -1, SMALL_STRAIN, *strain)]
        if self._yields:
            square = self._von_mises_square()
            for k, limit in self._yields.items():
                cell = self._of[k][int(np.argmax(square[self._of[k]]))] if len(self._of[k]) else -1
                found.append((YIELD, k, limit, float(np.sqrt(square[cell])) if cell >= 0 else 0.0, int(cell)))
        largest = np.empty(len(found))
        self._comm.Allreduce(np.array([value for *_, value, _ in found]), largest, op=MPI.MAX)
        for (kind, k, limit, value, cell), most in zip(found, largest.tolist(), strict=True):
            if most > limit:
                self._note(kind, k, limit, most, cell if value == most else -1, time, step)

    def _note(self, kind: str, k: int, limit: float, value: float, cell: int, time: float, step: int) -> None:
        at = [i for i, p in enumerate(self.passed) if p.kind == kind and (k < 0 or p.material == self._name(k))]
        if at and value <= self.passed[at[0]].largest * (1.0 + 1e-9):  # the same again, up to rounding
            return
        mine = (int(self._number[cell]), self._middle(cell), int(self._phase[cell])) if cell >= 0 else None
        _, place, phase = min(have for have in self._comm.allgather(mine) if have is not None)
        if at:
            before = self.passed[at[0]]
            self.passed[at[0]] = replace(before, largest=value, largest_time_s=time, largest_position_m=place)
        else:
            name = self._name(phase)
            self.passed.append(Passed(kind, name, limit, step, time, value, place, value, time, place))

    def _name(self, phase: int) -> str:
        return self._physics.phases[phase]

    def _middle(self, cell: int) -> tuple[float, ...]:
        """Centre of a cell, m."""
        body = self._physics.body
        place = body.mesh.geometry.x[body.mesh.geometry.dofmaps[0][cell]].mean(axis=0) * body.length
        return tuple(place[: body.dimension].tolist())

    def _largest_strain(self) -> tuple[float, int]:
        """The largest principal strain in magnitude of this rank if it is above the limit, and its cell."""
        msh, most = self._physics.body.mesh, (0.0, -1)
        for start in range(0, len(self._number), _AT_ONCE):
            some = np.arange(start, min(start + _AT_ONCE, len(self._number)), dtype=np.int32)
            values = self._strain.eval(msh, some).reshape(-1, 3, 3)
            square = np.einsum("cij,cij->c", values, values)  # no principal value is larger
            large = np.flatnonzero(square > SMALL_STRAIN**2)
            if not len(large):
                continue
            principal = np.abs(np.linalg.eigvalsh(values[large])).max(axis=1)
            first = int(np.argmax(principal))
            most = max(most, (float(principal[first]), int(some[large[first]])), key=lambda found: found[0])
        return most

    def _von_mises_square(self) -> Array:
        """Square of the von Mises stress of the owned cells, Pa^2; kept until the next call."""
        square, part = self._square, self._part
        sigma = self._derived.function("stress").x.array.reshape(-1, 3, 3)[: len(square)]
        square[:] = 0.0
        for i, j in _PAIRS:
            np.subtract(sigma[:, i, i], sigma[:, j, j], out=part)
            np.multiply(part, part, out=part)
            part *= 0.5
            square += part
            np.multiply(sigma[:, i, j], sigma[:, i, j], out=part)
            part *= 3.0
            square += part
        return square

    def restore(self, passed: Iterable[Mapping[str, Any]]) -> None:
        """Take up what a checkpoint holds."""
        self.passed = [Passed.from_dict(data) for data in passed]


def _at_junctions(physics: ChemoMechanics) -> Flags:
    """Local cells with a corner where three facets of the network, or more, meet. Collective."""
    body, network = physics.body, physics.network
    msh = body.mesh
    corners = np.asarray(msh.geometry.dofmaps[0])
    if network is None:
        return np.zeros(len(corners), dtype=bool)
    names = {member for members in network.members.values() for member in members}

    def found() -> Ints:
        arrays = body.source
        if arrays is None:
            raise RuntimeError("the mesh of the body is not at hand")
        facets = arrays.facets[np.isin(arrays.facet_tags, [arrays.boundaries[name] for name in names])]
        d = facets.shape[1]
        ridges = np.concatenate([np.delete(facets, k, axis=1) for k in range(d)])
        ridges, count = np.unique(np.sort(ridges, axis=1), axis=0, return_counts=True)
        return np.unique(ridges[count > 2]).astype(np.int32)

    nodes = on_rank_zero(msh.comm, found)
    at = np.isin(np.asarray(msh.geometry.input_global_indices), nodes)
    return np.asarray(at[corners].any(axis=1))
