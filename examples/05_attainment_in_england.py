"""
Attainment 8 in England: regions, authorities and Ofsted
========================================================

Attainment 8 is the average score of a school's pupils over eight subjects at age 16. This page
models the 2022-23 results of some 2,900 secondary schools in England, from the null model to one
with crossed and nested groups on a log scale: schools lie in local authorities, authorities in
regions, and the inspectorate's rating cuts across both. On the way one fit is singular, percentages
are read off a log model, and the question "what would have to change?" gets an interval.
"""

# sphinx_gallery_start_ignore
import page  # noqa: F401  started as a script, prints what a notebook would show and saves the pictures

# sphinx_gallery_end_ignore
import matplotlib.pyplot as plt
import numpy as np

import bayesmlm as bm

schools = bm.load_dataset("england_schools").query(
    "ATT8SCR > 0 and PTFSM6CLA1A > 0 and PERCTOT > 0 and PNUMEAL > 0"
)
schools["OFSTEDRATING"].value_counts(dropna=False)

# %%
# The rows kept are those of which logarithms can be taken. 59 schools have no rating and leave the
# models below, which every printed page says.
#
# Null model: five groups
# -----------------------
#
# Ratings as groups. More than half of the variance seems to lie between ratings, but with five
# ratings, two of them rare, the standard deviation between them is anything from 6 to 17 points and
# the intraclass correlation from a third to four fifths. REML's single numbers hide this.

null = bm.fit("ATT8SCR ~ 1 + (1 | OFSTEDRATING)", schools, seed=1)
null.compare()

# %%
# One predictor, in logarithms
# ----------------------------
#
# Attainment falls with the share of disadvantaged pupils (``PTFSM6CLA1A``), steeply at first and
# then less. With both in logarithms the line is straight, and its slope is an elasticity: 1 percent
# more disadvantaged pupils (1 percent of their share, not a percentage point) go with 0.17 percent
# less attainment. Ratings differ by their levels only.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for ax in axes:
    ax.plot(
        schools["PTFSM6CLA1A"], schools["ATT8SCR"], ".", markersize=2, color="#0072B2"
    )
    ax.set(xlabel="disadvantaged pupils (percent)")
axes[1].set(xscale="log", yscale="log")
axes[1].set_xticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
axes[1].set_yticks([20, 30, 40, 60, 80], ["20", "30", "40", "60", "80"])
axes[1].minorticks_off()
_ = axes[0].set_ylabel("Attainment 8")

# %%
# Coefficients of logarithms are small numbers. ``printed(digits=3)`` is R's ``print(fit, digits =
# 3)``.

intercepts = bm.fit(
    "log(ATT8SCR) ~ log(PTFSM6CLA1A) + (1 | OFSTEDRATING)", schools, seed=1
)
intercepts.printed(digits=3)

# %%
# A singular fit
# --------------
#
# Let the elasticity differ between ratings too. ``lmer`` says "boundary (singular) fit", and many
# papers drop the random slope at this point. The message below the page says what is at the
# boundary: a correlation of exactly 1.

slopes = bm.fit(
    "log(ATT8SCR) ~ log(PTFSM6CLA1A) + (log(PTFSM6CLA1A) | OFSTEDRATING)",
    schools,
    seed=1,
)
slopes.reference()

# %%
# ``doctor()`` explains. The REML lines of all ratings meet in one point, just beyond the left edge
# of the data: five lines are too few to tell two variances and a correlation apart. The posterior
# reports the correlation as unknown, from -0.7 to 0.9, instead of as 1. The ladder of simpler
# models, here by likelihood only, shows that not the slopes are too much, but the correlation.

slopes.doctor(refit=False)

# %%
# The lines of the ratings, straight in logarithms. Disadvantage goes with lower attainment in all
# of them, least so in the outstanding schools.

ax = slopes.plot_groups(
    "PTFSM6CLA1A",
    own_range=True,
    highlight=list(schools["OFSTEDRATING"].cat.categories),
)

# %%
# Crossed and nested
# ------------------
#
# The full model. ``(1 | gor_name/LANAME)`` is authorities within regions, ``(1 | OFSTEDRATING)``
# crosses them: every region has schools of (almost) every rating. Predictors are absence
# (``PERCTOT``), pupils whose first language is not English (``PNUMEAL``), pupils with low
# attainment at age 11 (``PTPRIORLO``), and whether schools select.

