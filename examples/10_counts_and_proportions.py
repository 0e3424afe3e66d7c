"""
Counts and proportions: sick cattle and ticks on grouse
=======================================================

Two classic generalised multilevel models, from the documentation of lme4: the number of animals
that fall ill in herds of cattle, a binomial, and the number of ticks on red grouse chicks, a
Poisson. Each is fitted by maximum likelihood, as ``glmer()`` does, and as a posterior, as
``stan_glmer()``, and read on the scale on which one thinks: chances, odds, rates.
"""

# sphinx_gallery_start_ignore
import page  # noqa: F401  started as a script, prints what a notebook would show and saves the pictures

# sphinx_gallery_end_ignore
import numpy as np

import bayesmlm as bm

# %%
# Pleuropneumonia in herds
# ------------------------
#
# Fifteen herds of zebu cattle in Ethiopia were followed over four periods. Each row has the number
# of animals and of new cases in one herd and period.

cbpp = bm.load_dataset("cbpp")
cbpp.head(6)

# %%
# The formula is R's: successes and failures on the left (success is to fall ill).

CASES = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
ml = bm.glmer(CASES, cbpp, family="binomial")
ml.summary()

# %%
# The Bayesian fit has rstanarm's default priors, and takes about a second.

cases = bm.fit(CASES, cbpp, "binomial", seed=1)
cases

# %%
# Side by side. The estimates of maximum likelihood take the standard deviation of herds as known
# once it is estimated; the posterior carries its uncertainty along, and that of a standard
# deviation is skewed to the right: the posterior median is above the maximum.

cases.compare()

# %%
# The maximum is that of an approximation, Laplace's, to a likelihood that has no closed form. With
# one scalar effect per group the likelihood can be had as exactly as wanted, by adaptive
# Gauss-Hermite quadrature. Here the approximation is good.

exact = bm.glmer(CASES, cbpp, family="binomial", n_agq=25)
print(f"Laplace:       log-likelihood {ml.loglik:.4f}, sd of herds {ml.theta[0]:.4f}")
print(
    f"25 quadrature: log-likelihood {exact.loglik:.4f}, sd of herds {exact.theta[0]:.4f}"
)

# %%
# Odds ratios
# -----------
#
# Logits are hard to read. Exponentiated, a coefficient is an odds ratio: the odds of a new case in
# the second period are about 0.37 times those in the first, in one and the same herd.

ratios = cases.tidy("fixed", conf_level=0.9, exponentiate=True)
print(ratios[["term", "estimate", "conf_low", "conf_high"]].round(2))

# %%
# Probabilities are easier still. These are of a typical herd, whose effect is 0 ...

ax = cases.plot_effects("period")

# %%
# ... and these of a herd that has not been seen: the spread of herds comes on top.

ax = cases.plot_effects("period", groups="new")

# %%
# Which herds are worse? Their effects are pulled towards the average, the small ones most.

ax = cases.plot_caterpillar()

# %%
# How much do herds matter? On the latent scale of the logit the residual variance is pi^2 / 3, and
# the share of the variance that lies between herds is their intraclass correlation.

cases.icc()

# %%
# Does the model fit? Replicated data from the posterior beside the data.

ax = cases.plot_ppc(seed=1)

# %%
# Ticks on grouse chicks
# ----------------------
#
# Ticks on the heads of red grouse chicks: 403 chicks in 118 broods at 63 locations, over three
# years. Counts of parasites vary more than a Poisson distribution allows, so that every chick has
# an effect of its own (``INDEX``) besides its brood's and location's.

ticks = bm.load_dataset("grouseticks")
ticks["cHEIGHT"] = ticks["HEIGHT"] - ticks["HEIGHT"].mean()
TICKS = "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)"
ticks_ml = bm.glmer(TICKS, ticks, family="poisson")
ticks_ml

# %%
# Three crossed and nested factors and 584 group effects are sampled together with the
# coefficients.

grouse = bm.fit(TICKS, ticks, "poisson", seed=1)
grouse.compare()

# %%
# With a log link, exponentiated coefficients are ratios of rates. A hundred metres higher up, at
# the same place and in the same year, there are far fewer ticks:

height = grouse.posterior.fixef.sel(coefficient="cHEIGHT")
ratio = np.exp(100 * height)
low, median, high = (float(ratio.quantile(q)) for q in (0.05, 0.5, 0.95))
print(
    f"100 m higher: {median:.2f} times as many ticks (90% interval {low:.2f} to {high:.2f})"
)

# %%
# Where do the differences come from: chicks, broods or locations?

panels = grouse.plot_variance()

# %%
# Is the effect of every chick needed? Without it, counts given brood and location would be Poisson.
# Randomised quantile residuals and the dispersion, each in every draw, say that they are not.

plain = bm.fit(
    "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | LOCATION)", ticks, "poisson", seed=1
)
plain.residual_checks().counts

# %%
# Another way to allow for it is the negative binomial, whose ``reciprocal_dispersion`` is the smaller
# the more the counts vary: no effect for every chick, one parameter instead.

NEGATIVE = "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | LOCATION)"
negative = bm.fit(NEGATIVE, ticks, "neg_binomial_2", seed=1)
negative

# %%
# How often every number of ticks occurs, and how often the model says: a rootogram.

ax = negative.plot_ppc(seed=1, root=True)

# %%
# The coefficients are about *broods and places*, where years and heights differ, and are the same in
# all three models. What changes is where the variation is: the plain Poisson, in which chicks of one
# brood can differ by chance only, leaves a larger share of it to broods than the others do.

bm.table({"every chick": grouse, "negative binomial": negative, "plain Poisson": plain})
