"""What a posterior predicts: for the rows of the fit, for new rows of known groups, for new groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesmlm.changes import Wanted, required_changes
from bayesmlm.errors import DataError
from bayesmlm.fits.base import Sampled
from bayesmlm.outcome import outcome_of
from bayesmlm.predicted import (
    Asked,
    augment_posterior,
    error_array,
    expected_array,
    expected_frame,
    expected_values,
    linear_array,
    response_array,
    response_quantiles,
    target_of,
)
from bayesmlm.predicting import sample_of


class Predictions(Sampled):
    """A fit that predicts.

    The methods share these parameters.

    newdata
        A data frame with the columns right of the tilde; it needs no response. The rows of the fit if None. A row with
        a missing predictor has missing predictions.
    re_formula
        Group effects to include: all (None), none (``"~0"``), or those of ``"~ (1 | school)"``. Those left out are 0,
        which is what a group in the middle of the others has.
    draws
        How many posterior draws to use, evenly spaced: at least so many, the same number of each chain. All if None.
    seed
        Of the effects of new groups and of residuals; the fit's own if None, so that a call gives the same numbers each
        time, and a new group has the same effects in all calls.
    allow_new_levels
        Whether groups may occur that the fit has not seen. In each draw such a group has its own effects, from
        N(0, Sigma) with that draw's Sigma, the same for all its rows: a new class in a known school keeps the school's
        effects and draws the class's. Rows whose group is missing are of one new group, "NA".
    offset, exposure, weights
        Columns or numbers for new rows in the place of those given to the fit.
    trials
        Numbers of trials of new rows of a binomial model: a column or numbers. If None they are taken from the columns
        of ``cbind(successes, failures)`` or the weights of a proportion, if `newdata` has them; 1 if all rows of the
        fit have one trial.
    back_transform
        For a response such as ``log(y)``: predictions of y itself. It may be a logarithm (``log``, ``log10``, ``log2``,
        ``log1p``, ``log(y, base)``) or ``sqrt``, of y or of multiples and sums with constants. Without effect where the
        response is not transformed.
    marginal
        Whether an expected response is the average over all groups, in each draw: group effects that `re_formula`
        leaves out and those of new groups are integrated over N(0, Sigma). It makes a difference to transformed
        responses and links: exp(eta) of the group in the middle is not the average of exp(eta) over groups.
    """

    def posterior_linpred(
        self,
        newdata: Any = None,
        re_formula: str | None = None,
        *,
        draws: int | None = None,
        seed: int | None = None,
        allow_new_levels: bool = True,
        offset: Any = None,
        exposure: Any = None,
        transform: bool = False,
    ) -> xr.DataArray:
        """Draws of the linear predictor, X beta + offset + Z b, on the scale of the link.

        Parameters
        ----------
        transform
            Give the expected response instead, as `posterior_epred`.
        newdata, re_formula, draws, seed, allow_new_levels, offset, exposure
            See `bayesmlm.fits.predictions.Predictions`.

        Returns
        -------
        DataArray (chain, draw, row)
            ``row`` is labelled by the index of `newdata`, or by the rows' positions in the data of the fit;
            ``.stack(sample=("chain", "draw"))`` gives one dimension of draws.

        Raises
        ------
        FormulaError, DataError
            For effects that are not in the model, missing columns, categories without a coefficient, new groups where
            they are not allowed, more draws than there are.
        """
        asked = Asked(newdata, re_formula, allow_new_levels, offset, exposure=exposure)
        sample, target = sample_of(self.design, self.posterior, draws), target_of(self.design, asked)
        if transform:
            return expected_array(sample, target, outcome_of(self.design, False), self._seed(seed))
        return linear_array(sample, target, self._seed(seed))

    def posterior_epred(
        self,
        newdata: Any = None,
        re_formula: str | None = None,
        *,
        draws: int | None = None,
        seed: int | None = None,
        allow_new_levels: bool = True,
        offset: Any = None,
        exposure: Any = None,
        weights: Any = None,
        back_transform: bool = False,
        marginal: bool = False,
    ) -> xr.DataArray:
        """Draws of the expected response, (chain, draw, row), fixed and group effects.

        Of Gaussian models `posterior_linpred`; of binomials the probability of success; of counts their mean; of
        categories the probability of each, (chain, draw, row, category). With `back_transform` they
        are means of y, draw by draw, not of its transformation: exp(eta + sigma^2 / 2) for ``log(y)``, eta^2 + sigma^2
        for ``sqrt(y)``; with `marginal`, sigma^2 + z'Sigma z in the place of sigma^2.

        Parameters
        ----------
        newdata, re_formula, draws, seed, allow_new_levels, offset, exposure, weights, back_transform, marginal
            See `bayesmlm.fits.predictions.Predictions`.

        Raises
        ------
        FormulaError, DataError
            As `posterior_linpred`; FormulaError for a transformation that cannot be undone.
        """
        asked = Asked(newdata, re_formula, allow_new_levels, offset, weights, marginal, exposure)
        sample, target = sample_of(self.design, self.posterior, draws), target_of(self.design, asked)
        return expected_array(sample, target, outcome_of(self.design, back_transform), self._seed(seed))

    def posterior_predict(
        self,
        newdata: Any = None,
        re_formula: str | None = None,
        *,
        draws: int | None = None,
        seed: int | None = None,
        allow_new_levels: bool = True,
        offset: Any = None,
        exposure: Any = None,
        weights: Any = None,
        trials: Any = None,
        back_transform: bool = False,
    ) -> xr.DataArray:
        """Draws of new responses, (chain, draw, row): the linear predictor plus a residual from N(0, sigma^2 / weight).

        With one seed, differences from `posterior_linpred` are the residuals. Of other families they are drawn from the
        distribution of the response: numbers of successes of a binomial, counts, names of categories.

        Parameters
        ----------
        newdata, re_formula, draws, seed, allow_new_levels, offset, exposure, weights, trials, back_transform
            See `bayesmlm.fits.predictions.Predictions`.
        """
        asked = Asked(
            newdata, re_formula, allow_new_levels, offset, weights, False, exposure, trials, responses=True
        )
        sample, target = sample_of(self.design, self.posterior, draws), target_of(self.design, asked)
        return response_array(sample, target, outcome_of(self.design, back_transform), self._seed(seed))

    def predictive_error(
        self,
        newdata: Any = None,
        re_formula: str | None = None,
        *,
        draws: int | None = None,
        seed: int | None = None,
        allow_new_levels: bool = True,
        offset: Any = None,
        exposure: Any = None,
        weights: Any = None,
    ) -> xr.DataArray:
        """Draws of the response less a new response of the same row, y - y_rep: rstanarm's ``predictive_error``.

        Of binomials numbers of successes. `newdata` has the response too.

        Parameters
        ----------
        newdata, re_formula, draws, seed, allow_new_levels, offset, exposure, weights
            See `bayesmlm.fits.predictions.Predictions`.

        Raises
        ------
        DataError
            For categories, whose difference is nothing; as `posterior_predict`.
        """
        asked = Asked(newdata, re_formula, allow_new_levels, offset, weights, False, exposure, responses=True)
        sample, target = sample_of(self.design, self.posterior, draws), target_of(self.design, asked)
        return error_array(self.design, sample, target, asked, self._seed(seed))

    def predictive_interval(
        self,
        newdata: Any = None,
        prob: float = 0.9,
        re_formula: str | None = None,
        *,
        draws: int | None = None,
        seed: int | None = None,
        allow_new_levels: bool = True,
        offset: Any = None,
        exposure: Any = None,
        weights: Any = None,
        trials: Any = None,
        back_transform: bool = False,
    ) -> pd.DataFrame:
        """Central intervals in which new responses fall with probability `prob`: columns "5%" and "95%", a row per row.

        Quantiles of `posterior_predict`, residuals included; ``predict(interval=0.9)`` is about the expected response.

        Parameters
        ----------
        prob
            Probability.
        newdata, re_formula, draws, seed, allow_new_levels, offset, exposure, weights, trials, back_transform
            See `bayesmlm.fits.predictions.Predictions`.
        """
        asked = Asked(
            newdata, re_formula, allow_new_levels, offset, weights, False, exposure, trials, responses=True
        )
        sample, target = sample_of(self.design, self.posterior, draws), target_of(self.design, asked)
        outcome = outcome_of(self.design, back_transform)
        return response_quantiles(sample, target, outcome, self._seed(seed), prob)

    def predict(
        self,
        newdata: Any = None,
        re_formula: str | None = None,
        *,
        se: bool = False,
        interval: float | None = None,
        point: str = "mean",
        draws: int | None = None,
        seed: int | None = None,
        allow_new_levels: bool = True,
        offset: Any = None,
        exposure: Any = None,
        weights: Any = None,
        back_transform: bool = False,
        marginal: bool = False,
    ) -> np.ndarray | pd.DataFrame:
        """Predict the expected response of each row.

        Parameters
        ----------
        se
            Return a frame, indexed by row, with columns estimate and std_error.
        interval
            Probability of a central interval of the expected response, such as 0.9: return a frame that has also
            conf_low and conf_high.
        point
            "mean": posterior means, and standard deviations of the draws. "median": medians and MAD_SD, which do not
            feel the long right tail that back-transformed draws have with few groups.
        newdata, re_formula, draws, seed, allow_new_levels, offset, exposure, weights, back_transform, marginal
            See `bayesmlm.fits.predictions.Predictions`.

        Returns
        -------
        ndarray, shape (n,), or DataFrame
            In posterior means the effects of new groups are averaged over, not drawn, so that they do not depend on
            the seed; std_error, intervals and medians are those of the draws of `posterior_epred`.
        """
        asked = Asked(newdata, re_formula, allow_new_levels, offset, weights, marginal, exposure)
        sample, target = sample_of(self.design, self.posterior, draws), target_of(self.design, asked)
        outcome, seed = outcome_of(self.design, back_transform), self._seed(seed)
        if not se and interval is None:
            return expected_values(self.design, sample, target, outcome, seed, point)
        return expected_frame(self.design, sample, target, outcome, seed, interval, point)

    def augment(self, newdata: Any = None, *, seed: int | None = None) -> pd.DataFrame:
        """The data with ``fitted``, ``se_fit``, ``resid``, ``fixed`` (the fixed part), as broom.mixed's ``augment``.

        See `bayesmlm.predicted.augment_posterior`.
        """
        return augment_posterior(
            self.design, sample_of(self.design, self.posterior), newdata, self._seed(seed)
        )

    def required_change(
        self,
        predictor: str,
        outcome_change: float | None = None,
        *,
        to: float | str | None = None,
        percent: float | None = None,
        newdata: Any = None,
        group: str | None = None,
        prob: float = 0.9,
        re_formula: str | None = None,
        draws: int | None = None,
        seed: int | None = None,
        allow_new_levels: bool = True,
        offset: Any = None,
        exposure: Any = None,
        weights: Any = None,
    ) -> pd.DataFrame:
        """How much a predictor would have to change for the expected response to change as wanted.

        Draw by draw, (wanted change of the linear predictor) / (slope of the linear predictor in the predictor). The
        slope takes in all columns in which the predictor occurs, interactions and group-varying slopes included; these
        have to be straight lines in it, or in its ``log``, ``log1p`` or ``sqrt``. It is what the model says of rows
        that differ in the predictor; whether a change would do the same is another question.

        Parameters
        ----------
        predictor
            A numeric column.
        outcome_change, to, percent
            One of them: by how much the expected response is to change, where it is to be, or by how many percent it is
            to change. All are on the response's own scale: that of y if the formula has ``log(y)`` (a rise by 5 percent
            is log(1.05) there). ``to="mean"`` is the mean of the responses of the fit.
        group
            A grouping factor: one row per level, for the average of its rows on the scale of the linear predictor. If
            None one row per row.
        prob
            Probability of the intervals.
        newdata, re_formula, draws, seed, allow_new_levels, offset, weights
            See `bayesmlm.fits.predictions.Predictions`.

        Returns
        -------
        DataFrame
            unit; current_value of the predictor; current_prediction, the expected response; target; required_change
            with conf_low and conf_high, in units of the predictor; required_percent with percent_low and percent_high,
            the same in percent of the current value (for a predictor in its log that is the change which does not
            depend on that value); required_value; within_range, whether it lies within the data of the fit;
            p_direction, the share of draws in which a change of this sign leads towards the target; crosses_zero,
            whether the interval of the slope includes 0. Medians and quantiles: a ratio whose denominator may be 0 has
            no mean, and where crosses_zero is true, no bounds at this `prob` either (Fieller 1954, Journal of the Royal
            Statistical Society B 16, 175-185). Infinite where no change is enough, as for a probability above 1.

        Raises
        ------
        FormulaError, DataError
            For a predictor that is not numeric, or in which the model is not a straight line; for a target that the
            response cannot have; as `posterior_linpred`.
        """
        asked = Asked(newdata, re_formula, allow_new_levels, offset, weights, exposure=exposure)
        wanted = Wanted.of(outcome_change, to, percent)
        sample, outcome = (
            sample_of(self.design, self.posterior, draws),
            outcome_of(self.design, back_transform=True),
        )
        return required_changes(
            self.design, sample, asked, outcome, predictor, wanted, group, prob, self._seed(seed)
        )

    def _seed(self, seed: int | None) -> int:
        if seed is None:
            return self.settings.seed
        if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
            raise DataError(f"seed = {seed!r}: give a whole number of at least 0")
        return int(seed)
