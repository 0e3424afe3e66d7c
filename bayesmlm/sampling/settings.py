"""How to sample, and what comes out."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesmlm.errors import ConvergenceWarning, SamplingError, did_you_mean, warn

SAMPLERS = ("auto", "kernel", "pymc")


@dataclass(frozen=True)
class Settings:
    """How to sample.

    Attributes
    ----------
    chains, draws, tune : int
        Number of chains, and of draws and warm-up iterations per chain.
    seed : int
        Seed of all randomness; the same seed, data and versions give the same draws.
    target_accept : float or None
        Target acceptance rate; None leaves it to the sampler.
    cores : int or None
        Chains run at once; None uses all cores.
    progress : bool
        Whether to show a progress bar.
    sampler : str
        "auto", "kernel" or "pymc"; see `bayesmlm.fit`.
    keep_ranef : bool, str, sequence of str, or mapping
        Group effects to keep; see `bayesmlm.fit`.
    prior_only : bool
        Whether to draw from the prior instead of the posterior.
    """

    chains: int = 4
    draws: int = 1000
    tune: int = 1000
    seed: int = 0
    target_accept: float | None = None
    cores: int | None = None
    progress: bool = True
    sampler: str = "auto"
    keep_ranef: Any = True
    prior_only: bool = False

    def __post_init__(self) -> None:
        for name, least in (("chains", 1), ("draws", 4), ("tune", 1), ("seed", 0), ("cores", 1)):
            value = getattr(self, name)
            if name == "cores" and value is None:
                continue
            if (
                not isinstance(value, int | np.integer)
                or isinstance(value, bool)
                or not least <= value < 2**63
            ):
                raise SamplingError(f"{name} = {value!r}: give a whole number of at least {least}")
        if not isinstance(self.prior_only, bool | np.bool_):
            raise SamplingError(f"prior_only = {self.prior_only!r}: give True or False")
        accept = self.target_accept
        if accept is not None and (not isinstance(accept, float) or not 0 < accept < 1):
            raise SamplingError(f"target_accept = {accept!r}: give a number between 0 and 1")
        if self.sampler not in SAMPLERS:
            hint = did_you_mean(str(self.sampler), SAMPLERS)
            raise SamplingError(f"sampler = {self.sampler!r}: choose 'auto', 'kernel' or 'pymc'.{hint}")


def new_seed() -> int:
    """Return a seed for a fit that was given none; it is kept with the fit, so the fit can be repeated."""
    return secrets.randbits(31)


def kept_chains(counts: np.ndarray, settings: Settings) -> tuple[np.ndarray, int]:
    """Return which chains of an interrupted run to keep and how many draws of each; warn if not all.

    Parameters
    ----------
    counts : ndarray, shape (chain,)
        Draws after warm-up of each chain.

    Raises
    ------
    SamplingError
        If there are no draws to keep.
    """
    if (
        counts.min(initial=0 if not len(counts) else counts[0]) == settings.draws
        and len(counts) == settings.chains
    ):
        return np.arange(len(counts)), settings.draws
    # Chains that had barely begun would cost all the others their draws: keep what gives most draws.
    order = np.sort(counts)[::-1]
    chains_kept = int(np.argmax(order * np.arange(1, len(order) + 1))) + 1 if len(order) else 0
    length = int(order[chains_kept - 1]) if chains_kept else 0
    if length < 4:
        raise SamplingError("sampling was interrupted during warm-up: there are no draws to keep")
    keep = np.flatnonzero(counts >= length)
    warn(
        f"sampling was interrupted: kept {len(keep)} chains of {length} draws (asked: {settings.chains} of "
        f"{settings.draws})",
        ConvergenceWarning,
    )
    return keep, length
