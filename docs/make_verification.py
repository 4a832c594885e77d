"""Writes docs/verification.md and its figures from the numbers that the tests measured.

The tests keep their numbers in docs/verification/*.json when they run with CHEMOMECH_RECORD=1; nothing is computed
here but the verdicts. A number that was not measured is a line that says so.

    CHEMOMECH_RECORD=1 ./chemomech-env pytest -n 2 -m "not container"
    ./chemomech-env python docs/make_verification.py
"""

from __future__ import annotations

import argparse
import json
import operator
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

DOCS = Path(__file__).resolve().parent
Records = Mapping[str, Mapping[str, Any]]
Measured = float | None

ANGLES = (0, 30, 90)
EIGENSTRAINS = ("elastic", "slip")
CHARGES = (0.1, 0.5, 0.9)
INTERACTIONS = (0.0, 1.5)
MODULI = (10, 93)
LMO_CHARGES = (0.1, 0.3, 0.5, 0.7, 0.9)
SCHEMES = {"backward-euler": "backward Euler", "bdf2": "BDF2"}
SOLVERS = {"direct": "direct", "block": "block"}
FIELDS = ("u", "c", "mu")
FIG6 = ("lithium_transferred_mol_per_m2", "interface_width_10_90_m")
PEAK = 9.466  # GPa, LLZO with a core of 1 nm
HILL_SILVER = 29.66e9  # Pa, shear modulus of silver from C11 124, C12 93.4, C44 46.1 GPa


# -- records -----------------------------------------------------------------------------------------------


def load(folder: Path) -> dict[str, dict[str, Any]]:
    """All records of a folder by name; empty if there is no folder."""
    return {file.stem: json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))}


def find(records: Records, name: str, *keys: str | int) -> Any:
    """An entry of a record, or None where the record or the entry is missing."""
    entry: Any = records.get(name)
    for key in keys:
        try:
            entry = entry[key]
        except (KeyError, IndexError, TypeError):
            return None
    return entry


def named(records: Records, prefix: str) -> list[str]:
    return [name for name in records if name == prefix or name.startswith(prefix + "_")]


# -- lines of the page -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bar:
    """What a number must fulfil."""

    text: str
    holds: Callable[[float], bool]


def at_least(bound: float, text: str = "") -> Bar:
    return Bar(text or f"≥ {bound:g}", lambda x: operator.ge(x, bound))


def at_most(bound: float, text: str = "") -> Bar:
    return Bar(text or f"≤ {power(bound)}", lambda x: operator.le(x, bound))


def near(target: float, relative: float) -> Bar:
    return Bar(f"{target:g} ± {100 * relative:g} %", lambda x: abs(x - target) <= relative * abs(target))


def power(x: float) -> str:
    """Powers of ten as such, other numbers in short."""
    if x == 0.0 or 1e-3 <= abs(x) < 1e5:
        return f"{x:.4g}"
    mantissa, exponent = f"{x:.1e}".split("e")
    factor = "" if mantissa == "1.0" else f"{mantissa} · "
    return f"{factor}10{str(int(exponent)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


@dataclass(frozen=True)
class Row:
    """One bar, what was measured against it, and where."""

    what: str
    bar: Bar | None
    values: Sequence[Measured]
    test: str
    show: Callable[[float], str] = power

    @property
    def verdict(self) -> str:
        """``asserted`` (there is no number), ``not measured``, ``FAIL`` or ``pass``."""
        if self.bar is None:
            return "asserted"
        there = [v for v in self.values if v is not None]
        if not all(self.bar.holds(v) for v in there):
            return "FAIL"
        return "pass" if there and len(there) == len(self.values) else "not measured"

    def line(self) -> str:
        verdict = f"**{self.verdict}**" if self.verdict == "FAIL" else self.verdict
        if self.bar is None:
            return f"| {self.what} | – | by the test, without a number | `{self.test}` | {verdict} |"
        if all(v is None for v in self.values):
            shown = "not measured"
        else:
            shown = " / ".join("not measured" if v is None else self.show(v) for v in self.values)
        return f"| {self.what} | {self.bar.text} | {shown} | `{self.test}` | {verdict} |"


@dataclass(frozen=True)
class Item:
    """One statement that has to be shown."""

    title: str
    statement: str
    rows: Sequence[Row]
    figure: str = ""
    caption: str = ""
    draw: Callable[[Records], Figure | None] = field(default=lambda records: None)

    def count(self, verdict: str) -> int:
        return sum(row.verdict == verdict for row in self.rows)


def two(x: float) -> str:
    return f"{x:.2f}"


def three(x: float) -> str:
    return f"{x:.3f}"


def five(x: float) -> str:
    return f"{x:.4f}"


def percent(x: float) -> str:
    return f"{100 * x:+.2f} %"


def off(found: Measured, target: Measured) -> Measured:
    return None if found is None or target is None else found / target - 1.0


def named_like(records: Records, prefix: str) -> list[str]:
    return [name for name in records if name.startswith(prefix)]


def absolute(x: Measured) -> Measured:
    return None if x is None else abs(x)


def off_half(x: Measured) -> Measured:
    return None if x is None else abs(x - 0.5)


def last(records: Records, name: str, key: str) -> Measured:
    found = find(records, name, key)
    return None if found is None else abs(found[-1])


def largest(records: Records, name: str, key: str) -> Measured:
    found = find(records, name, key)
    return None if found is None else float(np.max(np.abs(found)))


def largest_of(records: Records, names: Sequence[str], key: str) -> Measured:
    return max((x for n in names if (x := find(records, n, key)) is not None), default=None)


def largest_number(records: Records, name: str) -> Measured:
    numbers = [v for k, v in records.get(name, {}).items() if isinstance(v, float) and k != "transferred_mol_per_m2"]
    return max(map(abs, numbers), default=None)


# -- the statements ----------------------------------------------------------------------------------------


