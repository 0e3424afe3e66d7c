"""Fitting a model again to fewer rows, to see how it predicts the others."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from bayesmlm.design import Design
from bayesmlm.errors import BayesMLMWarning, DataError
from bayesmlm.fits.base import Sampled
from bayesmlm.folds import leave_out
from bayesmlm.left_out import Draws, Rows, long_draws
from bayesmlm.priors import build_priors
from bayesmlm.progress import meter

Density = Callable[[Rows, Draws], np.ndarray]  # (S, m)


@dataclass(frozen=True)
class Predicted:
    """What refits say of the rows that they were not given.

    Attributes
    ----------
    values : list of ndarray (chain, draw, m)
        Log densities, one array per refit.
    notes : mapping of str to tuple of str
        What is wrong with each refit's sample, by what was left out.
    """

    values: list[np.ndarray]
    notes: Mapping[str, tuple[str, ...]]


def predict_left_out(
    fit: Sampled, left_out: Mapping[str, np.ndarray], density: Density, seed: int
) -> Predicted:
    """Fit a model again without some rows, then without others, and so on; give their densities.

    Priors are scaled anew to the rows that stay, as the fit's were to all rows.

    Parameters
    ----------
    fit
        The fit; its settings are used again.
    left_out
        Positions of rows among those of the fit, by name.
    density
        Of the rows that were left out.
    seed
        Each refit has a seed of its own, made of this one.
    """
    if fit.posterior.others:
        raise DataError("a model with several linear predictors cannot be fitted again without some rows yet")
    values, notes = [], {}
    seeds = np.random.SeedSequence(seed).generate_state(len(left_out))
    total = len(left_out)
    with meter("refitting", fit.settings.progress) as shown:
        for i, ((name, held), own) in enumerate(zip(left_out.items(), seeds, strict=True), 1):
            shown.show(f"refit {i} of {total}", i - 1, total)
            split = leave_out(fit.design, held)
            again = _draw(fit, split.design, int(own))
            posterior = again.posterior
            found = density(split.rows, long_draws(split.design, posterior))
            values.append(found.reshape(posterior.n_chains, -1, found.shape[1]))
            notes[name] = again.notes
        shown.finish(f"fitted again {total} times")
    return Predicted(values, notes)


def _draw(fit: Sampled, design: Design, seed: int) -> Sampled:
    settings = replace(fit.settings, seed=seed, progress=False, keep_ranef=True)
    with warnings.catch_warnings():  # they are said once, for all refits
        warnings.simplefilter("ignore", BayesMLMWarning)
        again = type(fit).draw(design, build_priors(design, fit.priors.given), settings)
    if again.posterior.n_draws < settings.chains * settings.draws:
        raise KeyboardInterrupt  # which the sampler takes for a wish to stop early: here all refits stop
    return again
