"""A whole case: parts that fit each other; read from and written as TOML."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tomli_w
from pydantic import Field, model_validator

from chemomech.case import checks, reading
from chemomech.case.grain_boundaries import GrainBoundary
from chemomech.case.grains import MeasuredMap, Polycrystal
from chemomech.case.lines import Array as LineArray
from chemomech.case.lines import misfit_array
from chemomech.case.misfit import Ensemble, Misfit
from chemomech.case.parts import (
    Boundary,
    Box,
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
from chemomech.case.random_lines import ensemble_lines
from chemomech.case.regions import Interface, interfaces
from chemomech.errors import CaseError
from chemomech.frozen import Frozen, Hint, first_of
from chemomech.materials.laws import Material
from chemomech.typing import Array
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
    misfits: tuple[Misfit, ...] = ()
    ensembles: tuple[Ensemble, ...] = ()
    boundaries: dict[str, Boundary] = Field(default_factory=dict)
    grain_boundaries: dict[str, GrainBoundary] = Field(default_factory=dict)
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
            if domain.get("shape") not in ("file", "ebsd") and "made" not in domain and not domain.get("layers"):
                return {**data, "domain": {**domain, "material": name}}
        elif getattr(domain, "material", None) == "" and not getattr(domain, "layers", ()):
            return {**data, "domain": domain.model_copy(update={"material": name})}  # type: ignore[union-attr]
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
        return 2 if isinstance(self.domain, MeasuredMap) else len(self.domain.size)

    @property
    def used_materials(self) -> dict[str, Material]:
        """The materials the body may consist of, by name; all of them for a mesh file or a map."""
        if isinstance(self.domain, MeshFile | MeasuredMap):
            return dict(self.materials)
        if isinstance(self.domain, Polycrystal):
            return {name: m for name, m in self.materials.items() if name == self.domain.material}
        names = {layer.material for layer in self.domain.layers} or {self.domain.material}
        names |= {inclusion.material for inclusion in self.domain.inclusions}
        return {name: m for name, m in self.materials.items() if name in names}

    @property
    def interfaces(self) -> tuple[Interface, ...]:
        """The flat interfaces between layers of different materials, from bottom to top."""
        return interfaces(self.domain)

    @cached_property
    def misfit_arrays(self) -> tuple[LineArray, ...]:
        """The dislocations of each misfit, and the part of it that they take up.

        Raises:
            CaseError: If a list of positions can't be read, or an array does not fit the body.
        """
        return tuple(misfit_array(self, i) for i in range(len(self.misfits)))

    @cached_property
    def all_dislocations(self) -> tuple[Dislocation, ...]:
        """Every dislocation of the body: those of ``dislocations``, of ``misfits`` and of ``ensembles``, in this order.

        Raises:
            CaseError: As ``misfit_arrays``, or if an ensemble has no line or no room.
        """
        made = [line for array in self.misfit_arrays for line in array.lines]
        made += [line for i in range(len(self.ensembles)) for line in ensemble_lines(self, i)]
        return (*self.dislocations, *made)

    def misfit_strain(self, material: str) -> Array:
        """Stress-free strain of a material that does not fit to its substrate, shape (3, 3).

        It is minus the strain that the material takes to fit, along x and z; ``out_of_plane`` says how much of it
        there is along z in 2D. ``Material.eigenstrain`` is not part of it.
        """
        strain = np.zeros((3, 3))
        for i, misfit in enumerate(self.misfits):
            if misfit.phase == material:
                left = {"array": 1.0 - self.misfit_arrays[i].relaxed, "coherent": 1.0, "none": 0.0}
                along_z = 1.0 if self.dimension == 3 else left[misfit.out_of_plane]
                strain -= misfit.elastic_strain(self.materials) * np.diag([1.0, 0.0, along_z])
        return strain

    @property
    def resolved_mesh(self) -> Mesh:
        """The mesh settings with the numbers used where none are given.

        ``size`` is 1/24 of the longest edge of the body, of grains at most 1/6 of one (of a mesh file or a map it
        stays unknown), ``core_size`` a quarter of
        the smallest core and at most ``size``, ``interface_size`` that of ``size`` where there are interfaces.
        """
        size, core = self.mesh.size, self.mesh.core_size
        if size is None and not isinstance(self.domain, MeshFile | MeasuredMap):
            size = max(self.domain.size) / 24.0
            if isinstance(self.domain, Polycrystal):
                size = min(size, self.domain.diameter / 6.0)
        if core is None and self.all_dislocations:
            core = min(dislocation.core for dislocation in self.all_dislocations) / 4.0
            core = core if size is None else min(core, size)
        between = self.mesh.interface_size
        if between is None and isinstance(self.domain, Rectangle | Box) and (self.interfaces or self.domain.inclusions):
            between = size
        return self.mesh.model_copy(update={"size": size, "core_size": core, "interface_size": between})

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
        if file is not None:
            for key in ("path", "grains"):
                reading.beside(data.get("domain"), key, file)
            misfits = data.get("misfits")
            for misfit in misfits if isinstance(misfits, list) else ():
                reading.beside(misfit.get("array") if isinstance(misfit, dict) else None, "file", file)
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
