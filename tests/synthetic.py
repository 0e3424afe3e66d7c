"""Posteriors made by hand, to test what is done with draws without drawing any."""

import itertools

import numpy as np
import xarray as xr

from bayesmlm.design import build_design
from bayesmlm.drawing import ON_KERNEL
from bayesmlm.draws import BlockDraws, Posterior, labelled
from bayesmlm.priors import build_priors
from bayesmlm.reference.lmer import fit_lmer
from bayesmlm.result import Fit
from bayesmlm.sampling.settings import Settings


def posterior_of(
    design,
    *,
    fixef,
    sd,
    sigma=None,
    auxiliary=None,
    corr=None,
    b=None,
    spread=0.01,
    chains=4,
    draws=250,
    seed=1,
):
    """Draws scattered normally around given values, with standard deviation `spread` times the value's size.

    `fixef` is a sequence in the design's order; `sd`, `corr` (one number for every pair) and `b` (levels x
    columns) are dicts by block label, `auxiliary` one by name.
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
    residual = None if sigma is None else labelled(around(sigma))
    cuts = [f"{a}|{b}" for a, b in itertools.pairwise(design.response_levels)]
    others = {
        name: labelled(around(value), **({"threshold": cuts} if np.ndim(value) else {}))
        for name, value in (auxiliary or {}).items()
    }
    return Posterior(fixed, residual, tuple(blocks), ppd, stats, others)


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


def posterior_at(design, beta, cov, sigma, b=None):
    """A posterior of one draw: fixed effects, covariance matrices and effects (levels x columns) by block, sigma."""
    effects = [np.zeros((len(k.levels), len(k.columns))) for k in design.blocks] if b is None else b
    blocks = []
    for block, sigma_b, values in zip(design.blocks, cov, effects, strict=True):
        sd = np.sqrt(np.diag(sigma_b))
        corr = np.divide(sigma_b, np.outer(sd, sd), out=np.eye(len(sd)), where=np.outer(sd, sd) > 0)
        blocks.append(
            BlockDraws(
                block.label,
                block.group,
                labelled(sd[None, None], column=block.columns),
                labelled(corr[None, None], column=block.columns, column_bis=block.columns),
                labelled(np.asarray(values, float)[None, None], level=block.levels, column=block.columns),
            )
        )
    one = np.zeros((1, 1))
    stats = xr.Dataset(dict.fromkeys(("lp", "diverging"), (("chain", "draw"), one)))
    fixed = labelled(np.asarray(beta, float)[None, None], coefficient=design.coefficients)
    return Posterior(fixed, labelled(one + sigma), tuple(blocks), labelled(one), stats)


def many_draws(design, seed=0, draws=6):
    """A posterior of unlike draws, far from each other, for exact comparisons draw by draw."""
    rng = np.random.default_rng(seed)
    single = []
    for _ in range(draws):
        factors = [rng.normal(size=(len(b.columns),) * 2) for b in design.blocks]
        cov = [f @ f.T + 0.1 * np.eye(len(f)) for f in factors]
        b = [rng.normal(size=(len(k.levels), len(k.columns))) for k in design.blocks]
        beta = rng.normal(size=design.X.shape[1])
        single.append(posterior_at(design, beta, cov, rng.uniform(0.5, 2), b))

    def join(arrays):
        return (
            xr.concat(list(arrays), dim="draw")
            .transpose("chain", "draw", ...)
            .assign_coords(draw=np.arange(draws))
        )

    blocks = tuple(
        BlockDraws(
            p.label, p.group, *(join(getattr(s.blocks[k], n) for s in single) for n in ("sd", "corr", "b"))
        )
        for k, p in enumerate(single[0].blocks)
    )
    return Posterior(
        join(s.fixef for s in single),
        join(s.sigma for s in single),
        blocks,
        join(s.mean_ppd for s in single),
        single[0].sample_stats,
    )
