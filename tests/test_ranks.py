"""League tables: ranks, ties, chances and tiers of draws made by hand, and of a real fit."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from random_designs import random_frame
from scipy.stats import norm, rankdata
from synthetic import many_draws, posterior_at

import bayesmlm as bm
from bayesmlm.design import build_design
from bayesmlm.ranks import (
    count_of,
    overlap_factor,
    pair_probability,
    probability_matrix,
    rank_draws,
    rank_table,
    rank_units,
)
from bayesmlm.scores import unit_scores
from bayesmlm.tiers import optimal_tiers

HAND = np.array([[9.0, 5, 1], [9, 5, 1], [5, 9, 1], [7, 7, 7], [1, 1, 9]])


def ranking(draws=HAND, **how):
    levels = [chr(ord("A") + i) for i in range(draws.shape[1])]
    return rank_units(levels, draws, np.full(draws.shape[1], 3), **how)


# -- draws made by hand ----------------------------------------------------------------------------------


def test_ranks_of_each_draw_share_places_where_values_are_equal():
    ranks, first, last = rank_draws(-HAND, 1, 1)
    np.testing.assert_array_equal(ranks, [[1, 2, 3], [1, 2, 3], [2, 1, 3], [2, 2, 2], [2.5, 2.5, 1]])
    np.testing.assert_allclose(first, [(2 + 1 / 3) / 5, (1 + 1 / 3) / 5, (1 / 3 + 1) / 5])
    np.testing.assert_allclose(last, [(1 / 3 + 1 / 2) / 5, (1 / 3 + 1 / 2) / 5, (3 + 1 / 3) / 5])


def test_chances_add_up_to_the_places_there_are():
    rng = np.random.default_rng(1)
    draws = rng.integers(0, 6, (200, 12)).astype(float)  # many ties
    for top, bottom in ((1, 3), (5, 12), (0.25, 0.5)):
        frame = ranking(draws, top=top, bottom=bottom).frame
        k, m = (int(np.ceil(12 * x)) if x < 1 else x for x in (top, bottom))
        assert frame["p_top"].sum() == pytest.approx(k)
        assert frame["p_bottom"].sum() == pytest.approx(m)
        assert frame["rank"].mean() == pytest.approx(6.5)


def test_ranks_do_not_depend_on_how_draws_are_chunked(monkeypatch):
    draws = np.random.default_rng(2).normal(size=(101, 7))
    whole = ranking(draws).frame
    monkeypatch.setattr("bayesmlm.ranks.CHUNK", 50)
    pd.testing.assert_frame_equal(ranking(draws).frame, whole)


def test_a_row_of_the_table():
    table = ranking(prob=0.5, top=1)
    frame = table.frame.set_index("level")
    assert frame.index.tolist() == ["A", "B", "C"], "by median, first to last; equal ones as they come"
    assert frame.loc["A", "estimate"] == 7
    assert frame.loc["A", ["conf_low", "conf_high"]].tolist() == [5, 9]
    assert frame.loc["A", "rank"] == pytest.approx((1 + 1 + 2 + 2 + 2.5) / 5)
    assert frame.loc["A", ["rank_low", "rank_median", "rank_high"]].tolist() == [1, 2, 2]
    assert frame.loc["A", "p_above"] == 1
    assert table.bottom == table.top == 1


def test_the_ranks_alone_are_those_of_the_league_table():
    draws = np.random.default_rng(3).normal(np.arange(6) % 4, 1.0, (80, 6)).round(1)  # with some ties
    table = rank_table("ABCDEF", draws, prob=0.5)
    assert table["rank"].is_monotonic_increasing
    table = table.set_index("level").loc[list("ABCDEF")]
    ranks = rankdata(-draws, axis=1)
    np.testing.assert_allclose(table["rank"], ranks.mean(axis=0))
    np.testing.assert_array_equal(table["rank_high"], np.quantile(ranks, 0.75, axis=0, method="inverted_cdf"))
    league = ranking(draws, prob=0.5).frame.set_index("level").loc[table.index, table.columns]
    pd.testing.assert_frame_equal(table, league)
    with pytest.raises(bm.BayesMLMError, match="prob = 90"):
        rank_table("ABCDEF", draws, prob=90)


def test_ascending_turns_places_but_not_sides():
    down, up = ranking(reference=4.0).frame.set_index("level"), ranking(reference=4.0, ascending=True).frame
    assert up["level"].tolist() == ["C", "B", "A"] or up["level"].tolist() == ["C", "A", "B"]
    up = up.set_index("level").loc[down.index]
    np.testing.assert_allclose(up["rank"], 4 - down["rank"])
    np.testing.assert_allclose(up["p_top"], down["p_bottom"])
    assert up["p_above"].tolist() == down["p_above"].tolist()


def test_classes_and_references():
    draws = np.array([[4.0, 0, -4], [6, 1, -6], [5, -1, -5]])
    assert ranking(draws).frame["class"].tolist() == ["above", "as expected", "below"]
    assert ranking(draws, reference=10).frame["class"].tolist() == ["below"] * 3
    # a reference that moves with the draws is subtracted before the interval is taken
    moving = rank_units(
        "ABC", draws + np.array([[10.0], [0], [-10]]), [1] * 3, reference=np.array([10.0, 0, -10])
    ).frame
    assert moving["class"].tolist() == ["above", "as expected", "below"]
    assert moving["p_above"].tolist() == [1, pytest.approx(0.5), 0]


def test_pairs():
    table = ranking()
    assert table.probability_above("A", "B") == pytest.approx((2 + 0.5 + 0.5) / 5)
    assert pair_probability(("A", "B", "C"), HAND, "C", "A") == pytest.approx((1 + 0.5) / 5)
    matrix = table.pairwise
    assert matrix.loc["A", "B"] == pytest.approx(table.probability_above("A", "B"))
    others = ~np.eye(3, dtype=bool)
    np.testing.assert_allclose((matrix + matrix.T).to_numpy()[others], 1)
    assert np.isnan(np.diag(matrix)).all()
    with pytest.raises(bm.DataError, match="no unit 'D'"):
        table.probability_above("A", "D")


def test_pairwise_is_a_comparison_of_draws():
    draws = np.random.default_rng(4).integers(0, 9, (50, 6)).astype(float)
    matrix = probability_matrix(draws)
    for i, j in itertools.permutations(range(6), 2):
        direct = np.mean(draws[:, i] > draws[:, j]) + 0.5 * np.mean(draws[:, i] == draws[:, j])
        assert matrix[i, j] == pytest.approx(direct)


# -- intervals that show whether two differ ----------------------------------------------------------------


def test_overlap_intervals_of_equal_sds_are_the_well_known_ones():
    assert overlap_factor(np.full(10, 3.0)) == pytest.approx(1.386, abs=5e-4)


def test_overlap_intervals_err_in_five_of_a_hundred_pairs():
    sd = np.array([0.5, 1, 1.5, 4])
    c = overlap_factor(sd)
    assert c > 1.386
    errors = [
        2 * norm.sf(c * (a + b) / np.hypot(a, b)) for a, b in itertools.combinations(sd, 2)
    ]  # P(|difference| of two equal units exceeds both half intervals)
    assert np.mean(errors) == pytest.approx(0.05)


# -- tiers -----------------------------------------------------------------------------------------------------


def loss(tiers, higher, prob):
    """Of all pairs in order: 1 - prob within a tier, the probability of a wrong order between tiers."""
    pairs = itertools.combinations(range(len(tiers)), 2)
    return sum(1 - prob if tiers[i] == tiers[j] else 1 - higher[i, j] for i, j in pairs)


@pytest.mark.parametrize("prob", [0.5, 0.7, 0.8, 0.95])
@pytest.mark.parametrize("seed", range(4))
def test_tiers_have_the_least_loss_of_all_ways_to_cut(prob, seed):
    rng = np.random.default_rng(seed)
    centre = -np.sort(-rng.normal(size=8))
    higher = norm.cdf(np.subtract.outer(centre, centre) / rng.uniform(0.3, 1.5))
    every = [1 + np.cumsum([0, *cuts]) for cuts in itertools.product([0, 1], repeat=7)]
    found = optimal_tiers(higher, prob)
    assert loss(found, higher, prob) == pytest.approx(min(loss(t, higher, prob) for t in every))
    assert found[0] == 1
    assert set(np.diff(found)) <= {0, 1}


def test_two_units_are_split_where_their_order_is_sure_enough():
    pair = np.array([[0.5, 0.81], [0.19, 0.5]])
    assert optimal_tiers(pair, 0.8).tolist() == [1, 2]
    assert optimal_tiers(pair, 0.82).tolist() == [1, 1]
    assert optimal_tiers(np.full((5, 5), 0.5), 0.8).tolist() == [1] * 5
    assert optimal_tiers(np.full((1, 1), 0.5), 0.8).tolist() == [1]


def test_units_far_apart_get_tiers_and_units_alike_do_not():
    rng = np.random.default_rng(5)
    centre = np.repeat([10.0, 0, -10], 4)
    frame = ranking(centre + rng.normal(size=(500, 12))).frame
    assert frame["tier"].tolist() == [1] * 4 + [2] * 4 + [3] * 4


# -- what is ranked --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", [{}, {"offset": "o"}])
def test_expected_outcomes_are_mean_predictions_with_the_predictor_set(extra):
    data = random_frame().assign(k=lambda f: np.where(f["x"] > 40, "u", "v"))
    ref = bm.lmer("y ~ scale(x) * k + z + (scale(x) + k | a) + (1 | b) + offset(z)", data, **extra)
    cov = [b.cov for b in ref.estimate.varcorr.blocks]
    posterior = posterior_at(ref.design, ref.fixef(), cov, ref.sigma, [r.mode for r in ref.estimate.ranef])
    scores = unit_scores(ref.design, posterior, "a", at={"x": 42.0, "k": "v"})
    effects = "~ (scale(x) + k | a)"
    given = {} if not extra else {"offset": data["o"].to_numpy()}
    for level in ("3", "11"):
        rows = data.assign(x=42.0, k="v", a=level)
        expected = ref.predict(rows, re_formula=effects, **given).mean()
        assert scores.draws[0, scores.levels.index(level)] == pytest.approx(expected, rel=1e-10)
    average = ref.predict(data.assign(x=42.0, k="v"), re_formula="~0", **given).mean()
    np.testing.assert_allclose(scores.reference, average, rtol=1e-10)


def test_a_class_by_itself_and_with_its_school():
    design = build_design("y ~ x + (x | s / c) + (1 | a)", random_frame())
    posterior = many_draws(design)
    inner, outer = (next(b for b in posterior.blocks if b.group == g) for g in ("c:s", "s"))
    own = unit_scores(design, posterior, "c:s", "x")
    np.testing.assert_array_equal(own.draws, inner.b.values[0, ..., 1])
    total = unit_scores(design, posterior, "c:s", "x", total=True)
    assert total.outer == ("s",)
    for j, level in enumerate(total.levels):
        school = level.split(":")[1]
        expected = inner.b.values[0, :, j, 1] + outer.b.sel(level=school, column="x").values[0]
        np.testing.assert_allclose(total.draws[:, j], expected, rtol=1e-12)
    mean = unit_scores(design, posterior, "c:s", at={"x": 0.0}, total=True)
    level = mean.levels[0]
    expected = (
        posterior.fixef.values[0, :, 0]
        + inner.b.values[0, :, 0, 0]
        + outer.b.sel(level=level.split(":")[1]).values[0, :, 0]
    )
    np.testing.assert_allclose(mean.draws[:, 0], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"group": "scool"}, bm.DataError, "Did you mean 'school'"),
        ({"column": "femaleM"}, bm.DataError, "Did you mean 'femaleF'"),
        ({"at": {"femal": "F"}}, bm.DataError, "Did you mean 'female'"),
        ({"at": {"school": "22520"}}, bm.DataError, "not a predictor"),
        ({"at": {"female": ["F", "M"]}}, bm.DataError, "2 values of female"),
        ({"at": {"female": "X"}}, bm.DataError, "X"),
        ({"at": "female"}, bm.DataError, "a dict"),
        ({"top": 74}, bm.BayesMLMError, "1 to 73"),
        ({"top": "ten"}, bm.BayesMLMError, "'ten'"),
        ({"top": True}, bm.BayesMLMError, "True"),
        ({"bottom": 2.5}, bm.BayesMLMError, "bottom = 2.5"),
        ({"prob": 1.0}, bm.BayesMLMError, "prob = 1.0"),
        ({"tier_prob": 0.3}, bm.BayesMLMError, "likelier than not"),
    ],
)
def test_what_cannot_be_ranked(m3, arguments, error, words):
    with pytest.raises(error, match=words):
        m3.league_table(**arguments)


def test_numbers_and_shares_of_units():
    assert [count_of(None, n, "top") for n in (3, 12, 40, 400)] == [1, 3, 10, 10]
    assert [count_of(x, 73, "top") for x in (0.1, 10, 10.0, 0.999)] == [8, 10, 10, 73]


# -- a real fit -------------------------------------------------------------------------------------------------


def test_league_table_of_schools(m3):
    table = m3.league_table("school", top=0.1)
    frame = table.frame.set_index("level")
    b = m3.posterior.block("school").b.sel(column="(Intercept)")
    best = b.sel(level=frame.index[0]).values.ravel()
    assert frame["estimate"].iloc[0] == pytest.approx(np.median(best))
    assert frame["n"].sum() == 1725
    assert frame["p_top"].sum() == pytest.approx(8)
    first, last = frame.index[0], frame.index[-1]
    direct = float((b.sel(level=first) > b.sel(level=last)).mean())
    assert table.probability_above(first, last) == m3.probability_above(first, last)
    assert table.probability_above(first, last) == pytest.approx(direct)
    assert (frame["rank_low"] <= frame["rank"]).all()
    assert (frame["rank"] <= frame["rank_high"]).all()
    same = m3.league_table(at={"female": "M"}).frame.set_index("level")
    np.testing.assert_allclose(same["rank"], frame["rank"].loc[same.index], rtol=1e-9)
    assert same["p_above"].to_dict() == frame["p_above"].loc[same.index].to_dict()


def test_a_long_table_prints_its_ends(m3):
    table = m3.league_table()
    text = str(table)
    assert "... 53 more" in text
    assert table.frame["level"].iloc[9] in text
    assert table.frame["level"].iloc[10] not in text.split("Rank 1")[0]
    assert "P(top 10)" in text
    assert "expected to be on the other side" in text
    assert "<table>" in table._repr_html_()
