"""`bm.fit` from formula to Fit: accessors, Bambi's and ArviZ's tools on its draws, seeds, interrupts."""

import pickle
import signal
import threading
import warnings

import arviz as az
import bambi
import matplotlib.pyplot as plt
import numpy as np
import nutpie
import pandas as pd
import pytest
import xarray as xr

import bayesmlm as bm
from bayesmlm.design import build_design
from bayesmlm.draws import SAMPLE
from bayesmlm.model import build_model
from bayesmlm.priors import build_priors
from bayesmlm.sampling.graph import sample
from bayesmlm.sampling.settings import Settings
from bayesmlm.shrinkage import pooling_lines, pooling_points, shrinkage_table, two_level_ticks


def test_attributes(m3):
    assert m3.nobs == 1725
    assert m3.ngroups == {"school": 73}
    assert m3.formula == "course ~ 1 + female + (1 + female | school)"
    assert m3.sigma == np.median(m3.posterior.sigma)
    assert m3.settings.seed == 20261
    assert m3.sampler.startswith("NUTS")


def test_draws_have_bambis_schema(m3):
    posterior = m3.draws["posterior"]
    assert set(posterior.data_vars) == {
        "Intercept",
        "female",
        "sigma",
        "1|school",
        "female|school",
        "1|school_sigma",
        "female|school_sigma",
        "school_corr",
    }
    assert posterior["1|school"].dims == ("chain", "draw", "school__factor_dim")
    assert posterior["female|school"].dims == ("chain", "draw", "female__expr_dim", "school__factor_dim")
    assert posterior.sizes["chain"] == 4
    assert posterior.sizes["draw"] == 1000
    assert posterior.attrs["modeling_interface"] == "bambi"
    known = {"chain", "draw", *m3.model.backend.model.coords}
    assert set(map(str, posterior.dims)) <= known, "Bambi drops variables with dims it does not know"
    assert not any(str(v).endswith("_offset") for v in posterior.data_vars)


def test_bambi_predicts_with_the_draws(m3):
    predicted = m3.model.predict(m3.draws, inplace=False)
    np.testing.assert_allclose(predicted.posterior["mu"].mean(SAMPLE), m3.fitted(), rtol=1e-10)
    new = pd.DataFrame(
        {"female": pd.Categorical(["M", "F"], ["M", "F"], ordered=True), "school": ["22520", "22520"]}
    )
    both = m3.model.predict(m3.draws, data=new, inplace=False).posterior["mu"].mean(SAMPLE).values
    means = {k: v.mean(SAMPLE) for k, v in (("f", m3.posterior.fixef), ("b", m3.posterior.blocks[0].b))}
    total = means["f"].values + means["b"].sel(level="22520").values
    np.testing.assert_allclose(both, [total[0], total.sum()], rtol=1e-10)
    np.testing.assert_allclose(predicted.posterior["mu"], m3.posterior_epred(), rtol=1e-10)
    np.testing.assert_allclose(both, m3.predict(new), rtol=1e-10)


def test_bambi_plots_with_the_draws(m3):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Bambi announces another return type
        assert bambi.interpret.plot_predictions(m3.model, m3.draws, "female") is not None
        table = bambi.interpret.predictions(m3.model, m3.draws, "female").summary
    plt.close("all")
    by_sex = table.set_index("female")["estimate"]
    (school,) = table["school"].unique()  # Bambi holds the group at its most frequent level
    total = coef_of(m3, school).mean(axis=(0, 1))
    np.testing.assert_allclose(by_sex[["M", "F"]], [total[0], total.sum()], rtol=1e-9)


def test_arviz_reads_the_draws(m3):
    summary = az.summary(m3.draws, var_names=["Intercept", "sigma"], round_to="none")
    assert summary.loc["sigma", "mean"] == pytest.approx(float(m3.draws.posterior["sigma"].mean()))


def test_accessors(m3):
    assert m3.fixef().index.tolist() == m3.se().index.tolist() == ["(Intercept)", "femaleF"]
    draws = m3.posterior.fixef.values.reshape(-1, 2)
    np.testing.assert_allclose(m3.fixef(), np.median(draws, axis=0))
    np.testing.assert_allclose(np.sqrt(np.diag(m3.vcov())), draws.std(axis=0, ddof=1))
    ranef, coef = m3.ranef(sd=True)["school"], m3.coef()["school"]
    assert ranef.shape == (73, 4)
    assert ranef.columns.tolist() == ["(Intercept)", "femaleF", "sd__(Intercept)", "sd__femaleF"]
    np.testing.assert_allclose(coef, m3.ranef()["school"] + m3.fixef())
    np.testing.assert_allclose(m3.residuals() + m3.fitted(), m3.design.y)
    assert m3.varcorr().sd["school"]["femaleF"] == pytest.approx(np.median(m3.posterior.blocks[0].sd[..., 1]))
    assert m3.posterior_interval(0.5, "sigma").columns.tolist() == ["25%", "75%"]
    variance = m3.posterior.blocks[0].sd[..., 0] ** 2
    assert m3.icc().loc["school", "Median"] == pytest.approx(
        np.median(variance / (variance + m3.posterior.sigma**2))
    )


