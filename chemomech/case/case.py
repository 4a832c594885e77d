"""A whole case: parts that fit each other; read from and written as TOML."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import Field, model_validator

from chemomech.case import checks, reading
from chemomech.case.parts import (
    Boundary,
    Dislocation,
    Domain,
    Equilibrium,
    Initial,
    Mesh,
    MeshFile,
    Output,
    Rectangle,
    Solver,
    Time,
)
from chemomech.errors import CaseError
from chemomech.frozen import Frozen, Hint, first_of
from chemomech.materials.laws import Material
from chemomech.units import PositiveTemperature


class Case(Frozen):
    """One computation, complete and immutable.

    Attributes:
        plane: Plane strain or plane stress, in 2D.
        mode: ``transient``, or ``equilibrium`` for the final state directly.

    Raises:
        CaseError: If anything in it is wrong; nothing has to be meshed to find out.
    """

    title: str = ""
    question: str = ""
    figure: str = ""
    temperature: PositiveTemperature = 298.15
    plane: Literal["strain", "stress"] = "strain"
    mode: Literal["transient", "equilibrium"] = "transient"
    domain: Annotated[Domain, Hint("a table such as [domain] with size = ['60 nm', '40 nm']")]
    mesh: Mesh = Mesh()
    materials: Annotated[dict[str, Material], Hint("a table such as [materials.llzo] with library = 'LLZO'")]
    dislocations: tuple[Dislocation, ...] = ()
    boundaries: dict[str, Boundary] = Field(default_factory=dict)
    initial: Initial = Initial()
    time: Time = Time()
    equilibrium: Equilibrium = Equilibrium()
    solver: Solver = Solver()
    output: Output = Output()

    @model_validator(mode="before")
    @classmethod
    def _only_material(cls, data: Any) -> Any:
        """The only material there is need not be named in the domain."""
        if not isinstance(data, Mapping):
            return data
        domain, materials = data.get("domain"), data.get("materials")
        if not isinstance(materials, Mapping) or len(materials) != 1:
            return data
        name = next(iter(materials))
        if isinstance(domain, Mapping) and not domain.get("material") and "path" not in domain:
            if domain.get("shape") != "file":
                return {**data, "domain": {**domain, "material": name}}
        elif isinstance(domain, Frozen) and getattr(domain, "material", None) == "":
            return {**data, "domain": domain.model_copy(update={"material": name})}
        return data

    @model_validator(mode="after")
    def _fits(self) -> Case:
        if errors := list(checks.problems(self)):
            raise first_of(errors)
        return self

    @property
    def dimension(self) -> int | None:
        """2 or 3; None for a mesh file, which tells it when it is read."""
        if isinstance(self.domain, MeshFile):
            return None
        return 2 if isinstance(self.domain, Rectangle) else 3

    @property
    def used_materials(self) -> dict[str, Material]:
        """The materials the body may consist of, by name; all of them for a mesh file."""
        if isinstance(self.domain, MeshFile):
            return dict(self.materials)
        return {name: m for name, m in self.materials.items() if name == self.domain.material}

    @property
    def resolved_mesh(self) -> Mesh:
        """The mesh settings with the numbers used where none are given.

        ``size`` is 1/24 of the longest edge of the body (of a mesh file it stays unknown), ``core_size`` a quarter of
        the smallest core and at most ``size``.
        """
        size, core = self.mesh.size, self.mesh.core_size
        if size is None and not isinstance(self.domain, MeshFile):
            size = max(self.domain.size) / 24.0
        if core is None and self.dislocations:
            core = min(dislocation.core for dislocation in self.dislocations) / 4.0
            core = core if size is None else min(core, size)
        return self.mesh.model_copy(update={"size": size, "core_size": core})

    @classmethod
    def load(cls, source: str | Path, overrides: Mapping[str, Any] | None = None) -> Case:
        """Read a case.

        Args:
            source: Name of a built-in case, or path of a TOML file.
            overrides: Dotted keys and their values, which win over the file, see :meth:`replace`.

        Raises:
            CaseError: If it can't be read or is wrong; with file and line.
        """
        text, file = reading.read_source(source)
        return cls.loads(text, file, overrides)

    @classmethod
    def loads(cls, text: str, file: str | Path | None = None, overrides: Mapping[str, Any] | None = None) -> Case:
        """Read a case from TOML text.

        Args:
            text: The TOML.
            file: Where it stands, for messages and for paths relative to it.
            overrides: Dotted keys and their values, which win over the text.

        Raises:
            CaseError: If it is wrong; with file and line if ``file`` is given.
        """
        data = reading.parse(text, file)
        changes = dict(overrides or {})
        domain = data.get("domain")
        if file is not None and isinstance(domain, dict) and isinstance(domain.get("path"), str):
            domain["path"] = str((Path(file).parent / domain["path"]).absolute())
        try:
            return cls(**(reading.overridden(data, changes) if changes else data))
        except CaseError as error:
            if file is None or any(error.key == key or error.key.startswith(f"{key}.") for key in changes):
                raise
            raise error.located(file, reading.locator(text)(error.key)) from None

    def to_toml(self) -> str:
        """The case as TOML: every number written out in SI units; reading it back gives an equal case."""
        return tomli_w.dumps(reading.plain(self))

    def replace(self, changes: Mapping[str, Any]) -> Case:
        """A new case with some entries replaced.

        Args:
            changes: Dotted keys (``materials.llzo.interaction``, ``dislocations.0.core``) and their new values, as
                they could stand in a TOML file or as Python objects; None stands for "not given". A new ``library``,
                ``kind`` or ``shape`` drops the numbers that belonged to the old one.

        Raises:
            CaseError: If a key is unknown or the result is wrong.
        """
        return type(self)(**reading.overridden(reading.plain(self), changes))


def builtin_cases() -> dict[str, Case]:
    """The cases that come with the package, by name."""
    folder = resources.files("chemomech").joinpath("cases")
    return {
        name: Case.loads(folder.joinpath(f"{name}.toml").read_text(encoding="utf-8"), f"{name}.toml")
        for name in reading.builtin_names()
    }
