"""Lists of loops of different lengths as two flat arrays, so that thousands of them are handled at once."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from chemomech.typing import Array, Flags, Longs


@dataclass(frozen=True, slots=True)
class Loops:
    """Closed loops of point numbers.

    Attributes:
        flat: The numbers of all loops, one after the other, shape (entries,).
        starts: Where each loop begins in ``flat``, and the end of the last, shape (loops + 1,).
    """

    flat: Longs
    starts: Longs

    @classmethod
    def of(cls, owner: Longs, flat: Longs, count: int) -> Loops:
        """Loops from entries sorted by the loop they belong to; loops without entries are empty."""
        lengths = np.bincount(owner, minlength=count)
        return cls(flat, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))

    @property
    def count(self) -> int:
        """How many."""
        return len(self.starts) - 1

    @property
    def lengths(self) -> Longs:
        """Corners of each loop, shape (loops,)."""
        return np.diff(self.starts)

    @property
    def owner(self) -> Longs:
        """The loop each entry belongs to, shape (entries,)."""
        return np.repeat(np.arange(self.count, dtype=np.int64), self.lengths)

    @property
    def after(self) -> Longs:
        """Index of the entry that follows each entry in its loop, shape (entries,)."""
        follows = np.arange(1, len(self.flat) + 1, dtype=np.int64)
        full = self.lengths > 0
        follows[self.starts[1:][full] - 1] = self.starts[:-1][full]
        return follows

    def take(self, keep: Flags) -> Loops:
        """The loops that are kept, in the same order."""
        entries = np.repeat(keep, self.lengths)
        return Loops.of(np.repeat(np.cumsum(keep) - 1, self.lengths)[entries], self.flat[entries], int(keep.sum()))

    def reversed(self, which: Flags) -> Loops:
        """The same loops, some of them walked the other way."""
        owner = self.owner
        index = np.arange(len(self.flat), dtype=np.int64)
        mirrored = self.starts[owner] + self.starts[owner + 1] - 1 - index
        return Loops(self.flat[np.where(which[owner], mirrored, index)], self.starts)

    def without_repeats(self) -> Loops:
        """Entries equal to the next one are left out."""
        keep = self.flat != self.flat[self.after]
        return Loops.of(self.owner[keep], self.flat[keep], self.count)

    def sums(self, values: Array) -> Array:
        """Sums over each loop of values per entry, shape (loops, ...)."""
        owner, columns = self.owner, values.reshape(len(values), -1)
        sums = [np.bincount(owner, column, minlength=self.count) for column in columns.T]
        return np.stack(sums, axis=1).astype(float).reshape(self.count, *values.shape[1:])

    def to_lists(self) -> list[list[int]]:
        """Plain lists."""
        flat = self.flat.tolist()
        bounds = self.starts.tolist()
        return [flat[a:b] for a, b in pairwise(bounds)]

    @classmethod
    def from_lists(cls, loops: list[list[int]]) -> Loops:
        """The inverse of ``to_lists``."""
        lengths = np.array([len(loop) for loop in loops], dtype=np.int64)
        flat = np.array([number for loop in loops for number in loop], dtype=np.int64)
        return cls(flat, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def rings(group: Longs, first: Longs, second: Longs, turn: Array) -> tuple[Longs, Longs]:
    """Entries that share ends, put in order around the group they belong to.

    Each entry (a simplex seen from a group, a corner or edge it contains) has two ends; within a group every end is
    shared by exactly two entries, so that they form a ring.

    Args:
        group: Group of each entry, 0, 1, ..., shape (entries,).
        first: One end, shape (entries,).
        second: The other end, shape (entries,).
        turn: Positive where going from the first end to the second is counter-clockwise; the entry with the largest
            magnitude decides about its ring, shape (entries,).

    Returns:
        The entries in order, counter-clockwise within each group, and the group of each.

    Raises:
        ValueError: The entries of a group are no ring.
    """
    entries = len(group)
    ends = np.stack([first, second], axis=1).ravel()
    order = np.lexsort((ends, np.repeat(group, 2)))
    one, two = order[0::2], order[1::2]
    if entries == 0 or not (np.array_equal(ends[one], ends[two]) and np.array_equal(group[one // 2], group[two // 2])):
        raise ValueError("no rings")
    partner = np.empty(2 * entries, dtype=np.int64)
    partner[one], partner[two] = two, one
    count = int(group.max()) + 1
    start = np.zeros(count, dtype=np.int64)
    start[group[::-1]] = np.arange(entries - 1, -1, -1)
    place = np.full(entries, -1, dtype=np.int64)
    leaves = np.ones(entries, dtype=np.int64)
    here = 2 * start + 1  # the end by which each walk leaves its entry
    place[start] = 0
    step = 0
    while len(here):
        step += 1
        here = partner[here] ^ 1
        here = here[place[here // 2] < 0]
        place[here // 2] = step
        leaves[here // 2] = here % 2
    if np.any(place < 0):
        raise ValueError("no rings")
    order = np.lexsort((np.abs(turn), group))
    last = np.flatnonzero(np.diff(group[order], append=-1))
    clearest = order[last]
    forward = np.ones(count, dtype=np.int64)
    forward[group[clearest]] = np.where((turn[clearest] > 0) == (leaves[clearest] == 1), 1, -1)
    order = np.lexsort((place * forward[group], group))
    return order, group[order]
