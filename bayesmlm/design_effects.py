"""Design effects: what clustering costs, in rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.design import Design
from bayesmlm.draws import Posterior
from bayesmlm.errors import BayesMLMError
from bayesmlm.response_partition import response_variances
from bayesmlm.shares import flat_cov, interval_ends, residual_sd


def design_effects(design: Design, posterior: Posterior, prob: float = 0.9) -> pd.DataFrame:
    """How much less a clustered sample says about a mean than as many independent rows.

    The variance of the mean of n rows over what it would be if they were independent with the same variance,
    deff = 1 + sum_k (m_k - 1) ICC_k, with m_k = sum_j n_j^2 / sum_j n_j the size of the unit of an average row (Kish
    1965; equal units: their size) and ICC_k the share of the variance at the level of factor k. Exact under the model,
    given the fixed effects. Where slopes vary, with s_j the sum of z over the rows of unit j, the k-th part is
    (1/n) (sum_j s_j' Sigma s_j - sum_i z_i' Sigma z_i) over the mean variance of a row; for an intercept alone that is
    the same.

    Returns
    -------
    DataFrame
        One row per grouping factor, for its clustering alone, and ``(all)`` if there are several: group, n_groups,
        mean_size (n / J), kish_size (m_k), then posterior medians and intervals of icc, design_effect and effective_n
        (n / deff).

    Of generalised models with varying intercepts it is about the mean of the responses, with the ICC of these, not that
    on the scale of the link (`bayesmlm.response_partition`), averaged over the rows.
    """
    ends = interval_ends(prob)
    n = design.nobs
    rows = []
    parts = _parts(design, posterior)
    if len(parts) > 1:
        icc, more = (np.sum([p[i] for p in parts.values()], axis=0) for i in (0, 1))
        parts["(all)"] = icc, more
    for group, (icc, more) in parts.items():
        block = next((b for b in design.blocks if b.group == group), None)
        sizes = None if block is None else np.bincount(block.index)
        row: dict[str, Any] = {
            "group": group,
            "n_groups": np.nan if sizes is None else len(sizes),
            "mean_size": np.nan if sizes is None else n / len(sizes),
            "kish_size": np.nan if sizes is None else float((sizes**2).sum() / n),
        }
        for name, values in (("icc", icc), ("design_effect", 1 + more), ("effective_n", n / (1 + more))):
            low, middle, high = np.quantile(values, [ends[0], 0.5, ends[1]])
            row |= {name: middle, f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def _parts(design: Design, posterior: Posterior) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By grouping factor: draws of the ICC, and of what the clustering adds to the design effect."""
    if design.family.is_gaussian_identity:
        added, between = _clustering(design, posterior)
        total = sum(between.values()) + residual_sd(posterior) ** 2
        return {g: (between[g] / total, added[g] / total) for g in added}
    variances = response_variances(design, posterior)[:, 0]
    shares = variances / variances.sum(axis=1, keepdims=True)
    parts: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for k, block in enumerate(design.blocks):
        if block.columns != ("(Intercept)",):
            raise BayesMLMError(
                f"the design effect of {block.bar} depends on the rows' predictors: in generalised models "
                "design_effect() is for varying intercepts"
            )
        size = float(np.square(np.bincount(block.index)).sum() / design.nobs)
        nothing = np.zeros(len(shares))
        icc, more = parts.get(block.group, (nothing, nothing))
        parts[block.group] = icc + shares[:, k], more + (size - 1) * shares[:, k]
    return parts


def _clustering(design: Design, posterior: Posterior) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """By grouping factor: variance added to n times that of the mean, and mean variance of a row, by draw."""
    added: dict[str, np.ndarray] = {}
    between: dict[str, np.ndarray] = {}
    for block, draws in zip(design.blocks, posterior.blocks, strict=True):
        cov, Z = flat_cov(draws), block.Z
        sums = np.column_stack([np.bincount(block.index, z, len(block.levels)) for z in Z.T])
        own = np.einsum("sab,ab->s", cov, Z.T @ Z / design.nobs)
        joint = np.einsum("sab,ab->s", cov, sums.T @ sums / design.nobs)
        between[block.group] = between.get(block.group, 0.0) + own
        added[block.group] = added.get(block.group, 0.0) + joint - own
    return added, between