def dislocation(records: Records) -> Item:
    test = "tests/test_dislocation.py::test_stress_and_displacement_converge"
    rows, worst = [], 0.0
    for kind in EIGENSTRAINS:
        names = [f"dislocation_{kind}_{angle}" for angle in ANGLES]
        where = f"`{kind}` eigenstrain, $b$ at {' / '.join(map(str, ANGLES))}°"
        rows += [
            Row(f"order of the L2 error of stress, {where}", at_least(0.95, "O(h): ≥ 0.95"),
                [find(records, n, "stress_rates", -1) for n in names], test, two),
            Row(f"order of the L2 error of displacement, {where}", at_least(1.9, "O(h²): ≥ 1.9"),
                [find(records, n, "displacement_rates", -1) for n in names], test, two),
        ]  # fmt: skip
        if kind == EIGENSTRAINS[0]:
            rows += [
                Row(f"largest hydrostatic stress at $h=a/8$, GPa, {where}", near(PEAK, 0.01),
                    [find(records, n, "peak_GPa") for n in names], test, three),
                Row(f"least hydrostatic stress at $h=a/8$, GPa, {where}", near(-PEAK, 0.01),
                    [find(records, n, "trough_GPa") for n in names], test, three),
            ]  # fmt: skip
        else:
            extremes = [find(records, n, key) for n in names for key in ("peak_GPa", "trough_GPa")]
            worst = max((abs(abs(x) / PEAK - 1.0) for x in extremes if x is not None), default=0.0)
    test = "tests/test_dislocation.py::test_two_dislocations_superpose"
    rows += [
        Row("stress of two dislocations less the sum of each alone, over the largest", at_most(1e-9),
            [find(records, "superposition", "difference")], test),
        Row("the same stress against the sum of the closed forms, L2, $h=a/4$", at_most(0.08),
            [find(records, "superposition", "stress")], test),
    ]  # fmt: skip
    return Item(
        "Stress of a dislocation",
        "Stress of one dislocation against the closed form ([theory, 3.3](theory.md#33-stress)), with exact "
        "tractions: L2 stress error O(h), displacement O(h²), and at h = core/8 the peak hydrostatic stress of LLZO "
        "with core 1 nm within 1 % of 9.466 GPa; Burgers vector at 0, 30 and 90 degrees; two dislocations superpose.",
        rows,
        "convergence",
        "Relative L2 errors of stress and displacement in a square of 12 nm that carries the exact tractions. The "
        "dislocation has a core of 1 nm; $b$ is turned by the angle given, with both "
        "[eigenstrains](theory.md#35-two-representations), of which `elastic` is the default. Lines that coincide are "
        "drawn inside each other. The largest and least stress in the table are those of single cells; with the slip "
        f"itself as eigenstrain they miss the closed form by up to {100.0 * worst:.1f} % on this mesh, which is one "
        "reason why it is not the default.",
        draw_convergence,
    )


def atmosphere(records: Records) -> Item:
    test = "tests/test_equilibrium.py::test_coupled_atmosphere"
    rows = []
    for chi in INTERACTIONS:
        names = [f"atmosphere_c{c0}_chi{chi}" for c0 in CHARGES]
        where = f"χ = {chi:g}, c₀ = {' / '.join(map(str, CHARGES))}"
        rows += [
            Row(f"largest error of $c$ beyond one core width, {where}", at_most(0.01),
                [find(records, n, "outside") for n in names], test, five),
            Row(f"largest error of $c$ within one core width, {where}", at_most(0.02),
                [find(records, n, "inside") for n in names], test, five),
        ]  # fmt: skip
    test = "tests/test_equilibrium.py::test_transient_ends_in_equilibrium"
    marched = ["marched_c0.5_chi0.0", "marched_c0.1_chi1.5"]
    pairs = [(find(records, n, "newton_marched"), find(records, n, "newton_direct")) for n in marched]
    states = "open body, c₀, χ = 0.5, 0 / 0.1, 1.5"
    rows += [
        Row(f"$c$ at the end of the transient less $c$ at rest, {states}", at_most(1e-6),
            [find(records, n, "difference") for n in marched], test),
        Row(f"Newton iterations of the transient over those of the state at rest, {states}", at_least(5),
            [m / d if m and d else None for m, d in pairs], test, lambda x: f"{x:.0f}"),
        Row("closed body: $c$ / σₕ at the end of the transient less that at rest, relative", at_most(1e-6),
            [find(records, f"marched_closed_{n}", "difference") for n in ("concentration", "hydrostatic_stress")],
            "tests/test_equilibrium.py::test_closed_transient_ends_in_closed_equilibrium"),
    ]  # fmt: skip
    return Item(
        "Lithium around a dislocation",
        "Coupled Cottrell atmosphere: equilibrium c against the exact pointwise relation ([theory, "
        "6](theory.md#6-equilibrium)) evaluated with the exact stress, within 0.01 everywhere beyond one core width "
        "and within 0.02 inside it, for chi = 0 and 1.5, c0 = 0.1, 0.5, 0.9; the transient ends in the same state.",
        rows,
        "atmosphere",
        "Concentration along the normal to the slip plane through the core, in a body of 1600 nm with cells of 0.08 "
        "core widths. Lines: the exact relation. Dots: finite elements. Below: their difference, and in "
        "grey what is allowed.",
        draw_atmosphere,
    )


def lmo(records: Records) -> Item:
    test = "tests/test_equilibrium.py::test_lithium_manganese_oxide_trends"
    rows = []
    within = Bar("± 3 %", lambda x: abs(x) <= 0.03)
    charges = " / ".join(map(str, LMO_CHARGES))
    for young in MODULI:
        names = [f"lmo_{young}_c{c0}" for c0 in LMO_CHARGES]
        for key, what in (("peak", "peak $c$"), ("residual", "residual fraction of the peak stress")):
            pairs = [(find(records, n, key), find(records, n, f"expected_{key}")) for n in names]
            rows.append(Row(f"{what} against the exact number, E = {young} GPa, c₀ = {charges}", within,
                            [off(*pair) for pair in pairs], test, percent))  # fmt: skip
        gain = [find(records, n, "peak") for n in names]
        ratio = [None if g is None else g / c0 for g, c0 in zip(gain, LMO_CHARGES, strict=True)]
        falls = Bar("falls", lambda x: x < 0.0)
        steps = [None if a is None or b is None else b - a for a, b in pairwise(ratio)]
        rows.append(Row(f"change of peak $c/c_0$ from each c₀ to the next, E = {young} GPa", falls, steps, test, two))
    return Item(
        "Trends in LiMn₂O₄",
        "Reimuth's trends from the LiMn2O4 set (peak c/c0 per state of charge, residual stress fraction), within 3 %"
        " of the numbers that follow from the exact relation ([theory, 6](theory.md#6-equilibrium)).",
        rows,
        "lmo",
        "Enrichment at the core of an edge dislocation in LiMn₂O₄ and the fraction of its peak stress that lithium "
        "leaves, over the state of charge (core as wide as the Burgers vector). Rings: exact numbers. Dots: finite "
        "elements.",
        draw_lmo,
    )


