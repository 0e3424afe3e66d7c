"""How well a fit predicts: leave-one-out, WAIC, folds, whole groups, and replicated data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesmlm.draws import labelled
from bayesmlm.errors import DataError, did_you_mean
from bayesmlm.fits.accuracies import PredictiveAccuracy, group_blocks, judged, refitted, row_blocks
from bayesmlm.fits.base import Sampled
from bayesmlm.fits.refits import predict_left_out
from bayesmlm.folds import grouping, make_folds
from bayesmlm.left_out import row_log_density
from bayesmlm.predictive_fit import (
    comparison_frame,
    k_limit,
    mean_density,
    monte_carlo_se,
    on_one_scale,
    plain_frame,
    refit_sentences,
    smoothed_frame,
    waic_sentences,
)
from bayesmlm.replicates import check_frame, count_frame, replicates
from bayesmlm.report import Report, loo_comparison_report


class Criticism(Sampled):
    """A fit that is judged by what it predicts."""

    def log_lik(self, rows: Iterable[int] | None = None) -> xr.DataArray:
        """Log density of each row in each draw, given fixed and group effects: (chain, draw, row).

        log N(y_i | x_i'beta + offset_i + z_i'b, sigma^2 / w_i), or the log-probability or density of another family,
        times the row's weight if it has one. All rows take 32 kB each with 4000 draws; `loo` and
        `waic` hold a part at a time only.

        Parameters
        ----------
        rows
            Positions among the rows of the fit; all of them if None. The coordinate ``row`` of the result is the
            position in the caller's data.
        """
        chosen = np.arange(self.nobs) if rows is None else _checked_rows(rows, self.nobs)
        out = np.empty(
            (self.posterior.n_chains, self.posterior.n_draws // self.posterior.n_chains, len(chosen))
        )
        start = 0
        for block in row_blocks(self, chosen):
            out[:, :, start : start + block.shape[2]] = block
            start += block.shape[2]
        return labelled(out, row=self.design.rows[chosen])

    def loo(
        self, group: str | None = None, *, k_threshold: float | None = None, seed: int | None = None
    ) -> PredictiveAccuracy:
        """Leave-one-out cross-validation without refitting: Pareto-smoothed importance sampling.

        Leaves out each row, or each level of `group` with all its rows (for predictions of new groups). The density of
        a group is that of its rows together, its own effects integrated out exactly, with those of every level that
        occurs in no other group (classes of a school); effects of levels that other groups have too (crossed factors)
        are as drawn. Of generalised models it is exact for one effect per group, and by importance sampling for
        several. Importance weights are 1 / p(y_j | draw), for rows 1 / p(y_i | draw).

        Parameters
        ----------
        group
            A grouping factor of the model, or a column of its data.
        k_threshold
            Rows or groups with a Pareto k above it are left out exactly, by a refit each: give 0.7 where `loo` says
            that k is too high.
        seed
            Of the refits; the fit's own if None.

        Returns
        -------
        PredictiveAccuracy
            Prints as R's loo; ``.pointwise`` has elpd, Pareto k and more for each row or level.

        Raises
        ------
        DataError
            For an unknown group, or fewer than 100 draws.

        Warns
        -----
        ConvergenceWarning
            If Pareto k is above min(1 - 1 / log10(draws), 0.7) somewhere, with the rows and what to do.

        References
        ----------
        Vehtari, Gelman & Gabry (2017), Statistics and Computing 27:1413; Vehtari, Simpson, Gelman, Yao & Gabry (2024),
        Journal of Machine Learning Research 25:72.
        """
        _check_threshold(k_threshold)
        chosen = None if group is None else grouping(self.design, group)
        every = np.arange(self.nobs)
        if chosen is None:
            frame, influence = smoothed_frame(row_blocks(self, every))
            frame.insert(0, "row", self.design.rows)
        else:
            frame, influence = smoothed_frame(group_blocks(self, chosen))
            frame.insert(0, "n", np.bincount(chosen.index))
            frame.insert(0, "level", list(chosen.levels))
        notes: tuple[str, ...] = ()
        se = monte_carlo_se(influence)
        if k_threshold is not None:
            own = self.settings.seed if seed is None else seed
            frame, se, notes = refitted(self, chosen, frame, influence, k_threshold, own)
        unit = "row" if chosen is None else chosen.name
        return judged(self, "loo", unit, frame, se, k_limit(self.posterior.n_draws), notes)

    def waic(self) -> PredictiveAccuracy:
        """Widely applicable information criterion: elpd_waic = sum_i (lppd_i - var over draws of log p(y_i | draw)).

        Kept for comparison with published values; `loo` estimates the same quantity and says where it fails.

        Warns
        -----
        ConvergenceWarning
            If p_waic of a row is above 0.4.

        References
        ----------
        Watanabe (2010), Journal of Machine Learning Research 11:3571; Vehtari, Gelman & Gabry (2017), equations 11-13.
        """
        frame, _ = plain_frame(row_blocks(self, np.arange(self.nobs)))
        frame.insert(0, "row", self.design.rows)
        return judged(self, "waic", "row", frame, np.nan, np.nan, waic_sentences(frame))

    def kfold(
        self, k: int = 10, group: str | None = None, *, folds: Any = None, seed: int | None = None
    ) -> PredictiveAccuracy:
        """K-fold cross-validation: the model is fitted k times, each time without one fold, which it then predicts.

        The density of a row is N(x'beta + offset + z'b, sigma^2 / w + z'Sigma z), or that of its family averaged over
        N(0, z'Sigma z): b are the effects of levels that the
        refit knows, z'Sigma z stands for those it does not, which are integrated out row by row. (`loo` with a group
        has the density of all rows of a group together, and is not comparable.) Expressions such as ``scale(x)`` are
        learned anew without the fold, and priors scaled anew.

        Parameters
        ----------
        k
            Number of folds.
        group
            A factor of which whole levels are left out; with k = number of levels each by itself.
        folds
            The folds instead: one value per row, or the name of a column.
        seed
            Of the random folds and the refits; the fit's own if None.

        Returns
        -------
        PredictiveAccuracy

        Raises
        ------
        DataError
            For folds that cannot be made, or that leave out all rows of a category.

        Warns
        -----
        ConvergenceWarning
            Once, if refits sampled badly.
        """
        own = self.settings.seed if seed is None else seed
        chosen = None if group is None else grouping(self.design, group)
        fold = make_folds(self.design, k, chosen, folds, own)
        held = {f"fold {f + 1}": np.flatnonzero(fold == f) for f in range(fold.max() + 1)}
        predicted = predict_left_out(self, held, row_log_density, own)
        elpd, influences = np.empty(self.nobs), []
        for rows, values in zip(held.values(), predicted.values, strict=True):
            elpd[rows], influence = mean_density(values)
            influences.append(influence)
        lppd = np.concatenate([mean_density(block)[0] for block in row_blocks(self, np.arange(self.nobs))])
        columns = {"row": self.design.rows, "elpd": elpd, "p": lppd - elpd, "ic": -2 * elpd, "fold": fold + 1}
        frame, se = pd.DataFrame(columns), monte_carlo_se(*influences)
        notes = refit_sentences(predicted.notes, len(held))
        return judged(self, "kfold", "row", frame, se, np.nan, notes)

    def pp_check(
        self,
        stat: str | Callable[[np.ndarray], Any] | Iterable[Any] | None = None,
        group: str | None = None,
        *,
        draws: int | None = None,
        prob: float = 0.9,
        seed: int | None = None,
    ) -> pd.DataFrame:
        """Posterior predictive checks: a statistic of the response beside that of replicated data.

        Parameters
        ----------
        stat
            "mean", "median", "sd", "var", "min", "max", "iqr", "skewness", "kurtosis", "zeros" (share of zeros),
            "dispersion" (variance over mean), a percentile such as "q10", a function from y, shape (n,), to a number,
            or several of these. If None mean, sd, min and max; of categories the share of each. Of binomials with
            several trials they are about the shares of successes.
        group
            A grouping factor or column: a check of each of its levels.
        draws
            How many draws to use; all if None.
        prob
            Probability of the central intervals.
        seed
            Of the replicated data; the fit's own if None.

        Returns
        -------
        DataFrame
            stat (level, n), y, y_rep, conf_low, conf_high, p_value; see `bayesmlm.replicates.check_frame`.
        """
        own = self.settings.seed if seed is None else seed
        chosen = None if group is None else grouping(self.design, group)
        return check_frame(self.design, self.posterior, stat, chosen, draws, prob, own)

    def pp_check_counts(
        self, *, draws: int | None = None, prob: float = 0.9, seed: int | None = None
    ) -> pd.DataFrame:
        """Posterior predictive check of counts or categories: how often each value occurs, and in replicated data.

        Parameters
        ----------
        draws, prob, seed
            As for `pp_check`.

        Returns
        -------
        DataFrame
            value, y, y_rep, conf_low, conf_high; see `bayesmlm.replicates.count_frame`. `plot_ppc` draws it.

        Raises
        ------
        DataError
            For other responses.
        """
        own = self.settings.seed if seed is None else seed
        return count_frame(self.design, self.posterior, draws, prob, own)

    def pp_check_draws(self, draws: int | None = 50, *, seed: int | None = None) -> np.ndarray:
        """Replicated responses y_rep of the rows of the fit, shape (draws, nobs); all draws if None."""
        own = self.settings.seed if seed is None else seed
        return np.concatenate(list(replicates(self.design, self.posterior, draws, own)))


def _checked_rows(rows: Iterable[int], n: int) -> np.ndarray:
    chosen = np.asarray(list(rows))
    if not len(chosen) or chosen.dtype.kind not in "iu" or chosen.min() < 0 or chosen.max() >= n:
        raise DataError(f"rows are whole numbers from 0 to {n - 1}, the rows of the fit")
    return chosen


def _check_threshold(value: Any) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float | np.number)):
        raise DataError(f"k_threshold = {value!r}: give a number such as 0.7")


# -- comparison ------------------------------------------------------------------------------------


def loo_compare(
    *models: Criticism | PredictiveAccuracy | Mapping[str, Criticism | PredictiveAccuracy],
    names: Iterable[str] | None = None,
    method: str = "loo",
    group: str | None = None,
) -> Report:
    """Compare models by how well they predict, the best first.

    Parameters
    ----------
    models
        Fits, or what their `loo`, `waic` or `kfold` returned; or one dict of these by name.
    names
        One per model; their formulas if None.
    method
        "loo" or "waic", for the fits among `models`.
    group
        For "loo": leave out whole levels of this factor.

    Returns
    -------
    Report
        Prints as a table; ``.frame`` has elpd_diff and se_diff to the best model, paired by row (or level), elpd, p,
        ic with standard errors, and a verdict in words. See `bayesmlm.predictive_fit.comparison_frame`.

    Raises
    ------
    DataError
        For fewer than two models; models of different rows or responses, or judged by different methods. (Models of
        y and of log(y), functions of one column, are compared by their densities of y.)
    """
    if method not in ("loo", "waic"):
        more = "; for folds compare fit.kfold(seed=1) of each" if method == "kfold" else ""
        raise DataError(
            f"method = {method!r}: choose 'loo' or 'waic'{more}.{did_you_mean(str(method), ['loo', 'waic'])}"
        )
    judged_by_name = {}
    for name, model in _named_models(models, names).items():
        if isinstance(model, Criticism):
            model = model.waic() if method == "waic" else model.loo(group)
        judged_by_name[name] = model.accuracy
    responses = [one.response for one in judged_by_name.values()]
    first = next(iter(on_one_scale(judged_by_name).values()))
    frame = comparison_frame(judged_by_name)
    return loo_comparison_report(frame, first.method, first.unit, responses, first.response)


def _named_models(models: tuple[Any, ...], names: Iterable[str] | None) -> dict[str, Any]:
    if len(models) == 1 and isinstance(models[0], Mapping):
        names, models = [*models[0]], tuple(models[0].values())
    for model in models:
        if not isinstance(model, Criticism | PredictiveAccuracy):
            kind = type(model).__name__
            raise DataError(
                f"loo_compare() takes fits of bm.fit, or what loo(), waic() or kfold() return, not {kind}"
            )
    if len(models) < 2:
        raise DataError("loo_compare() takes two models or more")
    if names is not None:
        given = list(names)
        if len(given) != len(models) or len(set(given)) < len(given):
            raise DataError(f"names: give {len(models)} different names, one per model")
        return dict(zip(map(str, given), models, strict=True))
    formulas = [m.formula for m in models]
    made = [f if formulas.count(f) == 1 else f"{f} ({i + 1})" for i, f in enumerate(formulas)]
    return dict(zip(made, models, strict=True))
