"""Nodes along lines, chains of a plane map or edges of grains in space: dense where lines are short or near."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from chemomech.typing import Array, Flags, Longs

_CORNER = np.deg2rad(30.0)  # a sharper turn keeps its node
_APART = 0.5  # of the size: corners nearer to each other are one
_BOW = 0.1  # of the size: how far a line may leave the chord that replaces it
_DETOUR = 2.5  # way along lines over distance: from here on two places face each other over a gap
_LEAST = 1e-3  # of the size: gaps narrower than this are meshed as if they were this wide


@dataclass(frozen=True)
class Outline:
    """Lines cut into edges of cells.

    Attributes:
        points: Nodes, the ends of lines first, m, shape (n, d).
        lines: Node numbers along each line, its ends included.
    """

    points: Array
    lines: tuple[Longs, ...]


def outline(
    points: Array,
    lines: Sequence[Longs],
    size: float,
    growth: float,
    *,
    finer: Array | None = None,
    exact: Collection[int] = (),
) -> Outline:
    """Cut lines into edges.

    Edges are ``size`` long, shorter where a line is short or near another one; from there on they grow. A line that
    bends is followed within a tenth of the local size, and the area on either side of it stays what it was.

    Args:
        points: Places, m, shape (p, 2 or 3).
        lines: Numbers of places along each line; a closed line repeats its first one.
        size: Longest edge, m.
        growth: By how much edges may grow per length.
        finer: Part of the size that edges of each line may have at most, shape (lines,).
        exact: Lines that keep all their places.
    """
    places, line_of, starts = _sampled(points, lines, size)
    most = np.full(len(places), size) if finer is None else size * finer[line_of]
    local = _local_sizes(places, line_of, starts, lines, size, most, growth)
    ends = np.unique(np.concatenate([(line[0], line[-1]) for line in lines]))
    number = np.full(len(points), -1, dtype=np.int64)
    number[ends] = np.arange(len(ends))
    made, total = [points[ends]], len(ends)
    twins = _share_both_ends(lines)
    cut: list[Longs] = []
    for k, line in enumerate(lines):
        part = slice(starts[k], starts[k + 1])
        at = places[part]
        least = 3 if line[0] == line[-1] else 2 if twins[k] else 1
        inner: Array = points[line[1:-1]] if k in exact else _placed(at, local[part], least, points[line])
        cut.append(np.concatenate([[number[line[0]]], np.arange(total, total + len(inner)), [number[line[-1]]]]))
        made.append(inner)
        total += len(inner)
    return Outline(np.concatenate(made), tuple(cut))


def _sampled(points: Array, lines: Sequence[Longs], size: float) -> tuple[Array, Longs, Longs]:
    """Places along the lines, at most half the size apart, with their line; and where each line starts among them."""
    counts = np.array([len(line) for line in lines])
    flat = np.concatenate([np.asarray(line, dtype=np.int64) for line in lines])
    owner = np.repeat(np.arange(len(lines)), counts)
    same = owner[:-1] == owner[1:]
    a, b, of = points[flat[:-1][same]], points[flat[1:][same]], owner[:-1][same]
    length = np.linalg.norm(b - a, axis=1)
    pieces = np.maximum(np.ceil(length / (0.5 * size)).astype(np.int64), 1)
    pieces[counts[of] == 2] = np.maximum(pieces[counts[of] == 2], 2)
    step = np.repeat(np.arange(len(a)), pieces)
    first = np.cumsum(pieces) - pieces
    t = (np.arange(len(step)) - first[step]) / pieces[step]
    inside = a[step] + t[:, None] * (b - a)[step]
    # The last place of a line comes after those of its last piece.
    last = np.cumsum(np.bincount(of, pieces, minlength=len(lines))).astype(np.int64)
    places = np.insert(inside, last, points[[line[-1] for line in lines]], axis=0)
    starts = np.concatenate([[0], last + np.arange(1, len(lines) + 1)])
    return places, np.repeat(np.arange(len(lines)), np.diff(starts)), starts


def _local_sizes(
    places: Array,
    line_of: Longs,
    starts: Longs,
    lines: Sequence[Longs],
    size: float,
    most: Array,
    growth: float,
) -> Array:
    """Size at each place: the gap to what lies opposite, the length of a short line, and growth from there."""
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    steps[starts[1:-1] - 1] = 0.0
    way = np.concatenate([[0.0], np.cumsum(steps)])
    along = way - way[starts[:-1]][line_of]
    total = (way[starts[1:] - 1] - way[starts[:-1]])[line_of]
    local: Array = np.minimum(most, total)
    mark = np.floor(along / (0.25 * size))
    some = np.flatnonzero(np.append(True, (mark[1:] != mark[:-1]) | (line_of[1:] != line_of[:-1])))
    i, j = some[cKDTree(places[some]).query_pairs(size, output_type="ndarray")].T
    far = np.linalg.norm(places[i] - places[j], axis=1)
    ends = np.array([(line[0], line[-1]) for line in lines], dtype=np.int64)
    detour = _detours(line_of, along, total, ends, i, j)
    # Two lines that leave one junction at a small angle face each other only some way off it.
    facing = (detour > _DETOUR * far) & (detour > 4.0 * size)
    for one in (i, j):
        np.minimum.at(local, one[facing], np.maximum(far[facing], _LEAST * size))
    chain = np.flatnonzero(steps > 0.0)
    i, j = np.concatenate([i, chain]), np.concatenate([j, chain + 1])
    reach = growth * np.concatenate([far, steps[chain]])
    while True:
        before = local.copy()
        np.minimum.at(local, i, before[j] + reach)
        np.minimum.at(local, j, before[i] + reach)
        if np.all(local > before - 1e-3 * before):
            return local


def _detours(line_of: Longs, along: Array, total: Array, ends: Longs, i: Longs, j: Longs) -> Array:
    """Length of the way from one place to another along lines, by one junction at most; inf if there is none."""
    a, b = line_of[i], line_of[j]
    on_one = np.abs(along[i] - along[j])
    closed = ends[a, 0] == ends[a, 1]
    on_one = np.where(closed, np.minimum(on_one, total[i] - on_one), on_one)
    best = np.where(a == b, on_one, np.inf)
    for from_end, way_a in ((0, along[i]), (1, total[i] - along[i])):
        for to_end, way_b in ((0, along[j]), (1, total[j] - along[j])):
            shared = (a != b) & (ends[a, from_end] == ends[b, to_end])
            best = np.where(shared, np.minimum(best, way_a + way_b), best)
    return np.asarray(best)


def _share_both_ends(lines: Sequence[Longs]) -> Flags:
    """Lines between two junctions that another line joins as well: as single edges both would be the same one."""
    ends = np.sort(np.array([(line[0], line[-1]) for line in lines], dtype=np.int64), axis=1)
    _, which, count = np.unique(ends, axis=0, return_inverse=True, return_counts=True)
    several = np.array([len(line) > 2 for line in lines])
    return np.asarray((count[which.ravel()] > 1) & several)


def _placed(at: Array, local: Array, least: int, corners: Array) -> Array:
    """Nodes inside a line, shape (k, d), from the sizes at places along it."""
    steps = np.linalg.norm(np.diff(at, axis=0), axis=1)
    way = np.concatenate([[0.0], np.cumsum(steps)])
    # Between two places the size is linear, so that the number of edges up to each is a sum of logarithms.
    a, b = local[:-1], local[1:]
    slope = (b - a) / np.where(a > 0, a, 1.0)
    small = np.abs(slope) < 1e-6
    edges = np.where(small, steps / a, steps / np.where(small, 1.0, b - a) * np.log1p(slope))
    count = np.concatenate([[0.0], np.cumsum(edges)])
    if len(corners) == 2:
        number = max(least, int(np.ceil(count[-1] - 0.3)))
        t = np.interp(np.arange(1, number) * (count[-1] / number), count, way) / way[-1]
        straight: Array = corners[0] + t[:, None] * (corners[1] - corners[0])
        return straight
    corner_way = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
    stations = _stations(corners, corner_way, np.interp(corner_way, way, local))
    return _followed(corners, corner_way, stations, count, way, local, least)


def _followed(
    corners: Array, corner_way: Array, stations: Array, count: Array, way: Array, local: Array, least: int
) -> Array:
    """Nodes along a line that bends: between sharp corners as the sizes say, more where chords leave the line."""
    spans = np.diff(np.interp(stations, way, count))
    numbers = np.maximum(np.ceil(spans - 0.3).astype(np.int64), 1)
    while numbers.sum() < least:
        numbers[np.argmax(spans / numbers)] += 1
    for _ in range(6):
        marks = np.concatenate([
            np.interp(stations[k], way, count) + spans[k] * np.arange(n) / n for k, n in enumerate(numbers.tolist())
        ])  # fmt: skip
        at = np.append(np.interp(marks, count, way), way[-1])
        nodes = np.stack([np.interp(at, corner_way, x) for x in corners.T], axis=1)
        chord = np.stack([np.interp(corner_way, at, x) for x in nodes.T], axis=1)
        off = np.linalg.norm(corners - chord, axis=1) > _BOW * np.interp(corner_way, way, local)
        if not np.any(off):
            break
        where = np.searchsorted(stations, corner_way[off], side="right") - 1
        numbers[np.unique(np.clip(where, 0, len(numbers) - 1))] += 1
    if corners.shape[1] == 2:
        nodes = _same_area(corners, nodes)
    return nodes[1:-1]


def _stations(corners: Array, way: Array, local: Array) -> Array:
    """Ends and sharp corners of a line as ways along it; of corners that are near each other the sharpest one."""
    d = np.diff(corners, axis=0)
    d = d / np.maximum(np.linalg.norm(d, axis=1), 1e-300)[:, None]
    turn = np.arccos(np.clip(np.sum(d[:-1] * d[1:], axis=1), -1.0, 1.0))
    kept = [0.0, float(way[-1])]
    for k in np.argsort(-turn, kind="stable").tolist():
        if turn[k] < _CORNER:
            break
        if np.min(np.abs(np.array(kept) - way[k + 1])) > _APART * local[k + 1]:
            kept.append(float(way[k + 1]))
    return np.sort(np.array(kept))


def _same_area(line: Array, nodes: Array) -> Array:
    """The nodes, moved across the line so that it encloses with its chord what it did before."""
    moved = nodes.copy()
    aim = _area(line, line[0])
    for _ in range(4):
        lost = aim - _area(moved, line[0])
        across = moved[2:] - moved[:-2]
        length = np.linalg.norm(across, axis=1)
        weight = float(length.sum())
        if weight == 0.0 or abs(lost) < 1e-13 * weight**2:
            return moved
        # To the right of a line that turns left there is more on its left.
        normal = np.stack([across[:, 1], -across[:, 0]], axis=1) / np.maximum(length, 1e-300)[:, None]
        moved[1:-1] += normal * (2.0 * lost / weight)
    return moved


def _area(nodes: Array, base: Array) -> float:
    a, b = nodes[:-1] - base, nodes[1:] - base
    return float(0.5 * np.sum(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]))
