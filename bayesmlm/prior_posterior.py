"""Each parameter's prior beside its posterior: quantiles, and densities that respect the parameters' bounds."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
import xarray as xr

from bayesmlm.diagnostics import auxiliary_draws, auxiliary_range, auxiliary_values, variance_draws
from bayesmlm.draws import SAMPLE, Posterior
from bayesmlm.errors import BayesMLMError, did_you_mean
from bayesmlm.tables import check_probability, flat, variance_terms

BINS = 4096
WIDEST = 12.0  # widths of the posterior to which a panel goes where the prior is wider still


def parameter_rows(posterior: Posterior) -> pd.DataFrame:
    """Name the parameters that priors are about: parameter, and broom.mixed's effect, group, term; their bounds.

    Fixed effects, standard deviations, correlations, sigma and other auxiliary parameters; group effects are left
    out.
    """
    names = [str(c) for c in posterior.fixef["coefficient"].values]
    rows: list[tuple] = [(name, "fixed", None, name, -np.inf, np.inf) for name in names]
    for group, term in variance_terms(posterior.blocks):
        low, high = (0.0, np.inf) if term.startswith("sd__") else (-1.0, 1.0)
        rows.append((f"{term} ({group})", "ran_pars", group, term, low, high))
    for name in auxiliary_values(posterior):
        place = ("ran_pars", "Residual", "sd__Observation") if name == "sigma" else ("auxiliary", None, name)
        rows.append((name, *place, *auxiliary_range(name)))
    return pd.DataFrame(rows, columns=["parameter", "effect", "group", "term", "lower", "upper"])


def parameter_values(posterior: Posterior) -> xr.DataArray:
    """Stack the draws of the parameters of `parameter_rows` as (chain, draw, parameter)."""
    parts = [posterior.fixef.values, variance_draws(posterior).values]
    parts.append(auxiliary_draws(posterior).values)
    names = parameter_rows(posterior)["parameter"].tolist()
    return xr.DataArray(
        np.concatenate(parts, axis=-1), dims=(*SAMPLE, "parameter"), coords={"parameter": names}
    )


def choose_rows(
    rows: pd.DataFrame, pars: str | Iterable[str] | None, at_most: int | None = None
) -> pd.DataFrame:
    """Return the rows of the parameters asked for; of None all, or the first `at_most`.

    Raises
    ------
    BayesMLMError
        For a name that is not a parameter, with a suggestion.
    """
    if pars is None:
        return rows.head(len(rows) if at_most is None else at_most)
    asked = [pars] if isinstance(pars, str) else list(pars)
    known = rows["parameter"].tolist()
    for name in asked:
        if name not in known:
            hint = did_you_mean(str(name), known) or f" There are {', '.join(known)}."
            raise BayesMLMError(f"no parameter {name!r}.{hint}")
    if not asked:
        raise BayesMLMError("pars is empty: name parameters, or leave it out for all")
    return rows.set_index("parameter").loc[list(dict.fromkeys(asked))].reset_index()


def prior_posterior_table(
    prior: Posterior, posterior: Posterior, pars: str | Iterable[str] | None = None, prob: float = 0.9
) -> pd.DataFrame:
    """Return medians and central intervals of prior and posterior, one row per parameter.

    Parameters
    ----------
    prior, posterior
        Draws of one model.
    pars
        Parameters, as column ``parameter`` names them; all if None.
    prob
        Probability of the intervals.

    Returns
    -------
    DataFrame
        Columns parameter, effect, group, term; prior_median, prior_low, prior_high; posterior_median, posterior_low,
        posterior_high; narrowing, 1 - width of the posterior's interval / width of the prior's: 0 where the data say
        nothing, near 1 where they say all; negative where the posterior is the wider one: prior and data disagree.
    """
    level = check_probability(prob, "prob")
    rows = choose_rows(parameter_rows(posterior), pars)
    out = rows[["parameter", "effect", "group", "term"]].copy()
    probabilities = [0.5, (1 - level) / 2, (1 + level) / 2]
    for kind, draws in (("prior", prior), ("posterior", posterior)):
        values = flat(parameter_values(draws).sel(parameter=rows["parameter"].tolist()))
        for end, quantile in zip(
            ("median", "low", "high"), np.quantile(values, probabilities, axis=0), strict=True
        ):
            out[f"{kind}_{end}"] = quantile
    width = {k: out[f"{k}_high"] - out[f"{k}_low"] for k in ("prior", "posterior")}
    return out.assign(narrowing=1 - width["posterior"] / width["prior"])


def prior_posterior_densities(
    prior: Posterior,
    posterior: Posterior,
    pars: str | Iterable[str] | None = None,
    points: int = 256,
    at_most: int | None = None,
) -> pd.DataFrame:
    """Return density estimates of prior and posterior on a common grid for each parameter.

    The grid covers the posterior and the central 90% of the prior, but not more than 12 widths of the posterior. At
    the bounds of standard deviations (0) and correlations (-1, 1) the estimate is corrected by reflection.

    Parameters
    ----------
    prior, posterior
        Draws of one model.
    pars
        Parameters, as column ``parameter`` names them; all if None.
    points
        Size of the grid.
    at_most
        Of all parameters the first so many.

    Returns
    -------
    DataFrame
        Columns parameter, effect, group, term, source ("prior" or "posterior"), value, density.
    """
    rows = choose_rows(parameter_rows(posterior), pars, at_most)
    chosen = rows["parameter"].tolist()
    values = {"prior": prior, "posterior": posterior}
    draws = {k: flat(parameter_values(v).sel(parameter=chosen)) for k, v in values.items()}
    parts = []
    for j, row in enumerate(rows.itertuples()):
        low, high = _window(draws["prior"][:, j], draws["posterior"][:, j], row.lower, row.upper)
        grid = np.linspace(low, high, points)
        for source in ("prior", "posterior"):
            parts.append(
                pd.DataFrame(
                    {
                        "parameter": row.parameter,
                        "effect": row.effect,
                        "group": row.group,
                        "term": row.term,
                        "source": source,
                        "value": grid,
                        "density": bounded_density(draws[source][:, j], grid, row.lower, row.upper),
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


def _window(prior: np.ndarray, posterior: np.ndarray, lower: float, upper: float) -> tuple[float, float]:
    """Return from where to where densities are worth showing."""
    if np.isfinite(lower) and np.isfinite(upper):
        return lower, upper
    first, last = np.quantile(posterior, [0.001, 0.999])
    room = (WIDEST - 1) / 2 * (last - first)
    wide = np.quantile(prior, [0.05, 0.95])
    low, high = max(min(wide[0], first), first - room), min(max(wide[1], last), last + room)
    margin = 0.04 * (high - low)
    # a bound that is near is shown: only there can one see whether the posterior reaches it
    low = lower if np.isfinite(lower) and low - lower < 0.25 * (high - lower) else max(low - margin, lower)
    return float(low), float(min(high + margin, upper))


def bounded_density(values: np.ndarray, grid: np.ndarray, lower: float, upper: float) -> np.ndarray:
    """Kernel density estimate at `grid` of a variable that lies between `lower` and `upper`.

    Gaussian kernel, bandwidth 0.9 min(sd, IQR / 1.349) n^(-1/5) (Silverman 1986, equation 3.31); mass that the kernel
    puts beyond a bound is reflected there (his section 2.10).
    """
    n = len(values)
    quartiles = np.quantile(values, [0.25, 0.75])
    spread = min(values.std(ddof=1), (quartiles[1] - quartiles[0]) / 1.349) or values.std(ddof=1)
    step = float(grid[1] - grid[0])
    h = max(0.9 * spread * n**-0.2, 0.5 * step)
    low, high = max(lower, grid[0] - 5 * h), min(upper, grid[-1] + 5 * h)
    counts, edges = np.histogram(values, BINS, (low, high))
    centres = (edges[1:] + edges[:-1]) / 2
    used = counts > 0
    weights, places = counts[used] / (n * h * np.sqrt(2 * np.pi)), centres[used]
    images = [places, *(2 * bound - places for bound in (lower, upper) if np.isfinite(bound))]
    return sum(np.exp(-0.5 * ((grid[:, None] - image) / h) ** 2) @ weights for image in images)
