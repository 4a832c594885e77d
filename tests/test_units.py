"""Units: what is read, what is refused, what is written."""

from __future__ import annotations

import numpy as np
import pytest

from chemomech.units import expected, pretty, quantity_name, to_si, to_text


@pytest.mark.parametrize(
    ("value", "si", "number"),
    [
        ("1.3 nm", "m", 1.3e-9),
        ("1.3nm", "m", 1.3e-9),
        ("  12.98 angstrom ", "m", 12.98e-10),
        ("0.3 µm", "m", 0.3e-6),
        ("1.3e-9", "m", 1.3e-9),
        (".5 um", "m", 0.5e-6),
        ("-2 nm", "m", -2e-9),
        ("+1E3 pm", "m", 1e-9),
        (1.3e-9, "m", 1.3e-9),
        (3, "m", 3.0),
        (np.float32(0.5), "m", 0.5),
        (np.int64(2), "m", 2.0),
        ("30 degC", "K", 303.15),
        ("86 degF", "K", 303.15),
        ("298.15 K", "K", 298.15),
        (298.15, "K", 298.15),
        ("149.8 GPa", "Pa", 149.8e9),
        ("71 kN/mm^2", "Pa", 71e9),
        ("42522 mol/m^3", "mol/m^3", 42522.0),
        ("42.522 mol/L", "mol/m^3", 42522.0),
        ("3 cm^3/mol", "m^3/mol", 3e-6),
        ("3e-9 cm^2/s", "m^2/s", 3e-13),
        ("2 nm/s", "m/s", 2e-9),
        ("10 ms", "s", 0.01),
        ("1.5 h", "s", 5400.0),
        ("45 deg", "degree", 45.0),
        ("45 degree", "degree", 45.0),
        ("1 nJ/m", "J/m", 1e-9),
        ("1 nmol/cm^2/s", "mol/m^2/s", 1e-5),
        ("5 kJ/mol", "J/mol", 5000.0),
    ],
)
def test_exact_numbers(value: object, si: str, number: float) -> None:
    assert to_si(value, si) == number


@pytest.mark.parametrize(
    ("value", "si", "number"),
    [
        ("3.141592653589793 rad", "degree", 180.0),
        ("1 eV/particle", "J/mol", 96485.33212331),
        ("1 kcal/mol", "J/mol", 4184.0),
    ],
)
def test_close_numbers(value: str, si: str, number: float) -> None:
    assert to_si(value, si) == pytest.approx(number, rel=1e-12, abs=0.0)


@pytest.mark.parametrize(
    ("value", "si", "words"),
    [
        ("1 GPa", "m", "'GPa' is not a unit of length"),
        ("1 nm", "Pa", "'nm' is not a unit of pressure"),
        ("30 C", "K", "'C' is not a unit of temperature"),
        ("1 eV", "J/mol", "'eV' is not a unit of molar energy"),
        ("1 mol", "mol/m^3", "'mol' is not a unit of concentration"),
        ("1 nanos", "m", "'nanos' is not a unit"),
        ("1,3 nm", "m", "',3 nm' is not a unit"),
        ("1 nm 2", "m", "'nm 2' is not a unit"),
        ("1 __import__('os')", "m", "is not a unit"),
        ("nm", "m", "a number with a unit is needed"),
        ("", "m", "a number with a unit is needed"),
        ("one nm", "m", "a number with a unit is needed"),
        (True, "m", "a number with a unit is needed"),
        (None, "m", "a number with a unit is needed"),
        ([1.0], "m", "a number with a unit is needed"),
        (1j, "m", "a number with a unit is needed"),
        (float("nan"), "m", "must be finite"),
        (float("inf"), "s", "must be finite"),
        ("1e400", "m", "must be finite"),
        ("1e400 nm", "m", "must be finite"),
    ],
)
def test_refused(value: object, si: str, words: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        to_si(value, si)
    assert words in str(caught.value)
    assert quantity_name(si) in str(caught.value.allowed)  # type: ignore[attr-defined]


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1.3e-9, -0.0, 5e-324, 1.7976931348623157e308, 3.0])
def test_what_is_written_is_read_back(value: float) -> None:
    assert to_si(to_text(value, "m"), "m") == value
    assert to_si(to_text(np.float64(value), "J/mol"), "J/mol") == value


@pytest.mark.parametrize(
    ("value", "si", "text"),
    [
        (2.5e-9, "m", "2.5 nm"),
        (1e-9, "m", "1 nm"),
        (1e-3, "s", "1 ms"),
        (1.498e11, "Pa", "149.8 GPa"),
        (0.0, "m", "0 m"),
        (-3e-8, "m", "-30 nm"),
        (7200.0, "s", "7200 s"),
        (1e-20, "m", "1e-20 m"),
        (7.08e-15, "m^2/s", "7.08e-15 m^2/s"),
    ],
)
def test_pretty(value: float, si: str, text: str) -> None:
    assert pretty(value, si) == text


def test_expected() -> None:
    assert expected("m").startswith("a length such as '1 nm'")
    assert expected("degree").startswith("an angle")
