"""Equal right-angled cells, layer by layer."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from chemomech.case import Box, Rectangle
from chemomech.case.regions import spans
from chemomech.meshing.generate.named import phase_tags
from chemomech.typing import Array, Ints, Longs


def structured(domain: Rectangle | Box, size: float) -> tuple[Array, Longs, Ints]:
    """Squares halved in turn along either diagonal, or cubes cut in six; every layer is divided on its own.

    Args:
        domain: The body, without inclusions.
        size: Edge of the squares or cubes wanted, m.

    Returns:
        Points (n, 3), cells and the phase tag of each cell.
    """
    axes = [
        c - 0.5 * s + s * np.arange(n + 1) / n
        for c, s, n in ((c, s, _divisions(s, size)) for c, s in zip(domain.center, domain.size, strict=True))
    ]
    layers = spans(domain)
    if len(layers) > 1:
        parts = [np.linspace(low, high, _divisions(high - low, size) + 1) for low, high, _ in layers]
        axes[1] = np.concatenate([parts[0][:1], *(part[1:] for part in parts)])
    divisions = [len(axis) - 1 for axis in axes]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    points = np.zeros((len(grid), 3))
    points[:, : grid.shape[1]] = grid
    number = np.arange(len(grid)).reshape([n + 1 for n in divisions])
    if len(divisions) == 2:
        a, b, c, d = (s.ravel() for s in (number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]))
        i, j = np.indices(divisions)
        even = ((i + j) % 2 == 0).ravel()
        one = np.where(even[:, None], np.c_[a, b, c], np.c_[a, b, d])
        two = np.where(even[:, None], np.c_[a, c, d], np.c_[b, c, d])
        cells = np.concatenate([one, two])
    else:
        corner = np.stack(np.meshgrid(*[np.arange(n) for n in divisions], indexing="ij"), axis=-1).reshape(-1, 3)
        tetrahedra = []
        for path in permutations(range(3)):
            at = [corner]
            for axis in path:
                at.append(at[-1] + np.eye(3, dtype=int)[axis])
            tetrahedra.append(np.stack([number[tuple(p.T)] for p in at], axis=1))
        cells = np.concatenate(tetrahedra)
    phases = phase_tags(domain)
    tags = np.array([phases[layer.material] for layer in layers], dtype=np.int32)
    middle = points[cells, 1].mean(axis=1)
    return points, cells.astype(np.int64), tags[np.searchsorted([layer.high for layer in layers[:-1]], middle)]


def _divisions(length: float, size: float) -> int:
    return max(1, round(length / size))
