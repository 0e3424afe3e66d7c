"""The doctor: directions without variance, what the posterior says instead, the ladder of simpler models."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from reference_models import REFERENCE
from scipy import stats
from synthetic import posterior_of

import bayesmlm as bm
from bayesmlm.design import build_design
from bayesmlm.doctoring import boundary_frame, convergence, degenerate, verdicts
from bayesmlm.doctoring.climb import climb, linear_loglik
from bayesmlm.doctoring.elpd import linear_elpd
from bayesmlm.doctoring.ladder import reduced_design, rungs
from bayesmlm.formulas import parse_formula
from bayesmlm.priors import build_priors
from bayesmlm.reference.lmer import fit_lmer
from bayesmlm.report.diagnosis import combination, driven

LME3 = "log(ATT8SCR) ~ log(PTFSM6CLA1A) + (log(PTFSM6CLA1A) | OFSTEDRATING)"


@pytest.fixture(scope="module")
def schools():
    data = bm.load_dataset("england_schools")
    return data[data["PTFSM6CLA1A"] > 0]


@pytest.fixture(scope="module")
def lme3(schools):
    return build_design(LME3, schools)


@pytest.fixture(scope="module")
def singular_fit(schools):
    return bm.fit(LME3, schools, seed=1, progress=False)


@pytest.fixture(scope="module")
def small():
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(15), 12)
    b = rng.normal(size=15) * 1.5
    x, z = rng.normal(size=(2, 180))
    f = rng.choice(["a", "b", "c"], 180)
    return pd.DataFrame({"y": b[g] + x + rng.normal(size=180), "x": x, "z": z, "f": f, "g": g, "h": g // 3})


# -- directions without variance -------------------------------------------------------------------


def test_a_variance_of_zero():
    design = build_design("Yield ~ 1 + (1 | Batch)", bm.load_dataset("dyestuff2"))
    (found,) = degenerate(design, fit_lmer(design))
    assert (found.kind, found.exact, found.sd) == ("all zero", True, 0.0)


def test_a_correlation_of_one_is_a_line_and_its_combination_does_not_vary(lme3):
    estimate = fit_lmer(lme3)
    (found,) = degenerate(lme3, estimate)
    assert (found.kind, found.exact) == ("line", True)
    cov = estimate.varcorr.blocks[0].cov
    spread = np.sqrt(np.diag(cov))
    assert found.weights @ cov @ found.weights < 1e-8 * (np.abs(found.weights) @ spread) ** 2
    assert found.ratio == pytest.approx(
        estimate.varcorr.blocks[0].corr[0, 1] * spread[1] / spread[0], rel=1e-6
    )
    at = np.array([1.0, found.meeting])
    assert at @ cov @ at < 1e-8 * cov[0, 0]


def test_the_meeting_point_is_where_blups_agree(lme3):
    estimate = fit_lmer(lme3)
    (found,) = degenerate(lme3, estimate)
    lines = estimate.ranef[0].mode @ [1.0, found.meeting]
    assert np.ptp(lines) < 1e-4 * np.ptp(estimate.ranef[0].mode[:, 0])


def test_a_combination_of_three_effects():
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(40), 15)
    x, z = rng.normal(size=(2, 600))
    b = rng.normal(size=(40, 2))
    y = b[g, 0] + x * b[g, 1] + z * (b[g, 0] - 2 * b[g, 1]) + 0.5 * rng.normal(size=600)
    design = build_design("y ~ x + z + (x + z | g)", pd.DataFrame({"y": y, "x": x, "z": z, "g": g}))
    estimate = fit_lmer(design)
    (found,) = degenerate(design, estimate)
    assert found.kind == "combination"
    # what was simulated: b_z - b_0 + 2 b_x = 0, up to a factor
    assert found.weights / found.weights[2] == pytest.approx([-1, 2, 1], abs=0.15)
    assert re.fullmatch(
        r"x - 0\.\d+ \(Intercept\) \+ 0\.\d+ z|x \+ 0\.\d+ z - 0\.\d+ \(Intercept\)", combination(found)
    )


def test_a_sound_fit_has_no_such_direction(small):
    design = build_design("y ~ x + (1 | g)", small)
    assert degenerate(design, fit_lmer(design)) == ()


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_directions_do_not_depend_on_units(schools, lme3, factor):
    data = schools.assign(scaled=np.log(schools["PTFSM6CLA1A"]) * factor)
    other = build_design("log(ATT8SCR) ~ scaled + (scaled | OFSTEDRATING)", data)
    (here,), (there,) = degenerate(lme3, fit_lmer(lme3)), degenerate(other, fit_lmer(other))
    assert there.kind == here.kind
    assert there.meeting == pytest.approx(here.meeting * factor, rel=1e-3)


# -- what the posterior says -----------------------------------------------------------------------


def test_the_boundary_frame_counts_draws(small):
    design = build_design("y ~ x + (x | g)", small)
    estimate, priors = fit_lmer(design), build_priors(design)
    posterior = posterior_of(design, fixef=estimate.beta, sd={"g": [1.0, 0.05]}, sigma=1.0, corr={"g": 0.95})
    frame = boundary_frame(design, posterior, priors, estimate, 0.9).set_index("term")
    sd = posterior.blocks[0].sd.values[..., 1].ravel()
    typical = np.sqrt(np.mean(design.blocks[0].Z[:, 1] ** 2))
    small_share = np.mean(sd * typical < 0.1 * posterior.sigma.values.ravel())
    assert frame.loc["sd__x", "near_boundary"] == small_share
    assert frame.loc["sd__x", "conf_low"] == pytest.approx(np.quantile(sd, 0.05))
    assert frame.loc["cor__(Intercept).x", "near_boundary"] > 0.9
    assert frame.loc["sd__x", "reference"] == estimate.varcorr.blocks[0].sd[1]


def test_the_prior_of_a_correlation_is_uniform_for_two_columns_by_default(small):
    design = build_design("y ~ x + (x | g)", small)
    posterior = posterior_of(design, fixef=[0, 1], sd={"g": [1, 1]}, sigma=1.0, corr={"g": 0.1})
    row = (
        boundary_frame(design, posterior, build_priors(design), None, 0.9)
        .set_index("term")
        .loc["cor__(Intercept).x"]
    )
    assert (row["prior_low"], row["prior_high"]) == pytest.approx((-0.9, 0.9))
    assert row["width_ratio"] == pytest.approx((row["conf_high"] - row["conf_low"]) / 1.8)


@pytest.mark.parametrize(
    ("ratio", "said"), [(0.95, "mostly the prior's"), (0.5, "share in it"), (0.1, "the data's")]
)
def test_how_much_is_the_priors(ratio, said):
    assert said in driven(ratio)


# -- the ladder ------------------------------------------------------------------------------------


def bars_of(data, formula):
    """For each ladder of a model, the bars from top to bottom."""
    design = build_design(formula, data)
    return [[r.bar for r in ladder] for ladder in rungs(design)]


@pytest.mark.parametrize(
    ("formula", "ladders"),
    [
        ("y ~ x + (1 | g)", [["(1 | g)", ""]]),
        ("y ~ x + (x | g)", [["(1 + x | g)", "(1 + x || g)", "(1 | g)", ""]]),
        ("y ~ x + (0 + x | g)", [["(0 + x | g)", ""]]),
        ("y ~ x + (x || g)", [["(0 + x | g)", ""]]),  # the slope needs the intercept
        ("y ~ f + (f | g)", [["(1 + f | g)", "(1 | g)", ""]]),
        ("y ~ f + (0 + f | g)", [["(0 + f | g)", "(1 | g)", ""]]),
        (
            "y ~ x + z + (x + z | g)",
            [["(1 + x + z | g)", "(1 + x + z || g)", "(1 + x || g)", "(1 | g)", ""]],
        ),
        (
            "y ~ x * z + (x * z | g)",
            [
                [
                    "(1 + x + z + x:z | g)",
                    "(1 + x + z + x:z || g)",
                    "(1 + x + z || g)",
                    "(1 + x || g)",
                    "(1 | g)",
                    "",
                ]
            ],
        ),
        ("y ~ x + f + (x + f | g)", [["(1 + x + f | g)", "(1 + x | g)", "(1 | g)", ""]]),
        ("y ~ x + (1 | h/g)", [["(1 | g:h)", ""], ["(1 | h)", ""]]),
        ("y ~ x + (x | g) + (1 | h)", [["(1 + x | g)", "(1 + x || g)", "(1 | g)", ""], ["(1 | h)", ""]]),
    ],
)
def test_the_ladder_drops_one_thing_at_a_time(small, formula, ladders):
    found = bars_of(small, formula)
    assert found == ladders


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x + (x | g)",
        "log(y + 9) ~ x + z + offset(z) + (x + z | g) + (1 | h)",
        "y ~ 0 + f + x + (f | h/g)",
        "y ~ poly(x, 2) + (poly(x, 2) | g)",
        "y ~ x + (x | factor(g))",
        "`the response` ~ `a b` + (`a b` | `g h`)",
    ],
)
def test_every_rung_is_a_formula_that_is_read_again(small, formula):
    data = small.assign(**{"the response": small["y"], "a b": small["x"], "g h": small["g"]})
    design = build_design(formula, data)
    for ladder in rungs(design):
        for rung in ladder:
            parsed = parse_formula(rung.formula)
            assert parsed.fixed == design.formula.fixed
            assert parsed.response == design.formula.response
            assert not rung.bar or all(b in parsed.bars for b in parse_formula(f"~ {rung.bar}").bars)
        assert parse_formula(ladder[0].formula) == design.formula


def test_slopes_with_least_variance_go_first(small):
    rng = np.random.default_rng(4)
    b = rng.normal(size=15)
    data = small.assign(y=small["y"] + 2 * b[small["g"]] * small["z"])
    design = build_design("y ~ x + z + (z + x | g)", data)
    (ladder,) = rungs(design, fit_lmer(design))
    assert ladder[2].bar == "(1 + z || g)"


@pytest.mark.parametrize("formula", ["y ~ x + (x || g)", "y ~ x + (1 | g)", "y ~ x + (1 | h) + (1 | g:h)"])
def test_a_reduced_design_is_that_of_its_formula(small, formula):
    whole = build_design("y ~ x + (x | g) + (scale(z) | h/g)", small)
    reduced, built = reduced_design(whole, formula), build_design(formula, small)
    if "g:h" in formula:
        assert [b.label for b in reduced.blocks] == [b.label for b in built.blocks]
    for mine, other in zip(reduced.blocks, built.blocks, strict=True):
        assert (mine.label, mine.columns, mine.levels) == (other.label, other.columns, other.levels)
        np.testing.assert_array_equal(mine.Z, other.Z)
        np.testing.assert_array_equal(mine.index, other.index)


def test_a_ladder_stays_on_the_rows_of_the_model(small):
    """Without (z | g) the formula has no z, and its missing values would come back."""
    data = small.assign(z=small["z"].where(small.index >= 20))
    design = build_design("y ~ x + (z | g)", data)
    frame = climb(design, fit_lmer(design))
    without = bm.lmer("y ~ x + (1 | g)", small.iloc[20:], reml=False)
    assert frame.set_index("bar").loc["(1 | g)", "loglik"] == pytest.approx(without.loglik, rel=1e-9)


def test_likelihoods_tests_and_aic_are_those_of_anova(small):
    design = build_design("y ~ x + (x | g)", small)
    frame = climb(design, fit_lmer(design))
    fits = [bm.lmer(f"y ~ x + {bar}", small) for bar in ("(1 | g)", "(x || g)", "(x | g)")]
    expected = bm.anova(*fits).to_frame()
    for ours, theirs in [("(1 + x | g)", "m2"), ("(1 + x || g)", "m1"), ("(1 | g)", "m0")]:
        row = frame.set_index("bar").loc[ours]
        assert row["loglik"] == pytest.approx(expected.loc[theirs, "loglik"], rel=1e-9)
        assert row["aic"] == pytest.approx(expected.loc[theirs, "aic"], rel=1e-9)
    # a ladder tests downwards: each rung against the one above
    tests = frame.set_index("bar")[["chisq", "df", "p_value", "p_boundary"]]
    np.testing.assert_allclose(
        tests.loc["(1 | g)"].astype(float), expected.loc["m1", tests.columns].astype(float)
    )
    np.testing.assert_allclose(
        tests.loc["(1 + x || g)"].astype(float), expected.loc["m2", tests.columns].astype(float)
    )
    restricted = frame.set_index("bar")["reml_loglik"]
    assert restricted["(1 | g)"] == pytest.approx(fits[0].loglik, rel=1e-9)


@pytest.mark.parametrize("reml", [True, False])
def test_the_likelihood_without_bars(small, reml):
    """By the density itself: N(X beta, s^2 / w), and of the residual contrasts for REML."""
    w = 1 + np.arange(180) % 3
    design = build_design("y ~ x + z + offset(x)", small, weights=w.astype(float))
    X, y, n, k = design.X, design.y - design.offset, 180, 3
    root = np.sqrt(w)
    beta = np.linalg.lstsq(root[:, None] * X, root * y, rcond=None)[0]
    rss = np.sum(w * (y - X @ beta) ** 2)
    if not reml:
        s = np.sqrt(rss / n)
        assert linear_loglik(design, False) == pytest.approx(stats.norm.logpdf(y, X @ beta, s / root).sum())
        return
    s2 = rss / (n - k)
    V = np.diag(s2 / w)
    P = np.linalg.slogdet(X.T @ np.linalg.inv(V) @ X)[1]
    value = -0.5 * ((n - k) * np.log(2 * np.pi) + np.linalg.slogdet(V)[1] + P + rss / s2)
    assert linear_loglik(design, True) == pytest.approx(value)


def test_verdicts():
    base = {"block": "g", "p_value": np.nan, "p_boundary": np.nan, "elpd_diff": 0.0, "se_diff": 0.0}
    rows = [
        base,
        base | {"p_value": 0.5, "elpd_diff": 0.3},  # nothing lost
        base | {"p_value": 0.5, "p_boundary": 0.25, "elpd_diff": -1.0},  # by the mixture
        base | {"p_value": 0.1, "elpd_diff": -1.0},  # the two disagree
        base | {"p_value": 0.5, "elpd_diff": -30.0, "se_diff": 8.0},  # predicts worse
        base | {"p_value": 0.9, "elpd_diff": 0.0},  # below what was lost
        base | {"block": "h"},
        base | {"block": "h", "p_value": 0.001},
        base | {"block": "i"},
        base | {"block": "i", "p_value": 0.15, "elpd_diff": np.nan},
        base | {"block": "j"},
        base | {"block": "j", "elpd_diff": 1.0},  # no reference fit to test against
        base | {"block": "k"},
        base | {"block": "k", "elpd_diff": np.nan},
    ]
    expected = ["", "nothing lost", "nothing lost", "unclear", "lost", "lost", "", "lost", "", "lost"]
    expected += ["", "nothing lost", "", "unclear"]
    assert verdicts(pd.DataFrame(rows)).tolist() == expected


# -- predictive densities --------------------------------------------------------------------------


def test_elpd_is_that_of_loo_and_of_rstanarm(m3):
    frame, loo = m3.doctor(ladder=True).frame, m3.loo()
    assert frame["bar"].tolist() == ["(1 + female | school)", "(1 | school)", ""]
    assert frame["elpd"].iloc[0] == pytest.approx(loo.pointwise["elpd"].sum(), rel=1e-12)
    files = [REFERENCE / "rstanarm" / f"{name}.json" for name in ("gcse_m3", "gcse_m2")]
    theirs = [json.loads(file.read_text())["loo"]["elpd"] for file in files]
    # four sums from as many draws each, with about the same Monte Carlo error
    error = np.sqrt(4) * loo.accuracy.mc_se
    assert abs(frame["elpd_diff"].iloc[1] - (theirs[1] - theirs[0])) < 4 * error
    assert frame["verdict"].tolist() == ["", "lost", "lost"]


def test_elpd_without_bars_is_that_of_exact_leaving_out(small):
    """Each row left out in turn: the density of y_i given the others, by quadrature over log sigma."""
    data = small.iloc[:40]
    design = build_design("y ~ x", data)
    priors = build_priors(design)
    elpd, _ = linear_elpd(design, priors, 20_000, seed=1)
    X = np.column_stack([np.ones(40), design.X[:, 1] - design.X[:, 1].mean()])
    used = [priors.intercept.used, priors.coefficients["x"].used]
    m, P = np.array([u["location"] for u in used]), np.diag([u["scale"] ** 2 for u in used])
    grid = np.linspace(-1.5, 2.0, 400)
    rate = priors.sigma.used["rate"]

    def log_evidence(rows):
        values = [
            stats.multivariate_normal.logpdf(
                design.y[rows], X[rows] @ m, X[rows] @ P @ X[rows].T + np.exp(2 * s) * np.eye(len(rows))
            )
            + stats.expon.logpdf(np.exp(s), scale=1 / rate)
            + s
            for s in grid
        ]
        return np.logaddexp.reduce(values)

    everything = np.arange(40)
    for i in (0, 7, 23):
        exact = log_evidence(everything) - log_evidence(np.delete(everything, i))
        assert elpd[i] == pytest.approx(exact, abs=0.02)


# -- convergence -----------------------------------------------------------------------------------


def troubled(small, change):
    design = build_design("y ~ x + (x | g)", small)
    posterior = posterior_of(design, fixef=[0, 1], sd={"g": [1, 0.5]}, sigma=1.0, corr={"g": 0.1}, spread=0.2)
    change(posterior)
    return convergence(posterior)


def test_a_good_sample(small):
    assert troubled(small, lambda p: None).good


def test_the_parameter_whose_chains_disagree_is_named(small):
    def shift(posterior):
        posterior.fixef.values[0, :, 1] += 3.0

    c = troubled(small, shift)
    assert c.rhat[0] == "x"
    assert c.rhat[1] > 1.1


def test_divergent_draws_are_placed(small):
    def diverge(posterior):
        sd = posterior.blocks[0].sd.values[..., 1]
        posterior.sample_stats["diverging"].values[:] = sd < np.quantile(sd, 0.02)

    c = troubled(small, diverge)
    assert c.divergences == 20
    name, bad, others = c.gathered
    assert name == "sd__x (g)"
    assert bad < others


def test_divergent_draws_all_over_the_place_are_not_placed(small):
    def diverge(posterior):
        posterior.sample_stats["diverging"].values[:, ::10] = True

    assert troubled(small, diverge).gathered is None


# -- the whole -------------------------------------------------------------------------------------


def test_a_singular_fit_is_examined_with_its_ladder(singular_fit):
    diagnosis = singular_fit.doctor()
    assert diagnosis.singular
    assert diagnosis.frame["bar"].tolist() == [
        "(1 + log(PTFSM6CLA1A) | OFSTEDRATING)",
        "(1 + log(PTFSM6CLA1A) || OFSTEDRATING)",
        "(1 | OFSTEDRATING)",
        "",
    ]
    assert diagnosis.frame["elpd"].notna().all()
    assert diagnosis.frame["elpd_diff"].iloc[0] == 0
    # without the bar, inspectors' judgements are not in the model at all
    assert diagnosis.frame["elpd_diff"].iloc[-1] < -100
    assert diagnosis.frame["verdict"].iloc[-1] == "lost"
    page = str(diagnosis)
    assert "meet at log(PTFSM6CLA1A) =" in page
    assert "What the posterior says instead" in page
    assert "Barr, Levy, Scheepers & Tily (2013" in page
    assert max(map(len, page.splitlines())) <= 150
    assert "<table>" in diagnosis._repr_html_()


def test_without_refits_there_is_no_elpd(singular_fit):
    frame = singular_fit.doctor(refit=False).frame
    assert frame["elpd"].isna().all()
    assert frame["loglik"].notna().all()


def test_a_variance_of_zero_is_said_and_nothing_is_lost_without_the_bar():
    fit = bm.fit(
        "Yield ~ 1 + (1 | Batch)",
        bm.load_dataset("dyestuff2"),
        seed=5,
        chains=2,
        draws=300,
        tune=300,
        progress=False,
    )
    diagnosis = fit.doctor()
    assert diagnosis.frame["bar"].tolist() == ["(1 | Batch)", ""]
    assert diagnosis.frame["verdict"].tolist() == ["", "nothing lost"]
    assert diagnosis.frame["p_boundary"].iloc[1] == pytest.approx(1.0)  # half of the mixture is a point at 0
    said = " ".join(diagnosis.sentences)
    assert "the variance is 0" in said
    assert "Yield ~ 1." in said
    row = diagnosis.boundary.iloc[0]
    assert (row["term"], row["reference"]) == ("sd__(Intercept)", 0.0)


def test_a_sound_fit_is_told_so_briefly(m3):
    diagnosis = m3.doctor()
    assert not diagnosis.singular
    assert diagnosis.frame.empty
    assert len(str(diagnosis).splitlines()) < 8
    assert "The REML fit is not singular" in str(diagnosis)
    assert "The chains have converged" in str(diagnosis)


def test_a_reference_fit_has_a_doctor_too(schools):
    ref = bm.lmer(LME3, schools)
    diagnosis = ref.doctor()
    assert diagnosis.boundary is None
    assert len(diagnosis.frame) == 4
    assert "bm.fit" in str(diagnosis)
    assert ref.doctor(ladder=False).frame.empty


def test_priors_of_blocks_that_are_gone_are_left_out(small):
    fit = bm.fit(
        "y ~ x + (1 | g) + (1 | h)",
        small,
        priors={"h": bm.decov(scale=0.5), "x": bm.normal(0, 1)},
        seed=1,
        progress=False,
    )
    frame = fit.doctor(ladder=True).frame
    assert frame["elpd"].notna().all()


def test_interval_probability_is_checked(m3):
    with pytest.raises(bm.BayesMLMError, match="prob"):
        m3.doctor(prob=90)
