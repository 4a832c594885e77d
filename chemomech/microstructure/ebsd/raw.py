"""What all kinds of files have in common: columns as they stand there, turned into points in our frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from chemomech.errors import CaseError
from chemomech.frozen import Invalid
from chemomech.microstructure.ebsd.grid import Points
from chemomech.microstructure.ebsd.map import UNINDEXED
from chemomech.microstructure.ebsd.symmetry import TURNED, distinct, laue_group
from chemomech.microstructure.orientations import from_euler, product
from chemomech.typing import Array, Flags, Ints

_HALF: Final = float(np.sqrt(0.5))
# How the frame of the angles lies against that of the map: a half turn about this axis.
FRAMES: Final[Mapping[str, tuple[float, ...]]] = {
    "same": (1.0, 0.0, 0.0, 0.0),
    "x": (0.0, 1.0, 0.0, 0.0),
    "y": (0.0, 0.0, 1.0, 0.0),
    "xy": (0.0, _HALF, _HALF, 0.0),
    "-xy": (0.0, _HALF, -_HALF, 0.0),
}
_TO_A: Final = np.array([np.cos(np.pi / 12.0), 0.0, 0.0, np.sin(np.pi / 12.0)])  # x along a*, y along b: x along a
_B_UP: Final = np.array(
    [_HALF, _HALF, 0.0, 0.0]
)  # the twofold axis of a monoclinic crystal from y to z, as orix has it
_LARGEST: Final = 4.0 * np.pi  # rad: angles beyond are none
_LOST: Final = 0.5  # share of points whose coordinates may be no numbers


@dataclass(frozen=True)
class Phase:
    """A phase as a header has it: its number there, its name, its symmetry in any spelling."""

    number: int
    name: str
    symmetry: str


@dataclass
class Raw:
    """A file's columns.

    Attributes:
        x, y: m.
        euler: Bunge angles, rad, shape (n, 3).
        numbers: Phase of each point as in the file; None if all are of the first one.
        unindexed: What the file itself calls so.
        phases: Of the header.
        quality: Other columns.
        claims: As in `Points`.
        axes: Key of `FRAMES`.
        oxford: The x axis of hexagonal crystals is a*, not a.
        from_one: Phase 0 means not indexed. Otherwise it is the only phase, if there is only one.
        warnings: What was noticed.
    """

    x: Array
    y: Array
    euler: Array
    numbers: Array | None
    unindexed: Flags
    phases: list[Phase]
    quality: dict[str, Array]
    claims: dict[str, float]
    axes: str
    oxford: bool
    from_one: bool
    warnings: list[str] = field(default_factory=list)


def to_points(raw: Raw, file: Path, frame: str | None, point_groups: Mapping[str, str] | None) -> Points:
    """Points in the frames of `EbsdMap`; what had to be guessed or left out goes to the warnings.

    Args:
        raw: The file.
        file: Its path, for messages.
        frame: Key of `FRAMES`; by the kind of file if None.
        point_groups: By name of a phase, instead of what the file says.
    """
    if frame is not None and frame not in FRAMES:
        raise CaseError("frame", frame, "not one of the possible values", ", ".join(FRAMES))
    names, groups = _phases(raw, file, point_groups or {})
    there = np.isfinite(raw.x) & np.isfinite(raw.y)
    if there.mean() < 1.0 - _LOST:
        raise CaseError("map", len(there), "most points have no coordinates", "numbers for x and y", file=file)
    if not there.all():
        raw.warnings.append(f"{int((~there).sum())} points without coordinates are left out")
    phase = _numbers(raw)[there]
    euler = raw.euler[there]
    with np.errstate(invalid="ignore"):
        lost = (phase >= 0) & ~(np.abs(euler).max(axis=1) <= _LARGEST)  # nan fails as well
    if lost.any():
        raw.warnings.append(f"{int(lost.sum())} points without a valid orientation are taken as not indexed")
        phase[lost] = UNINDEXED
    euler[phase < 0] = 0.0
    quaternions = product(from_euler(euler), np.array(FRAMES[frame or raw.axes]))
    for number, group in enumerate(groups):
        turn = _TO_A if raw.oxford and group in TURNED else _B_UP if group == "2/m" else None
        if turn is not None:
            quaternions[phase == number] = product(turn, quaternions[phase == number])
        if group == "2/m" and (phase == number).any():
            raw.warnings.append(f"{names[number]} is monoclinic: its axes are turned so that b lies along z")
    return Points(
        x=raw.x[there],
        y=raw.y[there],
        phase=phase,
        quaternions=quaternions,
        phases=names,
        point_groups=groups,
        quality={name: values[there] for name, values in raw.quality.items()},
        claims=raw.claims,
    )


def _phases(raw: Raw, file: Path, given: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if not raw.phases and given:
        raw.phases = [Phase(k, name, "1") for k, name in enumerate(given, 1)]
    if not raw.phases:
        raise CaseError(
            "phases", None, "the header names no phase with its symmetry",
            "a complete header, or the point group of each phase in point_groups", file=file,
        )  # fmt: skip
    names = distinct([phase.name for phase in raw.phases])
    for name in given:
        if name not in names:
            raise CaseError("point_groups", name, "no such phase", ", ".join(names))
    groups = []
    for name, phase in zip(names, raw.phases, strict=True):
        try:
            groups.append(laue_group(given.get(name, phase.symmetry)))
        except Invalid as error:
            raise CaseError("symmetry", phase.symmetry, f"of {name}: {error}", file=file) from None
    return names, tuple(groups)


def _numbers(raw: Raw) -> Ints:
    """Position of each point's phase in the list, -1 where not indexed."""
    count = len(raw.x)
    if raw.numbers is None:
        phase = np.zeros(count, np.int32)
    else:
        phase = np.full(count, UNINDEXED, np.int32)
        for place, one in enumerate(raw.phases):
            phase[raw.numbers == one.number] = place
        if not raw.from_one and len(raw.phases) == 1 and not (phase >= 0).any():
            phase[raw.numbers == 0] = 0  # EDAX counts from 1, but writes 0 where there is one phase only
        strange = (phase < 0) & ~raw.unindexed & ~(raw.numbers < 0)
        if raw.from_one:
            strange &= raw.numbers != 0
        if strange.any():
            found = ", ".join(f"{number:g}" for number in np.unique(raw.numbers[strange])[:5])
            raw.warnings.append(
                f"{int(strange.sum())} points have a phase the header does not name ({found}): taken as not indexed"
            )
    phase[raw.unindexed] = UNINDEXED
    return phase
