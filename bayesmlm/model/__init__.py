"""The Bambi adapter: Formula + Design + Priors -> bambi.Model with one correlated block per bar.

Bambi's group-specific terms are independent of each other. Here the terms of one bar share one matrix of
effects: the prior of each term is a callable that takes its column(s) from the block's variables, which the
first of them creates in the PyMC model at hand. Nothing is remembered between builds.

R's terms are written in formulae's language where it reads them alike, so that Bambi can evaluate new data.
Every term's columns are then compared with ours; a term that Bambi codes otherwise, or does not know, enters
as ready-made columns under R's coefficient names.
"""

from bayesmlm.model.build import BambiModel, build_model
from bayesmlm.model.overrides import prior_of_bambi
from bayesmlm.model.plan import choose_forms
from bayesmlm.model.tree import bambi_tree, posterior_tree

__all__ = ["BambiModel", "bambi_tree", "build_model", "choose_forms", "posterior_tree", "prior_of_bambi"]
