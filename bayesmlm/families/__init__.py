"""Families of responses: their names, links, auxiliary parameters, densities and draws."""

from bayesmlm.families.family import GAUSSIAN, KINDS, Family, Kind, read_family
from bayesmlm.families.likelihood import (
    category_log_probabilities,
    draw,
    latent_variance,
    log_density,
    mean,
    variance,
)
from bayesmlm.families.links import LINKS, Link, log_probabilities
from bayesmlm.families.quantile import DISCRETE, distribution, quantile_residuals, random_probabilities

__all__ = [
    "DISCRETE",
    "GAUSSIAN",
    "KINDS",
    "LINKS",
    "Family",
    "Kind",
    "Link",
    "category_log_probabilities",
    "distribution",
    "draw",
    "latent_variance",
    "log_density",
    "log_probabilities",
    "mean",
    "quantile_residuals",
    "random_probabilities",
    "read_family",
    "variance",
]
