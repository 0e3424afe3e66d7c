"""
From lme4 and rstanarm, verb by verb
====================================

You have R code with ``lmer()`` or ``stan_lmer()`` and want the same in Python. Formulas need no
translation, and coefficients keep R's names (``(Intercept)``, ``femaleF``, ``factor(gender)1``), so
that results can be laid beside old printouts. Most functions of R have become methods of a fit;
this page goes through them in the order of an analysis.
"""

# sphinx_gallery_start_ignore
import page  # noqa: F401  started as a script, prints what a notebook would show and saves the pictures

# sphinx_gallery_end_ignore
import tempfile
from pathlib import Path

import pandas as pd

import bayesmlm as bm

# %%
# Fitting
# -------
#
# .. list-table::
#    :header-rows: 1
#    :widths: 52 48
#
#    * - R
#      - Python
#    * - ``lmer(y ~ x + (x | g), d)``
#      - ``bm.lmer("y ~ x + (x | g)", d)``
#    * - ``lmer(..., REML = FALSE)``
#      - ``bm.lmer(..., reml=False)``
#    * - ``stan_lmer(..., seed = 1)``
#      - ``bm.fit(..., seed=1)``
#    * - ``stan_lmer(..., prior = normal(0, 10, autoscale = FALSE))``
#      - ``bm.fit(..., priors={"fixed": bm.normal(0, 10)})``
#    * - ``prior_covariance = decov(regularization = 2)``
#      - ``priors={"covariance": bm.decov(regularization=2)}``
#    * - ``adapt_delta = 0.99``, ``iter``, ``chains``
#      - ``target_accept=0.99``, ``draws`` and ``tune``, ``chains``
#    * - ``lm(y ~ x, d)``
#      - ``bm.lm("y ~ x", d)``
#    * - ``data(sleepstudy)``, ``?sleepstudy``
#      - ``bm.load_dataset("sleepstudy")``, ``bm.describe_dataset("sleepstudy")``
#
# All of lme4's bars work: ``(1 | g)``, ``(x || g)``, ``(0 + x | g)``, ``(1 | a/b)``, ``(1 | a:b)``,
# several on one factor. So do ``I(x^2)``, ``log(x)``, ``scale(x)``, ``poly(x, 2)``, ``factor(x)``,
# ``x*z`` and columns with dots in their names. Strings are factors; the first level in alphabetical
# order is the reference unless the column is a pandas categorical with an order of its own.

sleep = bm.load_dataset("sleepstudy")
FORMULA = "Reaction ~ Days + (Days | Subject)"
ref = bm.lmer(FORMULA, sleep)
fit = bm.fit(FORMULA, sleep, seed=1)

# %%
# Where a formula cannot be understood, the error says where. Nothing is dropped silently: rows with
# missing values are counted on every page that is printed.

try:
    bm.lmer("Reaction ~ Dayz + (Days | Subject)", sleep)
except bm.BayesMLMError as error:
    print(error)

# %%
# Printing
# --------
#
# ``print`` and ``summary`` have the layouts you know, lme4's for ``bm.lmer`` and rstanarm's for
# ``bm.fit``. Numbers are rounded only when printed.
#
# .. list-table::
#    :header-rows: 1
#    :widths: 52 48
#
#    * - R
#      - Python
#    * - ``print(m)``, ``print(m, digits = 3)``
#      - ``print(fit)``, ``fit.printed(digits=3)``
#    * - ``summary(m)`` with lmerTest loaded
#      - ``ref.summary(ddf="satterthwaite")`` (or ``"kenward-roger"``)
#    * - ``summary(stan, pars = "beta")``
#      - ``fit.summary("beta")``, its numbers in ``.frame``
#    * - ``modelsummary(list(m, stan))``, ``screenreg``
#      - ``bm.table({"lmer": ref, "stan_lmer": fit})``
#    * - ``report::report(m)``
#      - ``fit.report()``, ``ref.report()``

fit.summary("beta", digits=2)

