"""Each function of `bayesmlm.plots` draws what its tables hold, in colours that can be seen on what it draws on."""

from __future__ import annotations

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import picture_tables as made
import pytest
import xarray as xr
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.text import Text
from scipy import stats

from bayesmlm import plots
from bayesmlm.plots.colours import ON_DARK, ON_LIGHT, Palette, luminance, palette_of
from bayesmlm.plots.names import name_points
from bayesmlm.plots.ranks import rank_ticks


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def chains(n_chains: int = 4, n_draws: int = 100, names: tuple[str, ...] = ("Days", "sigma")) -> xr.DataTree:
    """Chains of fixed numbers, and their energies."""
    shape, dims = (n_chains, n_draws), ("chain", "draw")
    coords = {"chain": np.arange(n_chains), "draw": np.arange(n_draws)}
    z = made.quantiles(n_chains * n_draws).reshape(shape)
    posterior = xr.Dataset({n: (dims, 10 * k + z[::-1] * (1 + k)) for k, n in enumerate(names)}, coords)
    energy = made.quantiles(n_chains * n_draws, 0.414214).reshape(shape)
    stats_ = xr.Dataset({"energy": (dims, energy), "diverging": (dims, np.zeros(shape, bool))}, coords)
    return xr.DataTree.from_dict({"posterior": posterior, "sample_stats": stats_})


def counts_of_values():
    """How often values occur, and how often in replicated data; more values than have room for a name."""
    number = np.arange(40.0)[::-1] + 1
    value = [f"{4 * i}-{4 * i + 3}" for i in range(40)]
    ends = {"conf_low": number - 1, "conf_high": number + 2}
    return pd.DataFrame({"value": value, "y": number, "y_rep": number + 0.5, **ends})


PICTURES = {
    "plot_calibration": lambda: plots.plot_calibration(made.calibration()),
    "plot_caterpillar": lambda: plots.plot_caterpillar(made.effects()),
    "plot_check": lambda: plots.plot_check(*made.checks()),
    "plot_coefficients": lambda: plots.plot_coefficients(made.coefficients()),
    "plot_effects": lambda: plots.plot_effects(made.conditional(), prob=0.9, points=made.points()),
    "plot_ellipses": lambda: plots.plot_ellipses(*made.ellipses()),
    "plot_energy": lambda: plots.plot_energy(chains()),
    "plot_groups": lambda: plots.plot_groups(
        made.lines(), made.points(), made.population(), highlight=["s03"]
    ),
    "plot_pooling_panels": lambda: plots.plot_pooling_panels(*made.pooling()),
    "plot_ppc": lambda: plots.plot_ppc(made.replications()),
    "plot_ppc_counts": lambda: plots.plot_ppc_counts(counts_of_values()),
    "plot_ppc_groups": lambda: plots.plot_ppc_groups(made.statistics()),
    "plot_prior_posterior": lambda: plots.plot_prior_posterior(made.prior_posterior()),
    "plot_profile": lambda: plots.plot_profile(made.profile()),
    "plot_ranks": lambda: plots.plot_ranks(made.ranks(), highlight=["s03"]),
    "plot_shrinkage": lambda: plots.plot_shrinkage(made.shrinkage()),
    "plot_trace": lambda: plots.plot_trace(chains()),
    "plot_variance": lambda: plots.plot_variance(*made.components()),
}


def test_every_picture_is_among_those_tested_here():
    assert sorted(PICTURES) == sorted(plots.__all__)


def band_of(collection):
    """Lower and upper edge of a band at each x, from its outline."""
    x, y = np.unique(collection.get_paths()[0].vertices, axis=0).T
    edges = {at: (y[x == at].min(), y[x == at].max()) for at in np.unique(x)}
    return np.array([(at, *ends) for at, ends in sorted(edges.items())])


def bands(ax):
    return [band_of(c) for c in ax.collections if isinstance(c, PolyCollection)]


def line(ax, label):
    [found] = [x for x in ax.lines if x.get_label() == label]
    return np.asarray(found.get_data(), float)


def scatter(ax, label):
    [found] = [c for c in ax.collections if c.get_label() == label]
    return found


# -- data ------------------------------------------------------------------------------------------


