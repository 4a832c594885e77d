"""Draws the ratios that run.py measured: other codes over chemomech, by number of unknowns.

./chemomech-env python benchmarks/figure.py RESULT.json... [--out docs/figures/benchmarks.png]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from chemomech.drawing import DPI, FONT

OUT = Path(__file__).resolve().parents[1] / "docs" / "figures" / "benchmarks.png"
KINDS = {"edge2d": "edge dislocation, 2D", "edge3d": "edge dislocation, 3D", "interface": "LLZO/Li interface, 2D"}
ROWS = {
    "ratio_time_per_newton": "time per Newton step",
    "ratio_total": "whole solution",
    "ratio_peak_memory": "peak memory",
}
STYLES = {  # hues that are told apart by everybody; Okabe and Ito (2008)
    "plain": ("plain DOLFINx script", "#0072B2", "o"),
    "ngsolve": ("NGSolve", "#D55E00", "s"),
    "freefem": ("FreeFEM", "#009E73", "^"),
    "skfem": ("scikit-fem", "#CC79A7", "D"),
}
SIDES = {"plain": (7, -9, "left"), "ngsolve": (-7, 4, "right"), "freefem": (7, -3, "left"), "skfem": (7, 3, "left")}


def peer(row: dict[str, Any]) -> tuple[str, str]:
    """The other code, and the solver it was told to use."""
    return row["against"], row.get("solver_asked") or ""


def panel(axes: Axes, rows: list[dict[str, Any]], key: str) -> None:
    """One ratio of one kind of problem."""
    axes.axhline(1.0, color="#888888", lw=0.8, zorder=1)
    for who in sorted({peer(r) for r in rows}, key=lambda w: ([*STYLES].index(w[0]), w[1])):
        # Of two measurements of one thing, that of more runs.
        mine = sorted((r for r in rows if peer(r) == who and key in r), key=lambda r: r["repeat"])
        points = sorted({r["unknowns"]: r[key] for r in mine}.items())
        if not points:
            continue
        name, colour, marker = STYLES[who[0]]
        label = f"{name}, {who[1]}" if who[1] else name
        look: dict[str, Any] = {"ls": "--", "mfc": "white"} if who[1] else {"ls": "-"}
        axes.plot(*zip(*points, strict=True), color=colour, marker=marker, ms=6, lw=1.6, label=label, **look)
        for x, y in points:
            *beside, side = SIDES[who[0]]
            text: dict[str, Any] = {"xytext": beside, "textcoords": "offset points", "ha": side, "fontsize": 8.5}
            axes.annotate(f"{y:.2g}" if y < 10 else f"{y:.0f}", (x, y), color=colour, **text)
    if not any(key in r for r in rows):
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", va="center", color="#888888")
    axes.set(xscale="log", yscale="log")


def draw(rows: list[dict[str, Any]], out: Path) -> None:
    """Kinds from left to right, ratios from top to bottom; only what was measured."""
    kinds = [k for k in KINDS if any(r["kind"] == k for r in rows)]
    keys = [k for k in ROWS if any(k in r for r in rows)]
    if not kinds or not keys:
        raise SystemExit("nothing to draw: none of these files holds a ratio, as run.py --against plain writes it")
    with rc_context(FONT):
        figure = Figure(figsize=(0.9 + 3.3 * len(kinds), 1.1 + 1.9 * len(keys)), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(len(keys), len(kinds), squeeze=False, sharex="col", sharey="row")
        for line, key in zip(grid, keys, strict=True):
            for axes, kind in zip(line, kinds, strict=True):
                panel(axes, [r for r in rows if r["kind"] == kind], key)
        for key, line in zip(keys, grid, strict=True):
            values = [r[key] for r in rows if key in r]
            low, high = min(0.7, 0.7 * min(values)), max(1.6, 1.6 * max(values))
            line[0].set(ylim=(low, high), ylabel=ROWS[key])
            ticks = [m * 10.0**e for e in range(-2, 4) for m in (1, 2, 5)]
            for axes in line:
                axes.yaxis.set_major_locator(FixedLocator([t for t in ticks if low <= t <= high]))
                axes.yaxis.set_minor_locator(NullLocator())
                axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}×"))
        for axes, kind in zip(grid[0], kinds, strict=True):
            axes.set_title(KINDS[kind], fontsize=10.5, loc="left")
        for axes, kind in zip(grid[-1], kinds, strict=True):
            sizes = sorted({r["unknowns"] for r in rows if r["kind"] == kind})
            axes.set(xlim=(0.6 * sizes[0], 2.0 * sizes[-1]), xlabel="unknowns")
            axes.xaxis.set_major_locator(FixedLocator([float(s) for s in sizes]))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}".replace(",", " ")))
            axes.xaxis.set_minor_locator(NullLocator())
        labels = {
            label: handle
            for axes in grid.ravel()
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(labels.values(), labels.keys(), loc="outside lower center", ncols=len(labels), fontsize=9.5)
        figure.suptitle("Other code over chemomech: above 1, chemomech needs less", x=0.01, ha="left", fontsize=11)
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out)


def main() -> None:
    """Read and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    rows = [json.loads(path.read_text()) for path in given.results]
    draw([row for row in rows if row["against"] in STYLES], given.out)


if __name__ == "__main__":
    main()
