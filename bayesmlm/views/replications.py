"""Densities of data that the model makes, beside that of the data observed."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayesmlm.design import Design
from bayesmlm.draws import Posterior
from bayesmlm.replicates import observed_values, replicates
from bayesmlm.views.densities import density


def replication_densities(
    design: Design, posterior: Posterior, draws: int = 50, seed: int = 0
) -> pd.DataFrame:
    """Return the density of the response and of replicated responses on one grid; of binomials those of the shares.

    Parameters
    ----------
    design, posterior, draws, seed
        As for `bayesmlm.replicates.replicates`.

    Returns
    -------
    DataFrame
        draw (-1 for the data), value, density: 200 points each.
    """
    sets = np.concatenate(list(replicates(design, posterior, draws, seed)))
    sets, seen = observed_values(design, sets), observed_values(design, design.y)
    low, high = min(seen.min(), sets.min()), max(seen.max(), sets.max())
    grid = np.linspace(low, high, 200)
    curves = [density(y, grid=grid)[1] for y in (seen, *sets)]
    number = np.repeat(np.arange(-1, len(sets)), len(grid))
    return pd.DataFrame(
        {"draw": number, "value": np.tile(grid, len(curves)), "density": np.concatenate(curves)}
    )
