"""Profiles across a layered body: means over the planes y = const, exact for linear cells."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chemomech.errors import OutputError
from chemomech.output.folder import write_atomic
from chemomech.output.plane import Body, gather_body
from chemomech.output.protocol import Snapshot
from chemomech.parallel import on_rank_zero
from chemomech.typing import Array, Flags, Longs

_COLUMNS = {
    "y_m": "y",
    "concentration_mean": "concentration",
    "concentration_min": "low",
    "concentration_max": "high",
    "hydrostatic_stress_mean_Pa": "stress",
}
_POINTS = 60  # levels between an interface and the end of the layer


@dataclass(frozen=True)
class Profile:
    """Fields against y; at an interface there are two entries, first its lower side, then its upper side.

    Attributes:
        y: Height, m, ascending, shape (n,).
        concentration: Occupied fraction, mean over the width (and depth) of the body at this height.
        low: Smallest occupied fraction at this height.
        high: Largest occupied fraction at this height.
        stress: Hydrostatic stress, Pa, mean over the width.
    """

    y: Array
    concentration: Array
    low: Array
    high: Array
    stress: Array

    @property
    def interfaces(self) -> tuple[float, ...]:
        """Heights that have two entries."""
        return tuple(self.y[1:][np.diff(self.y) == 0.0].tolist())


def levels(body: Body, interfaces: Sequence[float]) -> Array:
    """Heights for a profile: both ends of the body, each interface twice, dense where cells are small beside one.

    Args:
        body: The body.
        interfaces: Height of each plane where layers meet, m.
    """
    y = body.points[:, 1][body.cells]
    low, high = y.min(axis=1), y.max(axis=1)
    ends = (float(low.min()), float(high.max()))
    slack = 1e-9 * (ends[1] - ends[0])
    walls = sorted(w for w in set(interfaces) if ends[0] + slack < w < ends[1] - slack)
    between: list[Array] = [] if walls else [np.linspace(*ends, 2 * _POINTS)[1:-1]]
    for k, wall in enumerate(walls):
        cell = float((high - low)[(low <= wall + slack) & (high >= wall - slack)].min())
        last = (k == 0, k == len(walls) - 1)
        reaches = (wall - (ends[0] if last[0] else walls[k - 1]), (ends[1] if last[1] else walls[k + 1]) - wall)
        for side, reach, whole in zip((-1.0, 1.0), reaches, last, strict=True):
            far = reach if whole else 0.5 * reach  # the other half belongs to the next interface
            between.append(wall + side * _distances(0.5 * cell, far))
    return np.sort(np.concatenate([np.unique(np.concatenate(between)), ends, walls, walls]))


def _distances(cell: float, far: float) -> Array:
    """Distances from an interface, at most `_POINTS` of them below ``far``: in steps of ``cell``, longer if need be."""

    def distances(growth: float) -> Array:
        return np.asarray(cell * (np.cumsum(growth ** np.arange(_POINTS)) - 0.5))

    low, high = 1.0, 2.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if distances(middle)[-1] > far else (middle, high)
    found = distances(high)
    return np.asarray(found[found < far * (1.0 - 1e-9)])


def lateral_profile(body: Body, interfaces: Sequence[float]) -> Profile:
    """The profile of a layered body from its lower to its upper end, dense at the interfaces (see `levels`)."""
    return lateral_means(body, levels(body, interfaces))


def lateral_means(body: Body, levels: Sequence[float] | Array) -> Profile:
    """Means over the planes y = const, weighted by length (2D) or area (3D), by cutting every cell.

    Concentration and stress (see `Body`) are linear in each cell, and their means exact. Where a level occurs twice
    in a row, the first entry is the limit from below and the second the limit from above.

    Args:
        body: The body, on rank 0.
        levels: Heights, m, ascending, each within the body.

    Raises:
        ValueError: A level lies outside the body.
    """
    at = np.asarray(levels, float)
    y = body.points[:, 1][body.cells]
    low, high = y.min(axis=1), y.max(axis=1)
    size = float(high.max() - low.min())
    rows: list[Array] = []
    for k, level in enumerate(at):
        near = np.flatnonzero((low <= level + 1e-9 * size) & (high >= level - 1e-9 * size))
        height = (y[near] - level) / size
        height[np.abs(height) < 1e-9] = 0.0
        twin = (k > 0 and at[k - 1] == level, k + 1 < len(at) and at[k + 1] == level)
        sides = [] if twin[0] else [height >= 0.0]
        sides += [] if twin[1] else [height > 0.0]
        found = [row for above in sides if (row := _slice(body, near, height, above)) is not None]
        if not found:
            raise ValueError(f"there is nothing of the body at y = {level} m")
        both = np.array(found)
        rows.append(np.array([both[:, 0].mean(), both[:, 1].min(), both[:, 2].max(), both[:, 3].mean()]))
    return Profile(at, *np.array(rows).reshape(-1, 4).T)


def _slice(body: Body, cells: Longs, height: Array, above: Flags) -> Array | None:
    """Mean, least and largest c and mean stress in the plane that parts the corners as ``above`` says."""
    weights: list[Array] = []
    values: list[Array] = []  # of c and of the stress at the corners of the pieces of the plane
    nodal = np.column_stack([body.concentration, body.stress])
    corners = height.shape[1]
    count = above.sum(axis=1)
    for many in range(1, corners):
        here = count == many
        order = np.argsort(~above[here], axis=1, kind="stable")  # those above first
        nodes = np.take_along_axis(body.cells[cells[here]], order, axis=1)
        h = np.take_along_axis(height[here], order, axis=1)
        pairs = [(i, j) for i in range(many) for j in range(many, corners)]
        if len(pairs) == 4:
            pairs = [pairs[0], pairs[1], pairs[3], pairs[2]]  # around the quadrilateral
        points, fields = [], []
        for i, j in pairs:
            part = (h[:, i] / (h[:, i] - h[:, j]))[:, None]
            points.append(body.points[nodes[:, i]] * (1 - part) + body.points[nodes[:, j]] * part)
            fields.append(nodal[nodes[:, i]] * (1 - part) + nodal[nodes[:, j]] * part)
        for piece in [(0, 1)] if corners == 3 else [(0, k, k + 1) for k in range(1, len(pairs) - 1)]:
            sides = [points[k] - points[0] for k in piece[1:]]
            weights.append(np.linalg.norm(sides[0] if corners == 3 else np.cross(*sides), axis=1))
            values.append(np.stack([fields[k] for k in piece], axis=1))
    weight, value = np.concatenate(weights), np.concatenate(values)
    total = float(weight.sum())
    if total == 0.0:
        return None
    mean = weight @ value.mean(axis=1) / total
    seen = value[weight > 1e-12 * weight.max(), :, 0]
    return np.array([mean[0], seen.min(), seen.max(), mean[1]])


def interface_width_10_90(y: Array, c: Array, interface: float) -> float:
    """Distance over which c goes from 10 to 90 % of its change between the two ends of the profile, m.

    Measured between the outermost crossings: from the first place, counted from the lower end, where 10 % of the
    change are reached, to the last place where 90 % are not exceeded. So humps and dips beside the interface count
    into the width. A jump is no distance: the width is 0 where the jump itself goes past both 10 and 90 %.

    Args:
        y: Heights, m, ascending; the interface is there twice, for its two sides.
        c: Occupied fraction at these heights.
        interface: Height of the interface, m.

    Returns:
        The width; nan where both ends have the same c.

    Raises:
        ValueError: The profile does not lead across the interface.
    """
    y, c = np.asarray(y, float), np.asarray(c, float)
    if len(y) < 2 or not y[0] < interface < y[-1]:
        raise ValueError(f"the profile does not lead across an interface at y = {interface} m")
    change = c[-1] - c[0]
    if abs(change) <= 1e-12:
        return math.nan
    part = (c - c[0]) / change
    return max(_last(y, part, 0.9) - _first(y, part, 0.1), 0.0) + 0.0


def _first(y: Array, part: Array, value: float) -> float:
    """The lowest y at which ``part``, linear between the entries, reaches ``value``."""
    k = int(np.argmax(part >= value))  # not 0, as part[0] = 0
    share = (value - part[k - 1]) / (part[k] - part[k - 1])
    return float(y[k - 1] + share * (y[k] - y[k - 1]))


def _last(y: Array, part: Array, value: float) -> float:
    """The highest y at which ``part`` does not exceed ``value``."""
    return -_first(-y[::-1], 1.0 - part[::-1], 1.0 - value)


def write_profile(profile: Profile, path: Path) -> None:
    """Write a profile as CSV. Raises OutputError if that fails."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    table.writerows(zip(*(map(repr, getattr(profile, a).tolist()) for a in _COLUMNS.values()), strict=True))
    write_atomic(path, text.getvalue())


def read_profile(path: Path) -> Profile:
    """Read what `write_profile` wrote.

    Raises:
        OutputError: The file can't be read.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        columns = {a: np.array([float(row[name]) for row in rows]) for name, a in _COLUMNS.items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(f"Can't read {path}: {error}.") from error
    return Profile(**columns)


class ProfileTable:
    """Writes the profile of a layered body at the last state.

    Args:
        path: The file, ``profile.csv``.
        interfaces: Height y of each plane where layers meet, m.
    """

    def __init__(self, path: Path, interfaces: Sequence[float]) -> None:
        self.path, self.interfaces = path, tuple(interfaces)

    def open(self, snapshot: Snapshot) -> None:
        """Nothing to do yet."""

    def update(self, snapshot: Snapshot) -> None:
        """Nothing to do yet."""

    def close(self, snapshot: Snapshot) -> None:
        """Write. Raises OutputError if that fails."""
        body = gather_body(snapshot)
        on_rank_zero(snapshot.comm, lambda: write_profile(lateral_profile(body, self.interfaces), self.path))
