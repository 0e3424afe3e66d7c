"""A formula and its data explained before anything is fitted: facts only, put into words by `bayesmlm.report`."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bayesmlm.design import Design
from bayesmlm.explaining.checks import findings
from bayesmlm.explaining.finding import Finding
from bayesmlm.explaining.groups import group_frame, pair_frame
from bayesmlm.explaining.pieces import Made, block_columns, fixed_columns
from bayesmlm.explaining.within import predictor_frame


@dataclass(frozen=True, eq=False)
class Explanation:
    """What a formula says about its data.

    Attributes
    ----------
    design : Design
    columns : tuple of Made
        The fixed-effects columns, taken apart.
    block_columns : tuple of tuple of Made
        Those of each block.
    groups, pairs, predictors : DataFrame
        See `group_frame`, `pair_frame`, `predictor_frame`.
    findings : tuple of Finding
        What is worth knowing, warnings first.
    inferred : bool
        Whether the family was inferred from the response.
    """

    design: Design
    columns: tuple[Made, ...]
    block_columns: tuple[tuple[Made, ...], ...]
    groups: pd.DataFrame
    pairs: pd.DataFrame
    predictors: pd.DataFrame
    findings: tuple[Finding, ...]
    inferred: bool = False


def explanation(design: Design, inferred: bool = False) -> Explanation:
    """Explain a design; `inferred` says that its family was inferred from the response."""
    return Explanation(
        design,
        fixed_columns(design),
        tuple(block_columns(design, b) for b in design.blocks),
        group_frame(design),
        pair_frame(design),
        predictor_frame(design),
        findings(design),
        inferred,
    )


__all__ = ["Explanation", "Finding", "Made", "explanation"]
