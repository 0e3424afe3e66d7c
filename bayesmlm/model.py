"""The Bambi adapter: Formula + Design + Priors -> bambi.Model with one correlated block per bar.

Bambi's group-specific terms are independent of each other. Here the terms of one bar share one matrix of
effects: the prior of each term is a callable that takes its column(s) from the block's variables, which the
first of them creates in the PyMC model at hand. Nothing is remembered between builds.

R's terms are written in formulae's language where it reads them alike, so that Bambi can evaluate new data.
Every term's columns are then compared with ours; a term that Bambi codes otherwise, or does not know, enters
as ready-made columns under R's coefficient names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import bambi as bmb
import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt

from bayesmlm.coding import model_columns
from bayesmlm.design import Block, Design
from bayesmlm.draws import BlockSchema, Schema, Variable
from bayesmlm.errors import BayesMLMError
from bayesmlm.evaluate import Evaluator, Factor
from bayesmlm.formula import Term
from bayesmlm.priors import Decov, Distribution, Lkj, Priors
from bayesmlm.syntax import Binary, Call, Name, Node, Number, Paren, String, Unary, names_in

PYMC_NAMES = {
    "normal": ("Normal", {"location": "mu", "scale": "sigma"}),
    "student_t": ("StudentT", {"df": "nu", "location": "mu", "scale": "sigma"}),
    "cauchy": ("Cauchy", {"location": "alpha", "scale": "beta"}),
    "half_normal": ("HalfNormal", {"scale": "sigma"}),
    "half_student_t": ("HalfStudentT", {"df": "nu", "scale": "sigma"}),
    "half_cauchy": ("HalfCauchy", {"scale": "beta"}),
    "exponential": ("Exponential", {"rate": "lam"}),
    "gamma": ("Gamma", {"shape": "alpha", "rate": "beta"}),
}


def interaction(*factors: Any) -> np.ndarray:
    """Combine grouping factors into labels ``a:b``; part of the namespace of Bambi's formulas."""
    columns = [pd.Series(np.asarray(f)).map(_level).to_numpy(dtype=object) for f in factors]
    return np.array([":".join(row) for row in zip(*columns, strict=True)], dtype=object)


def _level(value: Any) -> str:
    return f"{value:.15g}" if isinstance(value, float | np.floating) else str(value)


NAMESPACE: dict[str, Any] = {"log": np.log, "log2": np.log2, "log10": np.log10, "log1p": np.log1p}
NAMESPACE |= {"sqrt": np.sqrt, "exp": np.exp, "abs": np.abs, "np": np, "interaction": interaction}
STATELESS = {"log", "log2", "log10", "log1p", "sqrt", "exp", "abs"}


# -- R's spelling -> formulae's --------------------------------------------------------------------


def translate(node: Node) -> str | None:
    """Return an expression in formulae's language, or None where it has no such expression."""
    match node:
        case Name(name):
            return name if name.isidentifier() else f"`{name}`"
        case Number(value):
            return f"{value:.15g}"
        case String(value):
            return repr(value)
        case Paren(arg):
            return _compose("({})", arg)
        case Unary("-" | "+" as op, arg):
            return _compose(op + "{}", arg)
        case Binary("+" | "-" | "*" | "/" as op, left, right):
            return _compose(f"{{}} {op} {{}}", left, right)
        case Binary("^", left, right):
            return _compose("{} ** {}", left, right)
        case Call(func, ((None, arg),)):
            return _translate_call(func, arg)
    return None


def _translate_call(func: str, arg: Node) -> str | None:
    bare = func.removeprefix("np.")
    if func in {"factor", "as.factor", "C", "ordered", "as.ordered"}:
        return _compose("C({})", arg)
    if func in {"I", "center"} or bare in STATELESS:
        return _compose(f"{func}({{}})", arg)
    return translate(arg) if func == "as.vector" else None


