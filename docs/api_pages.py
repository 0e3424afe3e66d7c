"""Writes docs/api/index.rst: public names by subject, and the methods of the classes by the subject they live in.

Made from the package itself, so that a new method or function has its place here without being listed by hand.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from numpydoc.docscrape import NumpyDocString

import bayesmlm as bm

SUBJECTS = {
    "Fitting": (
        "explain",
        "prior_predictive",
        "fit",
        "load",
        "lmer",
        "glmer",
        "lm",
        "complete_pooling",
        "no_pooling",
        "formula",
        "parse_formula",
    ),
    "Comparing and tabulating": ("compare", "loo_compare", "anova", "table"),
    "Data": ("load_dataset", "list_datasets", "describe_dataset"),
}
CLASSES = ("Fit", "ReferenceFit", "GlmerFit", "LinearFit", "Anova", "TermAnova")
# Headings for the parts a fit is joined from; a part that is not named here goes by its docstring.
PARTS = {
    "Sampled": "Estimates, tables and diagnostics",
    "Comparing": "Beside the ML/REML fit",
    "Criticism": "Criticism",
    "Framed": "Data frames",
    "Testing": "Hypotheses",
    "Writing": "Paragraphs for a paper",
    "Estimates": "Estimates and criteria",
    "Quantities": "Shares of variance, checks, a paper's paragraphs",
    "ReferencePictures": "Pictures of a reference fit",
    "CheckPictures": "Pictures for checking",
    "EstimatePictures": "Pictures of estimates",
    "PoolingPictures": "Pictures of pooling",
    "PredictionPictures": "Pictures of what is expected",
    "SharePictures": "Pictures of shares of the variance",
    "Predictions": "Predictions",
    "PriorViews": "Priors beside the posterior",
    "Doctor": "Before and after a fit",
    "Saving": "Keeping fits",
    "Updating": "Fitting again",
    "VarianceShares": "Shares of the variance",
    "Ranked": "Ranks",
    "LevelChecks": "Reliability, pooling and residuals",
}
PART_OF_A_CLASS_ITSELF = "Tests, intervals, predictions"


def write_index(folder: Path) -> None:
    """Write the index; autosummary makes a page of each name in it."""
    lines = ["API reference", "=============", "", ".. currentmodule:: bayesmlm", ""]
    lines += ["``import bayesmlm as bm``: every name below is ``bm.name``.", ""]
    for heading, names in {**SUBJECTS, **_priors_and_others()}.items():
        lines += [*_heading(heading, "-"), *_table(names)]
    lines += [*_heading("Pictures", "-"), "Every picture is also a method of a fit.", ""]
    lines += _table([f"plots.{name}" for name in bm.plots.__all__])
    for name in CLASSES:
        lines += _class_section(name)
    folder.mkdir(exist_ok=True)
    named = {"index", *(f"bayesmlm.{line.strip()}" for line in lines if line.startswith("   "))}
    for page in folder.glob("*.rst"):
        if page.stem not in named:
            page.unlink()  # of a name that is gone
    target, text = folder / "index.rst", "\n".join(lines)
    if not target.exists() or target.read_text() != text:
        target.write_text(text)


def _priors_and_others() -> dict[str, list[str]]:
    listed = {*CLASSES, "plots", *(name for names in SUBJECTS.values() for name in names)}
    found: dict[str, list[str]] = {"Priors": [], "More": [], "Errors and warnings": []}
    for name in bm.__all__:
        value = getattr(bm, name)
        if name in listed:
            continue
        if inspect.isclass(value) and issubclass(value, Exception):
            found["Errors and warnings"].append(name)
        elif value.__module__.startswith("bayesmlm.priors"):
            found["Priors"].append(name)
        else:
            found["More"].append(name)
    return {heading: names for heading, names in found.items() if names}


def _class_section(name: str) -> list[str]:
    cls: Any = getattr(bm, name)
    lines = [*_heading(name, "-"), f".. autoclass:: {name}", "", *_attributes(cls)]
    for part in (*cls.__mro__[1:], cls):
        members = [n for n, value in vars(part).items() if _shown(n, value)]
        if not part.__module__.startswith("bayesmlm") or not members:
            continue
        # Named on the part that has it: a property of a base class is found there by autosummary too.
        title = PART_OF_A_CLASS_ITSELF if part is cls else PARTS.get(part.__name__, _sentence(part))
        lines += [
            *([f".. rubric:: {title}", ""] if len(cls.__mro__) > 2 else []),
            *_table([f"{name}.{n}" for n in members]),
        ]
    return lines


def _attributes(cls: type) -> list[str]:
    """Attributes that the docstrings of its base classes explain; those of its own are part of its entry."""
    found = {
        a.name: a
        for part in reversed(cls.__mro__[1:])
        if part.__module__.startswith("bayesmlm")
        for a in NumpyDocString(inspect.getdoc(part) or "")["Attributes"]
        if not a.name.startswith("_")
    }
    if not found:
        return []
    lines = [".. rubric:: Attributes", ""]
    for name, attribute in found.items():
        lines += [f"``{name}`` : {attribute.type}", *(f"   {line}" for line in attribute.desc)]
    return [*lines, ""]


def without_constructor(app: Any, what: str, name: str, *rest: Any) -> tuple[str, None] | None:
    """Leave out how a fit is constructed, which is the work of `bayesmlm.fit` and the like (a Sphinx event)."""
    return ("", None) if name in {f"bayesmlm.{n}" for n in CLASSES} else None


def _shown(name: str, value: Any) -> bool:
    documented = isinstance(value, property | classmethod) or inspect.isfunction(value)
    return documented and not name.startswith("_") and bool(inspect.getdoc(value))


def _sentence(cls: type) -> str:
    return (inspect.getdoc(cls) or cls.__name__).split("\n")[0].rstrip(".")


def _heading(text: str, mark: str) -> list[str]:
    return ["", text, mark * len(text), ""]


def _table(names: Iterable[str]) -> list[str]:
    return [".. autosummary::", "   :toctree: .", "", *(f"   {name}" for name in names), ""]
