"""Checks of errors, pooling, reliability, priors and refits of generalised models."""

import numpy as np
import pandas as pd
import pytest
from generalised import CBPP, counts, rough_fit, rstanarms_cbpp
from scipy import stats

import bayesmlm as bm
from bayesmlm.errors import BayesMLMError, DataError
from bayesmlm.families import draw
from bayesmlm.left_out import known_mean, long_draws, rows_of_fit
from bayesmlm.pooling_factors import pooling_factors
from bayesmlm.reliability import row_information
from bayesmlm.residual_checks import posterior_checks, predictive_quantiles
from bayesmlm.sensitivity import LIKELIHOODS
from bayesmlm.updating import with_new_response

pytestmark = pytest.mark.filterwarnings("ignore::bayesmlm.errors.DataWarning")


@pytest.fixture(scope="module")
def data():
    return counts(n_groups=40, rows=12)


def true_fit(formula, data, family, link=None, zeros=0.0, **given):
    """A fit whose draws are all one point, with responses drawn from the model there (and zeros put among them)."""
    fitted = rough_fit(formula, data, family, link, draws=50, size=0.4, centre=1.0, **given)
    p = fitted.posterior
    for x in (p.fixef, *p.auxiliary.values(), *(v for b in p.blocks for v in (b.sd, b.corr, b.b))):
        x[...] = x.values[:, :1]
    if p.sigma is not None:
        p.sigma[...] = p.sigma.values[:, :1]
    design = fitted.design
    draws = long_draws(design, p).take(slice(0, 1))
    rng = np.random.default_rng(8)
    eta = known_mean(rows_of_fit(design), draws)
    y = draw(design.family, eta, draws.parameters, rng, design.trials)[0]
    y = np.where(rng.random(len(y)) < zeros, 0.0, y)
    return with_new_response(design, y), p


@pytest.mark.parametrize(
    ("formula", "family"),
    [
        ("cbind(k, fails) ~ x + (1 | g)", "binomial"),
        ("count ~ x + (1 | g)", "poisson"),
        ("count ~ x + (1 | g)", "negativebinomial"),
        ("amount ~ x + (1 | g)", "weibull"),
        ("rate ~ x + (1 | g)", "beta"),
        ("level ~ 0 + x + (1 | g)", "cumulative"),
    ],
)
def test_of_data_from_the_model_errors_are_normal_and_counts_as_expected(formula, family, data):
    checks = posterior_checks(*true_fit(formula, data, family))
    row = checks.shape.iloc[0]
    assert row["group"] == "Residual"
    assert abs(row["skewness"]) < 4 * np.sqrt(6 / len(data))
    assert abs(row["kurtosis"]) < 4 * np.sqrt(24 / len(data))
    spread = checks.by_fitted["spread"].between(
        checks.by_fitted["chance_low"], checks.by_fitted["chance_high"]
    )
    assert spread.mean() > 0.7
    if checks.counts is not None:
        assert checks.counts["p_value"].between(0.0005, 0.9995).all()
        dispersion = checks.counts.set_index("check").loc["dispersion"]
        assert dispersion["ratio"] == pytest.approx(1, abs=0.25)


def test_overdispersion_and_too_many_zeros_are_seen(data):
    wide = true_fit("count ~ x + (1 | g)", data, "negativebinomial")
    poisson = rough_fit("count ~ x + (1 | g)", data, "poisson", draws=50, size=0.4, centre=1.0)
    p = poisson.posterior
    for mine, theirs in zip(
        (p.fixef, p.blocks[0].b, p.blocks[0].sd),
        (wide[1].fixef, wide[1].blocks[0].b, wide[1].blocks[0].sd),
        strict=True,
    ):
        mine[...] = theirs
    checks = posterior_checks(with_new_response(poisson.design, wide[0].y), p)
    row = checks.counts.set_index("check").loc["dispersion"]
    assert row["ratio"] > 1.3
    assert row["p_value"] < 0.01
    inflated = posterior_checks(*true_fit("count ~ x + (1 | g)", data, "poisson", zeros=0.3)).counts
    row = inflated.set_index("check").loc["zeros"]
    assert row["observed"] > 1.5 * row["expected"]
    assert row["p_value"] < 0.01


def test_checks_print_what_they_found():
    text = str(rstanarms_cbpp().residual_checks())
    assert "Dispersion" in text
    assert "Zeros" in text
    assert "nan" not in text


def test_quantiles_of_data_from_the_model_are_standard_normal(data):
    fitted, values = predictive_quantiles(*true_fit("count ~ x + (1 | g)", data, "poisson"))
    assert stats.kstest(values, "norm").pvalue > 0.001
    assert fitted.shape == values.shape


# -- pooling, reliability --------------------------------------------------------------------------


