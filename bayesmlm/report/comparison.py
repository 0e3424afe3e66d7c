"""Report of a comparison of a posterior with a reference fit."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayesmlm.comparison import Comparison
from bayesmlm.report.grid import Grid, Part, Report, Sentences
from bayesmlm.report.prose import listed
from bayesmlm.report.rformat import decimals_needed, format_fixed

WIDTH = 110
LINEAR = {"REML", "ML"}


def comparison_report(comparison: Comparison, formula: str, reference_status: str) -> Report:
    """Lay out a `Comparison`: the table, verdicts in words, and the group effects in a line per column.

    Parameters
    ----------
    comparison
        The numbers.
    formula
        Text of the formula.
    reference_status
        What the reference fit says of its convergence; shown if it is not empty.
    """
    frame = comparison.frame
    parts: list[Part] = [f"Posterior beside {_named(comparison)}: {formula}", "", _grid(comparison), ""]
    counts = frame["verdict"].value_counts()
    parts.append(
        ", ".join(f"{counts[v]} {v}" for v in ("agree", "boundary", "prior-sensitive") if v in counts)
    )
    noted = frame[frame["verdict"] != "agree"].to_dict("records")
    for r in noted:
        note = verdict_note(r, comparison.method, comparison.has_sigma)
        if r["grouping"] in comparison.uninformed:
            note += ", and Laplace's approximation (see below)"
        parts.append(f"  {_row_name(r)}: {r['verdict']}; {note}")
    if comparison.uninformed:
        parts += ["", Sentences(laplace_note(comparison), WIDTH, rest="")]
    if reference_status:
        parts += ["", reference_status]
    if not comparison.groups.empty:
        effects = "BLUPs" if comparison.method in LINEAR else "conditional modes"
        parts += ["", f"Group effects ({effects} beside posterior means):"]
        parts += [_group_line(row) for row in comparison.groups.to_dict("records")]
    parts += [
        "",
        "shift: (median - reference) / MAD_SD. agree: the reference estimate lies in the posterior interval.",
    ]
    return Report(tuple(parts), frame)


def _named(comparison: Comparison) -> str:
    linear = comparison.method in LINEAR
    return comparison.method if linear else f"maximum likelihood ({comparison.method})"


def laplace_note(comparison: Comparison) -> str:
    """Say why standard deviations by Laplace's approximation are too low, and what is better."""
    sds = comparison.frame["term"].str.startswith("sd__") & (comparison.frame["group"] != "Residual")
    better = "n_agq > 1 integrates better, but is there for one block with an intercept only"
    if sds.sum() == 1:
        better = "bm.glmer(..., n_agq=10) integrates better"
    few = listed(comparison.uninformed)
    return (
        f"The rows of a typical level of {few} tell little of its effect. Laplace's approximation then puts standard "
        f"deviations too low and coefficients too near 0; {better}. The posterior does not approximate."
    )


def verdict_note(row: dict, method: str, has_sigma: bool = True) -> str:
    """Say what stands behind the verdict of a row of `Comparison.frame`; empty where the two agree."""
    if row["verdict"] == "agree":
        return ""
    if row["verdict"] == "prior-sensitive":
        return f"{row['n_groups']:.0f} groups of {row['grouping']}"
    if row["effect"] == "icc":
        return "its standard deviation is estimated as zero"
    if np.isnan(row["reference"]):
        return f"{method} leaves it undefined: a standard deviation is zero"
    if np.isnan(row["typical"]):
        return (
            f"{method} puts it at {row['reference']:+.0f}; posterior P(|r| > 0.9) = {row['probability']:.2f}"
        )
    column = row["term"].removeprefix("sd__")
    what = "sd" if column == "(Intercept)" else f"sd x {row['typical']:.3g}, a typical {column},"
    small = "10% of sigma" if has_sigma else "0.1"
    return f"{method} puts it at 0; posterior P({what} < {small}) = {row['probability']:.2f}"


def _row_name(row: dict) -> str:
    if row["effect"] in {"fixed", "auxiliary"}:
        return row["term"]
    if row["group"] == "Residual":
        return "sigma"
    kind, _, name = row["term"].partition("__")
    return f"{row['group']} ICC" if not name else f"{row['group']} {kind} {name}"


def _decimals(row: dict) -> int:
    """Decimals that show the posterior's spread to two significant digits."""
    spread = row["mad_sd"]
    return (
        min(6, max(1, decimals_needed(float(f"{spread:.1e}"), 2)))
        if np.isfinite(spread) and spread > 0
        else 3
    )


def _grid(comparison: Comparison) -> Grid:
    frame = comparison.frame
    interval = f"{100 * comparison.prob:g}% interval"
    heads = (comparison.method, "SE", "Median", "MAD_SD", interval, "shift", "verdict")
    rows = [_cells(row) for row in frame.to_dict("records")]
    names = tuple(_row_name(row) for row in frame.to_dict("records"))
    return Grid(heads, tuple(rows), names)


def _cells(row: dict) -> tuple[str, ...]:
    places = _decimals(row)

    def number(value: float) -> str:
        return "" if pd.isna(value) else format_fixed([value], places)[0]

    interval = f"[{number(row['conf_low'])}, {number(row['conf_high'])}]"
    shift = "" if pd.isna(row["shift"]) else format_fixed([row["shift"]], 2)[0]
    shown = [number(row[key]) for key in ("reference", "reference_se", "median", "mad_sd")]
    return (*shown, interval, shift, row["verdict"])


def _group_line(row: dict) -> str:
    corr = "not defined (BLUPs all equal)" if pd.isna(row["correlation"]) else f"{row['correlation']:.3f}"
    where = f"most apart at {row['level']}: {row['blup']:.3g} and {row['mean']:.3g}"
    return (
        f"  {row['group']} {row['term']}: correlation {corr}; {where} ({row['difference']:+.2f} posterior sd)"
    )
