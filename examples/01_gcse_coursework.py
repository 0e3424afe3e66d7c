"""
Coursework in 73 schools: from one mean to varying slopes
=========================================================

Pupils of the same school have more in common than pupils of different schools. This page takes the
coursework marks of a science examination (GCSE, England, 1989) from a model that knows only schools
to one in which the difference between girls and boys is another in each school. It is the example
with which rstanarm's tutorial on multilevel models begins; if you know ``lmer()`` and
``stan_lmer()``, you know the formulas below.

You will see what complete, no and partial pooling are, how to read a Bayesian fit beside the one
lme4 would print, what the priors say, whether the model makes data like these, and how sure one can
be that one school does better than another.
"""

# sphinx_gallery_start_ignore
import page  # noqa: F401  started as a script, prints what a notebook would show and saves the pictures

# sphinx_gallery_end_ignore
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import bayesmlm as bm

gcse = bm.load_dataset("gcsemv")
gcse.head()

# %%
# ``course`` is the mark in percent. ``female`` is the sex with boys as the reference, so that
# coefficients will be called ``femaleF``. The marks of 180 pupils are missing; every fit leaves
# these rows out and says so.
#
# Schools, and how many pupils each has, matter most for what follows: one school has 94, another a
# single one.

per_school = (
    gcse.dropna(subset="course")
    .groupby("school", observed=True)["course"]
    .agg(["size", "mean"])
)
per_school.describe().loc[["count", "min", "50%", "max"]].round(1)

# %%
# Three answers to "how good is this school?"
# -------------------------------------------
#
# *Complete pooling* says that all schools are alike: one mean for 1,725 pupils. *No pooling*
# believes each school by itself: 73 means. The first ignores the schools, and the second makes most
# of the small ones.

pooled = bm.complete_pooling("course ~ 1 + (1 | school)", gcse)
alone = bm.no_pooling("course ~ 1 + (1 | school)", gcse).set_index("level")
alone.loc[["22520", "68137", "20920", "84707"], ["n", "estimate", "std_error"]].round(1)

# %%
# *Partial pooling* is the multilevel model. School means are spread around a common mean with a
# standard deviation that is estimated too, and this decides how much a school with few pupils
# borrows from all others. ``bm.fit`` is ``stan_lmer()``: it takes lme4's formula, rstanarm's
# default priors, and draws from the posterior with NUTS.

m1 = bm.fit("course ~ 1 + (1 | school)", gcse, seed=1)
m1

# %%
# Pupils of one school differ from each other by 14 points (``sigma``), schools by 9. The share of
# the variance that lies between schools, the intraclass correlation, is a number with a posterior
# of its own: somewhere near 30 percent.

m1.icc().round(2)

# %%
# A picture of both. Left, each school's own mean with one standard error, right what partial
# pooling makes of it, over the number of pupils. The line is the mean of all pupils (complete
# pooling). Schools with few pupils move most, and their intervals become shorter: they did not get
# more data, but the other 72 schools say what a school can be like.

partial = m1.posterior_epred(alone.rename_axis("school").reset_index()[["school"]])
moments = partial.mean(("chain", "draw")), partial.std(("chain", "draw"))

figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 4), sharex=True, sharey=True, layout="constrained"
)
for ax, mean, error, title in [
    (left, alone["estimate"], alone["std_error"], "no pooling"),
    (right, *moments, "partial pooling"),
]:
    ax.axhline(pooled.fixef()["(Intercept)"], color="black", linewidth=1)
    ax.errorbar(
        alone["n"], mean, error, fmt="o", markersize=4, linewidth=0.8, color="#0072B2"
    )
    ax.set(title=title, xscale="log", xlabel="pupils in the school (log scale)")
_ = left.set_ylabel("mean of coursework ± 1 standard error")

# %%
# Girls and boys
# --------------
#
# The second model lets girls differ from boys, by the same amount in all schools; in the third this
# difference varies between schools too, and may be correlated with the schools' intercepts. Below
# each Bayesian fit stands the maximum likelihood fit: ``bm.lmer`` is lme4's function.

M2 = "course ~ 1 + female + (1 | school)"
M3 = "course ~ 1 + female + (1 + female | school)"
m2, m3 = bm.fit(M2, gcse, seed=1), bm.fit(M3, gcse, seed=1)
ml2, ml3 = bm.lmer(M2, gcse, reml=False), bm.lmer(M3, gcse, reml=False)
bm.table({"M2, lmer": ml2, "M2": m2, "M3, lmer": ml3, "M3": m3})

# %%
# Girls are 7 points ahead. What changes from the second to the third model is not this number but
# what it is said about. Its standard error grows by more than half: if schools differ, 73 schools
# tell less of the average difference than 1,725 pupils seemed to. And the standard deviation of the
# difference, 7 points, is as large as the difference itself, so that there are schools in which
# boys are ahead.
#
# lme4's page for the third model, as a reminder of where these numbers are in it:

