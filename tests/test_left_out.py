"""Densities of rows that were left out, against dense normal densities; groups, folds, and models without some rows."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from random_designs import FORMULAS, random_design, random_frame
from scipy.stats import multivariate_normal, norm
from synthetic import posterior_of

import bayesmlm as bm
import bayesmlm.group_density
from bayesmlm.design import build_design
from bayesmlm.draws import kept_levels, with_levels
from bayesmlm.folds import grouping, leave_out, make_folds
from bayesmlm.group_density import joint_log_density
from bayesmlm.left_out import (
    known_mean,
    long_draws,
    row_log_density,
    rows_by_group,
    rows_of_fit,
    shared_blocks,
)


def draws_for(design, draws=5):
    rng = np.random.default_rng(3)
    widths = {b.label: len(b.columns) for b in design.blocks}
    return posterior_of(
        design,
        fixef=rng.normal(size=design.X.shape[1]),
        sd={label: rng.uniform(0.5, 2, p) for label, p in widths.items()},
        corr=dict.fromkeys(widths, 0.3),
        b={b.label: rng.normal(size=(len(b.levels), len(b.columns))) for b in design.blocks},
        sigma=1.3,
        spread=0.2,
        chains=2,
        draws=draws,
    )


def dense(rows, draws, s):
    """Mean and covariance of rows in draw s, the effects of new levels integrated out."""
    mean = rows.X @ draws.beta[s] + rows.offset
    cov = np.diag(draws.sigma[s] ** 2 / rows.weights)
    for block, b, sigma in zip(rows.blocks, draws.b, draws.cov, strict=True):
        for i in np.flatnonzero(block.known >= 0):
            mean[i] += block.Z[i] @ b[s, block.known[i]]
        together = (block.new[:, None] == block.new) & (block.new[:, None] >= 0)
        cov += together * (block.Z @ sigma[s] @ block.Z.T)
    return mean, cov


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
def test_densities_of_a_group_are_the_dense_ones(formula, monkeypatch):
    monkeypatch.setattr(bayesmlm.group_density, "CELLS", 400)  # draws a few at a time
    design = random_design(formula, weighted=True)
    draws = long_draws(design, draws_for(design))
    for block in design.blocks:
        for rows in rows_by_group(rows_of_fit(design), block.index):
            joint, single = joint_log_density(rows, draws), row_log_density(rows, draws)
            for s in range(0, len(draws), 3):
                mean, cov = dense(rows, draws, s)
                assert joint[s] == pytest.approx(multivariate_normal(mean, cov).logpdf(rows.y), rel=1e-9)
                np.testing.assert_allclose(single[s], norm(mean, np.sqrt(np.diag(cov))).logpdf(rows.y))


def test_a_singular_covariance_is_a_covariance():
    design = random_design("y ~ x + (x | a)")
    draws = long_draws(design, draws_for(design))
    v = np.array([1.5, -0.2])
    draws = replace(draws, cov=(np.broadcast_to(np.outer(v, v), (len(draws), 2, 2)),))
    rows = next(rows_by_group(rows_of_fit(design), design.blocks[0].index))
    mean, cov = dense(rows, draws, 4)
    assert joint_log_density(rows, draws)[4] == pytest.approx(multivariate_normal(mean, cov).logpdf(rows.y))


def test_levels_that_other_groups_have_stay_as_drawn():
    """c is nested in s, s in r, and d is crossed with all: leaving out a level of s takes its c with it."""
    design = random_design("y ~ x + (1 | c) + (1 | s) + (1 | r) + (1 | d)")
    labels = [b.label for b in design.blocks]
    s = design.blocks[labels.index("s")]
    rows = next(rows_by_group(rows_of_fit(design), s.index))
    new = {label: set(b.new) for label, b in zip(labels, rows.blocks, strict=True)}
    assert new == {"c": {0, 1, 2}, "s": {0}, "r": {-1}, "d": {-1}}
    shared = shared_blocks(rows_of_fit(design), s.index)
    assert {labels[i] for i in shared} == {"r", "d"}


def test_groups_need_the_effects_of_crossed_factors_only():
    design = random_design("y ~ x + (1 | c) + (1 | s)")
    posterior = draws_for(design)
    bare = with_levels(posterior, kept_levels(design, False))
    rows, s = rows_of_fit(design), [b.label for b in design.blocks].index("s")
    needed = shared_blocks(rows, design.blocks[s].index)
    group = next(rows_by_group(rows, design.blocks[s].index))
    without = joint_log_density(group, long_draws(design, bare, needed))
    np.testing.assert_array_equal(without, joint_log_density(group, long_draws(design, posterior)))
    with pytest.raises(bm.DataError, match="with_ranef"):
        long_draws(design, bare)


def test_means_given_the_effects():
    design = random_design("y ~ x + (x | a) + (1 | b)", weighted=True)
    posterior = draws_for(design)
    rows, draws = rows_of_fit(design), long_draws(design, posterior)
    mean = known_mean(rows, draws).reshape(2, 5, -1)
    beta, blocks = posterior.fixef.values[1, 2], [b.b.values[1, 2] for b in posterior.blocks]
    expected = design.X @ beta + design.offset
    for block, b in zip(design.blocks, blocks, strict=True):
        expected += (block.Z * b[block.index]).sum(axis=1)
    np.testing.assert_allclose(mean[1, 2], expected)
    # a row whose level is new has the rest of its mean
    a = rows.blocks[0]
    new = replace(rows, blocks=(replace(a, known=np.where(np.arange(90) == 7, -1, a.known)), rows.blocks[1]))
    changed = known_mean(new, draws).reshape(2, 5, -1) - mean
    own = (a.Z[7] * posterior.blocks[0].b.values[:, :, a.known[7]]).sum(axis=-1)
    np.testing.assert_allclose(changed[..., 7], -own)
    assert not np.delete(changed, 7, axis=-1).any()


# -- groups and folds --------------------------------------------------------------------------------


def test_groups_are_factors_of_the_model_or_columns():
    data = random_frame().assign(cohort=np.repeat(["x", "y", "z"], 30))
    design = build_design("y ~ x + (1 | c:d)", data)
    assert grouping(design, "c:d").levels == design.blocks[0].levels
    assert grouping(design, "cohort").levels == ("x", "y", "z")
    with pytest.raises(bm.DataError, match="Did you mean 'cohort'"):
        grouping(design, "cohorts")
    with pytest.raises(bm.DataError, match="one level"):
        grouping(build_design("y ~ x + (1 | c)", data.assign(cohort="x")), "cohort")
    holes = data.assign(cohort=data["cohort"].where(data.index > 3))
    with pytest.raises(bm.DataError, match="missing in 4 rows"):
        grouping(build_design("y ~ x + (1 | c)", holes), "cohort")


def test_folds_are_balanced_random_and_keep_groups_together():
    design = random_design("y ~ x + (1 | c)")
    fold = make_folds(design, 7, None, None, 1)
    assert np.ptp(np.bincount(fold)) <= 1
    np.testing.assert_array_equal(fold, make_folds(design, 7, None, None, 1))
    assert (fold != make_folds(design, 7, None, None, 2)).any()
    group = grouping(design, "c")
    whole = make_folds(design, 18, group, None, 1)
    assert len(np.unique(np.column_stack([whole, group.index]), axis=0)) == 18


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 1}, "from 2 to the number of rows, 90"),
        ({"k": True}, "number of folds"),
        ({"k": 19, "group": "c"}, "levels of c, 18"),
        ({"folds": np.zeros(90)}, "one value only"),
        ({"folds": [1, 2]}, "2 values for 90 rows"),
        ({"folds": np.arange(90) % 2, "group": "c"}, "folds divide c"),
        ({"folds": "nofold"}, "neither a grouping factor"),
    ],
)
def test_folds_that_cannot_be_made(arguments, message):
    design = random_design("y ~ x + (1 | c)")
    group = grouping(design, arguments["group"]) if "group" in arguments else None
    with pytest.raises(bm.DataError, match=message):
        make_folds(design, arguments.get("k", 10), group, arguments.get("folds"), 1)


def test_folds_may_be_given_for_all_rows_of_the_data():
    data = random_frame()
    data.loc[[3, 5], "x"] = np.nan
    design = build_design("y ~ x + (1 | c)", data)
    given = np.arange(90) % 4
    np.testing.assert_array_equal(make_folds(design, 10, None, given, 1), given[design.rows])


# -- models without some rows --------------------------------------------------------------------------


def test_what_a_formula_learns_it_learns_from_the_rows_that_stay():
    data = random_frame()
    data.loc[4, "x"] = np.nan
    design = build_design("y ~ scale(x) + (1 | c)", data, weights="w", offset="o")
    held = np.array([0, 10, 50])
    split = leave_out(design, held)
    out = design.rows[held]
    assert 4 not in out
    expected = build_design("y ~ scale(x) + (1 | c)", data.drop(index=out), weights="w", offset="o")
    np.testing.assert_array_equal(split.design.X, expected.X)
    x = data["x"].drop(index=out)
    np.testing.assert_allclose(split.rows.X[:, 1], (data["x"][out] - x.mean()) / x.std(), rtol=1e-12)
    for ours, name in ((split.rows.y, "y"), (split.rows.weights, "w"), (split.rows.offset, "o")):
        np.testing.assert_array_equal(ours, data[name][out])
    levels = [split.design.blocks[0].levels[i] for i in split.rows.blocks[0].known]
    assert levels == data["c"][out].tolist()


def test_arrays_of_weights_and_offsets_lose_the_same_rows():
    data = random_frame()
    by_name = leave_out(build_design("y ~ x + (1 | c)", data, weights="w", offset="o"), np.array([2, 9]))
    arrays = {"weights": data["w"].to_numpy(), "offset": data["o"].to_numpy()}
    by_value = leave_out(build_design("y ~ x + (1 | c)", data, **arrays), np.array([2, 9]))
    for a, b in ((by_name.design, by_value.design), (by_name.rows, by_value.rows)):
        np.testing.assert_array_equal(a.weights, b.weights)
        np.testing.assert_array_equal(a.offset, b.offset)


def test_a_group_that_is_left_out_whole_is_new():
    design = random_design("y ~ x + (x | c)")
    split = leave_out(design, np.flatnonzero(design.blocks[0].index == 3))
    assert (split.rows.blocks[0].known == -1).all()
    assert set(split.rows.blocks[0].new) == {0}
    assert len(split.design.blocks[0].levels) == 17


def test_rows_can_be_left_out_of_a_design_without_its_data():
    design = build_design("y ~ x + (1 | c)", random_frame(), weights="w", offset="o")
    with_data, without = (leave_out(d, np.array([2, 9])) for d in (design, replace(design, data=None)))
    np.testing.assert_array_equal(with_data.rows.offset, without.rows.offset)
    np.testing.assert_array_equal(with_data.design.weights, without.design.weights)
    np.testing.assert_array_equal(with_data.design.X, without.design.X)


def test_what_cannot_be_left_out():
    data = random_frame()
    rare = data.assign(kind=np.where(data.index == 7, "rare", "usual"))
    with pytest.raises(bm.DataError, match="cannot do without row 7"):
        leave_out(build_design("y ~ kind + (1 | c)", rare), np.array([7]))
    with pytest.raises(bm.DataError, match="depends on which rows there are"):
        leave_out(build_design("scale(y) ~ x + (1 | c)", data), np.array([7, 8]))
    two = build_design("y ~ x + (1 | g)", data.assign(g=np.where(data.index < 45, "one", "two")))
    with pytest.raises(bm.DataError, match="one level only"):
        leave_out(two, np.arange(45))


def test_data_of_any_index():
    data = random_frame()
    moved = data.set_index(pd.Index(np.arange(90)[::-1] * 2))
    for formula in ("y ~ x + (1 | c)", "y ~ scale(x) + (x | a)"):
        a, b = (leave_out(build_design(formula, d), np.array([2, 9])) for d in (data, moved))
        np.testing.assert_array_equal(a.rows.X, b.rows.X)
        np.testing.assert_array_equal(a.rows.y, b.rows.y)
