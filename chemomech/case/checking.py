"""What the checks of a case share: words for points, numbers of components, unknown names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from chemomech.errors import CaseError
from chemomech.frozen import did_you_mean, listing
from chemomech.units import pretty

if TYPE_CHECKING:
    from chemomech.case.case import Case

Errors = Iterator[CaseError]
COUNT: Final = {2: "two", 3: "three"}


def vector(values: Iterable[float]) -> str:
    """Lengths as ``(1 nm, 2 nm)``."""
    return f"({', '.join(pretty(v, 'm') for v in values)})"


def unknown_material(key: str, name: str, case: Case) -> CaseError:
    """The error for the name of a material that the case does not have."""
    guess = did_you_mean(name, case.materials)
    return CaseError(key, name, f"there is no material of this name{guess}", listing(case.materials))


def components(case: Case, key: str, values: tuple[float, ...], example: str) -> Errors:
    """An error if the number of components is not the dimension of the body."""
    dimension = case.dimension or (len(values) if len(values) in COUNT else 2)
    if len(values) != dimension:
        yield CaseError(
            key,
            None,
            f"has {len(values)} component{'s' * (len(values) != 1)} where the body has {dimension} dimensions",
            f"{COUNT[dimension]} {example}",
        )
