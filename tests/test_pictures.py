"""Pictures of fits draw the numbers of their tables, all of them, in the data's words. Posteriors are made by hand."""

from __future__ import annotations

from dataclasses import replace

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from synthetic import posterior_of

import bayesmlm as bm
from bayesmlm.design import build_design
from bayesmlm.plots import (
    plot_calibration,
    plot_check,
    plot_coefficients,
    plot_effects,
    plot_ellipses,
    plot_groups,
    plot_ppc,
    plot_ppc_groups,
    plot_profile,
    plot_ranks,
    plot_trace,
    plot_variance,
)
from bayesmlm.plots.colours import ON_LIGHT
from bayesmlm.plots.names import name_points
from bayesmlm.priors import build_priors
from bayesmlm.reference.lmer import fit_lmer
from bayesmlm.result import Fit
from bayesmlm.sampling.settings import Settings
from bayesmlm.views.checks import check_tables
from bayesmlm.views.partitions import vpc_curve
from bayesmlm.views.predictions import conditional_effects, group_lines, group_points
from bayesmlm.views.replications import replication_densities

matplotlib.use("Agg")
SLEEP = bm.load_dataset("sleepstudy")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def made_fit(formula, data, fixef, sd, sigma, effects=1.0, **given):
    """A Fit whose draws scatter around given values; group effects are normal."""
    design = build_design(formula, data, **given)
    rng = np.random.default_rng(3)
    b = {
        x.label: effects * rng.normal(size=(len(x.levels), len(x.columns))) * sd[x.label]
        for x in design.blocks
    }
    posterior = posterior_of(design, fixef=fixef, sd=sd, sigma=sigma, b=b, spread=0.05, draws=100)
    return Fit(design, build_priors(design), posterior, (), Settings(), 0.0, "by hand", fit_lmer(design))


@pytest.fixture(scope="module")
def sleep():
    return made_fit(
        "Reaction ~ Days + (Days | Subject)", SLEEP, [250.0, 10.0], {"Subject": np.array([25.0, 6.0])}, 25.0
    )


@pytest.fixture(scope="module")
def many():
    """700 schools of 2 to 8 pupils, a factor and two numbers."""
    rng = np.random.default_rng(1)
    school = np.repeat(np.arange(700), rng.integers(2, 9, 700))
    x, girl = rng.normal(size=len(school)), rng.choice(["boy", "girl"], len(school))
    u = rng.normal(size=700)
    y = 5 + x + (girl == "girl") + u[school] + rng.normal(size=len(school))
    data = pd.DataFrame({"score": y, "x": x, "sex": girl, "school": school, "region": school % 9})
    sd = {"school": np.array([1.0, 0.4])}
    return made_fit("score ~ x + sex + (1 + x | school)", data, [5.0, 1.0, 1.0], sd, 1.0)


def words(legend):
    return [t.get_text() for t in legend.get_texts()]


def line(ax, label):
    """Return x and y of the one line with this label."""
    [found] = [x for x in ax.lines if x.get_label() == label]
    return np.asarray(found.get_xdata(), float), np.asarray(found.get_ydata(), float)


def points(ax, label):
    [found] = [c for c in ax.collections if c.get_label() == label]
    return np.asarray(found.get_offsets())


def segments(collection):
    return np.array(collection.get_segments())


# -- coefficients and variance components ----------------------------------------------------------


