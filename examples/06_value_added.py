"""
Value added: what is left when the intake is accounted for
==========================================================

A school whose pupils score high at 16 may have taught them well or chosen them well. Value-added
models condition on what pupils brought along at 11 (key stage 2) and call what is left of a
school's intercept its effect. This page builds the usual sequence (empty, value added, contextual
value added) for 16,316 pupils in 657 schools, checks what it assumes, and ends with a league table
that says how little a rank is worth.

The data are simulated with the columns of a teaching file of the Longitudinal Study of Young People
in England; nothing here is about real schools. That has an advantage: what the model should find is
known.
"""

# sphinx_gallery_start_ignore
import page  # noqa: F401  started as a script, prints what a notebook would show and saves the pictures

# sphinx_gallery_end_ignore
import matplotlib.pyplot as plt

import bayesmlm as bm

pupils = bm.load_dataset("lsype_sim")
pupils.isna().sum()

# %%
# Values are missing, more of them at 11 than at 16. Models of different rows cannot be compared by
# likelihood or cross-validation, so the complete rows are taken once, here.

pupils = pupils.dropna()

# %%
# The sequence
# ------------
#
# ``Empty`` divides the variance between pupils and schools, ``VA`` conditions on prior attainment,
# ``CVA`` on sex and free school meals (a sign of poverty) too. The last lets prior attainment count
# differently for poorer pupils.

MODELS = {
    "Empty": "ks4stand ~ 1 + (1 | schoolID)",
    "VA": "ks4stand ~ ks2stand + (1 | schoolID)",
    "CVA": "ks4stand ~ ks2stand + factor(gender) + factor(fsm) + (1 | schoolID)",
    "by FSM": "ks4stand ~ ks2stand*factor(fsm) + factor(gender) + (1 | schoolID)",
}
fits = {name: bm.fit(formula, pupils, seed=1) for name, formula in MODELS.items()}
bm.table(fits)

# %%
# Each takes a second or two for 14,000 rows, since the sampler sees sums over rows, not rows.
# Maximum likelihood gives the same coefficients; for the contextual value-added model side by side:

fits["CVA"].compare(fits["CVA"].reference(reml=False))

# %%
# What do the predictors account for? Two fifths of the variance between schools, and nearly half of
# that between pupils of a school. Nearly all of it is prior attainment: the standard deviations of
# VA and CVA in the first table hardly differ.

fits["CVA"].proportional_change(fits["Empty"]).round(3)

# %%
# Interactions and the school's intake
# ------------------------------------
#
# Does prior attainment count differently for poorer pupils? With 14,000 pupils a test may call
# small things significant; a region of practical equivalence (here a slope within 0.05 of the
# others') asks whether it is more than that.

fits["by FSM"].hypothesis("ks2stand:factor(fsm)1 = 0", rope=(-0.05, 0.05))

# %%
# The other interaction, by sex, as a likelihood-ratio test. ``bm.lmer`` takes milliseconds, and is
# the quick way to try things out.

cva = fits["CVA"].reference(reml=False)
by_sex = bm.lmer(
    "ks4stand ~ ks2stand*factor(gender) + factor(fsm) + (1 | schoolID)",
    pupils,
    reml=False,
)
bm.anova(cva, by_sex)

# %%
# The percentage of free school meals in a school says nothing once pupils' own are known. In real
# data it often does; these schools were made without such an effect, and the interval should
# include zero.

intake = cva.update(". ~ . + schoolfsm")
intake.confint(["schoolfsm"]).round(3)

# %%
# Does the effect of prior attainment vary between schools?
# ---------------------------------------------------------
#
# A random slope. ``scale`` makes prior attainment a z score, so that the intercept is the school's
# value for the average pupil and the slope is per standard deviation. The fit remembers mean and
# sd, and new data are scaled by them.

SLOPES = "ks4stand ~ scale(ks2stand) + factor(gender) + factor(fsm) + (1 + scale(ks2stand) | schoolID)"
slopes = bm.fit(SLOPES, pupils, seed=1)
slopes

# %%
# Yes, and schools that do well for the average pupil do even better for strong ones: intercepts and
# slopes are correlated at 0.6. A single number of value added per school leaves that out. (The data
# were made with 1.91 for sex, -2.27 for free meals, a residual standard deviation of 6.45 and
# slopes that vary; the fit has found them.) The likelihood-ratio test:

bm.anova(cva, slopes.reference(reml=False))

# %%
# The posterior can be asked for more than "not zero": that the slopes' standard deviation is at
# least a tenth of the average slope, and that the correlation is above 0.4.

slopes.hypothesis(
    [
        "sd_schoolID__scale(ks2stand) > 0.1 * scale(ks2stand)",
        "cor_schoolID__(Intercept).scale(ks2stand) > 0.4",
    ]
)

# %%
# The pattern: contours of the distribution of schools, with each school's estimated pair.

ax = slopes.plot_ellipses()

# %%
# Are the assumptions sound?
# --------------------------
#
# Normal residuals with one spread, normal school effects. ``residual_checks`` draws standardised
# errors of each level from the posterior and says what is more than chance; random numbers from a
# normal distribution would get this page too.

fits["CVA"].residual_checks()

# %%

panels = fits["CVA"].plot_check()

# %%
# The league table
# ----------------
#
# The caterpillar of 657 schools: dark intervals do not include zero, which is what a report would
# call significantly above or below average. They are some two fifths of all schools.

ax = fits["CVA"].plot_caterpillar()

# %%
# As a table. Ranks are computed in every draw, so that they have intervals: the school in place ten
# may be anywhere from second to seventieth. The last line counts the schools whose place is known
# to within a quarter of the table.

table = fits["CVA"].league_table("schoolID", top=20, bottom=20)
table

# %%
# How much does the choice of model move a school? Ranks by raw results against ranks by value
# added. The cloud is wide: a good part of what raw results rank is intake.

raw = fits["Empty"].league_table("schoolID").frame[["level", "rank"]]
both = raw.merge(table.frame, on="level", suffixes=("_raw", "_added"))
fig, ax = plt.subplots(figsize=(4.5, 4.5), layout="constrained")
ax.plot(both["rank_raw"], both["rank_added"], ".", markersize=3, color="#0072B2")
ax.set(xlabel="rank by raw results", ylabel="rank by value added (CVA)")
_ = ax.set_title(f"correlation {both['rank_raw'].corr(both['rank_added']):.2f}")

# %%
# Two schools, one question: what is the probability that the first is better than the second? For
# neighbours in the table it is near a half. Choose schools far apart, or do not choose by this
# table.

order = table.frame["level"].tolist()
for i, j in ((0, 1), (0, 20), (0, 100), (200, 300)):
    better = table.probability_above(order[i], order[j])
    print(f"places {i + 1} and {j + 1}: P = {better:.2f}")
