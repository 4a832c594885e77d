"""Maps as HDF5: EDAX (.h5, .oh5), Bruker (.h5), Oxford Instruments (.h5oina)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from chemomech.errors import CaseError
from chemomech.microstructure.ebsd.raw import Phase, Raw
from chemomech.microstructure.ebsd.symmetry import LAUE_NUMBERS, laue_of_space_group
from chemomech.typing import Array

_RATIO: Final = 1100  # HDF5's filters shrink data by a thousand at most
_MOST: Final = 200_000_000  # points
_NAMES: Final = {
    "meanangulardeviation": "mad",
    "bandcontrast": "bc",
    "bandslope": "bs",
    "nindexedbands": "bands",
    "semsignal": "signal",
}


def read_hdf5(path: Path) -> Raw:
    """An HDF5 file with one EBSD map, or the first one in it.

    Raises:
        CaseError: It is damaged, or holds no map whose makers are known.
    """
    try:
        with h5py.File(path, "r") as file:
            scan = _scan(file)
            if scan is not None:
                data, header = scan
                return _read(data, header, path)
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:  # h5py has all of them for damage
        why = " ".join(str(error).split())
        raise CaseError("map", None, f"it can't be read as HDF5: {why}", "a complete file", file=path) from None
    raise CaseError(
        "map",
        None,
        "no EBSD data with angles and phases in it",
        "files of EDAX, Bruker or Oxford Instruments",
        file=path,
    )


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", name.lower())


def _scan(file: Any) -> tuple[dict[str, Any], Any] | None:
    """Datasets by plain name, and the header, of the first group ``.../EBSD`` with angles."""
    for top in file.values():
        if not isinstance(top, h5py.Group) or not isinstance(top.get("EBSD"), h5py.Group):
            continue
        ebsd = top["EBSD"]
        data = ebsd.get("Data")
        if not isinstance(data, h5py.Group):
            continue
        sets = {_plain(name): item for name, item in data.items() if isinstance(item, h5py.Dataset)}
        if "euler" in sets or {"phi1", "phi", "phi2"} <= sets.keys():
            return sets, ebsd.get("Header", {})
    return None


def _values(dataset: Any, path: Path) -> Array:
    """All of a dataset, shape (n,) or (n, 3), if the file has as much as the dataset claims to hold."""
    claimed = int(dataset.size) * int(dataset.dtype.itemsize)
    stored = int(dataset.id.get_storage_size())
    if claimed > _RATIO * max(stored, 1) or claimed > _RATIO * path.stat().st_size or dataset.size > 3 * _MOST:
        raise CaseError(
            "map", None, f"{dataset.name} claims {claimed:.3g} bytes and has {stored}", "a complete file", file=path
        )
    return np.asarray(dataset[()], dtype=np.float64)


def _read(sets: dict[str, Any], header: Any, path: Path) -> Raw:
    said: list[str] = []
    oxford = "euler" in sets
    if oxford:
        euler = _values(sets["euler"], path).reshape(-1, 3)
    else:
        euler = np.stack([_values(sets[name], path).ravel() for name in ("phi1", "phi", "phi2")], axis=1)
    count = len(euler)
    bruker = not oxford and ("xbeam" in sets or "xsample" in sets or "radonquality" in sets)
    columns: dict[str, Array] = {}
    for name, item in sets.items():
        if item.size == count and item.dtype.kind in "iuf" and name not in ("phi1", "phi", "phi2", "euler"):
            columns[_NAMES.get(name, name)] = _values(item, path).ravel()
    if count == 0 or "phase" not in columns:
        raise CaseError("map", count, "no points, or no phase for each of them", "a complete file", file=path)
    if bruker:
        euler = np.radians(euler)
    if oxford and "mad" in columns:
        columns["mad"] = np.degrees(columns["mad"])
    number = {"step": ("X Step", "XSTEP", "Step X"), "row_step": ("Y Step", "YSTEP", "Step Y")}
    number |= {"columns": ("X Cells", "NCOLS", "nColumns"), "rows": ("Y Cells", "NROWS", "nRows")}
    claims: dict[str, float] = {}
    for key, words in number.items():
        value = next((found for word in words if (found := _scalar(header, word)) is not None), None)
        if value is not None:
            claims[key] = value * 1e-6 if "step" in key else value
    x, y = _places(columns, claims, count, path, bruker)
    phases = _phases(header, path)
    numbers = columns.pop("phase")
    unindexed = np.zeros(count, bool) if not (oxford or bruker) else numbers <= 0
    if "ci" in columns:
        unindexed |= columns["ci"] <= -1.0
    if not (oxford or bruker):
        with np.errstate(invalid="ignore"):
            unindexed |= np.abs(euler).max(axis=1) > 4.0 * np.pi - 0.01
    return Raw(
        x=x,
        y=y,
        euler=euler,
        numbers=numbers,
        unindexed=unindexed,
        phases=phases,
        quality=columns,
        claims=claims,
        axes="x" if oxford or bruker else "xy",
        oxford=oxford or bruker,
        from_one=oxford or bruker,
        warnings=said,
    )


def _places(
    columns: dict[str, Array], claims: Mapping[str, float], count: int, path: Path, bruker: bool
) -> tuple[Array, Array]:
    """Coordinates in m: as given, from the numbers of the beam's places, or from rows and columns of the header."""
    beam = (columns.pop("xbeam", None), columns.pop("ybeam", None))
    found = None
    for names in (("x", "y"), ("xposition", "yposition"), ("xsample", "ysample")):
        if names[0] in columns and names[1] in columns:
            found = (columns.pop(names[0]) * 1e-6, columns.pop(names[1]) * 1e-6)
    if found is not None and not bruker:
        return found
    # The stage of Bruker's samples may run against the picture; the beam does not.
    numbers = [number for number in beam if number is not None]
    if len(numbers) == 2 and "step" in claims:
        factors = [claims["step"], claims.get("row_step", claims["step"])]
        out = []
        for number, factor in zip(numbers, factors, strict=True):
            away = number - number.min()
            gaps = np.diff(np.unique(away))
            out.append(away * factor / (float(np.median(gaps)) if len(gaps) else 1.0))
        return out[0], out[1]
    if found is not None:
        return found
    rows, width = round(claims.get("rows", 0)), round(claims.get("columns", 0))
    if rows * width != count or "step" not in claims:
        raise CaseError(
            "map", count, f"no coordinates, and not {rows} rows of {width} points", "a complete file", file=path
        )
    row, column = np.divmod(np.arange(count), width)
    return column * claims["step"], row * claims.get("row_step", claims["step"])


