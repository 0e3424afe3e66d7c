"""What a paper says of a Bayesian fit: model, data, priors, sampling, results, comparison, references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesmlm.comparison import Comparison
from bayesmlm.covariance import lower_pairs
from bayesmlm.design import Design
from bayesmlm.meanings import ratio, scale_of
from bayesmlm.priors import Adjusted, Decov, Lkj, Priors
from bayesmlm.report import citations
from bayesmlm.report.comparison import laplace_note, verdict_note
from bayesmlm.report.model_cells import number_text, row_decimals, row_label
from bayesmlm.report.model_words import data_paragraph, effect_names, model_kind, model_paragraph
from bayesmlm.report.posterior import CUT
from bayesmlm.report.prior import prior_text
from bayesmlm.report.prose import Paragraph, Prose, listed
from bayesmlm.sampling.settings import Settings


@dataclass(frozen=True)
class FitAccount:
    """What is told of a fit, in numbers.

    Attributes
    ----------
    design, priors, settings
        Of the fit.
    sampler : str
        How the draws were made.
    n_chains, n_draws : int
        As kept; `n_draws` in all.
    exact : bool
        Whether fixed and group effects were drawn exactly given the others.
    rows : DataFrame
        As `model_rows` has them: parts fixed, random and share, with intervals of probability `prob`.
    direction : Series
        Posterior probability that a coefficient has the sign of its median, by name.
    convergence : DataFrame
        rhat, ess_bulk and ess_tail by parameter.
    chains : DataFrame
        As `diagnostics.chain_frame`.
    notes : tuple of str
        What is wrong with the sample.
    comparison : Comparison or None
        The posterior beside the REML fit; None where there is no such fit.
    reference_status : str
        What the REML fit says of itself, if it is singular or did not converge.
    prob : float
        Probability of the intervals.
    versions : mapping of str to str
        Of the packages.
    """

    design: Design
    priors: Priors
    settings: Settings
    sampler: str
    n_chains: int
    n_draws: int
    exact: bool
    rows: pd.DataFrame
    direction: pd.Series
    convergence: pd.DataFrame
    chains: pd.DataFrame
    notes: Sequence[str]
    comparison: Comparison | None
    reference_status: str
    prob: float
    versions: Mapping[str, str]


def fit_prose(account: FitAccount, digits: int) -> Prose:
    """Write what a paper says of a fit.

    Parameters
    ----------
    account
        The numbers.
    digits
        Decimals; a number that would show less than one significant digit has more.
    """
    paragraphs = (
        model_paragraph(account.design, f"a Bayesian {model_kind(account.design)}"),
        data_paragraph(account.design),
        _priors_paragraph(account.design, account.priors),
        _sampling_paragraph(account),
        _fixed_paragraph(account, digits),
        Paragraph(
            "Variance components", (" ".join(variance_sentences(account.design, account.rows, digits)),)
        ),
        _comparison_paragraph(account),
    )
    return Prose(tuple(p for p in paragraphs if str(p)), tuple(_references(account)))


# -- priors and sampling -----------------------------------------------------------------------------


def _priors_paragraph(design: Design, priors: Priors) -> Paragraph:
    given = set(priors.given)
    start = "The priors were rstanarm's defaults" if not given else "The priors were"
    parts = []
    if priors.intercept is not None:
        parts.append(f"{_adjusted([('the intercept', priors.intercept)])} (at the means of the predictors)")
    groups: dict[str, list[tuple[str, Adjusted]]] = {}
    for name, prior in priors.coefficients.items():
        groups.setdefault(prior_text(prior.specified), []).append((f"the coefficient of {name}", prior))
    parts += [_adjusted(group) for group in groups.values()]
    if priors.sigma is not None:
        parts.append(_adjusted([("the residual standard deviation", priors.sigma)]))
    parts += [_adjusted([(name.replace("_", " "), prior)]) for name, prior in priors.auxiliary.items()]
    relative = " sigma" if design.family.has_sigma else ""
    parts += [_covariance(label, priors.covariance[label], design, relative) for label in priors.covariance]
    return Paragraph("Priors", (f"{start}: {'; '.join(parts)}.",))


def _adjusted(group: Sequence[tuple[str, Adjusted]]) -> str:
    """Write the prior that some parameters share as specified, and each as scaled to the data."""
    names = listed([name for name, _ in group])
    specified = prior_text(group[0][1].specified)
    used = [prior_text(p.used) for _, p in group]
    if set(used) == {specified}:
        return f"{names} ~ {specified}"
    scaled = used[0] if len(set(used)) == 1 else f"{', '.join(used)}, in this order"
    return f"{names} ~ {specified}, scaled to the data {scaled}"


def _covariance(label: str, prior: Decov | Lkj, design: Design, relative: str) -> str:
    block = next(b for b in design.blocks if b.label == label)
    several = len(block.columns) > 1
    what = (
        f"the covariance matrix of the effects of {label}"
        if several
        else f"the standard deviation of {label}"
    )
    if not isinstance(prior, Decov):
        return f"{what} ~ {prior_text(prior)}"
    tau = f"tau{relative}" if prior.scale == 1 else f"{prior.scale:g} tau{relative}"
    squared = f"({tau})^2" if " " in tau else f"{tau}^2"
    gamma = f"tau ~ Gamma({prior.shape:g}, 1)"
    if not several:
        return f"{what} ~ {prior_text(prior)}, which is {tau} with {gamma}"
    return (
        f"{what} ~ {prior_text(prior)}, which is LKJ({prior.regularization:g}) for the correlations and, for the "
        f"variances, shares ~ Dirichlet({prior.concentration:g}) of a total {len(block.columns)} {squared} with {gamma}"
    )


def _sampling_paragraph(account: FitAccount) -> Paragraph:
    settings = account.settings
    per_chain = account.n_draws // account.n_chains
    chains = "one chain" if account.n_chains == 1 else f"{account.n_chains} chains"
    exactly = " and then drawn exactly given the variances" if account.exact else ""
    sentences = [
        f"The posterior was sampled with {account.sampler}{exactly}, in {chains} of {per_chain} draws after "
        f"{settings.tune} iterations of warm-up ({account.n_draws} draws in all; target acceptance "
        f"{settings.target_accept:g}; seed {settings.seed}).",
        f"Software: {listed([f'{name} {version}' for name, version in account.versions.items()])}.",
        *_convergence_sentences(account),
        *(f"{note[0].upper()}{note[1:]}." for note in account.notes),
    ]
    return Paragraph("Sampling", (" ".join(sentences),))


def _convergence_sentences(account: FitAccount) -> list[str]:
    table = account.convergence
    said = []
    rhat = table["rhat"].dropna()
    if len(rhat) and account.n_chains > 1:
        said.append(f"the largest Rhat was {rhat.max():.3f} ({rhat.idxmax()})")
    for name, words in (("ess_bulk", "bulk"), ("ess_tail", "tail")):
        known = table[name].dropna()
        if len(known):
            said.append(f"the smallest {words} effective sample size {known.min():.0f} ({known.idxmin()})")
    energy = account.chains["e_bfmi"].dropna()
    if len(energy):
        said.append(f"the smallest E-BFMI {energy.min():.2f}")
    diverged = int(account.chains["divergences"].sum())
    count = {0: "no draw", 1: "one draw"}.get(diverged, f"{diverged} draws")
    text = listed(said)
    return [f"{text[0].upper()}{text[1:]}; {count} diverged." if said else f"{count.capitalize()} diverged."]


# -- results -----------------------------------------------------------------------------------------


def _fixed_paragraph(account: FitAccount, digits: int) -> Paragraph:
    rows = account.rows[account.rows["part"] == "fixed"].to_dict("records")
    if not rows:
        return Paragraph("Fixed effects", ())
    interval = f"{100 * account.prob:g}% central posterior interval"
    kind = ratio(account.design)
    parts = []
    for row in rows:
        positive = "positive" if row["estimate"] > 0 else "negative"
        direction = account.direction[row["term"]]
        shown = f"{direction:.3f}" if direction < 0.9995 else "> 0.999"
        told = f"{row['term']} {estimate_text(row, digits)}"
        if kind and row["term"] != "(Intercept)":
            told += f", {kind} {estimate_text(exponentiated(row), digits)}"
        parts.append(f"{told}, P({positive}) {'= ' if direction < 0.9995 else ''}{shown}")
    scale = scale_of(account.design)
    of = f" on the {scale} scale" if scale else ""
    return Paragraph("Fixed effects", (f"Posterior median [{interval}]{of}: {'; '.join(parts)}.",))


def exponentiated(row: Mapping) -> dict:
    """Return a row of `model_rows` with exp(estimate) and its interval: quantiles of exp(x) are exp of x's."""
    ends = {key: float(np.exp(row[key])) for key in ("estimate", "conf_low", "conf_high")}
    width = (ends["conf_high"] - ends["conf_low"]) / 10
    return {**row, **ends, "std_error": width}


