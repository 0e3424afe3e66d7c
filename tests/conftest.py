"""Fits that several test modules share: compiling a model costs far more than sampling it."""

import json
from pathlib import Path

import matplotlib
import pytest

import bayesmlm as bm

matplotlib.use("Agg")

REFERENCE = Path(__file__).parent / "reference"
# rstanarm's reference posteriors: name -> formula and data set.
MODELS = {
    "gcse_m3": ("course ~ 1 + female + (1 + female | school)", "gcsemv"),
    "sleep_corr": ("Reaction ~ Days + (Days | Subject)", "sleepstudy"),
    "imm_model4": ("math ~ homework + (homework|schnum)", "imm10"),
    "penicillin": ("diameter ~ 1 + (1|plate) + (1|sample)", "penicillin"),
}


@pytest.fixture(scope="session")
def lme4():
    return json.loads((REFERENCE / "lme4.json").read_text())


@pytest.fixture(scope="session")
def fits():
    """Fit a model of MODELS on first use, with the defaults a user gets and a fixed seed."""
    made = {}

    def get(name):
        if name not in made:
            formula, data = MODELS[name]
            made[name] = bm.fit(formula, bm.load_dataset(data), seed=20261, progress=False)
        return made[name]

    return get


@pytest.fixture(scope="session")
def m3(fits):
    return fits("gcse_m3")