def test_bands_of_effects_are_the_intervals():
    table = made.conditional()
    ax = plots.plot_effects(table)
    for drawn, (_, part) in zip(bands(ax), table.groupby("by", sort=False), strict=True):
        np.testing.assert_allclose(drawn, part[["x", "conf_low", "conf_high"]])


def test_data_behind_effects_are_all_there():
    ax = plots.plot_effects(made.conditional(), points=made.points())
    np.testing.assert_array_equal(scatter(ax, "data").get_offsets(), made.points()[["x", "y"]])


def test_the_band_of_the_population_is_its_interval():
    ax = plots.plot_groups(made.lines(), population=made.population())
    [drawn] = bands(ax)
    np.testing.assert_allclose(drawn, made.population()[["x", "conf_low", "conf_high"]])


def test_a_number_that_tells_lines_apart_is_set_equal_and_a_word_is_not():
    table = made.conditional()
    ax = plots.plot_effects(table.replace({"by": {"boy": "-1", "girl": "1.5"}}), by_label="ses")
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["ses = -1", "ses = 1.5"]
    ax = plots.plot_effects(table, by_label="sex")
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["sex boy", "sex girl"]


def test_panels_of_checks_have_their_bands_words_and_names():
    rows, quantiles, _, effects, spread = made.checks()
    axes = plots.plot_check(
        rows, quantiles, made.checks()[2], effects, spread, label="school", response="score"
    )
    for ax, table in ((axes[1], quantiles), (axes[4], effects[effects["term"] == "(Intercept)"])):
        [drawn] = bands(ax)
        np.testing.assert_allclose(drawn, table[["theoretical", "conf_low", "conf_high"]])
    [drawn] = bands(axes[3])
    np.testing.assert_allclose(drawn, spread[["n", "conf_low", "conf_high"]])
    assert [(a.get_xlabel(), a.get_ylabel()) for a in axes] == [
        ("fitted score", "residual"),
        ("normal quantile", "residual / sigma"),
        ("fitted score", "sqrt(|residual / sigma|)"),
        ("rows in school", "spread / sigma"),
        ("normal quantile", "effect / its sd"),
    ]
    assert [[t.get_text() for t in a.texts] for a in axes[:4]] == [
        ["row 20"],
        ["row 20"],
        ["row 20"],
        ["s02"],
    ]
    outside = spread[spread["outside"]]
    np.testing.assert_array_equal(scatter(axes[3], "outside").get_offsets(), outside[["n", "spread"]])


def test_numbers_of_rows_are_marked_at_whole_numbers():
    *tables, spread = made.checks()
    axes = plots.plot_check(*tables, spread.assign(n=np.arange(2, 10)))
    ticks = axes[3].get_xticks()
    np.testing.assert_array_equal(ticks, np.round(ticks))


def test_ellipses_are_drawn_point_by_point():
    table, points = made.ellipses()
    ax = plots.plot_ellipses(table, points)
    for kind, name in (("posterior", "posterior median"), ("reference", "REML")):
        for prob in (0.5, 0.9):
            part = table[(table["kind"] == kind) & (table["prob"] == prob)]
            np.testing.assert_array_equal(line(ax, f"{name}, {100 * prob:g}%"), part[["x", "y"]].T)
    [bundle] = [c for c in ax.collections if isinstance(c, LineCollection)]
    draws = table[table["kind"] == "draw"]
    np.testing.assert_array_equal(np.vstack(bundle.get_segments()), draws[["x", "y"]])


def test_all_replicated_curves_are_drawn():
    table = made.replications()
    ax = plots.plot_ppc(table)
    drawn = np.vstack(ax.collections[0].get_segments())
    np.testing.assert_array_equal(drawn, table.loc[table["draw"] >= 0, ["value", "density"]])
    assert ax.get_ylim()[0] == 0


def test_an_observed_statistic_outside_its_interval_is_a_diamond():
    table = made.statistics().sort_values("y_rep", ignore_index=True)
    out = (table["y"] < table["conf_low"]) | (table["y"] > table["conf_high"])
    ax = plots.plot_ppc_groups(table)
    for name, part in (("outside", table[out]), ("observed", table[~out])):
        np.testing.assert_array_equal(
            scatter(ax, name).get_offsets(), np.column_stack([part["y"], part.index])
        )
    assert f"outside ({out.sum()} of 12)" in [t.get_text() for t in ax.get_legend().get_texts()]


