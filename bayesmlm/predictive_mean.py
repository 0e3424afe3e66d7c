"""The mean over rows of one predictive data set per draw, rstanarm's mean_PPD, for any family."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bayesmlm.design import Design
from bayesmlm.families import draw
from bayesmlm.predictor import RowEffects, predictor_draws

Values = np.ndarray | Callable[[slice], np.ndarray]
PIECE = 2_000_000  # draws x rows computed at a time: 16 MB for each array


def predictive_mean(
    design: Design,
    fixef: np.ndarray,
    effects: Sequence[np.ndarray],
    auxiliary: Mapping[str, Values],
    seed: int,
) -> np.ndarray:
    """Draw a response for each row and return its mean over the rows, shape (chain, draw).

    Of binomials it is the mean number of successes.

    Parameters
    ----------
    design
        The model; not one of categories.
    fixef : ndarray, shape (chain, draw, k)
        Fixed effects.
    effects : sequence of ndarray, each (chain, draw, J, p)
        Effects of all levels, block by block.
    auxiliary : mapping of str to ndarray, shape (chain, draw)
        Auxiliary parameters, sigma among them; of one with predictors a function of a slice of all draws, chains one
        after the other, that returns its values (draw, row).
    seed
        Seed of the draws.
    """
    shape, rng = fixef.shape[:2], np.random.default_rng(seed)
    beta = fixef.reshape(-1, fixef.shape[-1])
    b = [e.reshape(len(beta), *e.shape[2:]) for e in effects]
    flat = {name: v if callable(v) else v.reshape(-1, 1) for name, v in auxiliary.items()}
    found = np.empty(len(beta))
    step = max(1, PIECE // design.nobs)
    for start in range(0, len(beta), step):
        part = slice(start, start + step)
        rows = [
            RowEffects(each[part], block.index, block.Z, range(block.Z.shape[1]))
            for each, block in zip(b, design.blocks, strict=True)
        ]
        eta = predictor_draws(beta[part], design.X, design.offset, rows)
        own = {name: v(part) if callable(v) else v[part] for name, v in flat.items()}
        y = draw(design.family, eta, own, rng, design.trials, design.weights)
        found[part] = y.mean(axis=1)
    return found.reshape(shape)
