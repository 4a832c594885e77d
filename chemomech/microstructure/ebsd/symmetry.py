"""Words that files have for crystal symmetry, as Laue groups of orix."""

from __future__ import annotations

from typing import Final

from chemomech.microstructure.relations import point_group

# Oxford's (HKL's) numbers
LAUE_NUMBERS: Final = {
    1: "-1",
    2: "2/m",
    3: "mmm",
    4: "4/m",
    5: "4/mmm",
    6: "-3",
    7: "-3m",
    8: "6/m",
    9: "6/mmm",
    10: "m-3",
    11: "m-3m",
}
# EDAX's (TSL's) short names of the groups of rotations, and usual spellings orix does not have
_TSL: Final = {
    "2": "2/m",
    "20": "2/m",
    "22": "mmm",
    "42": "4/mmm",
    "62": "6/mmm",
    "43": "m-3m",
    "m3m": "m-3m",
    "m3": "m-3",
}
TURNED: Final = frozenset({"-3", "-3m", "6/m", "6/mmm"})  # where Oxford's x axis is a*, not a


def laue_group(name: str) -> str:
    """The Laue group of a point group, in whatever spelling; Invalid (a ValueError) if there is none of this name."""
    name = name.strip()
    return str(point_group(_TSL.get(name, name)).laue.name)


def laue_of_space_group(number: int) -> str:
    """The Laue group of a space group, 1 to 230; ValueError if there is none."""
    from orix.quaternion.symmetry import get_point_group

    if not 1 <= number <= 230:
        raise ValueError(f"no space group {number}")
    return str(get_point_group(number).laue.name)


def distinct(names: list[str]) -> tuple[str, ...]:
    """The names, those that come again (or are empty) with a number."""
    out: list[str] = []
    for number, name in enumerate(names, 1):
        word = " ".join(name.split()) or f"phase {number}"
        out.append(word if word not in out else f"{word} {number}")
    return tuple(out)