def test_densities_of_variance_components_are_those_of_the_table():
    table, densities = made.components()
    for ax, (_, curve) in zip(
        plots.plot_variance(table, densities), densities.groupby("parameter", sort=False), strict=True
    ):
        np.testing.assert_array_equal(ax.lines[0].get_data(), curve[["value", "density"]].T)
        [drawn] = bands(ax)
        np.testing.assert_allclose(drawn[:, [0, 2]], curve[["value", "density"]])


def test_a_profile_without_an_upper_limit_runs_to_the_frame():
    table, densities = made.components()
    ax = plots.plot_variance(table, densities)[1]
    low, high = ax.collections[2].get_segments()[0][:, 0]
    assert low == table["reference_low"][1]
    assert high > ax.get_xlim()[1]


def test_prior_and_posterior_are_drawn_in_each_panel():
    table = made.prior_posterior()
    for ax, (name, part) in zip(
        plots.plot_prior_posterior(table), table.groupby("parameter", sort=False), strict=True
    ):
        assert ax.get_title() == name
        for drawn, source in zip(ax.lines, ("posterior", "prior"), strict=True):
            own = part[part["source"] == source]
            np.testing.assert_array_equal(drawn.get_data(), own[["value", "density"]].T)


def test_a_prior_that_peaks_far_above_the_posterior_does_not_squash_it():
    table = made.prior_posterior()
    table.loc[table["source"] == "prior", "density"] *= 100
    peak = table.loc[table["source"] == "posterior"].groupby("parameter")["density"].max()
    for ax in plots.plot_prior_posterior(table):
        assert ax.get_ylim()[1] < 4 * peak[ax.get_title()]


def test_limits_of_profile_intervals_are_normal_quantiles():
    ax = plots.plot_profile(made.profile(), levels=[0.9])[0]
    heights = sorted(x.get_ydata()[0] for x in ax.lines if x.get_linestyle() == ":")
    np.testing.assert_allclose(heights, [stats.norm.ppf(0.05), stats.norm.ppf(0.95)])
    assert "90%" in ax.figure.legends[0].get_texts()[0].get_text()


# -- chains ----------------------------------------------------------------------------------------


def test_energies_are_summarised_by_chain_as_betancourt_does():
    tree = chains()
    energy = tree["sample_stats"]["energy"].values
    expected = np.square(np.diff(energy)).mean(axis=1) / energy.var(axis=1, ddof=1)
    drawn = plots.plot_energy(tree)[0].collections[0].get_offsets()
    np.testing.assert_array_equal(drawn[:, 1], [0, 1, 2, 3])
    np.testing.assert_allclose(drawn[:, 0], expected, rtol=0.02)  # n or n - 1 in the variance


def test_energies_are_named_and_in_the_colours_of_the_other_pictures():
    chain_axes, density = plots.plot_energy(chains())
    assert (chain_axes.get_xlabel(), density.get_xlabel()) == ("E-BFMI", "energy")
    handles = density.figure.legends[0].legend_handles
    said = {
        t.get_text(): to_hex(h.get_color())
        for t, h in zip(density.figure.legends[0].get_texts(), handles, strict=True)
    }
    drawn = [to_hex(line.get_color()) for line in density.lines]
    assert list(said.values()) == drawn == [c.lower() for c in ON_LIGHT.qualitative[:2]]
    assert list(said) == ["less its mean", "change from draw to draw"]


def test_curves_of_ranks_are_the_empirical_distribution_of_each_chains_ranks():
    tree = chains()
    draws = tree["posterior"]["sigma"].values
    ranks = stats.rankdata(draws).reshape(draws.shape) / draws.size
    curves = plots.plot_trace(tree, kind="rank")[1].lines
    for own, drawn in zip(ranks, curves, strict=True):
        x, y = np.asarray(drawn.get_data())
        expected = (own[:, None] <= x).mean(axis=0) - x
        np.testing.assert_allclose(y, expected, atol=1.5 / draws.shape[1])  # a step to either side of a jump


def test_densities_of_chains_have_the_chains_means():
    tree = chains()
    draws = tree["posterior"]["sigma"].values
    for own, drawn in zip(draws, plots.plot_trace(tree, kind="density")[1].lines, strict=True):
        x, y = drawn.get_data()
        assert np.trapezoid(x * y, x) / np.trapezoid(y, x) == pytest.approx(own.mean(), abs=0.1 * own.std())


