"""What is said of a fit's predictions, and how: densities of its rows and groups, and exact refits."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bayesmlm.errors import ConvergenceWarning, DataError, warn
from bayesmlm.fits.base import Sampled
from bayesmlm.fits.refits import predict_left_out
from bayesmlm.folds import Grouping, grouping
from bayesmlm.group_density import joint_log_density
from bayesmlm.left_out import (
    CELLS,
    NEW_LEVELS,
    Draws,
    Rows,
    long_draws,
    row_log_density,
    rows_by_group,
    rows_of_fit,
    shared_blocks,
)
from bayesmlm.predictive_fit import (
    Accuracy,
    loo_sentences,
    mean_density,
    monte_carlo_se,
    refit_sentences,
    smoothed_frame,
)
from bayesmlm.report import Report, accuracy_report
from bayesmlm.response_scale import CONTINUOUS, response_scale


@dataclass(frozen=True, repr=False, eq=False)
class PredictiveAccuracy:
    """How well a fit predicts, as R's package loo reports it; what `loo`, `waic` and `kfold` return.

    Attributes
    ----------
    accuracy : Accuracy
        All numbers; see `bayesmlm.predictive_fit.Accuracy`.
    formula : str
        The model's.
    """

    accuracy: Accuracy
    formula: str

    @property
    def pointwise(self) -> pd.DataFrame:
        """One row per row of the data (or level): elpd, p, ic, and how they were had."""
        return self.accuracy.pointwise

    @property
    def estimates(self) -> pd.DataFrame:
        """elpd, p and -2 elpd under R's names: columns estimate, std_error."""
        return self.accuracy.estimates

    @property
    def elpd(self) -> float:
        """Expected log predictive density: the sum over rows or levels. Larger is better."""
        return float(self.estimates["estimate"].iloc[0])

    @property
    def se(self) -> float:
        """Standard error of `elpd`: of other rows or levels like these, not of the simulation."""
        return float(self.estimates["std_error"].iloc[0])

    @property
    def p(self) -> float:
        """Effective number of parameters: the log density of the data under all of them, less `elpd`."""
        return float(self.estimates["estimate"].iloc[1])

    @property
    def ic(self) -> float:
        """-2 `elpd`, on the scale of a deviance: R's looic."""
        return float(self.estimates["estimate"].iloc[2])

    @property
    def mc_se(self) -> float:
        """Standard error of `elpd` due to the finite number of draws; too small where Pareto k is high."""
        return self.accuracy.mc_se

    @property
    def notes(self) -> tuple[str, ...]:
        """What is wrong, in sentences."""
        return self.accuracy.notes

    @property
    def report(self) -> Report:
        """What is printed."""
        return accuracy_report(self.accuracy, self.formula)

    def __repr__(self) -> str:
        return str(self.report)

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


def row_blocks(fit: Sampled, chosen: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the log densities (chain, draw, m) of chosen rows of a fit, m at a time."""
    rows, draws = rows_of_fit(fit.design), long_draws(fit.design, fit.posterior)
    step = max(1, CELLS // len(draws))
    for start in range(0, len(chosen), step):
        part = rows.take(chosen[start : start + step])
        yield row_log_density(part, draws).reshape(fit.posterior.n_chains, -1, len(part))


def group_blocks(fit: Sampled, group: Grouping, chosen: Container[int] | None = None) -> Iterator[np.ndarray]:
    """Yield the log density (chain, draw, 1) of the rows of each group together; of chosen groups, or all."""
    rows = rows_of_fit(fit.design)
    draws = long_draws(fit.design, fit.posterior, shared_blocks(rows, group.index))
    if draws.others or draws.categories:
        raise DataError(NEW_LEVELS)
    for code, part in enumerate(rows_by_group(rows, group.index)):
        if chosen is not None and code not in chosen:
            continue
        yield joint_log_density(part, draws).reshape(fit.posterior.n_chains, -1, 1)


def refitted(
    fit: Sampled,
    group: Grouping | None,
    frame: pd.DataFrame,
    influence: np.ndarray,
    threshold: float,
    seed: int,
) -> tuple[pd.DataFrame, float, tuple[str, ...]]:
    """Replace the elpd of units with high Pareto k by that of refits without them."""
    bad = np.flatnonzero(~(frame["pareto_k"] <= threshold))
    if not len(bad):
        return frame, monte_carlo_se(influence), ()
    if group is None:
        blocks, density = row_blocks(fit, bad), row_log_density
        held = {f"row {frame['row'][i]}": np.array([i]) for i in bad}
    else:
        blocks = group_blocks(fit, group, frozenset(bad.tolist()))

        def density(rows: Rows, draws: Draws) -> np.ndarray:
            return joint_log_density(rows, draws)[:, None]

        held = {f"{group.name} {group.levels[i]}": np.flatnonzero(group.index == i) for i in bad}
    _, theirs = smoothed_frame(blocks)
    predicted = predict_left_out(fit, held, density, seed)
    exact = [mean_density(values) for values in predicted.values]
    elpd = np.array([value[0] for value, _ in exact])
    lppd = (frame["elpd"] + frame["p"]).to_numpy()[bad]
    out = frame.copy()
    out.loc[bad, ["elpd", "p", "ic"]] = np.column_stack([elpd, lppd - elpd, -2 * elpd])
    out.loc[bad, "refitted"] = True
    se = monte_carlo_se(influence - theirs, *(h for _, h in exact))
    return out, se, refit_sentences(predicted.notes, len(held))


def judged(
    fit: Sampled,
    method: str,
    unit: str,
    frame: pd.DataFrame,
    mc_se: float,
    limit: float,
    notes: tuple[str, ...],
) -> PredictiveAccuracy:
    """Complete the numbers, and warn of what is wrong with them."""
    design, n = fit.design, fit.posterior.n_draws
    scale = response_scale(design)
    if scale is not None and unit != "row":
        total = np.bincount(grouping(design, unit).index, scale.log_slope)
        scale = replace(scale, log_slope=total)
    discrete = design.family.support not in CONTINUOUS
    found = Accuracy(
        method, unit, frame, n, limit, mc_se, (), design.response, design.y, design.rows, scale, discrete
    )
    found = replace(found, notes=(*loo_sentences(found), *notes))
    for note in found.notes:
        warn(note, ConvergenceWarning)
    return PredictiveAccuracy(found, fit.formula)
