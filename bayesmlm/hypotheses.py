"""What a posterior says of hypotheses about its parameters: probabilities, evidence ratios, regions of equivalence.

A hypothesis is about delta = left side - right side of its text. For ``>`` and ``<`` the evidence ratio is
P(hypothesis | data) / P(its opposite | data); for ``=`` it is that of Savage and Dickey, see `bayesmlm.evidence`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayesmlm.arithmetic import Statement, parse_statement
from bayesmlm.design import Design
from bayesmlm.draws import Posterior
from bayesmlm.errors import BayesMLMError
from bayesmlm.evidence import savage_dickey
from bayesmlm.parameter_names import Parameter, aliases, difference, parameters
from bayesmlm.priors import Priors
from bayesmlm.tables import check_probability, mad_sd

COLUMNS = ["hypothesis", "estimate", "std_error", "conf_low", "conf_high"]
COLUMNS += ["post_prob", "evidence_ratio", "rope_prob"]


@dataclass(frozen=True)
class Tested:
    """Hypotheses and what the posterior says of them.

    Attributes
    ----------
    frame : DataFrame
        One row per hypothesis: hypothesis; estimate (median), std_error (MAD_SD), conf_low, conf_high of delta;
        post_prob; evidence_ratio; rope_prob, the probability that delta lies in the region of practical equivalence
        (NaN without one).
    statements : tuple of Statement
    prob : float
        Probability of the intervals.
    rope : tuple of two floats, or None
    n_draws : int
    notes : tuple of str
        Why a number is missing or imprecise, in sentences.
    """

    frame: pd.DataFrame
    statements: tuple[Statement, ...]
    prob: float
    rope: tuple[float, float] | None
    n_draws: int
    notes: tuple[str, ...]


def judge_hypotheses(
    design: Design,
    priors: Priors,
    posterior: Posterior,
    hypotheses: str | Iterable[str],
    prob: float = 0.9,
    rope: tuple[float, float] | None = None,
    seed: int = 1,
) -> Tested:
    """Evaluate hypotheses on the draws of a posterior.

    Parameters
    ----------
    design, priors, posterior
        The model and its draws.
    hypotheses
        One text or several, such as ``"femaleF > 0"``; see `bayesmlm.arithmetic`.
    prob
        Probability of the central intervals of delta.
    rope
        Region of practical equivalence of delta, (low, high).
    seed
        Of the simulation of the prior, where its density at 0 has no closed form.
    """
    level = check_probability(prob, "prob")
    region = _checked_rope(rope)
    texts = [hypotheses] if isinstance(hypotheses, str) else list(hypotheses)
    if not texts:
        raise BayesMLMError("there is no hypothesis: write one such as 'x > 0'")
    effects = any("b[" in str(t) for t in texts)  # there may be very many of them
    known = parameters(posterior, {b.label: b.levels for b in design.blocks if effects}, design)
    other = aliases(posterior, known)
    statements = tuple(parse_statement(t, known, other) for t in texts)
    rows, notes = [], []
    for statement in statements:
        row, said = _tested(statement, known, design, priors, posterior, level, region, seed)
        rows.append(row)
        notes += said
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return Tested(frame, statements, level, region, posterior.n_draws, tuple(dict.fromkeys(notes)))


def _checked_rope(rope: Any) -> tuple[float, float] | None:
    if rope is None:
        return None
    try:
        low, high = (float(v) for v in rope)
    except (TypeError, ValueError):
        low, high = np.nan, np.nan
    if not low < high:
        raise BayesMLMError(f"rope = {rope!r}: give the two ends of a range, such as (-0.1, 0.1)")
    return low, high


def _tested(
    statement: Statement,
    known: Mapping[str, Parameter],
    design: Design,
    priors: Priors,
    posterior: Posterior,
    prob: float,
    rope: tuple[float, float] | None,
    seed: int,
) -> tuple[tuple, list[str]]:
    delta = difference(statement, known, posterior)
    undefined = int((~np.isfinite(delta)).sum())
    if undefined:
        raise BayesMLMError(
            f"{statement.text!r} has no finite value in {undefined} of {len(delta)} draws, such as the log of a "
            "negative number: write another hypothesis"
        )
    low, high = np.quantile(delta, [(1 - prob) / 2, (1 + prob) / 2])
    notes: list[str] = []
    if statement.sign == "=":
        ratio, notes = savage_dickey(statement, known, design, priors, delta, seed)
        share = ratio / (1 + ratio)
    else:
        share = float(np.mean(delta > 0 if statement.sign == ">" else delta < 0))
        ratio = share / (1 - share) if share < 1 else np.inf
        if share in (0.0, 1.0):
            every = "every" if share else "no"
            notes = [
                f"{statement.text}: {every} draw satisfies it; {len(delta)} draws tell no more than that"
            ]
    inside = np.nan if rope is None else float(np.mean((rope[0] < delta) & (delta < rope[1])))
    row = (statement.text, np.median(delta), mad_sd(delta), low, high, share, ratio, inside)
    return row, notes
