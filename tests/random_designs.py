"""Small random data sets for tests against dense linear algebra."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayesmlm.design import Design, build_design

N = 90
FORMULAS = {
    "intercepts": "y ~ x + (1 | a)",
    "slopes": "y ~ x + z + (x | a)",
    "three columns": "y ~ x + (x + z | a)",
    "no intercept": "y ~ x + (0 + z | a)",
    "crossed": "y ~ x + (1 | a) + (1 | b)",
    "crossed slopes": "y ~ x + (x | a) + (z | b) + (1 | d)",
    "nested": "y ~ x + (x | b / d)",
    "uncorrelated": "y ~ x + (x || a)",
    "uncorrelated and crossed": "y ~ x + (1 | a) + (1 | b) + (0 + x | a)",
    "three levels": "y ~ x + (x | c) + (1 | s) + (x | r)",
    "three levels and crossed": "y ~ x + z + (x | c) + (x | s) + (1 | r) + (z | b) + (1 | d)",
    "no fixed effects": "y ~ 0 + (x | a) + (1 | b)",
}


def random_frame(seed: int = 0) -> pd.DataFrame:
    """Return N rows with groups a (12 levels), b (5), d (4), c (18) in s (6) in r (3), and columns far from 0."""
    rng = np.random.default_rng(seed)
    groups = {name: rng.permutation(np.arange(N) % size) for name, size in (("a", 12), ("b", 5), ("d", 4))}
    numbers = {"x": rng.normal(40, 3, N), "z": rng.normal(-2, 0.5, N)}
    level = sum(rng.normal(0, 2, 12)[codes] for codes in groups.values())
    frame = pd.DataFrame({**{k: v.astype(str) for k, v in groups.items()}, **numbers})
    slope = rng.normal(0, 1, 12)[groups["a"]]
    frame["y"] = 100 + 0.5 * frame["x"] + level + slope * (frame["x"] - 40) + rng.normal(0, 2, N)
    frame = frame.assign(w=rng.uniform(0.3, 3, N), o=rng.normal(0, 5, N))
    classes = rng.permutation(np.arange(N) % 18)
    return frame.assign(
        **{name: (classes // size).astype(str) for name, size in (("c", 1), ("s", 3), ("r", 6))}
    )


def random_design(formula: str, seed: int = 0, weighted: bool = False) -> Design:
    """Return the design of a formula on `random_frame`; `weighted` adds weights and an offset."""
    extra = {"weights": "w", "offset": "o"} if weighted else {}
    return build_design(formula, random_frame(seed), **extra)


def random_theta(design: Design, seed: int = 0) -> np.ndarray:
    """Return relative covariance parameters of the size that the columns suggest."""
    rng = np.random.default_rng(seed)
    return 0.3 * rng.normal(size=sum(len(b.columns) * (len(b.columns) + 1) // 2 for b in design.blocks))


def dense_Z(design: Design, block: int) -> np.ndarray:
    """Return the n x J p matrix of one block, level by level."""
    b = design.blocks[block]
    J, p = len(b.levels), len(b.columns)
    Z = np.zeros((design.nobs, J, p))
    Z[np.arange(design.nobs), b.index] = b.Z
    return Z.reshape(design.nobs, J * p)
