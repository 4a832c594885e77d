"""Reading maps of electron backscatter diffraction, and making them of arrays.

Files are taken at their word for what was measured, not for how many points there are or how far apart: that is seen
from the points. Nothing is allocated for a size that only a header claims.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from chemomech.errors import CaseError
from chemomech.microstructure.ebsd.grid import Points, lay_out
from chemomech.microstructure.ebsd.hdf5 import read_hdf5
from chemomech.microstructure.ebsd.map import UNINDEXED, EbsdMap
from chemomech.microstructure.ebsd.raw import FRAMES, Raw, to_points
from chemomech.microstructure.ebsd.symmetry import distinct, laue_group
from chemomech.microstructure.ebsd.text import read_ang, read_ctf
from chemomech.typing import Array, Ints

__all__ = ["FRAMES", "SUFFIXES", "EbsdMap", "map_of_arrays", "part_of", "read_map"]

_HDF5: Final = b"\x89HDF\r\n\x1a\n"
_MOST: Final = 4_000_000_000  # bytes of text
_READERS: Final = {".ang": read_ang, ".ctf": read_ctf}
SUFFIXES: Final = (".ang", ".ctf", ".h5", ".hdf5", ".oh5", ".h5oina", ".h5ebsd")


def read_map(path: str | Path, *, frame: str | None = None, point_groups: Mapping[str, str] | None = None) -> EbsdMap:
    """A map from an .ang, .ctf or HDF5 file; see `EbsdMap.warnings` for what was wrong with it.

    Args:
        path: The file.
        frame: How the frame of the angles lies against that of the map (x right, y down, z in): ``same``, or a half
            turn about ``x``, ``y``, ``xy`` (their bisector) or ``-xy``. Left out, it is what the makers of the file
            usually have: ``xy`` for EDAX, ``x`` for Oxford and Bruker.
        point_groups: Point group by name of a phase, where the file is wrong or says nothing.

    Raises:
        CaseError: There is no such file, or no map can be made of it; says why and where.
    """
    path = Path(path)
    if not path.is_file():
        raise CaseError("map", str(path), "there is no such file", "an .ang, .ctf or HDF5 file")
    size = path.stat().st_size
    if size == 0:
        raise CaseError("map", None, "it is empty", "a complete file", file=path)
    with path.open("rb") as stream:
        binary = stream.read(8) == _HDF5
    suffix = path.suffix.lower()
    if binary or suffix in SUFFIXES[2:]:
        raw: Raw = read_hdf5(path)
    elif suffix not in _READERS:
        raise CaseError("map", path.name, "unknown kind of file", ", ".join(SUFFIXES))
    elif size > _MOST:
        raise CaseError("map", None, f"{size:.3g} bytes are too many for text", "a part of it, or HDF5", file=path)
    else:
        raw = _READERS[suffix](path)
    points = to_points(raw, path, frame, point_groups)
    return lay_out(points, raw.warnings, path)


def map_of_arrays(
    orientations: Array,
    step: float,
    *,
    phase: Ints | None = None,
    phases: Sequence[str] = ("phase 1",),
    point_groups: Sequence[str] = ("m-3m",),
    x: Array | None = None,
    y: Array | None = None,
    quality: Mapping[str, Array] | None = None,
) -> EbsdMap:
    """A map of arrays.

    Args:
        orientations: Unit quaternions (sample to crystal) in rows and columns, shape (rows, columns, 4), or of points
            in any order, shape (n, 4), with ``x`` and ``y``.
        step: Distance of points in m; rows and columns are equally far apart. Not used if ``x`` and ``y`` are given.
        phase: Number of the phase of each point, -1 where not indexed, of the same shape; 0 if left out.
        phases: Names.
        point_groups: One for each phase.
        x: Coordinates in m, shape (n,).
        y: Others, shape (n,).
        quality: Further values by name, of the same shape.

    Raises:
        CaseError: Shapes do not fit, quaternions that have no length, unknown point groups, no grid.
    """
    shape = np.shape(orientations)
    if shape[-1:] != (4,) or len(shape) != (3 if x is None else 2) or (x is None) != (y is None):
        raise CaseError("orientations", shape, "not the right shape", "(rows, columns, 4), or (n, 4) with x and y")
    if len(phases) != len(point_groups) or not len(phases):
        raise CaseError("point_groups", len(point_groups), f"there are {len(phases)} phases", "one for each phase")
    if x is None or y is None:
        if not (np.isfinite(step) and step > 0.0):
            raise CaseError("step", step, "it must be positive", "a distance in m")
        row, column = np.divmod(np.arange(shape[0] * shape[1]), shape[1])
        x, y = step * column, step * row
    flat = np.asarray(orientations, dtype=np.float64).reshape(-1, 4)
    number = np.zeros(len(flat), np.int32) if phase is None else np.asarray(phase).reshape(-1).astype(np.int32)
    values = {name: np.asarray(v, dtype=np.float64).reshape(-1) for name, v in (quality or {}).items()}
    sizes = {len(number), np.size(x), np.size(y), *(len(array) for array in values.values())}
    if sizes != {len(flat)}:
        raise CaseError("phase", len(number), f"there are {len(flat)} orientations", "arrays of one shape")
    if len(number) and (number.max() >= len(phases) or number.min() < UNINDEXED):
        raise CaseError("phase", int(number.max()), "no such phase", f"-1 to {len(phases) - 1}")
    length = np.linalg.norm(flat, axis=1)
    good = np.isfinite(length) & (length > 1e-6)
    said = []
    if (~good & (number >= 0)).any():
        said.append(f"{int((~good & (number >= 0)).sum())} points without a valid orientation are taken as not indexed")
    points = Points(
        x=np.asarray(x, dtype=np.float64).reshape(-1),
        y=np.asarray(y, dtype=np.float64).reshape(-1),
        phase=np.where(good, number, UNINDEXED).astype(np.int32),
        quaternions=np.where(good[:, None], flat / np.where(good, length, 1.0)[:, None], [1.0, 0.0, 0.0, 0.0]),
        phases=distinct(list(phases)),
        point_groups=tuple(laue_group(group) for group in point_groups),
        quality=values,
        claims={},
    )
    if not (np.isfinite(points.x).all() and np.isfinite(points.y).all()):
        raise CaseError("x", None, "coordinates must be finite", "numbers in m")
    return lay_out(points, said)


def part_of(ebsd: EbsdMap, corners: tuple[float, float, float, float] | None = None, scale: float = 1.0) -> EbsdMap:
    """The points of a map that lie in a rectangle, with other lengths.

    Args:
        ebsd: The map.
        corners: Smallest x and y, largest x and y, m, in the frame of the map; all of it if None.
        scale: Factor on all lengths.

    Raises:
        CaseError: If too few points for a map lie there.
    """
    chosen = np.ones(len(ebsd), dtype=bool)
    if corners is not None:
        x, y, high_x, high_y = corners
        chosen = (ebsd.x >= x) & (ebsd.x <= high_x) & (ebsd.y >= y) & (ebsd.y <= high_y)
        if not np.any(chosen):
            width, height = (f"{float(np.ptp(v)):.6g} m" for v in (ebsd.x, ebsd.y))
            raise CaseError("crop", None, "no point of the map lies there", f"a part of {width} by {height}")
    found = map_of_arrays(
        ebsd.quaternions[chosen],
        ebsd.step,
        phase=ebsd.phase[chosen],
        phases=ebsd.phases,
        point_groups=ebsd.point_groups,
        x=scale * ebsd.x[chosen],
        y=scale * ebsd.y[chosen],
        quality={name: values[chosen] for name, values in ebsd.quality.items()},
    )
    return replace(found, warnings=(*ebsd.warnings, *found.warnings))
