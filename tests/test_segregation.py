"""Isotherms of boundaries, swelling by added lithium, and the diffusivity that follows the melting point."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq

from chemomech.analysis.segregation import (
    boundary_fraction_at,
    enrichment,
    fowler_guggenheim,
    mclean,
    regular_potential,
    segregation_energy,
    two_states,
)
from chemomech.analysis.swelling import fraction_from_swelling, pillar, swelling_strain, swelling_table
from chemomech.errors import CaseError
from chemomech.materials.laws import GAS_CONSTANT
from chemomech.materials.library import entry
from chemomech.materials.lithiation import (
    LITHIUM_VOLUME,
    SILVER_LITHIUM,
    MeltingLine,
    added_volume,
    homologous_diffusivity,
    prefactor_for,
)
from chemomech.units import to_si

T = 303.15
RT = GAS_CONSTANT * T


def close(expected: Any, rel: float = 1e-6) -> Any:
    """Relative only: of itself ``approx`` takes all numbers below 1e-12 for equal, which in SI units are many."""
    return pytest.approx(expected, rel=rel, abs=0.0)


# ---- isotherms -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("chi", "fraction"), [(-1.0, 0.2784), (0.0, 0.4000), (1.0, 0.7458), (2.0, 0.9693)])
def test_fowler_guggenheim(chi: float, fraction: float) -> None:
    x = float(fowler_guggenheim(0.005, -12320.0, T, chi))
    assert x == pytest.approx(fraction, abs=7e-5)  # four digits, one of them rounded the other way
    # the equality of potentials itself, and the classical form of the isotherm
    assert -12320.0 / RT + float(regular_potential(x, chi)) == pytest.approx(
        float(regular_potential(0.005, chi)), abs=1e-12
    )
    odds = 0.005 / 0.995 * math.exp(12320.0 / RT + 2.0 * chi * (x - 0.005))
    assert x / (1.0 - x) == close(odds, rel=1e-12)
    assert float(segregation_energy(x, 0.005, T, chi)) == close(-12320.0, rel=1e-12)


def test_mclean_and_what_paper_000_measured() -> None:
    """Its pair of 40-45 at.% and -12 to -12.5 kJ/mol is off by 0.3 kJ/mol."""
    assert float(mclean(0.005, -12320.0, T)) == pytest.approx(0.4, abs=7e-5)
    energies = segregation_energy(np.array([0.40, 0.45, 0.258, 0.325]), 0.005, T) / 1e3
    assert energies == pytest.approx([-12.32, -12.84, -10.68, -11.50], abs=5e-3)
    assert segregation_energy([0.40, 0.45], 6e-4, T) / 1e3 == pytest.approx([-17.7, -18.2], rel=1e-6, abs=0.05)
    assert mclean(0.005, -12000.0, T) == pytest.approx(0.370, abs=5e-4)
    assert mclean(0.005, -12500.0, T) == pytest.approx(0.417, abs=5e-4)


def test_henry_limit() -> None:
    tiny = 1e-12
    for chi, bulk_chi in ((0.0, 0.0), (1.5, 0.5), (-2.0, 1.0)):
        x = float(fowler_guggenheim(tiny, -8000.0, T, chi, bulk_interaction=bulk_chi))
        assert x / tiny == close(enrichment(-8000.0, T, chi, bulk_chi), rel=1e-8)


def test_stress_shifts_by_volume_times_stress() -> None:
    stress = np.array([-500e6, 0.0, 200e6])
    x = fowler_guggenheim(0.005, -12320.0, T, 1.0, normal_stress=stress, volume=8.9e-6)
    assert x == close([float(fowler_guggenheim(0.005, -12320.0 - 8.9e-6 * s, T, 1.0)) for s in stress])
    shift = RT * (regular_potential(x, 1.0) - regular_potential(x[1], 1.0))
    assert shift == pytest.approx(8.9e-6 * stress, rel=1e-10, abs=1e-9)
    assert x[0] < x[1] < x[2]  # tension across the boundary draws lithium in


@pytest.mark.parametrize("chi", [-5.0, -0.3, 0.0, 1.0, 1.999, 2.0])
def test_one_state(chi: float) -> None:
    m = np.concatenate([np.linspace(-40.0, 30.0, 57), [-1e-6, 0.0, 1e-6, 0.3]])
    x = boundary_fraction_at(m, chi)
    for one, value in zip(m, x, strict=True):

        def gap(odds: float, one: float = one) -> float:
            return odds - chi * math.tanh(0.5 * odds) - one

        root = brentq(gap, -60.0, 60.0, xtol=1e-14, rtol=1e-14)
        steep = 1e-4 if chi > 1.99 and abs(one) < 1e-3 else 1e-11  # x turns steeply at the critical point
        assert value == close(1.0 / (1.0 + math.exp(-root)), rel=steep)
    for branch in ("poor", "rich", "unstable"):
        assert np.array_equal(boundary_fraction_at(m, chi, branch), x)
    assert two_states(chi) is None


@pytest.mark.parametrize(
    ("chi", "binodal", "spinodal"), [(2.5, 0.144794, 0.276393), (3.0, 0.070720, 0.211325), (4.0, 0.021248, 0.146447)]
)
def test_two_states(chi: float, binodal: float, spinodal: float) -> None:
    found = two_states(chi)
    assert found is not None
    poor, end, limit = found
    assert poor == pytest.approx(binodal, abs=5e-7) and end == pytest.approx(spinodal, abs=5e-7)
    assert float(regular_potential(end, chi)) == close(limit, rel=1e-12)
    m = limit * np.array([-1.2, -0.9, -0.1, 0.1, 0.9, 1.2])
    branches = {name: boundary_fraction_at(m, chi, name) for name in ("poor", "unstable", "rich", "stable")}
    inside = np.abs(m) < limit
    for name, x in branches.items():
        there = np.isfinite(x)
        assert regular_potential(x[there], chi) == pytest.approx(m[there], abs=1e-12)
        expected = {"poor": m < limit, "rich": m > -limit, "unstable": inside, "stable": m < 9e9}[name]
        assert np.array_equal(there, expected)
    poor_x, middle, rich = (branches[name][inside] for name in ("poor", "unstable", "rich"))
    assert np.all(poor_x < end) and np.all(rich > 1.0 - end) and np.all((middle > end) & (middle < 1.0 - end))

    # the stable branch has the lower grand potential
    def grand(x: Any) -> Any:
        return x * np.log(x) + (1.0 - x) * np.log(1.0 - x) + chi * x * (1.0 - x) - m[inside] * x

    lower = np.where(grand(poor_x) < grand(rich), poor_x, rich)
    assert np.array_equal(branches["stable"][inside], lower)
    assert boundary_fraction_at(0.0, chi) == pytest.approx(1.0 - binodal, abs=5e-7)


# ---- swelling ------------------------------------------------------------------------------------------------------


def test_added_lithium() -> None:
    assert added_volume([0.325, 0.40, 0.45]) == pytest.approx([0.416, 0.576, 0.707], abs=5e-4)
    assert fraction_from_swelling(added_volume([0.0, 0.2, 0.9])) == close([0.0, 0.2, 0.9])
    assert (1.0 + swelling_strain(0.4)) ** 3 == close(1.0 + float(added_volume(0.4)))
    molar = LITHIUM_VOLUME * 1e-27 * 6.02214076e23
    assert molar == close(to_si(entry("Ag")["partial_molar_volume"]["value"], "m^3/mol"), rel=5e-3)


def test_table_of_paper_000() -> None:
    """The diameters give the printed volumes and swellings; two samples hold more than silver can."""
    table = swelling_table()
    volumes = [(1.43, 2.58), (3.09, 8.44), (2.08, 2.94), (1.52, 2.75), (1.67, 8.48), (2.86, 5.19)]
    assert [row.sample for row in table] == [1, 2, 3, 4, 5, 6]
    for row, (before, after) in zip(table, volumes, strict=True):
        assert row.volume_before * 1e18 == pytest.approx(before, rel=1e-6, abs=0.0051)
        assert row.volume_after * 1e18 == pytest.approx(after, rel=1e-6, abs=0.0051)
        assert row.swelling == pytest.approx(row.printed, abs=6e-4)
        assert row.swelling_isotropic == close((1.0 + row.swelling) ** 1.5 - 1.0)
        assert 0.01 < row.uncertainty < 0.07
    assert [row.sample for row in table if row.fraction > 0.5] == [2, 5]
    assert table[1].fraction == pytest.approx(0.667, abs=1e-3)
    widest = pillar(1.235e-6, 1.675e-6, 1e-6).swelling - pillar(1.24e-6, 1.67e-6, 1e-6).swelling
    assert widest < 1.5 * table[0].uncertainty


# ---- diffusivity ---------------------------------------------------------------------------------------------------


def test_homologous_diffusivity() -> None:
    assert 298.15 / float(SILVER_LITHIUM(0.0)) == pytest.approx(0.24, abs=2e-3)
    assert 298.15 / float(SILVER_LITHIUM(1.0)) == pytest.approx(0.657, abs=5e-4)
    d = homologous_diffusivity([0.0, 0.2, 0.4, 0.6], T)
    steps = np.diff(np.log(d))
    assert steps == close(18.4 * 0.2 * (1234.93 - 453.65) / T)  # a straight line in x, rising
    own = MeltingLine((0.0, 0.5, 1.0), (1234.93, 700.0, 453.65))
    assert float(own(0.25)) == close(0.5 * (1234.93 + 700.0))
    assert float(homologous_diffusivity(0.5, T, 2e-4, 10.0, own)) == close(2e-4 * math.exp(-7000.0 / T))
    known = prefactor_for(1e-20, 0.3, T)
    assert float(homologous_diffusivity(0.3, T, known)) == close(1e-20)
    assert float(homologous_diffusivity(0.0, 1234.93)) == close(5.5e-13, rel=0.02)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: mclean(0.0, -1.0, T), "between 0 and 1"),
        (lambda: mclean(0.1, -1.0, 0.0), "temperature"),
        (lambda: mclean(0.1, math.nan, T), "finite"),
        (lambda: boundary_fraction_at(0.0, 3.0, "best"), "branch"),  # type: ignore[arg-type]
        (lambda: added_volume(1.0), "fraction"),
        (lambda: fraction_from_swelling(-0.1), "shrink"),
        (lambda: pillar(0.0, 1.0, 1.0), "length"),
        (lambda: MeltingLine((0.0, 0.5), (1.0, 1.0)), "line"),
        (lambda: MeltingLine((0.0, 1.0), (1.0, -1.0)), "temperature"),
        (lambda: SILVER_LITHIUM(1.1), "fraction"),
        (lambda: homologous_diffusivity(0.1, -T), "temperature"),
        (lambda: homologous_diffusivity(0.1, T, 1.0, -1.0), "activation"),
    ],
)
def test_errors_say_what_is_wrong(call: Any, word: str) -> None:
    with pytest.raises(CaseError, match=word):
        call()