def manufactured(records: Records) -> Item:
    space = "tests/test_manufactured.py::test_second_order_in_space"
    time = "tests/test_manufactured.py::test_order_in_time"
    jacobian = "tests/test_jacobian.py::test_jacobian_against_differences"
    variants = ("all", "paper-mobility", "plane-stress", "fixed-concentration", "fixed-potential", "isotropic")
    rows = [
        Row("order in $h$ of the L2 error of $u$ / $c$ / $\\mu$", at_least(1.9),
            [find(records, "manufactured_space", "rates", f, -1) for f in FIELDS], space, two),
    ]  # fmt: skip
    for scheme, bound in (("backward-euler", 0.95), ("bdf2", 1.9)):
        values = [find(records, f"manufactured_time_{scheme}", "rates", f, -1) for f in FIELDS]
        rows.append(Row(f"order in Δt of $u$ / $c$ / $\\mu$, {SCHEMES[scheme]}", at_least(bound), values, time, two))
    rows += [
        Row("Jacobian less differences of the residual, over 10⁻⁶ of the largest entry plus rounding; everything on / "
            + " / ".join(v.replace("-", " ") for v in variants[1:]), at_most(1.0),
            [find(records, f"jacobian_{v}", "of_allowed") for v in variants], jacobian, lambda x: f"{x:.2g}"),
        Row("changes with every parameter it should change with", None, [],
            "tests/test_jacobian.py::test_every_parameter_is_seen"),
        Row("the same for $D_0$ and $c_m$, which set the units", None, [],
            "tests/test_jacobian.py::test_diffusivity_and_sites_are_seen_through_the_units"),
    ]  # fmt: skip
    return Item(
        "Orders of convergence of the coupled problem",
        "Manufactured solution for the full coupled transient problem with cubic C, tensor Omega, chi and kappa on: "
        "rate >= 1.9 in h for u, c, mu in L2; >= 0.95 and >= 1.9 in dt for the two integrators ([theory, "
        "5](theory.md#5-time)). Jacobian against finite differences to 1e-6, and it changes with every parameter it "
        "should change with.",
        rows,
        "manufactured",
        "Left: relative L2 errors of the manufactured solution over the cell size $h$ (side $L$). Right: difference "
        "from a solution with much smaller steps on the same mesh, relative to that of backward Euler with the "
        "longest step.",
        draw_manufactured,
    )


def closed(records: Records) -> Item:
    test = "tests/test_balances.py::test_closed_body_keeps_its_lithium_and_loses_energy"
    rows = []
    for scheme, label in SCHEMES.items():
        names = [f"closed_{scheme}_{solver}" for solver in SOLVERS]
        where = f"{label}, {' / '.join(SOLVERS.values())} solver"
        rows += [
            Row(f"largest relative drift of lithium in 100 steps, {where}", at_most(1e-12),
                [find(records, n, "drift") for n in names], test),
            Row(f"the same in 20 steps without the correction of what solvers leave, {where}", at_most(1e-12),
                [find(records, n.replace("closed", "uncorrected"), "drift") for n in names],
                "tests/test_balances.py::test_lithium_is_kept_without_correction"),
            Row(f"largest rise of the free energy in a step over its drop, {where}", at_most(1e-10),
                [find(records, n, "energy_rise") for n in names], test),
        ]  # fmt: skip
    turn = "tests/test_balances.py::test_rotating_everything_changes_nothing"
    names = ["rotation_37", "rotation_90"]
    rows += [
        Row("change of $c$ when everything is turned by 37 / 90°", at_most(1e-8),
            [find(records, n, "concentration") for n in names], turn),
        Row("relative change of stress when everything is turned by 37 / 90°", at_most(1e-8),
            [find(records, n, "stress") for n in names], turn),
    ]  # fmt: skip
    return Item(
        "Mass, energy, frame",
        "Closed body: relative mass drift <= 1e-12 over 100 steps ([theory, 4.4](theory.md#44-mass)); free energy "
        "never rises by more than 1e-10 of its drop ([theory, 4.5](theory.md#45-decay-of-the-discrete-energy)); "
        "rotating body, crystal and load together changes nothing (1e-8).",
        rows,
        "closed",
        "A closed body of 12 nm × 10 nm around a dislocation, 100 steps of 10 µs. Left: fall of the free energy per "
        "step, over the whole drop; red: rises. Right: relative change of the lithium in the "
        "body. What is exactly zero is not drawn.",
        draw_closed,
    )


def ranks(records: Records) -> Item:
    file = "tests/test_resume.py"
    different = [find(records, n, "difference") for n in named(records, "ranks")] or [None]
    resumed = [find(records, n, "difference") for n in named(records, "resume")] or [None]
    return Item(
        "Ranks, killing, resuming",
        "1, 2 and 3 ranks give every field to 1e-8 relative; a run killed with SIGKILL between and during steps "
        "resumes, on another number of ranks, to the same history within 1e-8; a truncated checkpoint is detected "
        "and the one before it is used.",
        [
            Row("largest relative difference of any field on 2 and 3 ranks from one rank", at_most(1e-8), different,
                f"{file}::test_ranks_give_the_same_fields"),
            Row("largest relative difference of the history after kills, on changing ranks", at_most(1e-8), resumed,
                f"{file}::test_killed_again_and_again_on_other_ranks"),
            Row("a run killed before its first checkpoint starts again", None, [],
                f"{file}::test_killed_before_the_first_checkpoint"),
            Row("a truncated checkpoint is passed over", None, [],
                f"{file}::test_a_truncated_checkpoint_is_passed_over"),
            Row("every kind of damage is noticed and the checkpoint before it is used", None, [],
                "tests/test_checkpoint.py::test_the_one_before_a_damaged_one_is_used"),
        ],
    )  # fmt: skip


def bad_input(records: Records) -> Item:
    cases, checkpoints = "tests/test_case.py", "tests/test_checkpoint.py"
    return Item(
        "Bad input, full disks",
        "Every bad input that a user can give has a test of its message and exit code; a full disk or a read-only "
        "folder is an error, not a traceback.",
        [
            Row("message of every bad input in two dimensions", None, [], f"{cases}::test_bad_input_is_explained"),
            Row("message of bad input in three dimensions", None, [], f"{cases}::test_bad_input_of_a_box"),
            Row("exit code and one paragraph on the command line", None, [], "tests/test_cli.py::test_wrong_input"),
            Row("the same from the installed command, at once", None, [],
                "tests/test_cli.py::test_the_real_command_ends_with_2_at_once"),
            Row("full or read-only disk before computing", None, [],
                "tests/test_output.py::test_a_full_or_read_only_disk_is_found_before_computing"),
            Row("disk full during a run", None, [], "tests/test_cli.py::test_disk_full_during_a_run"),
            Row("disk full while a checkpoint is written", None, [],
                f"{checkpoints}::test_a_full_disk_keeps_what_was_there"),
        ],
    )  # fmt: skip


