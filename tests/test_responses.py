"""A response is read by its family; what the family cannot have produced is refused before anything is fitted."""

import numpy as np
import pandas as pd
import pytest

import bayesmlm as bm
from bayesmlm.errors import BayesMLMError, DataError
from bayesmlm.specifying import specify_design


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(1)
    n = 40
    trials = rng.integers(1, 9, n)
    successes = rng.binomial(trials, 0.4)
    return pd.DataFrame(
        {
            "g": rng.integers(0, 8, n),
            "x": rng.normal(size=n),
            "z": rng.normal(size=n),
            "s": successes,
            "f": trials - successes,
            "m": trials,
            "share": successes / trials,
            "zero_one": (successes > 1).astype(int),
            "passed": successes > 1,
            "grade": np.where(successes > 1, "pass", "fail"),
            "abc": rng.choice(["a", "b", "c"], n),
            "rank": rng.integers(1, 5, n),
            "count": rng.poisson(2.0, n),
            "amount": rng.gamma(2.0, size=n),
            "part": rng.beta(2.0, 3.0, n),
            "time": rng.gamma(3.0, size=n),
        }
    )


def design(frame, response, family, **given):
    return specify_design(f"{response} ~ x + (1 | g)", frame, family, **given)


def test_successes_and_failures(frame):
    found = design(frame, "cbind(s, f)", "binomial")
    np.testing.assert_array_equal(found.y, frame.s)
    np.testing.assert_array_equal(found.trials, frame.m)


@pytest.mark.parametrize("response", ["s / m", "share"])
def test_a_proportion_of_trials_is_the_same_data(frame, response):
    found = design(frame, response, "binomial", weights="m")
    np.testing.assert_array_equal(found.y, frame.s)
    np.testing.assert_array_equal(found.trials, frame.m)
    assert found.weights is None


@pytest.mark.parametrize("response", ["zero_one", "passed", "grade", "I(s > 1)"])
def test_two_values_are_bernoulli_trials_the_first_level_being_failure(frame, response):
    found = design(frame, response, "binomial")
    np.testing.assert_array_equal(found.y, frame.s > 1)
    assert found.trials is None


def test_the_order_of_categories_decides_what_success_is(frame):
    turned = frame.assign(grade=pd.Categorical(frame.grade, ["pass", "fail"]))
    np.testing.assert_array_equal(design(turned, "grade", "binomial").y, frame.s <= 1)


def test_trials_of_one_are_no_trials(frame):
    assert design(frame, "cbind(zero_one, 1 - zero_one)", "binomial").trials is None


def test_weights_repeat_rows_with_trials(frame):
    found = design(frame.assign(w=2), "cbind(s, f)", "binomial", weights="w")
    np.testing.assert_array_equal(found.trials, 2 * frame.m)


def test_categories_are_numbered_in_their_order(frame):
    found = design(frame, "abc", "categorical")
    assert found.response_levels == ("a", "b", "c")
    np.testing.assert_array_equal(found.y, frame.abc.map({"a": 0, "b": 1, "c": 2}))
    ranks = design(frame, "rank", "cumulative")
    assert ranks.response_levels == ("1", "2", "3", "4")
    np.testing.assert_array_equal(ranks.y, frame["rank"] - 1)


def test_the_logarithm_of_an_exposure_is_an_offset(frame):
    found = design(frame, "count", "poisson", exposure="time", offset="x")
    np.testing.assert_allclose(found.offset, np.log(frame.time) + frame.x)
    with pytest.raises(DataError, match="log link"):
        design(frame, "zero_one", "binomial", exposure="time")
    with pytest.raises(DataError, match="positive numbers"):
        design(frame.assign(time=0.0), "count", "poisson", exposure="time")


WRONG = [
    ("abc", "binomial", {}, "has 3 categories"),
    ("s", "binomial", {}, "cbind\\(successes, failures\\)"),
    ("share", "binomial", {}, "is a proportion in"),
    ("m / s1", "binomial", {"weights": "m"}, "more successes than trials"),
    ("cbind(s, f - 20)", "binomial", {}, "neither can be negative"),
    ("cbind(s / 3, f)", "binomial", {}, "whole numbers"),
    ("share", "binomial", {"weights": "time"}, "are counts"),
    ("share", "binomial", {"weights": "m1"}, "are the weights the numbers of trials"),
    ("cbind(s0, s0)", "binomial", {}, "no trials in 40 rows"),
    ("I(s > 100)", "binomial", {}, "constant"),
    ("z", "binomial", {}, "0 or 1, or a proportion"),
    ("count - 3", "poisson", {}, "counts: 0, 1, 2"),
    ("amount", "negativebinomial", {}, "counts: 0, 1, 2"),
    ("amount", "zero_inflated_poisson", {}, "counts: 0, 1, 2"),
    ("count", "Gamma", {}, "hurdle_gamma"),
    ("z", "inverse.gaussian", {}, "positive numbers"),
    ("z", "lognormal", {}, "either sign"),
    ("z", "hurdle_gamma", {}, "at least 0"),
    ("zero_one", "beta", {}, "between 0 and 1"),
    ("grade", "poisson", {}, "categorical"),
    ("cbind(s, f)", "poisson", {}, "two columns"),
    ("cbind(s, f)", "gaussian", {}, "family='binomial'"),
    ("grade", "cumulative", {}, "use family='binomial'"),
    ("amount", "cumulative", {}, "whole numbers"),
]


@pytest.mark.parametrize(("response", "family", "given", "words"), WRONG)
def test_a_wrong_response_is_refused_before_sampling(frame, response, family, given, words):
    data = frame.assign(s0=0, s1=np.maximum(frame.s, 1) / 2, m1=frame.m + 1)
    with pytest.raises(DataError, match=words):
        bm.fit(f"{response} ~ x + (1 | g)", data, family, progress=False, **given)


@pytest.mark.parametrize(
    ("family", "link", "words"),
    [
        ("binomal", None, "'binomial'"),
        ("poisson", "logit", "'log', 'sqrt', 'identity'"),
        (3, None, "give a name"),
        ("binomial(probit)", "logit", "give one"),
    ],
)
def test_an_unknown_family_or_link_is_refused(frame, family, link, words):
    with pytest.raises(BayesMLMError, match=words):
        design(frame, "zero_one", family, link=link)
