"""Positions of dislocations along an interface, read from a CSV file."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from pathlib import Path

from chemomech.errors import CaseError
from chemomech.frozen import Invalid, listing
from chemomech.units import to_si


def read_positions(path: str, key: str, axes: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """The positions along each axis, m.

    Args:
        path: A CSV file with a header line; the column of an axis is named after it and its unit: ``x_nm``. Columns
            may differ in length; other columns are left alone.
        key: The key the file is named by, for messages.
        axes: Some of ``x`` and ``z``.

    Raises:
        CaseError: If the file can't be read, has no such column, or holds anything but finite numbers there.
    """
    example = f"a CSV file whose first line names {listing(f'{axis}_nm' for axis in axes)}"
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        rows = list(csv.reader(text.splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        reason = (getattr(error, "strerror", None) or "it is not UTF-8 text").lower()
        raise CaseError(key, path, f"the file can't be read ({reason})", example) from error
    if not any(any(cell.strip() for cell in row) for row in rows):
        raise CaseError(key, path, "the file is empty", example)
    names = [name.strip() for name in rows[0]]
    found = {}
    for axis in axes:
        column, unit = _column(names, axis, path, key, example)
        values = [
            _number(row[column], unit, f"line {line}, column {names[column]}", path, key)
            for line, row in enumerate(rows[1:], 2)
            if column < len(row) and row[column].strip()
        ]
        if not values:
            raise CaseError(key, path, f"the column {names[column]} holds no position", "at least one number in it")
        found[axis] = tuple(values)
    return found


def _column(names: Sequence[str], axis: str, path: str, key: str, example: str) -> tuple[int, str]:
    """Number of the column of an axis, and its unit."""
    columns = [i for i, name in enumerate(names) if re.fullmatch(rf"{axis}_\S+", name)]
    if not columns:
        without = " (a unit belongs to the name)" if axis in names else ""
        raise CaseError(key, path, f"the file has no column {axis}_nm{without}; it has {listing(names)}", example)
    if len(columns) > 1:
        raise CaseError(key, path, f"the file has {len(columns)} columns for {axis}", example)
    unit = names[columns[0]].partition("_")[2]
    try:
        to_si(f"1 {unit}", "m")
    except Invalid as error:
        raise CaseError(key, path, f"the column {names[columns[0]]}: {error.problem}", example) from None
    return columns[0], unit


def _number(text: str, unit: str, place: str, path: str, key: str) -> float:
    try:
        if math.isfinite(float(text)):
            return to_si(f"{text} {unit}", "m")
    except ValueError:
        pass
    raise CaseError(key, path, f"{place}: {text.strip()!r} is no finite number", "numbers only below the header")
