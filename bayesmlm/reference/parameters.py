"""The parameters of a linear mixed model as lme4's ``confint`` counts them: names, order and values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bayesmlm.covariance import VarCorr, lower_indices
from bayesmlm.design import Design
from bayesmlm.errors import BayesMLMError, did_you_mean


@dataclass(frozen=True)
class Parameter:
    """One parameter that can have an interval.

    Attributes
    ----------
    name : str
        R's name in ``confint(m, oldNames = FALSE)``: ``"cor_Days.(Intercept)|Subject"``.
    kind : str
        ``"sd"``, ``"cor"``, ``"sigma"`` or ``"beta"``.
    block : int
        Position of the block in `Design.blocks`; -1 for sigma and fixed effects.
    columns : tuple of int
        The column (sd), the two columns (cor) of the block, or the column of X (beta).
    """

    name: str
    kind: str
    block: int = -1
    columns: tuple[int, ...] = ()


def parameters_of(design: Design) -> tuple[Parameter, ...]:
    """Return all parameters in lme4's order.

    Each block's lower triangle of standard deviations and correlations column by column, sigma, fixed effects.
    Blocks are named by their grouping factor; by their label where two have an effect in common.
    """
    found = []
    for index, block in enumerate(design.blocks):
        same = [b for b in design.blocks if b.group == block.group and set(b.columns) & set(block.columns)]
        group = block.group if len(same) == 1 else block.label
        for i, j in zip(*lower_indices(len(block.columns)), strict=True):
            one, other = block.columns[j], block.columns[i]
            if i == j:
                found.append(Parameter(f"sd_{one}|{group}", "sd", index, (int(j),)))
            else:
                name = f"cor_{other}.{one}|{group}"
                found.append(Parameter(name, "cor", index, (int(j), int(i))))
    found.append(Parameter("sigma", "sigma"))
    found += [Parameter(name, "beta", columns=(i,)) for i, name in enumerate(design.coefficients)]
    return tuple(found)


def values_of(parameters: Iterable[Parameter], varcorr: VarCorr, beta: np.ndarray) -> np.ndarray:
    """Return the value of each parameter; NaN for a correlation with an effect whose variance is 0."""
    return np.array([_value(p, varcorr, beta) for p in parameters], dtype=float)


def _value(parameter: Parameter, varcorr: VarCorr, beta: np.ndarray) -> float:
    if parameter.kind == "sigma":
        return float(varcorr.sigma or 0.0)
    if parameter.kind == "beta":
        return float(beta[parameter.columns[0]])
    block = varcorr.blocks[parameter.block]
    if parameter.kind == "sd":
        return float(block.sd[parameter.columns[0]])
    return float(block.corr[parameter.columns[1], parameter.columns[0]])


def choose_parameters(parameters: Sequence[Parameter], parm: str | Iterable[str] | None) -> list[Parameter]:
    """Return the parameters that `parm` names, in the order asked for.

    Parameters
    ----------
    parameters
        All parameters.
    parm
        Names; ``"theta_"`` stands for all variance parameters and ``"beta_"`` for all fixed effects, as in
        lme4. None is all.

    Raises
    ------
    BayesMLMError
        For a name that is not a parameter, with a suggestion.
    """
    if parm is None:
        return list(parameters)
    if not isinstance(parm, Iterable):
        raise BayesMLMError(f"parm = {parm!r}: give names of parameters, or leave it out for all")
    asked = [parm] if isinstance(parm, str) else list(parm)
    if not asked:
        raise BayesMLMError("parm is empty: name parameters, or leave it out for all")
    by_name = {p.name: [q for q in parameters if q.name == p.name] for p in parameters}
    by_name["theta_"] = [p for p in parameters if p.kind != "beta"]
    by_name["beta_"] = [p for p in parameters if p.kind == "beta"]
    chosen: list[Parameter] = []
    for name in asked:
        if name not in by_name:
            known = ", ".join(p.name for p in parameters)
            hint = (
                did_you_mean(str(name), by_name)
                or f" There are {known}; and 'theta_' and 'beta_' for several."
            )
            raise BayesMLMError(f"no parameter {name!r}.{hint}")
        chosen += by_name[name]
    return list(dict.fromkeys(chosen))
