"""Stacks of sections: grains go through them, voxels and their tetrahedra keep volumes and areas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from chemomech.errors import CaseError
from chemomech.microstructure.ebsd.map import EbsdMap
from chemomech.microstructure.sections import EbsdStack, stack_cells, stacked, voxel_cells, voxel_complex
from chemomech.typing import Longs

STEPS = (1e-6, 2e-6, 3e-6)
ORIGIN = (5e-6, -6e-6, 7e-6)
VOLUMES = {
    "one voxel": np.zeros((1, 1, 1), dtype=np.int64),
    "noise": np.random.default_rng(0).integers(0, 4, (4, 5, 6)),
    "holes": np.random.default_rng(1).integers(-2, 6, (5, 4, 3)),
    "chessboard": np.indices((4, 4, 4)).sum(axis=0) % 2,
    "layers": np.indices((4, 2, 2))[0],
}


def section(grains: Longs) -> EbsdMap:
    """A map whose grains are turned by 20 degrees times their number about z; -1 is not indexed."""
    row, column = np.indices(grains.shape).reshape(2, -1)
    half = np.radians(10.0) * grains.ravel()
    quaternions = np.stack([np.cos(half), 0.0 * half, 0.0 * half, np.sin(half)], axis=1)
    quaternions[grains.ravel() < 0] = (1.0, 0.0, 0.0, 0.0)
    return EbsdMap(
        x=column * 1e-6,
        y=row * 2e-6,
        step=1e-6,
        row_step=2e-6,
        grid="square",
        shape=(grains.shape[0], grains.shape[1]),
        row=row,
        column=column,
        phase=np.where(grains.ravel() < 0, -1, 0).astype(np.int32),
        quaternions=quaternions,
        phases=("iron",),
        point_groups=("m-3m",),
    )


def blocks() -> EbsdStack:
    """Grain 0 above, 1 below it on the left, 2 on the right; the lowest section all 0 again: another grain."""
    top, middle = np.zeros((3, 4), dtype=np.int64), np.ones((3, 4), dtype=np.int64)
    middle[:, 2:] = 2
    return stacked([section(top), section(middle), section(middle), section(top)], 3e-6)


@pytest.mark.parametrize("name", VOLUMES)
def test_faces_of_voxels_bound_their_grains(name: str) -> None:
    labels = VOLUMES[name]
    body = voxel_complex(labels, STEPS, ORIGIN)
    body.check()
    assert body.volumes / 6e-18 == pytest.approx(np.bincount(labels[labels >= 0]), rel=1e-10, abs=0.0)
    low, high = body.points.min(axis=0), body.points.max(axis=0)
    place = np.stack(np.nonzero(labels >= 0)[::-1])
    assert low == pytest.approx(ORIGIN + (place.min(axis=1) - 0.5) * STEPS, rel=1e-9, abs=0.0)
    assert high == pytest.approx(ORIGIN + (place.max(axis=1) + 0.5) * STEPS, rel=1e-9, abs=0.0)


@pytest.mark.parametrize("size", [None, 1e-6, 1.4e-6])
@pytest.mark.parametrize("name", VOLUMES)
def test_tetrahedra_fill_the_voxels_and_fit(name: str, size: float | None) -> None:
    labels = VOLUMES[name]
    points, cells, grain = voxel_cells(labels, STEPS, ORIGIN, size)
    a, b, c, d = (points[cells[:, k]] for k in range(4))
    volumes = np.einsum("ci,ci->c", np.cross(b - a, c - a), d - a) / 6.0
    assert volumes.min() > 0.0
    assert np.bincount(grain, volumes) / 6e-18 == pytest.approx(np.bincount(labels[labels >= 0]), rel=1e-10, abs=0.0)
    # Facets within a grain are shared by two cells, and all others add up to the faces of the voxels.
    facets = np.sort(cells[:, [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]].reshape(-1, 3), axis=1)
    unique, which, uses = np.unique(facets, axis=0, return_inverse=True, return_counts=True)
    assert uses.max() <= 2
    owner = np.repeat(grain, 4)
    low, high = np.full(len(unique), 99), np.full(len(unique), -1)
    np.minimum.at(low, which.ravel(), owner)
    np.maximum.at(high, which.ravel(), owner)
    between = (uses == 1) | (low != high)
    p, q, r = (points[unique[between, k]] for k in range(3))
    area = 0.5 * np.linalg.norm(np.cross(q - p, r - p), axis=1).sum()
    assert area == pytest.approx(voxel_complex(labels, STEPS, ORIGIN).areas.sum(), rel=1e-9, abs=0.0)


def test_cubes_give_good_tetrahedra() -> None:
    points, cells, _ = voxel_cells(VOLUMES["noise"], (1.0, 1.0, 1.0))
    edges = points[cells[:, [0, 0, 0, 1, 1, 2]]] - points[cells[:, [1, 2, 3, 2, 3, 3]]]
    volumes = np.abs(np.linalg.det(points[cells[:, 1:]] - points[cells[:, :1]])) / 6.0
    shapes = 12.0 * (3.0 * volumes) ** (2.0 / 3.0) / (edges**2).sum(axis=(1, 2))
    assert shapes.min() > 0.8
    assert shapes.mean() > 0.85


def test_neighbours_across_sections() -> None:
    stack = blocks()
    assert (stack.planes, stack.rows, len(stack)) == (4, 3, 48)
    counts = (stack.neighbours >= 0).sum(axis=1).reshape(4, 3, 4)
    assert counts[0].tolist() == [[3, 4, 4, 3], [4, 5, 5, 4], [3, 4, 4, 3]]
    assert counts[1, 1].tolist() == [5, 6, 6, 5]
    assert len(stack.pairs) == 3 * 4 * 3 + 4 * (2 * 4 + 3 * 3)
    back = stack.neighbours[np.maximum(stack.neighbours, 0), [3, 4, 5, 0, 1, 2]]
    assert np.all((back == np.arange(48)[:, None]) | (stack.neighbours < 0))


def test_a_stack_becomes_a_microstructure_and_a_mesh() -> None:
    pytest.importorskip("orix")
    from chemomech.meshing.grains import GrainMesh
    from chemomech.microstructure.ebsd.segmentation import segment
    from chemomech.microstructure.sections import stack_to_structure

    stack = blocks()
    labels = segment(stack)
    assert np.unique(labels, return_counts=True)[1].tolist() == [12, 12, 12, 12]
    structure = stack_to_structure(stack, labels)
    assert structure.dimension == 3
    assert structure.sizes == pytest.approx(np.full(4, 12 * 6e-18), rel=1e-10, abs=0.0)
    assert structure.pairs.tolist() == [[0, 1], [0, 2], [1, 2], [1, 3], [2, 3]]
    assert structure.measures == pytest.approx([12e-12, 12e-12, 36e-12, 12e-12, 12e-12], rel=1e-10, abs=0.0)
    assert structure.angles == pytest.approx([20.0, 40.0, 20.0, 20.0, 40.0], abs=1e-6)
    mesh = GrainMesh.of_cells(*stack_cells(stack, labels, 1e-6), structure)
    assert mesh.boundary_measures() == pytest.approx(structure.measures, rel=1e-10, abs=0.0)


def test_sections_that_do_not_fit() -> None:
    one = section(np.zeros((3, 4), dtype=np.int64))
    with pytest.raises(CaseError, match="no sections"):
        stacked([], 1e-6)
    with pytest.raises(CaseError, match="spacing"):
        stacked([one], 0.0)
    with pytest.raises(CaseError, match=r"sections\.1.*rows and columns"):
        stacked([one, section(np.zeros((3, 5), dtype=np.int64))], 1e-6)
    with pytest.raises(CaseError, match=r"sections\.1.*phases"):
        stacked([one, replace(one, phases=("nickel",))], 1e-6)
    with pytest.raises(CaseError, match=r"sections\.1.*steps"):
        stacked([one, replace(one, step=3e-6)], 1e-6)
    with pytest.raises(CaseError, match=r"sections\.0.*hexagonal"):
        stacked([replace(one, grid="hexagonal")], 1e-6)
    with pytest.raises(CaseError, match="labels"):
        voxel_complex(np.full((2, 2, 2), -1), STEPS)
    with pytest.raises(CaseError, match="size"):
        voxel_cells(VOLUMES["noise"], STEPS, size=-1.0)
    with pytest.raises(CaseError, match="too many voxels"):
        voxel_cells(VOLUMES["noise"], STEPS, size=1e-10)
