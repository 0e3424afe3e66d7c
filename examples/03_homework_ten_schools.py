"""
Ten schools: dummies, random intercepts, random slopes
======================================================

Does homework help? In these ten schools it depends on the school, and on the model. Kreft and de
Leeuw picked them from an American survey (NELS:88) for their book of 1998 because their slopes
disagree: in some, pupils who do more homework do much better in mathematics, in others worse. The
page goes from one regression for all to random slopes, and asks at each step what ten groups can
tell and what has to be assumed.
"""

# sphinx_gallery_start_ignore
import page  # noqa: F401  started as a script, prints what a notebook would show and saves the pictures

# sphinx_gallery_end_ignore
import numpy as np

import bayesmlm as bm

imm = bm.load_dataset("imm10")
imm.groupby("schnum")[["math", "homework", "meanses", "public"]].mean().assign(
    n=imm.groupby("schnum").size()
).round(1)

# %%
# Pool everything
# ---------------
#
# One regression line for 260 pupils. Each unit of homework goes with 3.6 points, and the standard
# error looks small. It assumes that pupils of one school are as different from each other as pupils
# of different schools.

ols = bm.lm("math ~ homework", imm)
ols

# %%
# Schools as dummies
# ------------------
#
# Nine dummies give every school its own level, and compare pupils within schools only. The slope
# falls to 2.1: a good part of what looked like homework was that pupils in better schools do more
# of it.

dummies = bm.lm("math ~ homework + factor(schnum)", imm)
dummies

# %%
# Schools as a sample
# -------------------
#
# With a random intercept the ten levels are draws from a distribution whose spread is estimated.
# The slope is nearly that of the dummies (2.2), because with 20 and more pupils in each school
# there is little left to borrow. The gain is elsewhere: the model has a place for predictors of
# schools, and for a school that is not among the ten.

INTERCEPTS = "math ~ homework + (1 | schnum)"
SLOPES = "math ~ homework + (homework | schnum)"
intercepts, slopes = bm.fit(INTERCEPTS, imm, seed=1), bm.fit(SLOPES, imm, seed=1)
bm.table(
    {
        "pooled": ols,
        "dummies": dummies,
        "lmer": intercepts.reference(),
        "Bayes": intercepts,
    }
)

# %%
# Let slopes differ
# -----------------
#
# Each school by itself first. Five slopes are positive and large, four negative, and the biggest
# school has a small one.

alone = bm.no_pooling(SLOPES, imm)
alone.query("term == 'homework'")[["level", "n", "estimate", "std_error"]].round(1)

# %%
# The random-slope model in one page, REML and posterior:

slopes.compare()

# %%
# The average slope is 2.0, and its standard error has become four times as large. It is now the
# mean of a distribution with a standard deviation of nearly 5, known from ten draws. Is the effect
# of homework positive? On average over schools like these, probably; in a school drawn at random it
# is little better than a bet.

new_school = slopes.as_frame(["homework", "Sigma[schnum:homework,homework]"])
spread = np.sqrt(new_school["Sigma[schnum:homework,homework]"])
drawn = np.random.default_rng(1).normal(new_school["homework"], spread)
print(f"P(average slope > 0)       = {(new_school['homework'] > 0).mean():.2f}")
print(f"P(slope of a new school > 0) = {(drawn > 0).mean():.2f}")

# %%
# Kenward and Roger's approximation gives the frequentist version: nine degrees of freedom, ten
# schools less one.

slopes.reference().summary(ddf="kenward-roger")

# %%
# The picture is the famous one. Dots are pupils, lines are partially pooled; the steep ones start
# low and the falling ones start high, a correlation of -0.7 or -0.8.

ax = slopes.plot_groups("homework", highlight=["4", "5", "7"], own_range=True)

# %%
# Part of that correlation is where zero lies. ``homework`` counts from 0, at the edge of the data,
# and lines that turn around the middle of the data differ at its edge. Centred, REML has the same
# slopes and the same likelihood, and the posterior almost (its prior does not follow the shift),
# while intercepts, their spread and the correlation are others: where homework is average, schools
# with higher scores have the *steeper* lines.

centred = bm.fit("math ~ center(homework) + (center(homework) | schnum)", imm, seed=1)
print(slopes.varcorr(), centred.varcorr(), sep="\n\n")

# %%
# What ten groups can tell
# ------------------------
#
# A standard deviation estimated from ten schools is uncertain by a third or so, in either
# tradition. The densities are the posterior's, the marks REML's estimate with its profile interval.

panels = slopes.plot_variance()

# %%
# Does the prior matter? rstanarm's default says little about a correlation. LKJ(4) says instead
# that strong ones are rare, and a half-normal prior keeps the slopes' spread to a few points per
# unit of homework.

informed = bm.fit(
    SLOPES, imm, priors={"schnum": bm.lkj(4, sd=bm.half_normal(5))}, seed=1
)
bm.table({"default": slopes, "LKJ(4)": informed})

# %%
# The average slope does not move and the standard deviations do by half of their uncertainty; the
# correlation moves by more than all of it, towards zero. That is the one number here for which ten
# schools are too few, and a paper should say so.
#
# Background of pupils and schools
# --------------------------------
#
# Status of the pupil's family (``ses``) and its mean in the school (``meanses``) explain some of
# the levels. But look at the correlation: REML puts it at -0.99, next to the edge. A covariance
# matrix that is almost singular is what a random-slope model with few groups drifts towards when
# predictors take variance away from it.

BACKGROUND = "math ~ homework + ses + meanses + (homework | schnum)"
background = bm.fit(BACKGROUND, imm, seed=1)
background.compare()

# %%
# The posterior cannot end on the edge, and puts the correlation in an interval. What the data do
# not say is left to the prior, and it shows as width. There is a page on fits that are singular
# outright.
#
# Which model predicts best? Random slopes, clearly. Background may help on top, by a difference of
# which the standard error is more than half.

bm.loo_compare(
    {"intercepts": intercepts, "slopes": slopes, "slopes and background": background}
)

# %%
# And a caution that no model can give: the ten schools were picked by hand because their slopes
# differ. The spread between them is no estimate for schools at large, whichever way it is computed.
