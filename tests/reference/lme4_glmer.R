# Reference values of generalised linear mixed models: lme4 1.1-31 (R 4.2.2).
# Rscript lme4_glmer.R > lme4_glmer.json
suppressMessages({library(lme4); library(jsonlite); library(MASS)})
options(digits = 15)
tight <- glmerControl(optimizer = "bobyqa", tolPwrss = 1e-13, compDev = TRUE,
                      optCtrl = list(maxfun = 1e6, rhoend = 1e-9), check.conv.grad = "ignore", calc.derivs = TRUE)
num <- function(x) unname(as.numeric(x))
page <- function(x) { old <- options(digits = 7); on.exit(options(old)); capture.output(print(x)) }
entry <- function(m, formula, data, family, link, n_agq = 1, extra = list()) {
  s <- summary(m)$coefficients
  vc <- as.data.frame(VarCorr(m))
  re <- ranef(m, condVar = TRUE)
  pv <- lapply(re, function(d) { v <- attr(d, "postVar"); if (is.list(v)) v <- v[[1]]; v })
  c(list(formula = formula, data = data, family = family, link = link, n_agq = n_agq,
    fixef = list(names = rownames(s), estimate = num(s[, 1]), se = num(s[, 2]), statistic = num(s[, 3]), p = num(s[, 4])),
    vcov = unname(as.matrix(vcov(m))), theta = num(getME(m, "theta")), sigma = sigma(m),
    varcorr = vc, ranef = lapply(re, function(d) unname(as.matrix(d))),
    ranef_sd = lapply(pv, function(v) if (length(dim(v)) == 3) t(sqrt(apply(v, 3, diag))) else sqrt(v)),
    logLik = num(logLik(m)), npar = attr(logLik(m), "df"), AIC = AIC(m), BIC = BIC(m), deviance = deviance(m),
    df_resid = df.residual(m), fitted = num(head(fitted(m), 8)), link_predictor = num(head(predict(m), 8)),
    resid_deviance = num(head(residuals(m, "deviance"), 8)), resid_pearson = num(head(residuals(m, "pearson"), 8)),
    resid_response = num(head(residuals(m, "response"), 8)), resid_working = num(head(residuals(m, "working"), 8)),
    population = num(head(predict(m, re.form = NA, type = "response"), 8)),
    print = page(m), summary = page(summary(m))), extra)
}
out <- list()
cb <- "cbind(incidence, size - incidence) ~ period + (1 | herd)"
fit <- function(f, d, fam, n = 1, weights = NULL) {
  d$.w <- if (is.null(weights)) rep(1, nrow(d)) else d[[weights]]
  if (is.null(weights)) glmer(as.formula(f), d, fam, nAGQ = n, control = tight)
  else glmer(as.formula(f), d, fam, nAGQ = n, control = tight, weights = .w)
}
out$cbpp <- entry(fit(cb, cbpp, binomial), cb, "cbpp", "binomial", "logit")
out$cbpp_agq9 <- entry(fit(cb, cbpp, binomial, 9), cb, "cbpp", "binomial", "logit", 9)
out$cbpp_agq0 <- entry(fit(cb, cbpp, binomial, 0), cb, "cbpp", "binomial", "logit", 0)
for (l in c("probit", "cloglog", "cauchit"))
  out[[paste0("cbpp_", l)]] <- entry(fit(cb, cbpp, binomial(l)), cb, "cbpp", "binomial", l)
pf <- "incidence/size ~ period + (1 | herd)"
out$cbpp_weights <- entry(fit(pf, cbpp, binomial, 1, weights = "size"), pf, "cbpp", "binomial", "logit", 1, list(weights = "size"))
gt <- grouseticks; gt$cHEIGHT <- gt$HEIGHT - mean(gt$HEIGHT)
gf <- "TICKS ~ YEAR + cHEIGHT + (1|BROOD) + (1|INDEX) + (1|LOCATION)"
out$grouseticks <- entry(fit(gf, gt, poisson), gf, "grouseticks", "poisson", "log")
nf <- "TICKS ~ YEAR + cHEIGHT + (1|BROOD) + (1|LOCATION)"
nb <- lme4:::optTheta(glmer(as.formula(nf), gt, negative.binomial(3.3), control = tight), interval = log(3.3) + c(-.1, .1), tol = 1e-9)
out$grouseticks_nb <- entry(nb, nf, "grouseticks", "negativebinomial", "log", 1, list(nb_theta = getME(nb, "glmer.nb.theta")))
set.seed(20)
n <- 160
sim <- data.frame(g = factor(sprintf("g%02d", rep(1:16, each = 10))), h = factor(sprintf("h%d", rep(1:8, 20))),
                  x = round(rnorm(n), 3), time = round(runif(n, 0.5, 3), 3), w = round(runif(n, 0.5, 2), 3))
