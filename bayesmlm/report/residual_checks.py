"""Reports of residual checks: tables and sentences in words."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pandas as pd

from bayesmlm.pooling_factors import DATA_LEVEL
from bayesmlm.report.grid import Grid, Part, Report, Sentences
from bayesmlm.report.rformat import format_fixed
from bayesmlm.residual_checks import ResidualChecks

MOST_NAMED = 5
WIDTH = 100
UNLIKELY = 0.025  # a p-value below it, or as far above, is named


class PrintedChecks(ResidualChecks):
    """`ResidualChecks` that print themselves."""

    def __repr__(self) -> str:
        return str(checks_report(self))

    def _repr_html_(self) -> str:
        return checks_report(self)._repr_html_()


def printed_checks(checks: ResidualChecks) -> PrintedChecks:
    """Return the same tables in a type that prints itself."""
    return PrintedChecks(**{f.name: getattr(checks, f.name) for f in fields(ResidualChecks)})


def checks_report(checks: ResidualChecks) -> Report:
    """Lay out residual checks: shape by level, spread by fitted value, and what stands out, in words."""
    parts: list[Part] = [
        "Standardized errors of each level (normal with sd 1 if the model is right)",
        "",
    ]
    parts += [_shape_grid(checks.shape), ""]
    parts += [_wrap(_shape_sentence(row)) for row in checks.shape.to_dict("records")]
    parts += [
        "",
        "Residuals by fitted value:",
        _fitted_grid(checks.by_fitted),
        "",
        _wrap(_fitted_sentence(checks.by_fitted)),
    ]
    if checks.counts is not None:
        parts += [_wrap(_count_sentence(row)) for row in checks.counts.to_dict("records")]
    parts += [_wrap(_group_sentence(checks, row)) for row in checks.levene.to_dict("records")]
    parts += [_wrap(_outlier_sentence(checks, row)) for row in checks.shape.to_dict("records")]
    return Report(tuple(parts), checks.shape)


def _wrap(text: str) -> Sentences:
    return Sentences(text, WIDTH)


def _name(row: dict) -> str:
    return "residuals" if row["group"] == DATA_LEVEL else f"{row['group']} {row['term']}"


def _shape_grid(shape: pd.DataFrame) -> Grid:
    records = shape.to_dict("records")
    cells = []
    for row in records:
        line = [str(row["n"])]
        for name in ("skewness", "kurtosis"):
            value, low, high, chance = (row[f"{name}{end}"] for end in ("", "_low", "_high", "_chance"))
            interval = "" if np.isnan(low) else f" [{_two(low)}, {_two(high)}]"
            line += [_two(value) + interval, f"+-{chance:.2f}"]
        cells.append((*line, f"{100 * row['beyond_2']:.1f}%"))
    heads = ("n", "skewness", "by chance", "excess kurtosis", "by chance", "beyond 2 sd")
    return Grid(heads, tuple(cells), tuple(_name(row) for row in records))


def _two(value: float) -> str:
    return format_fixed([value], 2)[0]


def _shape_sentence(row: dict) -> str:
    skew, tails = row["skewness"], row["kurtosis"]
    said = []
    if abs(skew) > row["skewness_chance"]:
        said.append(f"a longer tail of {'high' if skew > 0 else 'low'} values (skewness {_two(skew)})")
    if abs(tails) > row["kurtosis_chance"]:
        said.append(
            f"{'heavier' if tails > 0 else 'lighter'} tails than a normal (excess kurtosis {_two(tails)})"
        )
    name = _name(row)
    head = name[0].upper() + name[1:] if row["group"] == DATA_LEVEL else name
    if said:
        return f"{head}: {' and '.join(said)}, more than chance gives with n = {row['n']}."
    return f"{head}: no further from a normal than chance gives with n = {row['n']}."


def _fitted_grid(frame: pd.DataFrame) -> Grid:
    low, high = (format_fixed(frame[c], _places(frame)) for c in ("low", "high"))
    mean, spread, less, more = (
        format_fixed(frame[c], 2) for c in ("mean", "spread", "chance_low", "chance_high")
    )
    rows = [(str(n), mean[i], spread[i], f"{less[i]} to {more[i]}") for i, n in enumerate(frame["n"])]
    names = tuple(f"{a} to {b}" for a, b in zip(low, high, strict=True))
    return Grid(("n", "mean", "spread", "by chance"), tuple(rows), names)


def _places(frame: pd.DataFrame) -> int:
    width = float(frame["high"].max() - frame["low"].min())
    return int(np.clip(2 - np.floor(np.log10(width)), 0, 6)) if width > 0 else 2


def _outside(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[(frame["spread"] < frame["chance_low"]) | (frame["spread"] > frame["chance_high"])]


def _fitted_sentence(frame: pd.DataFrame) -> str:
    least, most = frame["spread"].min(), frame["spread"].max()
    out = len(_outside(frame))
    return (
        f"Their spread goes from {least:.2f} to {most:.2f} over {len(frame)} bins of fitted values, and is outside "
        f"what chance gives in {out}; 5% of bins, {0.05 * len(frame):.1f}, would be by chance."
    )


def _count_sentence(row: dict) -> str:
    p = row["p_value"]
    said = f"{row['ratio']:.2f} [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}]"
    chance = f"replicated data have more with probability {p:.2f}"
    if row["check"] == "dispersion":
        verdict = (
            "more spread than the family says (overdispersion)"
            if p < UNLIKELY
            else "less spread than the family says (underdispersion)"
            if p > 1 - UNLIKELY
            else "as spread as the family says"
        )
        return f"Dispersion, mean of squared residuals over their variance: {said}; {verdict}; {chance}."
    verdict = "more than" if p < UNLIKELY else "fewer than" if p > 1 - UNLIKELY else "about what"
    return f"Zeros: {row['observed']:.0f}, {verdict} the model expects ({row['expected']:.1f}, ratio {said}); {chance}."


def _group_sentence(checks: ResidualChecks, row: dict) -> str:
    group = row["group"]
    frame = checks.by_group[checks.by_group["group"] == group]
    out = _outside(frame).sort_values("spread")
    text = f"Over {len(frame)} levels of {group} the spread is outside what chance gives in {len(out)}"
    text += f" ({0.05 * len(frame):.1f} expected)"
    if np.isfinite(row["F"]):
        verdict = "more than" if row["F"] > row["chance"] else "no more than"
        text += f"; F = {row['F']:.2f} for unequal spreads, {verdict} chance gives (95% below {row['chance']:.2f})"
    if len(out):
        widest = out.iloc[-1]
        if widest["spread"] > 1:
            text += f"; widest {group} {widest['level']} ({widest['spread']:.2f}, n = {widest['n']})"
    return text + "."


def _outlier_sentence(checks: ResidualChecks, row: dict) -> str:
    mine = checks.outliers
    mine = mine[(mine["group"] == row["group"]) & (mine["term"] == row["term"])]
    if mine.empty:
        return f"Outliers among {_name(row)}: none."
    limit = mine["limit"].iloc[0]
    named = [f"{r['level']} ({_two(r['value'])})" for r in mine.head(MOST_NAMED).to_dict("records")]
    more = f"; and {len(mine) - MOST_NAMED} more" if len(mine) > MOST_NAMED else ""
    return f"Outliers among {_name(row)}, beyond {limit:.2f} sd: {'; '.join(named)}{more}."