def _compose(template: str, *nodes: Node) -> str | None:
    parts = [translate(n) for n in nodes]
    return None if None in parts else template.format(*parts)


@dataclass(frozen=True)
class Piece:
    """One of our terms as Bambi sees it.

    Attributes
    ----------
    text : tuple of str
        The formulae terms that stand for it: one where it is translated, else one per ready-made column.
    columns : tuple of int
        Positions in X, or in the block's Z.
    native : bool
        Whether Bambi evaluates it from the data.
    """

    text: tuple[str, ...]
    columns: tuple[int, ...]
    native: bool


def _piece(term: Term, columns: tuple[int, ...], names: tuple[str, ...], native: bool) -> Piece:
    texts = [translate(f) for f in term.factors]
    if native and all(t is not None for t in texts):
        return Piece((":".join(str(t) for t in texts),), columns, True)
    return Piece(tuple(f"`{names[i]}`" for i in columns), columns, False)


# -- where our parameters live among Bambi's -------------------------------------------------------


@dataclass(frozen=True)
class BlockPlan:
    """A block among Bambi's terms.

    Attributes
    ----------
    block : Block
    group_text : str
        The grouping factor in formulae's language.
    pieces : tuple of Piece
        An intercept is a piece with text ``("1",)``.
    columns : tuple of Variable
        For each column of the block, its Bambi term; filled in once the Bambi model exists.
    levels : tuple of str
        Levels in Bambi's order.
    """

    block: Block
    group_text: str
    pieces: tuple[Piece, ...]
    columns: tuple[Variable, ...] = ()
    levels: tuple[str, ...] = ()

    @property
    def corr_name(self) -> str:
        """Posterior variable that holds the correlation matrix."""
        return f"{self.block.label}_corr"

    @property
    def schema(self) -> BlockSchema:
        """Where the block's draws will be."""
        b = self.block
        corr = self.corr_name if len(b.columns) > 1 else None
        return BlockSchema(b.label, b.group, b.columns, self.columns, corr)

    @property
    def corr_dims(self) -> tuple[str, str]:
        """Dims of the correlation matrix."""
        return f"{self.block.label}__column_dim", f"{self.block.label}__column_bis_dim"


@dataclass(frozen=True)
class BambiModel:
    """A built bambi.Model and where to find R's parameters in its posterior."""

    model: bmb.Model
    schema: Schema

    @property
    def graph(self) -> pm.Model:
        """The PyMC model."""
        return self.model.backend.model


def build_model(design: Design, priors: Priors) -> BambiModel:
    """Build the bambi.Model of a design, PyMC graph included.

    Raises
    ------
    BayesMLMError
        If Bambi's columns cannot be made to agree with the design's; no model is better than another one.
    """
    native_fixed, native_blocks = _all_native(design)
    for _ in range(2):
        frame = _model_frame(design)
        pieces = _fixed_pieces(design, native_fixed, priors)
        plans = tuple(_block_plan(b, design, n) for b, n in zip(design.blocks, native_blocks, strict=True))
        text = _formula_text(design, pieces, plans, frame)
        model = _bambi_model(text, frame, design)
        if model is not None:
            bad_fixed, coefficients = _match_fixed(model, design, pieces)
            bad_blocks, plans = _match_blocks(model, design, plans)
            if not bad_fixed and not bad_blocks:
                _set_priors(model, design, priors, pieces, plans, coefficients)
                plans = tuple(_plain_group_name(model, plan) for plan in plans)
                model.build()
                return BambiModel(model, Schema(coefficients, tuple(p.schema for p in plans)))
        native_fixed = [n and model is not None and i not in bad_fixed for i, n in enumerate(native_fixed)]
        native_blocks = [n and model is not None and i not in bad_blocks for i, n in enumerate(native_blocks)]
    raise BayesMLMError(f"Bambi reads {text!r} differently from the design: please report this formula")


