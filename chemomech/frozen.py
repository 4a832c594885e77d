"""The base of all frozen, validated data, and the translation of its errors into words for the user."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from chemomech.errors import CaseError

Path = tuple[str | int, ...]
_ABSENT: Final = object()


class Invalid(ValueError):
    """A value that is not accepted, in words for the user.

    Args:
        problem: What is wrong.
        allowed: What would be accepted.
        key: Where, relative to the entry that is being checked.
        value: What was given, if it is not what stands at ``key``.
    """

    def __init__(self, problem: str, allowed: str = "", key: Path = (), value: object = None) -> None:
        super().__init__(problem)
        self.problem, self.allowed, self.key, self.value = problem, allowed, key, value


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` with the known word nearest to ``word``, or nothing if none is near."""
    names = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.5)
    return f" (did you mean '{names[near[0]]}'?)" if near else ""


def listing(names: Iterable[str]) -> str:
    """Names as ``a, b or c``."""
    words = list(names)
    return words[-1] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}" if words else "nothing"


@dataclass(frozen=True)
class Hint:
    """Says what is expected of a field, for the message that it is missing."""

    expected: str


@dataclass(frozen=True)
class Within:
    """Refuses a number outside the bounds, with the words ``problem`` and ``expected``."""

    problem: str
    expected: str
    gt: float = float("-inf")
    lt: float = float("inf")
    ge: float = float("-inf")
    le: float = float("inf")

    def check(self, value: float) -> float:
        """The value itself; ValueError if it is outside."""
        if not (self.gt < value < self.lt and self.ge <= value <= self.le):
            raise Invalid(self.problem, self.expected)
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))


@dataclass(frozen=True)
class Entries:
    """Refuses anything but a list of ``count`` entries."""

    count: int
    expected: str

    def check(self, value: object) -> object:
        """The value itself; ValueError if it is no such list."""
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise Invalid(f"a list of {self.count} entries is needed", self.expected)
        if len(value) != self.count:
            raise Invalid(f"{self.count} entries are needed, not {len(value)}", self.expected)
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.check, handler(source))


def _number_only(value: object) -> object:
    if isinstance(value, bool):
        raise Invalid("a number is needed", "a number")
    return value


NUMBER: Final = BeforeValidator(_number_only)


class Frozen(BaseModel):
    """Immutable data; an unknown key is an error, and every error is a :class:`~chemomech.errors.CaseError`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, /, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise first_of(_translated(error, data)) from None
        except CaseError as error:
            raise _as_written(error, data) from None

    # pydantic then builds nested data without this constructor, so that keys are counted from the outermost one
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @model_validator(mode="before")
    @classmethod
    def _known_and_complete(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        fields = cls.model_fields
        for key, value in data.items():
            if key not in fields:
                raise Invalid(f"unknown key{did_you_mean(str(key), fields)}", listing(fields), (key,), value)
        for name, field in fields.items():
            if field.is_required() and name not in data:
                raise Invalid("is missing", _expected(field.metadata), (name,))
        return data


def _expected(metadata: Iterable[object]) -> str:
    return next((str(item.expected) for item in metadata if hasattr(item, "expected")), "")


def dotted(path: Path) -> str:
    """``("dislocations", 0, "core")`` as ``dislocations.0.core``."""
    return ".".join(str(part) for part in path)


def _child(node: object, part: str | int) -> object:
    if isinstance(node, BaseModel):
        return getattr(node, str(part), _ABSENT)
    if isinstance(node, Mapping):
        return node.get(part, _ABSENT)
    if (
        isinstance(node, Sequence)
        and not isinstance(node, (str, bytes))
        and str(part).isdigit()
        and int(part) < len(node)
    ):
        return node[int(part)]
    return _ABSENT


def look_up(data: object, path: Path) -> object:
    """What stands at ``path``, or None."""
    for part in path:
        data = _child(data, part)
    return None if data is _ABSENT else data


def _shown(value: object) -> object:
    """The value as it may stand in a one-paragraph message; None if it is too long to show."""
    if isinstance(value, (Mapping, BaseModel)):
        return None
    if isinstance(value, str):
        return value if len(value) <= 80 else value[:77] + "..."
    return value if len(repr(value)) <= 80 else None


def _as_written(error: CaseError, data: Mapping[str, Any]) -> CaseError:
    """The same error with the value as the user wrote it."""
    written = _shown(look_up(data, tuple(error.key.split("."))))
    return CaseError(error.key, error.value if written is None else written, error.problem, error.allowed)


_WORDS: Final = {
    "tuple_type": ("a list is needed", "a list in square brackets"),
    "list_type": ("a list is needed", "a list in square brackets"),
    "model_type": ("a table of keys is needed", "a table such as {key = value}"),
    "dict_type": ("a table of keys is needed", "a table such as {key = value}"),
    "bool_type": ("true or false is needed", "true or false"),
    "bool_parsing": ("true or false is needed", "true or false"),
    "int_type": ("a whole number is needed", "a whole number"),
    "int_parsing": ("a whole number is needed", "a whole number"),
    "int_from_float": ("a whole number is needed", "a whole number"),
    "float_type": ("a number is needed", "a number"),
    "float_parsing": ("a number is needed", "a number"),
    "finite_number": ("a finite number is needed", "a finite number"),
    "string_type": ("a text is needed", "a text in quotes"),
}


def _translated(error: ValidationError, data: Mapping[str, Any]) -> list[CaseError]:
    found = []
    for item in error.errors(include_url=False):
        path: Path = ()
        node: object = data
        for part in item["loc"]:  # the kinds of a union stand here too: they are no keys
            child = _child(node, part)
            if child is not _ABSENT:
                path, node = (*path, part), child
        context = item.get("ctx", {})
        cause = context.get("error")
        value = None
        if isinstance(cause, Invalid):
            path, value = path + cause.key, cause.value
            problem, allowed = cause.problem, cause.allowed
        elif item["type"] == "literal_error":
            allowed = str(context["expected"])
            guess = did_you_mean(str(item["input"]), [word.strip("', ") for word in re.split(" or |, ", allowed)])
            problem = f"not one of the possible values{guess}"
        elif item["type"] == "union_tag_invalid":
            tags = [tag.strip("'") for tag in str(context["expected_tags"]).split(", ")]
            path = (*path, str(context["discriminator"]).strip("'"))
            problem = f"not one of the possible values{did_you_mean(str(context['tag']), tags)}"
            allowed = listing(repr(tag) for tag in tags)
        elif item["type"] in _WORDS:
            problem, allowed = _WORDS[item["type"]]
        else:
            problem, allowed = str(item["msg"]).replace("Input should be", "it must be"), ""
        if value is None:
            value = look_up(data, path)
        found.append(CaseError(dotted(path), _shown(value), problem, allowed))
    return found


def first_of(errors: Sequence[CaseError]) -> CaseError:
    """The first error, which also names the keys of the others."""
    first = errors[0]
    others = list(dict.fromkeys(error.key for error in errors[1:] if error.key != first.key))
    if not others:
        return first
    number = "1 more problem" if len(others) == 1 else f"{len(others)} more problems"
    more = f"And {number}: {', '.join(others)}"
    if first.allowed:
        return CaseError(first.key, first.value, first.problem, f"{first.allowed.rstrip('.')}. {more}")
    return CaseError(first.key, first.value, f"{first.problem.rstrip('.')}. {more}")
