"""`fit(file=)`: a fit is read from a file, and sampled again only when something that matters has changed."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from bayesmlm.design import Block, Design
from bayesmlm.drawing import default_accept, sampler_obstacle
from bayesmlm.draws import kept_levels
from bayesmlm.errors import BayesMLMError, BayesMLMWarning, FileError, SamplingError, did_you_mean, warn
from bayesmlm.priors import Adjusted, Priors
from bayesmlm.report.prior import prior_text
from bayesmlm.result import Fit
from bayesmlm.sampling.settings import Settings
from bayesmlm.storage.archive import check_seal
from bayesmlm.storage.codec import Encoder
from bayesmlm.storage.fitfile import read_fit, storable
from bayesmlm.storage.paths import file_path

ON_CHANGE, ALWAYS, NEVER = REFITS = ("on_change", "always", "never")
ROUNDING = 1e-10  # other processors round otherwise in the last digits of a spline or a polynomial
# These do not change the draws, or are compared by what they lead to.
IGNORED = {"cores", "progress", "seed", "sampler", "target_accept", "keep_ranef"}


def fit_or_load(
    file: Any, refit: str, design: Design, priors: Priors, settings: Settings, seed_given: bool
) -> Fit:
    """Return the fit that a file keeps, or sample the posterior and keep it there.

    Parameters
    ----------
    file
        Name of the file.
    refit
        ``"on_change"``: sample if there is no file, or its fit is of another model, other data or settings;
        ``"always"``; ``"never"``: take the file as it is, and sample only if there is none.
    design, priors, settings
        What to fit and how.
    seed_given
        Whether the caller chose the seed, so that it matters.

    Raises
    ------
    FileError
        Before anything is sampled: for a name that cannot be a file's, or of a file that is not a fit or of a newer
        format; for a prior that no file can hold.

    Warns
    -----
    BayesMLMWarning
        If the fit could not be saved; it is returned all the same.
    """
    if refit not in REFITS:
        raise BayesMLMError(
            f"file_refit = {refit!r}: choose 'on_change', 'always' or 'never'.{did_you_mean(str(refit), REFITS)}"
        )
    path = file_path(file)
    _check_storable(design, priors, settings)
    say = _printed if settings.progress else _silent
    old = _kept(path, refit)
    if old is not None:
        old, reasons = _compared(old, design, priors, settings, seed_given)
        if refit == NEVER or not reasons:
            though = (
                f"; not fitted again although {'; '.join(reasons)}" if reasons else ", nothing has changed"
            )
            say(f"{path.name}: loaded{though}")
            return old
        say(f"{path.name}: fitting again, because {'; '.join(reasons)}")
    fit = Fit.draw(design, priors, settings)
    try:
        fit.save(path)
        say(f"{path.name}: saved")
    except (Exception, KeyboardInterrupt) as problem:  # the draws are worth more than the file
        what = str(problem) or type(problem).__name__
        warn(f"the fit is not saved: {what}. fit.save(path) tries again", BayesMLMWarning)
    return fit


def _printed(line: str) -> None:
    print(line, flush=True, file=sys.stderr)


def _silent(line: str) -> None:
    pass


def _check_storable(design: Design, priors: Priors, settings: Settings) -> None:
    """Find out before the sampling what could not be saved after it."""
    for name, part in (("design", storable(design)), ("priors", priors), ("settings", settings)):
        Encoder().encode(part, name)


def _kept(path: Path, refit: str) -> Fit | None:
    """Return the fit in a file, None if it is to be made anew; a file that is something else is never replaced."""
    if not path.exists():
        return None
    try:
        if refit == ALWAYS:
            with open(path, "rb") as file:
                check_seal(file, path)
            return None
        return read_fit(path, Fit)
    except FileError as problem:
        if not problem.damaged or refit == NEVER:
            raise
        warn(f"{path} is damaged: the model is fitted again", BayesMLMWarning)
        return None


# -- what has changed ------------------------------------------------------------------------------


def _compared(
    old: Fit, design: Design, priors: Priors, settings: Settings, seed_given: bool
) -> tuple[Fit, list[str]]:
    """Return a fit from a file, ready to stand for a fit to these data, and what speaks against it."""
    reasons = changes(old, design, priors, settings, seed_given)
    if reasons:
        return old, reasons
    used = replace(old.settings, cores=settings.cores, progress=settings.progress)
    source = None if old.saved is None else replace(old.saved, all_columns=True)
    fresh = replace(old, design=design, priors=priors, settings=used, _saved=source)
    try:
        return _with_ranef(fresh, settings), []
    except SamplingError:
        return old, ["it does not have the group effects that keep_ranef asks for"]


def _with_ranef(fit: Fit, settings: Settings) -> Fit:
    have, want = (kept_levels(fit.design, s.keep_ranef) for s in (fit.settings, settings))
    same = all(np.array_equal(a, b) for a, b in zip(have, want, strict=True))
    return fit if same else fit.with_ranef(settings.keep_ranef)


def changes(
    old: Fit, design: Design, priors: Priors, settings: Settings, seed_given: bool = True
) -> list[str]:
    """Say in words how a fit differs from the one that these arguments would make; nothing if it does not.

    The formula counts as R reads it, the data as they enter the model (response, columns, groups, offset, weights),
    priors as they are used, of the settings all that change the draws.
    """
    found = list(_design_changes(old.design, design))
    found += _prior_changes(old.priors, priors, same_design=not found)
    if not found:
        found += _sampler_changes(old, design, priors, settings)
    names = [f.name for f in fields(Settings) if f.name not in IGNORED] + (["seed"] if seed_given else [])
    for name in names:
        before, now = getattr(old.settings, name), getattr(settings, name)
        if before != now:
            found.append(f"{name} was {before}, is {now}")
    asked = (old.settings.chains, old.settings.draws)
    has = (old.posterior.n_chains, old.posterior.fixef.sizes["draw"])
    if not found and has != asked:
        found.append(f"it was interrupted: {has[0]} chains of {has[1]} draws, not {asked[0]} of {asked[1]}")
    return found


def _sampler_changes(old: Fit, design: Design, priors: Priors, settings: Settings) -> Iterator[str]:
    if settings.prior_only:
        return
    before = sampler_obstacle(old.design, old.priors, old.settings)
    now = sampler_obstacle(design, priors, settings)
    if bool(before) != bool(now):
        yield f"sampler was {old.settings.sampler}, is {settings.sampler}"
        return
    accept = default_accept(now, design, priors) if settings.target_accept is None else settings.target_accept
    if accept != old.settings.target_accept:
        yield f"target_accept was {old.settings.target_accept}, is {accept}"


def _design_changes(old: Design, new: Design) -> Iterator[str]:
    if old.formula != new.formula:
        yield f"the formula was {old.formula.spelled}"
        return
    if old.nobs != new.nobs:
        more = new.nobs - old.nobs
        rows = f"{abs(more)} complete {'rows' if abs(more) > 1 else 'row'}"
        yield f"the data have {rows} {'more' if more > 0 else 'fewer'}"
        return
    parts = list(_changed_parts(old, new))
    if parts:
        yield f"the data have changed: {', '.join(dict.fromkeys(parts))}"


def _changed_parts(old: Design, new: Design) -> Iterator[str]:
    """What is not as it was, of two designs of one formula and as many rows."""
    if not _close(old.y, new.y):
        yield new.response
    if old.coefficients != new.coefficients:
        yield from sorted({*old.coefficients} ^ {*new.coefficients}) or ["the order of levels"]
    else:
        yield from _changed_columns(old.coefficients, old.X, new.X)
    for before, now in zip(old.blocks, new.blocks, strict=True):
        yield from _changed_block(before, now)
    for name in ("offset", "weights"):
        if not _close(getattr(old, name), getattr(new, name)):
            yield name


def _changed_block(old: Block, new: Block) -> Iterator[str]:
    if old.label != new.label:
        yield f"the order of {old.label} and {new.label}"
    elif old.levels != new.levels or not np.array_equal(old.index, new.index):
        yield new.group
    elif old.columns != new.columns:
        yield f"the effects of {new.group}"
    else:
        yield from _changed_columns(new.columns, old.Z, new.Z)


def _changed_columns(names: tuple[str, ...], old: np.ndarray, new: np.ndarray) -> Iterator[str]:
    for name, before, now in zip(names, old.T, new.T, strict=True):
        if not _close(before, now):
            yield name


def _close(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    if a is None or b is None:
        return a is b
    size = float(np.abs(a).max(initial=0.0))
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=0, atol=ROUNDING * size, equal_nan=True))


def _prior_changes(old: Priors, new: Priors, same_design: bool) -> Iterator[str]:
    """Compare the priors as used, or, where the data scale them differently, as the caller gave them."""
    before, now = (_by_name(p) if same_design else dict(p.given) for p in (old, new))
    for name in dict.fromkeys([*before, *now]):
        if name not in before or name not in now:
            yield f"the prior of {name} is {'new' if name in now else 'gone'}"
        elif not alike(before[name], now[name]):
            yield f"the prior of {name} was {_prior_text(before[name])}, is {_prior_text(now[name])}"


def _by_name(priors: Priors) -> dict[str, Any]:
    """Every prior of a model by the name of its parameter."""
    found: dict[str, Any] = {}
    for field in fields(priors):
        value = getattr(priors, field.name)
        if field.name != "given":
            found |= dict(value) if isinstance(value, Mapping) else {field.name: value}
    return found


def _prior_text(prior: Any) -> str:
    return prior_text(prior.used if isinstance(prior, Adjusted) else prior, 4)


class _Inline(Encoder):
    """JSON with the arrays in it."""

    def put(self, path: str, values: np.ndarray) -> Any:
        return values.tolist()


def alike(a: Any, b: Any) -> bool:
    """Whether two objects of a fit are the same but for rounding."""
    return _alike(_Inline().encode(a, "one"), _Inline().encode(b, "other"))


def _alike(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_alike(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_alike, a, b))
    if isinstance(a, int | float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=ROUNDING)
    return bool(a == b)
