"""Variants of a case: what a sweep computes, as frozen and validated data."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from chemomech.case.case import Case
from chemomech.case.reading import parse
from chemomech.errors import CaseError
from chemomech.frozen import NUMBER, Frozen, Invalid, Within

Row = dict[str, Any]
Values = list[Any]
_EXAMPLE = "a table such as [grid] with initial.concentration = [0.1, 0.5]"


def _dotted(value: Any) -> Any:
    """Nested tables, as unquoted dotted keys make them, as one table of dotted keys."""
    if not isinstance(value, Mapping):
        return value
    flat: Row = {}
    for key, part in value.items():
        inner = _dotted(part)
        flat |= {f"{key}.{k}": v for k, v in inner.items()} if isinstance(inner, dict) else {key: inner}
    return flat


Dotted = BeforeValidator(_dotted)


class LatinHypercube(Frozen):
    """Points spread evenly over the product of ranges.

    Attributes:
        ranges: Dotted key -> lower and upper end; both numbers, or both texts with the same unit.
        count: Number of points.
        seed: The same seed gives the same points.
    """

    ranges: Annotated[dict[str, tuple[float | str, float | str]], Dotted]
    count: Annotated[int, NUMBER, Within("at least one point is needed", "a whole number from 1", ge=1)]
    seed: int = 0

    @model_validator(mode="after")
    def _same_units(self) -> LatinHypercube:
        for key, ends in self.ranges.items():
            if len({_split(end)[1] for end in ends}) > 1 or any(math.isnan(_split(end)[0]) for end in ends):
                raise Invalid(
                    "the ends of a range are two numbers, or two texts with the same unit",
                    "such as [0.1, 0.9] or ['1 nm', '2 nm']",
                    ("ranges", key),
                )
        return self

    def rows(self) -> list[Row]:
        """The points."""
        from scipy.stats import qmc

        sample = qmc.LatinHypercube(len(self.ranges), rng=self.seed).random(self.count)
        return [
            {key: _between(*ends, float(part)) for (key, ends), part in zip(self.ranges.items(), point, strict=True)}
            for point in sample
        ]


def _split(end: float | str) -> tuple[float, str]:
    """Number and unit; NaN if it is no number."""
    match = re.fullmatch(r"\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*(.*?)\s*", str(end))
    return (float(match[1]), match[2]) if match else (math.nan, "")


def _between(low: float | str, high: float | str, part: float) -> float | str:
    (a, unit), (b, _) = _split(low), _split(high)
    value = a + part * (b - a)
    return f"{value!r} {unit}" if unit else value


class Sweep(Frozen):
    """Variants of a case, by exactly one of ``grid``, ``list`` and ``latin_hypercube``.

    Attributes:
        case: Name of a built-in case, path of a TOML file (relative to the sweep's file), or a whole case.
        grid: Dotted key -> values; every combination is a row.
        list: Rows, each a table of dotted keys and values.
        latin_hypercube: Ranges to sample.
        outputs: Keys of ``summary.json`` to collect; all its numbers if empty.
    """

    case: str | dict[str, Any]
    grid: Annotated[dict[str, Values], Dotted] = Field(default_factory=dict)
    list: tuple[Annotated[dict[str, Any], Dotted], ...] = ()
    latin_hypercube: LatinHypercube | None = None
    outputs: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_kind(self) -> Sweep:
        if sum(map(bool, (self.grid, self.list, self.latin_hypercube))) != 1:
            raise Invalid("a sweep has one of grid, list and latin_hypercube", _EXAMPLE, ("grid",))
        for key, values in self.grid.items():
            if not values:
                raise Invalid("there is no value", "a list of values", ("grid", key))
        return self

    @classmethod
    def load(cls, path: str | Path) -> Sweep:
        """Read a sweep from TOML. Raises CaseError if it can't be read or is wrong."""
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            raise CaseError("sweep", str(path), f"can't be read ({reason})", "the path of a TOML file") from error
        data = parse(text, path)
        beside = Path(path).parent / str(data.get("case"))
        if isinstance(data.get("case"), str) and beside.is_file():
            data["case"] = str(beside)
        try:
            return cls(**data)
        except CaseError as error:
            raise error.located(path, None) from None

    def base(self) -> Case:
        """The case that is varied. Raises CaseError if it is wrong."""
        return Case.load(self.case) if isinstance(self.case, str) else Case(**self.case)

    def rows(self) -> Sequence[Row]:
        """The changes of each row."""
        if self.latin_hypercube is not None:
            return self.latin_hypercube.rows()
        return self.list or [dict(zip(self.grid, v, strict=True)) for v in product(*self.grid.values())]
