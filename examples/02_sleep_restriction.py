"""
Ten days of short nights: varying intercepts and slopes
=======================================================

Eighteen people spent three hours a night in bed, and each day their reaction time was measured
(Belenky et al. 2003). lme4 comes with these data, and the article that describes it (Bates,
Mächler, Bolker & Walker 2015, Journal of Statistical Software 67(1)) fits them with an intercept
and a slope for every person. Here both fits of that model stand side by side: how ``|`` differs
from ``||``, what profile intervals and posterior intervals say of the same standard deviations, and
how well the model predicts a person whom it has never seen.
"""

# sphinx_gallery_start_ignore
import page  # noqa: F401  started as a script, prints what a notebook would show and saves the pictures

# sphinx_gallery_end_ignore
import pandas as pd

import bayesmlm as bm

sleep = bm.load_dataset("sleepstudy")
sleep.head(3)

# %%
# What does the formula mean?
# ---------------------------
#
# ``(Days | Subject)`` is short for ``(1 + Days | Subject)``: intercepts and slopes differ between
# people, and may be correlated. ``bm.explain`` fits nothing; it spells a formula out for the data
# at hand.

CORRELATED = "Reaction ~ Days + (Days | Subject)"
bm.explain(CORRELATED, sleep)

# %%
# The REML fit, with Satterthwaite's degrees of freedom as lmerTest prints them. The effect of a day
# has 17 degrees of freedom: it varies between people, so that what counts is the number of people
# and not that of the 180 measurements.

ref = bm.lmer(CORRELATED, sleep)
ref.summary(ddf="satterthwaite")

# %%
# The same model with a posterior. It takes less than a second, because fixed effects and person
# effects are integrated out exactly, and NUTS has only the standard deviations, the correlation and
# sigma to explore.

fit = bm.fit(CORRELATED, sleep, seed=1)
fit

# %%
# Beside each other. The fixed effects are the same. The variance components differ by up to half a
# posterior standard deviation: with 18 people the mode of a skewed likelihood (REML) and the median
# of a skewed posterior are two places. The posterior interval of the slope's standard deviation
# reaches from 5 to 10 milliseconds a day.

fit.compare(ref)

# %%
# Intervals for standard deviations
# ---------------------------------
#
# ``lmer`` prints no standard errors for standard deviations, for a good reason: an estimate plus or
# minus two of them would often reach below zero. ``confint`` profiles the likelihood instead. Its
# interval for the correlation covers most of what a correlation can be.

profile = ref.confint(level=0.90)
posterior = fit.tidy(conf_level=0.90)[["term", "conf_low", "conf_high"]]
print(profile.round(2), posterior.round(2), sep="\n\n")

# %%
# As pictures: the posterior density of each component, with the REML estimate and its profile
# interval as marks.

panels = fit.plot_variance(ref)

# %%
# The profile itself. A straight line would mean that estimate ± 1.64 standard errors is as good as
# the profile interval. The lines of the standard deviations bend, which is the frequentist's view
# of the skewed densities above.

panels = ref.plot_profile()

# %%
# One bar or two?
# ---------------
#
# The estimated correlation is near zero, and ``(Days || Subject)`` sets it to zero. That saves a
# parameter, but it is a statement about day 0: intercepts are reaction times on day 0, and were
# days counted from the middle of the study, intercepts and slopes would be correlated. Use ``||``
# where zero is a natural origin, as it is here.

UNCORRELATED = "Reaction ~ Days + (Days || Subject)"
PARALLEL = "Reaction ~ Days + (1 | Subject)"
free, parallel = bm.fit(UNCORRELATED, sleep, seed=1), bm.fit(PARALLEL, sleep, seed=1)
bm.table({"parallel lines": parallel, "||": free, "|": fit, "|, REML": ref})

# %%
# If all lines are parallel, the effect of a day seems to be known twice as well: its standard error
# is 0.8 instead of 1.7. That is the mistake varying slopes protect from. Ten days of one person are
# not ten independent pieces of evidence on how people in general react.
#
# The likelihood-ratio test keeps the slopes and does not need the correlation.

bm.anova(parallel.reference(), free.reference(), ref)

# %%
# Leave one measurement out, or one person?
# -----------------------------------------
#
# Cross-validation needs to know what is new. A new day of a person we know is the easier question;
# leaving out single rows answers it. Where importance sampling cannot be trusted for a row (Pareto
# k above 0.7), it is left out by fitting again, which ``k_threshold`` asks for.

models = {"|": fit, "||": free, "parallel": parallel}
bm.loo_compare({name: model.loo(k_threshold=0.7) for name, model in models.items()})

# %%
# The harder question is a person who has not been measured at all. ``loo("Subject")`` leaves out
# all ten rows of a person together, with the person's own intercept and slope integrated out. Most
# of the advantage of varying slopes remains: they say how the lines of other people may run.

by_person = {
    name: model.loo("Subject", k_threshold=0.7) for name, model in models.items()
}
bm.loo_compare(by_person)

# %%
# Who is hard to predict? Each person's contribution to the sum. Subject 332 has one extreme day,
# subject 308 the steepest line.

people = by_person["|"].pointwise[["level", "elpd"]].set_index("level")["elpd"]
people.sort_values().head(4).round(1)

# %%
# Eighteen lines
# --------------
#
# In grey each person's data, with the lines of complete, no and partial pooling. Everyone has ten
# days, so all shrink alike, and little: the 10 points of a person say much more on the slope than
# the other 17 people do.

panels = fit.plot_pooling_panels(
    levels=["308", "309", "310", "330", "331", "332", "335", "372"]
)

# %%
# Intercepts and slopes together: the effects of the 18 people, and the contours of the normal
# distribution they are drawn from. The many thin contours are posterior draws; that they lean to
# either side is what "the correlation is not known" looks like.

ax = fit.plot_ellipses(ref=ref)

# %%
# A person not in the study
# -------------------------
#
# The inner line is what is expected of an average person; the band is for a person drawn anew,
# whose intercept and slope are unknown. For planning a study the wide band matters, for the general
# effect of short nights the average does.

ax = fit.plot_effects("Days", groups="new", points=True)

# %%
# In numbers, for the last day: the expected reaction time of somebody new, and an interval for one
# measurement.

somebody = pd.DataFrame({"Days": [0, 9], "Subject": ["new", "new"]})
print(
    fit.predict(somebody, interval=0.9).round(0),
    fit.predictive_interval(somebody).round(0),
    sep="\n\n",
)

# %%
# What the model does not know
# ----------------------------
#
# Two things. Some days are far off any line: residuals have heavier tails than a normal
# distribution.

panels = fit.plot_check(label="Subject")

# %%
# And days 0 and 1 were for training: sleep was restricted only after day 2. Without these two days
# the baseline is day 2, and nothing in the formula needs to change but the data. The slope is
# larger by one millisecond, half its standard error.

later = fit.update(data=sleep.query("Days >= 2").assign(Days=lambda d: d["Days"] - 2))
bm.table({"all days": fit, "from day 2": later})
