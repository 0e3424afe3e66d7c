"""Report of hypotheses about parameters."""

from __future__ import annotations

import numpy as np

from bayesmlm.hypotheses import Tested
from bayesmlm.report.grid import RULE, Grid, Report
from bayesmlm.report.rformat import format_fixed


def hypotheses_report(tested: Tested, formula: str, digits: int) -> Report:
    """Lay out hypotheses: one row each, what the columns mean, and what is missing or imprecise.

    Parameters
    ----------
    tested
        The numbers.
    formula
        Text of the model's formula.
    digits
        Decimals.
    """
    interval = f"{100 * tested.prob:g}% interval"
    heads = ["Median", "MAD_SD", interval, "Evid.Ratio", "Post.Prob"]
    rows = []
    for row in tested.frame.to_dict("records"):
        ends = f"[{_fixed(row['conf_low'], digits)}, {_fixed(row['conf_high'], digits)}]"
        cells = [_fixed(row["estimate"], digits), _fixed(row["std_error"], digits), ends]
        cells += [_ratio(row["evidence_ratio"]), _fixed(row["post_prob"], max(2, digits))]
        rows.append((*cells, _fixed(row["rope_prob"], max(2, digits))) if tested.rope else tuple(cells))
    if tested.rope:
        heads.append("In ROPE")
    grid = Grid(tuple(heads), tuple(rows), tuple(tested.frame["hypothesis"]))
    parts: list[str | Grid] = [f"Hypotheses about {formula}", "", grid, RULE]
    return Report((*parts, *_explained(tested), *(f"! {note}" for note in tested.notes)), tested.frame)


def _explained(tested: Tested) -> list[str]:
    signs = {s.sign for s in tested.statements}
    lines = ["Median, MAD_SD and interval are those of left side - right side."]
    if signs & {"<", ">"}:
        lines.append(
            "< and >: Post.Prob is the share of draws that satisfy it, Evid.Ratio that over the share that do not."
        )
    if "=" in signs:
        lines.append(
            "=: Evid.Ratio is posterior over prior density at equality (Savage and Dickey): above 1 the data speak"
        )
        lines.append("   for it. Post.Prob is that of equality if it was as probable as not before.")
    if tested.rope:
        low, high = tested.rope
        lines.append(f"In ROPE: posterior probability that the difference lies between {low:g} and {high:g}.")
    return lines


def _fixed(value: float, digits: int) -> str:
    return "" if np.isnan(value) else format_fixed([value], digits)[0]


def _ratio(value: float) -> str:
    if np.isnan(value):
        return ""
    return "Inf" if np.isinf(value) else f"{value:.3g}" if value < 1000 else f"{value:.0f}"
