"""Where a sample from the posterior has trouble: which parameter, and where divergent draws gather."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayesmlm.diagnostics import (
    BFMI_LIMIT,
    ESS_PER_CHAIN,
    RHAT_LIMIT,
    chain_frame,
    convergence_frame,
    parameter_draws,
    variance_draws,
)
from bayesmlm.draws import Posterior

GATHERED = 0.5  # divergent draws lie this many sds off the others


@dataclass(frozen=True)
class Convergence:
    """What is wrong with a sample, with the parameter that is worst; None and 0 where nothing is.

    Attributes
    ----------
    draws, chains, divergences : int
    gathered : tuple of (str, float, float), or None
        The standard deviation, correlation or sigma that sets divergent draws apart: its name, its median in
        divergent draws and in the others.
    rhat, ess : tuple of (str, float), or None
        The parameter with the largest Rhat, if it is above 1.01; that with fewest effective draws, if they are fewer
        than 100 per chain.
    bfmi : tuple of (int, float), or None
        The chain with the lowest E-BFMI, if it is below 0.3.
    """

    draws: int
    chains: int
    divergences: int
    gathered: tuple[str, float, float] | None
    rhat: tuple[str, float] | None
    ess: tuple[str, float] | None
    bfmi: tuple[int, float] | None

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.divergences and self.rhat is None and self.ess is None and self.bfmi is None


def convergence(posterior: Posterior) -> Convergence:
    """Look for trouble in a sample; group effects apart, which follow the variances."""
    scale = variance_draws(posterior)
    table = convergence_frame(xr.concat([parameter_draws(posterior, effects=False), scale], dim="parameter"))
    diverging = posterior.sample_stats["diverging"].values.astype(bool)
    rhat = table["rhat"].dropna()
    ess = table[["ess_bulk", "ess_tail"]].min(axis=1).dropna()
    bfmi = chain_frame(posterior)["e_bfmi"].dropna()
    high = posterior.n_chains > 1 and len(rhat) and rhat.max() > RHAT_LIMIT
    low = len(ess) and ess.min() < ESS_PER_CHAIN * posterior.n_chains
    slow = len(bfmi) and bfmi.min() < BFMI_LIMIT
    return Convergence(
        posterior.n_draws,
        posterior.n_chains,
        int(diverging.sum()),
        _gathered(scale, diverging),
        (str(rhat.idxmax()), float(rhat.max())) if high else None,
        (str(ess.idxmin()), float(ess.min())) if low else None,
        (int(bfmi.idxmin()), float(bfmi.min())) if slow else None,
    )


def _gathered(scale: xr.DataArray, diverging: np.ndarray) -> tuple[str, float, float] | None:
    """The parameter whose ranks differ most between divergent draws and the others."""
    if not diverging.any() or diverging.all() or not scale.sizes["parameter"]:
        return None
    values = scale.values.reshape(-1, scale.sizes["parameter"])
    bad = diverging.ravel()
    ranks = np.argsort(np.argsort(values, axis=0), axis=0) / len(values)
    off = np.abs(ranks[bad].mean(axis=0) - ranks[~bad].mean(axis=0)) * np.sqrt(12)
    worst = int(np.argmax(off))
    if off[worst] < GATHERED:
        return None
    name = str(scale["parameter"].values[worst])
    return name, float(np.median(values[bad, worst])), float(np.median(values[~bad, worst]))
