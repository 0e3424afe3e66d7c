"""Default priors as rstanarm prints them, the user's overrides, and what the covariance priors imply."""

from __future__ import annotations

import json
import math
import re
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import bayesmlm as bm
from bayesmlm.datasets import load_dataset
from bayesmlm.design import Design, build_design
from bayesmlm.priors import (
    Decov,
    Distribution,
    Lkj,
    build_priors,
    cauchy,
    decov,
    exponential,
    gamma,
    half_cauchy,
    half_normal,
    half_student_t,
    implications,
    implied,
    lkj,
    normal,
    student_t,
)
from bayesmlm.report import prior_report

RSTANARM = {
    path.stem: json.loads(path.read_text())
    for path in sorted((Path(__file__).parent / "reference" / "rstanarm").glob("*.json"))
}
GAUSSIAN = [name for name, entry in RSTANARM.items() if entry["family"] == "gaussian"]
SIZE = 100_000


def printed_priors(lines: list[str]) -> dict[tuple[str, str], tuple[str, dict[str, str]]]:
    """rstanarm's prior_summary() as printed: (section, 'Specified' or 'Adjusted') -> name and parameters."""
    out, section, kind = {}, "", "Specified"
    for line in lines:
        if match := re.match(r"(Intercept|Coefficients|Auxiliary|Covariance)", line):
            section, kind = match[1], "Specified"
        elif match := re.match(r"  (Specified|Adjusted) prior:", line):
            kind = match[1]
        elif match := re.match(r" +~ (\w+)\((.*)\)", line):
            parameters = dict(item.split(" = ") for item in match[2].split(", "))
            out[section, kind] = match[1], parameters
    return out


def two_digits(value: float) -> str:
    """R's ``format(value, digits = 2)``: two significant digits, but never fewer than the integer part has."""
    if value == 0:
        return "0"
    decimals = max(0, 1 - math.floor(math.log10(abs(value))))
    return f"{round(value, decimals):.15g}"


def rows_of(name: str) -> Design:
    entry = RSTANARM[name]
    return build_design(entry["formula"], load_dataset(entry["data"].removesuffix(".csv")))


# -- defaults ------------------------------------------------------------------------------------------


def test_all_gaussian_references_are_there():
    assert len(GAUSSIAN) == 10


@pytest.mark.parametrize("name", GAUSSIAN)
def test_defaults_print_as_rstanarm_prints_them(name):
    """prior_summary() of rstanarm 2.21.3."""
    design = rows_of(name)
    priors = build_priors(design)
    ours = {"Intercept": priors.intercept, "Auxiliary": priors.sigma}
    if priors.coefficients:
        (ours["Coefficients"],) = priors.coefficients.values()
    printed = printed_priors(RSTANARM[name]["printed_priors"])
    assert {section for section, _ in printed} == {*ours, "Covariance"}
    for section, adjusted in ours.items():
        for kind, prior in (("Specified", adjusted.specified), ("Adjusted", adjusted.used)):
            shown = {key: two_digits(value) for key, value in prior.parameters}
            assert (prior.name, shown) == printed[section, kind]
    wanted = {"reg.": "1", "conc.": "1", "shape": "1", "scale": "1"}
    assert printed["Covariance", "Specified"] == ("decov", wanted)
    assert set(priors.covariance.values()) == {Decov(1, 1, 1, 1)}
    assert list(priors.covariance) == [block.label for block in design.blocks]


@pytest.mark.parametrize("name", GAUSSIAN)
def test_prior_summary_has_the_lines_of_rstanarm(name):
    """All but the first and last: we name the coefficients, and the block of each covariance."""
    design = rows_of(name)
    priors = build_priors(design)
    ours = str(prior_report(design, priors, implications(design, priors, 1000), 2)).split("\n")
    ours = ours[1 : ours.index("------", 2) + 1]
    covariances = [line for line in ours if " ~ decov" in line]
    assert len(covariances) == len(design.blocks)
    ours = [re.sub(r"^Coefficients .*", "Coefficients", line) for line in ours if line not in covariances[1:]]
    theirs = [line.rstrip() for line in RSTANARM[name]["printed_priors"]]
    assert [re.sub(r"^ \S+ ~", " ~", line) for line in ours] == theirs[1 : theirs.index("------", 2) + 1]


