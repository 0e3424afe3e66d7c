"""Does the model make data like those observed? Statistics of replicated data beside that of the response."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.design import Design
from bayesmlm.draws import Posterior
from bayesmlm.errors import DataError, did_you_mean
from bayesmlm.families import draw
from bayesmlm.folds import Grouping
from bayesmlm.left_out import CELLS, known_mean, known_parameters, long_draws, rows_of_fit

Statistic = Callable[[np.ndarray], Any]


def _moment(power: int) -> Statistic:
    def statistic(y: np.ndarray) -> np.ndarray:
        centred = y - y.mean(axis=-1, keepdims=True)
        return (centred**power).mean(axis=-1) / (centred**2).mean(axis=-1) ** (power / 2)

    return statistic


def _of_rows(function: Callable[..., Any], **options: Any) -> Statistic:
    return lambda y: function(y, axis=-1, **options)


def _variance(y: np.ndarray) -> np.ndarray:
    centred = y - y.mean(axis=-1, keepdims=True)
    return (centred**2).sum(axis=-1) / np.float64(y.shape[-1] - 1)  # not defined for one row: NaN


# Statistics by name: of the last axis of an array, all data sets at once.
STATISTICS: dict[str, Statistic] = {
    "mean": _of_rows(np.mean),
    "median": _of_rows(np.median),
    "sd": lambda y: np.sqrt(_variance(y)),
    "var": _variance,
    "min": _of_rows(np.min),
    "max": _of_rows(np.max),
    "iqr": lambda y: np.subtract(*np.quantile(y, (0.75, 0.25), axis=-1)),
    "skewness": _moment(3),
    "kurtosis": _moment(4),
    "zeros": lambda y: (y == 0).mean(axis=-1),
    "dispersion": lambda y: _variance(y) / y.mean(axis=-1),
}
DEFAULT = ("mean", "sd", "min", "max")
COUNTED = {"count", "binomial", "ordinal", "categorical"}
MOST_VALUES = 40  # values of a count with a row each; beyond, ranges of values


def replicates(
    design: Design, posterior: Posterior, draws: int | None = None, seed: int = 0
) -> Iterator[np.ndarray]:
    """Yield replicated responses of the rows of a fit, y_rep ~ N(X beta + offset + Z b, sigma^2 / w).

    Those of other families are drawn from these: numbers of successes of a binomial, positions of categories.

    Parameters
    ----------
    design, posterior
        The model and its draws.
    draws
        How many draws to use, chosen at random; all of them, in order, if None.
    seed
        Of the choice and of the noise.

    Yields
    ------
    ndarray, shape (draws at a time, n)

    Raises
    ------
    DataError
        If `draws` is not a whole number from 1 to the posterior sample size.
    """
    rng = np.random.default_rng(seed)
    every, rows = long_draws(design, posterior), rows_of_fit(design)
    if draws is not None:
        if isinstance(draws, bool) or not isinstance(draws, int | np.integer) or not 1 <= draws <= len(every):
            raise DataError(f"draws = {draws!r}: give a whole number from 1 to {len(every)}")
        every = every.take(np.sort(rng.choice(len(every), draws, replace=False)))
    step = max(1, CELLS // len(rows))
    for start in range(0, len(every), step):
        part = every.take(slice(start, start + step))
        if not design.family.is_gaussian_identity or design.others:
            weights = design.weights if design.family.name == "gaussian" else None
            eta = known_mean(rows, part)
            yield draw(design.family, eta, known_parameters(rows, part), rng, design.trials, weights)
            continue
        noise = rng.standard_normal((len(part), len(rows)))
        yield known_mean(rows, part) + part.sigma[:, None] * noise / np.sqrt(rows.weights)


def check_frame(
    design: Design,
    posterior: Posterior,
    stat: str | Statistic | Iterable[str | Statistic] | None,
    group: Grouping | None,
    draws: int | None,
    prob: float,
    seed: int,
) -> pd.DataFrame:
    """Compare statistics of the response with those of replicated responses.

    Of a binomial with several trials they are statistics of the shares of successes. Of categories they are the shares
    of the rows in each, ``P(<category>)``, unless a function of the positions of categories is given.

    Returns
    -------
    DataFrame
        One row per statistic (and level of `group`): stat (and level, n); ``y``, the statistic T(y) of the response;
        ``y_rep``, the median of T(y_rep); ``conf_low``, ``conf_high``, their central interval; ``p_value`` =
        P(T(y_rep) >= T(y) | y) (Gelman et al., Bayesian Data Analysis, 3rd edition, section 6.3). NaN where a
        statistic is not defined, as the sd of one row.

    Raises
    ------
    DataError
        For an unknown statistic, one that does not give one number, or a `prob` that is not between 0 and 1.
    """
    if not isinstance(prob, float) or not 0 < prob < 1:
        raise DataError(f"prob = {prob!r}: give a number between 0 and 1")
    named = _statistics_of(design, stat)
    parts = (
        [slice(None)]
        if group is None
        else [np.flatnonzero(group.index == g) for g in range(len(group.levels))]
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = _all(named, parts, observed_values(design, design.y[None]))[0]
        found = [
            _all(named, parts, observed_values(design, y_rep))
            for y_rep in replicates(design, posterior, draws, seed)
        ]
    rep = np.concatenate(found)  # (draw, statistic, part)
    low, mid, high = np.quantile(rep, [(1 - prob) / 2, 0.5, (1 + prob) / 2], axis=0)
    p = np.where(np.isfinite(observed) & np.isfinite(rep).all(axis=0), (rep >= observed).mean(axis=0), np.nan)
    columns: dict[str, Any] = {"stat": np.repeat(list(named), len(parts))}
    if group is not None:
        columns["level"] = list(group.levels) * len(named)
        columns["n"] = np.tile(np.bincount(group.index, minlength=len(parts)), len(named))
    numbers = {"y": observed, "y_rep": mid, "conf_low": low, "conf_high": high, "p_value": p}
    return pd.DataFrame(columns | {name: values.ravel() for name, values in numbers.items()})


def count_frame(
    design: Design, posterior: Posterior, draws: int | None, prob: float, seed: int
) -> pd.DataFrame:
    """Compare how often each value occurs among the responses with how often it does among replicated ones.

    Returns
    -------
    DataFrame
        One row per value of a count, category, or 0 and 1: value (text; of many values a range, ``"20-24"``), y (rows
        with it), y_rep (their median number in replicated data), conf_low, conf_high.

    Raises
    ------
    DataError
        For responses that are not counts or categories.
    """
    if not isinstance(prob, float) or not 0 < prob < 1:
        raise DataError(f"prob = {prob!r}: give a number between 0 and 1")
    if not has_counted_values(design):
        raise DataError(
            f"{design.response} is not a count or a category, so that values do not repeat: pp_check() and plot_ppc() "
            "compare its distribution"
        )
    sets = np.concatenate(list(replicates(design, posterior, draws, seed)))
    if design.response_levels:
        starts, names = np.arange(len(design.response_levels)), list(design.response_levels)
    else:
        most = int(max(design.y.max(), np.quantile(sets, 0.999)))
        width = -(-(most + 1) // MOST_VALUES)
        starts = np.arange(0, most + 1, width)
        names = [f"{a}" if width == 1 else f"{a}-{a + width - 1}" for a in starts]
        names[-1] += "" if sets.max() <= most else "+"

    def counts(y: np.ndarray) -> np.ndarray:
        return np.bincount(np.searchsorted(starts, y, side="right") - 1, minlength=len(starts))

    made = np.array([counts(y) for y in sets])
    low, middle, high = np.quantile(made, [(1 - prob) / 2, 0.5, (1 + prob) / 2], axis=0)
    numbers = {"y": counts(design.y), "y_rep": middle, "conf_low": low, "conf_high": high}
    return pd.DataFrame({"value": names, **numbers})


def has_counted_values(design: Design) -> bool:
    """Whether responses are counts, 0 and 1, or categories; not numbers of successes of several trials."""
    return design.trials is None and design.family.support in COUNTED


def observed_values(design: Design, y: np.ndarray) -> np.ndarray:
    """Return responses (..., n) as they are looked at: of binomials with several trials the shares of successes."""
    return y if design.trials is None else y / design.trials


def _statistics_of(
    design: Design, stat: str | Statistic | Iterable[str | Statistic] | None
) -> dict[str, Statistic]:
    if not (design.family.is_ordinal or design.family.is_categorical):
        return named_statistics(DEFAULT if stat is None else stat)
    if stat is None:
        return {f"P({level})": _share_of(code) for code, level in enumerate(design.response_levels)}
    listed = [stat] if isinstance(stat, str) or callable(stat) else list(stat)
    if not all(callable(one) for one in listed):
        raise DataError(
            f"stat = {stat!r}: {design.response} is a category; leave stat out for the share of each, or give a "
            "function of the categories' positions 0, 1, ..."
        )
    return named_statistics(stat)


def _share_of(code: int) -> Statistic:
    return lambda y: (y == code).mean(axis=-1)


def named_statistics(stat: str | Statistic | Iterable[str | Statistic]) -> dict[str, Statistic]:
    """Return statistics by name; one of the caller's gets one data set, shape (n,), at a time."""
    listed = [stat] if isinstance(stat, str) or callable(stat) else list(stat)
    found: dict[str, Statistic] = {}
    for i, one in enumerate(listed):
        if callable(one):
            found[_free_name(getattr(one, "__name__", f"stat_{i + 1}"), found)] = _by_data_set(one)
            continue
        if one in STATISTICS:
            found[one] = STATISTICS[one]
            continue
        q = _percent(one)
        if q is None:
            known = [*STATISTICS, "q10"]
            raise DataError(
                f"stat = {one!r}: choose {', '.join(STATISTICS)}, a percentile such as 'q10', or give a function of y."
                f"{did_you_mean(str(one), known)}"
            )
        found[one] = _of_rows(np.quantile, q=q / 100)
    if not found:
        raise DataError("stat is empty: name a statistic, such as 'mean'")
    return found


def _free_name(name: str, taken: dict[str, Statistic]) -> str:
    number = sum(t == name or t.startswith(f"{name}_") for t in taken)
    return f"{name}_{number + 1}" if name in taken else name


def _percent(name: Any) -> float | None:
    if not isinstance(name, str) or not name.startswith("q"):
        return None
    try:
        value = float(name[1:])
    except ValueError:
        return None
    return value if 0 <= value <= 100 else None


def _by_data_set(function: Statistic) -> Statistic:
    def statistic(values: np.ndarray) -> np.ndarray:
        results = [function(y) for y in values]
        if any(np.ndim(r) for r in results):
            name = getattr(function, "__name__", "stat")
            raise DataError(f"{name} must give one number for a data set y of shape (n,), not an array")
        return np.array(results, dtype=float)

    return statistic


def _all(named: dict[str, Statistic], parts: list[Any], y: np.ndarray) -> np.ndarray:
    """Every statistic of every part of each data set: (m, n) gives (m, statistic, part)."""
    return np.stack([np.stack([f(y[:, at]) for at in parts], axis=-1) for f in named.values()], axis=1)