@pytest.mark.parametrize("kind", ["trace", "rank", "density"])
def test_the_legend_gives_each_chain_its_colour(kind):
    axes = plots.plot_trace(chains(), kind=kind)
    [legend] = axes[0].figure.legends
    assert [t.get_text() for t in legend.get_texts()] == [f"chain {k}" for k in range(4)]
    drawn = [to_hex(x.get_color()) for x in axes[0].lines[:4]]
    assert [to_hex(x.get_color()) for x in legend.get_lines()] == drawn


def test_one_chain_needs_no_legend():
    assert not plots.plot_trace(chains(n_chains=1))[0].figure.legends


def test_the_axis_of_draws_is_labelled_at_the_foot_of_each_column():
    names = tuple(f"b{k}" for k in range(6))
    axes = plots.plot_trace(chains(names=names))
    assert [bool(ax.get_xlabel()) for ax in axes] == [False, False, True, True, True, True]


# -- ranks and names -------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 10, 18, 73, 151, 500, 3056])
def test_ranks_are_marked_from_the_first_to_the_last_at_whole_ranks(count):
    ticks = rank_ticks(count)
    assert (ticks[0], ticks[-1]) == (1, count)
    assert len(ticks) <= 11
    assert all(isinstance(t, int) for t in ticks)
    gaps = np.diff(ticks)
    assert (gaps >= 0.5 * np.median(gaps)).all() if len(gaps) else True


def test_highlighted_levels_are_named_among_hundreds():
    ax = plots.plot_ranks(made.ranks(300), highlight=["s100", "s17"])
    rows = made.ranks(300).sort_values("rank", ascending=False)["level"].tolist()
    shown = {t.get_text(): y for t, y in zip(ax.get_yticklabels(), ax.get_yticks(), strict=True)}
    assert shown == {name: rows.index(name) for name in ("s100", "s17")}
    above = scatter(ax, "highlighted")
    assert above.get_zorder() > ax.collections[0].get_zorder()
    assert sorted(s[0, 1] for s in above.get_segments()) == sorted(shown.values())


def test_neighbours_are_not_named_over_one_another():
    every = made.ranks(300).sort_values("rank")["level"].tolist()
    ax = plots.plot_ranks(made.ranks(300), highlight=every[:20])
    ax.figure.draw_without_rendering()
    boxes = [t.get_window_extent() for t in ax.get_yticklabels()]
    assert 1 < len(boxes) < 20
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_titles_of_panels_do_not_run_into_one_another():
    lines, points = made.pooling()
    long = {"s00": "Telford and Wrekin", "s01": "Kingston upon Thames", "s02": "East Riding of Yorkshire"}
    tables = (t.replace({"level": long}) for t in (lines, points))
    axes = plots.plot_pooling_panels(*tables, label="authority")
    axes[0].figure.draw_without_rendering()
    boxes = [ax.title.get_window_extent() for ax in axes]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert all("n = 11" in ax.get_title() for ax in axes)


def test_the_name_of_a_profile_is_broken_before_its_bar():
    table = made.profile()
    long = dict(
        zip(table["parameter"].unique(), ["cor_homework.(Intercept)|authority", "sd_x|a"], strict=False)
    )
    panels = plots.plot_profile(table.replace({"parameter": long}), ncols=4)
    assert [ax.get_title() for ax in panels[:2]] == ["cor_homework.(Intercept)\n|authority", "sd_x|a"]


def test_long_numbers_of_profiles_do_not_meet():
    table = made.profile()
    table["value"] = -0.5 + 0.1 * (table["value"] - table["value"].min()) / np.ptp(table["value"])
    for ax in plots.plot_profile(table, ncols=4):
        ax.figure.draw_without_rendering()
        boxes = [t.get_window_extent() for t in ax.get_xticklabels()]
        assert not any(a.overlaps(b) for a, b in pairwise(boxes))


def test_titles_of_checks_do_not_run_into_one_another():
    rows, quantiles, lines, effects, spread = made.checks()
    effects = effects.assign(group="local_authority:region")
    panels = plots.plot_check(rows, quantiles, lines, effects, spread, label="local_authority:region")
    panels[0].figure.draw_without_rendering()
    boxes = [ax.title.get_window_extent() for ax in panels]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_levels_of_one_size_have_a_scale_without_fractions():
    rows, quantiles, lines, effects, spread = made.checks()
    panel = plots.plot_check(rows, quantiles, lines, effects, spread.assign(n=10))[3]
    assert panel.get_xlim() == (9, 11)
    assert all(tick == round(tick) for tick in panel.get_xticks())


