"""Densities of data that the model makes, beside that of the data observed."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayesmlm.design import Design
from bayesmlm.draws import Posterior
from bayesmlm.replicates import replicates
from bayesmlm.views.densities import density


def replication_densities(
    design: Design, posterior: Posterior, draws: int = 50, seed: int = 0
) -> pd.DataFrame:
    """Return the density of the response and of replicated responses on one grid.

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
    low, high = min(design.y.min(), sets.min()), max(design.y.max(), sets.max())
    grid = np.linspace(low, high, 200)
    curves = [density(y, grid=grid)[1] for y in (design.y, *sets)]
    number = np.repeat(np.arange(-1, len(sets)), len(grid))
    return pd.DataFrame(
        {"draw": number, "value": np.tile(grid, len(curves)), "density": np.concatenate(curves)}
    )
