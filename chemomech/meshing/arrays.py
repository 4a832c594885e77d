"""A mesh as plain arrays, held by rank 0: what generators make, checkpoints keep and ranks share."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from chemomech.typing import Array, Ints, Longs

QUATERNION: Final = ("q0", "q1", "q2", "q3")
"""Columns of a table of grains with their orientations, the scalar first."""
GRAIN_MARK: Final = "chemomech-grains-"
"""Begin of a name that a mesh file holds if each entity of its cells is a grain; their number follows."""


@dataclass(frozen=True, slots=True)
class MeshArrays:
    """Simplices with named phases and boundaries.

    Attributes:
        points: Coordinates, m, shape (n, 3).
        cells: Corner numbers, shape (m, 3) for triangles or (m, 4) for tetrahedra.
        cell_tags: Phase tag of each cell, shape (m,).
        facets: Corner numbers of tagged facets, shape (f, 2) or (f, 3).
        facet_tags: Boundary tag of each tagged facet, shape (f,).
        phases: Material name of each cell tag.
        boundaries: Name of each facet tag; an interface inside the body is named ``lower|upper``, after its two
            materials, the one with the smaller tag first.
        twins: Nodes that are one across a periodic axis: the node on the side of larger coordinates and the one it
            stands for, which has no twin itself, shape (k, 2).
        cell_grain: Grain of each cell, shape (m,); empty where nothing is known of grains.
        orientations: Unit quaternions of the grains, sample to crystal (`materials.orientation.crystal_axes`), shape
            (g, 4).
    """

    points: Array
    cells: Longs
    cell_tags: Ints
    facets: Longs
    facet_tags: Ints
    phases: dict[str, int] = field(default_factory=dict)
    boundaries: dict[str, int] = field(default_factory=dict)
    twins: Longs = field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))
    cell_grain: Longs = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    orientations: Array = field(default_factory=lambda: np.zeros((0, 4)))

    @property
    def dimension(self) -> int:
        """2 or 3."""
        return int(self.cells.shape[1]) - 1

    @property
    def places(self) -> Longs:
        """For every node the one it stands for: itself, or its twin, shape (n,)."""
        out = np.arange(len(self.points), dtype=np.int64)
        out[self.twins[:, 0]] = self.twins[:, 1]
        return out

    @property
    def grains(self) -> int:
        """Number of grains with an orientation; 0 where nothing is known of them."""
        return len(self.orientations)

    def grain_table(self, extra: Mapping[str, Sequence[float]] | None = None) -> str:
        """One line per grain as CSV: number, phase, size, centre, quaternion, and what else is given.

        Args:
            extra: Further columns.
        """
        d = self.dimension
        sizes = np.abs(measures(self.points, self.cells))
        total = np.bincount(self.cell_grain, sizes, self.grains)
        middle = self.points[self.cells].mean(axis=1)[:, :d]
        weighted = [np.bincount(self.cell_grain, sizes * middle[:, k], self.grains) for k in range(d)]
        phase_of = np.zeros(self.grains, dtype=np.int64)
        phase_of[self.cell_grain] = self.cell_tags
        names = {tag: name for name, tag in self.phases.items()}
        more = dict(extra or {})
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        size = "area_m2" if d == 2 else "volume_m3"
        writer.writerow(["grain", "phase", size, *("x_m", "y_m", "z_m")[:d], *QUATERNION, *more])
        for k in range(self.grains):
            center = [f"{w[k] / total[k]:.9g}" if total[k] else "" for w in weighted]
            quaternion = [repr(float(x)) for x in self.orientations[k]]
            rest = [f"{column[k]:.9g}" for column in more.values()]
            writer.writerow([k, names.get(int(phase_of[k]), ""), f"{total[k]:.12g}", *center, *quaternion, *rest])
        return out.getvalue()

    def to_dict(self) -> dict[str, npt.NDArray[np.generic]]:
        """Arrays only, for a file; ``from_dict`` reads them."""
        names = json.dumps({"phases": self.phases, "boundaries": self.boundaries})
        return {
            "points": self.points,
            "cells": self.cells,
            "cell_tags": self.cell_tags,
            "facets": self.facets,
            "facet_tags": self.facet_tags,
            "twins": self.twins,
            "cell_grain": self.cell_grain,
            "orientations": self.orientations,
            "names": np.frombuffer(names.encode(), dtype=np.uint8),
        }

    @classmethod
    def from_dict(cls, data: dict[str, npt.NDArray[np.generic]]) -> MeshArrays:
        """The inverse of ``to_dict``."""
        names = json.loads(bytes(np.asarray(data["names"], dtype=np.uint8)).decode())
        return cls(
            points=np.asarray(data["points"], dtype=np.float64),
            cells=np.asarray(data["cells"], dtype=np.int64),
            cell_tags=np.asarray(data["cell_tags"], dtype=np.int32),
            facets=np.asarray(data["facets"], dtype=np.int64),
            facet_tags=np.asarray(data["facet_tags"], dtype=np.int32),
            twins=np.asarray(data.get("twins", np.zeros((0, 2))), dtype=np.int64),
            cell_grain=np.asarray(data.get("cell_grain", np.zeros(0)), dtype=np.int64),
            orientations=np.asarray(data.get("orientations", np.zeros((0, 4))), dtype=np.float64),
            **names,
        )


def table_of(path: Path) -> Path:
    """Where the table of the grains of a mesh file lies."""
    return path.with_suffix(".grains.csv")


def interface_name(phases: dict[str, int], first: str, second: str) -> str:
    """The name of the interface of two materials: ``lower|upper``, the one with the smaller tag first."""
    return "|".join(sorted((first, second), key=phases.__getitem__))


def measures(points: Array, cells: Longs) -> Array:
    """Signed areas or volumes of simplices, m^2 or m^3, shape (m,)."""
    x = points[cells]
    edges = x[:, 1:] - x[:, :1]
    if cells.shape[1] == 3:
        return np.asarray(0.5 * (edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]))
    return np.asarray(np.linalg.det(edges) / 6.0)