def test_reports_of_a_real_fit(m3):
    text = str(m3)
    assert " observations: 1725" in text
    assert "femaleF        7." in text
    assert "Num. levels: school 73" in text
    priors = str(m3.prior_summary())
    for line in (
        "normal(location = 73, scale = 2.5)",
        "normal(location = 73, scale = 41)",
        "normal(location = 0, scale = 83)",
        "exponential(rate = 0.061)",
        "school ~ decov(reg. = 1, conc. = 1, shape = 1, scale = 1)",
    ):
        assert line in priors
    assert len(m3.summary().frame) == 2 + 146 + 1 + 3 + 2
    assert "<table>" in m3._repr_html_()


def test_a_fit_survives_pickling(m3):
    again = pickle.loads(pickle.dumps(m3))
    assert str(again) == str(m3)
    xr.testing.assert_identical(again.draws["posterior"].to_dataset(), m3.draws["posterior"].to_dataset())
    predicted = again.model.predict(again.draws, inplace=False)
    np.testing.assert_allclose(predicted.posterior["mu"].mean(SAMPLE), m3.fitted(), rtol=1e-10)


def test_compare_uses_the_same_rows(m3):
    compared = m3.compare()
    assert compared.comparison.method == "REML"
    assert (compared.frame["verdict"] == "agree").all()
    assert (compared.groups["correlation"] > 0.99).all()
    ref = bm.lmer(m3.formula, bm.load_dataset("gcsemv"), reml=False)
    assert bm.compare(m3, ref).comparison.method == "ML"
    other = bm.lmer("course ~ female + (1 | school)", bm.load_dataset("gcsemv"))
    with pytest.raises(bm.DataError, match=r"different models or rows.*fit\.compare\(\)"):
        bm.compare(m3, other)


# -- shrinkage -----------------------------------------------------------------------------------------


def test_shrinkage_table(m3):
    table = shrinkage_table(m3.design, m3.posterior, "school").set_index(["level", "term"])
    gcse = bm.load_dataset("gcsemv").dropna(subset="course")
    school = gcse[gcse["school"] == "22520"].groupby("female", observed=True)["course"].mean()
    row = table.loc["22520", "femaleF"]
    assert row["no_pooling"] == pytest.approx(school["F"] - school["M"])
    assert row["partial"] == pytest.approx(float(np.median(coef_of(m3, "22520")[..., 1])))
    assert row["complete"] == pytest.approx(bm.lm("course ~ female", gcse).fixef()["femaleF"])
    assert row["n"] == len(gcse[gcse["school"] == "22520"])
    single_sex = gcse.groupby("school", observed=True)["female"].nunique().loc[lambda n: n == 1].index
    assert table["no_pooling"].unstack()["femaleF"].isna().sum() == len(single_sex) > 0
    own = table["no_pooling"].unstack()["(Intercept)"] - table["complete"].unstack()["(Intercept)"]
    shrunk = table["partial"].unstack()["(Intercept)"] - m3.fixef()["(Intercept)"]
    assert shrunk.abs().mean() < own.abs().mean()


def coef_of(fit, level):
    block = fit.posterior.blocks[0]
    return fit.posterior.fixef.values + block.b.sel(level=level).values


def test_pooling_lines(m3):
    lines = pooling_lines(m3.design, m3.posterior).set_index(["level", "pooling"])
    assert lines.loc[("22520", "complete"), "slope"] == lines.loc[("20920", "complete"), "slope"]
    partial = lines.loc[("22520", "partial")]
    np.testing.assert_allclose(partial.to_numpy(), np.median(coef_of(m3, "22520"), axis=(0, 1)), rtol=1e-12)
    points = pooling_points(m3.design)
    assert len(points) == 1725
    assert two_level_ticks(m3.design) == ("female", ([0.0, 1.0], ["M", "F"]))