def films(records: Records) -> Item:
    test = "tests/test_films.py"
    coherent = named_like(records, "film_coherent_")
    bent = named_like(records, "film_bilayer_")
    plates = named_like(records, "film_plate_")
    inclusion, cylinders = "tests/test_interface.py", [f"interface_cylinder_{k}" for k in (1, 1000)]
    return Item(
        "Layers and inclusions",
        "Interface of two elastic phases against closed forms ([theory, "
        "3.10](theory.md#310-misfit-between-phases)): Timoshenko's and Stoney's "
        "curvature, coherent film stress, Eshelby's cylinder: within 1 %, orders as those of the core.",
        [
            Row("coherent film stress, periodic and mirrored, 2D and 3D: relative error", at_most(1e-8),
                [find(records, n, "error") for n in coherent] or [None], f"{test}::test_coherent_film"),
            Row("curvature of a bilayer, finest mesh: relative error", at_most(0.01),
                [last(records, n, "error") for n in bent] or [None], f"{test}::test_timoshenko"),
            Row("order of that error", at_least(1.75), [last(records, n, "order") for n in bent] or [None],
                f"{test}::test_timoshenko", two),
            Row("film of 1 : 50, curvature against Timoshenko, finest mesh: relative error", at_most(0.01),
                [last(records, "film_stoney", "error")], f"{test}::test_stoney"),
            Row("plate in 3D, biaxial curvature: error on the finest mesh", at_most(0.01),
                [last(records, n, "error") for n in plates] or [None], f"{test}::test_plate"),
            Row("the same, extrapolated from two meshes", at_most(0.01),
                [absolute(find(records, n, "error_extrapolated")) for n in plates] or [None], f"{test}::test_plate"),
            Row("cylinder, same moduli / 1000 times stiffer: largest stress error inside", at_most(0.01),
                [last(records, n, "inside") for n in cylinders], f"{inclusion}::test_cylinder"),
            Row("the same outside, in units of the stress inside", at_most(0.01),
                [last(records, n, "outside") for n in cylinders], f"{inclusion}::test_cylinder"),
            Row("order of the L2 error of stress", at_least(0.9),
                [last(records, n, "order") for n in cylinders], f"{inclusion}::test_cylinder", two),
            Row("sphere in 3D: largest stress error inside / outside", at_most(0.03),
                [last(records, "interface_sphere", k) for k in ("inside", "outside")], f"{inclusion}::test_sphere"),
        ],
    )  # fmt: skip


def phases(records: Records) -> Item:
    test, parallel = "tests/test_interface.py", "tests/test_two_phases_parallel.py"
    rest = named_like(records, "interface_rest_")
    contrasts = named_like(records, "interface_contrasts_")
    return Item(
        "Two phases",
        "mu-continuity, flux and mass with D contrast 10^6 and c_max contrast 2: drift <= 1e-12; equilibrium of two "
        "strained layers against its closed form to 1e-6; the same on 1, 2, 3 ranks, also where a rank owns no "
        "facet of the interface.",
        [
            Row("two strained layers at rest (open and closed, 2D and 3D; end of a transient): largest error of c",
                at_most(1e-6), [find(records, n, "c_error") for n in rest] or [None], test),
            Row("the same, mu over RT", at_most(1e-6), [find(records, n, "mu_error") for n in rest] or [None], test),
            Row("D 1 : 10⁶, c_max 1 : 2, moduli 1000 : 1: largest drift of lithium in a run, direct / block solver",
                at_most(1e-12), [find(records, n, "drift") for n in contrasts] or [None], f"{test}::test_contrasts"),
            Row("steady flux against the closed form, D 1 : 10³: error on the finest mesh", at_most(1e-3),
                [last(records, "interface_flux", "error")], f"{test}::test_flux_is_the_same_in_both_layers"),
            Row("difference of the flux in both layers", at_most(1e-8),
                [largest(records, "interface_flux", "unlike")], f"{test}::test_flux_is_the_same_in_both_layers"),
            Row("2 and 3 ranks against one: largest relative difference of any field", at_most(1e-9),
                [find(records, n, "difference") for n in named_like(records, "interface_ranks_")] or [None], parallel),
            Row("killed and taken up on other ranks: history", at_most(1e-9),
                [find(records, n, "difference") for n in named_like(records, "interface_resume_")] or [None], parallel),
        ],
    )  # fmt: skip


def misfits(records: Records) -> Item:
    test = "tests/test_misfits.py"
    arrays = named_like(records, "interface_array_")
    flat = [n for n in arrays if "film" in n]
    return Item(
        "Misfit and its dislocations",
        "A fully relaxing array leaves the far field: stress beyond one spacing from the interface <= 2 % of the "
        "coherent stress; half the array leaves half. Periodic and mirrored bodies agree. Without and with the array: "
        "transferred lithium and the width from 10 to 90 % of paper 004's Fig. 6 ([The interface](interface.md)), "
        "converged in h to 5 %.",
        [
            Row("lines two cores inside the film: largest stress in the film beyond one spacing over coherent stress",
                at_most(0.02), [largest(records, n, "film") for n in flat] or [None],
                f"{test}::test_array_takes_the_misfit_away"),
            Row("the same in the substrate", at_most(0.02), [largest(records, n, "substrate") for n in flat] or [None],
                f"{test}::test_array_takes_the_misfit_away"),
            Row("lines in the interface itself: film", at_most(0.02),
                [largest(records, n, "film_without_offset") for n in flat] or [None],
                f"{test}::test_array_takes_the_misfit_away"),
            Row("lines in the interface itself: substrate, where half of a core of 1 nm lies in the stiff phase",
                at_most(0.02),
                [largest(records, n, "substrate_without_offset") for n in flat] or [None],
                f"{test}::test_array_takes_the_misfit_away"),
            Row("both families of a box (3D), beyond one spacing from the lines: film / substrate", at_most(0.02),
                [largest(records, n, k) for n in arrays if "box" in n for k in ("film", "substrate")] or [None],
                f"{test}::test_both_families_of_a_box"),
            Row("half the array: mean stress along the film less a half", at_most(0.01),
                [off_half(find(records, n, "film", 0)) for n in named_like(records, "interface_half_array_")] or [None],
                f"{test}::test_half_an_array_leaves_half"),
            Row("periodic against mirrored bodies: largest difference", at_most(1e-8),
                [largest_number(records, n) for n in named_like(records, "interface_mirror_")] or [None],
                f"{test}::test_periodic_is_mirrored"),
            Row("lithium transferred: factor between coherent and with array", at_least(60),
                [find(records, "interface_cases", "factors", FIG6[0])],
                "tests/test_interface_cases.py", two),
            Row("width 10–90 %: factor", at_least(25),
                [find(records, "interface_cases", "factors", FIG6[1])],
                "tests/test_interface_cases.py", two),
            Row("change of both numbers, both cases, when all mesh sizes are halved", at_most(0.05),
                [absolute(off(*(find(records, "interface_cases", mesh, c, k) for mesh in ("found", "finer"))))
                 for c in ("coherent", "misfit") for k in FIG6],
                "tests/test_interface_cases.py"),
        ],
    )  # fmt: skip


