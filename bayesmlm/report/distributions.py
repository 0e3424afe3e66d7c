"""The distribution of a response given its linear predictor, as equations: in LaTeX and in plain characters."""

from __future__ import annotations

from bayesmlm.design import Design
from bayesmlm.meanings import event
from bayesmlm.syntax import Binary, Call

ZERO_INFLATED, HURDLE = "zero_inflated_", "hurdle_"
# family -> its distribution with parameters in LaTeX and in plain characters; @ stands for the mean
LATEX = {
    "gaussian": r"N(@,\ \sigma^2)",
    "t": r"t_{\nu}(@,\ \sigma^2)",
    "binomial": r"\mathrm{Binomial}(n_i,\ @)",
    "bernoulli": r"\mathrm{Bernoulli}(@)",
    "beta_binomial": r"\mathrm{BetaBinomial}(n_i,\ @\,\phi,\ (1 - @)\,\phi)",
    "poisson": r"\mathrm{Poisson}(@)",
    "negativebinomial": r"\mathrm{NegBinomial}(@,\ \mathrm{variance}\ @ + @^2 / \alpha)",
    "gamma": r"\mathrm{Gamma}(\alpha,\ \mathrm{rate}\ \alpha / @)",
    "wald": r"\mathrm{InverseGaussian}(@,\ \lambda)",
    "lognormal": r"\mathrm{LogNormal}(@,\ \sigma^2)",
    "exponential": r"\mathrm{Exponential}(1 / @)",
    "weibull": r"\mathrm{Weibull}(\alpha,\ \mathrm{mean}\ @)",
    "beta": r"\mathrm{Beta}(@\,\phi,\ (1 - @)\,\phi)",
}
TEXT = {
    "gaussian": "Normal(@, σ²)",
    "t": "Student t(ν, @, σ²)",
    "binomial": "Binomial(n, @)",
    "bernoulli": "Bernoulli(@)",
    "beta_binomial": "BetaBinomial(n, @ φ, (1 - @) φ)",
    "poisson": "Poisson(@)",
    "negativebinomial": "NegBinomial(@, variance @ + @²/α)",
    "gamma": "Gamma(α, rate α/@)",
    "wald": "InverseGaussian(@, λ)",
    "lognormal": "LogNormal(@, σ²)",
    "exponential": "Exponential(1/@)",
    "weibull": "Weibull(α, mean @)",
    "beta": "Beta(@ φ, (1 - @) φ)",
}
# Greek letters of the auxiliary parameters, and which are not called by their names
LETTERS = {"reciprocal_dispersion": (r"\alpha", "α"), "shape": (r"\alpha", "α")}
LINK_LATEX = {
    "identity": "@",
    "log": r"\log(@)",
    "logit": r"\mathrm{logit}(@)",
    "probit": r"\Phi^{-1}(@)",
    "cloglog": r"\log(-\log(1 - @))",
    "cauchit": r"\tan(\pi (@ - 1/2))",
    "inverse": "1 / @",
    "inverse_squared": "1 / @^2",
    "sqrt": r"\sqrt{@}",
}
LINK_TEXT = {
    **LINK_LATEX,
    "log": "log(@)",
    "logit": "logit(@)",
    "probit": "probit(@)",
    "cloglog": "cloglog(@)",
    "cauchit": "cauchit(@)",
    "inverse": "1/@",
    "inverse_squared": "1/@²",
    "sqrt": "√@",
}
INVERSE_LATEX = {"logit": r"\mathrm{logit}^{-1}", "probit": r"\Phi", "cloglog": r"\mathrm{cloglog}^{-1}"}
INVERSE_TEXT = {"logit": "inverse logit", "probit": "Φ", "cloglog": "inverse cloglog"}


def latex_response(design: Design, name: str) -> tuple[list[tuple[str, str]], str]:
    """Return the lines of the response (left, right), and the left side of the linear predictor's line.

    `name` is the response in LaTeX; see `response_name`.
    """
    family, y = design.family, rf"{name}_i"
    if family.is_ordinal:
        inverse = INVERSE_LATEX[family.link]
        asked = rf"{y} \leq k" if family.name == "cumulative" else rf"{y} = k \mid {y} \geq k"
        return [(rf"P({asked})", rf"= {inverse}(c_k - \eta_i)")], r"\eta_i"
    if family.is_categorical:
        right = r"= \exp(\eta_{k,i}) / \sum_l \exp(\eta_{l,i}),\quad \eta_{1,i} = 0"
        return [(rf"P({y} = k)", right)], r"\eta_{k,i}"
    symbol = "p_i" if family.support == "binomial" else r"\mu_i"
    right = _mixed(family.name, _put(LATEX, design, symbol), r"\psi", r"\delta_0", latex=True)
    if family.name == "gaussian" and design.weights is not None:
        right = right.replace(r"\sigma^2", r"\sigma^2 / w_i")
    trials = r"n_i\," if _is_share(design) else ""
    return [(f"{trials}{y}", rf"\sim {right}")], LINK_LATEX[family.link].replace("@", symbol)


def text_response(design: Design) -> tuple[list[str], str]:
    """Return the lines of the response, and the left side of the linear predictor's line, in plain characters."""
    family, y = design.family, response_name(design)
    if family.is_ordinal:
        asked = f"{y} ≤ k" if family.name == "cumulative" else f"{y} = k | {y} ≥ k"
        return [f"P({asked}) = {INVERSE_TEXT[family.link]}(threshold_k - η)"], "η"
    if family.is_categorical:
        return [f"P({y} = k) = exp(η_k) / Σ exp(η), η = 0 for {design.response_levels[0]}"], "η_k"
    symbol = "p" if family.support == "binomial" else "μ"
    right = _mixed(family.name, _put(TEXT, design, symbol), "ψ", "0", latex=False)
    if family.name == "gaussian" and design.weights is not None:
        right = right.replace("σ²", "σ² / weight")
    trials = "n·" if _is_share(design) else ""
    letters = [f"{LETTERS[a][1]} = {a}" for a in family.auxiliary if a in LETTERS]
    known = f", {', '.join(letters)}" if letters else ""
    return [f"{trials}{y} ~ {right}{known}"], LINK_TEXT[family.link].replace("@", symbol)


def response_name(design: Design) -> str:
    """Name what has the distribution: the successes of a binomial, otherwise the response."""
    if design.family.support != "binomial":
        return design.response
    if design.response_levels:
        return f"[{event(design)}]"
    return event(design).removesuffix(" = 1")


def _is_share(design: Design) -> bool:
    """Whether the response is a share of trials that the formula does not multiply out."""
    counted = isinstance(design.formula.response, Call | Binary)
    return design.family.support == "binomial" and design.trials is not None and not counted


def _put(table: dict[str, str], design: Design, symbol: str) -> str:
    name = design.family.name.removeprefix(ZERO_INFLATED).removeprefix(HURDLE)
    if name == "binomial" and design.trials is None:
        name = "bernoulli"
    return table[name].replace("@", symbol)


def _mixed(name: str, inner: str, psi: str, zero: str, latex: bool) -> str:
    if name.startswith(ZERO_INFLATED):
        return (
            rf"{psi}\,{inner} + (1 - {psi})\,{zero}"
            if latex
            else f"{inner} with probability {psi}, else {zero}"
        )
    if name.startswith(HURDLE):
        cut = rf"{psi}\,[{inner} > 0] + (1 - {psi})\,{zero}"
        return cut if latex else f"{inner} above 0 with probability {psi}, else {zero}"
    return inner
