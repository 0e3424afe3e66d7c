"""Predictive checks: statistics of replicated data beside that of the response."""

import numpy as np
import pytest
from random_designs import random_design
from synthetic import posterior_of

import bayesmlm as bm
import bayesmlm.replicates
from bayesmlm.folds import grouping
from bayesmlm.left_out import known_mean, long_draws, rows_of_fit
from bayesmlm.replicates import STATISTICS, check_frame, named_statistics, replicates


@pytest.fixture(scope="module")
def model():
    design = random_design("y ~ x + (1 | a)", weighted=True)
    posterior = posterior_of(design, fixef=[100.0, 0.5], sd={"a": [2.0]}, sigma=2.0, spread=0.001)
    return design, posterior


def check(model, stat="mean", group=None, draws=None, prob=0.9, seed=1):
    chosen = None if group is None else grouping(model[0], group)
    return check_frame(*model, stat, chosen, draws, prob, seed)


def test_replicates_are_normal_around_the_mean_of_each_draw(model):
    design, posterior = model
    y_rep = np.concatenate(list(replicates(*model, seed=3)))
    assert y_rep.shape == (1000, 90)
    mean = known_mean(rows_of_fit(design), long_draws(*model))
    sigma = posterior.sigma.values.ravel()[:, None] / np.sqrt(design.weights)
    z = (y_rep - mean) / sigma
    assert abs(z.mean()) < 4 / np.sqrt(z.size)
    assert abs(z.var() - 1) < 4 * np.sqrt(2 / z.size)
    assert np.abs(z.mean(axis=0)).max() < 4.5 / np.sqrt(1000)


def test_the_parts_do_not_matter(model, monkeypatch):
    whole = np.concatenate(list(replicates(*model, seed=3)))
    monkeypatch.setattr(bayesmlm.replicates, "CELLS", 90 * 7)
    np.testing.assert_array_equal(np.concatenate(list(replicates(*model, seed=3))), whole)


def test_statistics_are_numpys():
    y = np.random.default_rng(1).gamma(2, 1, (3, 50))
    scipy = pytest.importorskip("scipy.stats")
    expected = {
        "mean": y.mean(axis=1),
        "median": np.median(y, axis=1),
        "sd": y.std(axis=1, ddof=1),
        "var": y.var(axis=1, ddof=1),
        "min": y.min(axis=1),
        "max": y.max(axis=1),
        "iqr": scipy.iqr(y, axis=1),
        "skewness": scipy.skew(y, axis=1),
        "kurtosis": scipy.kurtosis(y, axis=1, fisher=False),
        "zeros": np.zeros(3),
        "dispersion": y.var(axis=1, ddof=1) / y.mean(axis=1),
        "q12.5": np.quantile(y, 0.125, axis=1),
    }
    assert set(STATISTICS) < set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(named_statistics(name)[name](y), values)


def test_one_row_per_statistic(model):
    def middle(y):
        return np.sort(y)[len(y) // 2]

    frame = check(model, ["sd", "q10", middle])
    assert frame["stat"].tolist() == ["sd", "q10", "middle"]
    y_rep = np.concatenate(list(replicates(*model, seed=1)))
    values = y_rep.std(axis=1, ddof=1)
    observed = model[0].y.std(ddof=1)
    row = frame.iloc[0]
    assert row["y"] == pytest.approx(observed)
    assert row[["conf_low", "y_rep", "conf_high"]].tolist() == pytest.approx(
        np.quantile(values, [0.05, 0.5, 0.95])
    )
    assert row["p_value"] == (values >= observed).mean()


def test_one_row_per_level(model):
    frame = check(model, ["mean", "max"], group="b")
    group = grouping(model[0], "b")
    assert frame["level"].tolist() == list(group.levels) * 2
    assert frame["n"].tolist() == [18] * 10
    means = [model[0].y[group.index == g].mean() for g in range(5)]
    assert frame["y"][:5].tolist() == pytest.approx(means)


def test_a_statistic_that_is_not_defined_is_missing():
    design = random_design("y ~ x + (1 | a)")
    posterior = posterior_of(design, fixef=[100.0, 0.5], sd={"a": [2.0]}, sigma=2.0)
    rows = np.r_[0, np.ones(89, dtype=int)]
    from bayesmlm.folds import Grouping

    frame = check_frame(design, posterior, "sd", Grouping("g", ("one", "rest"), rows), None, 0.9, 1)
    assert frame["p_value"].isna().tolist() == [True, False]


def test_a_misfit_shows():
    """Residuals with a long tail: the largest value of normal replicates hardly ever reaches the observed one."""
    design = random_design("y ~ x + (1 | a)")
    y = design.y.copy()
    y[5] += 40
    outlier = type(design)(**{**design.__dict__, "y": y})
    posterior = posterior_of(
        outlier,
        fixef=[np.mean(design.y) - 20, 0.5],
        sd={"a": [2.0]},
        sigma=float(np.std(design.y)),
        spread=1e-3,
    )
    frame = check((outlier, posterior), ["max", "kurtosis"])
    assert (frame["p_value"] < 0.01).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stat": "sdd"}, "Did you mean 'sd'"),
        ({"stat": "q101"}, "percentile"),
        ({"stat": []}, "empty"),
        ({"stat": lambda y: y[:2]}, "one number"),
        ({"draws": 1001}, "from 1 to 1000"),
        ({"draws": True}, "whole number"),
        ({"prob": 90}, "between 0 and 1"),
    ],
)
def test_what_cannot_be_checked(model, arguments, message):
    with pytest.raises(bm.DataError, match=message):
        check(model, **arguments)


def test_of_a_fit(fits):
    fit = fits("penicillin")
    frame = fit.pp_check()
    assert frame["stat"].tolist() == ["mean", "sd", "min", "max"]
    assert frame["p_value"].between(0.01, 0.99).all()
    ppd = fit.posterior.mean_ppd.values.ravel()
    error = ppd.std() / np.sqrt(len(ppd))
    assert abs(fit.pp_check_draws(None).mean() - ppd.mean()) < 4 * np.sqrt(2) * error
    by_plate = fit.pp_check("mean", group="plate")
    assert len(by_plate) == 24
    few = fit.pp_check_draws(7, seed=1)
    assert few.shape == (7, fit.nobs)
    np.testing.assert_array_equal(few, fit.pp_check_draws(7, seed=1))