def forces(records: Records) -> Item:
    test = "tests/test_forces.py"
    within = Bar("± 3 %", lambda x: abs(x) <= 0.03)
    rows = []
    for x in (5, 2):
        n = f"forces_pair_{x}"
        rows += [
            Row(f"two edges {x} nm apart: Peach–Koehler, both spread", within,
                [off(find(records, n, "peach_koehler"), find(records, n, "twice"))], f"{test}::test_two_parallel_edges",
                percent),
            Row(f"two edges {x} nm apart: Peach–Koehler on a sharp line", within,
                [off(find(records, n, "sharp"), find(records, n, "once"))], f"{test}::test_two_parallel_edges",
                percent),
        ]  # fmt: skip
    rows += [
        Row("two edges 5 nm apart: domain integral", within,
            [off(find(records, "forces_pair_5", "integral"), find(records, "forces_pair_5", "twice"))],
            f"{test}::test_two_parallel_edges", percent),
        Row("two edges 2 nm apart: domain integral, which cuts both cores", Bar("± 5 %", lambda x: abs(x) <= 0.05),
            [off(find(records, "forces_pair_2", "integral"), find(records, "forces_pair_2", "twice"))],
            f"{test}::test_two_parallel_edges", percent),
    ]  # fmt: skip
    for what, name, of in (
        ("10 nm below a free surface", "surface", "image_of_a_free_surface"),
        ("in LLZO, 10 nm from lithium", "llzo", "image_of_the_other_phase"),
        ("in lithium, 10 nm from LLZO", "lithium", "image_of_the_other_phase"),
    ):
        found = [f"forces_{name}_{angle}" for angle in (0, 90)]
        pairs = [
            (find(records, n, k), find(records, n, "expected")) for n in found for k in ("integral", "peach_koehler")
        ]
        rows.append(Row(f"image force {what}, b along / across: domain integral, Peach–Koehler", within,
                        [off(*pair) for pair in pairs], f"{test}::test_{of}", percent))  # fmt: skip
    rows.append(
        Row("spread of the domain integral over six domains, with lithium at rest, χ = 0 / 1", at_most(0.01),
            [find(records, f"forces_domain_{chi}", "spread") for chi in (0, 1)], f"{test}::test_domain_does_not_matter")
    )  # fmt: skip
    return Item(
        "Forces on dislocations",
        "Peach-Koehler between two parallel edges at 5 nm and 2 nm, on one spread line and on two; image force near a "
        "free surface and near lithium (factor -0.889), each within 3 %; independence of the domain to 1 % with the "
        "chemical term at equilibrium ([theory, 2.5](theory.md#25-eshelby-stress-and-forces-on-dislocations)).",
        rows,
    )


def microstructures(records: Records) -> Item:
    maps = named_like(records, "map_")
    same = [
        max(abs(a / b - 1.0) for a, b in grains.values())
        for n in named_like(records, "ebsd_defdap_")
        if (grains := find(records, n, "grains"))
    ]
    bent, noisy = named_like(records, "ebsd_curvature_"), named_like(records, "ebsd_noise_")
    ebsd, mesh = "tests/test_ebsd.py", "tests/test_grain_mesh.py"
    one = "tests/test_maps.py::test_every_real_map_becomes_a_mesh"
    return Item(
        "Microstructures",
        "Every measured map at hand becomes a mesh: areas per grain within 2 %, total area exact, no bad element; "
        "grains agree with a second implementation (DefDAP, grains of 10 points and more, at 5 and 10 degrees); "
        "the mean disorientation of random cubic crystals is Mackenzie's; GND density of a bent crystal; 10 000 grains "
        "in 2D in 3 minutes, 1000 in 3D in 10, a map of a million points in one.",
        [
            Row(f"area of a grain in the mesh less that of its points, relative, largest of each of {len(maps)} maps",
                at_most(0.02), [find(records, n, "area") for n in maps] or [None], one),
            Row("total area, relative", at_most(1e-12), [largest_of(records, maps, "total")], one),
            Row("worst shape of a cell", at_least(0.15), [find(records, n, "worst") for n in maps] or [None], one, two),
            Row("mean shape", at_least(0.8), [find(records, n, "mean") for n in maps] or [None], one, two),
            Row("number of grains against DefDAP, largest relative difference of all maps, 5 / 10 degrees",
                at_most(0.02), same or [None], f"{ebsd}::test_grains_agree_with_defdap"),
            Row("mean disorientation of 10⁵ random cubic pairs, degrees", near(40.74, 0.2 / 40.74),
                [find(records, "ebsd_mackenzie", "mean")], f"{ebsd}::test_mackenzie_mean_of_cubic_crystals", two),
            Row("GND density of constant curvature over the exact one, less one", at_most(0.02),
                [absolute(off(find(records, n, "ratio"), 1.0)) for n in bent] or [None],
                f"{ebsd}::test_constant_curvature_gives_its_density"),
            Row("with noise", at_most(0.1), [absolute(off(find(records, n, "ratio"), 1.0)) for n in noisy] or [None],
                f"{ebsd}::test_noise_is_told_from_curvature"),
            Row("10 000 grains in 2D, s of processor time", at_most(180),
                [find(records, "grain_mesh_2d", "cpu_seconds")], f"{mesh}::test_many_grains"),
            Row("1000 grains in 3D, s of processor time", at_most(600),
                [find(records, "grain_mesh_3d", "cpu_seconds")], f"{mesh}::test_many_grains"),
            Row("lengths / areas of the boundaries of these against the diagrams, relative", at_most(1e-10),
                [find(records, f"grain_mesh_{d}d", "boundaries") for d in (2, 3)], f"{mesh}::test_many_grains"),
            Row("grains of a map of 1000 × 1000 points, s", at_most(60),
                [find(records, "ebsd_million", "seconds")], f"{ebsd}::test_a_million_points"),
        ],
    )  # fmt: skip


