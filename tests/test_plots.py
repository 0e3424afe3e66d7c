"""The plots draw the table's numbers, all of them, and write nothing over them. Tables are made by hand."""

from __future__ import annotations

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.quiver import Quiver

from bayesmlm.errors import DataError
from bayesmlm.plots import plot_caterpillar, plot_pooling_panels, plot_shrinkage
from bayesmlm.plots.colours import ON_LIGHT
from bayesmlm.plots.style import NO_ESTIMATE

matplotlib.use("Agg")
HALF_ROW = 0.5


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def shrinkage_table(n_levels: int = 6, terms: tuple[str, ...] = ("(Intercept)", "x"), seed: int = 1):
    """Levels s0, s1, ... with own estimates around `complete`, and partial pooling halfway between."""
    rng, parts = np.random.default_rng(seed), []
    n = rng.integers(2, 60, n_levels)
    for k, term in enumerate(terms):
        own = 10.0 * k + rng.normal(size=n_levels)
        part = pd.DataFrame({"group": "school", "level": [f"s{j}" for j in range(n_levels)], "term": term})
        partial, complete = (own + 10 * k) / 2, 10.0 * k
        parts.append(part.assign(n=n, no_pooling=own, partial=partial, complete=complete))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(no_pooling_se=0.5, conf_low=table["partial"] - 0.3, conf_high=table["partial"] + 0.3)


def effects_table(n_levels: int = 6, terms: tuple[str, ...] = ("(Intercept)",), seed: int = 1):
    """Deviations with intervals of half-width 0.8 and references 0.1 to the right."""
    rng = np.random.default_rng(seed)
    levels = [f"s{j}" for j in range(n_levels)]
    table = pd.concat([pd.DataFrame({"group": "school", "level": levels, "term": t}) for t in terms])
    b = rng.normal(size=len(table))
    return table.assign(estimate=b, conf_low=b - 0.8, conf_high=b + 0.8, reference=b + 0.1)


def pooling_tables(sizes: tuple[int, ...] = (4, 2, 8), x_values: int = 2):
    """Lines y = 1 + x, j + 2x and j + 3x for level 100 + j, and data with x in 0, ..., x_values - 1."""
    kinds = {"complete": lambda j: (1.0, 1.0), "no": lambda j: (j, 2.0), "partial": lambda j: (j, 3.0)}
    lines = [
        {"level": 100 + j, "pooling": kind, "intercept": float(line(j)[0]), "slope": line(j)[1]}
        for j in range(len(sizes))
        for kind, line in kinds.items()
    ]
    level = np.repeat(100 + np.arange(len(sizes)), sizes)
    x = np.arange(len(level)) % x_values
    return pd.DataFrame(lines), pd.DataFrame({"level": level, "x": x, "y": np.arange(len(level)) / 3})


def shrink(table, **options):
    return plot_shrinkage(table, ax=plt.figure().add_subplot(), **options)


def caterpillar(table, **options):
    return plot_caterpillar(table, ax=plt.figure().add_subplot(), **options)


def drawn(ax, label):
    """Return the offsets of the one scatter with this label."""
    [points] = [c for c in ax.collections if c.get_label() == label]
    return np.asarray(points.get_offsets())


def words(legend):
    return [t.get_text() for t in legend.get_texts()]


def segments(collection):
    return np.array(collection.get_segments())


def assert_legend_covers_no_point(ax):
    ax.figure.draw_without_rendering()
    box = ax.get_legend().get_window_extent()
    for collection in ax.collections:
        if isinstance(collection, Quiver):
            continue
        corners = (
            np.vstack(collection.get_segments())
            if hasattr(collection, "get_segments")
            else np.asarray(collection.get_offsets())
        )
        x, y = ax.transData.transform(corners[np.isfinite(corners).all(axis=1)]).T
        assert not ((box.x0 < x) & (x < box.x1) & (box.y0 < y) & (y < box.y1)).any()