def test_coefficients_are_rows_the_first_on_top_with_the_reference_below(many):
    table = many.coefficient_table(prob=0.8)
    ax = many.plot_coefficients(prob=0.8)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["sexgirl", "x"]
    x, y = line(ax, "posterior median")
    np.testing.assert_array_equal(x, table["estimate"][::-1])
    reference_x, reference_y = line(ax, "reference")
    np.testing.assert_array_equal(reference_x, table["reference"][::-1])
    assert (reference_y < y).all()
    outer, inner, theirs, zero = (segments(c)[:, :, 0] for c in ax.collections)
    np.testing.assert_array_equal(outer, table[["conf_low", "conf_high"]][::-1])
    np.testing.assert_array_equal(inner, table[["inner_low", "inner_high"]][::-1])
    np.testing.assert_array_equal(theirs, table[["reference_low", "reference_high"]][::-1])
    assert zero.tolist() == [[0, 0]]
    assert words(ax.get_legend()) == ["posterior median, 50% and 80% intervals", "REML, 80% Wald interval"]
    assert ax.get_xlabel() == "change of score per unit"


def test_the_legend_names_the_method_of_the_reference_interval(sleep):
    ax = sleep.plot_coefficients(sleep.reference(), ddf="satterthwaite", standardize="x")
    assert words(ax.get_legend())[1] == "REML, 90% Satterthwaite interval"
    assert ax.get_xlabel() == "change of Reaction per sd of the predictor"
    ax = sleep.plot_coefficients(sleep.reference(reml=False))
    assert words(ax.get_legend())[1] == "ML, 90% Wald interval"


def test_without_a_reference_there_is_no_diamond_and_no_word_of_it(sleep):
    ax = plot_coefficients(sleep.coefficient_table().drop(columns="reference"))
    assert [x.get_label() for x in ax.lines] == ["posterior median"]
    assert words(ax.get_legend()) == ["posterior median, intervals"]


def test_intraclass_correlations_stand_over_those_of_the_reference(many):
    ax = many.plot_icc(prob=0.8)
    [icc] = many.icc(prob=0.8).itertuples()
    assert [t.get_text() for t in ax.get_yticklabels()] == ["school"]
    assert line(ax, "posterior median")[0] == pytest.approx([icc.Median])
    np.testing.assert_allclose(segments(ax.collections[0])[0, :, 0], [icc.conf_low, icc.conf_high])
    own = many.reference().estimate
    variance = own.varcorr.blocks[0].sd[0] ** 2
    assert line(ax, "reference")[0] == pytest.approx([variance / (variance + own.sigma**2)])
    assert words(ax.get_legend()) == ["posterior median, 50% and 80% intervals", "REML"]


def test_the_share_of_the_variance_is_drawn_along_the_predictor_of_slopes(many):
    ax = many.plot_vpc(prob=0.8)
    x, share = ax.lines[0].get_data()
    table = many.vpc({"x": [x[0], x[20], x[-1]]}, prob=0.8)
    table = table[table["group"] == "school"]
    np.testing.assert_allclose(share[[0, 20, -1]], table["share"])
    band = ax.collections[0].get_paths()[0].vertices
    np.testing.assert_allclose([band[:, 1].min(), band[:, 1].max()], [curve(many).min(), curve(many).max()])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x", "share of the variance between levels of school")
    with pytest.raises(bm.DataError, match=r"does not depend on 'sex'\. It depends on: x"):
        many.plot_vpc("sex")


def test_each_block_has_a_line_of_its_share_in_the_order_of_the_formula():
    sd = {"Subject": np.array([25.0, 6.0]), "Days": np.array([5.0])}
    fit = made_fit("Reaction ~ Days + (Days | Subject) + (1 | Days)", SLEEP, [250.0, 10.0], sd, 25.0)
    ax = fit.plot_vpc()
    labels = [b.label for b in fit.design.blocks]
    assert words(ax.get_legend())[:2] == labels
    shares = fit.vpc({"Days": [0.0, 9.0]}).set_index("group")["share"]
    for label, drawn in zip(labels, [x for x in ax.lines if len(x.get_xdata()) == 50], strict=True):
        np.testing.assert_allclose(drawn.get_ydata()[[0, -1]], shares[label])