# %%
# Extracting
# ----------
#
# The same verbs for both kinds of fit:
#
# .. list-table::
#    :header-rows: 1
#    :widths: 52 48
#
#    * - R
#      - Python
#    * - ``fixef(m)``, ``se(m)``, ``vcov(m)``
#      - ``fit.fixef()``, ``fit.se()``, ``fit.vcov()``
#    * - ``VarCorr(m)``, ``as.data.frame(VarCorr(m))``
#      - ``fit.varcorr()``, ``fit.varcorr().to_frame()``
#    * - ``ranef(m)``, ``coef(m)``
#      - ``fit.ranef()``, ``fit.coef()``: frames by grouping factor; ``ranef(sd=True)`` adds sds
#    * - ``sigma(m)``, ``nobs(m)``, ``ngrps(m)``
#      - ``fit.sigma``, ``fit.nobs``, ``fit.ngroups``
#    * - ``fitted(m)``, ``resid(m)``
#      - ``fit.fitted()``, ``fit.residuals()``
#    * - ``broom.mixed::tidy(m)``, ``glance``, ``augment``
#      - ``fit.tidy()``, ``fit.glance()``, ``fit.augment()``
#    * - ``performance::icc(m)``, ``r2(m)``
#      - ``fit.icc()``, ``fit.r2()``; of ``bm.fit`` with intervals
#    * - ``logLik``, ``AIC``, ``BIC``, ``deviance``
#      - ``ref.loglik``, ``ref.aic``, ``ref.bic``, ``ref.deviance``
#    * - ``as.data.frame(stan)``, ``as.matrix(stan)``
#      - ``fit.as_frame()``: one row per draw, R's column names
#
# Group effects are named as in rstanarm.

fit.as_frame(["Days", "b[Days Subject:308]", "Sigma[Subject:Days,Days]", "sigma"]).head(
    3
).round(2)

# %%
# One point to know: rstanarm prints the *root of the mean variance* as "Std.Dev.", this package the
# median of the standard deviations, draw by draw. With few groups the first is larger.
# ``point="rstanarm"`` gives rstanarm's.

print(ref.varcorr(), fit.varcorr(), fit.varcorr(point="rstanarm"), sep="\n\n")

# %%
# Intervals and tests
# -------------------
#
# .. list-table::
#    :header-rows: 1
#    :widths: 52 48
#
#    * - R
#      - Python
#    * - ``confint(m)``
#      - ``ref.confint()``, by profiling; ``method="wald"``, ``"boot"``
#    * - ``posterior_interval(stan, prob = 0.9)``
#      - ``fit.posterior_interval(0.9)``
#    * - ``anova(m0, m1)``
#      - ``bm.anova(m0, m1)``, with the p value for a variance at its boundary
#    * - ``anova(m1)`` (lmerTest, type III)
#      - ``bm.anova(m1)``
#    * - ``brms::hypothesis(fit, "x > 0")``
#      - ``fit.hypothesis("x > 0")``
#    * - ``loo(stan)``, ``waic``, ``kfold``
#      - ``fit.loo()``, ``fit.waic()``, ``fit.kfold(10)``; ``fit.loo("g")`` leaves out whole groups
#    * - ``loo_compare(loo(s0), loo(s1))``
#      - ``bm.loo_compare(s0, s1)``
#    * - ``isSingular(m)``
#      - ``ref.is_singular()``, ``ref.status``, ``fit.doctor()``

print(
    fit.posterior_interval(0.9, pars="beta").round(1),
    ref.confint(["Days"], 0.9).round(1),
    sep="\n\n",
)

# %%
# A table that has no counterpart in R: posterior and REML with a verdict per parameter.

fit.compare()

