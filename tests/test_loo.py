"""Leave-one-out by importance sampling, by row and by group: rstanarm's values, exact refits, and how they are told."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from random_designs import random_frame
from reference_models import MODELS, REFERENCE
from scipy.special import logsumexp
from scipy.stats import norm

import bayesmlm as bm
import bayesmlm.fits.accuracies
from bayesmlm.design import build_design
from bayesmlm.fits.accuracies import PredictiveAccuracy
from bayesmlm.predictive_fit import (
    Accuracy,
    comparison_frame,
    k_limit,
    mean_density,
    monte_carlo_se,
    smoothed_frame,
)
from bayesmlm.report import accuracy_report
from bayesmlm.response_scale import response_scale

GAUSSIAN = ["dyestuff2", "gcse_m1", "gcse_m2", "gcse_m3", "hsb_mod3", "imm_model3", "imm_model4"]
GAUSSIAN += ["pastes", "penicillin", "sleep_corr"]
SLEEP = "Reaction ~ Days + (Days | Subject)"
REFIT = {"seed": 11, "progress": False}


def quietly(call):
    """Without the warnings of high Pareto k, which are tested by themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bm.ConvergenceWarning)
        return call()


# -- rstanarm --------------------------------------------------------------------------------------


def influences(log_lik):
    """elpd, its standard error and p, and the influence of each draw on them, each (chain, draw).

    With weights w_i of row i, elpd_i moves by h_i = S w_i (p_i - mean_i) / mean_i, se^2 = n var(elpd_i) by
    2 n / (n - 1) sum (elpd_i - mean) h_i, and the log density under all data by its own relative error.
    """
    from arviz_stats.base import array_stats

    chains, draws, n = log_lik.shape
    rows = np.ascontiguousarray(log_lik.reshape(-1, n).T)
    log_w = np.stack([array_stats.psislw(row)[0] for row in rows])
    elpd = logsumexp(log_w + rows, axis=1)
    h = rows.shape[1] * (np.exp(log_w + rows - elpd[:, None]) - np.exp(log_w))
    lppd = logsumexp(rows, axis=1) - np.log(rows.shape[1])
    full = np.exp(rows - lppd[:, None]) - 1
    se = np.sqrt(n * elpd.var(ddof=1))
    of_se = n / (n - 1) * (elpd - elpd.mean()) @ h / se
    values = np.array([elpd.sum(), se, (lppd - elpd).sum()])
    return values, [v.reshape(chains, draws) for v in (h.sum(axis=0), of_se, (full - h).sum(axis=0))]


@pytest.mark.parametrize("name", GAUSSIAN)
def test_elpd_its_standard_error_and_p_are_rstanarms(name, fits):
    """Both are Monte Carlo estimates: 4 standard errors, the reference's from ours by the number of draws.

    Across seeds elpd varies as its Monte Carlo standard error says (docs/criticism.md). The reference's draws count by
    their median effective sample size.
    """
    entry = json.loads((REFERENCE / "rstanarm" / f"{name}.json").read_text())
    if name in MODELS:
        fit = fits(name)
    else:
        draws = 500 if name == "hsb_mod3" else 1000  # 7185 rows
        frame = bm.load_dataset(entry["data"].removesuffix(".csv"))
        fit = bm.fit(entry["formula"], frame, seed=20261, draws=draws, progress=False)
    ours, moves = influences(fit.log_lik().values)
    errors = np.array([monte_carlo_se(move) for move in moves])
    n_eff = np.median([row[entry["columns"].index("n_eff")] for row in entry["summary"]])
    both = errors * np.sqrt(1 + fit.posterior.n_draws / n_eff)
    reference = np.array([entry["loo"][key] for key in ("elpd", "se", "p")])
    assert (np.abs(ours - reference) < 4 * both).all(), (ours, reference, both)
    if fit.nobs < 2000:  # the method's tails differ a little from these, by their relative effective size
        loo = quietly(fit.loo)
        assert (np.abs(np.array([loo.elpd, loo.se, loo.p]) - ours) < 0.5 * errors).all()
        assert loo.mc_se == pytest.approx(errors[0], rel=0.1)