@pytest.mark.parametrize("picture", ["plot_shrinkage", "plot_pooling_panels", "plot_caterpillar"])
def test_pictures_of_a_real_fit(m3, picture, tmp_path):
    axes = np.atleast_1d(np.asarray(getattr(m3, picture)(), dtype=object))
    figure = axes.flat[0].figure
    figure.savefig(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000
    plt.close("all")


def test_pictures_refuse_what_is_not_there(m3):
    with pytest.raises(bm.DataError, match=r"no grouping factor 'scool'.*Did you mean 'school'"):
        m3.plot_shrinkage(group="scool")
    with pytest.raises(bm.DataError, match="no level '2252'"):
        m3.plot_pooling_panels(levels=["2252"])


# -- sampling ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dyestuff():
    design = build_design("Yield ~ 1 + (1|Batch)", bm.load_dataset("dyestuff"))
    return design, build_model(design, build_priors(design))


def test_the_seed_gives_the_same_draws(dyestuff):
    design, model = dyestuff
    settings = Settings(chains=2, target_accept=0.95, draws=50, tune=100, seed=5, progress=False)
    first, again = (sample(model, design, settings)[0]["posterior"].to_dataset() for _ in range(2))
    xr.testing.assert_equal(first, again)
    other = Settings(chains=2, target_accept=0.95, draws=50, tune=100, seed=6, progress=False)
    assert not np.array_equal(first["sigma"], sample(model, design, other)[0]["posterior"]["sigma"])


def test_an_interrupt_keeps_the_draws(dyestuff, monkeypatch):
    design, model = dyestuff
    settings = Settings(chains=2, target_accept=0.95, draws=3_000_000, tune=100, seed=5, progress=False)
    press_ctrl_c_while_sampling(monkeypatch, after=1.5)
    with pytest.warns(bm.ConvergenceWarning, match="interrupted: kept 2 chains of"):
        tree, _ = sample(model, design, settings)
    draws = tree["posterior"].to_dataset()
    assert 4 <= draws.sizes["draw"] < 3_000_000
    assert all(np.isfinite(draws[v]).all() for v in draws.data_vars)
    assert float(draws["sigma"].min()) > 0


def test_an_interrupt_before_the_first_draw_is_an_error(dyestuff, monkeypatch):
    design, model = dyestuff
    settings = Settings(chains=2, target_accept=0.95, draws=10, tune=5_000_000, seed=5, progress=False)
    press_ctrl_c_while_sampling(monkeypatch, after=0.5)
    with pytest.raises(bm.SamplingError, match="during warm-up"):
        sample(model, design, settings)


@pytest.fixture(autouse=True)
def interruptible():
    """A process started in the background ignores interrupts; here they are to arrive all the same."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c_while_sampling(monkeypatch, after):
    """Send an interrupt some seconds after the sampler has started."""
    run = nutpie.sample

    def interrupted(*args, **kwargs):
        threading.Timer(after, signal.raise_signal, [signal.SIGINT]).start()
        return run(*args, **kwargs)

    monkeypatch.setattr(nutpie, "sample", interrupted)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"family": "poison"}, bm.BayesMLMError, "Did you mean 'poisson'"),
        ({"link": "logit"}, bm.BayesMLMError, "family 'gaussian' takes 'identity', 'log', 'inverse'"),
        ({"weights": "n"}, bm.DataError, "weights: unknown column 'n'"),
        (
            {"sampler": "kernel", "priors": {"Days": bm.cauchy()}},
            bm.SamplingError,
            "prior of Days is not normal",
        ),
        ({"sampler": "stan"}, bm.SamplingError, "'auto', 'kernel' or 'pymc'"),
        ({"chains": 0}, bm.SamplingError, "chains = 0"),
        ({"draws": 2.5}, bm.SamplingError, "whole number"),
        ({"target_accept": 1.2}, bm.SamplingError, "between 0 and 1"),
        ({"target_accept": "high"}, bm.SamplingError, "between 0 and 1"),
        ({"seed": -1}, bm.SamplingError, "seed = -1"),
        ({"seed": 1.5}, bm.SamplingError, "seed = 1.5"),
        ({"cores": 0}, bm.SamplingError, "cores = 0"),
        ({"priors": [1]}, bm.PriorError, "give a dict"),
        ({"priors": {"Dayz": None}}, bm.PriorError, "Did you mean 'Days'"),
    ],
)
def test_wrong_settings_are_refused_before_anything_runs(arguments, error, words):
    with pytest.raises(error, match=words):
        bm.fit("Reaction ~ Days + (Days | Subject)", bm.load_dataset("sleepstudy"), **arguments)


def test_no_random_part():
    with pytest.raises(bm.FormulaError, match=r"no random part.*bm\.lm"):
        bm.fit("Reaction ~ Days", bm.load_dataset("sleepstudy"))
    with pytest.raises(bm.FormulaError, match=r"use lmer\(\)"):
        bm.lm("Reaction ~ Days + (1 | Subject)", bm.load_dataset("sleepstudy"))
