"""Fits that several test modules share: compiling a model costs far more than sampling it."""

import json

import matplotlib
import pytest
from reference_models import MODELS, REFERENCE

import bayesmlm as bm

matplotlib.use("Agg")


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
def graph_fits():
    """Fit a model of MODELS on the PyMC graph on first use."""
    made = {}

    def get(name):
        if name not in made:
            formula, data = MODELS[name]
            frame = bm.load_dataset(data)
            made[name] = bm.fit(formula, frame, seed=20261, sampler="pymc", progress=False)
        return made[name]

    return get


@pytest.fixture(scope="session")
def m3(fits):
    return fits("gcse_m3")
