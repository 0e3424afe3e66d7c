"""Posteriors made by hand, to test what is done with draws without drawing any."""

import numpy as np
import xarray as xr

from bayesmlm.draws import BlockDraws, Posterior, labelled


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