def _all_native(design: Design) -> tuple[list[bool], list[bool]]:
    """Terms that lost a collinear column, and second blocks on the same columns, need ready-made columns."""
    whole = [not design.aliased for _ in design.formula.fixed.terms]
    blocks: list[bool] = []
    for i, block in enumerate(design.blocks):
        before = {c for other in design.blocks[:i] if other.group == block.group for c in other.columns}
        blocks.append(not before & set(block.columns))
    return whole, blocks


def _model_frame(design: Design) -> pd.DataFrame:
    """The rows used, in dtypes that formulae reads as R would: strings as categories in R's order."""
    frame = design.frame.copy()
    evaluator = Evaluator(frame, design.formula.text)
    for name in frame.columns:
        value = evaluator.value(Name(str(name), start=0, end=0))
        boolean = pd.api.types.is_bool_dtype(frame[name].dtype)
        if isinstance(value, Factor) and not boolean:
            # formulae keeps the order of categories only if they are ordered
            frame[name] = pd.Categorical.from_codes(value.codes, list(value.levels), ordered=True)
        elif not isinstance(value, Factor) and not pd.api.types.is_integer_dtype(frame[name].dtype):
            frame[name] = value
        elif not boolean:
            frame[name] = frame[name].astype("int64")
        else:
            frame[name] = frame[name].astype(bool)
    return frame


def _fixed_pieces(design: Design, native: list[bool], priors: Priors) -> list[Piece]:
    pieces = []
    for i, term in enumerate(design.formula.fixed.terms):
        columns = tuple(j for j, a in enumerate(design.assign) if a == i)
        families = {_family(priors.coefficients[design.coefficients[j]].used) for j in columns}
        if columns:
            pieces.append(_piece(term, columns, design.coefficients, native[i] and len(families) == 1))
    return pieces


def _family(prior: Any) -> Any:
    return prior.name if isinstance(prior, Distribution) else id(prior)


def _block_plan(block: Block, design: Design, native: bool) -> BlockPlan:
    effects = block.bar.effects
    pieces = [Piece(("1",), (0,), True)] if effects.intercept else []
    frame = design.frame
    start = len(pieces)
    for term in effects.terms:
        width = _term_width(term, block, start, frame)
        columns = tuple(range(start, start + width))
        pieces.append(_piece(term, columns, block.columns, native))
        start += width
    group = _group_text(block) if native else f"`{block.label}`"
    return BlockPlan(block, group, tuple(pieces))


def _term_width(term: Term, block: Block, start: int, frame: pd.DataFrame) -> int:
    """How many of the block's columns belong to a term: those whose names have as many factors."""
    columns = model_columns(block.bar.effects, Evaluator(frame, str(block.bar)))
    position = block.bar.effects.terms.index(term)
    return sum(t == position for t in columns.term)


def _group_text(block: Block) -> str:
    names = [names_in(g) for g in block.bar.group]
    texts = [translate(n[0]) for n in names if len(n) == 1]
    if len(texts) < len(names):
        return f"`{block.label}`"
    return str(texts[0]) if len(texts) == 1 else f"interaction({', '.join(map(str, texts))})"


def _formula_text(
    design: Design, pieces: list[Piece], plans: tuple[BlockPlan, ...], frame: pd.DataFrame
) -> str:
    """Write Bambi's formula; columns it needs that are not in the data are added to `frame`."""
    response = translate(design.formula.response) if design.formula.response is not None else None
    if response is None or isinstance(design.formula.response, Binary):
        frame[design.response] = design.y
        response = f"`{design.response}`"
    parts = ["1" if "(Intercept)" in design.coefficients else "0"]
    for piece in pieces:
        parts += piece.text
        if not piece.native:
            for j in piece.columns:
                frame[design.coefficients[j]] = design.X[:, j]
    if design.offset is not None:
        parts.append(_offset_text(design, frame))
    for plan in plans:
        parts += _block_text(plan, frame)
    return f"{response} ~ {' + '.join(parts)}"