def small() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"x": rng.normal(3, 2, 60), "f": np.resize(["a", "b", "c"], 60), "one": 1.0})
    return data.assign(y=10 * rng.normal(size=60) + data.x, g=np.repeat(list("pqrstu"), 10))


@pytest.fixture
def design() -> Design:
    return build_design("y ~ x + f + (x | g)", small())


def test_default_scales(design):
    """Intercept normal(mean(y), 2.5 sd(y)), slopes normal(0, 2.5 sd(y)/sd(x)), sigma exponential(1/sd(y))."""
    data, priors = small(), build_priors(design)
    dummies = {"x": data.x, "fb": data.f == "b", "fc": data.f == "c"}
    assert priors.intercept.used == Distribution(
        "normal", (("location", data.y.mean()), ("scale", pytest.approx(2.5 * data.y.std(), rel=1e-14))), True
    )
    assert list(priors.coefficients) == list(dummies)
    for name, column in dummies.items():
        prior = priors.coefficients[name].used
        assert (prior.name, prior["location"]) == ("normal", 0)
        assert prior["scale"] == pytest.approx(2.5 * data.y.std() / column.std(), rel=1e-14)
    assert priors.sigma.used.name == "exponential"
    assert priors.sigma.used["rate"] == pytest.approx(1 / data.y.std(), rel=1e-14)


def test_scales_are_those_of_the_rows_used():
    data = small()
    data.loc[:29, "y"] = np.nan
    kept = build_priors(build_design("y ~ x + (1 | g)", data))
    alone = build_priors(build_design("y ~ x + (1 | g)", data[30:]))
    assert kept == alone


def test_a_model_without_an_intercept_has_no_prior_for_it():
    priors = build_priors(build_design("y ~ 0 + x + (1 | g)", small()))
    assert priors.intercept is None
    assert list(priors.coefficients) == ["x"]


def test_a_constant_column_counts_as_having_standard_deviation_one():
    """As rstanarm's x_scale does."""
    priors = build_priors(build_design("y ~ 0 + one + (1 | g)", small()))
    assert priors.coefficients["one"].used["scale"] == pytest.approx(2.5 * small().y.std(), rel=1e-14)


def test_changing_the_unit_of_the_response_changes_every_scale_alike():
    data = small()
    metres = build_priors(build_design("y ~ x + f + (x | g)", data))
    millimetres = build_priors(build_design("y ~ x + f + (x | g)", data.assign(y=1000 * data.y)))
    for one, other in [
        (metres.intercept, millimetres.intercept),
        *zip(metres.coefficients.values(), millimetres.coefficients.values(), strict=True),
    ]:
        assert other.used["scale"] == pytest.approx(1000 * one.used["scale"], rel=1e-12)
        assert other.used["location"] == pytest.approx(1000 * one.used["location"], rel=1e-12)
    assert millimetres.sigma.used["rate"] == pytest.approx(metres.sigma.used["rate"] / 1000, rel=1e-12)
    assert metres.covariance == millimetres.covariance


# -- overrides -----------------------------------------------------------------------------------------


def used(design: Design, overrides: dict) -> dict:
    """Every prior of a model as used, by name."""
    priors = build_priors(design, overrides)
    out = {name: adjusted.used for name, adjusted in priors.coefficients.items()}
    return {"(Intercept)": priors.intercept.used, **out, "sigma": priors.sigma.used, **priors.covariance}


N, T = normal(1, 2), student_t(4, 0, 3)

OVERRIDES = [
    # overrides, the priors that change
    ({}, {}),
    ({"x": N}, {"x": N}),
    ({"fb": N}, {"fb": N}),
    ({"f": N}, {"fb": N, "fc": N}),
    ({"fixed": N}, {"x": N, "fb": N, "fc": N}),
    ({"fixed": N, "f": T}, {"x": N, "fb": T, "fc": T}),
    ({"fixed": N, "f": T, "fc": cauchy(0, 5)}, {"x": N, "fb": T, "fc": cauchy(0, 5)}),
    ({"(Intercept)": T}, {"(Intercept)": T}),
    ({"Intercept": T}, {"(Intercept)": T}),
    ({"sigma": half_normal(3)}, {"sigma": half_normal(3)}),
    ({"sigma": half_student_t(3, 5)}, {"sigma": half_student_t(3, 5)}),
    ({"sigma": half_cauchy(5)}, {"sigma": half_cauchy(5)}),
    ({"sigma": gamma(2, 0.1)}, {"sigma": gamma(2, 0.1)}),
    ({"sigma": exponential(0.3)}, {"sigma": exponential(0.3)}),
    ({"g": decov(2, 1, 1, 3)}, {"g": decov(2, 1, 1, 3)}),
    ({"covariance": decov(4)}, {"g": decov(4)}),
    ({"covariance": decov(4), "g": decov(2)}, {"g": decov(2)}),
]


