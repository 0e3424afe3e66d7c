"""The caller's choices of priors: which name means what, and which of several wins."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bayesmlm.design import Block, Design
from bayesmlm.errors import PriorError, did_you_mean
from bayesmlm.priors.families import POSITIVE, Decov, Distribution, Lkj, default_lkj_sd, is_custom

ALL = "covariance"
THRESHOLDS = "thresholds"  # of an ordinal model: a vector, for all of which one prior is given
WHOLE, SD, COR = "", "sd", "cor"
_OF_A_GROUP = re.compile(r"(sd|sd__.+|corr?) \((.+)\)")


@dataclass(frozen=True)
class Overrides:
    """The caller's choices, sorted by what they are about.

    Attributes
    ----------
    single : dict of str to prior
        By coefficient, term, ``"(Intercept)"``, ``"fixed"``, ``"sigma"``.
    blocks : dict of str to dict of str to prior
        By block label, grouping factor or ``"covariance"``; then by part: ``""`` for the whole covariance, ``"sd"``,
        ``"sd__<column>"``, ``"cor"``.
    """

    single: dict[str, Any] = field(default_factory=dict)
    blocks: dict[str, dict[str, Any]] = field(default_factory=dict)


def read_overrides(chosen: Mapping[Any, Any], design: Design, terms: list[str]) -> Overrides:
    """Sort the caller's choices; `terms` are those of the fixed part, as the formula spells them.

    Raises
    ------
    PriorError
        For a name that is not in the model, or a parameter that is given two priors.
    """
    out = Overrides()
    single = _single_names(design, terms)
    groups = {ALL, *(n for b in design.blocks for n in (b.label, b.group))}
    for key, value in chosen.items():
        target, part = _target(key, groups, single)
        if isinstance(value, Mapping) and target in groups:
            if part:
                raise PriorError(f"priors: {key!r} takes a prior, not a dict")
            for own, prior in value.items():
                _add(out, target, _part(own, target, design), prior, key)
        elif part:
            _add(out, target, _part(part, target, design), value, key)
        elif target in groups and (target not in single or _of_covariance(value)):
            whole = isinstance(value, Decov | Lkj)
            _add(out, target, WHOLE if whole else SD, value, key)
        elif target in single:
            out.single[target] = value
        else:
            raise _unknown(key, design)
    return out


def parts_of(design: Design, chosen: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the caller's choices without parts of blocks that this design has not: its columns, or correlations.

    Names that it has not at all are left for `read_overrides` to refuse.
    """
    groups = {ALL, *(n for b in design.blocks for n in (b.label, b.group))}
    out: dict[Any, Any] = {}
    for key, value in chosen.items():
        if isinstance(value, Mapping) and key in groups:
            parts = {part: prior for part, prior in value.items() if _has(part, key, design)}
            if parts:
                out[key] = parts
            continue
        target, part = _split(key)
        if not part or target not in groups or _has(part, target, design):
            out[key] = value
    return out


def _split(key: Any) -> tuple[Any, Any]:
    """Split a key that names a part of a block; "" as the part of any other."""
    if isinstance(key, tuple) and len(key) == 2:
        return key
    match = _OF_A_GROUP.fullmatch(key) if isinstance(key, str) else None
    return (match[2], match[1]) if match else (key, "")


def _has(part: Any, target: str, design: Design) -> bool:
    try:
        _part(part, target, design)
    except PriorError:
        return False
    return True


def _single_names(design: Design, terms: list[str]) -> set[str]:
    auxiliary = design.family.auxiliary
    names = {"fixed", *auxiliary, *["aux"] * (len(auxiliary) == 1), *design.coefficients, *terms}
    names |= {THRESHOLDS} if design.family.is_ordinal else set()
    return names | {"Intercept"} if "(Intercept)" in design.coefficients else names - {"(Intercept)"}


def _of_covariance(prior: Any) -> bool:
    """Whether a prior can only be one of a covariance or of standard deviations."""
    return isinstance(prior, Decov | Lkj) or (isinstance(prior, Distribution) and prior.name in POSITIVE)


def _target(key: Any, groups: set[str], single: set[str]) -> tuple[str, str]:
    """Split a key into the name it is about and a part of that."""
    if isinstance(key, tuple) and len(key) == 2 and all(isinstance(k, str) for k in key):
        if key[0] not in groups:
            known = sorted(groups)
            hint = did_you_mean(key[0], known) or f" It has: {', '.join(known)}."
            raise PriorError(f"priors: {key!r} is a part of a grouping factor's prior, but the model has no "
                             f"{key[0]!r}.{hint}")  # fmt: skip
        return key
    if not isinstance(key, str):
        raise PriorError(f"priors: {key!r} is no name: write 'x', 'sigma', 'school' or ('school', 'sd__x')")
    match = _OF_A_GROUP.fullmatch(key)
    if match and key not in single | groups and match[2] in groups:
        return match[2], match[1]
    return key, ""


def _part(part: Any, target: str, design: Design) -> str:
    """Check that some block of `target` has a part; return its name."""
    members = [b for b in design.blocks if target in (ALL, b.label, b.group)]
    correlated = any(len(b.columns) > 1 for b in members)
    known = [SD, *dict.fromkeys(f"sd__{c}" for b in members for c in b.columns), *([COR] * correlated)]
    name = COR if part == "corr" else part
    if name == COR and not correlated:
        raise PriorError(f"priors: {target!r} has no correlations, for no block there has two columns")
    if name not in known:
        cor = " Correlations have one prior together: 'cor'." if str(name).startswith("cor") else ""
        hint = did_you_mean(str(name), known) or f" It has: {', '.join(known)}."
        raise PriorError(f"priors: {target!r} has no {name!r}.{cor or hint}")
    return str(name)