def brightness_of_rows(picture, n):
    """Mean brightness of each row of pixels, 0 to 255, where a picture of `n` levels has lines only."""
    lines = made.levels(n)
    fig, ax = plt.subplots(figsize=(3, 9), dpi=80)
    picture(lines, ax)
    fig.canvas.draw()
    box = ax.get_window_extent()
    image = np.asarray(fig.canvas.buffer_rgba())[::-1, :, :3].mean(axis=2)
    high, low = (ax.transData.transform((0, y))[1] for y in (0.9 * n, 0.1 * n))
    x = int(box.x0 + 0.75 * box.width)
    return image[int(low) : int(high), x - 10 : x + 10].mean(axis=1)


def test_more_lines_than_pixels_make_no_stripes():
    n = 657

    def caterpillar(levels, ax):
        table = pd.DataFrame({"group": "g", "level": levels, "term": "x", "estimate": np.linspace(-9, -8, n)})
        plots.plot_caterpillar(table.assign(conf_low=-10.0, conf_high=10.0), ax=ax, legend=False)

    def ranks(levels, ax):
        table = pd.DataFrame({"level": levels, "rank": np.linspace(0.95, 1, n) * n})
        plots.plot_ranks(table.assign(rank_low=1.0, rank_high=float(n)), ax=ax, legend=False)

    def statistics(levels, ax):
        table = pd.DataFrame({"level": levels, "y": -9.0, "y_rep": np.linspace(-9, -8, n)})
        plots.plot_ppc_groups(table.assign(conf_low=-10.0, conf_high=10.0), ax=ax, legend=False)

    for picture in (caterpillar, ranks, statistics):
        shades = brightness_of_rows(picture, n)
        assert shades.mean() < 230
        # Moved to whole pixels, two lines would meet in some and none in others, which leaves these white: sd 6.
        assert shades.std() < 3


@pytest.mark.parametrize(("crowded", "free"), [("above", "lower right"), ("below", "upper left")])
def test_the_legend_of_calibration_keeps_to_the_emptier_corner(crowded, free):
    low, high = np.linspace(30, 34, 40), np.linspace(76, 80, 40)
    fitted, observed = (low, high) if crowded == "above" else (high, low)
    table = made.calibration().assign(highlight=False, fitted=fitted, observed=observed)
    legend = plots.plot_calibration(table).get_legend()
    assert legend._loc == legend.codes[free]


def test_a_name_in_a_crowd_stands_off_with_a_line_and_covers_no_point():
    _, ax = plt.subplots()
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(-1, 1, 25), np.linspace(-0.04, 0.04, 3)))
    ax.scatter(x, y)
    ax.set(xlim=(-3, 3), ylim=(-1, 1))
    [alone] = name_points(ax, np.zeros(1), np.zeros(1), ["London"])
    assert alone.arrow_patch is None
    crowd = np.column_stack([x, y])
    [name] = name_points(ax, np.zeros(1), np.zeros(1), ["London"], crowd)
    assert name.arrow_patch is not None
    ax.figure.draw_without_rendering()
    box = Text.get_window_extent(name)
    marks = ax.transData.transform(crowd)
    assert not ((marks > box.min) & (marks < box.max)).all(axis=1).any()


def test_points_that_are_named_are_opaque():
    ax = plots.plot_calibration(made.calibration(400).assign(highlight=False))
    far = scatter(ax, "farthest")
    assert len(far.get_offsets()) == 3
    assert to_rgba(far.get_facecolor()[0])[3] == 1
    assert scatter(ax, "row (400)").get_alpha() < 0.9


# -- colours ---------------------------------------------------------------------------------------


RIM = 3.6  # of the line around the population's, in the colour of the paper
FAINT = {
    "default": 1.8,
    "dark_background": 3,
    "ggplot": 1.8,
    "Solarize_Light2": 1.8,
}  # least contrast: pale blue's


def contrast(one, other):
    """Contrast ratio of two colours, 1 to 21 (W3C, WCAG 2.1)."""
    low, high = sorted((luminance(to_rgba(one)), luminance(to_rgba(other))))
    return (high + 0.05) / (low + 0.05)