@pytest.mark.parametrize(("overrides", "changed"), OVERRIDES)
def test_an_override_changes_its_priors_and_no_other(design, overrides, changed):
    assert used(design, overrides) == {**used(design, {}), **changed}


def test_one_block_of_several():
    design = build_design("y ~ x + (x || g) + (1 | f)", small())
    priors = build_priors(design, {"g.1": decov(scale=3), "covariance": decov(shape=2)})
    assert priors.covariance == {"g": decov(shape=2), "g.1": decov(scale=3), "f": decov(shape=2)}


def test_terms_are_named_as_the_formula_spells_them():
    design = build_design("y ~ x*f + poly( z,2 ) + (1 | g)", small().assign(z=lambda d: np.sin(d.x)))
    priors = build_priors(design, {"x:f": N, "poly(z, 2)": T})
    changed = {name for name, prior in priors.coefficients.items() if prior.used in (N, T)}
    assert changed == {"x:fb", "x:fc", "poly(z, 2)1", "poly(z, 2)2"}


@pytest.mark.parametrize(
    ("prior", "parameter"),
    [(normal(1, 2), "scale"), (student_t(3, 1, 2), "scale"), (cauchy(1, 2), "scale")],
)
def test_autoscale_of_a_slope_multiplies_its_scale_only(design, prior, parameter):
    data = small()
    on = Distribution(prior.name, prior.parameters, autoscale=True)
    assert build_priors(design, {"x": prior}).coefficients["x"].used == prior
    adjusted = build_priors(design, {"x": on}).coefficients["x"]
    assert adjusted.specified == on
    assert adjusted.used[parameter] == pytest.approx(
        prior[parameter] * data.y.std() / data.x.std(), rel=1e-14
    )
    others = [key for key, _ in prior.parameters if key != parameter]
    assert [adjusted.used[key] for key in others] == [prior[key] for key in others]


@pytest.mark.parametrize(
    ("make", "parameter", "power"),
    [
        (half_normal, "scale", 1),
        (half_student_t, "scale", 1),
        (half_cauchy, "scale", 1),
        (exponential, "rate", -1),
        (gamma, "rate", -1),
    ],
)
def test_autoscale_of_sigma_puts_it_in_units_of_the_response(design, make, parameter, power):
    off, on = (build_priors(design, {"sigma": make(autoscale=flag)}).sigma.used for flag in (False, True))
    assert off == make()
    assert on[parameter] == pytest.approx(off[parameter] * small().y.std() ** power, rel=1e-14)


def test_lkj_scales_each_standard_deviation_to_its_column(design):
    """rstanarm's lkj(regularization, scale = 10, df = 1, autoscale = TRUE): scale times sd(y) / sd(column)."""
    data = small()
    prior = build_priors(design, {"g": lkj(2)}).covariance["g"]
    assert isinstance(prior, Lkj)
    assert (prior.regularization, prior.sd) == (2, half_student_t(1, 10, autoscale=True))
    scales = [d["scale"] for d in prior.adjusted]
    assert scales == pytest.approx([10 * data.y.std(), 10 * data.y.std() / data.x.std()], rel=1e-14)
    as_given = build_priors(design, {"g": lkj(1, sd=half_normal(2))}).covariance["g"]
    assert as_given.adjusted == (half_normal(2), half_normal(2))


def test_a_prior_of_bambi_is_used_as_it_stands(design):
    """Anything with a name and arguments, as bambi.Prior has them."""
    prior = SimpleNamespace(name="Laplace", args={"mu": 0, "b": 1})
    adjusted = build_priors(design, {"x": prior, "sigma": prior})
    assert adjusted.coefficients["x"].used is prior
    assert adjusted.sigma.used is prior


def test_the_overrides_are_not_changed(design):
    overrides = {"x": N, "covariance": decov(2)}
    build_priors(design, overrides)
    assert overrides == {"x": N, "covariance": decov(2)}


# -- random draws --------------------------------------------------------------------------------------

