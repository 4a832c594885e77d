"""The only place where a unit string becomes a number in SI units, and back."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache
from numbers import Real
from typing import Annotated, Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from chemomech.frozen import Invalid

_NUMBER: Final = re.compile(r"^\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?)\s*(.*?)\s*$", re.DOTALL)

_KINDS: Final = {
    "m": ("length", "1 nm"),
    "Pa": ("pressure", "150 GPa"),
    "K": ("temperature", "25 degC"),
    "s": ("time", "1 ms"),
    "degree": ("angle", "45 deg"),
    "m^3/mol": ("molar volume", "3e-6 m^3/mol"),
    "mol/m^3": ("concentration", "42522 mol/m^3"),
    "J/mol": ("molar energy", "5 kJ/mol"),
    "m^2/s": ("diffusivity", "3e-13 m^2/s"),
    "m/s": ("rate of exchange", "1 nm/s"),
    "J/m": ("gradient energy", "1e-9 J/m"),
    "mol/m^2/s": ("molar flux", "1e-6 mol/m^2/s"),
    "J/m^2": ("energy per area", "2 J/m^2"),
    "1/m^2": ("line density", "1e14 1/m^2"),
    "mol/m^2": ("amount per area", "1e-4 mol/m^2"),
    "A/m^2": ("current density", "0.1 mA/cm^2"),
    "V": ("voltage", "50 mV"),
}


def quantity_name(si: str) -> str:
    """The name of the quantity measured in the unit ``si``."""
    return _KINDS[si][0]


def expected(si: str, limit: str = "") -> str:
    """What may be written for a quantity in the unit ``si``: ``a length above 0 such as '1 nm'``."""
    name, example = _KINDS[si]
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}{limit} such as '{example}', or a plain number in {si}"


@cache
def _registry() -> Any:
    import pint  # only who writes units pays for its import

    return pint.UnitRegistry(non_int_type=Decimal, autoconvert_offset_to_baseunit=True)


@cache
def _unit(text: str, si: str) -> Any:
    import pint

    registry = _registry()
    try:
        unit = registry.Unit(text)
    except Exception as error:  # pint's parser raises a dozen different types on nonsense
        raise Invalid(f"'{text}' is not a unit", expected(si)) from error
    try:
        registry.Quantity(Decimal(1), unit).to(si)
    except pint.DimensionalityError as error:
        raise Invalid(f"'{text}' is not a unit of {quantity_name(si)}", expected(si)) from error
    return unit


def to_si(value: object, si: str) -> float:
    """Turn ``"1.3 nm"``, ``"1.3e-9"`` or ``1.3e-9`` into a number in the unit ``si``.

    The conversion is decimal, so that ``"1.3 nm"`` is the same number as ``1.3e-9``.

    Args:
        value: A number (taken as already in ``si``) or a string of a number and a unit.
        si: The unit to convert to: m, Pa, K, s, degree, m^3/mol, mol/m^3, J/mol, m^2/s, J/m, mol/m^2/s, J/m^2,
            1/m^2, mol/m^2, A/m^2 or V.

    Raises:
        ValueError: If the text is not a finite number with a unit of the right dimension.
    """
    if isinstance(value, bool):
        raise Invalid("a number with a unit is needed", expected(si))
    if isinstance(value, str):
        match = _NUMBER.match(value)
        if match is None:
            raise Invalid("a number with a unit is needed", expected(si))
        number, unit = match[1], match[2]
        if unit and unit != si:
            try:
                result = float(_registry().Quantity(Decimal(number), _unit(unit, si)).to(si).magnitude)
            except (ArithmeticError, InvalidOperation) as error:
                raise Invalid("the number can't be converted", expected(si)) from error
        else:
            result = float(number)
    elif isinstance(value, Real):
        try:
            result = float(value)
        except OverflowError:
            result = math.inf
    else:
        raise Invalid("a number with a unit is needed", expected(si))
    if not math.isfinite(result):
        raise Invalid(f"a {quantity_name(si)} must be finite", expected(si))
    return result


def to_text(value: float, si: str) -> str:
    """The written form of a number in SI units; reading it back gives exactly ``value``."""
    return f"{float(value)!r} {si}"


_PREFIXES: Final = {-12: "p", -9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}


def pretty(value: float, si: str) -> str:
    """A number in SI units for people to read: ``2.5 nm``, ``149.8 GPa``, ``7.08e-15 m^2/s``."""
    if si not in ("m", "Pa", "s") or value == 0:
        return f"{value:.6g} {si}"
    exponent = 3 * math.floor(math.log10(abs(value)) / 3 + 1e-9)
    if exponent not in _PREFIXES or (exponent > 0 and si != "Pa"):
        return f"{value:.6g} {si}"
    return f"{value / 10.0**exponent:.6g} {_PREFIXES[exponent]}{si}"


@dataclass(frozen=True)
class Quantity:
    """Marks a number that is kept in the unit ``si`` and may be written with any unit of that kind."""

    si: str
    positive: bool = False

    @property
    def expected(self) -> str:
        """What may be written for it."""
        return expected(self.si, " above 0" if self.positive else "")

    def read(self, value: object) -> float:
        """The number in SI units; ValueError if it is not one, or not positive where it must be."""
        try:
            number = to_si(value, self.si)
        except Invalid as error:
            raise Invalid(error.problem, self.expected) from None
        if self.positive and not number > 0.0:
            raise Invalid(f"the {quantity_name(self.si)} must be above zero", self.expected)
        return number

    def write(self, value: float) -> str:
        """The written form, see :func:`to_text`."""
        return to_text(value, self.si)

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.read,
            serialization=core_schema.plain_serializer_function_ser_schema(
                self.write, return_schema=core_schema.str_schema()
            ),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": ["number", "string"], "unit": self.si}


Length = Annotated[float, Quantity("m")]
Pressure = Annotated[float, Quantity("Pa")]
Temperature = Annotated[float, Quantity("K")]
Duration = Annotated[float, Quantity("s")]
Angle = Annotated[float, Quantity("degree")]
MolarVolume = Annotated[float, Quantity("m^3/mol")]
MolarConcentration = Annotated[float, Quantity("mol/m^3")]
MolarEnergy = Annotated[float, Quantity("J/mol")]
Diffusivity = Annotated[float, Quantity("m^2/s")]
GradientEnergy = Annotated[float, Quantity("J/m")]
MolarFlux = Annotated[float, Quantity("mol/m^2/s")]
CurrentDensity = Annotated[float, Quantity("A/m^2")]
Voltage = Annotated[float, Quantity("V")]

PositiveLength = Annotated[float, Quantity("m", positive=True)]
PositivePressure = Annotated[float, Quantity("Pa", positive=True)]
PositiveTemperature = Annotated[float, Quantity("K", positive=True)]
PositiveDuration = Annotated[float, Quantity("s", positive=True)]
PositiveMolarConcentration = Annotated[float, Quantity("mol/m^3", positive=True)]
PositiveDiffusivity = Annotated[float, Quantity("m^2/s", positive=True)]
PositiveVelocity = Annotated[float, Quantity("m/s", positive=True)]
PositiveSurfaceEnergy = Annotated[float, Quantity("J/m^2", positive=True)]
PositiveLineDensity = Annotated[float, Quantity("1/m^2", positive=True)]
PositiveAmountPerArea = Annotated[float, Quantity("mol/m^2", positive=True)]
PositiveCurrentDensity = Annotated[float, Quantity("A/m^2", positive=True)]