def _scalar(header: Any, name: str) -> float | None:
    item = header.get(name)
    if not isinstance(item, h5py.Dataset) or item.size != 1 or item.dtype.kind not in "iuf":
        return None
    return float(np.asarray(item[()]).ravel()[0])


def _word(group: Any, *names: str) -> str:
    for name in names:
        item = group.get(name)
        if isinstance(item, h5py.Dataset) and item.size == 1:
            value = np.asarray(item[()]).ravel()[0]
            return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return ""


def _phases(header: Any, path: Path) -> list[Phase]:
    found = header.get("Phases", header.get("Phase"))
    if not isinstance(found, h5py.Group):
        return []
    phases = []
    for key in sorted(found, key=lambda key: (len(key), key)):
        one = found[key]
        if not isinstance(one, h5py.Group) or not key.isdigit():
            continue
        name = _word(one, "Phase Name", "MaterialName", "Material Name", "Name")
        laue, group = _scalar(one, "Laue Group"), _scalar(one, "Space Group") or _scalar(one, "IT")
        symmetry = _word(one, "Symmetry", "Point Group")
        if laue is not None and int(laue) in LAUE_NUMBERS:
            symmetry = LAUE_NUMBERS[int(laue)]
        elif group and 1 <= int(group) <= 230:
            symmetry = laue_of_space_group(int(group))
        if not symmetry:
            raise CaseError("symmetry", name or key, "the phase has no Laue group and no space group", file=path)
        phases.append(Phase(int(key), name, symmetry))
    return phases