def test_without_intercepts_or_slopes_that_vary_there_is_nothing_to_draw():
    sd = {"Subject": np.array([6.0])}
    slopes = made_fit("Reaction ~ Days + (0 + Days | Subject)", SLEEP, [250.0, 10.0], sd, 25.0)
    with pytest.raises(bm.DataError, match="no intraclass correlation to draw"):
        slopes.plot_icc()
    intercepts = made_fit("Reaction ~ Days + (1 | Subject)", SLEEP, [250.0, 10.0], sd, 25.0)
    with pytest.raises(bm.DataError, match=r"no slope varies.*plot_icc draws them"):
        intercepts.plot_vpc()


def curve(fit):
    """Both ends of the intervals of the share of the variance between schools."""
    return vpc_curve(fit.design, fit.posterior, prob=0.8)[["conf_low", "conf_high"]].to_numpy()


def test_every_variance_component_has_a_panel_of_its_own(sleep):
    table = sleep.variance_table(profile=False)
    axes = sleep.plot_variance(profile=False)
    titles = ["(Intercept) | Subject", "(Intercept) and Days | Subject", "Days | Subject", "Residual"]
    assert [a.get_title() for a in axes] == titles
    for ax, row in zip(axes, table.itertuples(), strict=True):
        posterior, reference = (x.get_xdata()[0] for x in ax.lines[-2:])
        assert (posterior, reference) == (row.estimate, row.reference)
        assert segments(ax.collections[1])[0, :, 0].tolist() == [row.conf_low, row.conf_high]
    assert axes[1].get_xlim() == (-1.12, 1.12)
    [legend] = axes[0].figure.legends
    assert words(legend) == ["posterior median, 90% interval", "REML"]


def test_profile_intervals_are_those_of_confint(sleep):
    axes = sleep.plot_variance(parameters=["sd_Days|Subject"])
    ends = sleep.reference().confint("sd_Days|Subject", 0.9).to_numpy()[0]
    np.testing.assert_allclose(segments(axes[0].collections[2])[0, :, 0], ends)
    assert "REML, 90% profile interval" in words(axes[0].figure.legends[0])
    with pytest.raises(bm.DataError, match="no parameter 'sd_Dayz"):
        sleep.plot_variance(parameters="sd_Dayz|Subject", profile=False)


# -- predictions -----------------------------------------------------------------------------------


def test_every_group_has_a_line_and_the_population_its_band(sleep):
    ax = sleep.plot_groups("Days", highlight=["308"])
    table = group_lines(sleep.design, sleep.posterior, "Days")
    [bundle] = [c for c in ax.collections if isinstance(c, LineCollection)]
    others = table[table["level"] != "308"]
    np.testing.assert_array_equal(np.vstack(bundle.get_segments()), others[["x", "estimate"]])
    np.testing.assert_array_equal(
        line(ax, "Subject 308"), table.loc[table["level"] == "308", ["x", "estimate"]].T
    )
    population = conditional_effects(sleep.design, sleep.posterior, "Days")
    np.testing.assert_array_equal(line(ax, "population"), population[["x", "estimate"]].T)
    np.testing.assert_array_equal(points(ax, "data"), SLEEP[["Days", "Reaction"]])
    np.testing.assert_array_equal(points(ax, "data of 308")[:, 1], SLEEP["Reaction"][:10])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Days", "Reaction")
    assert words(ax.get_legend()) == ["each Subject (18)", "Subject 308", "population, 90% band"]


def test_lines_of_many_groups_are_fainter(sleep, many):
    def alpha(ax):
        return next(c for c in ax.collections if isinstance(c, LineCollection)).get_alpha()

    assert alpha(many.plot_groups("x")) < alpha(sleep.plot_groups("Days")) / 3


def test_a_factor_stands_at_its_categories_and_its_data_are_jittered(many):
    ax = many.plot_groups("sex", points=True)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["boy", "girl"]
    shift = points(ax, "data")[:, 0] - group_points(many.design, "sex")["x"]
    assert shift.abs().max() < 0.2
    assert shift.any()
    assert len(ax.figure.axes) == 1


