"""The same small models in plain Bambi, sampled by nutpie, without any of this package's model building.

``python tests/bambi_fits.py`` (with the project importable) writes the means and Monte Carlo errors that
tests/test_family_parity.py compares with into tests/reference/bambi_families.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

FILE = Path(__file__).parent / "reference" / "bambi_families.json"
GROUPS, ROWS = 8, 160
# family: (link, response in R's formula, response in Bambi's, auxiliary parameters by our name, Bambi's, true value)
FAMILIES = {
    "binomial": ("logit", "cbind(y, n - y)", "p(y, n)", {}),
    "poisson": ("log", "y", "y", {}),
    "negativebinomial": ("log", "y", "y", {"reciprocal_dispersion": ("alpha", 2.0)}),
    "gamma": ("log", "y", "y", {"shape": ("alpha", 3.0)}),
    "wald": ("log", "y", "y", {"lambda": ("lam", 4.0)}),
    "beta": ("logit", "y", "y", {"phi": ("kappa", 6.0)}),
    "t": ("identity", "y", "y", {"sigma": ("sigma", 0.8), "nu": ("nu", 5.0)}),
    "beta_binomial": ("logit", "cbind(y, n - y)", "p(y, n)", {"phi": ("kappa", 5.0)}),
    "lognormal": ("identity", "y", "y", {"sigma": ("sigma", 0.7)}),
    "exponential": ("log", "y", "y", {}),
    "weibull": ("log", "y", "y", {"shape": ("alpha", 2.0)}),
    "zero_inflated_poisson": ("log", "y", "y", {"psi": ("psi", 0.7)}),
    "zero_inflated_binomial": ("logit", "cbind(y, n - y)", "p(y, n)", {"psi": ("psi", 0.7)}),
    "zero_inflated_negativebinomial": (
        "log",
        "y",
        "y",
        {"reciprocal_dispersion": ("alpha", 3.0), "psi": ("psi", 0.7)},
    ),
    "hurdle_poisson": ("log", "y", "y", {"psi": ("psi", 0.7)}),
    "hurdle_negativebinomial": (
        "log",
        "y",
        "y",
        {"reciprocal_dispersion": ("alpha", 3.0), "psi": ("psi", 0.7)},
    ),
    "hurdle_gamma": ("log", "y", "y", {"shape": ("alpha", 3.0), "psi": ("psi", 0.7)}),
    "hurdle_lognormal": ("identity", "y", "y", {"sigma": ("sigma", 0.7), "psi": ("psi", 0.7)}),
}


def data_of(name):
    """Simulated rows: an intercept that varies between groups, one predictor."""
    from bayesmlm.families import draw, read_family

    rng = np.random.default_rng(sorted(FAMILIES).index(name) + 1)
    family = read_family(name, FAMILIES[name][0])
    frame = pd.DataFrame({"x": rng.normal(2, 1, ROWS), "g": np.arange(ROWS) % GROUPS, "n": 6})
    frame["g"] = frame["g"].map("g{}".format)
    eta = 0.2 + 0.3 * frame["x"] + rng.normal(0, 0.5, GROUPS)[np.arange(ROWS) % GROUPS]
    auxiliary = {ours: np.full((1, 1), value) for ours, (_, value) in FAMILIES[name][3].items()}
    y = draw(family, eta.to_numpy()[None], auxiliary, rng, np.full(ROWS, 6.0))[0]
    whole = family.support in {"count", "binomial"}
    return frame.assign(y=y.astype(int) if whole else y)


def fit_with_bambi(name):
    """Means and Monte Carlo standard errors of every parameter, by our names."""
    import arviz as az
    import bambi as bmb

    link, _, response, auxiliary = FAMILIES[name]
    sd = bmb.Prior("HalfNormal", sigma=1)
    priors = {"Intercept": bmb.Prior("Normal", mu=0, sigma=2), "x": bmb.Prior("Normal", mu=0, sigma=1)}
    priors["1|g"] = bmb.Prior("Normal", mu=0, sigma=sd)
    for ours, (theirs, _) in auxiliary.items():
        priors[theirs] = (
            bmb.Prior("Beta", alpha=2, beta=2) if ours == "psi" else bmb.Prior("Exponential", lam=0.2)
        )
    model = bmb.Model(f"{response} ~ x + (1|g)", data_of(name), name, priors=priors, link=link)
    fitted = model.fit(
        draws=1500,
        tune=1000,
        chains=4,
        random_seed=5,
        inference_method="nutpie",
        nuts={"target_accept": 0.95},
    )
    posterior = fitted["posterior"].to_dataset()
    mcse = az.mcse(posterior, method="mean")
    mean = posterior.mean(("chain", "draw"))
    names = {"Intercept": "(Intercept)", "x": "x", "1|g_sigma": "sd__(Intercept) (g)"}
    names |= {theirs: ours for ours, (theirs, _) in auxiliary.items()}
    found = {ours: (float(mean[v]), float(mcse[v])) for v, ours in names.items()}
    for level in posterior["g__factor_dim"].values:
        at = {"g__factor_dim": level}
        found[f"b[(Intercept) g:{level}]"] = (float(mean["1|g"].sel(at)), float(mcse["1|g"].sel(at)))
    return found


if __name__ == "__main__":
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    for chosen in sys.argv[1:] or FAMILIES:
        known[chosen] = fit_with_bambi(chosen)
        FILE.write_text(json.dumps(known, indent=1) + "\n")