def crystals(records: Records) -> Item:
    test, grains = "tests/test_crystals.py", "tests/test_grain_cases.py"
    between = Bar("in (0, 1)", lambda x: 0.0 < x < 1.0)

    def place(found: Sequence[float] | None) -> Measured:
        return None if found is None else (found[1] - found[0]) / (found[2] - found[0])

    film = records.get("bounds_2d")
    flat = None if film is None else [film[key] for key in ("lower", "found", "upper")]
    whole = [find(records, "bounds_3d", "found", k) for k in (0, 1)]
    ratio = None if film is None else film["without"] / film["found"] - 1.0
    return Item(
        "Crystals of any orientation",
        "A crystal in a general position and laminates of grains against their exact solutions, in 2D with u_z and in "
        "3D; body, crystals and loads turned together give turned fields; the effective stiffness of a silver "
        "polycrystal lies between the bounds of Reuss and Voigt of its own grains "
        "([theory, 2.7](theory.md#27-crystals-of-any-orientation)).",
        [
            Row("single crystal under uniform tractions, plane strain: stress and strain, relative", at_most(1e-9),
                [find(records, n, "error") for n in named_like(records, "crystal_plane_strain_")] or [None],
                f"{test}::test_single_crystal_in_plane_strain"),
            Row("three layers, pulled, with an eigenstrain, with lithium; 2D and 3D: stress, relative", at_most(1e-9),
                [find(records, n, "error") for n in named_like(records, "laminate_")] or [None],
                f"{test}::test_laminate_of_grains"),
            Row("everything turned, 2D / 3D: von Mises stress, relative", at_most(1e-8),
                [find(records, f"crystal_turned_{d}d", "error") for d in (2, 3)],
                f"{test}::test_turning_body_crystals_and_loads"),
            Row("film of 60 grains (2D), shear energy: where it lies between Reuss (0) and Voigt (1)", between,
                [place(flat)], f"{grains}::test_bounds_of_a_columnar_film"),
            Row("the same film without u_z: stiffer by", at_least(0.02), [ratio],
                f"{grains}::test_bounds_of_a_columnar_film"),
            Row("100 grains (3D), two shears: where they lie", between, [place(x) for x in whole],
                f"{grains}::test_bounds_of_a_polycrystal"),
            Row("their shear modulus over Hill's mean, less one", at_most(0.1),
                [absolute(off(find(records, "bounds_3d", "shear"), HILL_SILVER))],
                f"{grains}::test_bounds_of_a_polycrystal"),
            Row("their bulk modulus against that of the crystal, relative", at_most(1e-9),
                [absolute(find(records, "bounds_3d", "bulk"))], f"{grains}::test_bounds_of_a_polycrystal"),
        ],
    )  # fmt: skip


def boundaries(records: Records) -> Item:
    test, layer = "tests/test_boundary_diffusion.py", "tests/test_resolved_layer.py::test_layers_of_cells_and_surfaces"
    exchange, betas, half_spaces = "tests/test_exchange.py", (10, 100, 1000), ("0.1", "1", "10")

    def worst(source: str) -> list[Measured]:
        found = [find(records, f"{source}_{beta}", "slopes") for beta in betas]
        return [None if slopes is None else max(abs(x) for x in slopes) for slopes in found]

    def layers(run: str) -> list[Measured]:
        keys = ("mu", "displacement", "a", "b", "c", "amount")
        return [
            find(records, f"resolved_layer_{run}", k) for k in keys if k in records.get(f"resolved_layer_{run}", {})
        ]

    return Item(
        "Grain boundaries",
        "One boundary in a half-plane against the exact solutions of Whipple and Suzuoka at beta = 10, 100, 1000; "
        "three boundaries that meet, as surfaces and as layers of cells 5 nm thick "
        "([Boundaries](theory_boundaries.md)). Isotherms, type A and C, junctions, ranks and drift are asserted in "
        "`tests/test_boundary_diffusion.py`, `test_grain_boundary.py`, `test_network_solutions.py` and "
        "`test_network_ranks.py`. With a finite rate of exchange $k$: the exact solutions of section 8 there.",
        [
            Row("constant source: largest error of $c$, over the source", at_most(0.005),
                [find(records, f"whipple_{beta}", "c") for beta in betas], f"{test}::test_whipple"),
            Row("slope of the mean against $w^{6/5}$, worst of w = 6, 8, 10, relative", at_most(0.003),
                worst("whipple"), f"{test}::test_whipple"),
            Row("instantaneous source: largest error of $c$", at_most(0.005),
                [find(records, f"suzuoka_{beta}", "c") for beta in betas], f"{test}::test_suzuoka"),
            Row("its slopes, worst, relative", at_most(0.003), worst("suzuoka"), f"{test}::test_suzuoka"),
            Row("surfaces against layers, diffusion alone: μ, c of three classes, amount", at_most(0.02),
                layers("diffusion") or [None], layer),
            Row("with swelling and opening: μ, u, c (five widths from ends and junction left out), amount",
                at_most(0.02), layers("coupled") or [None], layer),
            Row("finite exchange, half-space beside a boundary, $k\\sqrt{Dt}/D$ = 0.1, 1, 10: $c$, over the source",
                at_most(0.005), [find(records, f"exchange_half_space_{h}", "error") for h in half_spaces],
                f"{exchange}::test_half_space_behind_a_resistance"),
            Row("its uptake where cells are $8\\sqrt{Dt}$, relative", at_most(0.02),
                [absolute(find(records, f"exchange_half_space_{h}", "uptake")) for h in half_spaces],
                f"{exchange}::test_half_space_behind_a_resistance"),
            Row("steady boundary that loses lithium to grains on both sides / on one: its length, relative",
                at_most(0.005), [absolute(find(records, f"exchange_steady_{n}", "length")) for n in (2, 1)],
                f"{exchange}::test_steady_boundary_between_grains_that_stay_as_they_are"),
            Row("$k$ large: difference from local equilibrium with every tenfold $k$, tenfold smaller; the last",
                at_most(1e-4), [find(records, "exchange_fast", "differences", -1)],
                f"{exchange}::test_fast_exchange_is_local_equilibrium"),
            Row("closed: drift in 2D, with $D(c)$, with a free surface, in 3D", at_most(1e-12),
                [find(records, f"exchange_closed_{kind}", "drift")
                 for kind in ("square", "melting_line", "free_surface", "cube")],
                f"{exchange}::test_isolated_energy_falls_and_no_lithium_is_lost"),
        ],
    )  # fmt: skip


def timing(records: Records) -> Item:
    def seconds(x: float) -> str:
        return f"{x:.1f}"

    return Item(
        "Time",
        "The default built-in case takes at most 60 s on two cores once the environment exists, including figures; "
        "the whole test command at most 30 minutes (15 for the core alone).",
        [
            Row("`chemomech run llzo-edge-dislocation` on two cores, s", at_most(60),
                [find(records, "timing_case", "seconds")], "docs/verification/timing_case.json", seconds),
            Row("`pytest -n 2 -m \"not container\"` on two cores, s", at_most(1800),
                [find(records, "timing_tests", "seconds")], "docs/verification/timing_tests.json", seconds),
        ],
    )  # fmt: skip


