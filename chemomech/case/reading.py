"""Reading of TOML and of overrides, and where in a file an entry stands."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path as FilePath
from typing import Any, Final

from pydantic import BaseModel

from chemomech.errors import CaseError
from chemomech.frozen import did_you_mean, listing

Locate = Callable[[str], int | None]
_KINDS: Final = ("library", "kind", "shape")


def builtin_names() -> tuple[str, ...]:
    """The names of the cases that come with the package."""
    folder = resources.files("chemomech").joinpath("cases")
    return tuple(sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".toml")))


def read_source(source: str | FilePath) -> tuple[str, FilePath]:
    """The text of a built-in case or of a file, and the path it has.

    Raises:
        CaseError: If there is no such case and no such file, or the file can't be read.
    """
    if isinstance(source, str) and source in builtin_names():
        item = resources.files("chemomech").joinpath("cases", f"{source}.toml")
        return item.read_text(encoding="utf-8"), FilePath(str(item))
    path = FilePath(source)
    try:
        return path.read_bytes().decode("utf-8-sig"), path
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise CaseError(
            "case", None, f"the text is not UTF-8 (byte {error.start})", "a TOML file in UTF-8", file=path, line=line
        ) from error
    except (FileNotFoundError, ValueError) as error:
        names = builtin_names()
        raise CaseError(
            "case",
            str(source),
            f"there is no such file and no built-in case of this name{did_you_mean(path.stem, names)}",
            f"the path of a TOML file, or {listing(names)}",
        ) from error
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise CaseError(
            "case", str(source), f"the file can't be read ({reason})", "the path of a readable TOML file"
        ) from error


def parse(text: str, file: str | FilePath | None) -> dict[str, Any]:
    """The data of a TOML text.

    Raises:
        CaseError: If it is not TOML; with the line.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason, _, place = str(error).partition(" (at ")
        number = re.search(r"line (\d+)", place)
        line = int(number[1]) if number else text.count("\n") + 1
        reason = " ".join(reason.split())
        raise CaseError(
            "syntax",
            None,
            f"this is not TOML: {reason[0].lower()}{reason[1:]}",
            "lines such as key = 1.5, key = '1 nm' and [table]",
            file=file,
            line=line,
        ) from error
    except RecursionError as error:
        raise CaseError("syntax", None, "this is nested too deeply", "a shallower file", file=file) from error


def beside(table: object, key: str, file: str | FilePath) -> None:
    """Take a path in a table as relative to the file the table stands in."""
    if isinstance(table, dict) and isinstance(table.get(key), str) and table[key]:
        table[key] = str((FilePath(file).parent / table[key]).absolute())


def parse_override(text: str) -> tuple[str, Any]:
    """``KEY=VALUE`` as a dotted key and a value: a TOML value if it is one, else the text itself.

    Raises:
        CaseError: If there is no ``=`` or no key.
    """
    key, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not key:
        raise CaseError("--set", text, "an override has the form KEY=VALUE", "for example initial.concentration=0.3")
    if "\n" in value:
        return key, value
    try:
        read = tomllib.loads(f"value = {value}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return key, value
    return key, read if isinstance(read, (str, int, float, list, dict)) else value


def plain(value: Any) -> Any:
    """Data as TOML knows it: models and mappings as dicts without None, arrays and tuples as lists."""
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items() if part is not None}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [plain(part) for part in value]
    return value


def overridden(data: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the data with dotted keys replaced.

    A None takes the entry away. A new ``library``, ``kind`` or ``shape`` takes the numbers of the old one away, and
    comes first whatever the order.

    Raises:
        CaseError: If a key leads through something that has no keys, or past the end of a list.
    """
    result: dict[str, Any] = plain(data)
    for key in sorted(changes, key=lambda key: (key.rpartition(".")[2] not in _KINDS, key.count("."))):
        _put(result, key, plain(changes[key]))
    return result


def _put(data: dict[str, Any], key: str, value: Any) -> None:
    parts = key.split(".")
    node: Any = data
    for depth, part in enumerate(parts):
        above = ".".join(parts[:depth])
        if isinstance(node, list):
            if not part.isdigit() or int(part) >= len(node):
                raise CaseError(
                    key,
                    value,
                    f"{above} has no entry '{part}'",
                    f"{above}.0 to {above}.{len(node) - 1}" if node else above,
                )
            index: Any = int(part)
        elif isinstance(node, dict):
            index = part
        else:
            raise CaseError(key, value, f"{above} = {node!r} has no keys below it", above)
        if depth < len(parts) - 1:
            node = node.setdefault(index, {}) if isinstance(node, dict) else node[index]
        elif value is None and isinstance(node, dict):
            node.pop(index, None)
        elif value is None:
            del node[index]
        else:
            if part in _KINDS and isinstance(node, dict) and node.get(part) != value:
                node.clear()
            node[index] = value


def locator(text: str) -> Locate:
    """A function that finds the line (from 1) of a dotted key in a TOML text, or of what is nearest above it."""
    lines = _key_lines(text)

    def line(key: str) -> int | None:
        path = tuple(key.split("."))
        while path and path not in lines:
            path = path[:-1]
        return lines.get(path)

    return line


_HEADER: Final = re.compile(r"^\s*(\[\[?)(.*?)\]\]?\s*(?:#.*)?$")
_ENTRY: Final = re.compile(r"""^\s*((?:"(?:\\.|[^"\\])*"|'[^']*'|[^=#"'])+?)\s*=(.*)$""", re.DOTALL)
_TOKEN: Final = re.compile(r'"""|\'\'\'|"(?:\\.|[^"\\])*"|\'[^\']*\'|#.*|[\[\]{}]')


def _key_lines(text: str) -> dict[tuple[str, ...], int]:
    """The line of every table and key of a valid TOML text; entries of arrays of tables carry their number."""
    lines: dict[tuple[str, ...], int] = {}
    counts: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    quote, depth = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        rest = line
        if not quote and depth == 0:
            if header := _HEADER.match(line):
                written = _split(header[2])
                table = ()
                for i, part in enumerate(written, 1):
                    lines.setdefault(table, number)
                    table = (*table, part)
                    if header[1] == "[[" and i == len(written):
                        counts[table] = counts.get(table, -1) + 1
                    if table in counts:
                        lines.setdefault(table, number)
                        table = (*table, str(counts[table]))
                lines.setdefault(table, number)
                continue
            if not (entry := _ENTRY.match(line)) or line.lstrip().startswith("#"):
                continue
            path = table
            for part in _split(entry[1]):
                path = (*path, part)
                lines.setdefault(path, number)
            rest = entry[2]
        quote, depth = _scan(rest, quote, depth)
    return lines


def _split(key: str) -> tuple[str, ...]:
    """A written key, quotes and all, as its parts."""
    node: Any = tomllib.loads(f"{key.strip()} = 0")
    parts: list[str] = []
    while isinstance(node, dict):
        name, node = next(iter(node.items()))
        parts.append(name)
    return tuple(parts)


def _scan(text: str, quote: str, depth: int) -> tuple[str, int]:
    """The open long quote and the depth of brackets after a piece of a value."""
    position = 0
    while position < len(text):
        if quote:
            end = text.find(quote, position)
            if end < 0:
                return quote, depth
            position, quote = end + 3, ""
            continue
        token = _TOKEN.search(text, position)
        if token is None:
            break
        position = token.end()
        if token[0] in ('"""', "'''"):
            quote = token[0]
        elif token[0] in "[{":
            depth += 1
        elif token[0] in "]}":
            depth -= 1
    return quote, depth