def estimate_text(row: Mapping, digits: int) -> str:
    """Write an estimate with its interval, if it has one."""
    decimals = row_decimals(row["part"], [dict(row)], digits)
    text = number_text(row["estimate"], decimals)
    if np.isnan(row["conf_low"]):
        return text
    return f"{text} [{number_text(row['conf_low'], decimals)}, {number_text(row['conf_high'], decimals)}]"


def variance_sentences(design: Design, rows: pd.DataFrame, digits: int) -> list[str]:
    """Tell standard deviations, correlations and shares of variance, group by group.

    `rows` has the columns of `model_rows`, groups by the blocks' labels.
    """
    found = {
        (row["part"], row["group"] if isinstance(row["group"], str) else "", row["term"]): estimate_text(
            row, digits
        )
        for row in rows.to_dict("records")
    }
    sentences = [_block_sentence(b.label, b.columns, found) for b in design.blocks]
    if ("random", "Residual", "sd__Observation") in found:
        sentences.append(
            f"The residual standard deviation was {found['random', 'Residual', 'sd__Observation']}."
        )
    own = {term: text for (part, group, term), text in found.items() if part == "random" and not group}
    cuts = [f"{term[len(CUT) : -1]} {text}" for term, text in own.items() if term.startswith(CUT)]
    sentences += [f"The thresholds were {listed(cuts)}."] if cuts else []
    others = {term: text for term, text in own.items() if not term.startswith(CUT)}
    sentences += [f"The parameter {term} of the family was {text}." for term, text in others.items()]
    latent = "" if design.family.has_sigma else " on the latent scale"
    for b in design.blocks:
        if ("share", b.label, "icc") in found:
            where = "" if len(b.columns) == 1 else f" (where {listed(_slopes(b.columns))} = 0)"
            text = f"The intraclass correlation of {b.label}{where}{latent} was {found['share', b.label, 'icc']}."
            sentences.append(text)
    if ("share", "", "r2_marginal") in found:
        marginal, conditional = (found["share", "", f"r2_{k}"] for k in ("marginal", "conditional"))
        text = (
            f"Nakagawa's R² was {marginal} for the fixed effects, and {conditional} with the group effects."
        )
        sentences.append(text)
    return sentences


