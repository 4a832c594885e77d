"""Which grain each cell of a mesh file belongs to, and how the grains are oriented, from the table beside it."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Final

import numpy as np

from chemomech.case import Case, MeshFile
from chemomech.errors import CaseError
from chemomech.frozen import did_you_mean
from chemomech.materials.orientation import depends_on_orientation
from chemomech.meshing.arrays import GRAIN_MARK, QUATERNION, measures, table_of
from chemomech.typing import Array, Ints, Longs

_HEAD: Final = 4096  # bytes at the begin of a file in which the mark stands
_SIZES: Final = {"area_m2": 2, "volume_m3": 3}
_OFF: Final = 0.05  # of a grain's share of the body: other sizes belong to another mesh
_AGAIN: Final = "the table written with the mesh (GrainMesh.save, chemomech mesh MAP)"


def read_grains(
    case: Case, domain: MeshFile, entities: Ints, points: Array, cells: Longs, materials: list[str]
) -> tuple[Longs, Array]:
    """Grain of each cell and orientations of the grains, both empty if nothing is known of them.

    Args:
        case: The case.
        domain: Its mesh file; ``grains`` names the table.
        entities: Number of the gmsh entity of each cell, one more than its grain.
        points: Nodes, m.
        cells: Corners of the cells.
        materials: Material of each cell.

    Raises:
        CaseError: If a table is missing that must be there, can't be read, or belongs to another mesh; or if a grain
            whose material needs an orientation has none.
    """
    path = Path(domain.grains) if domain.grains else table_of(Path(domain.path))
    key = "domain.grains"
    marked = _marked(Path(domain.path))
    needed = {name for name in set(materials) if depends_on_orientation(case.materials[name])}
    if not path.is_file():
        if domain.grains:
            raise CaseError(key, domain.grains, "there is no such table of grains", f"the path of {_AGAIN}")
        if marked and needed:
            raise CaseError(
                key, None, f"the mesh has {marked} grains, and the crystals of {', '.join(sorted(needed))} need their "
                f"orientations, but {path} is not there",
                f"{_AGAIN} beside the mesh, its path here, or isotropic elasticity",
            )  # fmt: skip
        return np.zeros(0, dtype=np.int64), np.zeros((0, 4))
    numbers, sizes, quaternions = _table(path, cells.shape[1] - 1)
    grains = entities.astype(np.int64) - 1
    found = np.unique(grains)
    if marked and marked != len(numbers):
        raise CaseError(
            key, str(path), f"the table has {len(numbers)} grains, the mesh {marked}", f"{_AGAIN}, both of one run"
        )  # fmt: skip
    if len(found) != len(numbers) or np.any(found != np.arange(len(numbers))):
        raise CaseError(
            key, str(path),
            f"the table has {len(numbers)} grains, while the cells of the mesh are in {len(found)} entities of the "
            f"numbers {found[0] + 1} to {found[-1] + 1}; grain k is the entity k + 1",
            f"{_AGAIN}, both of one run",
        )  # fmt: skip
    if sizes is not None:
        share = np.bincount(grains, np.abs(measures(points, cells)), len(numbers))
        share, told = share / share.sum(), sizes / sizes.sum()
        worst = int(np.argmax(np.abs(share - told) / np.maximum(told, 1e-300)))
        if not abs(share[worst] - told[worst]) <= _OFF * told[worst]:
            raise CaseError(
                key, str(path), f"by the table grain {worst} fills {100 * told[worst]:.3g} % of the body, in the mesh "
                f"{100 * share[worst]:.3g} %: they do not belong together",
                f"{_AGAIN}, both of one run",
            )  # fmt: skip
    _complete(path, grains, quaternions, np.array(materials), needed)
    return grains, quaternions


def _marked(path: Path) -> int:
    """How many grains a mesh file says it has; 0 if it does not say."""
    with path.open("rb") as file:
        found = re.search(rf'"{GRAIN_MARK}(\d+)"'.encode(), file.read(_HEAD))
    return int(found[1]) if found else 0


def _table(path: Path, dimension: int) -> tuple[Longs, Array | None, Array]:
    """Numbers, sizes (if they are there) and unit quaternions of the grains; nan where a grain has none."""
    key = "domain.grains"
    allowed = f"a CSV file with the columns grain, {', '.join(QUATERNION)}"
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CaseError(key, str(path), f"can't be read ({error})", allowed) from error
    columns = list(rows[0]) if rows else []
    for name in ("grain", *QUATERNION):
        if name not in columns:
            raise CaseError(
                key, str(path), f"has no column '{name}'{did_you_mean(name, [str(c) for c in columns])}", allowed
            )  # fmt: skip
    size = next((name for name, d in _SIZES.items() if name in columns and d == dimension), None)
    read: list[list[float]] = []
    try:
        for row in rows:
            turn = [float(row[name]) if (row[name] or "").strip() else np.nan for name in QUATERNION]
            read.append([int(row["grain"]), float(row[size]) if size else 1.0, *turn])
    except (ValueError, TypeError) as error:
        raise CaseError(key, str(path), f"line {len(read) + 2} can't be read ({error})", "numbers") from error
    data = np.array(read, dtype=float)
    data = data[np.argsort(data[:, 0], kind="stable")]
    numbers = data[:, 0].astype(np.int64)
    if np.any(numbers != np.arange(len(numbers))):
        raise CaseError(key, str(path), "its grains are not numbered 0, 1, 2 ...", "one line for each grain")
    length = np.linalg.norm(data[:, 2:], axis=1)
    unit = np.abs(length - 1.0) < 1e-3
    quaternions = np.where(unit[:, None], data[:, 2:] / np.where(unit, length, 1.0)[:, None], np.nan)
    sizes = data[:, 1] if size and np.all(data[:, 1] > 0.0) else None
    return numbers, sizes, quaternions


def _complete(path: Path, grains: Longs, quaternions: Array, of_cell: Array, needed: set[str]) -> None:
    """Every grain of an anisotropic material has an orientation."""
    lacking = np.isnan(quaternions[grains]).any(axis=1) & np.isin(of_cell, sorted(needed))
    if np.any(lacking):
        cell = int(np.argmax(lacking))
        raise CaseError(
            "domain.grains", str(path),
            f"grain {grains[cell]} has no orientation (a unit quaternion), and its material {of_cell[cell]} needs one",
            f"four numbers in {', '.join(QUATERNION)}, or a material without directions for that phase",
        )  # fmt: skip
