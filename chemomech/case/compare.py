"""What a run that is continued may change, and what it must keep."""

from __future__ import annotations

from typing import Any, Final

from chemomech.case.case import Case
from chemomech.case.reading import plain
from chemomech.errors import CaseError

FREE: Final = ("title", "question", "figure", "time.end", "output", "solver")
"""Keys (and all below them) that a run may change when it is continued."""

_MISSING: Final = object()


def differing(stored: Case, given: Case) -> list[tuple[str, Any, Any]]:
    """Dotted keys whose values differ, each with the stored and the given value (None where there is none)."""
    one, two = _flat(plain(stored), ""), _flat(plain(given), "")
    keys = [*one, *(key for key in two if key not in one)]
    pairs = [(key, one.get(key, _MISSING), two.get(key, _MISSING)) for key in keys]
    return [(k, None if a is _MISSING else a, None if b is _MISSING else b) for k, a, b in pairs if a != b]


def check_continues(stored: Case, given: Case, place: object) -> None:
    """Refuse to continue a run with another case.

    Args:
        stored: The case the run was begun with.
        given: The case it is to be continued with.
        place: The folder of the run, for the message.

    Raises:
        CaseError: If they differ in a key that is not in ``FREE``; names the first.
    """
    odd = [d for d in differing(stored, given) if not any(d[0] == f or d[0].startswith(f"{f}.") for f in FREE)]
    if not odd:
        return
    key, old, new = odd[0]
    began = "without it" if old is None else f"with {old!r}"
    now = "is not given" if new is None else f"is {new!r}"
    others = f" (so do {', '.join(k for k, *_ in odd[1:4])}{' and more' if len(odd) > 4 else ''})" if odd[1:] else ""
    raise CaseError(
        key,
        None,
        f"the run in {place} was begun {began}, here it {now}{others}; a run that is continued keeps its case",
        f"changes of {', '.join(FREE[3:])}.*; `chemomech run {place} --resume` continues with the stored case, "
        "--overwrite or another --out starts afresh",
    )


def _flat(data: Any, key: str) -> dict[str, Any]:
    if isinstance(data, dict):
        items = list(data.items())
    elif isinstance(data, list):
        items = [(str(i), part) for i, part in enumerate(data)]
    else:
        return {key: data}
    return {k: v for name, part in items for k, v in _flat(part, f"{key}.{name}" if key else name).items()}
