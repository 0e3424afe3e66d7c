"""Separation: whether the likelihood rises without end in some direction of the fixed effects."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog

from bayesmlm.design import Design

MOST_CELLS = 500_000  # rows x columns of the linear programme: about a second
MOVED = 1e-6


def boundary_sign(design: Design) -> np.ndarray | None:
    """Return for each row where its likelihood rises without end: +1 as eta does, -1 as eta falls, 0 nowhere.

    A row of successes only pulls eta up, one of failures only, or a count of 0, pulls it down. None for families
    whose rows do not.
    """
    family, y = design.family, design.y
    if family.name in {"binomial", "beta_binomial"} and family.link != "log":
        trials = np.ones_like(y) if design.trials is None else design.trials
        return (y == trials).astype(float) - (y == 0)
    if family.name in {"poisson", "negativebinomial"} and family.link == "log":
        return -(y == 0).astype(float)
    return None


def separated(design: Design) -> tuple[str, ...]:
    """Return the fixed effects that a direction without a maximum of the likelihood moves; none if there is none.

    Such a direction d has s_i x_i'd >= 0 in all rows with a sign s_i of `boundary_sign`, > 0 in one, and x_i'd = 0 in
    the others: a linear programme says whether there is one (Konis 2007, Linear programming algorithms for detecting
    separated data in binary logistic regression models, section 4; Correia, Guimaraes & Zylkin 2019, arXiv:1903.01633,
    for counts). Group effects apart.
    """
    sign = boundary_sign(design)
    if sign is None or not sign.any() or not design.X.size:
        return ()
    scale = np.maximum(np.abs(design.X).max(axis=0), 1e-300)
    rows = np.unique(np.column_stack([sign, design.X / scale]), axis=0)
    if rows.size > MOST_CELLS:
        return ()
    s, x = rows[:, 0], rows[:, 1:]
    pulled = s[s != 0, None] * x[s != 0]
    equal = {"A_eq": x[s == 0], "b_eq": np.zeros(int((s == 0).sum()))} if (s == 0).any() else {}
    found = linprog(-pulled.sum(axis=0), -pulled, np.zeros(len(pulled)), **equal, bounds=(-1, 1))
    if found.status != 0 or -found.fun <= MOVED:
        return ()
    moved = np.abs(found.x) > MOVED
    return tuple(name for name, m in zip(design.coefficients, moved, strict=True) if m)