ml3.summary()

# %%
# The two fits side by side, with the distance between them in posterior standard deviations. With
# 73 schools the priors have next to no say, and the verdict is the same in every line. What the
# Bayesian column adds are the spread and the interval of the standard deviations and of the
# correlation, for which ``lmer`` prints an estimate only.

m3.compare(ml3)

# %%
# Intervals for the standard deviations exist on the frequentist side too, by profiling the
# likelihood. They are less well known than they should be, and here they agree with the posterior.

ml3.confint(level=0.90).round(2)

# %%
# What the priors were
# --------------------
#
# Nobody chose a prior above. The defaults are rstanarm's, scaled by the data, and it is good
# practice to look at what they say: the last lines translate them into marks. A standard deviation
# of the schools' means anywhere between almost 0 and the whole scale was thought possible. Such
# priors keep the sampler away from nonsense and leave the answer to the data.

m3.prior_summary()

# %%
# Were the chains long enough? Rhat compares the four chains (1 is perfect), the effective sample
# size says what the 4,000 draws are worth. If something were wrong, ``print(m3)`` would say so in a
# line that begins with ``!``.

m3.diagnostics()

# %%
# How schools move
# ----------------
#
# Each arrow begins where a school's own least-squares fit would be (its mean of boys, its
# difference of girls), and ends at the partially pooled estimate. The ends lie along a falling
# line, the correlation of -0.5: where boys do well, girls are less ahead.

ax = m3.plot_shrinkage()

# %%
# Eight schools of different sizes, with the lines of the three ways to pool. In the large schools
# partial pooling follows the data; in the small ones it stays near the line of all schools.

panels = m3.plot_pooling_panels()

# %%
# Does the model make data like these?
# ------------------------------------
#
# Draw marks from the fitted model and lay the real ones over them. The real marks are skewed to the
# left and stop at 100; the normal distribution knows neither. For the means that this page is about
# that is harmless; for statements on single marks near 100 it would not be.

ax = m3.plot_ppc()

# %%
# The same in numbers: the largest mark that the model expects is well above 100, always.

m3.pp_check(["mean", "sd", "skewness", "max"]).round(2)

# %%
# Which model predicts best?
# --------------------------
#
# Two traditions with one answer. Leave-one-out cross-validation asks which model predicts a pupil
# whom it has not seen, likelihood-ratio tests whether the data are too unlikely under the smaller
# model. The test of the varying slope has a zero variance as its null hypothesis, the edge of what
# a variance can be; the corrected p value stands below the table.

bm.loo_compare(m1, m2, m3, names=["M1", "M2", "M3"])

# %%

bm.anova(bm.lmer("course ~ 1 + (1 | school)", gcse, reml=False), ml2, ml3)

# %%
# Is this school better than that one?
# ------------------------------------
#
# Here the posterior earns its keep: any function of the parameters has draws, and so has a
# difference of two schools. Two schools are near the bottom. One has 59 pupils, the other 7. The
# estimates for boys are a point apart, but how sure is the order? (The answer of a significance
# test, "not significantly different", would be the same whether we knew much about both or nothing
# about either.)

boys = m3.posterior_epred(
    pd.DataFrame({"school": ["20920", "22520", "50631"], "female": "M"})
)
small, large, best = (boys.isel(row=i).values.ravel() for i in range(3))
print(f"P(school 20920 above 22520) = {np.mean(small > large):.2f}")
print(f"P(school 50631 above 22520) = {np.mean(best > large):.2f}")
print(
    "difference 20920 - 22520, 90% interval:",
    np.quantile(small - large, [0.05, 0.95]).round(1),
)

# %%
# A league table for all schools does this for every pair at once, and most of its lines are
# uncertain. The caterpillar shows the schools' intercepts with posterior intervals; the open
# diamonds are lme4's ``ranef()``.

ax = m3.plot_caterpillar(column="(Intercept)", ref=ml3)

# %%
# The difference between girls and boys by school: how many schools is it in which boys are ahead?
# In each draw count the schools whose coefficient is below zero. The answer is a distribution, not
# a number read off 73 point estimates, which shrinkage has made too alike for counting.

both = [
    {"school": school, "female": sex} for school in per_school.index for sex in "MF"
]
marks = m3.posterior_epred(pd.DataFrame(both))
gap = marks.values[..., 1::2] - marks.values[..., 0::2]
ahead = (gap < 0).sum(axis=-1)
counted = (np.median(gap, axis=(0, 1)) < 0).sum()
low, middle, high = np.quantile(ahead, [0.05, 0.5, 0.95])
print(
    f"schools in which boys are ahead: {middle:.0f}, 90% interval {low:.0f} to {high:.0f}"
)
print(f"counting point estimates: {counted}")

# %%
# For the paper
# -------------
#
# ``report()`` writes the paragraphs that reviewers ask for: model, data, priors, sampling and
# estimates.

m3.report()
