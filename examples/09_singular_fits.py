"""
"boundary (singular) fit": what it means, and what to do
========================================================

Sooner or later ``lmer()`` prints this line. A variance has been estimated as exactly zero, or a
correlation as exactly one, and the usual advice is to drop terms until the message goes away. This
page shows what the message says in three cases, what a posterior says instead, and how to
decide with open eyes whether something should be dropped.
"""

# sphinx_gallery_start_ignore
import page  # noqa: F401  started as a script, prints what a notebook would show and saves the pictures

# sphinx_gallery_end_ignore
import bayesmlm as bm

# %%
# A variance of zero
# ------------------
#
# Six batches of dyestuff, five samples each; constructed data from Box and Tiao's book of 1973, a
# classic for exactly this. The means of the batches differ by less than the samples would let
# expect if batches were all the same.

dyestuff = bm.load_dataset("dyestuff2")
batches = bm.lmer("Yield ~ 1 + (1 | Batch)", dyestuff)
batches

# %%
# The estimate is zero, and not "too small to be seen". The variance between batch means has to be
# compared with what sampling produces; the difference is negative here, and the best variance that
# is allowed is 0.

means = dyestuff.groupby("Batch", observed=True)["Yield"].mean()
within = dyestuff.groupby("Batch", observed=True)["Yield"].var().mean()
print(f"variance of the means: {means.var():.2f}")
print(f"expected from samples alone: {within / 5:.2f}")

# %%
# Does that prove that batches do not differ? Neither the profile interval nor the posterior say so:
# the standard deviation is probably small, and could well be 1 or 2.

posterior = bm.fit("Yield ~ 1 + (1 | Batch)", dyestuff, seed=1)
print(batches.confint(["sd_(Intercept)|Batch"], 0.9).round(2), "\n")
table = posterior.tidy("ran_pars", conf_level=0.9)
print(table[["group", "term", "estimate", "conf_low", "conf_high"]].round(2))

# %%
# A zero is an odd thing to report. It is the one value of the standard deviation that is almost
# certainly wrong, it makes all predictions for batches equal, and it pretends that new batches
# would add no uncertainty. The density of the posterior is highest near zero and has a long tail:
# the diamond is REML, at the end of its profile interval.

panels = posterior.plot_variance()

# %%
# A correlation of one
# --------------------
#
# More frequent in practice: random slopes. Ten schools, mathematics by socio-economic status, with
# a slope for every school.

imm = bm.load_dataset("imm10")
STATUS = "math ~ ses + (ses | schnum)"
bm.lmer(STATUS, imm).summary()

# %%
# The correlation is -1: the REML lines of all schools go through one point. It is not a finding
# about schools. The slopes' standard deviation is small against its uncertainty, and where a slope
# hardly varies its correlation with anything is free to run to the edge.

slopes = bm.fit(STATUS, imm, seed=1)
slopes.compare()

# %%
# The thin contours are posterior draws of the distribution of schools; the dashed one, a line, is
# REML.

ax = slopes.plot_ellipses()

# %%
# Ask the doctor
# --------------
#
# ``doctor()`` says in which direction there is no variance, what the posterior says, how much of
# that is the prior's, and what simpler models would cost by likelihood and by prediction of
# left-out pupils.

slopes.doctor()

# %%
# For these data nothing is lost without random slopes, by any criterion. With the posterior nothing
# is lost by keeping them either: the standard error of the average slope then includes that schools
# may differ.

simple = bm.fit("math ~ ses + (1 | schnum)", imm, seed=1)
bm.table(
    {
        "intercepts, REML": simple.reference(),
        "intercepts": simple,
        "slopes, REML": slopes.reference(),
        "slopes": slopes,
    }
)

# %%
# A matrix without full rank
# --------------------------
#
# With three columns it is hard to see. No variance need be zero and no correlation one, yet some
# combination of effects may have no variance. ``explain`` says before anything is fitted what is
# asked for: six variances and covariances, from ten schools.

TWO = "math ~ homework + ses + (homework + ses | schnum)"
bm.explain(TWO, imm)

# %%
# Two of three directions are left.

both = bm.lmer(TWO, imm)
print(both.varcorr(), both.status, sep="\n\n")

# %%
# A reference fit has a doctor too, without a posterior. The ladder begins by dropping all
# correlations at once, and here that costs: intercepts and slopes of homework *are* correlated.

both.doctor()

# %%
# So look for another way down, which keeps that correlation and drops the slopes of ``ses``. Three
# parameters fewer, no loss, and the fit is no longer singular.

homework = bm.lmer("math ~ homework + ses + (homework | schnum)", imm)
print(homework.status)
bm.anova(homework, both)

# %%
# What to do
# ----------
#
# - A singular REML fit is a valid maximum. Its fixed effects are often fine; its standard
#   deviations of 0 and correlations of 1 should not be interpreted, and tests that rely on them can
#   be too optimistic.
# - If the design asks for the effects (a treatment within every group, say), keep them, and report
#   the posterior with its wide intervals.
# - If they were added for good measure, and the ladder says that nothing is lost, drop them,
#   correlations first.
# - Few groups are few groups. No method makes ten schools tell six variances and correlations; a
#   prior can only say so politely.
