"""NUTS on the PyMC graph agrees with rstanarm: differences of means within four combined Monte Carlo errors."""

import json

import numpy as np
import pytest
from reference_models import REFERENCE

from bayesmlm.diagnostics import convergence_frame, parameter_draws
from bayesmlm.draws import SAMPLE

GRAPH = ("imm_model4", "penicillin")  # correlated slopes, crossed factors; tests/test_nuts.py has the kernel


@pytest.mark.parametrize("name", GRAPH)
def test_means_agree_with_rstanarm(name, graph_fits):
    fit = graph_fits(name)
    reference = json.loads((REFERENCE / "rstanarm" / f"{name}.json").read_text())
    theirs = dict(zip(reference["parameters"], reference["summary"], strict=True))
    mean_column, mcse_column = (reference["columns"].index(c) for c in ("mean", "se_mean"))
    draws = parameter_draws(fit.posterior)
    mcse, mean = convergence_frame(draws)["mcse"], draws.mean(SAMPLE).to_series()
    compared = [p for p in theirs if not p.startswith("b[") and p != "log-posterior"]
    assert {"sigma", "(Intercept)", "mean_PPD"} < set(compared)
    assert any(p.startswith("Sigma[") for p in compared)
    for parameter in compared:
        row = theirs[parameter]
        allowed = 4 * np.hypot(mcse[parameter], row[mcse_column])
        assert abs(mean[parameter] - row[mean_column]) <= allowed, parameter


@pytest.mark.parametrize("name", GRAPH)
def test_group_effects_agree_with_rstanarm(name, graph_fits):
    fit = graph_fits(name)
    reference = json.loads((REFERENCE / "rstanarm" / f"{name}.json").read_text())
    draws = parameter_draws(fit.posterior)
    mcse, mean = convergence_frame(draws)["mcse"], draws.mean(SAMPLE).to_series()
    effects = {
        p: r for p, r in zip(reference["parameters"], reference["summary"], strict=True) if p.startswith("b[")
    }
    assert len(effects) == 20
    z = [(mean[p] - r[0]) / np.hypot(mcse[p], r[1]) for p, r in effects.items()]
    assert np.max(np.abs(z)) < 4.5  # the largest of 20 correlated differences


@pytest.mark.parametrize("name", GRAPH)
def test_chains_sample_well(name, graph_fits):
    fit = graph_fits(name)
    assert fit.notes == ()
    assert fit.posterior.n_draws == 4000
    assert int(fit.posterior.sample_stats["diverging"].sum()) == 0
