"""Convergence in numbers and in words: Rhat, effective sample sizes, divergences."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from bayesmlm.covariance import lower_indices, lower_pairs
from bayesmlm.draws import SAMPLE, Posterior

RHAT_LIMIT = 1.01  # Vehtari, Gelman, Simpson, Carpenter & Buerkner (2021), section 4
BFMI_LIMIT = 0.3  # Betancourt (2016), arXiv:1604.00695; Stan's diagnose
MEAN_PPD, LOG_POSTERIOR = "mean_PPD", "log-posterior"
FULLY_CHECKED = 200  # group effects; of more, those that look worst are
SUSPECTS = 20
BATCHES = 10  # per chain
ESS_PER_CHAIN = 100  # ibid.: 100 effective draws per chain make Rhat and the ESS itself reliable


def parameter_draws(posterior: Posterior, effects: bool = True) -> xr.DataArray:
    """Stack every parameter's draws as (chain, draw, parameter), named as rstanarm names them.

    The order is rstanarm's: fixed effects, group effects level by level (unless `effects` is False), sigma and other
    auxiliary parameters, Sigma (lower triangles column by column), mean_PPD (but of categories), log-posterior.
    """
    posterior = posterior.whole
    parts = [posterior.fixef.values]
    names = [str(c) for c in posterior.fixef["coefficient"].values]
    for block in posterior.blocks if effects else ():
        parts.append(block.b.values.reshape(*block.b.shape[:2], -1))
        names += [f"b[{c} {block.label}:{level}]" for level in block.levels for c in block.columns]
    for name, values in auxiliary_values(posterior).items():
        parts.append(values[..., None])
        names.append(name)
    for block in posterior.blocks:
        rows, cols = lower_indices(len(block.columns))
        parts.append(block.cov.values[..., rows, cols])
        pairs = zip(rows, cols, strict=True)
        names += [f"Sigma[{block.label}:{block.columns[i]},{block.columns[j]}]" for i, j in pairs]
    for name, draws in ((MEAN_PPD, posterior.mean_ppd), (LOG_POSTERIOR, posterior.sample_stats["lp"])):
        if name == LOG_POSTERIOR or not np.isnan(draws.values).all():
            parts.append(draws.values[..., None])
            names.append(name)
    return _stack(parts, names)


def auxiliary_values(posterior: Posterior) -> dict[str, np.ndarray]:
    """Return the draws (chain, draw) of each auxiliary parameter by name, sigma first.

    The elements of a vector are named with their labels: the thresholds of an ordinal model ``thresholds[1]``, ...
    """
    found = {} if posterior.sigma is None else {"sigma": posterior.sigma.values}
    for name, draws in posterior.auxiliary.items():
        if draws.ndim == len(SAMPLE):
            found[name] = draws.values
            continue
        flat = draws.values.reshape(*draws.shape[:2], -1)
        labels = draws[draws.dims[2]].values if draws.ndim == 3 and draws.dims[2] in draws.coords else None
        for k in range(flat.shape[2]):
            found[f"{name}[{k + 1 if labels is None else labels[k]}]"] = flat[..., k]
    return found


def auxiliary_range(name: str) -> tuple[float, float]:
    """Return the least and the greatest value that an auxiliary parameter can have."""
    if name.startswith("thresholds"):
        return -np.inf, np.inf
    return (0.0, 1.0) if name == "psi" else (0.0, np.inf)


def auxiliary_draws(posterior: Posterior) -> xr.DataArray:
    """Stack the auxiliary parameters, sigma first, as (chain, draw, parameter)."""
    found = auxiliary_values(posterior)
    empty = posterior.fixef.values[..., :0]
    return _stack([empty, *(v[..., None] for v in found.values())], list(found))


def _stack(parts: list[np.ndarray], names: list[str]) -> xr.DataArray:
    values = np.concatenate(parts, axis=-1)
    coords = {"chain": np.arange(values.shape[0]), "draw": np.arange(values.shape[1]), "parameter": names}
    return xr.DataArray(values, dims=(*SAMPLE, "parameter"), coords=coords)


def convergence_frame(draws: xr.DataArray) -> pd.DataFrame:
    """Return Monte Carlo error of the mean, rank-normalised Rhat, and bulk and tail ESS per parameter.

    Parameters
    ----------
    draws
        (chain, draw, parameter).

    Returns
    -------
    DataFrame
        Index parameter; columns mcse, rhat, ess_bulk, ess_tail. NaN for a parameter that never moved.
    """
    import arviz as az

    data = draws.to_dataset(name="x")
    with np.errstate(all="ignore"):
        columns = {
            "mcse": az.mcse(data, method="mean")["x"].values,
            "rhat": az.rhat(data)["x"].values if draws.sizes["draw"] >= 4 else np.nan,
            "ess_bulk": az.ess(data, method="bulk")["x"].values,
            "ess_tail": az.ess(data, method="tail")["x"].values,
        }
    return pd.DataFrame(columns, index=draws["parameter"].values.tolist())


def variance_draws(posterior: Posterior) -> xr.DataArray:
    """Stack standard deviations and correlations as (chain, draw, parameter), named as broom.mixed does."""
    parts: list[np.ndarray] = []
    names: list[str] = []
    for block in posterior.whole.blocks:
        parts.append(block.sd.values)
        names += [f"sd__{c} ({block.label})" for c in block.columns]
        for i, j in lower_pairs(len(block.columns)):
            parts.append(block.corr.values[..., i, j, None])
            names.append(f"cor__{block.columns[j]}.{block.columns[i]} ({block.label})")
    return _stack(parts, names) if parts else _stack([posterior.fixef.values[..., :0]], [])


def chain_frame(posterior: Posterior) -> pd.DataFrame:
    """Return one row per chain: divergences, E-BFMI, and means of tree depth, acceptance rate and step size.

    E-BFMI is sum (E_i - E_(i-1))^2 / sum (E_i - mean E)^2 of the energies (Betancourt 2016): how much of their spread
    one step of the momentum covers. NaN where the sampler kept no such statistic.
    """
    stats = posterior.sample_stats
    frame = pd.DataFrame({"divergences": stats["diverging"].sum("draw").values.astype(int)})
    energy = stats["energy"].values if "energy" in stats else np.full((posterior.n_chains, 2), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = ((energy - energy.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
        frame["e_bfmi"] = (np.diff(energy, axis=1) ** 2).sum(axis=1) / spread
    for name in ("tree_depth", "acceptance_rate", "step_size"):
        frame[name] = stats[name].mean("draw").values if name in stats else np.nan
    return frame.rename_axis("chain")


def convergence_sentences(posterior: Posterior, effects: bool = True) -> list[str]:
    """Say in words what is wrong with a posterior sample; an empty list if nothing is.

    `effects` is False where group effects were drawn exactly given the others: they are then as good as these.
    """
    sentences = []
    diverged = int(posterior.sample_stats["diverging"].sum())
    if diverged:
        sentences.append(
            f"{diverged} of {posterior.n_draws} draws diverged: the sampler could not follow the posterior "
            "everywhere, and the estimates may be biased; fit again with target_accept=0.99"
        )
    bfmi = chain_frame(posterior)["e_bfmi"]
    if (bfmi < BFMI_LIMIT).any():
        where = ", ".join(map(str, bfmi.index[bfmi < BFMI_LIMIT]))
        sentences.append(
            f"E-BFMI is below {BFMI_LIMIT:g} in chain {where}: the sampler moves too little between regions of low and "
            "high density, so the tails may be missed; run more draws, or give the variances firmer priors"
        )
    n_effects = sum(block.b.sizes["level"] * len(block.columns) for block in posterior.blocks)
    many = effects and n_effects > FULLY_CHECKED
    parts = [parameter_draws(posterior, effects and not many), variance_draws(posterior)]
    suspects = [suspect_effects(posterior)] if many else []
    table = convergence_frame(xr.concat(parts + suspects, dim="parameter"))
    left_out = n_effects - suspects[0].sizes["parameter"] if many else 0
    if posterior.n_chains > 1:
        sentences += _rhat_sentence(table["rhat"].dropna(), left_out)
    else:
        sentences.append("one chain cannot show whether chains agree (Rhat): run 4")
    sentences += _ess_sentence(table, ESS_PER_CHAIN * posterior.n_chains, left_out)
    return sentences


def suspect_effects(posterior: Posterior, count: int = SUSPECTS) -> xr.DataArray:
    """Stack the draws of the group effects that look worst sampled, as (chain, draw, parameter).

    They are those with the largest ratios of the variance between half chains to that within, and those with the
    largest variances of batch means beside that of draws: cheap forms of Rhat and of 1 / ESS (Flegal & Jones 2010,
    Ann. Stat. 38(2)), that serve to choose only.
    """
    values, names = [], []
    for block in posterior.blocks:
        b = block.b.values.reshape(*block.b.shape[:2], block.b.sizes["level"] * len(block.columns))
        keep = np.unique(np.concatenate([np.argsort(-score)[:count] for score in _scores(b)]))
        values.append(b[..., keep])
        own = [f"b[{c} {block.label}:{level}]" for level in block.levels for c in block.columns]
        names += [own[i] for i in keep]
    return _stack(values, names)


def _scores(draws: np.ndarray) -> list[np.ndarray]:
    """Variances of the means of half chains, and of batches, beside that of draws (chain, draw, n)."""
    variance = draws.var(axis=(0, 1))
    found = []
    for pieces in (2, BATCHES):
        length = max(1, draws.shape[1] // pieces)
        part = draws[:, : length * pieces].reshape(draws.shape[0] * pieces, -1, draws.shape[2])
        with np.errstate(invalid="ignore", divide="ignore"):
            found.append(np.nan_to_num(part.mean(axis=1).var(axis=0) / variance))
    return found


def _rhat_sentence(rhat: pd.Series, left_out: int = 0) -> list[str]:
    high = rhat[rhat > RHAT_LIMIT].sort_values(ascending=False)
    if high.empty:
        return []
    worst = f"{high.index[0]} ({high.iloc[0]:.3f})"
    return [
        f"Rhat is above {RHAT_LIMIT:g} for {'at least ' * bool(left_out)}{len(high)} of {len(rhat) + left_out} "
        f"parameters, worst for {worst}: the "
        "chains do not agree yet; run more warm-up and draws (tune=, draws=)"
    ]


def _ess_sentence(table: pd.DataFrame, limit: int, left_out: int = 0) -> list[str]:
    smallest = table[["ess_bulk", "ess_tail"]].min(axis=1).dropna().sort_values()
    low = smallest[smallest < limit]
    if low.empty:
        return []
    return [
        f"{'at least ' * bool(left_out)}{len(low)} of {len(smallest) + left_out} parameters have fewer than {limit} "
        f"effective draws, fewest "
        f"{low.index[0]} ({low.iloc[0]:.0f}): means and especially interval ends are uncertain; run more draws"
    ]
