"""What a table of several models shows of one of them: coefficients, variance components, shares, sizes, criteria.

Every function returns rows with the columns of `COLUMNS`; raw numbers, nothing is rounded. ``part`` is one of `PARTS`:

fixed
    Fixed effects; ``term`` is R's name.
random
    ``sd__x`` and ``cor__x.y`` of a ``group``, ``sd__Observation`` of the group ``Residual``, and other auxiliary
    parameters of the family, such as ``reciprocal_dispersion``, of no group.
share
    ``icc`` of a group; ``r2_marginal`` and ``r2_conditional``, or ``r2`` and ``r2_adjusted`` of a linear model.
size
    ``nobs``, ``ngroups`` of a group, ``draws``.
fit
    ``log_lik``, ``aic``, ``bic``, ``deviance``, ``reml_criterion``, ``elpd_loo``, ``elpd_waic``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.design import Design
from bayesmlm.draws import Posterior
from bayesmlm.errors import BayesMLMError, did_you_mean
from bayesmlm.link_scale import auxiliary_draws, has_link_residual, residual_draws_on_link
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.reference.glmm.estimate import GlmerEstimate
from bayesmlm.reference.pooling import LinearEstimate
from bayesmlm.tables import flat, icc_draws, mad_sd, reference_icc
from bayesmlm.variance import VarianceParts, is_overdispersion, variance_parts

COLUMNS = ["part", "group", "term", "estimate", "std_error", "conf_low", "conf_high", "p_value"]
PARTS = ("fixed", "random", "share", "size", "fit")
# The terms of each statistic's rows.
TERMS = {
    "icc": ("icc",),
    "r2": ("r2_marginal", "r2_conditional", "r2", "r2_adjusted"),
    "nobs": ("nobs",),
    "ngroups": ("ngroups",),
    "draws": ("draws",),
    "loglik": ("log_lik",),
    "aic": ("aic",),
    "bic": ("bic",),
    "deviance": ("deviance",),
    "reml": ("reml_criterion",),
    "loo": ("elpd_loo",),
    "waic": ("elpd_waic",),
}
STATISTICS = tuple(TERMS)
DEFAULT_STATISTICS = ("icc", "r2", "nobs", "ngroups", "draws", "loglik", "aic", "bic", "reml")


def checked_statistics(stats: Any) -> tuple[str, ...]:
    """Return the statistics asked for; ``"default"`` stands for the usual ones.

    Raises
    ------
    BayesMLMError
        For a name that is none of `STATISTICS`.
    """
    asked = [stats] if isinstance(stats, str) else list(stats)
    chosen: list[str] = []
    for name in asked:
        if name == "default":
            chosen += DEFAULT_STATISTICS
        elif name in STATISTICS:
            chosen.append(name)
        else:
            known = ", ".join(map(repr, ("default", *STATISTICS)))
            hint = did_you_mean(str(name), STATISTICS)
            raise BayesMLMError(f"stats: there is no {name!r}; choose from {known}.{hint}")
    return tuple(dict.fromkeys(chosen))


# -- coefficients and variance components ------------------------------------------------------------


def parameter_rows(tidy: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """Turn a tidy frame's fixed effects, standard deviations, correlations and auxiliary parameters into rows.

    Parameters
    ----------
    tidy
        As `tables.tidy_posterior`, `tables.tidy_reference` or `linear.LinearFit.tidy` return it.
    labels
        What each block is called in the table; see `block_labels`.
    """
    frame = tidy.reindex(columns=["effect", *COLUMNS[1:]])
    parts = {"fixed": "fixed", "ran_pars": "random", "auxiliary": "random"}
    frame = frame.assign(part=frame["effect"].map(parts))
    named = frame["group"].map(lambda g: labels.get(g, g))
    return frame.assign(group=named)[COLUMNS]


def block_labels(design: Design) -> dict[str, str]:
    """Return for each block's label its grouping factor, or the label where two blocks share a column.

    So the standard deviations of ``(x || g)`` stand in the rows of those of ``(x | g)``.
    """
    labels = {}
    for block in design.blocks:
        others = [b for b in design.blocks if b.group == block.group and b is not block]
        shared = any(set(b.columns) & set(block.columns) for b in others)
        labels[block.label] = block.label if shared else block.group
    return labels


# -- shares of variance ------------------------------------------------------------------------------


def posterior_shares(
    design: Design, posterior: Posterior, prob: float, labels: Mapping[str, str]
) -> pd.DataFrame:
    """Posterior median, MAD_SD and central interval of the ICC of each group and of both R2."""
    rows: list[tuple[str, str | None, np.ndarray]] = []
    if has_link_residual(design):
        gaussian = design.family.is_gaussian_identity
        icc = icc_draws(posterior, None if gaussian else residual_draws_on_link(design, posterior))
        names = [labels.get(label, label) for label in icc["group"].values.tolist()]
        single = {labels.get(b.label, b.label) for b in design.blocks if is_overdispersion(design, b)}
        rows = [("icc", name, flat(icc)[:, j]) for j, name in enumerate(names) if name not in single]
        parts = posterior_variance(design, posterior)
        rows += [("r2_marginal", None, parts.marginal_r2.ravel())]
        rows += [("r2_conditional", None, parts.conditional_r2.ravel())]
    ends = [(1 - prob) / 2, (1 + prob) / 2]
    found = [
        (
            "share",
            group,
            term,
            np.median(x),
            mad_sd(x),
            *np.quantile(x, ends),
            np.nan,
        )
        for term, group, x in rows
    ]
    return _frame(found)


def posterior_variance(design: Design, posterior: Posterior) -> VarianceParts:
    """Divide the variance of a row, draw by draw; see `bayesmlm.variance`."""
    covariances = [b.cov.values.reshape(-1, *b.cov.shape[2:]) for b in posterior.blocks]
    values = auxiliary_draws(posterior)
    return variance_parts(design, flat(posterior.fixef), covariances, values.pop("sigma", None), values)


def reference_shares(design: Design, estimate: LmerEstimate, labels: Mapping[str, str]) -> pd.DataFrame:
    """ICC of each group and Nakagawa's R2 of a reference fit."""
    rows = [
        _value("share", "icc", v, labels.get(str(g), str(g)))
        for g, v in reference_icc(estimate.varcorr).items()
    ]
    covariances = [b.cov for b in estimate.varcorr.blocks]
    parts = variance_parts(design, estimate.beta, covariances, estimate.sigma)
    rows += [_value("share", "r2_marginal", float(parts.marginal_r2))]
    rows += [_value("share", "r2_conditional", float(parts.conditional_r2))]
    return _frame(rows)


