"""Posteriors of generalised models agree with plain Bambi's, sampled by nutpie: same data, same priors.

Bambi's results are kept in tests/reference/bambi_families.json; tests/bambi_fits.py makes them. The families that
are not compared by default are compared by ``uv run pytest -m slow``.
"""

import json

import numpy as np
import pytest
from bambi_fits import FAMILIES, FILE, data_of

import bayesmlm as bm
from bayesmlm.diagnostics import convergence_frame, parameter_draws, variance_draws
from bayesmlm.draws import SAMPLE

BY_DEFAULT = {"binomial", "zero_inflated_poisson"}
CASES = [name if name in BY_DEFAULT else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES]
BAMBI = json.loads(FILE.read_text())


def our_fit(name):
    link, response, _, auxiliary = FAMILIES[name]
    priors = {"(Intercept)": bm.normal(0, 2), "x": bm.normal(0, 1), "g": bm.half_normal(1)}
    for ours in auxiliary:
        priors[ours] = bm.beta(2, 2) if ours == "psi" else bm.exponential(0.2)
    formula = f"{response} ~ x + (1 | g)"
    return bm.fit(formula, data_of(name), name, link, priors, seed=3, draws=1500, progress=False)


@pytest.mark.parametrize("name", CASES)
def test_means_agree_with_bambi(name):
    fit = our_fit(name)
    assert fit.notes == ()
    found = {}
    for draws in (parameter_draws(fit.posterior), variance_draws(fit.posterior)):
        mcse, mean = convergence_frame(draws)["mcse"], draws.mean(SAMPLE).to_series()
        found |= {p: (mean[p], mcse[p]) for p in mcse.index}
    for parameter, draws in fit.posterior.auxiliary.items():
        table = convergence_frame(draws.expand_dims(parameter=[parameter]).transpose(*SAMPLE, "parameter"))
        found[parameter] = (float(draws.mean()), table["mcse"][parameter])
    assert set(FAMILIES[name][3]) < set(BAMBI[name])
    off = {p: (found[p][0] - m) / np.hypot(found[p][1], se) for p, (m, se) in BAMBI[name].items()}
    assert max(map(abs, off.values())) < 4, off
