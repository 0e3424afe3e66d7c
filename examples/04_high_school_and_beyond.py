"""
High School and Beyond: why do slopes differ between schools?
=============================================================

7,185 pupils in 160 American high schools, public and Catholic: the data with which Raudenbush and
Bryk's book (*Hierarchical Linear Models*, 2002) teaches multilevel models, step by step from the
empty model to one in which the school's intercept *and* its slope have predictors of their own. A
predictor of a slope is a cross-level interaction.

The steps below are the five models of the usual practical. Each is one formula, fitted with a
posterior, with lme4's numbers beside it.
"""

# sphinx_gallery_start_ignore
import page  # noqa: F401  started as a script, prints what a notebook would show and saves the pictures

# sphinx_gallery_end_ignore
import matplotlib.pyplot as plt
import pandas as pd

import bayesmlm as bm

hsb = bm.load_dataset("hsb")
hsb[["SCHOOL", "MATHACH", "SES", "MEANSES", "cses", "SECTOR"]].head(3)

# %%
# ``MATHACH`` is achievement in mathematics. Socio-economic status is there twice: ``MEANSES`` is
# the mean of the pupil's school, ``cses`` the pupil's distance from it. Splitting a predictor like
# this keeps two questions apart, whether pupils of richer homes do better than others *in their
# school*, and whether schools of richer pupils do better.

MODELS = {
    "Mod1": "MATHACH ~ (1 | SCHOOL)",
    "Mod2": "MATHACH ~ MEANSES + (1 | SCHOOL)",
    "Mod3": "MATHACH ~ cses + (1 + cses | SCHOOL)",
    "Mod4": "MATHACH ~ cses + MEANSES + SECTOR + cses*MEANSES + cses*SECTOR + (1 + cses | SCHOOL)",
    "Mod5": "MATHACH ~ cses + MEANSES + SECTOR + cses*MEANSES + cses*SECTOR + (1 | SCHOOL)",
}
fits = {name: bm.fit(formula, hsb, seed=1) for name, formula in MODELS.items()}
bm.table(fits)

# %%
# And by REML, as ``lmer`` fits them. With 160 schools the two tables are hard to tell apart, except
# for the spread of the slopes in Mod4, of which below.

bm.table({name: fit.reference() for name, fit in fits.items()})

# %%
# How much do schools differ? (Mod1)
# ----------------------------------
#
# 18 percent of the variance in achievement lies between schools.

fits["Mod1"].icc().round(3)

# %%
# Means as outcomes (Mod2)
# ------------------------
#
# A school's mean status predicts its mean achievement. How much of the variance *between schools*
# is thereby accounted for? The change is computed from the draws of both fits, so it comes with an
# interval. About seven tenths; the variance within schools stays as it was, because nothing on the
# level of pupils was added.

fits["Mod2"].proportional_change(fits["Mod1"]).round(3)

# %%
# Slopes as random (Mod3)
# -----------------------
#
# Within an average school one unit of status is worth 2.2 points. Schools differ in this: a
# standard deviation of 0.8 means that in most schools the slope is between 0.5 and 3.9. Thin lines
# are schools.

ax = fits["Mod3"].plot_groups("cses", own_range=True, points=False)

# %%
# Slopes as outcomes (Mod4)
# -------------------------
#
# Why do slopes differ? Two candidates, mean status and sector, enter the equation of the intercept
# and that of the slope. In the formula the second shows as products with ``cses``. Read the rows
# like this:
#
# - ``cses``: the slope in a public school of average status, 2.9;
# - ``cses:SECTOR``: in Catholic schools it is lower by 1.6. Family background matters less there;
# - ``cses:MEANSES``: in schools of higher status it is steeper;
# - ``SECTOR``, ``MEANSES``: what sector and mean status do to the pupil with the average status of
#   the school.

fits["Mod4"].compare()

# %%
# Coefficients with their intervals; black marks are REML with its own. They are 160 schools' worth
# of evidence, and the priors are far too wide to matter.

ax = fits["Mod4"].plot_coefficients()