def test_log_lik_is_the_normal_density(fits):
    fit = fits("penicillin")
    values = fit.log_lik(rows=[5, 100])
    assert values.dims == ("chain", "draw", "row")
    assert values["row"].values.tolist() == [5, 100]
    c, d = 2, 17
    mean = fit.posterior.fixef.values[c, d, 0]
    for block, draws in zip(fit.design.blocks, fit.posterior.blocks, strict=True):
        mean = mean + draws.b.values[c, d, block.index[[5, 100]], 0]
    expected = norm(mean, fit.posterior.sigma.values[c, d]).logpdf(fit.design.y[[5, 100]])
    np.testing.assert_allclose(values.values[c, d], expected, rtol=1e-12)
    np.testing.assert_array_equal(fit.log_lik().values[..., [5, 100]], values.values)
    with pytest.raises(bm.DataError, match="from 0 to 143"):
        fit.log_lik(rows=[144])


def test_memory_is_bounded_and_the_parts_do_not_matter(fits, monkeypatch):
    fit = fits("penicillin")
    whole = quietly(fit.loo)
    held = []
    smoothed = bayesmlm.fits.accuracies.row_log_density

    def watched(rows, draws):
        held.append(len(rows) * len(draws))
        return smoothed(rows, draws)

    monkeypatch.setattr(bayesmlm.fits.accuracies, "row_log_density", watched)
    monkeypatch.setattr(bayesmlm.fits.accuracies, "CELLS", 40_000)
    parts = quietly(fit.loo)
    assert max(held) <= 40_000
    pd.testing.assert_frame_equal(parts.pointwise, whole.pointwise)
    assert parts.mc_se == pytest.approx(whole.mc_se)


def test_waic_and_loo_agree_where_both_hold(fits):
    fit = fits("imm_model4")
    loo, waic = quietly(fit.loo), quietly(fit.waic)
    weak = loo.pointwise["p"] < 0.05
    assert weak.sum() > 100
    gap = waic.pointwise["elpd"][weak] - loo.pointwise["elpd"][weak]
    assert gap.abs().max() < 0.01
    values = fit.log_lik().values.reshape(-1, fit.nobs)
    np.testing.assert_allclose(waic.pointwise["p"], values.var(axis=0, ddof=1))
    lppd = logsumexp(values, axis=0) - np.log(len(values))
    assert waic.elpd == pytest.approx((lppd - values.var(axis=0, ddof=1)).sum())


# -- importance sampling on known ground ---------------------------------------------------------------


