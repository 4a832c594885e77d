"""The material library: numbers with their sources, as data and as printed tables."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import IO, Any, Final, NamedTuple

from chemomech.errors import CaseError
from chemomech.frozen import did_you_mean, listing

STATUSES: Final = ("verified", "recalled", "computed", "assumed")

_KINDS: Final = {
    "isotropic": ("youngs_modulus", "poissons_ratio"),
    "cubic": ("c11", "c12", "c44"),
}
_FIELDS: Final = (
    "partial_molar_volume",
    "reference_concentration",
    "maximum_concentration",
    "interaction",
    "reference_potential",
    "diffusivity",
    "lattice_constant",
    "yield_stress",
)


class Row(NamedTuple):
    """One number of the library.

    Attributes:
        property: What it is, in words.
        symbol: Its letter.
        value, unit: The number as written and its unit (``-`` if it has none).
        status: ``verified`` (read in the source), ``recalled`` (well established but not looked up again),
            ``computed`` (from other numbers, said in ``source``) or ``assumed`` (no value found; reason in ``source``).
        source: Where it is from.
    """

    property: str
    symbol: str
    value: str
    unit: str
    status: str
    source: str


@cache
def load_library() -> Mapping[str, Mapping[str, Any]]:
    """The whole library: name -> {``title``, property -> {``value``, ``symbol``, ``status``, ``source``}}."""
    text = resources.files("chemomech.materials").joinpath("library.toml").read_text(encoding="utf-8")
    return MappingProxyType({name: MappingProxyType(data) for name, data in tomllib.loads(text).items()})


def names() -> tuple[str, ...]:
    """The names of the materials in the library."""
    return tuple(load_library())


def entry(name: str) -> Mapping[str, Any]:
    """All that is known of one material.

    Raises:
        CaseError: If the library has no material of this name; the nearest name is suggested.
    """
    if name not in load_library():
        raise CaseError(
            "material",
            name,
            f"the library has no such material{did_you_mean(name, names())}",
            listing(names()),
        )
    return load_library()[name]


def elasticity(name: str, kind: str) -> dict[str, Any]:
    """The elastic constants of one kind (``isotropic`` or ``cubic``) the library has, by field name."""
    known = entry(name)
    return {key: known[key]["value"] for key in _KINDS.get(kind, ()) if key in known}


def material_fields(name: str) -> dict[str, Any]:
    """The entry as fields of :class:`~chemomech.materials.laws.Material`; elasticity is the isotropic one.

    Raises:
        CaseError: If the library has no material of this name.
    """
    known = entry(name)
    fields: dict[str, Any] = {key: known[key]["value"] for key in _FIELDS if key in known}
    return {"library": name, "elasticity": {"kind": "isotropic", **elasticity(name, "isotropic")}, **fields}


def table(name: str) -> list[Row]:
    """The numbers of one material, one row each, in the order of the library.

    Raises:
        CaseError: If the library has no material of this name.
    """
    rows = []
    for key, data in entry(name).items():
        if key != "title":
            number, _, unit = str(data["value"]).partition(" ")
            words = str(data.get("name", key.replace("_", " ")))
            rows.append(Row(words, data["symbol"], number, unit or "-", data["status"], data["source"]))
    return rows


def print_table(name: str, file: IO[str] | None = None) -> None:
    """Print the numbers of one material with their sources.

    Args:
        name: Name of the material.
        file: Where to print; standard output if not given.

    Raises:
        CaseError: If the library has no material of this name.
    """
    from rich.console import Console
    from rich.table import Table

    shown = Table(title=f"{name}: {entry(name)['title']}", title_justify="left")
    shown.add_column("property", no_wrap=True)
    shown.add_column("symbol", no_wrap=True)
    shown.add_column("value", justify="right", no_wrap=True)
    shown.add_column("unit", no_wrap=True)
    shown.add_column("status", no_wrap=True)
    shown.add_column("source", overflow="fold")
    colours = {"verified": "green", "computed": "cyan", "recalled": "yellow", "assumed": "red"}
    for row in table(name):
        shown.add_row(*row[:4], f"[{colours[row.status]}]{row.status}[/]", row.source)
    console = Console(file=file)
    if not console.is_terminal:
        console = Console(file=file, width=150)
    console.print(shown, markup=True)