def share_rows(icc: pd.Series, r2: pd.Series, labels: Mapping[str, str]) -> pd.DataFrame:
    """ICC of each group, and marginal and conditional R2, of a fit that has them as numbers."""
    rows = [_value("share", "icc", v, labels.get(str(g), str(g))) for g, v in icc.items()]
    return _frame([*rows, *(_value("share", f"r2_{name}", v) for name, v in r2.items())])


def linear_sigma(estimate: LinearEstimate) -> pd.DataFrame:
    """Residual standard deviation of a linear model, under the name it has in multilevel models."""
    return _frame([_value("random", "sd__Observation", estimate.sigma, "Residual")])


def linear_shares(estimate: LinearEstimate) -> pd.DataFrame:
    """R2 and adjusted R2 of a linear model."""
    return _frame([_value("share", "r2", estimate.r2), _value("share", "r2_adjusted", estimate.adj_r2)])


# -- sizes and criteria ------------------------------------------------------------------------------


def size_rows(nobs: int, ngroups: Mapping[str, int], draws: int | None = None) -> pd.DataFrame:
    """Numbers of rows, of levels per grouping factor, and of draws."""
    rows = [_value("size", "nobs", nobs)]
    rows += [_value("size", "ngroups", count, group) for group, count in ngroups.items()]
    return _frame(rows if draws is None else [*rows, _value("size", "draws", draws)])


def criterion_rows(estimate: LmerEstimate | GlmerEstimate | LinearEstimate) -> pd.DataFrame:
    """Log-likelihood, AIC, BIC, and of a multilevel model the REML criterion or the deviance.

    R's deviance of a linear model is another thing, a sum of squares, and left out.
    """
    values = {"log_lik": estimate.loglik, "aic": estimate.aic, "bic": estimate.bic}
    if not isinstance(estimate, LinearEstimate):
        values["reml_criterion" if estimate.reml else "deviance"] = estimate.criterion
    return _frame([_value("fit", term, value) for term, value in values.items()])


def elpd_row(term: str, elpd: float, se: float) -> pd.DataFrame:
    """Expected log predictive density by ``elpd_loo`` or ``elpd_waic``, with its standard error."""
    return _frame([("fit", None, term, elpd, se, np.nan, np.nan, np.nan)])


def _value(part: str, term: str, value: float, group: str | None = None) -> tuple:
    return (part, group, term, float(value), np.nan, np.nan, np.nan, np.nan)


def _frame(rows: Sequence[tuple]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.astype(dict.fromkeys(COLUMNS[3:], float) | dict.fromkeys(COLUMNS[:3], object))


# -- several models ----------------------------------------------------------------------------------


def stacked(models: Mapping[str, Sequence[pd.DataFrame]], statistics: Sequence[str]) -> pd.DataFrame:
    """Stack the rows of several models, model by model, each in the order in which a table shows them.

    Of shares, sizes and criteria only `statistics` are kept.

    Returns
    -------
    DataFrame
        Columns model and `COLUMNS`.
    """
    frames = [pd.concat(rows, ignore_index=True).assign(model=name) for name, rows in models.items()]
    frame = pd.concat(frames, ignore_index=True)[["model", *COLUMNS]]
    terms = [term for name in statistics for term in TERMS[name]]
    frame = frame[frame["part"].isin(["fixed", "random"]) | frame["term"].isin(terms)]
    order = {key: i for i, key in enumerate(row_order(frame))}
    models_at = {name: i for i, name in enumerate(models)}
    place = [(models_at[m], order[key]) for m, key in zip(frame["model"], row_keys(frame), strict=True)]
    frame = frame.iloc[sorted(range(len(place)), key=place.__getitem__)].reset_index(drop=True)
    return frame.assign(group=[g or None for _, g, _ in row_keys(frame)])


def row_keys(frame: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Return (part, group, term) of each row; the group is "" where there is none."""
    return list(zip(frame["part"], frame["group"].fillna(""), frame["term"], strict=True))


def row_order(frame: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Return the distinct rows of a frame of several models in the order in which a table shows them.

    That is the order of the models: a row that a later model adds stands after those of the earlier ones. But the
    standard deviations and then the correlations of a group stay together, and sigma comes last; shares, sizes and
    criteria have the order of `TERMS`.
    """
    keys = list(dict.fromkeys(row_keys(frame)))
    groups = list(dict.fromkeys(g for part, g, _ in keys if part == "random" and g != "Residual"))
    terms = [t for names in TERMS.values() for t in names]

    def place(key: tuple[str, str, str]) -> tuple[int, int, bool]:
        part, group, term = key
        if part == "random":
            at = groups.index(group) if group in groups else len(groups)
        else:
            at = 0 if part == "fixed" else terms.index(term)
        return PARTS.index(part), at, term.startswith("cor__") and part == "random"

    return sorted(keys, key=place)  # stable: equals stay in the models' order
