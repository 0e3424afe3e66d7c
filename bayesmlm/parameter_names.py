"""The parameters that a hypothesis can name, and their draws."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bayesmlm.arithmetic import Statement, evaluate
from bayesmlm.covariance import lower_indices, lower_pairs
from bayesmlm.design import Design
from bayesmlm.diagnostics import auxiliary_range, auxiliary_values
from bayesmlm.draws import Posterior
from bayesmlm.errors import DataError
from bayesmlm.link_scale import has_link_residual, residual_draws_on_link
from bayesmlm.tables import icc_draws


@dataclass(frozen=True)
class Parameter:
    """A parameter that a hypothesis can name.

    Attributes
    ----------
    draws : function
        From a `Posterior` to the draws, shape (n,).
    low, high : float
        Its range.
    """

    draws: Callable[[Posterior], np.ndarray]
    low: float = -np.inf
    high: float = np.inf


def parameters(
    posterior: Posterior, levels: Mapping[str, Sequence[str]], design: Design | None = None
) -> dict[str, Parameter]:
    """Return every parameter that a hypothesis can name, by name.

    Coefficients by R's name; ``sigma`` and other auxiliary parameters of the family;
    ``sd_school__(Intercept)``; ``cor_school__(Intercept).femaleF``; ``icc_school``;
    ``Sigma[school:femaleF,(Intercept)]``; and of the `levels` given by block label ``b[(Intercept) school:20920]``,
    whether or not their draws were kept.
    """
    found = {str(c): _fixed(j) for j, c in enumerate(posterior.fixef["coefficient"].values)}
    found |= {name: _auxiliary(name) for name in auxiliary_values(posterior)}
    for i, block in enumerate(posterior.blocks):
        for j, column in enumerate(block.columns):
            found[f"sd_{block.label}__{column}"] = _sd(i, j)
        for k, j in lower_pairs(len(block.columns)):
            name = f"cor_{block.label}__{block.columns[j]}.{block.columns[k]}"
            found[name] = _corr(i, k, j)
        for k, j in zip(*lower_indices(len(block.columns)), strict=True):
            found[f"Sigma[{block.label}:{block.columns[k]},{block.columns[j]}]"] = _cov(i, int(k), int(j))
        for level in levels.get(block.label, ()):
            found |= {f"b[{c} {block.label}:{level}]": _effect(i, level, c) for c in block.columns}
    generalised = design is not None and not design.family.is_gaussian_identity
    if design is not None and generalised and not has_link_residual(design):
        return found
    for block in posterior.blocks:
        if "(Intercept)" in block.columns and (generalised or posterior.sigma is not None):
            found[f"icc_{block.label}"] = _icc(block.label, design if generalised else None)
    return found


def _fixed(j: int) -> Parameter:
    return Parameter(lambda p: p.fixef.values[..., j].ravel())


def _auxiliary(name: str) -> Parameter:
    return Parameter(lambda p: auxiliary_values(p)[name].ravel(), *auxiliary_range(name))


def _sd(i: int, j: int) -> Parameter:
    return Parameter(lambda p: p.blocks[i].sd.values[..., j].ravel(), low=0.0)


def _corr(i: int, k: int, j: int) -> Parameter:
    return Parameter(lambda p: p.blocks[i].corr.values[..., k, j].ravel(), low=-1.0, high=1.0)


def _cov(i: int, k: int, j: int) -> Parameter:
    return Parameter(lambda p: p.blocks[i].cov.values[..., k, j].ravel(), low=0.0 if k == j else -np.inf)


def _effect(i: int, level: str, column: str) -> Parameter:
    def draws(posterior: Posterior) -> np.ndarray:
        block = posterior.blocks[i]
        if level not in block.levels:
            message = (
                f"the effects of level {level} of {block.label} were not kept: fit.with_ranef() draws them"
            )
            raise DataError(message)
        return block.b.sel(level=level, column=column).values.ravel()

    return Parameter(draws)


def _icc(label: str, generalised: Design | None) -> Parameter:
    def draws(posterior: Posterior) -> np.ndarray:
        residual = None if generalised is None else residual_draws_on_link(generalised, posterior)
        return icc_draws(posterior, residual).sel(group=label).values.ravel()

    return Parameter(draws, low=0.0, high=1.0)


def aliases(posterior: Posterior, known: Iterable[str]) -> dict[str, str]:
    """Return other spellings of parameters, and the parameter that each means.

    ``Intercept``, brms's ``sd_school__Intercept`` and ``cor_school__Intercept__x``, and tidy's ``sd__x``. A spelling
    that is a parameter's own name, or that two parameters share, is left out.
    """
    names = set(known)
    found: dict[str, set[str]] = {"Intercept": {"(Intercept)"}, "sd__Observation": {"sigma"}}
    for block in posterior.blocks:
        plain = [c.replace("(Intercept)", "Intercept") for c in block.columns]
        for column, short in zip(block.columns, plain, strict=True):
            name = f"sd_{block.label}__{column}"
            for other in (f"sd_{block.label}__{short}", f"sd__{column}"):
                found.setdefault(other, set()).add(name)
        for k, j in lower_pairs(len(plain)):
            name = f"cor_{block.label}__{block.columns[j]}.{block.columns[k]}"
            for other in (
                f"cor_{block.label}__{plain[j]}__{plain[k]}",
                f"cor__{block.columns[j]}.{block.columns[k]}",
            ):
                found.setdefault(other, set()).add(name)
    return {
        other: next(iter(meant))
        for other, meant in found.items()
        if len(meant) == 1 and meant <= names and other not in names
    }


def difference(statement: Statement, known: Mapping[str, Parameter], posterior: Posterior) -> np.ndarray:
    """Return draws of delta = left - right, shape (n,)."""
    values = {name: known[name].draws(posterior) for name in statement.names}
    return np.asarray(evaluate(statement.left, values) - evaluate(statement.right, values))