def assert_no_overlap(texts):
    texts[0].figure.draw_without_rendering()
    boxes = [t.get_window_extent() for t in texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


# -- shrinkage, one term ---------------------------------------------------------------------------


def test_lines_join_the_two_estimates_in_the_order_of_the_first():
    table = shrinkage_table(terms=("(Intercept)",))
    ax = shrink(table)
    by_own = table.sort_values("no_pooling")
    y = np.arange(len(table))
    np.testing.assert_array_equal(drawn(ax, "no pooling"), np.column_stack([by_own["no_pooling"], y]))
    np.testing.assert_array_equal(drawn(ax, "partial pooling"), np.column_stack([by_own["partial"], y]))
    joins = segments(ax.collections[0])
    np.testing.assert_array_equal(joins[:, :, 0], by_own[["no_pooling", "partial"]])
    assert [t.get_text() for t in ax.get_yticklabels()] == by_own["level"].tolist()


def test_column_chooses_the_term():
    table = shrinkage_table(terms=("(Intercept)", "x", "z"))
    ax = shrink(table, column="x")
    own = table.loc[table["term"] == "x", "no_pooling"]
    np.testing.assert_array_equal(drawn(ax, "no pooling")[:, 0], np.sort(own))
    assert ax.get_xlabel() == "x in each school"


@pytest.mark.parametrize("order", ["n", "partial"])
def test_order_sorts_by_another_column(order):
    table = shrinkage_table(9, terms=("x",))
    table["partial"] = -table["partial"]
    ax = shrink(table, order=order)
    expected = table.sort_values([order, "partial"])["level"].tolist()
    assert [t.get_text() for t in ax.get_yticklabels()] == expected


def test_complete_pooling_is_one_line_across_all_levels():
    table = shrinkage_table(terms=("x",)).assign(complete=3.25)
    [ends] = segments(shrink(table).collections[-1])
    assert ends[:, 0].tolist() == [3.25, 3.25]
    assert ends[0, 1] <= -HALF_ROW
    assert ends[1, 1] >= len(table) - 1 + HALF_ROW


def test_without_a_complete_pooling_estimate_there_is_no_such_line():
    ax = shrink(shrinkage_table(terms=("x",)).assign(complete=np.nan))
    assert "complete pooling" not in words(ax.get_legend())


def test_a_level_without_an_estimate_of_its_own_is_a_square_at_the_bottom():
    table = shrinkage_table(terms=("x",))
    table.loc[3, "no_pooling"] = np.nan
    ax = shrink(table)
    np.testing.assert_array_equal(drawn(ax, NO_ESTIMATE), [[table.loc[3, "partial"], 0]])
    assert len(drawn(ax, "no pooling")) == len(drawn(ax, "partial pooling")) == len(table) - 1
    assert NO_ESTIMATE in words(ax.get_legend())


def test_levels_that_all_lack_an_estimate_of_their_own_can_be_drawn():
    for terms in (("x",), ("(Intercept)", "x")):
        ax = shrink(shrinkage_table(terms=terms).assign(no_pooling=np.nan))
        assert len(drawn(ax, NO_ESTIMATE)) == 6
        assert "no pooling" not in words(ax.get_legend())


def test_area_is_proportional_to_the_number_of_rows():
    table = shrinkage_table(4, terms=("x",)).assign(n=[20, 40, 60, 80])
    ax = shrink(table, order="n")
    [points] = [c for c in ax.collections if c.get_label() == "partial pooling"]
    np.testing.assert_allclose(points.get_sizes() / points.get_sizes()[0], [1, 2, 3, 4])
    assert {"n = 20", "n = 80"} <= set(words(ax.get_legend()))


def test_levels_of_one_size_need_no_key_to_the_area():
    ax = shrink(shrinkage_table().assign(n=10))
    assert not any(w.startswith("n =") for w in words(ax.get_legend()))


def test_an_outlier_neither_squashes_the_lines_nor_goes_unmentioned():
    table = shrinkage_table(30, terms=("x",))
    table.loc[0, "no_pooling"] = 1e4
    ax = shrink(table)
    assert ax.get_xlim()[1] < 10
    assert "1 line starts outside" in words(ax.get_legend())
    assert drawn(ax, "no pooling")[:, 0].max() == 1e4


def test_partial_pooling_is_always_inside_the_frame():
    table = shrinkage_table(30, terms=("x",))
    table.loc[0, "partial"] = 50.0
    assert shrink(table).get_xlim()[1] > 50


# -- shrinkage, two terms --------------------------------------------------------------------------


def test_arrows_lead_from_no_pooling_to_partial_pooling():
    table = shrinkage_table()
    ax = shrink(table)
    own, partial = (table[c].to_numpy().reshape(2, -1).T for c in ("no_pooling", "partial"))
    [arrows] = [c for c in ax.collections if isinstance(c, Quiver)]
    np.testing.assert_array_equal(arrows.XY, own)
    np.testing.assert_allclose(np.column_stack([arrows.U, arrows.V]), partial - own, rtol=1e-12)
    np.testing.assert_array_equal(drawn(ax, "no pooling"), own)
    np.testing.assert_array_equal(drawn(ax, "partial pooling"), partial)
    assert [0.0, 10.0] in [c.get_offsets().tolist()[0] for c in ax.collections if len(c.get_offsets()) == 1]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("(Intercept) in each school", "x in each school")


def test_terms_are_matched_by_level_and_not_by_row():
    table = shrinkage_table()
    shuffled = pd.concat([table[:6], table[6:].iloc[::-1]])
    np.testing.assert_array_equal(drawn(shrink(shuffled), "no pooling"), drawn(shrink(table), "no pooling"))


def test_a_level_that_lacks_one_coefficient_has_no_arrow():
    table = shrinkage_table()
    table.loc[(table["level"] == "s2") & (table["term"] == "x"), "no_pooling"] = np.nan
    ax = shrink(table)
    partial = table.loc[table["level"] == "s2", "partial"]
    np.testing.assert_array_equal(drawn(ax, NO_ESTIMATE), [partial])
    [arrows] = [c for c in ax.collections if isinstance(c, Quiver)]
    assert len(arrows.U) == 5


@pytest.mark.parametrize("height", [14.0, 16.2, 16.6, 1e4])
def test_an_outlier_in_the_plane_is_counted_or_shown_but_never_under_the_legend(height):
    # Own slopes all near 10, partial ones from 5 to 15: the legend's room begins at 15.5, an outlier may fall in it.
    table = shrinkage_table(40)
    slopes = table["term"] == "x"
    table.loc[slopes, "no_pooling"] = 10 + 0.01 * np.arange(40)
    table.loc[slopes, "partial"] = np.linspace(5, 15, 40)
    left = table.loc[~slopes, "no_pooling"].min()
    table.loc[table["level"] == "s0", "no_pooling"] = [left + 0.5, height]
    ax = shrink(table)
    assert_legend_covers_no_point(ax)
    assert ("1 arrow starts outside" in words(ax.get_legend())) == (height > ax.get_ylim()[1])


def test_levels_are_named_in_the_plane_if_they_are_few():
    ax = shrink(shrinkage_table(6))
    assert {t.get_text() for t in ax.texts} <= {f"s{j}" for j in range(6)}
    assert ax.texts
    assert_no_overlap(ax.texts)
    assert not shrink(shrinkage_table(21)).texts


# -- caterpillar -----------------------------------------------------------------------------------


def test_effects_are_sorted_with_their_intervals_and_references():
    table = effects_table()
    ax = caterpillar(table, conf_level=0.9)
    by_estimate, y = table.sort_values("estimate"), np.arange(len(table))
    intervals, zero, medians, references = ax.collections
    np.testing.assert_array_equal(segments(intervals)[:, :, 0], by_estimate[["conf_low", "conf_high"]])
    np.testing.assert_array_equal(medians.get_offsets(), np.column_stack([by_estimate["estimate"], y]))
    at = np.asarray(references.get_offsets())
    np.testing.assert_array_equal(at[:, 0], by_estimate["reference"])
    assert (np.abs(at[:, 1] - y) < HALF_ROW).all()
    assert segments(zero)[0, :, 0].tolist() == [0, 0]
    assert [t.get_text() for t in ax.get_yticklabels()] == by_estimate["level"].tolist()


def test_an_interval_that_excludes_zero_is_darker():
    table = effects_table(3).assign(conf_low=[-1, 0.1, -3], conf_high=[1, 2, -0.1], estimate=[0, 1, -2])
    ax = caterpillar(table)
    assert [to_hex(c).upper() for c in ax.collections[0].get_colors()] == [
        ON_LIGHT.partial,
        ON_LIGHT.pale,
        ON_LIGHT.partial,
    ]
    assert words(ax.get_legend()) == ["median, interval", "interval excludes 0", "BLUP"]


@pytest.mark.parametrize(("level", "text"), [(0.9, "90%"), (0.95, "95%"), (0.999, "99.9%"), (0.29, "29%")])
def test_the_legend_gives_the_probability_of_the_interval(level, text):
    ax = caterpillar(effects_table(), conf_level=level)
    assert words(ax.get_legend())[0] == f"median, {text} interval"


def test_without_references_the_legend_has_none():
    for table in (effects_table().assign(reference=np.nan), effects_table().drop(columns="reference")):
        assert "BLUP" not in words(caterpillar(table).get_legend())


def test_each_term_has_axes_of_its_own():
    table = effects_table(terms=("(Intercept)", "x"))
    axes = plot_caterpillar(table, title="Effects", conf_level=0.9)
    assert [a.get_xlabel().split(":")[0] for a in axes] == ["(Intercept)", "x"]
    for ax, (_, part) in zip(axes, table.groupby("term", sort=False), strict=True):
        np.testing.assert_array_equal(ax.collections[2].get_offsets()[:, 0], np.sort(part["estimate"]))
    [legend] = axes[0].figure.legends
    assert "BLUP" in words(legend)
    assert axes[0].figure.get_suptitle() == "Effects"
    assert plot_caterpillar(table, column="x").get_xlabel().startswith("x:")


def test_each_group_has_axes_of_its_own():
    crossed = pd.concat([effects_table(4), effects_table(3).assign(group="region")])
    assert [a.get_ylabel() for a in plot_caterpillar(crossed)] == ["school", "region"]


# -- panels ----------------------------------------------------------------------------------------


def test_each_panel_has_its_three_lines_and_its_data():
    lines, points = pooling_tables()
    axes = plot_pooling_panels(lines, points, label="school")
    assert [a.get_title() for a in axes] == ["school 100, n = 4", "school 101, n = 2", "school 102, n = 8"]
    for j, ax in enumerate(axes):
        data, *fits = ax.lines
        np.testing.assert_array_equal(data.get_ydata(), points.loc[points["level"] == 100 + j, "y"])
        got = {f.get_label(): (f.get_xdata().tolist(), f.get_ydata().tolist()) for f in fits}
        assert got == {
            "complete pooling": ([0, 1], [1, 2]),
            "no pooling": ([0, 1], [j, j + 2]),
            "partial pooling": ([0, 1], [j, j + 3]),
        }


def test_x_is_jittered_if_it_has_few_values_and_only_then():
    for x_values, moved in ((2, True), (30, False)):
        lines, points = pooling_tables((20, 20), x_values)
        [first, _] = plot_pooling_panels(lines, points)
        shift = first.lines[0].get_xdata() - points["x"].to_numpy()[:20]
        assert (np.abs(shift) < 0.25).all()
        assert shift.any() == moved


def test_jitter_depends_on_the_seed_alone():
    def positions(seed):
        return plot_pooling_panels(*pooling_tables(), levels=[102], seed=seed)[0].lines[0].get_xdata()

    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = positions(1)
    np.testing.assert_array_equal(positions(1), first)
    assert (positions(2) != first).all()
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_a_panel_without_its_own_line_says_so():
    lines, points = pooling_tables()
    lines.loc[(lines["level"] == 101) & (lines["pooling"] == "no"), ["intercept", "slope"]] = np.nan
    axes = plot_pooling_panels(lines, points)
    assert [NO_ESTIMATE in a.get_title() for a in axes] == [False, True, False]
    assert [line.get_label() for line in axes[1].lines[1:]] == ["complete pooling", "partial pooling"]


def test_panels_share_their_range_and_a_wild_line_does_not_set_it():
    lines, points = pooling_tables()
    lines.loc[lines["pooling"] == "no", "slope"] = 1e5
    axes = plot_pooling_panels(lines, points)
    assert len({(a.get_xlim(), a.get_ylim()) for a in axes}) == 1
    assert axes[0].get_ylim()[1] < 10


def test_levels_are_drawn_in_the_order_asked_for():
    axes = plot_pooling_panels(*pooling_tables(), levels=[102, "100"], x_ticks=([0, 1], ["M", "F"]))
    assert [a.get_title() for a in axes] == ["group 102, n = 8", "group 100, n = 4"]
    assert [t.get_text() for t in axes[0].get_xticklabels()] == ["M", "F"]


def test_many_levels_are_represented_from_the_smallest_to_the_largest():
    axes = plot_pooling_panels(*pooling_tables(tuple(range(1, 41))), ncols=3)
    sizes = [int(a.get_title().split("= ")[1]) for a in axes]
    assert (len(sizes), sizes[0], sizes[-1]) == (6, 1, 40)
    assert sizes == sorted(sizes)


def test_an_incomplete_last_row_leaves_no_empty_axes_and_no_unlabelled_scale():
    axes = plot_pooling_panels(*pooling_tables((3,) * 7), ncols=4, x_label="hours", y_label="score")
    assert axes.shape == (7,)
    assert len(axes[0].figure.axes) == 7
    labelled = [a.xaxis.get_tick_params()["labelbottom"] for a in axes]
    assert labelled == [False] * 3 + [True] * 4
    assert [bool(a.get_ylabel()) for a in axes] == [True, False, False, False, True, False, False]


# -- all plots -------------------------------------------------------------------------------------

PLOTS = {
    "lines": lambda table, **kw: plot_shrinkage(table, column="x", **kw),
    "plane": lambda table, **kw: plot_shrinkage(table, **kw),
    "caterpillar": lambda table, **kw: plot_caterpillar(table, column="x", **kw),
}


def table_for(name: str, n_levels: int) -> pd.DataFrame:
    make = effects_table if name == "caterpillar" else shrinkage_table
    return make(n_levels, terms=("(Intercept)", "x"))


@pytest.mark.parametrize("name", PLOTS)
@pytest.mark.parametrize("n_levels", [60, 700])
def test_any_number_of_levels_is_readable(name, n_levels):
    ax = PLOTS[name](table_for(name, n_levels))
    assert ax.figure.get_size_inches()[1] <= 9.5
    ax.figure.draw_without_rendering()
    labels = [t for t in ax.get_yticklabels() if t.get_text()]
    assert len(labels) <= 60
    if labels:
        assert_no_overlap(labels)
    assert_legend_covers_no_point(ax)


@pytest.mark.parametrize("name", ["lines", "caterpillar"])
@pytest.mark.parametrize("n_levels", [10, 40])
def test_names_that_would_overlap_in_a_small_figure_are_left_out(name, n_levels):
    quarter = plt.figure(figsize=(8, 6)).add_subplot(2, 2, 1)
    ax = PLOTS[name](table_for(name, n_levels), ax=quarter)
    labels = [t for t in ax.get_yticklabels() if t.get_text()]
    assert bool(labels) == (n_levels == 10)
    if labels:
        assert_no_overlap(labels)
    assert_legend_covers_no_point(ax)


@pytest.mark.parametrize("name", PLOTS)
def test_drawing_on_given_axes_leaves_all_else_alone(name):
    _, (ax, other) = plt.subplots(1, 2)
    current = plt.figure()
    assert PLOTS[name](table_for(name, 5), ax=ax) is ax
    assert len(plt.get_fignums()) == 2
    assert plt.gcf() is current
    assert not other.has_data()


@pytest.mark.parametrize("name", PLOTS)
def test_the_callers_words_replace_ours(name):
    given = {"title": "A title", "xlabel": "across", "ylabel": "up"}
    ax = PLOTS[name](table_for(name, 5), legend=False, ax=plt.figure().add_subplot(), **given)
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == tuple(given.values())
    assert ax.get_legend() is None
    ax = PLOTS[name](table_for(name, 5), label="practice", ax=plt.figure().add_subplot())
    assert "practice" in ax.get_xlabel()


@pytest.mark.parametrize("name", PLOTS)
def test_style_goes_to_the_estimates(name):
    ax = PLOTS[name](table_for(name, 5), ax=plt.figure().add_subplot(), color="#123456", alpha=0.5)
    colours = [to_hex(c.get_facecolor()[0]) for c in ax.collections if len(c.get_facecolor())]
    assert colours.count("#123456") == 1
    with pytest.raises((AttributeError, TypeError), match="colr"):
        PLOTS[name](table_for(name, 5), ax=ax, colr="red")


def test_style_of_panels_goes_to_the_data():
    axes = plot_pooling_panels(*pooling_tables(), c="#123456", ms=9)
    assert (axes[0].lines[0].get_color(), axes[0].lines[0].get_markersize()) == ("#123456", 9)


@pytest.mark.parametrize("name", PLOTS)
def test_tables_are_not_changed_and_categories_will_do(name):
    table = table_for(name, 5).astype({"group": "category", "level": "category", "term": "category"})
    before = table.copy(deep=True)
    PLOTS[name](table)
    pd.testing.assert_frame_equal(table, before)


def test_tables_of_panels_are_not_changed():
    lines, points = pooling_tables()
    before = lines.copy(deep=True), points.copy(deep=True)
    plot_pooling_panels(lines, points)
    pd.testing.assert_frame_equal(lines, before[0])
    pd.testing.assert_frame_equal(points, before[1])


def test_names_are_not_read_as_mathematics():
    table = shrinkage_table(3).replace({"level": {"s0": "a$b$", "s1": "$", "s2": "$\\frac$"}})
    for ax in (shrink(table), shrink(table, column="x")):
        ax.figure.draw_without_rendering()
    lines, points = (t.replace({"level": {100: "$\\frac$"}}) for t in pooling_tables())
    plot_pooling_panels(lines, points)[0].figure.draw_without_rendering()


def test_caterpillar_and_panels_draw_on_given_axes():
    figure, axes = plt.subplots(2, 2)
    lines, points = pooling_tables()
    assert list(plot_pooling_panels(lines, points, axes=axes)) == list(axes.flat[:3])
    assert not axes[1, 1].has_data()
    assert len(figure.legends) == 1
    figure, pair = plt.subplots(1, 2)
    assert list(plot_caterpillar(effects_table(terms=("(Intercept)", "x")), ax=pair)) == list(pair)
    assert len(plt.get_fignums()) == 2


def test_a_figure_legend_is_as_wide_as_its_figure_at_most():
    narrow = plt.figure(figsize=(2.2, 6), layout="constrained")
    plot_pooling_panels(*pooling_tables(), axes=narrow.subplots(3, 1))
    [legend] = narrow.legends
    assert legend.get_window_extent().width <= narrow.bbox.width


THREE = shrinkage_table(terms=("(Intercept)", "x", "z"))
LINES, POINTS = pooling_tables()
ERRORS = {
    "three terms": (lambda: plot_shrinkage(THREE), r"terms \(Intercept\), x, z; choose one: column="),
    "unknown term": (lambda: plot_shrinkage(THREE, column="Intercept"), "no term 'Intercept'.*Did you mean"),
    "two groups": (
        lambda: plot_shrinkage(pd.concat([THREE, THREE.assign(group="region")])),
        "groups school, region",
    ),
    "missing columns": (lambda: plot_shrinkage(THREE.drop(columns=["n", "partial"])), "lacks n, partial"),
    "no rows": (lambda: plot_caterpillar(effects_table()[:0]), "no rows"),
    "unknown order": (lambda: plot_shrinkage(THREE, column="x", order="size"), "order = 'size'.*'partial'"),
    "two fits": (
        lambda: plot_shrinkage(pd.concat([THREE, THREE]), column="x"),
        "more than one row for term 'x', level 's0'",
    ),
    "one Axes for two terms": (
        lambda: plot_caterpillar(effects_table(terms=("a", "b")), ax=plt.figure().add_subplot()),
        r"1 Axes for the 2 panels a \(school\), b \(school\)",
    ),
    "unknown pooling": (
        lambda: plot_pooling_panels(LINES.replace({"pooling": {"no": "none"}}), POINTS),
        "no kind of pooling 'none'.*Did you mean 'no'",
    ),
    "unknown level": (
        lambda: plot_pooling_panels(LINES, POINTS, levels=[999]),
        "no level '999'; there are 100",
    ),
    "no level": (lambda: plot_pooling_panels(LINES, POINTS, levels=[]), "levels is empty"),
    "no common level": (lambda: plot_pooling_panels(LINES, POINTS.assign(level="a")), "in both"),
    "too few Axes": (
        lambda: plot_pooling_panels(LINES, POINTS, axes=plt.subplots(1, 2)[1]),
        "2 Axes for 3 levels",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_say_what_is_wrong_and_what_to_do(case):
    call, message = ERRORS[case]
    with pytest.raises(DataError, match=message):
        call()