def test_conditional_effects_are_lines_with_bands(many):
    table = many.conditional_effects("x", by="sex")
    ax = many.plot_effects("x", by="sex")
    for name in ("boy", "girl"):
        part = table[table["by"] == name]
        np.testing.assert_array_equal(line(ax, f"sex {name}"), part[["x", "estimate"]].T)
    assert len(ax.collections) == 2
    assert words(ax.get_legend()) == ["sex boy", "sex girl", "90% band"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x", "score")


def test_effects_of_categories_are_points_with_bars(many):
    table = many.conditional_effects("sex", groups=["3", "5"])
    ax = many.plot_effects("sex", groups=["3", "5"])
    assert [t.get_text() for t in ax.get_xticklabels()] == ["boy", "girl"]
    for level in ("3", "5"):
        x, y = line(ax, f"school {level}")
        np.testing.assert_array_equal(y, table.loc[table["level"] == level, "estimate"])
        np.testing.assert_array_equal(np.round(x), [0, 1])
    assert segments(ax.collections[0])[0, :, 1].tolist() == table.loc[0, ["conf_low", "conf_high"]].tolist()


def test_many_lines_are_told_apart_by_colour_or_dashes(sleep):
    ax = sleep.plot_effects("Days", groups=sleep.design.blocks[0].levels[:12])
    looks = {(x.get_color(), str(x._unscaled_dash_pattern)) for x in ax.lines}
    assert len(looks) == 12


# -- residuals -------------------------------------------------------------------------------------


def test_residuals_are_drawn_four_ways_and_effects_by_block(sleep):
    axes = sleep.plot_check(label="Subject")
    effects = [np.median(b.b.values, axis=(0, 1)) for b in sleep.posterior.blocks]
    rows, quantiles, lines, by_block, spread = check_tables(
        sleep.design, sleep.fitted(), sleep.sigma, effects, label="Subject"
    )
    assert len(axes) == 5
    np.testing.assert_array_equal(axes[0].collections[0].get_offsets(), rows[["fitted", "resid"]])
    np.testing.assert_array_equal(line(axes[0], "smooth line"), lines["resid"])
    np.testing.assert_array_equal(axes[1].collections[1].get_offsets(), quantiles[["theoretical", "value"]])
    np.testing.assert_array_equal(axes[2].collections[0].get_offsets(), rows[["fitted", "root"]])
    drawn = np.vstack([c.get_offsets() for c in axes[3].collections if c.get_zorder() == 2])
    np.testing.assert_array_equal(np.sort(drawn[:, 1]), np.sort(spread["spread"]))
    for term, part in by_block.groupby("term"):
        np.testing.assert_array_equal(points(axes[4], term), part[["theoretical", "value"]])
    assert axes[4].get_title() == "Effects of Subject: normal?"
    named = {t.get_text() for t in axes[0].texts}
    assert named <= set(rows.loc[rows["outlier"], "label"])
    assert named


def test_levels_whose_spread_is_out_of_the_band_are_marked(many):
    axes = many.plot_check()
    outside = points(axes[3], "outside")
    assert len(outside) > 0
    assert "school" in axes[3].get_xlabel()


def test_observed_stand_over_fitted_and_highlighted_rows_are_named(sleep):
    ax = sleep.plot_calibration(label="Subject", highlight={"Subject": ["308"]})
    assert points(ax, "Subject 308 (10)").shape == (10, 2)
    others = points(ax, "row (170)")
    np.testing.assert_array_equal(others[:, 1], SLEEP["Reaction"][10:])
    np.testing.assert_array_equal(others[:, 0], sleep.fitted()[10:])
    x, y = line(ax, "observed = fitted")
    np.testing.assert_array_equal(x, y)
    assert {t.get_text() for t in ax.texts} == {"308"}
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("fitted Reaction", "observed Reaction")
    assert ax.get_xlim() == ax.get_ylim()


def test_group_means_have_areas_by_their_rows(many):
    table = many.calibration_table("school", highlight={"region": 4})
    ax = many.plot_calibration("school", highlight={"region": 4}, max_labels=5)
    drawn = points(ax, f"region 4 ({table['highlight'].sum()})")
    np.testing.assert_array_equal(drawn, table.loc[table["highlight"], ["fitted", "observed"]])
    assert len(ax.texts) <= 5
    sizes = ax.collections[0].get_sizes()
    n = table.loc[~table["highlight"], "n"].to_numpy()
    np.testing.assert_allclose(sizes / sizes.max(), n / n.max(), rtol=1e-9)


def test_names_cover_no_other_name_and_no_point():
    _, ax = plt.subplots()
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 30))
    ax.scatter(x, y)
    texts = name_points(ax, x, y, [f"school {i}" for i in range(30)])
    boxes = [t.get_window_extent() for t in texts]
    assert 5 < len(texts) < 30
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


