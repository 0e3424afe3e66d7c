"""What the rows of a level tell of its effect, before anything is fitted."""

from __future__ import annotations

import numpy as np

from bayesmlm.design import Design

LITTLE = 2.5  # information of a level on its effect: 10 rows of a binary response with as many 0 as 1


def level_information(design: Design) -> dict[str, np.ndarray]:
    """Return by grouping factor what the rows of each level tell of its effect: the sum of the rows' weights.

    They are those of the linear predictor in the Fisher information, all rows at the overall mean: m p (1 - p) of a
    binomial (logit), mu of a Poisson response (log). Nothing for other families.
    """
    y = design.y
    if design.family.name == "binomial":
        m = np.ones_like(y) if design.trials is None else design.trials
        p = float(y.sum() / m.sum())
        weight = m * p * (1 - p)
    elif design.family.name == "poisson":
        weight = np.full_like(y, float(y.mean()))
    else:
        return {}
    return {b.group: np.bincount(b.index, weight, len(b.levels)) for b in design.blocks}


def uninformed(design: Design) -> list[str]:
    """Return the grouping factors whose typical level tells so little that Laplace's approximation is biased.

    The approximation takes the density of a level's effect given its rows for normal; its standard deviations are then
    too low (Breslow & Lin 1995, Biometrika 82, 81-91; Joe 2008, Computational Statistics & Data Analysis 52,
    5066-5074). Effects of single rows are left out.
    """
    found = level_information(design)
    return [name for name, of in found.items() if len(of) < design.nobs and float(np.median(of)) < LITTLE]