def test_pooling_of_rows_is_on_the_scale_of_the_response(data):
    fitted = rough_fit("cbind(k, fails) ~ x + (1 | g)", data, "binomial", draws=30)
    table = pooling_factors(fitted.design, fitted.posterior)
    share = (data["k"] / data["n"]).to_numpy()
    errors = share - fitted.posterior_epred().values[0]
    spread = errors.var(axis=1, ddof=1).mean()
    assert table["r2"].iloc[0] == pytest.approx(1 - spread / share.var(ddof=1))
    assert table["pooling"].iloc[0] == pytest.approx(1 - errors.mean(axis=0).var(ddof=1) / spread)
    ordered = rough_fit("level ~ 0 + x + (1 | g)", data, "cumulative", draws=30)
    assert ordered.pooling_factor()["group"].tolist() == ["g"]


def test_reliability_is_that_of_the_information_of_the_rows(data):
    fitted = rough_fit("cbind(k, fails) ~ x + (1 | g)", data, "binomial", draws=30)
    p = fitted.posterior_epred().values[0]
    information = (data["n"].to_numpy() * p * (1 - p)).mean(axis=0)
    np.testing.assert_allclose(row_information(fitted.design, fitted.posterior), information)
    v = fitted.posterior.blocks[0].sd.values[0, :, 0] ** 2
    each = np.bincount(fitted.design.blocks[0].index, information)
    expected = np.median(v[:, None] * each / (1 + v[:, None] * each), axis=0)
    np.testing.assert_allclose(fitted.reliability()["reliability"], expected)
    poisson = rough_fit("count ~ x + (1 | g)", data, "poisson", draws=30)
    mu = poisson.posterior_epred().values[0]
    np.testing.assert_allclose(row_information(poisson.design, poisson.posterior), mu.mean(axis=0))
    with pytest.raises(BayesMLMError, match="not defined"):
        rough_fit("some ~ x + (1 | g)", data, "zero_inflated_poisson").reliability()


# -- priors ----------------------------------------------------------------------------------------


def test_likelihoods_for_power_scaling():
    data = counts(n_groups=4, rows=5)
    fitted = rough_fit("count ~ x + (1 | g)", data, "negativebinomial", draws=8)
    conditional = LIKELIHOODS["conditional"](fitted.design, fitted.posterior)
    np.testing.assert_allclose(conditional.values, fitted.log_lik().values.sum(axis=2))
    marginal = LIKELIHOODS["marginal"](fitted.design, fitted.posterior).values[0]
    p, rng = fitted.posterior, np.random.default_rng(6)
    for s in (0, 5):
        total = 0.0
        for j in range(4):
            at = fitted.design.blocks[0].index == j
            eta = fitted.design.X[at] @ p.fixef.values[0, s]
            u = p.blocks[0].sd.values[0, s, 0] * rng.normal(size=(400_000, 1))
            k = p.auxiliary["reciprocal_dispersion"].values[0, s]
            mu = np.exp(eta + u)
            density = np.exp(stats.nbinom.logpmf(fitted.design.y[at], k, k / (k + mu)).sum(axis=1))
            total += np.log(density.mean())
        assert marginal[s] == pytest.approx(total, abs=0.1)


def test_sensitivity_of_crossed_models_is_conditional():
    data = counts()
    crossed = rough_fit("count ~ x + (1 | g) + (1 | h)", data, "poisson", draws=120)
    assert crossed.prior_sensitivity().equals(crossed.prior_sensitivity(likelihood="conditional"))
    with pytest.raises(BayesMLMError, match="conditional"):
        crossed.prior_sensitivity(likelihood="marginal")


def test_prior_data_have_the_familys_values():
    data = bm.load_dataset("cbpp")
    drawn = bm.prior_predictive(CBPP, data, family="binomial", draws=30, seed=1).values
    assert ((drawn >= 0) & (drawn <= data["size"].to_numpy())).all()
    new = pd.DataFrame({"period": [1, 2], "herd": ["1", "x"]})
    two = bm.prior_predictive(CBPP, data, family="binomial", newdata=new, trials=[3, 50], draws=300, seed=1)
    assert two.values[:, 0].max() <= 3 < two.values[:, 1].max()
    with pytest.raises(DataError, match="trials="):
        bm.prior_predictive(CBPP, data, family="binomial", newdata=new, draws=3, seed=1)
    exposed = counts()
    seen = bm.prior_predictive(
        "count ~ 1 + (1 | g)", exposed, family="poisson", exposure="time", draws=5, seed=1
    )
    again = bm.prior_predictive("count ~ 1 + (1 | g)", exposed, family="poisson", draws=5, seed=1)
    assert not np.array_equal(seen, again)


# -- fitting again ---------------------------------------------------------------------------------


def test_a_new_response_keeps_family_and_trials():
    design = rstanarms_cbpp().design
    new = with_new_response(design, np.zeros(56))
    assert new.family == design.family
    assert new.data is None
    np.testing.assert_array_equal(new.trials, design.trials)