def conjugate(n_draws=4000, seed=1):
    """y_i ~ N(theta, 1) with a flat prior: leaving out y_i gives N(mean of the others, 1 + 1 / (n - 1))."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=12)
    theta = rng.normal(y.mean(), 1 / np.sqrt(12), (4, n_draws // 4))
    exact = [norm(np.delete(y, i).mean(), np.sqrt(1 + 1 / 11)).logpdf(y[i]) for i in range(12)]
    return norm(theta[..., None], 1).logpdf(y), np.array(exact)


def test_importance_sampling_leaves_out_exactly_in_a_conjugate_model():
    values, exact = conjugate()
    frame, influence = smoothed_frame([values[..., :5], values[..., 5:]])
    assert (frame["pareto_k"] < 0.5).all()
    errors = [monte_carlo_se(smoothed_frame([values[..., [i]]])[1]) for i in range(12)]
    assert (np.abs(frame["elpd"] - exact) < 4 * np.array(errors)).all()
    assert abs(frame["elpd"].sum() - exact.sum()) < 4 * monte_carlo_se(influence)
    assert frame["ess"].between(100, 4400).all()


def test_the_monte_carlo_error_is_the_spread_over_seeds():
    sums, errors = [], []
    for seed in range(1, 41):
        values, _ = conjugate(seed=1)
        rng = np.random.default_rng(seed)
        pick = rng.integers(0, 1000, (4, 400))
        again = np.stack([values[c, pick[c]] for c in range(4)])
        again = again + 1e-9 * rng.normal(size=again.shape)  # no ties
        frame, influence = smoothed_frame([again])
        sums.append(frame["elpd"].sum())
        errors.append(monte_carlo_se(influence))
    ratio = np.std(sums, ddof=1) / np.mean(errors)
    assert 0.65 < ratio < 1.45  # of 40: chi with 39 degrees of freedom, 3 standard errors


def test_mean_density_and_its_error():
    values = np.log(np.array([[1.0, 2.0, 3.0, 4.0]]))[..., None]
    log_mean, influence = mean_density(values - 2000)
    assert log_mean[0] == pytest.approx(np.log(2.5) - 2000)
    np.testing.assert_allclose(influence[0], [-0.6, -0.2, 0.2, 0.6])


def test_the_limit_depends_on_the_number_of_draws():
    assert k_limit(4000) == 0.7
    assert k_limit(200) == pytest.approx(1 - 1 / np.log10(200))


def test_too_few_draws_are_refused():
    with pytest.raises(bm.DataError, match="100 or more"):
        smoothed_frame([np.zeros((2, 20, 3))])


# -- whole groups, against fits without them ------------------------------------------------------------


def draws_of(fit):
    """beta, sigma, and per block effects and covariances, each with one axis of draws."""

    def long(a):
        return a.values.reshape(-1, *a.shape[2:])

    p = fit.posterior
    blocks = {b.label: (long(b.b), long(b.cov)) for b in p.blocks}
    return long(p.fixef), long(p.sigma), blocks


def normal_log_density(y, mean, cov):
    """log N(y | mean, cov) for each draw, by dense linear algebra."""
    r = y - mean
    quad = np.einsum("si,si->s", r, np.linalg.solve(cov, r[..., None])[..., 0])
    return -0.5 * (len(y) * np.log(2 * np.pi) + np.linalg.slogdet(cov)[1] + quad)


def brute_force(values):
    """log of the mean density over draws, and its Monte Carlo standard error."""
    log_mean, influence = mean_density(values.reshape(4, -1, 1))
    return log_mean[0], monte_carlo_se(influence)


def assert_agree(fit, group, level, brute, error):
    pointwise = quietly(lambda: fit.loo(group)).pointwise.set_index("level")
    assert pointwise.loc[level, "pareto_k"] < 0.7
    # the error of an importance-weighted mean with this many effective draws, as large as the density's own spread
    own = 1 / np.sqrt(pointwise.loc[level, "ess"])
    assert abs(pointwise.loc[level, "elpd"] - brute) < 4 * np.hypot(error, own)
    assert np.hypot(error, own) < 0.15


@pytest.mark.parametrize("subject", ["308", "335", "371"])
def test_leaving_out_a_subject_is_fitting_without_it(fits, subject):
    data = bm.load_dataset("sleepstudy")
    out = data["Subject"].astype(str) == subject
    beta, sigma, blocks = draws_of(bm.fit(SLEEP, data[~out], **REFIT))
    X = np.column_stack([np.ones(10), data["Days"][out]])
    cov = X @ blocks["Subject"][1] @ X.T + sigma[:, None, None] ** 2 * np.eye(10)
    brute = brute_force(normal_log_density(data["Reaction"][out].to_numpy(), beta @ X.T, cov))
    assert_agree(fits("sleep_corr"), "Subject", subject, *brute)


@pytest.mark.parametrize(("group", "level", "other"), [("plate", "w", "sample"), ("sample", "D", "plate")])
def test_leaving_out_a_level_of_a_crossed_factor_is_fitting_without_it(fits, group, level, other):
    data = bm.load_dataset("penicillin")
    out = data[group].astype(str) == level
    again = bm.fit(MODELS["penicillin"][0], data[~out], **REFIT)
    beta, sigma, blocks = draws_of(again)
    names = next(b.levels for b in again.posterior.blocks if b.label == other)
    at = [names.index(str(v)) for v in data[other][out]]
    n = int(out.sum())
    mean = beta + blocks[other][0][:, at, 0]
    cov = blocks[group][1] * np.ones((n, n)) + sigma[:, None, None] ** 2 * np.eye(n)
    y = data["diameter"][out].to_numpy()
    assert_agree_loosely = brute_force(normal_log_density(y, mean, cov))
    if group == "plate":
        assert_agree(fits("penicillin"), group, level, *assert_agree_loosely)
        return
    # six samples: the posterior leans on each of them, and Pareto k says so
    loo = quietly(lambda: fits("penicillin").loo(group, k_threshold=0.6, seed=5)).pointwise.set_index("level")
    assert loo.loc[level, "refitted"]
    assert abs(loo.loc[level, "elpd"] - assert_agree_loosely[0]) < 4 * np.sqrt(2) * assert_agree_loosely[1]


def test_rows_left_out_exactly(fits):
    """Where k is high a refit takes the place of the weights; where it is low both agree."""
    fit = fits("sleep_corr")
    with pytest.warns(
        bm.ConvergenceWarning, match=r"Pareto k is above 0.70 for \d of 180 rows.*k_threshold=0.7"
    ):
        plain = fit.loo()
    high = plain.pointwise["pareto_k"] > 0.7
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exact = fit.loo(k_threshold=0.7)
    again = exact.pointwise
    assert again["refitted"].tolist() == high.tolist()
    pd.testing.assert_frame_equal(again[~high], plain.pointwise[~high])
    # the most extreme row by a fit without it, its level known
    i = int(plain.pointwise["pareto_k"].idxmax())
    data = bm.load_dataset("sleepstudy")
    rest = bm.fit(SLEEP, data.drop(index=data.index[i]), **REFIT)
    beta, sigma, blocks = draws_of(rest)
    level = rest.posterior.blocks[0].levels.index(str(data["Subject"].iloc[i]))
    x = np.array([1.0, data["Days"].iloc[i]])
    mean = beta @ x + blocks["Subject"][0][:, level] @ x
    brute, error = brute_force(norm(mean, sigma).logpdf(data["Reaction"].iloc[i]))
    assert abs(again["elpd"][i] - brute) < 4 * np.sqrt(2) * error
    assert "Exact by refitting without them" in str(exact)


def test_a_group_may_be_any_column_and_must_be_known(fits):
    fit = fits("sleep_corr")
    by_day = quietly(lambda: fit.loo("Days")).pointwise
    assert by_day["n"].tolist() == [18] * 10
    with pytest.raises(bm.DataError, match="Did you mean 'Subject'"):
        fit.loo("subject")
    with pytest.raises(bm.DataError, match="k_threshold"):
        fit.loo(k_threshold="high")


def test_effects_that_were_not_kept(fits):
    fit = fits("sleep_corr")
    bare = fit.with_ranef(False)
    pd.testing.assert_frame_equal(
        quietly(lambda: bare.loo("Subject")).pointwise, quietly(lambda: fit.loo("Subject")).pointwise
    )
    with pytest.raises(bm.DataError, match="with_ranef"):
        bare.loo()


# -- comparison --------------------------------------------------------------------------------------


def accuracy(elpd, k=0.1, **changes):
    elpd = np.asarray(elpd, dtype=float)
    n = len(elpd)
    frame = pd.DataFrame({"row": np.arange(n), "elpd": elpd, "p": 0.1, "ic": -2 * elpd, "pareto_k": k})
    frame = frame.assign(r_eff=1.0, ess=1000.0, refitted=False)
    values = {"response": "y", "y": np.arange(n) + 1.0, "rows": np.arange(n), "notes": (), "mc_se": 0.1}
    made = Accuracy(method="loo", unit="row", pointwise=frame, n_draws=4000, limit=0.7, **values)
    return replace(made, **changes)


def test_differences_are_paired_by_row():
    rng = np.random.default_rng(1)
    a = rng.normal(-3, 1, 200)
    b = a - rng.normal(0.1, 0.2, 200)
    frame = comparison_frame({"b": accuracy(b), "a": accuracy(a)})
    assert frame.index.tolist() == ["a", "b"]
    assert frame.loc["b", "elpd_diff"] == pytest.approx((b - a).sum())
    assert frame.loc["b", "se_diff"] == pytest.approx(np.sqrt(200) * np.std(b - a, ddof=1))
    assert frame.loc["a", ["elpd_diff", "se_diff", "verdict"]].tolist() == [0, 0, "best"]
    assert frame.loc["a", "se_elpd"] == pytest.approx(np.sqrt(200) * a.std(ddof=1))
    assert frame.loc["b", "ic"] == pytest.approx(-2 * b.sum())


@pytest.mark.parametrize(
    ("shift", "noise", "n", "k", "verdict"),
    [
        (0.01, 0.1, 200, 0.1, "about equal"),
        (0.05, 0.6, 200, 0.1, "not clearly worse"),
        (0.5, 0.1, 200, 0.1, "worse, by"),
        (0.5, 0.1, 50, 0.1, r"50 units \(< 100\)"),
        (0.5, 0.1, 200, 0.9, "high Pareto k"),
    ],
)
def test_verdicts_in_words(shift, noise, n, k, verdict):
    wave = np.where(np.arange(n) % 2, noise, -noise)
    frame = comparison_frame({"a": accuracy(np.full(n, -1.0)), "b": accuracy(-1.0 - shift + wave, k)})
    assert frame["verdict"].iloc[0] == "best"
    assert pytest.importorskip("re").search(verdict, frame["verdict"].iloc[1])


def test_what_cannot_be_compared():
    a = accuracy(np.full(10, -1.0))
    fewer = accuracy(np.full(9, -1.0))
    other = replace(a, y=np.log(a.y), response="log(y)")
    for b, message in (
        (fewer, r"different rows \(10 and 9\)"),
        (other, "in different units"),
        (replace(a, y=a.y + 1), "different values of y"),
        (replace(a, method="waic"), "different quantities"),
        (replace(a, unit="school"), "loo of a and loo by school of b"),
    ):
        with pytest.raises(bm.DataError, match=message):
            comparison_frame({"a": a, "b": b})
    folds = [replace(a, method="kfold", pointwise=a.pointwise.assign(fold=f)) for f in (1, 2)]
    with pytest.raises(bm.DataError, match="different folds"):
        comparison_frame({"a": folds[0], "b": folds[1]})


@pytest.mark.parametrize(
    ("response", "slope"),
    [
        ("y", lambda y: np.ones_like(y)),
        ("log(y)", lambda y: 1 / y),
        ("sqrt(y)", lambda y: 0.5 / np.sqrt(y)),
        ("I(y^2 / 100)", lambda y: 2 * y / 100),
        ("scale(y)", lambda y: np.full_like(y, 1 / y.std(ddof=1))),
    ],
)
def test_the_slope_of_a_transformed_response(response, slope):
    data = random_frame()
    scale = response_scale(build_design(f"{response} ~ x + (1 | a)", data))
    y = data["y"].to_numpy()
    assert scale.column == "y"
    np.testing.assert_allclose(scale.log_slope, np.log(slope(y)), atol=1e-7)


def test_a_response_of_two_columns_has_no_slope():
    assert response_scale(build_design("I(y - o) ~ x + (1 | a)", random_frame())) is None


def test_models_of_y_and_of_log_y_are_compared_by_the_density_of_y(fits):
    fit = fits("sleep_corr")
    logged = bm.fit("log(Reaction) ~ Days + (Days | Subject)", fit.design.data, **REFIT)
    for group in (None, "Subject"):
        loos = {"y": quietly(lambda g=group: fit.loo(g)), "log(y)": quietly(lambda g=group: logged.loo(g))}
        report = bm.loo_compare(loos)
        frame = report.frame
        assert frame.loc["y", "elpd"] == pytest.approx(loos["y"].elpd)
        moved = loos["log(y)"].elpd - np.log(fit.design.y).sum()
        assert frame.loc["log(y)", "elpd"] == pytest.approx(moved, abs=1e-5)
        assert abs(moved - loos["y"].elpd) < 50  # without the slopes they are 1000 apart
        assert "Densities are those of Reaction: log(Reaction) brought there" in str(report)


def test_loo_compare_takes_fits_results_and_dicts(fits):
    fit = fits("imm_model4")
    simpler = bm.fit("math ~ homework + (1 | schnum)", fit.design.data, **REFIT)
    by_fit = quietly(lambda: bm.loo_compare(fit, simpler))
    loos = {"slopes": quietly(fit.loo), "intercepts": quietly(simpler.loo)}
    by_name = bm.loo_compare(loos)
    assert by_name.frame.index.tolist() == ["slopes", "intercepts"]
    assert by_fit.frame.index.tolist() == [fit.formula, simpler.formula]
    np.testing.assert_array_equal(by_fit.frame["elpd_diff"], by_name.frame["elpd_diff"])
    # rstanarm's loo of the two models: 869.7 and 917.7
    assert by_name.frame["elpd_diff"].iloc[1] == pytest.approx(-48, abs=1)
    assert "* intercepts: worse, by" in str(by_name)
    assert bm.loo_compare(*loos.values(), names=["a", "b"]).frame.index.tolist() == ["a", "b"]


def test_loo_compare_refuses_in_words(fits):
    fit, other = fits("imm_model4"), fits("sleep_corr")
    for arguments, message in (
        (((fit,), {}), "two models or more"),
        (((fit, 3), {}), "not int"),
        (((fit, other), {"method": "kfold"}), r"fit.kfold\(seed=1\)"),
        (((fit, other), {"method": "lo"}), "Did you mean 'loo'"),
        (((fit, fit), {"names": ["a", "a"]}), "2 different names"),
        (((fit, other), {}), "different rows"),
    ):
        with pytest.raises(bm.DataError, match=message):
            quietly(lambda arguments=arguments: bm.loo_compare(*arguments[0], **arguments[1]))


# -- what is printed -----------------------------------------------------------------------------------


def test_a_good_loo_is_printed_as_r_prints_it():
    text = str(accuracy_report(accuracy(np.full(10, -1.0)), "y ~ (1 | g)"))
    assert text.splitlines() == [
        "formula: y ~ (1 | g)",
        "Computed from 4000 by 10 log-likelihood matrix.",
        "",
        "         Estimate  SE",
        "elpd_loo    -10.0 0.0",
        "p_loo         1.0 0.0",
        "looic        20.0 0.0",
        "------",
        "Monte Carlo SE of elpd_loo is 0.1.",
        "",
        "All Pareto k estimates are good (k <= 0.7).",
    ]


def test_high_pareto_k_are_counted_and_said():
    k = np.r_[np.full(6, 0.2), 0.71, 0.99, 1.2, np.nan]
    found = accuracy(np.full(10, -1.0), k)
    text = str(accuracy_report(replace(found, notes=("look again",)), "y ~ (1 | g)"))
    lines = text.splitlines()
    assert "Monte Carlo SE of elpd_loo is NA." in lines
    assert [line.split() for line in lines[-5:-1]] == [
        ["Count", "Pct.", "Min.", "ESS"],
        ["(-Inf,", "0.7]", "(good)", "6", "60.0%", "1000"],
        ["(0.7,", "1]", "(bad)", "2", "20.0%"],
        ["(1,", "Inf)", "(very", "bad)", "2", "20.0%"],
    ]
    assert lines[-1] == "! look again"
    assert set(found.high["row"]) == {6, 7, 8, 9}


def test_a_result_is_text_html_and_numbers():
    result = PredictiveAccuracy(accuracy(np.full(10, -1.0)), "y ~ (1 | g)")
    assert "<table>" in result._repr_html_()
    assert (result.elpd, result.ic, result.p) == pytest.approx((-10, 20, 1))
    assert result.estimates.index.tolist() == ["elpd_loo", "p_loo", "looic"]