TRUTH = [
    (normal(1, 2), stats.norm(1, 2)),
    (student_t(4, 1, 2), stats.t(4, 1, 2)),
    (cauchy(1, 2), stats.cauchy(1, 2)),
    (half_normal(2), stats.halfnorm(0, 2)),
    (half_cauchy(2), stats.halfcauchy(0, 2)),
    (exponential(4), stats.expon(0, 1 / 4)),
    (gamma(3, 2), stats.gamma(3, 0, 1 / 2)),
]


@pytest.mark.parametrize(("prior", "truth"), TRUTH, ids=[prior.name for prior, _ in TRUTH])
def test_draws_follow_the_distribution(prior, truth):
    draws = prior.sample(np.random.default_rng(3), 20_000)
    assert stats.kstest(draws, truth.cdf).pvalue > 1e-4


def test_half_student_t_draws_are_folded():
    draws = half_student_t(3, 2).sample(np.random.default_rng(3), 20_000)
    assert stats.kstest(draws, lambda v: 2 * stats.t(3, 0, 2).cdf(v) - 1).pvalue > 1e-4


@pytest.mark.parametrize("prior", [decov(), decov(1, 3, 2, 0.5)])
@pytest.mark.parametrize("columns", [1, 2, 4])
def test_decov_draws(prior, columns):
    """tau ~ Gamma(shape, 1); sum of variances = J (tau scale phi)^2; the shares ~ Dirichlet(concentration)."""
    phi = np.linspace(1, 2, 20_000)
    sd = prior.sample_sd(np.random.default_rng(4), 20_000, columns, phi)
    assert sd.shape == (20_000, columns)
    tau = np.sqrt((sd**2).sum(axis=1) / columns) / (prior.scale * phi)
    assert stats.kstest(tau, stats.gamma(prior.shape).cdf).pvalue > 1e-4
    if columns > 1:
        share = sd[:, 0] ** 2 / (sd**2).sum(axis=1)
        truth = stats.beta(prior.concentration, (columns - 1) * prior.concentration)
        assert stats.kstest(share, truth.cdf).pvalue > 1e-4


# -- what the priors imply -----------------------------------------------------------------------------


def test_implied_icc_of_one_intercept_under_the_defaults():
    """ICC = tau^2 / (1 + tau^2), tau ~ Exponential(1): median t / (1 + t), t = log(2)^2; P(ICC > .5) = P(tau > 1)."""
    design = build_design("y ~ x + (1 | g)", small())
    (facts,) = implied(design, build_priors(design), SIZE)
    t = math.log(2) ** 2
    slope = 2 * math.log(2) / (1 + t) ** 2  # of ICC in tau at the median, where the density of tau is 1/2
    assert abs(facts.icc_median - t / (1 + t)) < 4 * slope / math.sqrt(SIZE)
    p = math.exp(-1)
    assert abs(facts.icc_above_half - p) < 4 * math.sqrt(p * (1 - p) / SIZE)
    assert math.isnan(facts.extreme_correlation)


def test_implied_range_of_a_standard_deviation():
    """sd = tau sigma is a product of two exponentials: P(sd < s) = 1 - 2 z K1(2 z), z^2 = s / sd(y)."""
    design = build_design("y ~ x + (1 | g)", small())
    (facts,) = implied(design, build_priors(design), SIZE)
    z = np.sqrt(facts.sd_range[0] / small().y.std())
    probability = 1 - 2 * z * special.k1(2 * z)
    assert np.abs(probability - [0.05, 0.95]).max() < 4 * math.sqrt(0.05 * 0.95 / SIZE)


def test_implied_facts_of_every_block():
    design = build_design("y ~ x + (x | g) + (0 + x | f)", small())
    slopes, both = sorted(implied(design, build_priors(design), SIZE), key=lambda facts: len(facts.columns))
    assert (slopes.label, both.label) == ("f", "g")
    assert (slopes.columns, both.columns) == (("x",), ("(Intercept)", "x"))
    assert both.sd_range.shape == (2, 2)
    assert (both.sd_range[:, 0] < both.sd_range[:, 1]).all()
    assert math.isnan(slopes.icc_median)
    assert math.isnan(slopes.icc_above_half)
    assert 0 < both.icc_median < 1
    assert both.extreme_correlation == pytest.approx(0.1, rel=1e-12)


