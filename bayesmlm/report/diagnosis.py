"""What the doctor found, in sentences."""

from __future__ import annotations

import numpy as np

from bayesmlm.doctoring import Convergence, Degenerate, Findings, simplest
from bayesmlm.doctoring.climb import LOST, NOTHING_LOST
from bayesmlm.doctoring.singular import ALL_ZERO, LINE, ZERO_SD
from bayesmlm.explaining.pieces import block_columns
from bayesmlm.report.rformat import format_p


def doctor_sentences(f: Findings) -> tuple[str, ...]:
    """Say what the doctor found, in the order of the page."""
    return (*reference_sentences(f), *boundary_sentences(f), *advice_sentences(f), *convergence_sentences(f))


def method(f: Findings) -> str:
    """Name the method of the reference fit, REML where there is none."""
    if not f.design.family.is_gaussian_identity:
        return "ML"
    return "REML" if f.estimate is None or f.estimate.reml else "ML"


# -- the reference fit -------------------------------------------------------------------------------


def reference_sentences(f: Findings) -> list[str]:
    """Say whether the reference fit is singular, and in which directions."""
    if f.estimate is None:
        return [f"There is no {method(f)} fit of this model: {f.refused}."]
    out = [] if f.estimate.converged else [f"The {method(f)} fit did not converge: {f.estimate.status}."]
    exact = [d for d in f.degenerate if d.exact]
    near = [d for d in f.degenerate if not d.exact]
    if not exact and not f.estimate.singular:
        out.append(
            f"The {method(f)} fit is not singular: no variance, and no combination of effects, is estimated "
            "as 0"
            f"{', though one is near' if near else ''}."
        )
    else:
        out.append(
            f"The {method(f)} fit is singular: it lies on the boundary of what a covariance matrix can be."
        )
    return [*out, *(degenerate_sentence(d, f) for d in (*exact, *near))]


def degenerate_sentence(d: Degenerate, f: Findings) -> str:
    """Say in the data's words which combination of effects does not vary."""
    bar, group = str(d.block.bar), d.block.group
    nearly = "" if d.exact else "nearly "
    if d.kind == ALL_ZERO:
        what = "the variance is" if len(d.weights) == 1 else "all variances are"
        return (
            f"{bar}: {what} {nearly}0; the levels of {group} do not differ more than their rows let expect."
        )
    if d.kind == ZERO_SD:
        column = d.block.columns[int(np.argmax(np.abs(d.weights)))]
        name = "intercept" if column == "(Intercept)" else f"effect of {column}"
        return (
            f"{bar}: the {name} has a variance of {nearly}0; it is {nearly}the same in all levels of {group}."
        )
    if d.kind == LINE:
        return _line(d, f, bar, nearly)
    return (
        f"{bar}: the combination {combination(d)} is {nearly}the same in all levels of {group}: the "
        f"{len(d.weights)} "
        "effects vary in fewer directions."
    )


def _line(d: Degenerate, f: Findings, bar: str, nearly: str) -> str:
    column = d.block.columns[
        next(i for i, w in enumerate(d.weights) if w and d.block.columns[i] != "(Intercept)")
    ]
    piece = next(m for m in block_columns(f.design, d.block) if m.name == column).pieces
    sign = "+1" if d.ratio > 0 else "-1"
    start = (
        f"{bar}: intercepts and effects of {column} are {nearly}correlated at {sign}: a level's effect of "
        f"{column} is "
        f"{d.ratio:.3g} times its intercept (both as differences from the fixed effects)"
    )
    if len(piece) == 1 and piece[0].kind == "number":
        x = d.block.Z[:, d.block.columns.index(column)]
        return (
            f"{start}, so that the lines of all levels of {d.block.group} {nearly}meet at {column} = "
            f"{d.meeting:.3g} (the "
            f"data have {x.min():.3g} to {x.max():.3g})."
        )
    return f"{start}."


def combination(d: Degenerate) -> str:
    """Write w'b with the columns' names: ``(Intercept) - 0.53 x``."""
    order = np.argsort(-np.abs(d.weights))
    out = ""
    for i in (i for i in order if abs(d.weights[i]) > 1e-8):
        w = d.weights[i]
        size = "" if f"{abs(w):.3g}" == "1" else f"{abs(w):.3g} "
        sign = " - " if w < 0 else " + "
        out += f"{sign if out else sign.strip().replace('+', '')}{size}{d.block.columns[i]}"
    return out


# -- the posterior -----------------------------------------------------------------------------------


def boundary_sentences(f: Findings) -> list[str]:
    """Say what the posterior makes of what the reference fit put on the boundary."""
    if f.boundary is None:
        return []
    labels = {d.block.label for d in f.degenerate}
    return [
        _posterior_sentence(r, f)
        for r in f.boundary.to_dict("records")
        if r["block"] in labels and _at_edge(r, f)
    ]


def _at_edge(r: dict, f: Findings) -> bool:
    """Whether the reference fit has this number at, or near, the boundary."""
    assert f.estimate is not None
    if r["term"].startswith("cor__"):
        return bool(np.isnan(r["reference"]) or abs(r["reference"]) > 0.95)
    return bool(r["reference"] * r["typical"] < 0.05 * f.estimate.sigma)


