"""Folds: each row is predicted by a fit without its fold, whose numbers can be had by fitting by hand."""

import warnings

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

import bayesmlm as bm

SHORT = {"chains": 2, "draws": 200, "tune": 200, "progress": False}
pytestmark = pytest.mark.filterwarnings("ignore::bayesmlm.errors.ConvergenceWarning")  # chains are short


@pytest.fixture(scope="module")
def sleep():
    data = bm.load_dataset("sleepstudy")
    return data.assign(half=np.where(data["Subject"].astype(int) < 335, "first", "second"))


@pytest.fixture(scope="module")
def fit(sleep):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bm.fit("Reaction ~ scale(Days) + (Days | Subject)", sleep, seed=4, **SHORT)


def by_hand(fit, data, out, seed):
    """log mean density of held-out rows under a fit to the others; new levels integrated out row by row."""
    again = bm.fit(fit.formula, data[~out], seed=int(seed), **SHORT)
    p = again.posterior
    beta, sigma = p.fixef.values.reshape(-1, 2), p.sigma.values.ravel()
    b, cov = p.blocks[0].b.values, p.blocks[0].cov.values.reshape(-1, 2, 2)
    b = b.reshape(-1, *b.shape[2:])
    days = data["Days"][~out]
    held, total = data[out], []
    for _, row in held.iterrows():
        z = np.array([1.0, row["Days"]])
        mean = beta @ np.array([1.0, (row["Days"] - days.mean()) / days.std()])
        variance = sigma**2
        if str(row["Subject"]) in p.blocks[0].levels:
            mean = mean + b[:, p.blocks[0].levels.index(str(row["Subject"]))] @ z
        else:
            variance = variance + np.einsum("a,sab,b->s", z, cov, z)
        density = norm(mean, np.sqrt(variance)).logpdf(row["Reaction"])
        total.append(logsumexp(density) - np.log(len(density)))
    return np.array(total)


@pytest.mark.parametrize("folds", ["half", "odd"])
def test_folds_are_fits_to_the_other_rows(fit, sleep, folds):
    """By subject (new levels) and by row (known levels); scale() learns from the rows that stay."""
    given = "half" if folds == "half" else np.arange(180) % 2
    found = fit.kfold(folds=given, seed=9)
    seeds = np.random.SeedSequence(9).generate_state(2)
    out = (sleep["half"] == "first").to_numpy() if folds == "half" else np.arange(180) % 2 == 0
    for held, seed, number in ((out, seeds[0], 1), (~out, seeds[1], 2)):
        mine = found.pointwise[held]
        assert set(mine["fold"]) == {number}
        np.testing.assert_allclose(mine["elpd"], by_hand(fit, sleep, held, seed), rtol=1e-8)
    assert found.elpd == pytest.approx(found.pointwise["elpd"].sum())
    assert found.se == pytest.approx(np.sqrt(180) * found.pointwise["elpd"].std())
    assert 0 < found.mc_se < 2


def test_whole_groups_are_left_out(fit):
    found = fit.kfold(2, group="Subject", seed=3)
    subject = fit.design.blocks[0].index
    assert len(np.unique(np.column_stack([subject, found.pointwise["fold"]]), axis=0)) == 18
    assert found.pointwise["row"].tolist() == list(range(180))
    text = str(found)
    assert "Computed from 2 folds of 180 rows, 400 draws each." in text
    assert "elpd_kfold" in text
    assert "kfoldic" in text


def test_poor_sampling_of_the_refits_is_said_once(fit):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        poor = bm.fit(
            "Reaction ~ Days + (1 | Subject)",
            fit.design.data,
            chains=2,
            draws=60,
            tune=60,
            seed=1,
            progress=False,
        )
        caught.clear()
        found = poor.kfold(3, seed=1)
    said = [w for w in caught if issubclass(w.category, bm.ConvergenceWarning)]
    assert len(said) == len(found.notes) == 1
    assert "of 3 refits sampled badly (fold 1" in found.notes[0]
    assert f"! {found.notes[0]}" in str(found)


def test_the_same_seed_gives_the_same_folds_and_numbers(fit):
    a, b = (fit.kfold(2, seed=6).pointwise for _ in range(2))
    np.testing.assert_array_equal(a["fold"], b["fold"])
    np.testing.assert_array_equal(a["elpd"], b["elpd"])


def test_folds_can_be_compared(fit, sleep):
    flat = bm.fit("Reaction ~ Days + (1 | Subject)", sleep, seed=4, **SHORT)
    frame = bm.loo_compare({"slopes": fit.kfold(3, seed=2), "intercepts": flat.kfold(3, seed=2)}).frame
    assert frame.index[0] == "slopes"
    with pytest.raises(bm.DataError, match="different folds"):
        bm.loo_compare(fit.kfold(3, seed=2), flat.kfold(3, seed=3))
