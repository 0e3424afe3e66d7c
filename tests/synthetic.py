"""Posteriors made by hand, to test what is done with draws without drawing any."""

import numpy as np
import xarray as xr

from bayesmlm.design import build_design
from bayesmlm.drawing import ON_KERNEL
from bayesmlm.draws import BlockDraws, Posterior, labelled
from bayesmlm.priors import build_priors
from bayesmlm.reference.lmer import fit_lmer
from bayesmlm.result import Fit
from bayesmlm.sampling.settings import Settings


def posterior_of(design, *, fixef, sd, sigma, corr=None, b=None, spread=0.01, chains=4, draws=250, seed=1):
    """Draws scattered normally around given values, with standard deviation `spread` times the value's size.

    `fixef` is a sequence in the design's order; `sd`, `corr` (one number for every pair) and `b` (levels x
    columns) are dicts by block label.
    """
    rng = np.random.default_rng(seed)

    def around(center):
        center = np.asarray(center, dtype=float)
        noise = rng.normal(size=(chains, draws, *center.shape))
        return center + spread * np.maximum(np.abs(center), 0.1) * noise

    blocks = []
    for block in design.blocks:
        p = len(block.columns)
        r = np.full((p, p), (corr or {}).get(block.label, 0.0))
        np.fill_diagonal(r, 1.0)
        matrix = np.clip(around(r), -1, 1)
        matrix[..., np.arange(p), np.arange(p)] = 1.0
        matrix = (matrix + np.swapaxes(matrix, -1, -2)) / 2
        effects = (b or {}).get(block.label, np.zeros((len(block.levels), p)))
        blocks.append(
            BlockDraws(
                block.label,
                block.group,
                labelled(np.abs(around(sd[block.label])), column=block.columns),
                labelled(matrix, column=block.columns, column_bis=block.columns),
                labelled(around(effects), level=block.levels, column=block.columns),
            )
        )
    fixed = labelled(around(fixef), coefficient=design.coefficients)
    zeros = np.zeros((chains, draws))
    stats = xr.Dataset(
        {
            "lp": (("chain", "draw"), rng.normal(size=(chains, draws))),
            "diverging": (("chain", "draw"), zeros > 0),
        }
    )
    ppd = labelled(around(design.y.mean()))
    return Posterior(fixed, labelled(around(sigma)), tuple(blocks), ppd, stats)


def fit_of(formula, data, priors=None, notes=(), sampler=ON_KERNEL, **posterior):
    """A `Fit` whose posterior is `posterior_of` its design; the REML fit's estimates where none are given."""
    design = build_design(formula, data)
    estimate = fit_lmer(design)
    values = {
        "fixef": estimate.beta,
        "sd": {b.label: b.sd for b in estimate.varcorr.blocks},
        "sigma": estimate.sigma,
        "corr": {b.label: b.corr[1, 0] for b in estimate.varcorr.blocks if len(b.sd) > 1},
        "b": {r.label: r.mode for r in estimate.ranef},
    }
    draws = posterior_of(design, **{**values, **posterior})
    settings = Settings(target_accept=0.9, seed=7)
    return Fit(design, build_priors(design, priors), draws, tuple(notes), settings, 1.0, sampler, estimate)