def test_implied_icc_of_crossed_intercepts_shares_the_total():
    """With equal priors the shares of two factors and the residual are those of tau1^2, tau2^2 and 1."""
    design = build_design("y ~ 1 + (1 | g) + (1 | f)", small())
    one, other = implied(design, build_priors(design), SIZE)
    tau = np.random.default_rng(9).exponential(size=(2, SIZE))
    share = tau[0] ** 2 / (tau[0] ** 2 + tau[1] ** 2 + 1)
    tolerance = 4 * math.sqrt(2 * 0.25 / SIZE)  # difference of two independent proportions
    for facts in (one, other):
        assert abs(np.mean(share < facts.icc_median) - 0.5) < tolerance
        assert abs(np.mean(share > 0.5) - facts.icc_above_half) < tolerance


def lkj_tail(eta: float, p: int, size: int = 200_000) -> tuple[float, float]:
    """P(|r12| > 0.9) and its Monte Carlo error, from the definition: density det(R)^(eta - 1) on correlation matrices.

    Off-diagonals uniform on (-1, 1), kept where R is positive definite and weighted by the density.
    """
    rng = np.random.default_rng(5)
    R = np.tile(np.eye(p), (size, 1, 1))
    for i, j in combinations(range(p), 2):
        R[:, i, j] = R[:, j, i] = rng.uniform(-1, 1, size)
    R = R[(np.linalg.eigvalsh(R) > 0).all(axis=1)]
    weight = np.linalg.det(R) ** (eta - 1)
    tail = np.abs(R[:, 0, 1]) > 0.9
    estimate = np.average(tail, weights=weight)
    return estimate, math.sqrt(np.sum(weight**2 * (tail - estimate) ** 2)) / weight.sum()


@pytest.mark.parametrize(("eta", "p"), [(1, 2), (2, 2), (1, 3), (2, 3), (3.5, 3), (1, 4)])
def test_probability_of_an_extreme_correlation_agrees_with_random_matrices(eta, p):
    data = small().assign(z=lambda d: d.x**2, v=lambda d: d.x**3)
    design = build_design(f"y ~ x + ({' + '.join(['x', 'z', 'v'][: p - 1])} | g)", data)
    (facts,) = implied(design, build_priors(design, {"g": decov(regularization=eta)}), size=100)
    estimate, error = lkj_tail(eta, p)
    assert abs(facts.extreme_correlation - estimate) < 4 * error


@pytest.mark.parametrize(
    ("eta", "tail"),
    [(1, 0.1), (2, 1.5 * (0.1 - (1 - 0.9**3) / 3)), (0.5, 1 - 2 / math.pi * math.asin(0.9))],
)
def test_probability_of_an_extreme_correlation_in_closed_form(design, eta, tail):
    """Two columns: density (1 - r^2)^(eta - 1): uniform, a parabola, the arcsine law."""
    for prior in (decov(regularization=eta), lkj(eta)):
        (facts,) = implied(design, build_priors(design, {"g": prior}), size=100)
        assert facts.extreme_correlation == pytest.approx(tail, rel=1e-10)


def test_implied_facts_depend_on_the_seed_only(design):
    priors = build_priors(design)
    (one,), (again,), (other,) = (implied(design, priors, 1000, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.sd_range, again.sd_range)
    assert (one.sd_range != other.sd_range).all()


def test_a_grouping_factor_means_all_its_blocks():
    data = bm.load_dataset("sleepstudy")
    design = build_design("Reaction ~ Days + (Days || Subject)", data)
    prior = bm.lkj(2, sd=bm.half_normal(7))
    both = build_priors(design, {"Subject": prior}).covariance
    assert [type(p).__name__ for p in both.values()] == ["Lkj", "Lkj"]
    mixed = build_priors(design, {"Subject.1": prior}).covariance
    assert [type(p).__name__ for p in mixed.values()] == ["Decov", "Lkj"]


def test_the_kind_of_prior_tells_a_predictor_from_a_grouping_factor():
    design = build_design("Reaction ~ Days + (1 | Days)", bm.load_dataset("sleepstudy"))
    priors = build_priors(design, {"Days": bm.normal(0, 3)})
    assert priors.coefficients["Days"].used == bm.normal(0, 3)
    assert priors.covariance["Days"] == bm.decov()
    priors = build_priors(design, {"Days": bm.decov(2)})
    assert priors.coefficients["Days"].used.name == "normal"
    assert priors.covariance["Days"] == bm.decov(2)
