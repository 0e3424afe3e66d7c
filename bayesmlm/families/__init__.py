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

__all__ = [
    "GAUSSIAN",
    "KINDS",
    "LINKS",
    "Family",
    "Kind",
    "Link",
    "category_log_probabilities",
    "draw",
    "latent_variance",
    "log_density",
    "log_probabilities",
    "mean",
    "read_family",
    "variance",
]