def _offset_text(design: Design, frame: pd.DataFrame) -> str:
    texts = [translate(o) for o in design.formula.fixed.offsets]
    if len(texts) == 1 and texts[0] is not None:
        value = np.broadcast_to(
            Evaluator(design.frame, design.formula.text).numeric(design.formula.fixed.offsets[0]), design.nobs
        )
        if design.offset is not None and np.array_equal(value, design.offset):
            return f"offset({texts[0]})"
    frame["offset_"] = design.offset
    return "offset(offset_)"


def _block_text(plan: BlockPlan, frame: pd.DataFrame) -> list[str]:
    block = plan.block
    if plan.group_text == f"`{block.label}`":
        frame[block.label] = pd.Categorical.from_codes(block.index, list(block.levels), ordered=True)
    parts = []
    for piece in plan.pieces:
        for text in piece.text:
            parts.append(f"({text}|{plan.group_text})" if text == "1" else f"(0 + {text}|{plan.group_text})")
        if not piece.native:
            for j in piece.columns:
                frame[block.columns[j]] = block.Z[:, j]
    return parts


def _bambi_model(text: str, frame: pd.DataFrame, design: Design) -> bmb.Model | None:
    """Build the bambi.Model, or None if formulae cannot read a translated term."""
    try:
        return bmb.Model(text, frame, auto_scale=False, extra_namespace=NAMESPACE)
    except (ValueError, KeyError, TypeError, AttributeError, NameError, ArithmeticError):
        return None  # the caller tries again with ready-made columns, and raises if that fails too


def _match_fixed(
    model: bmb.Model, design: Design, pieces: list[Piece]
) -> tuple[set[int], tuple[Variable, ...]]:
    """Compare Bambi's fixed columns with X; return terms that differ and each coefficient's variable."""
    component = model.parameters[model.family.likelihood.parent]
    found: dict[int, Variable] = {}
    if component.intercept_term is not None:
        found[0] = Variable(component.intercept_term.name, None)
    terms = list(component.common_terms.values())
    bad: set[int] = set()
    start = 0
    for piece in pieces:
        mine = terms[start : start + len(piece.text)]
        start += len(piece.text)
        matched = _match_columns(mine, design.X, piece.columns)
        if matched is None:
            bad.add(design.assign[piece.columns[0]])
        else:
            found |= matched
    return bad, tuple(found[j] for j in range(len(design.coefficients)) if j in found)


def _match_columns(terms: list[Any], wanted: np.ndarray, columns: tuple[int, ...]) -> dict[int, Variable] | None:
    """Find each wanted column among those of some Bambi terms; None unless all agree one to one."""
    available = []
    for term in terms:
        data = np.asarray(term.data if hasattr(term, "data") and not hasattr(term, "predictor") else term.predictor)
        data = data.reshape(len(wanted), -1)
        vector = any(d.endswith(("_dim",)) and not d.endswith("__factor_dim") for d in term.coords)
        available += [(term.name, k if vector else None, data[:, k]) for k in range(data.shape[1])]
    if len(available) != len(columns):
        return None
    found = {}
    for j in columns:
        for i, (name, position, values) in enumerate(available):
            if np.allclose(values, wanted[:, j], rtol=1e-10, atol=0):
                found[j] = Variable(name, position)
                available.pop(i)
                break
    return found if len(found) == len(columns) else None


def _match_blocks(
    model: bmb.Model, design: Design, plans: tuple[BlockPlan, ...]
) -> tuple[set[int], tuple[BlockPlan, ...]]:
    component = model.parameters[model.family.likelihood.parent]
    terms = list(component.group_specific_terms.values())
    expected = sum(len(piece.text) for plan in plans for piece in plan.pieces)
    if len(terms) != expected:
        return set(range(len(plans))), plans
    bad: set[int] = set()
    matched, start = [], 0
    for i, plan in enumerate(plans):
        count = sum(len(piece.text) for piece in plan.pieces)
        full = _match_block(plan, terms[start : start + count])
        start += count
        if full is None:
            bad.add(i)
        else:
            matched.append(full)
    return bad, tuple(matched)