ITEMS = (
    dislocation, atmosphere, lmo, manufactured, closed, ranks, bad_input, films, phases, misfits, forces,
    microstructures, crystals, boundaries, timing,
)  # fmt: skip


# -- figures -----------------------------------------------------------------------------------------------

_INK = "#222222"
_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.labelcolor": _INK,
    "axes.edgecolor": "#888888",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
}
_COLOURS = ("#0072b2", "#d55e00", "#009e73")


def panels(columns: int, rows: int = 1, height: float = 3.1, **more: Any) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(7.4, height), dpi=130, layout="constrained")
    return figure, list(np.atleast_1d(figure.subplots(rows, columns, **more)).ravel())


def triangle(axes: Axes, x: float, y: float, order: int, reach: float = 1.6) -> None:
    """A triangle of the given slope, its lower left corner at (x, y)."""
    axes.fill([x, x * reach, x * reach], [y, y, y * reach**order], facecolor="#f0f0f0", edgecolor="#777777", lw=0.8)
    axes.annotate(str(order), (x * reach, y * reach ** (order / 2)), (4, 0), textcoords="offset points",
                  va="center", fontsize=8, color="#555555")  # fmt: skip


def nested(k: int) -> dict[str, Any]:
    """A line that stays visible beneath the next one where both coincide."""
    return {"color": _COLOURS[k], "lw": (3.2, 1.8, 0.8)[k], "ms": (8.0, 5.5, 3.0)[k]}


def plain(axes: Axes, ticks: Sequence[float], labels: Sequence[str] | None = None) -> None:
    axes.set_xticks(ticks, labels or [f"{t:g}" for t in ticks])
    axes.minorticks_off()


def draw_convergence(records: Records) -> Figure | None:
    curves = {
        (kind, angle): records[name]
        for kind, angle in product(EIGENSTRAINS, ANGLES)
        if (name := f"dislocation_{kind}_{angle}") in records
    }
    if not curves:
        return None
    figure, both = panels(2, height=3.7)
    sizes = next(iter(curves.values()))["h_over_core"]
    for axes, key, order in zip(both, ("stress", "displacement"), (1, 2), strict=True):
        for (kind, angle), found in curves.items():
            slip = kind == "slip"
            axes.loglog(
                found["h_over_core"], found[key], ls="--" if slip else "-", marker="s" if slip else "o",
                mfc="white" if slip else None, label=f"{kind}, {angle}°", **nested(ANGLES.index(angle)),
            )  # fmt: skip
        lowest = min(found[key][-1] for found in curves.values())
        triangle(axes, sizes[-1] * 1.8, lowest * 1.02, order)
        plain(axes, sizes, [f"1/{1 / s:g}" for s in sizes])
        low, high = axes.get_ylim()
        ticks = [m * 10.0**e for e in range(-6, 1) for m in (1, 2, 5) if low <= m * 10.0**e <= high]
        axes.set_yticks(ticks, [f"{y:g}" for y in ticks])
        axes.set(xlabel="cell size over core width, h/a", ylabel="relative L2 error", title=key)
    figure.legend(*both[0].get_legend_handles_labels(), ncols=2 * len(ANGLES), loc="outside lower center",
                  columnspacing=1.2, handlelength=3.6)  # fmt: skip
    return figure


def draw_atmosphere(records: Records) -> Figure | None:
    lines = {
        (chi, c0): records[name]
        for chi, c0 in product(INTERACTIONS, CHARGES)
        if "exact" in records.get(name := f"atmosphere_c{c0}_chi{chi}", {})
    }
    if not lines:
        return None
    figure, axes = panels(2, 2, 4.6, sharex=True, sharey="row", height_ratios=[2.3, 1])
    for k, chi in enumerate(INTERACTIONS):
        top, bottom = axes[k], axes[2 + k]
        for (of, c0), found in lines.items():
            if of != chi:
                continue
            colour = _COLOURS[CHARGES.index(c0)]
            y, c, exact = (np.array(found[n]) for n in ("y", "c", "exact"))
            top.plot(y, exact, color=colour, lw=1.2, label=f"$c_0$ = {c0:g}")
            some = (np.arange(len(y)) % 4 == 0) | (np.abs(y) < 2.0)
            top.plot(y[some], c[some], "o", color=colour, ms=2.8, mew=0)
            bottom.plot(y, 1e3 * (c - exact), color=colour, lw=1.1)
        allowed = np.array([10, 10, 20, 20, 10, 10])
        bottom.fill_between([-10, -1, -1, 1, 1, 10], -allowed, allowed, color="#f2f2f2", lw=0, zorder=0)
        top.set(title=f"χ = {chi:g}", ylim=(-0.02, 1.02))
        bottom.set(
            xlabel="height above the slip plane, nm",
            xlim=(-10, 10),
            xticks=range(-10, 11, 5),
            ylim=(-22, 22),
            yticks=[-20, -10, 0, 10, 20],
        )
    axes[0].set_ylabel("concentration c")
    axes[2].set_ylabel("error, 10⁻³")
    next(panel for panel in (axes[1], axes[0]) if panel.lines).legend(loc="upper right")
    return figure


def draw_lmo(records: Records) -> Figure | None:
    if not named(records, "lmo"):
        return None
    figure, (gain, kept) = panels(2)
    for young, colour in zip(MODULI, _COLOURS, strict=False):
        found = {c0: records[n] for c0 in LMO_CHARGES if (n := f"lmo_{young}_c{c0}") in records}
        charge = np.array(list(found))
        for axes, key, scale in ((gain, "peak", charge), (kept, "residual", np.ones_like(charge))):
            exact = np.array([f[f"expected_{key}"] for f in found.values()]) / scale
            axes.plot(charge, exact, "o-", color=colour, mfc="white", ms=8, lw=0.9, label=f"E = {young} GPa, exact")
            computed = np.array([f[key] for f in found.values()]) / scale
            axes.plot(charge, computed, "o", color=colour, ms=4, label=f"E = {young} GPa, finite elements")
    gain.set(xlabel="state of charge $c_0$", ylabel="peak $c/c_0$", yscale="log", title="enrichment")
    gain.set_yticks([1, 2, 5, 10], ["1", "2", "5", "10"])
    gain.minorticks_off()
    kept.set(
        xlabel="state of charge $c_0$",
        ylabel="peak stress with lithium / without",
        title="residual stress",
        ylim=(0.6, 1),
    )
    for axes in (gain, kept):
        plain(axes, LMO_CHARGES)
    gain.legend()
    return figure