def colours_of(ax):
    """Colours of all marks, lines and letters, their transparency apart; of hollow marks, the edge's."""
    for drawn in ax.lines:
        if drawn.get_linewidth() == RIM:
            continue
        marked = drawn.get_marker() not in {"", "None", None}
        lined = drawn.get_linestyle() not in {"", "None"}
        yield from [drawn.get_color()] * lined + [drawn.get_markeredgecolor()] * marked
    for drawn in ax.collections:
        yield from drawn.get_edgecolor() if len(drawn.get_edgecolor()) else drawn.get_facecolor()
    yield from (t.get_color() for t in (*ax.texts, ax.title, ax.xaxis.label, ax.yaxis.label) if t.get_text())
    legends = [*ax.figure.legends, *([ax.get_legend()] if ax.get_legend() else [])]
    for legend in legends:
        yield from (t.get_color() for t in legend.get_texts())
        yield from (x.get_color() for x in legend.get_lines() if x.get_linestyle() not in {"", "None"})


@pytest.mark.parametrize("style", FAINT)
@pytest.mark.parametrize("name", [n for n in PICTURES if n != "plot_energy"])  # ArviZ chooses those
def test_everything_can_be_seen_on_what_it_is_drawn_on(name, style):
    with plt.style.context(style, after_reset=True):
        axes = np.atleast_1d(PICTURES[name]())
        for ax in axes:
            paper = palette_of(ax).paper
            faintest = min(colours_of(ax), key=lambda c: contrast(c, paper))
            assert contrast(faintest, paper) > FAINT[style], to_hex(faintest)


def test_colours_follow_what_the_axes_lie_on():
    _, ax = plt.subplots()
    assert palette_of(ax) == ON_LIGHT
    ax.set_facecolor("#E5E5E5")
    assert contrast(palette_of(ax).pale, "#E5E5E5") == pytest.approx(
        contrast(ON_LIGHT.pale, "white"), abs=0.05
    )
    ax.set_facecolor("#101020")
    assert palette_of(ax).complete == ON_DARK.complete
    assert palette_of(ax).paper == "#101020"
    ax.set_facecolor("none")
    ax.figure.set_facecolor("black")
    assert palette_of(ax).complete == ON_DARK.complete
    ax.figure.set_facecolor("none")  # printed on a page
    assert palette_of(ax) == ON_LIGHT


@pytest.mark.parametrize("palette", [ON_LIGHT, ON_DARK], ids=["light", "dark"])
def test_roles_can_be_told_apart(palette: Palette):
    assert len(set(palette.qualitative)) == len(palette.qualitative)
    assert contrast(palette.complete, palette.paper) > 15
    assert contrast(palette.dark, palette.partial) > 1.5
    assert contrast(palette.partial, palette.pale) > 2
    assert contrast(palette.partial, palette.paper) > contrast(palette.pale, palette.paper)


def test_hollow_marks_are_filled_with_what_they_lie_on():
    with plt.style.context("dark_background", after_reset=True):
        ax = plots.plot_shrinkage(made.shrinkage())
        [hollow] = [
            c for c in ax.collections if isinstance(c, PathCollection) and c.get_label() == "no pooling"
        ]
        assert to_hex(hollow.get_facecolor()[0]) == "#000000"


# -- counts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("root", [False, True])
def test_bars_of_counts_have_intervals_of_replicated_ones(root):
    table = counts_of_values()
    ax = plots.plot_ppc_counts(table, root=root)
    height = np.sqrt if root else np.asarray
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches], height(table["y"]))
    segments = np.array(line_collection(ax).get_segments())
    np.testing.assert_allclose(segments[:-1, :, 1], height(table[["conf_low", "conf_high"]])[:-1])
    np.testing.assert_allclose(ax.collections[-1].get_offsets()[:, 1], height(table["y_rep"]))


def test_names_of_values_keep_apart():
    ax = plots.plot_ppc_counts(counts_of_values())
    ax.figure.canvas.draw()
    boxes = [name.get_window_extent() for name in ax.get_xticklabels()]
    assert len(boxes) > 4
    assert not any(a.overlaps(b) for a, b in pairwise(boxes))


def line_collection(ax):
    return next(c for c in ax.collections if isinstance(c, LineCollection))
