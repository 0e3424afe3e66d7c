"""The doctor's page: what is degenerate, what the posterior says instead, what could be left out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayesmlm.doctoring import Findings
from bayesmlm.report.diagnosis import (
    advice_sentences,
    boundary_sentences,
    convergence_sentences,
    method,
    reference_sentences,
)
from bayesmlm.report.grid import Grid, Part, Report, Sentences
from bayesmlm.report.rformat import format_fixed, format_p
from bayesmlm.report.words import listed

WIDTH = 110
READ_ON = (
    "Barr, Levy, Scheepers & Tily (2013, J. Mem. Lang. 68, 255-278): keep what the design asks for. Bates, "
    "Kliegl, "
    "Vasishth & Baayen (2015, arXiv:1506.04967), Matuschek, Kliegl, Vasishth, Baayen & Bates (2017, J. "
    "Mem. Lang. 94, "
    "305-315): leave out what the data do not support, or power is lost."
)


def doctor_report(f: Findings) -> Report:
    """Lay out the doctor's page."""
    parts: list[Part] = [f"Doctor: {f.design.formula.spelled}", ""]
    parts += [*map(_wrapped, reference_sentences(f))]
    said = boundary_sentences(f)
    if f.boundary is not None and (said or f.degenerate or f.refused):
        parts += ["", "What the posterior says instead:", _boundary_grid(f), *map(_wrapped, said)]
    if len(f.ladder):
        parts += ["", "Simpler models, one thing dropped at a time:", _ladder_grid(f), *_legend(f)]
        parts += ["", "Advice:", *map(_wrapped, advice_sentences(f)), _wrapped(READ_ON)]
    else:
        parts += ["", *map(_wrapped, advice_sentences(f))] if advice_sentences(f) else []
    trouble = convergence_sentences(f)
    parts += ["", *map(_wrapped, trouble)] if trouble else []
    return Report(tuple(parts), f.ladder)


def _wrapped(text: str) -> Sentences:
    return Sentences(text, WIDTH, "  ", "    ")


def _boundary_grid(f: Findings) -> Grid:
    assert f.boundary is not None
    interval = f"{100 * f.prob:g}%"
    heads = (method(f), "Median", f"{interval} interval", "P(boundary)", f"prior {interval}", "width/prior")
    rows = [
        (
            _short(r["reference"]),
            _short(r["median"]),
            f"[{_short(r['conf_low'])}, {_short(r['conf_high'])}]",
            f"{r['near_boundary']:.2f}",
            f"[{_short(r['prior_low'])}, {_short(r['prior_high'])}]",
            f"{r['width_ratio']:.2f}",
        )
        for r in f.boundary.to_dict("records")
    ]
    names = tuple(f"  {r['block']} {r['term'].replace('__', ' ')}" for r in f.boundary.to_dict("records"))
    return Grid(heads, tuple(rows), names)


def _short(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3g}"


# -- the ladder --------------------------------------------------------------------------------------


def _ladder_grid(f: Findings) -> Grid:
    frame = f.ladder
    numbers = {
        "npar": ("npar", 0),
        "loglik": ("logLik", 1),
        "reml_loglik": ("REML logLik", 1),
        "aic": ("AIC", 1),
        "chisq": ("Chisq", 2),
    }
    heads = ["dropped"]
    columns = [["" if step == "full" else step for step in frame["step"]]]
    if frame["reml_loglik"].isna().all():
        del numbers["reml_loglik"]
    for name, (head, places) in numbers.items():
        columns.append(_blank_nan(frame[name], places))
        heads.append(head)
    p = frame["p_boundary"].where(frame["p_boundary"].notna(), frame["p_value"])
    texts = iter(format_p(p.dropna().tolist(), 2))
    columns.append([next(texts) if known else "" for known in p.notna()])
    heads.append("p")
    if frame["elpd"].notna().any():
        columns += [_blank_nan(frame["elpd_diff"], 1), _blank_nan(frame["se_diff"], 1)]
        heads += ["elpd diff", "SE"]
    columns.append(["yes" if s else "" for s in frame["singular"]])
    columns.append(frame["verdict"].tolist())
    names = [
        bar if bar else f"without {_group_of(f, b)}"
        for bar, b in zip(frame["bar"], frame["block"], strict=True)
    ]
    return Grid(
        (*heads, "singular", "verdict"), tuple(zip(*columns, strict=True)), tuple(f"  {n}" for n in names)
    )


def _group_of(f: Findings, label: str) -> str:
    return next(str(b.bar) for b in f.design.blocks if b.label == label)


def _blank_nan(values: pd.Series, places: int) -> list[str]:
    texts = iter(format_fixed(values.dropna().tolist(), places))
    return [next(texts) if known else "" for known in values.notna()]


def _legend(f: Findings) -> list[Sentences]:
    how = "" if f.design.family.is_gaussian_identity else " (Laplace's approximation)"
    said = (
        f"Chisq, p: likelihood ratio against the row above, both by ML{how}; p by the mixture of chi-squares "
        "where a variance "
        "of 0 is tested."
    )
    if f.ladder["elpd"].notna().any():
        said += " elpd diff: how much worse (-) the posterior predicts left-out rows than the whole model."
    lines = [_wrapped(said)]
    bad = f.ladder[f.ladder["bad_k"] > 0]
    if len(bad):
        counts = listed([f"{int(r['bad_k'])} in {r['bar'] or 'no bar'}" for r in bad.to_dict("records")])
        lines.append(_wrapped(f"Rows with a Pareto k above 0.7, whose elpd is uncertain: {counts}."))
    for r in f.ladder.to_dict("records"):
        if r["note"]:
            lines.append(_wrapped(f"{r['bar'] or 'no bar'}: {r['note']}"))
    return lines
