"""Reports of predictive accuracy, laid out as R's package loo does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bayesmlm.predictive_fit import Accuracy, grade_frame, units
from bayesmlm.report.grid import RULE, Grid, Report
from bayesmlm.report.rformat import format_fixed

COMPARED = ("elpd_diff", "se_diff", "elpd", "se_elpd", "p", "ic")


def accuracy_report(accuracy: Accuracy, formula: str) -> Report:
    """Estimates with standard errors, then how far they can be trusted."""
    table = accuracy.estimates
    cells = [format_fixed(table[name], 1) for name in table]
    grid = Grid(("Estimate", "SE"), tuple(zip(*cells, strict=True)), tuple(table.index), caption="Estimates")
    parts: list[str | Grid] = [f"formula: {formula}", _computed(accuracy), "", grid]
    if accuracy.method == "loo":
        parts += [RULE, *_loo_lines(accuracy)]
    elif accuracy.method == "kfold":
        parts += [RULE, f"Monte Carlo SE of elpd_kfold is {accuracy.mc_se:.1f}."]
    return Report((*parts, *(f"! {note}" for note in accuracy.notes)), accuracy.pointwise)


def _computed(accuracy: Accuracy) -> str:
    frame, draws = accuracy.pointwise, accuracy.n_draws
    if accuracy.method == "kfold":
        return f"Computed from {frame['fold'].nunique()} folds of {len(frame)} rows, {draws} draws each."
    if accuracy.unit == "row":
        return f"Computed from {draws} by {len(frame)} log-likelihood matrix."
    return (
        f"Computed from {draws} draws, leaving out each of {len(frame)} levels of {accuracy.unit} "
        f"({int(frame['n'].sum())} rows)."
    )


def _loo_lines(accuracy: Accuracy) -> list[str | Grid]:
    known = accuracy.high.empty
    lines: list[str | Grid] = [
        f"Monte Carlo SE of elpd_loo is {accuracy.mc_se:.1f}."
        if known
        else "Monte Carlo SE of elpd_loo is NA."
    ]
    again = int(accuracy.pointwise["refitted"].sum())
    if again:
        lines.append(
            f"Exact by refitting without them: {again} of {len(accuracy.pointwise)} {units(accuracy.unit)}."
        )
    if again == len(accuracy.pointwise):
        return lines
    lines.append("")
    if known:
        which = "All other" if again else "All"
        lines.append(f"{which} Pareto k estimates are good (k <= {accuracy.limit:.2g}).")
        return lines
    grades = grade_frame(accuracy)
    ends = [f"({low:.2g}, {high:.2g}]" for low, high in zip(grades["low"], grades["high"], strict=True)]
    ends = [e.replace("inf]", "Inf)").replace("-inf", "-Inf") for e in ends]
    least = [
        "" if np.isnan(v) or g != "good" else f"{v:.0f}"
        for v, g in zip(grades["min_ess"], grades["grade"], strict=True)
    ]
    cells = zip(
        (f"({g})" for g in grades["grade"]),
        map(str, grades["count"]),
        (f"{100 * share:.1f}%" for share in grades["share"]),
        least,
        strict=True,
    )
    width = max(map(len, ends))
    names = tuple(e.rjust(width) for e in ends)
    lines += ["Pareto k diagnostic values:", Grid(("", "Count", "Pct.", "Min. ESS"), tuple(cells), names)]
    return lines


def loo_comparison_report(
    frame: pd.DataFrame, method: str, unit: str, responses: Sequence[str], column: str
) -> Report:
    """A row per model, the best first, with the verdict in words.

    `responses` are the models' own and `column` the response that the densities are of.
    """
    ic = {"loo": "looic", "waic": "waic", "kfold": "kfoldic"}[method]
    heads = ("elpd_diff", "se_diff", f"elpd_{method}", "se", f"p_{method}", ic)
    cells = [format_fixed(frame[name], 1) for name in COMPARED]
    names = tuple(map(str, frame.index))
    first = f"Differences of elpd_{method} to the best model, with paired standard errors over {units(unit)}:"
    moved = [r for r in dict.fromkeys(responses) if r != column]
    said = [f"* {name}: {verdict}" for name, verdict in zip(names, frame["verdict"], strict=True)]
    if moved:
        said.append(
            f"* Densities are those of {column}: {', '.join(moved)} brought there by log |d f(y) / dy| of each row"
        )
    return Report((first, Grid(heads, tuple(zip(*cells, strict=True)), names), RULE, *said), frame)
