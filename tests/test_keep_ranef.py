"""Draws of group effects that are not kept: the others do not change, and they can be had later."""

from dataclasses import replace

import numpy as np
import pytest

import bayesmlm as bm
from bayesmlm.sampling.kernel import partial_correlations, relative_factors

pytestmark = pytest.mark.filterwarnings("ignore::bayesmlm.errors.ConvergenceWarning")  # chains are short

NESTED = "strength ~ 1 + (1 | batch/cask)"
SHORT = {"chains": 2, "draws": 60, "tune": 100, "seed": 3, "progress": False}


@pytest.fixture(scope="module")
def pair():
    """A fit that keeps all group effects and the same fit without them."""
    data = bm.load_dataset("gcsemv")
    formula = "course ~ 1 + female + (1 + female | school)"
    return [bm.fit(formula, data, keep_ranef=keep, **SHORT) for keep in (True, False)]


def test_nothing_else_depends_on_what_is_kept(pair):
    whole, bare = (f.posterior for f in pair)
    assert bare.blocks[0].b.shape == (2, 60, 0, 2)
    for a, b in ((whole.fixef, bare.fixef), (whole.sigma, bare.sigma), (whole.mean_ppd, bare.mean_ppd)):
        np.testing.assert_array_equal(a.values, b.values)


def test_effects_drawn_later_are_those_that_would_have_been_kept(pair):
    whole, bare = pair
    again = bare.with_ranef()
    expected = whole.posterior.blocks[0].b
    np.testing.assert_allclose(again.posterior.blocks[0].b.values, expected.values, rtol=0, atol=1e-9)
    np.testing.assert_allclose(again.fitted(), whole.fitted(), atol=1e-9)
    assert again.posterior.blocks[0].levels == whole.design.blocks[0].levels


def test_chosen_levels(pair):
    whole, bare = pair
    chosen = ["68137", "22520"]
    for fit in (bare, whole):
        few = fit.with_ranef({"school": chosen})
        assert list(few.ranef()["school"].index) == chosen
        expected = whole.posterior.blocks[0].b.sel(level=chosen).values
        np.testing.assert_allclose(few.posterior.blocks[0].b.values, expected, rtol=0, atol=1e-9)
    assert set(few.tidy("ran_vals")["level"]) == set(chosen)


def test_one_of_two_factors():
    data = bm.load_dataset("pastes")
    fit = bm.fit(NESTED, data, keep_ranef="batch", **SHORT)
    assert [len(b.levels) for b in fit.posterior.blocks] == [0, 10]
    whole = bm.fit(NESTED, data, **SHORT)
    for mine, theirs in zip(fit.with_ranef().posterior.blocks, whole.posterior.blocks, strict=True):
        np.testing.assert_allclose(mine.b.values, theirs.b.values, rtol=0, atol=1e-9)


def test_what_needs_all_effects_says_how_to_get_them(pair):
    _, bare = pair
    for use in (bare.fitted, bare.plot_shrinkage, lambda: bare.draws):
        with pytest.raises(
            bm.DataError, match=r"0 of the 73 levels of school were kept: fit\.with_ranef\(\)"
        ):
            use()
    assert bare.compare().groups.empty
    assert "BLUPs" not in str(bare.compare())


def test_effects_belong_to_the_fixed_effects_of_the_posterior(pair):
    """Given fixed effects that lie d higher, b_j lies (Z'Z + sigma^2 Sigma^-1)^-1 Z'X d lower, in every draw."""
    whole, bare = pair
    d = np.array([5.0, -2.0])
    posterior = replace(bare.posterior, fixef=bare.posterior.fixef + d)
    moved = replace(bare, posterior=posterior).with_ranef().posterior.blocks[0].b.values
    (block,), (draws,) = whole.design.blocks, whole.posterior.blocks
    precision = whole.posterior.sigma.values[..., None, None] ** 2 * np.linalg.inv(draws.cov.values)
    for j in (0, 40):
        rows = block.index == j
        A = block.Z[rows].T @ block.Z[rows]
        lower = np.linalg.solve(A + precision, (A @ d)[:, None])[..., 0]  # X is Z here
        np.testing.assert_allclose(moved[:, :, j], draws.b.values[:, :, j] - lower, atol=1e-9)


@pytest.mark.parametrize("p", [1, 2, 3, 4])
def test_partial_correlations_undo_the_factor(p):
    size = p * (p - 1) // 2
    x = np.random.default_rng(p).normal(0, 1.5, (2, 50, p + size))
    lam = relative_factors(x, p)
    sd = np.linalg.norm(lam, axis=-1)
    corr = lam @ np.swapaxes(lam, -1, -2) / (sd[..., None] * sd[..., None, :])
    np.testing.assert_allclose(np.arctanh(partial_correlations(corr)), x[..., p:], atol=1e-6)


def test_singular_correlations_stay_inside():
    corr = np.ones((1, 1, 3, 3))
    assert np.isfinite(np.arctanh(partial_correlations(corr))).all()


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ("shool", "no grouping factor 'shool'. Did you mean 'school'"),
        ({"school": ["2092"]}, "school has no level '2092'. Did you mean '20920'"),
        (3, "keep_ranef = 3"),
    ],
)
def test_mistakes_are_found_before_sampling(keep, message, monkeypatch):
    monkeypatch.setattr("bayesmlm.sampling.kernel.walk", lambda *_: pytest.fail("sampled"))
    with pytest.raises(bm.DataError, match=message):
        bm.fit("course ~ 1 + (1 | school)", bm.load_dataset("gcsemv"), keep_ranef=keep)