FULL = (
    "log(ATT8SCR) ~ log(PTFSM6CLA1A) + log(PERCTOT) + log(PNUMEAL) + PTPRIORLO + ADMPOL_PT"
    " + (1 | OFSTEDRATING) + (1 | gor_name/LANAME)"
)
full = bm.fit(FULL, schools, seed=1)
full.compare()

# %%
# Everything agrees with REML, with 151 authorities, 9 regions and 5 ratings. What differs is how
# well the three standard deviations are known. Authorities: narrow. Regions: a factor of three
# between the ends of the interval. Ratings: the same. Profile intervals say so too.

panels = full.plot_variance(profile=True)

# %%
# Of the variance that the predictors leave over, half is within all groups, and most of the rest
# between ratings. What is *between ratings* is of course partly what inspectors rate by.

full.icc().round(2)

# %%
# Percentages
# -----------
#
# A coefficient b of a predictor as it is means a factor of exp(b), that is 100 (exp(b) - 1) percent
# per unit. For a predictor in logarithms b itself is the elasticity. Both are functions of the
# parameters: transform the draws, then summarise.

draws = full.as_frame("beta")
effects = {
    "PTPRIORLO: 10 points more": np.exp(10 * draws["PTPRIORLO"]),
    "selective (against non-selective among selective)": np.exp(draws["ADMPOL_PTSEL"]),
    "absence 10 percent higher": 1.1 ** draws["log(PERCTOT)"],
    "disadvantage 10 percent higher": 1.1 ** draws["log(PTFSM6CLA1A)"],
}
for name, factor in effects.items():
    low, middle, high = 100 * (np.quantile(factor, [0.05, 0.5, 0.95]) - 1)
    print(f"{name:50s} {middle:5.1f} %   [{low:.1f}, {high:.1f}]")

# %%
# In a selective school attainment is 8 percent higher than in the non-selective schools of such
# areas, pupils' earlier attainment and background being equal as far as these columns can tell.
#
# Observed against fitted
# -----------------------
#
# Each point is a school, the line is where the two are equal, and the schools of Brighton and Hove
# are named. Those on the line do as the model expects, given their intake, absence, authority and
# rating.

ax = full.plot_calibration(label="SCHNAME.x", highlight={"LANAME": "Brighton and Hove"})

# %%
# Residuals: which schools are far from what is expected? Named are the furthest: two technical
# colleges, which pupils enter at 14, and a grammar school. No column says so.

panels = full.plot_check(label="SCHNAME.x")

# %%
# Authorities beside others of their region, with intake, absence and ratings of their schools taken
# into account. Brighton and Hove is near the top, as its points above the line let guess; the last
# lines say how many authorities are known to be anywhere but in the middle.

full.league_table("LANAME:gor_name", top=10, bottom=10)

# %%
# The picture has all of them, too many to be named.

ax = full.plot_caterpillar(group="LANAME:gor_name")

# %%
# What would have to change?
# --------------------------
#
# For attainment to be 5 percent higher, how much lower would absence have to be, all else being
# equal? In a model with both in logarithms the answer in percent is the same everywhere, and
# uncertain by one percentage point.

change = full.required_change("PERCTOT", percent=5, group="gor_name")
change.filter(regex="unit|current_value|required_value|percent").round(2)

# %%
# For the schools of Brighton and Hove to have the mean attainment of all schools: six are above it,
# and would be expected to reach it with more absence. Two of the others would need a quarter less,
# and two less than a third of what they have, as little as few schools in England (``within_range``
# says that there are some).

brighton = schools.query("LANAME == 'Brighton and Hove'")
change = full.required_change("PERCTOT", to="mean", newdata=brighton)
change.insert(0, "school", brighton["SCHNAME.x"].to_numpy())
change.filter(regex="school|current_value|required_value|percent_|within").round(1)

# %%
# Such tables are easily misread as promises. The model compares schools that differ in absence;
# nobody has changed the absence of one. What it does say is how large a difference goes with how
# much attainment, and how sure that is.