def _match_block(plan: BlockPlan, terms: list[Any]) -> BlockPlan | None:
    block = plan.block
    groups = tuple(map(str, terms[0].groups))
    if sorted(groups) != sorted(block.levels):
        return None
    to_ours = np.array([block.levels.index(g) for g in groups]) if groups != block.levels else np.arange(len(groups))
    found: dict[int, Variable] = {}
    start = 0
    for piece in plan.pieces:
        mine = terms[start : start + len(piece.text)]
        start += len(piece.text)
        same_groups = all(np.array_equal(to_ours[t.group_index], block.index) for t in mine)
        matched = _match_columns(mine, block.Z, piece.columns) if same_groups else None
        if matched is None:
            return None
        found |= matched
    return replace(plan, columns=tuple(found[j] for j in range(len(block.columns))), levels=groups)


def _plain_group_name(model: bmb.Model, plan: BlockPlan) -> BlockPlan:
    """Name the terms of an interaction of factors ``1|cask:batch``, as Bambi would, instead of by the call.

    The sampler splits names of dims at commas, so the call's own name could not stay anyway.
    """
    if not plan.group_text.startswith("interaction("):
        return plan
    alias = {v.name: f"{v.name.split('|')[0]}|{plan.block.group}" for v in plan.columns}
    model.set_alias(alias)
    return replace(plan, columns=tuple(replace(v, name=alias[v.name]) for v in plan.columns))


# -- priors ------------------------------------------------------------------------------------------


def bambi_prior(*priors: Any) -> bmb.Prior:
    """Return one bambi.Prior for the columns of a term: scalars for one column, arrays for several."""
    first = priors[0]
    if not isinstance(first, Distribution):
        return first
    name, keys = PYMC_NAMES[first.name]
    values = {new: np.array([p[old] for p in priors]) for old, new in keys.items()}
    return bmb.Prior(name, **{k: v if len(priors) > 1 else float(v[0]) for k, v in values.items()})


def _set_priors(
    model: bmb.Model,
    design: Design,
    priors: Priors,
    pieces: list[Piece],
    plans: tuple[BlockPlan, ...],
    coefficients: tuple[Variable, ...],
) -> None:
    chosen: dict[str, Any] = {"sigma": bambi_prior(priors.sigma.used)}
    if priors.intercept is not None:
        chosen[coefficients[0].name] = bambi_prior(priors.intercept.used)
    members: dict[str, list[tuple[int, int]]] = {}
    for j, variable in enumerate(coefficients):
        if design.coefficients[j] != "(Intercept)":
            members.setdefault(variable.name, []).append((variable.position or 0, j))
    for name, columns in members.items():
        chosen[name] = bambi_prior(*(priors.coefficients[design.coefficients[j]].used for _, j in sorted(columns)))
    for plan in plans:
        chosen |= _block_priors(plan, priors.covariance[plan.block.label])
    model.set_priors(priors=chosen)


def _block_priors(plan: BlockPlan, prior: Decov | Lkj) -> dict[str, bmb.Prior]:
    """One prior per Bambi term of a block; all take their columns from the block's shared variables."""
    out = {}
    for name in dict.fromkeys(v.name for v in plan.columns):
        mine = sorted((v.position or 0, j) for j, v in enumerate(plan.columns) if v.name == name)
        vector = plan.columns[mine[0][1]].position is not None
        take: Any = [j for _, j in mine] if vector else mine[0][1]
        scale = bmb.Prior(type(prior).__name__, dist=_sd_builder(plan, prior, take))
        effect = _effect_builder(plan, prior, take)
        out[name] = bmb.Prior("CorrelatedBlock", dist=effect, noncentered=False, sigma=scale)
    return out


