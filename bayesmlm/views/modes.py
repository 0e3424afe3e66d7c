"""Conditional modes of a reference fit with their intervals."""

from __future__ import annotations

import pandas as pd
from scipy.stats import norm

from bayesmlm.design import Design
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.reference.glmm.estimate import GlmerEstimate
from bayesmlm.shrinkage import one_factor
from bayesmlm.tables import check_probability


def mode_table(
    design: Design, estimate: LmerEstimate | GlmerEstimate, group: str | None = None, prob: float = 0.9
) -> pd.DataFrame:
    """Tabulate the conditional modes of a grouping factor with mode -/+ quantile x conditional standard deviation.

    The intervals hold given the estimates of the variances and of the fixed effects, as those of lme4's ``dotplot``:
    they are narrower than posterior intervals.

    Returns
    -------
    DataFrame
        group, level, term, estimate, conf_low, conf_high. Blocks of one factor follow one another; where two have an
        effect in common, under their labels.
    """
    z = float(norm.ppf((1 + check_probability(prob, "prob")) / 2))
    name = one_factor(design, group).blocks[0].group
    mine = [r for r in estimate.ranef if r.group == name]
    columns = [c for r in mine for c in r.columns]
    parts = []
    for r in mine:
        shown = r.label if len(set(columns)) < len(columns) else r.group
        for j, column in enumerate(r.columns):
            mode, reach = r.mode[:, j], z * r.sd[:, j]
            part = {"group": shown, "level": list(r.levels), "term": column, "estimate": mode}
            parts.append(pd.DataFrame({**part, "conf_low": mode - reach, "conf_high": mode + reach}))
    return pd.concat(parts, ignore_index=True)