def _block_sentence(label: str, columns: Sequence[str], found: Mapping[tuple[str, str, str], str]) -> str:
    values = [found["random", label, f"sd__{c}"] for c in columns]
    first, *others = effect_names(columns)
    text = f"Between levels of {label} the standard deviation of {first} was {values[0]}"
    those = [f"that of {name} {value}" for name, value in zip(others, values[1:], strict=True)]
    text = listed([text, *those])
    terms = [(columns[j], columns[i]) for i, j in lower_pairs(len(columns))]
    cors = [(x, y, found["random", label, f"cor__{x}.{y}"]) for x, y in terms]
    if len(cors) == 1:
        text += f"; their correlation was {cors[0][2]}"
    elif cors:
        text += "; the correlations were " + listed([f"{value} ({x}, {y})" for x, y, value in cors])
    return f"{text}."


def _slopes(columns: Sequence[str]) -> list[str]:
    return [c for c in columns if c != "(Intercept)"]


def _comparison_paragraph(account: FitAccount) -> Paragraph:
    plain = account.design.family.is_gaussian_identity
    comparison, frequentist = account.comparison, "REML" if plain else "maximum likelihood"
    heading = f"Comparison with {frequentist}"
    if comparison is None:
        why = "The data do not determine the model without priors: it has no REML fit." if plain else ""
        return Paragraph(heading, (why,))
    frame = comparison.frame
    agree, total = int((frame["verdict"] == "agree").sum()), len(frame)
    interval = f"{100 * comparison.prob:g}% posterior interval"
    how = comparison.method if plain else f"maximum likelihood ({_integral(comparison.method)})"
    start = f"The same model was fitted by {how}, as lme4 does."
    if agree == total:
        text = f"{start} All {total} estimates lie in their {interval}s."
    else:
        text = f"{start} Of {total} estimates, {agree} lie in their {interval}s and are no boundary values."
    for row in frame[frame["verdict"] != "agree"].to_dict("records"):
        text += f" {_named(row)}: {verdict_note(row, comparison.method, comparison.has_sigma)}{_apart(row)}."
    shift = frame["shift"].abs()
    if shift.notna().any():
        row = frame.loc[shift.idxmax()]
        text += f" The largest difference is {shift.max():.2f} posterior standard deviations ({_named(dict(row))})."
    if comparison.uninformed:
        text += f" {laplace_note(comparison)}"
    return Paragraph(heading, (f"{text} {account.reference_status}".strip(),))


def _integral(method: str) -> str:
    """Say how group effects were integrated out."""
    return "Laplace approximation" if method == "Laplace" else f"adaptive Gauss-Hermite quadrature, {method}"


def _apart(row: Mapping) -> str:
    return ": the estimate lies outside the interval" if row["verdict"] == "prior-sensitive" else ""


def _named(row: Mapping) -> str:
    parts = {"fixed": "fixed", "ran_pars": "random", "auxiliary": "random"}
    part = parts.get(row["effect"], "share")
    return row_label(part, row["group"] or "", "icc" if part == "share" else row["term"])


def _references(account: FitAccount) -> list[str]:
    works = [citations.BAMBI, citations.NUTS, citations.NUTPIE]
    works += [citations.PYMC] if "PyMC" in account.sampler else []
    works += [citations.RSTANARM]
    works += [citations.LKJ] if any(len(b.columns) > 1 for b in account.design.blocks) else []
    works += [citations.RHAT]
    works += [citations.BFMI] if account.chains["e_bfmi"].notna().any() else []
    shares = account.rows["term"].isin(["r2_marginal", "icc"]).any()
    works += [citations.R2] if (account.rows["term"] == "r2_marginal").any() else []
    works += [citations.R2_FAMILIES] if shares and not account.design.family.is_gaussian_identity else []
    works += [citations.R2_SLOPES] if any(len(b.columns) > 1 for b in account.design.blocks) else []
    works += [] if account.comparison is None else [citations.LME4]
    return sorted(works)