def _add(out: Overrides, target: str, part: str, prior: Any, key: Any) -> None:
    own = out.blocks.setdefault(target, {})
    if part in own:
        what = f"{part} of {target}" if part else target
        raise PriorError(f"priors: {what} is given twice, the second time as {key!r}")
    own[part] = prior


def _unknown(key: str, design: Design) -> PriorError:
    """The error for a name that is not in the model, with the nearest that is."""
    slopes = [c for c in design.coefficients if c != "(Intercept)"]
    intercept = ["(Intercept)"] if "(Intercept)" in design.coefficients else []
    groups = dict.fromkeys(n for b in design.blocks for n in (b.label, b.group))
    auxiliary = [*design.family.auxiliary, *[THRESHOLDS] * design.family.is_ordinal]
    known = [*slopes, *intercept, "fixed", *auxiliary, ALL, *groups]
    parts = [f"{p} ({b.label})" for b in design.blocks for p in (SD, *(f"sd__{c}" for c in b.columns))]
    parts += [f"{COR} ({b.label})" for b in design.blocks if len(b.columns) > 1]
    exact = next((p for p in parts if p.startswith(f"{key} (")), None)
    if exact:
        return PriorError(f"priors: the model has no {key!r}. Did you mean {exact!r}?")
    hint = did_you_mean(key, [*known, *parts]) or f" It has: {', '.join(known)}."
    return PriorError(f"priors: the model has no {key!r}.{hint}")


# -- one block -----------------------------------------------------------------------------------------


def block_prior(block: Block, overrides: Overrides, default: Decov) -> Decov | Lkj:
    """Return the prior of one block as specified: what is said of the block goes before what is said of its
    grouping factor, and that before what is said of all; one part's prior before the whole's.

    Raises
    ------
    PriorError
        For a prior that does not fit, or one for some standard deviations of a block whose others have none.
    """
    prior: Decov | Lkj = default
    own: dict[str, Any] = {}
    for name in dict.fromkeys((ALL, block.group, block.label)):
        parts = overrides.blocks.get(name, {})
        if WHOLE in parts:
            prior, own = parts[WHOLE], {}
            if not isinstance(prior, Decov | Lkj):
                raise _no_covariance(block, prior)
        if SD in parts:
            prior, own = Lkj(prior.regularization, _positive(parts[SD], block, SD)), {}
        for column in block.columns:
            if f"sd__{column}" in parts:
                own[column] = _positive(parts[f"sd__{column}"], block, f"sd__{column}")
        if COR in parts and len(block.columns) > 1:
            prior = _regularised(prior, parts[COR], block)
    if not own:
        return prior
    missing = [c for c in block.columns if c not in own]
    if missing and isinstance(prior, Decov):
        raise PriorError(
            f"priors: {', '.join(f'sd__{c}' for c in own)} of block {block.label!r} but not "
            f"{', '.join(f'sd__{c}' for c in missing)}: decov ties the standard deviations of a block together, so "
            f"give the others too, or {{{block.label!r}: {{'sd': ..., 'sd__{next(iter(own))}': ...}}}}"
        )
    base = None if isinstance(prior, Decov) else prior.sd
    return Lkj(prior.regularization, base, own=tuple(own.items()))


def _regularised(prior: Decov | Lkj, cor: Any, block: Block) -> Decov | Lkj:
    """Return a prior with the correlations of another one."""
    if not isinstance(cor, Lkj):
        raise PriorError(f"priors: 'cor' of block {block.label!r} is {cor!r}: give one such as bm.lkj(2)")
    if cor.sd != default_lkj_sd():
        raise PriorError(
            f"priors: 'cor' of block {block.label!r} is about correlations alone: write 'cor': "
            f"bm.lkj({cor.regularization:g}) and 'sd': ..., or {{{block.label!r}: bm.lkj(..., sd=...)}}"
        )
    return replace(prior, regularization=cor.regularization)


def _positive(prior: Any, block: Block, part: str) -> Any:
    """Check a prior of standard deviations."""
    if is_custom(prior) or (isinstance(prior, Distribution) and prior.name in POSITIVE):
        return prior
    if isinstance(prior, Distribution) and f"half_{prior.name}" in POSITIVE and not prior["location"]:
        given = {k: v for k, v in prior.parameters if k != "location"}
        inner = ", ".join(f"{k}={v:g}" for k, v in given.items())
        raise PriorError(
            f"the prior of {part} of block {block.label!r} is {prior.name}, but standard deviations are positive: "
            f"rstanarm's and brms's {prior.name} is bm.half_{prior.name}({inner}) here; bm.decov(...) or bm.lkj(...) "
            "for the whole covariance"
        )
    raise _no_covariance(block, prior)


def _no_covariance(block: Block, prior: Any) -> PriorError:
    shown = prior.name if isinstance(prior, Distribution) else repr(prior)
    return PriorError(
        f"the prior of block {block.label!r} is {shown}: give bm.decov(...) or bm.lkj(...) for its covariance, or "
        "one of positive numbers such as bm.half_normal(2) for its standard deviations"
    )
