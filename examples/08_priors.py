"""
Priors, and what they imply
===========================

A multilevel model needs a prior for every coefficient, for the residual standard deviation and for
each covariance matrix. With many groups one hardly notices, with few groups the prior is part of
the answer. This page looks at the defaults, at what they predict before any data are seen, at
priors of your own, and at the question reviewers ask: did it matter?
"""

# sphinx_gallery_start_ignore
import page  # noqa: F401  started as a script, prints what a notebook would show and saves the pictures

# sphinx_gallery_end_ignore
import matplotlib.pyplot as plt
import pandas as pd

import bayesmlm as bm

gcse = bm.load_dataset("gcsemv")
FORMULA = "course ~ 1 + female + (1 + female | school)"
fit = bm.fit(FORMULA, gcse, seed=1)

# %%
# The defaults
# ------------
#
# They are those of rstanarm's ``stan_lmer()``: wide normal priors for coefficients, an exponential
# one for sigma, each scaled by the standard deviations of the data; and for covariance matrices
# ``decov``, which splits a total variance between intercepts and slopes and leaves all correlations
# equally probable. The last lines say it in marks.

fit.prior_summary()

# %%
# Before any data
# ---------------
#
# ``prior_only=True`` (rstanarm's ``prior_PD``) leaves out the likelihood: a fit whose draws come
# from the prior. All verbs work on it. The prior for the spread between schools has a median of 5
# to 6 marks, and as printed above it reaches beyond 60.

before = bm.fit(FORMULA, gcse, prior_only=True, seed=1)
before

# %%
# What kind of marks do such priors make? Draw whole data sets. Marks lie between 0 and 100; a good
# part of the simulated ones do not. Default priors know the *scale* of the data but not what a mark
# is. That is harmless with 1,725 pupils.

marks = bm.prior_predictive(FORMULA, gcse, draws=200, seed=1)
outside = ((marks < 0) | (marks > 100)).mean().item()
print(f"simulated marks below 0 or above 100: {100 * outside:.0f}%")

# %%
# Priors of your own
# ------------------
#
# Suppose you would have known before: average marks between 50 and 90 or so, a difference between
# the sexes of no more than 20 marks, schools that differ by some 10 marks, and no very strong
# correlations. Each statement is one line; the names are those of the printed tables. Priors that
# you give are taken as they are, without scaling.

KNOWN = {
    "(Intercept)": bm.normal(70, 10),
    "femaleF": bm.normal(0, 10),
    "sigma": bm.half_normal(20),
    "school": bm.lkj(2, sd=bm.half_normal(10)),
}
print("outside 0 to 100:", end=" ")
informed_marks = bm.prior_predictive(FORMULA, gcse, priors=KNOWN, draws=200, seed=1)
print(f"{100 * ((informed_marks < 0) | (informed_marks > 100)).mean().item():.0f}%")

fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
simulated = {
    "default priors": (marks, "#D55E00"),
    "your own": (informed_marks, "#0072B2"),
}
for label, (values, color) in simulated.items():
    ax.hist(
        values.values.ravel(),
        bins=range(-150, 301, 5),
        density=True,
        histtype="step",
        color=color,
        label=label,
    )
ax.axvspan(0, 100, color="0.92", zorder=0)
ax.set(xlabel="simulated marks (shaded: possible ones)", yticks=[])
_ = ax.legend(frameon=False)

# %%
# 73 schools: it does not matter
# ------------------------------
#
# The fits are the same to within a fraction of their standard errors.

informed = bm.fit(FORMULA, gcse, priors=KNOWN, seed=1)
bm.table({"default": fit, "your own": informed, "REML": fit.reference()})

# %%
# Where did the data move the prior? ``narrowing`` is 1 if the posterior interval has shrunk to
# nothing beside the prior's.

informed.prior_posterior().filter(regex="parameter|low|high|narrowing").round(2)

# %%
# As pictures, with the prior as a dashed line.

panels = informed.plot_prior_posterior()

# %%
# Five groups: it does
# --------------------
#
# Schools in England by the rating of the inspectorate: five ratings, so that the standard deviation
# between them is to be learned from five numbers. Three priors for it, from generous to firm. Fixed
# effects and sigma do not care. The spread between ratings moves, and the width of its interval
# more than its centre.

schools = bm.load_dataset("england_schools").query("ATT8SCR > 0")
RATINGS = "ATT8SCR ~ 1 + (1 | OFSTEDRATING)"
firm, generous = bm.half_normal(5), bm.half_cauchy(25)
ratings = {"default": bm.fit(RATINGS, schools, seed=1)}
for name, sd in {"half-normal(5)": firm, "half-Cauchy(25)": generous}.items():
    priors = {"OFSTEDRATING": bm.lkj(1, sd=sd)}
    ratings[name] = bm.fit(RATINGS, schools, priors=priors, seed=1)
bm.table(ratings, show="interval", prob=0.9)

# %%
# Sensitivity without refitting
# -----------------------------
#
# ``prior_sensitivity`` raises the prior to a power slightly off 1, and then the likelihood, and
# measures how much each posterior moves. Values above 0.05 matter. If both do, prior and data may
# pull in different directions; if only the prior does, the data say little.

columns = ["parameter", "prior", "likelihood", "diagnosis"]
found = {
    name: ratings[name].prior_sensitivity()[columns]
    for name in ("default", "half-normal(5)")
}
pd.concat(found).round(2)

# %%
# The average and sigma hardly feel their priors; the spread between ratings does, under both.
# Half-normal(5) counts four times as much as the data: it gives a spread above 10 points a
# probability of 5 percent, while REML puts it at 9. That is worth knowing before publishing, and
# reason enough to ask where the 5 came from. Under the default the data count for more than the
# prior, which still matters, as with five groups any prior does.
#
# And the correlation between intercepts and slopes? It has its own regularisation: ``lkj(1)``
# leaves all correlations equally probable, larger values prefer small ones. Only for few groups, or
# slopes that hardly vary, does this change much.
#
# In practice
# -----------
#
# 1. Look at ``prior_summary()``, at least at its last lines.
# 2. With fewer than ten groups give the standard deviation a prior you can defend, in units of the
#    outcome.
# 3. Report ``prior_sensitivity()`` or a second fit.
# 4. Do not choose a prior for making a singular fit go away. Choose it for what you know.