b <- rnorm(16); b2 <- rnorm(16); bh <- rnorm(8)
eta <- 0.4 + 0.3 * sim$x + 0.5 * b[sim$g] + 0.25 * b2[sim$g] * sim$x + 0.4 * bh[sim$h]
sim$count <- rpois(n, exp(eta) * sim$time)
sim$bin <- rbinom(n, 1, plogis(1.5 * eta))
sim$pos <- round(rgamma(n, 4, 4 / exp(0.7 * eta + 0.7)), 4)
sim$many <- rpois(n, exp(eta + 3))
sim$bin3 <- rbinom(n, 1, plogis(4 * eta))
out$data <- lapply(sim, function(v) if (is.factor(v)) as.character(v) else v)
go <- function(f, fam, name, link, n = 1, ...) entry(fit(f, sim, fam, n, ...), f, "sim", name, link, n)
out$offset <- go("count ~ x + offset(log(time)) + (1 + x | g) + (1 | h)", poisson, "poisson", "log")
f <- "count ~ x + (1 | g)"
out$weights <- entry(fit(f, sim, poisson, 1, weights = "w"), f, "sim", "poisson", "log", 1, list(weights = "w"))
out$sqrt <- go("many ~ x + (1 | g)", poisson("sqrt"), "poisson", "sqrt")
out$binary_crossed <- go("bin3 ~ x + (1 | g) + (1 | h)", binomial, "binomial", "logit")
out$agq_counts <- go(f, poisson, "poisson", "log", 15)
out$binary <- go("bin ~ x + (1 | g) + (1 | h)", binomial, "binomial", "logit")
out$slopes <- go("bin ~ x + (1 + x | g)", binomial, "binomial", "logit")
p <- "pos ~ x + (1 | g)"
out$gamma_inverse <- go(p, Gamma, "gamma", "inverse")
out$gamma_log <- go(p, Gamma("log"), "gamma", "log")
out$gamma_weights <- entry(fit(p, sim, Gamma("log"), 1, weights = "w"), p, "sim", "gamma", "log", 1, list(weights = "w"))
out$gamma_identity <- go(p, Gamma("identity"), "gamma", "identity")
out$wald <- go(p, inverse.gaussian, "wald", "inverse_squared")
out$wald_log <- go(p, inverse.gaussian("log"), "wald", "log")
out$gaussian_log <- go(p, gaussian("log"), "gaussian", "log")
out$gaussian_log_weights <- entry(fit(p, sim, gaussian("log"), 1, weights = "w"), p, "sim", "gaussian", "log", 1, list(weights = "w"))
out$crossed_gamma <- go("pos ~ x + (1 | g) + (1 | h)", Gamma("log"), "gamma", "log")
ci <- function(m, method) { v <- suppressMessages(confint(m, method = method, oldNames = FALSE)); list(names = rownames(v), lower = num(v[, 1]), upper = num(v[, 2])) }
m <- fit(cb, cbpp, binomial); m0 <- fit("cbind(incidence, size - incidence) ~ 1 + (1 | herd)", cbpp, binomial)
out$cbpp$wald <- ci(m, "Wald"); out$cbpp$profile <- ci(m, "profile")
out$cbpp$anova <- as.list(as.data.frame(anova(m0, m))); out$cbpp$anova_printed <- page(anova(m0, m))
m <- fit("bin3 ~ x + (1 | g) + (1 | h)", sim, binomial); out$binary_crossed$profile <- ci(m, "profile")
m <- fit("many ~ x + (1 + x | g)", sim, poisson); out$slopes_counts <- entry(m, "many ~ x + (1 + x | g)", "sim", "poisson", "log"); out$slopes_counts$profile <- ci(m, "profile")
writeLines(toJSON(out, digits = 15, auto_unbox = TRUE, na = "null"))