# -- ellipses, replicated data, ranks, chains ------------------------------------------------------


def test_ellipses_of_both_fits_and_of_draws(sleep):
    ax = sleep.plot_ellipses(n_draws=20)
    [bundle] = [c for c in ax.collections if isinstance(c, LineCollection)]
    assert len(bundle.get_segments()) == 20
    wide = line(ax, "posterior median, 90%")[0].max()
    assert wide > line(ax, "posterior median, 50%")[0].max()
    sd = sleep.reference().estimate.varcorr.blocks[0].sd[0]
    assert line(ax, "REML, 90%")[0].max() == pytest.approx(sd * np.sqrt(-2 * np.log(0.1)), rel=2e-3)
    medians = np.median(sleep.posterior.blocks[0].b.values, axis=(0, 1))
    np.testing.assert_allclose(points(ax, "Subject"), medians)
    assert ax.get_xlabel() == "(Intercept): deviation of each Subject"


def test_the_response_is_drawn_over_its_replications(sleep):
    ax = sleep.plot_ppc(draws=12, seed=5)
    table = replication_densities(sleep.design, sleep.posterior, 12, 5)
    np.testing.assert_array_equal(
        line(ax, "observed"), table.loc[table["draw"] == -1, ["value", "density"]].T
    )
    assert len(ax.collections[0].get_segments()) == 12
    assert words(ax.get_legend()) == ["observed", "12 replicated data sets"]


def test_a_statistic_of_each_group_is_drawn_over_its_interval(sleep):
    ax = sleep.plot_ppc("Subject", "sd", draws=100)
    table = sleep.pp_check("sd", "Subject", draws=100).sort_values("y_rep")
    np.testing.assert_array_equal(segments(ax.collections[0])[:, :, 0], table[["conf_low", "conf_high"]])
    assert [t.get_text() for t in ax.get_yticklabels()] == table["level"].tolist()
    drawn = np.vstack([c.get_offsets() for c in ax.collections[1:]])
    assert sorted(drawn[:, 0]) == sorted(table["y"])
    assert ax.get_xlabel() == "sd of Reaction in each Subject"


def test_ranks_are_drawn_from_the_first_at_the_top(sleep):
    table = sleep.league_table().frame.sort_values("rank")
    ax = sleep.plot_ranks(highlight=["308"])
    assert [t.get_text() for t in ax.get_yticklabels()] == table["level"].tolist()[::-1]
    np.testing.assert_array_equal(points(ax, "rank")[:, 0], table["rank"][::-1])
    np.testing.assert_array_equal(
        segments(ax.collections[0])[:, :, 0], table[["rank_low", "rank_high"]][::-1]
    )
    colours = [to_hex(c).upper() for c in ax.collections[0].get_colors()]
    assert colours.count(ON_LIGHT.no_pooling) == 1
    assert colours.index(ON_LIGHT.no_pooling) == table["level"].tolist()[::-1].index("308")
    left, right = ax.get_xlim()
    assert left > right


