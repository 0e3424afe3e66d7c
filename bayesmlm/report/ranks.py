"""Reports of league tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bayesmlm.ranks import Ranking
from bayesmlm.report.grid import Grid, Report
from bayesmlm.report.rformat import decimals_needed, format_fixed
from bayesmlm.scores import Scores

LONGEST = 24  # rows shown before the middle of a table is left out
ENDS = 10


def ranking_report(
    ranking: Ranking, scores: Scores, what: str, reference: float | None, formula: str
) -> Report:
    """Lay out a league table: the best and the last units if there are many, and how to read it.

    Parameters
    ----------
    ranking
        The numbers.
    scores
        What was ranked.
    what
        Name of the quantity, ``"effect of (Intercept)"``.
    reference
        What units were held against, if not the default.
    formula
        Text of the formula.
    """
    frame = ranking.frame
    n = len(frame)
    shown = frame if n <= LONGEST else pd.concat([frame.head(ENDS), frame.tail(ENDS)])
    inside = " within ".join([scores.group, *scores.outer])
    order = "lowest" if ranking.ascending else "highest"
    parts: list[str | Grid] = [
        f"League table of {n} units: {inside}, {what}",
        formula,
        "",
        _grid(ranking, shown, n),
        "",
    ]
    parts += _sentences(ranking, _against(scores, reference), order)
    return Report(tuple(parts), frame)


def _grid(ranking: Ranking, shown: pd.DataFrame, n: int) -> Grid:
    interval = f"{100 * ranking.prob:g}% interval"
    places = _decimals(ranking.frame)
    low, middle, high = (format_fixed(shown[c], places) for c in ("conf_low", "estimate", "conf_high"))
    ranks = [f"{row.rank_low:.0f}-{row.rank_high:.0f}" for row in shown.itertuples()]
    rows: list[tuple[str, ...]] = [
        (
            str(row["n"]),
            middle[i],
            f"[{low[i]}, {high[i]}]",
            f"{row['rank']:.1f}",
            ranks[i],
            _chance(row["p_top"]),
            _chance(row["p_bottom"]),
            _chance(row["p_above"]),
            row["class"],
            str(row["tier"]),
        )
        for i, row in enumerate(shown.to_dict("records"))
    ]
    names = [str(level) for level in shown["level"]]
    if len(shown) < n:
        rows.insert(ENDS, ("",) * len(rows[0]))
        names.insert(ENDS, f"... {n - len(shown)} more")
    heads = ("n", "Median", interval, "rank", interval, f"P(top {ranking.top})", f"P(last {ranking.bottom})")
    return Grid((*heads, "P(above)", "class", "tier"), tuple(rows), tuple(names), caption="Ranks")


def _decimals(frame: pd.DataFrame) -> int:
    """Decimals that show the width of a typical interval to two significant digits."""
    width = float(np.median(frame["conf_high"] - frame["conf_low"]))
    return min(6, max(1, decimals_needed(float(f"{width:.1e}"), 2))) if width > 0 else 3


def _chance(p: float) -> str:
    if 0 < p < 0.005:
        return "<0.01"
    return ">0.99" if 0.995 < p < 1 else f"{p:.2f}"


def _against(scores: Scores, reference: float | None) -> str:
    if reference is not None:
        return f"{reference:g}"
    return "what an average unit would have" if np.ndim(scores.reference) else "0"


def _sentences(ranking: Ranking, against: str, order: str) -> Sequence[str]:
    frame = ranking.frame
    n, n_tiers = len(frame), int(frame["tier"].max())
    classed = frame[frame["class"] != "as expected"]
    wrong = np.where(classed["class"] == "above", 1 - classed["p_above"], classed["p_above"]).sum()
    counts = frame["class"].value_counts()
    lines = [
        f"Rank 1 is the {order}; rank is the posterior mean of a unit's place, with the range that holds it.",
        f"class: {counts.get('above', 0)} above {against} and {counts.get('below', 0)} below by their "
        f"{100 * ranking.prob:g}% intervals, {counts.get('as expected', 0)} as expected.",
    ]
    if len(classed):
        lines.append(
            f"Each interval is by itself: of the {len(classed)} above or below, {wrong:.1f} are expected to be on the "
            "other side."
        )
    sure = f"right with P > {ranking.tier_prob:g} on the whole"
    lines.append(
        f"tier: {n_tiers} groups, cut where orders are {sure}; neighbours across a cut may differ less."
        if n_tiers > 1
        else f"tier: one group; no cut gives orders that are {sure}."
    )
    certain = int((frame["rank_high"] - frame["rank_low"] < n / 4).sum())
    lines.append(f"{certain} of {n} units have a rank known to within a quarter of the table.")
    return lines