def _sd_builder(plan: BlockPlan, prior: Decov | Lkj, take: Any) -> Callable[..., Any]:
    def build(name: str, dims: Any = None, **_: Any) -> Any:
        sd, _effects = _block_variables(plan, prior)
        return pm.Deterministic(name, sd[take], dims=dims or None)

    return build


def _effect_builder(plan: BlockPlan, prior: Decov | Lkj, take: Any) -> Callable[..., Any]:
    def build(name: str, dims: Any = None, **_: Any) -> Any:
        _sd, effects = _block_variables(plan, prior)
        return pm.Deterministic(name, effects[:, take], dims=dims)

    return build


def _block_variables(plan: BlockPlan, prior: Decov | Lkj) -> tuple[Any, Any]:
    """Return the block's sds (p,) and effects (J, p) in the current PyMC model, created once per model.

    Non-centred: b = z (diag(sd) L)', z standard normal, L the Cholesky factor of the correlations.
    """
    pymc_model = pm.modelcontext(None)
    label, p = plan.block.label, len(plan.block.columns)
    effects_name, sd_name = f"{label}_effects", f"{label}_sd"
    if effects_name in pymc_model.named_vars:
        return pymc_model[sd_name], pymc_model[effects_name]
    sd = pm.Deterministic(sd_name, _sd_variable(label, p, prior, pymc_model["sigma"]))
    z = pm.Normal(f"{label}_z", 0.0, 1.0, shape=(len(plan.levels), p))
    if p == 1:
        return sd, pm.Deterministic(effects_name, z * sd)
    cholesky = _correlation_cholesky(label, p, prior.regularization)
    names = list(plan.block.columns)
    pymc_model.add_coords(dict.fromkeys(plan.corr_dims, names))
    pm.Deterministic(plan.corr_name, cholesky @ cholesky.T, dims=plan.corr_dims)
    return sd, pm.Deterministic(effects_name, z @ (sd[:, None] * cholesky).T)


def _sd_variable(label: str, p: int, prior: Decov | Lkj, sigma: Any) -> Any:
    """Standard deviations of a block, shape (p,): decov's decomposition of the trace, or independent priors."""
    if isinstance(prior, Decov):
        tau = pm.Gamma(f"{label}_tau", alpha=prior.shape, beta=1.0)
        root_trace = tau * prior.scale * sigma
        if p == 1:
            return pt.atleast_1d(root_trace)
        share = pm.Dirichlet(f"{label}_share", a=np.full(p, prior.concentration))
        return pt.sqrt(p * share) * root_trace
    name, keys = PYMC_NAMES[prior.sd.name]
    values = {new: np.array([d[old] for d in prior.adjusted]) for old, new in keys.items()}
    return getattr(pm, name)(f"{label}_scale", **values, shape=p)


def _correlation_cholesky(label: str, p: int, eta: float) -> Any:
    """Cholesky factor of an LKJ(eta) correlation matrix from its canonical partial correlations.

    C-vine of Lewandowski, Kurowicka & Joe (2009, section 2.4): the partial correlations of the k-th tree,
    k = 1..p-1, are independent, 2 Beta(b_k, b_k) - 1 with b_k = eta + (p - 1 - k) / 2; row i of the factor
    is r_ij prod_{k<j} sqrt(1 - r_ik^2).
    """
    rows, cols = np.tril_indices(p, -1)
    shape = eta + (p - 2 - cols) / 2
    partial = 2.0 * pm.Beta(f"{label}_partial", alpha=shape, beta=shape, shape=len(rows)) - 1.0
    entries = [[pt.zeros(()) for _ in range(p)] for _ in range(p)]
    entries[0][0] = pt.ones(())
    position = 0
    for i in range(1, p):
        left = pt.ones(())
        for j in range(i):
            r = partial[position]
            entries[i][j] = r * pt.sqrt(left)
            left = left * (1.0 - r**2)
            position += 1
        entries[i][i] = pt.sqrt(left)
    return pt.stack([pt.stack(row) for row in entries])