@pytest.mark.parametrize("kind", ["trace", "rank", "density"])
def test_chains_have_a_panel_per_parameter(sleep, kind):
    axes = sleep.plot_trace(["Days", "sigma", "sd__Days (Subject)"], kind=kind)
    assert axes.shape == (3,)
    assert [a.get_title() for a in axes] == ["Days", "sigma", "sd__Days (Subject)"]
    if kind == "trace":
        drawn = np.stack([x.get_ydata() for x in axes[0].lines])
        np.testing.assert_array_equal(drawn, sleep.posterior.fixef.values[..., 1])
        assert {to_hex(x.get_color()).upper() for x in axes[0].lines} <= set(ON_LIGHT.qualitative)


def test_energies_are_drawn_where_the_sampler_kept_them(sleep):
    rng = np.random.default_rng(1)
    stats = sleep.posterior.sample_stats.assign(energy=(("chain", "draw"), rng.normal(size=(4, 100))))
    axes = np.atleast_1d(replace(sleep, posterior=replace(sleep.posterior, sample_stats=stats)).plot_energy())
    assert axes[0].has_data()


# -- reference fits --------------------------------------------------------------------------------


def test_reference_fits_have_pictures_of_their_own(sleep):
    ref = sleep.reference()
    axes = ref.plot_caterpillar()
    table = ref.caterpillar_table()
    for ax, term in zip(axes, ["(Intercept)", "Days"], strict=True):
        part = table[table["term"] == term].sort_values("estimate")
        np.testing.assert_array_equal(segments(ax.collections[0])[:, :, 0], part[["conf_low", "conf_high"]])
    assert words(axes[0].figure.legends[0])[0] == "BLUP, 90% interval"
    axes = ref.plot_check()
    np.testing.assert_array_equal(axes[0].collections[0].get_offsets()[:, 1], ref.residuals())


def test_profiles_are_drawn_through_their_points(sleep):
    ref = sleep.reference()
    [ax] = ref.plot_profile("sd_Days|Subject", n_points=3)
    table = ref.profile("sd_Days|Subject", n_points=3).sort_values("value")
    np.testing.assert_allclose(line(ax, "sd_Days|Subject"), table[["value", "zeta"]].T)
    assert words(ax.figure.legends[0]) == ["limits of 50%, 90%, 95% intervals"]


# -- all pictures ----------------------------------------------------------------------------------

ONE_AXES = {
    "coefficients": lambda f, **kw: f.plot_coefficients(**kw),
    "icc": lambda f, **kw: f.plot_icc(**kw),
    "vpc": lambda f, **kw: f.plot_vpc(**kw),
    "groups": lambda f, **kw: f.plot_groups(f.design.coefficients[1], **kw),
    "effects": lambda f, **kw: f.plot_effects(f.design.coefficients[1], groups="new", **kw),
    "calibration": lambda f, **kw: f.plot_calibration(**kw),
    "calibration of groups": lambda f, **kw: f.plot_calibration(f.design.blocks[0].group, **kw),
    "ellipses": lambda f, **kw: f.plot_ellipses(**kw),
    "ppc": lambda f, **kw: f.plot_ppc(draws=5, **kw),
    "ppc by group": lambda f, **kw: f.plot_ppc(f.design.blocks[0].group, draws=20, **kw),
    "ranks": lambda f, **kw: f.plot_ranks(**kw),
}


@pytest.mark.parametrize("name", ONE_AXES)
def test_drawing_on_given_axes_leaves_all_else_alone(name, sleep):
    _, (ax, other) = plt.subplots(1, 2)
    current = plt.figure()
    assert ONE_AXES[name](sleep, ax=ax) is ax
    assert len(plt.get_fignums()) == 2
    assert plt.gcf() is current
    assert not other.has_data()