def draw_manufactured(records: Records) -> Figure | None:
    space = records.get("manufactured_space")
    marched = {s: records[n] for s in SCHEMES if (n := f"manufactured_time_{s}") in records}
    if not space and not marched:
        return None
    figure, (left, right) = panels(2)
    symbols = ("u", "c", "μ")
    if space:
        h, errors = 1 / np.array(space["divisions"]), np.array(space["errors"])
        for k, symbol in enumerate(symbols):
            left.loglog(h, errors[:, k], "o-", color=_COLOURS[k], label=symbol)
        triangle(left, h[-1] * 2.2, errors[-1].min() * 1.2, 2)
        plain(left, h.tolist(), [f"1/{d}" for d in space["divisions"]])
        left.legend(loc="upper left")
    left.set(xlabel="cell size h/L", ylabel="relative L2 error", title="space")
    if marched:
        whole = np.array(next(iter(marched.values()))["errors"])[0]
        for scheme, found in marched.items():
            steps, errors = np.array(found["steps"]), np.array(found["errors"]) / whole
            euler = scheme == "backward-euler"
            for k, symbol in enumerate(symbols):
                right.loglog(
                    1 / steps, errors[:, k], "o-" if euler else "s--", mfc=None if euler else "white",
                    label=f"{symbol}, {SCHEMES[scheme]}", **nested(k),
                )  # fmt: skip
            triangle(right, 1.5 / steps[-1], errors[-1].min() * (0.95 if euler else 0.8), 1 if euler else 2, 1.5)
        plain(right, (1 / steps).tolist(), [f"1/{s}" for s in steps])
        right.legend(fontsize=7.5, handlelength=3.6)
    right.set(xlabel="step over the whole time, Δt/t", ylabel="relative difference", title="time")
    return figure


def draw_closed(records: Records) -> Figure | None:
    runs = {
        (scheme, solver): records[name]
        for scheme, solver in product(SCHEMES, SOLVERS)
        if "energy_change" in records.get(name := f"closed_{scheme}_{solver}", {})
    }
    if not runs:
        return None
    figure, (energy, mass) = panels(2, height=3.7)
    for k, ((scheme, solver), found) in enumerate(runs.items()):
        look: dict[str, Any] = {
            "color": _COLOURS[list(SCHEMES).index(scheme)], "ls": "none", "mew": 0.7,
            "label": f"{SCHEMES[scheme]}, {solver}",
            "marker": "o" if solver == "direct" else "s", "mfc": "none" if solver == "direct" else None,
            "ms": 4.0 if solver == "direct" else 1.8,
        }  # fmt: skip
        change = np.array(found["energy_change"])
        step = np.arange(1, len(change) + 1)
        energy.semilogy(step[change < 0], -change[change < 0], **look)
        up = look | {
            "marker": "^",
            "ms": 3.5,
            "color": "#cc0000",
            "mfc": "none",
            "label": "rises" if k + 1 == len(runs) else None,
        }
        energy.semilogy(step[change > 0], change[change > 0], **up)
        drift = np.abs(found["mass_drift"])
        mass.semilogy(np.arange(len(drift))[drift > 0], drift[drift > 0], **look)
    for axes, bar in ((energy, 1e-10), (mass, 1e-12)):
        axes.axhline(bar, color="#777777", lw=0.9, ls="--")
        axes.annotate("largest rise allowed" if axes is energy else "largest drift allowed", (100, bar), (0, 3),
                      textcoords="offset points", ha="right", fontsize=8, color="#555555")  # fmt: skip
        axes.set(xlabel="step", xlim=(0, 101))
    energy.set(ylabel="change over the whole drop", title="free energy, fall per step")
    mass.set(ylabel="relative change", title="lithium in the body", ylim=(5e-17, 5e-12))
    figure.legend(*energy.get_legend_handles_labels(), ncols=5, loc="outside lower center", columnspacing=1.2,
                  handletextpad=0.2)  # fmt: skip
    return figure


# -- the page ----------------------------------------------------------------------------------------------

HEAD = """<!-- Made by docs/make_verification.py; change that, not this. -->
# Verification

What chemomech was measured against, and what came out. Every number below was measured by the test named beside it and
kept in `docs/verification/`; pass or fail is computed from the numbers. Symbols are those of [theory](theory.md).

```
CHEMOMECH_RECORD=1 ./chemomech-env pytest -n 2 -m "not container"
./chemomech-env python docs/make_verification.py
```

*pass*: all numbers are there and meet the bar. *asserted*: the test fails unless it is so, and there is no number to
show. *not measured*: no record of at least one number.
"""
VERDICTS = ("pass", "FAIL", "not measured", "asserted")


def section(number: int, item: Item, picture: str | None) -> Iterable[str]:
    yield f"\n## {number}. {item.title}\n"
    yield f"> {item.statement}\n"
    yield "| what | bar | measured | test | |\n|---|---|---|---|---|"
    yield from (row.line() for row in item.rows)
    if picture:
        yield f"\n![{item.title}]({picture})\n\n{item.caption}"
    elif item.figure:
        yield "\nFigure: not measured."


def draw(item: Item, records: Records, figures: Path) -> Path | None:
    """The figure of an item, written as a file that is the same for the same numbers."""
    with matplotlib.rc_context(_STYLE):
        figure = item.draw(records) if item.figure else None
        if figure is None:
            return None
        figures.mkdir(parents=True, exist_ok=True)
        file = figures / f"verification-{item.figure}.png"
        figure.savefig(file, metadata={"Software": None})
    return file


def make(folder: Path, page: Path, figures: Path) -> list[Item]:
    """Write the page and its figures from the records in a folder."""
    records = load(folder)
    items = [item(records) for item in ITEMS]
    lines = [HEAD, "| | " + " | ".join(VERDICTS) + " |", "|---|" + "---|" * len(VERDICTS)]
    for number, item in enumerate(items, 1):
        counts = " | ".join(str(item.count(v) or "") for v in VERDICTS)
        lines.append(f"| {number}. {item.title} | {counts} |")
    for number, item in enumerate(items, 1):
        file = draw(item, records, figures)
        picture = None if file is None else os.path.relpath(file, page.parent).replace(os.sep, "/")
        lines += section(number, item, picture)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return items


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=Path, default=DOCS / "verification", help="folder of the JSON files")
    parser.add_argument("--page", type=Path, default=DOCS / "verification.md", help="page to write")
    parser.add_argument("--figures", type=Path, default=DOCS / "figures", help="folder for the figures")
    given = parser.parse_args(arguments)
    items = make(given.records, given.page, given.figures)
    rows = [(item, row) for item in items for row in item.rows]
    print(", ".join(f"{sum(row.verdict == v for _, row in rows)} {v}" for v in VERDICTS))
    for item, row in rows:
        if row.verdict in ("FAIL", "not measured"):
            print(f"{row.verdict}: {item.title}: {row.line()}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