# %%
# Is there any spread of slopes left? (Mod5)
# ------------------------------------------
#
# The slopes' standard deviation fell from 0.8 to 0.3 or 0.4. REML has one number, 0.32; the
# posterior says that anything from 0.1 to 0.7 would do. The skewed density below explains why a
# single number tells so little, and why the correlation is not known at all.

panels = fits["Mod4"].plot_variance()

# %%
# Without random slopes (Mod5) the fit is as good. A likelihood-ratio test and cross-validation
# agree, and so do the two columns of fixed effects above. Leaving them out is a matter of taste
# here; keeping them costs nothing and guards the standard errors of the interactions. Left out are
# whole schools, because the cross-level interactions are about what schools one does not know are
# like.

bm.anova(fits["Mod5"].reference(), fits["Mod4"].reference())

# %%

bm.loo_compare({name: fits[name] for name in ("Mod3", "Mod4", "Mod5")}, group="SCHOOL")

# %%
# What the interactions look like
# -------------------------------
#
# Lines for schools of low, medium and high mean status (the quartiles of the 160 schools), left
# public, right Catholic. ``re_formula="~0"`` asks for the school in the middle of all schools with
# these predictors.

quartiles = hsb.drop_duplicates("SCHOOL")["MEANSES"].quantile([0.25, 0.5, 0.75])
LINES = {"low": ":", "medium": "--", "high": "-"}
SECTORS = ["public schools", "Catholic schools"]

figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
for sector, ax in enumerate(axes):
    for name, status in zip(LINES, quartiles, strict=True):
        grid = pd.DataFrame({"cses": [-1.5, 1.5], "MEANSES": status, "SECTOR": sector})
        line = fits["Mod4"].predict(grid, re_formula="~0", interval=0.9)
        label = f"{name} MEANSES ({status:.2f})"
        ax.plot(
            grid["cses"], line["estimate"], LINES[name], color="#0072B2", label=label
        )
        band = {"color": "#0072B2", "alpha": 0.15, "linewidth": 0}
        ax.fill_between(grid["cses"], line["conf_low"], line["conf_high"], **band)
    ax.set(title=SECTORS[sector], xlabel="cses: status relative to the school")
axes[0].set_ylabel("expected MATHACH")
_ = axes[0].legend(frameon=False)

# %%
# In words: in Catholic schools the lines are flatter, and a poor pupil's expectation differs less
# from a rich one's. How sure is the difference between sectors for a pupil 1 unit below the
# school's mean? A contrast is an expression in the coefficients, and its posterior needs no delta
# method.

fits["Mod4"].hypothesis(["SECTOR - cses:SECTOR > 0", "SECTOR + cses:SECTOR > 0"])

# %%
# A pupil one unit below the school's mean does better in a Catholic school by 2.9 points; one unit
# above it the sign is open and the size small. (The comparison is one of pupils who went there, not
# of what would happen if they moved.)
#
# Ranking schools
# ---------------
#
# Schools by their mean achievement, and by what is left when status and sector are taken into
# account. The second is what is called value added, though with one measurement per pupil the word
# promises too much.

raw = fits["Mod1"].league_table("SCHOOL")
adjusted = fits["Mod5"].league_table("SCHOOL")
adjusted

# %%
# The two rankings agree loosely, and each rank is uncertain by itself: the last picture shows the
# second ranking with the interval of every place. For about two schools in three it is open whether
# they belong to the upper or the lower half.

ranks = raw.frame[["level", "rank"]].merge(
    adjusted.frame[["level", "rank"]], on="level", suffixes=("_raw", "_adjusted")
)
fig, ax = plt.subplots(figsize=(4.5, 4.5), layout="constrained")
ax.plot(ranks["rank_raw"], ranks["rank_adjusted"], "o", markersize=4, color="#0072B2")
ax.set(xlabel="rank by mean achievement", ylabel="rank given status and sector")
correlation = ranks[["rank_raw", "rank_adjusted"]].corr().iloc[0, 1]
_ = ax.set_title(f"correlation {correlation:.2f}")

# %%

ax = fits["Mod5"].plot_ranks("SCHOOL")
