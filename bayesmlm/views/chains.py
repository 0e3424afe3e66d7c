"""Chains as ArviZ takes them, under the names of R."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr

from bayesmlm.diagnostics import auxiliary_values, parameter_draws, variance_draws
from bayesmlm.draws import Posterior
from bayesmlm.errors import DataError
from bayesmlm.tables import select_parameters

SCALAR = ("diverging", "energy", "lp", "acceptance_rate", "tree_depth", "step_size")


def chain_tree(posterior: Posterior, pars: str | Iterable[str] | None = None) -> xr.DataTree:
    """Return draws as a DataTree with groups ``posterior`` and ``sample_stats``, one variable per parameter.

    Parameters
    ----------
    posterior
        The draws.
    pars
        Names as in ``summary`` or, for standard deviations and correlations, as ``"sd__(Intercept) (school)"``;
        "alpha", "beta" or "varying". By default fixed effects, standard deviations, correlations, sigma and
        other auxiliary parameters.

    Raises
    ------
    BayesMLMError
        For an unknown name.
    """
    spread = variance_draws(posterior)
    every = xr.concat([parameter_draws(posterior), spread], dim="parameter")
    if pars is None:
        names = [str(c) for c in posterior.fixef["coefficient"].values]
        names += [str(n) for n in spread["parameter"].values]
        names += list(auxiliary_values(posterior))
        chosen = every.sel(parameter=names)
    else:
        chosen = select_parameters(every, posterior, pars)
    coords = {"chain": chosen["chain"].values, "draw": chosen["draw"].values}
    variables = {
        str(name): xr.DataArray(chosen.values[..., i], coords, ("chain", "draw"))
        for i, name in enumerate(chosen["parameter"].values)
    }
    stats = posterior.sample_stats
    kept = {name: (("chain", "draw"), stats[name].values) for name in SCALAR if name in stats}
    return xr.DataTree.from_dict(
        {"posterior": xr.Dataset(variables), "sample_stats": xr.Dataset(kept, coords)}
    )


def energy_tree(posterior: Posterior) -> xr.DataTree:
    """Return the sampler's statistics as a DataTree, or raise `DataError` if it kept no energies."""
    stats = posterior.sample_stats
    if "energy" not in stats or not np.isfinite(stats["energy"].values).all():
        raise DataError("the sampler kept no energies, so they cannot be drawn")
    return chain_tree(posterior)
