"""Formulas for several parameters of a family, as brms' ``bf``: of the mean, and of parameters with predictors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bayesmlm.errors import FormulaError
from bayesmlm.formulas import Formula, parse_formula
from bayesmlm.syntax import Name


def formula(formula: str | Formula, *others: str, **named: str) -> Formula:
    """Return the formula of a distributional model: predictors for the mean and for auxiliary parameters.

    Parameters
    ----------
    formula
        Of the response: ``"y ~ x + (1 | g)"``.
    others
        Two-sided formulas, a parameter's name left of the tilde: ``"sigma ~ x + (1 | g)"``.
    named
        One-sided formulas by parameter: ``sigma="~ x + (1 | g)"``.

    Returns
    -------
    Formula
        For `bayesmlm.fit`. Positive parameters (sigma, shape, phi, ...) have a log link, psi has a logit link.

    Raises
    ------
    FormulaError
        If a formula cannot be read, does not say which parameter it is of, or a parameter has two.

    Examples
    --------
    >>> formula("y ~ x + (1 | g)", sigma="~ x").spelled
    'y ~ x + (1 | g), sigma ~ x'
    """
    main = parse_formula(formula) if isinstance(formula, str) else formula
    found: dict[str, Formula] = {}
    for text in others:
        parsed = parse_formula(text)
        if not isinstance(parsed.response, Name):
            message = "which parameter is this of? Write its name left of the tilde, as in 'sigma ~ x'"
            raise FormulaError(message, text, 0, len(text))
        _add(found, parsed.response.name, parsed)
    for name, value in named.items():
        parsed = parse_formula(_one_sided(name, value))
        if parsed.response is not None and parsed.response != Name(name, start=0, end=0):
            message = f"this is given as {name}=, but has {parsed.response} left of the tilde"
            raise FormulaError(message, parsed.text, 0, 1)
        _add(found, name, parsed)
    bare = {n: replace(f, response=None, spelled=_right(f.spelled)) for n, f in found.items()}
    spelled = ", ".join([main.spelled, *(f"{name} {parsed.spelled}" for name, parsed in bare.items())])
    return replace(main, spelled=spelled, others=tuple(bare.items()))


def _one_sided(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise FormulaError(f"{name} = {value!r}: give a formula as text, such as {name}='~ x'")
    return value if "~" in value else f"~ {value}"


def _add(found: dict[str, Formula], name: str, parsed: Formula) -> None:
    if name in found:
        raise FormulaError(f"{name} has two formulas: give one", parsed.text, 0, len(parsed.text))
    found[name] = parsed


def _right(spelled: str) -> str:
    return f"~ {spelled[spelled.index('~') + 1 :].strip()}"