@pytest.mark.parametrize("name", ONE_AXES)
def test_the_callers_words_replace_ours(name, sleep):
    given = {"title": "A title", "xlabel": "across", "ylabel": "up"}
    ax = ONE_AXES[name](sleep, legend=False, **given)
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == tuple(given.values())
    assert ax.get_legend() is None


@pytest.mark.parametrize("name", ONE_AXES)
@pytest.mark.parametrize("size", ["few", "many"])
def test_any_number_of_groups_is_readable(name, size, sleep, many):
    ax = ONE_AXES[name](sleep if size == "few" else many)
    assert max(ax.figure.get_size_inches()) <= 9.5
    ax.figure.draw_without_rendering()
    texts = [t for t in (*ax.get_yticklabels(), *ax.texts) if t.get_text() and t.get_visible()]
    boxes = [t.get_window_extent() for t in texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    if ax.get_legend() is not None:
        assert ax.get_legend().get_window_extent().width <= ax.get_window_extent().width


def test_panels_are_drawn_on_the_axes_given(sleep):
    figure, axes = plt.subplots(2, 3)
    assert list(sleep.plot_check(ax=axes)) == list(axes.flat[:5])
    figure, axes = plt.subplots(2, 2)
    assert list(sleep.plot_variance(profile=False, ax=axes)) == list(axes.flat)
    assert len(figure.legends) == 1
    with pytest.raises(bm.DataError, match="3 Axes for 5 panels"):
        sleep.plot_check(ax=plt.subplots(1, 3)[1])
    with pytest.raises(bm.DataError, match="2 Axes for 4 parameters"):
        sleep.plot_variance(profile=False, ax=plt.subplots(1, 2)[1])


TABLES = {
    "coefficients": lambda: plot_coefficients(pd.DataFrame({"term": ["a"]})),
    "variance": lambda: plot_variance(pd.DataFrame({"parameter": ["a"]}), pd.DataFrame()),
    "groups": lambda: plot_groups(pd.DataFrame({"level": ["a"]})),
    "effects": lambda: plot_effects(pd.DataFrame({"x": [1]})),
    "check": lambda: plot_check(pd.DataFrame({"label": ["a"]}), pd.DataFrame(), {}, pd.DataFrame()),
    "calibration": lambda: plot_calibration(pd.DataFrame({"label": ["a"]})),
    "ellipses": lambda: plot_ellipses(pd.DataFrame({"kind": ["draw"]})),
    "ppc": lambda: plot_ppc(pd.DataFrame({"draw": [1]})),
    "ppc by group": lambda: plot_ppc_groups(pd.DataFrame({"level": ["a"]})),
    "ranks": lambda: plot_ranks(pd.DataFrame({"level": ["a"]})),
    "profile": lambda: plot_profile(pd.DataFrame({"parameter": ["a"]})),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_lacks_columns_is_refused(name):
    with pytest.raises(bm.DataError, match=r"lacks .*; it needs"):
        TABLES[name]()


def test_mistakes_are_explained(sleep):
    with pytest.raises(bm.DataError, match=r"kind = 'rnk'.*Did you mean 'rank'"):
        plot_trace(None, kind="rnk")
    with pytest.raises(bm.DataError, match="7 levels to highlight: 6 at most"):
        sleep.plot_groups("Days", highlight=sleep.design.blocks[0].levels[:7])
    with pytest.raises(bm.DataError, match="no level '3o8'"):
        sleep.plot_ranks(highlight=["3o8"])
    with pytest.raises(bm.DataError, match="no curve of the data"):
        plot_ppc(pd.DataFrame({"draw": [0], "value": [1.0], "density": [1.0]}))
    with pytest.raises(bm.DataError, match="41 parameters: 40 panels at most"):
        sleep.plot_trace(["varying", "beta", "alpha", "sigma", "mean_PPD", "log-posterior"])