def _posterior_sentence(r: dict, f: Findings) -> str:
    kind, _, name = r["term"].partition("__")
    interval = f"{100 * f.prob:g}% interval [{r['conf_low']:.2g}, {r['conf_high']:.2g}]"
    if kind == "cor":
        a, b = name.split(".", 1) if name.count(".") == 1 else (name, "")
        what = f"the correlation of {a} and {b}" if b else f"the correlation {name}"
        share = f"P(|r| > 0.9) = {r['near_boundary']:.2f}"
    else:
        what = f"the sd of {name}"
        times = "" if name == "(Intercept)" else f" x {r['typical']:.3g}, a typical {name},"
        small = "10% of sigma" if f.design.family.has_sigma else "0.1"
        share = f"P(sd{times} < {small}) = {r['near_boundary']:.2f}"
    where = "leaves it undefined" if np.isnan(r["reference"]) else f"puts it at {r['reference']:.2g}"
    return (
        f"{r['block']}: {method(f)} {where}; the posterior has {what} at {r['median']:.2g}, {interval}, "
        f"{share}. "
        f"{driven(r['width_ratio'])}"
    )


def driven(ratio: float) -> str:
    """Say how much of an interval is the prior's."""
    if np.isnan(ratio):
        return "How much of it is the prior's is not known."
    if ratio > 0.7:
        return "It is mostly the prior's: the data have hardly narrowed it."
    if ratio > 0.3:
        return f"Prior and data share in it: its interval is {ratio:.0%} as wide as the prior's."
    return f"It is the data's: its interval is {ratio:.0%} as wide as the prior's."


def advice_sentences(f: Findings) -> list[str]:
    """Say what to do: keep the model, or what could be left out without loss."""
    exact = any(d.exact for d in f.degenerate) or f.singular
    out = []
    if exact and f.boundary is not None:
        out.append(
            "The posterior needs no repair: its prior keeps covariance matrices off the boundary, and its "
            "intervals hold "
            "what is not known. Keep the model if the design asks for these effects."
        )
    elif exact:
        out.append(
            "Standard errors and tests of variances do not hold on the boundary. Fit the model with "
            "bm.fit, whose posterior "
            "does not stay there, or simplify it."
        )
    for label in dict.fromkeys(f.ladder["block"]):
        out.append(_ladder_sentence(f, label))
    return out


def _ladder_sentence(f: Findings, label: str) -> str:
    found = simplest(f.ladder, label)
    part = f.ladder[f.ladder["block"] == label].to_dict("records")
    top = part[0]
    below = [r for r in part[1:] if found is None or r["npar"] < found["npar"]]
    lost = next((r for r in below if r["verdict"] != NOTHING_LOST), None)
    tail = (
        "" if lost is None else f" {_rung_name(lost)[0].upper()}{_rung_name(lost)[1:]}: {_loss(lost, top)}."
    )
    if found is None:
        return f"{top['bar']}: keep it.{tail}"
    against = _loss(found, top)
    return (
        f"{top['bar']}: if a simpler model is wanted, {_rung_name(found)} loses nothing that shows "
        f"({against}): "
        f"{found['formula']}.{tail}"
    )


def _rung_name(r: dict) -> str:
    return r["bar"] or "leaving it out"


def _loss(r: dict, top: dict) -> str:
    said = []
    if r["verdict"] == LOST:
        said.append("something is lost")
    elif r["verdict"] != NOTHING_LOST:
        said.append("not clear")
    if not np.isnan(r["elpd_diff"]):
        said.append(f"elpd {r['elpd_diff']:+.1f}, SE {r['se_diff']:.1f}")
    if not np.isnan(r["aic"]) and not np.isnan(top["aic"]):
        said.append(f"AIC {r['aic'] - top['aic']:+.1f}")
    p = r["p_value"] if np.isnan(r["p_boundary"]) else r["p_boundary"]
    if not np.isnan(p):
        text = format_p([p], 2)[0].strip()
        said.append(f"p {text}" if text.startswith("<") else f"p = {text}")
    return ", ".join(said)


# -- convergence -------------------------------------------------------------------------------------


def convergence_sentences(f: Findings) -> list[str]:
    """Say what is wrong with the sample, which parameter it is, and what to do next."""
    c = f.convergence
    if c is None:
        return []
    if c.good:
        return ["The chains have converged: nothing to complain about."]
    return _trouble(c)


def _trouble(c: Convergence) -> list[str]:
    out = []
    if c.divergences:
        where = ""
        if c.gathered:
            name, bad, others = c.gathered
            side = "small" if bad < others else "large"
            where = f" They gather where {name} is {side} (median {bad:.3g}, otherwise {others:.3g})."
        out.append(
            f"{c.divergences} of {c.draws} draws diverged: the sampler cannot follow the posterior "
            f"there.{where} Next: fit again "
            "with target_accept=0.99; if some remain, give that parameter a firmer prior or drop the effect."
        )
    if c.rhat:
        out.append(
            f"Rhat of {c.rhat[0]} is {c.rhat[1]:.3f}: the chains do not agree on it yet. Next: tune=2000, "
            "draws=2000; if it "
            "stays, the data may not tell it from another parameter (bm.explain says which)."
        )
    if c.ess:
        out.append(
            f"{c.ess[0]} has {c.ess[1]:.0f} effective draws, fewer than 100 per chain: its interval ends "
            "are uncertain. "
            f"Next: draws={_more(c)}."
        )
    if c.bfmi:
        out.append(
            f"E-BFMI is {c.bfmi[1]:.2f} in chain {c.bfmi[0]}: the tails may be missed. Next: more draws, or "
            "a firmer prior of "
            "the variances."
        )
    return out


def _more(c: Convergence) -> int:
    """Draws per chain that make up for the shortest sample, in round hundreds, ten times as many at most."""
    assert c.ess is not None
    per_chain = c.draws / c.chains
    needed = per_chain * min(10.0, 120 * c.chains / max(c.ess[1], 1.0))
    return int(np.ceil(needed / 500) * 500)