# %%
# Prediction
# ----------
#
# .. list-table::
#    :header-rows: 1
#    :widths: 52 48
#
#    * - R
#      - Python
#    * - ``predict(m, newdata)``
#      - ``ref.predict(newdata)``
#    * - ``predict(m, newdata, re.form = NA)``
#      - ``ref.predict(newdata, re_formula="~0")``
#    * - ``allow.new.levels = TRUE``
#      - ``allow_new_levels=True``; the default of a Bayesian fit
#    * - ``posterior_linpred``, ``posterior_epred``, ``posterior_predict``
#      - the same names; DataArrays with dimensions chain, draw, row
#    * - ``predictive_interval(stan, newdata = d)``
#      - ``fit.predictive_interval(d)``
#    * - ``simulate(m)``, ``bootMer``
#      - ``ref.simulate()``, ``ref.bootstrap()``
#    * - ``pp_check(stan)``
#      - ``fit.plot_ppc()``, or as a table ``fit.pp_check()``

new = pd.DataFrame({"Days": [9, 9], "Subject": ["308", "not in the study"]})
fit.predict(new, interval=0.9).round(0)

# %%
# Priors and sampling
# -------------------
#
# .. list-table::
#    :header-rows: 1
#    :widths: 52 48
#
#    * - R
#      - Python
#    * - ``prior_summary(stan)``
#      - ``fit.prior_summary()``, with what the priors imply
#    * - ``stan_lmer(..., prior_PD = TRUE)``
#      - ``bm.fit(..., prior_only=True)``
#    * - ``rhat``, ``neff_ratio``, ``check_hmc_diagnostics``
#      - ``fit.diagnostics()``; problems are also printed with the fit
#    * - ``shinystan``, ``mcmc_trace``
#      - ``fit.plot_trace()``; ``fit.draws`` is a DataTree for ArviZ
#    * - ``stan$stanfit``
#      - ``fit.model`` (a ``bambi.Model`` with its PyMC graph), ``fit.draws``

fit.diagnostics()

# %%
# Pictures
# --------
#
# .. list-table::
#    :header-rows: 1
#    :widths: 52 48
#
#    * - R
#      - Python
#    * - ``dotplot(ranef(m))``
#      - ``fit.plot_caterpillar()``, ``ref.plot_caterpillar()``
#    * - ``xyplot(profile(m))``
#      - ``ref.plot_profile()``
#    * - ``plot(m)``, ``qqnorm``, ``performance::check_model``
#      - ``fit.plot_check()``
#    * - ``ggpredict``, ``conditional_effects``
#      - ``fit.plot_effects("x", by="z")``
#    * - ``plot_model``, ``mcmc_intervals``
#      - ``fit.plot_coefficients()``

ax = fit.plot_caterpillar(column="Days", ref=ref)

# %%
# Changing and keeping a fit
# --------------------------
#
# .. list-table::
#    :header-rows: 1
#    :widths: 52 48
#
#    * - R
#      - Python
#    * - ``update(m, . ~ . + z)``
#      - ``fit.update(". ~ . + z")``, ``ref.update(...)``
#    * - ``refitML(m)``
#      - ``ref.refit(reml=False)``
#    * - ``saveRDS``, ``readRDS``
#      - ``fit.save("m")``, ``bm.load("m")``
#    * - ``brm(..., file = "m")``
#      - ``bm.fit(..., file="m")``: samples only when something has changed

with tempfile.TemporaryDirectory() as folder:
    fit.save(Path(folder) / "sleep")
    again = bm.load(Path(folder) / "sleep")
print(again.posterior_interval(pars="beta").equals(fit.posterior_interval(pars="beta")))

# %%
# What differs
# ------------
#
# - Sampling is another program (nutpie's NUTS instead of Stan's), and for Gaussian models fixed and
#   group effects are integrated out exactly. Posteriors agree within Monte Carlo error; draws do
#   not, whatever the seed.
# - ``fit.fixef()`` is the posterior median, as in rstanarm; ``se()`` is MAD_SD.
# - ``posterior_interval`` and printed tables are central 90 percent, ``confint`` and ``tidy`` 95
#   percent: the defaults of the R functions.
# - Rows are counted from 0, and a data frame's own index is kept.
# - lme4's optimizers and their warnings have no counterpart. ``ref.status`` says in words how the
#   search ended.