def test_update_keeps_the_family_and_its_arguments_or_takes_another():
    data = counts()
    fitted = bm.fit(
        "count ~ x + (1 | g)",
        data,
        "poisson",
        exposure="time",
        prior_only=True,
        draws=20,
        seed=1,
        progress=False,
    )
    same = fitted.update(". ~ . - x")
    assert same.design.family == fitted.design.family
    np.testing.assert_array_equal(same.design.offset, fitted.design.offset)
    other = fitted.update(family="negativebinomial")
    assert other.design.family.name == "negativebinomial"
    assert "reciprocal_dispersion" in other.posterior.auxiliary
    np.testing.assert_array_equal(other.design.offset, fitted.design.offset)
    assert fitted.update(link="sqrt", exposure=None).design.family.link == "sqrt"
    assert fitted.update(exposure=None).design.offset is None


# -- effects, calibration, counts ------------------------------------------------------------------


def test_conditional_effects_are_expected_responses():
    data = counts()
    fitted = rough_fit("cbind(k, fails) ~ x + (1 | g)", data, "binomial")
    table = fitted.conditional_effects("x")
    new = pd.DataFrame({"x": table["x"], "g": "g0"})
    draws = fitted.posterior_epred(new, "~0").values[0]
    np.testing.assert_allclose(table["estimate"], draws.mean(axis=0))
    np.testing.assert_allclose(table["conf_low"], np.quantile(draws, 0.05, axis=0))
    assert table["conf_high"].max() <= 1
    over = fitted.conditional_effects("x", groups="new")
    marginal = fitted.posterior_epred(new, "~0", marginal=True).values[0].mean(axis=0)
    np.testing.assert_allclose(over["estimate"], marginal)
    own = fitted.conditional_effects("x", groups=["g2"])
    np.testing.assert_allclose(own["estimate"], fitted.predict(new.assign(g="g2")))


def test_conditional_effects_of_categories_are_one_line_each():
    fitted = rough_fit("level ~ 0 + x + w + (1 | g)", counts(), "cumulative")
    table = fitted.conditional_effects("x")
    assert list(dict.fromkeys(table["by"])) == list("abcd")
    np.testing.assert_allclose(table.groupby("x")["estimate"].sum(), 1)
    with pytest.raises(DataError, match="have its place"):
        fitted.conditional_effects("x", by="w")
    with pytest.raises(DataError, match="lines of its own"):
        fitted.plot_groups("x")


def test_an_exposure_is_at_its_typical_value_in_conditional_effects():
    data = counts()
    fitted = rough_fit("count ~ x + (1 | g)", data, "poisson", exposure="time")
    table = fitted.conditional_effects("x")
    new = pd.DataFrame({"x": table["x"], "g": "g0", "time": np.exp(np.log(data["time"]).mean())})
    np.testing.assert_allclose(table["estimate"], fitted.posterior_epred(new, "~0").values[0].mean(axis=0))


def test_lines_of_groups_are_expected_responses():
    data = counts()
    fitted = rough_fit("count ~ x + (x | g)", data, "poisson")
    from bayesmlm.views.predictions import group_lines

    lines = group_lines(fitted.design, fitted.posterior, "x", "g")
    part = lines[lines["level"] == "g3"]
    new = pd.DataFrame({"x": part["x"], "g": "g3"})
    np.testing.assert_allclose(part["estimate"], fitted.predict(new))


def test_calibration_is_of_shares():
    fitted = rstanarms_cbpp()
    table = fitted.calibration_table("herd").set_index("label")
    frame = fitted.design.frame.assign(herd=lambda d: d["herd"].astype(str))
    totals = frame.groupby("herd")[["incidence", "size"]].sum()
    expected = (totals["incidence"] / totals["size"]).loc[table.index]
    np.testing.assert_allclose(table["observed"], expected)
    assert table["fitted"].between(0, 1).all()


def test_counts_of_values():
    data = counts()
    fitted = rough_fit("count ~ x + (1 | g)", data, "poisson", size=0.1, centre=1.0, draws=40)
    table = fitted.pp_check_counts()
    assert table["y"].sum() == len(data)
    seen = data["count"].value_counts()
    for value, n in zip(table["value"], table["y"], strict=True):
        if "+" not in value:
            assert seen.get(int(value), 0) == n
    sets = fitted.pp_check_draws(None)
    assert table["y_rep"].iloc[0] == np.median((sets == 0).sum(axis=1))
    many = rough_fit(
        "big ~ x + (1 | g)", data.assign(big=data["count"] * 40), "poisson", size=0.1, centre=4, draws=40
    )
    assert len(many.pp_check_counts()) <= 42
    assert many.pp_check_counts()["y"].sum() == len(data)
    ordered = rough_fit("level ~ 0 + x + (1 | g)", data, "cumulative")
    assert ordered.pp_check_counts()["value"].tolist() == list("abcd")
    with pytest.raises(DataError, match="not a count"):
        rstanarms_cbpp().pp_check_counts()
