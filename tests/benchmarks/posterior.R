# Fits one model with rstanarm's stan_lmer or stan_glmer, prints it, and writes its draws. Started by posterior_fits.py.
#   Rscript --vanilla posterior.R folder key chains draws tune cores seed mark
# The line `mark` ends the printed report. Then follows a JSON line with the seconds of the call and the divergences.
# folder/key.draws.csv has one row per draw, chain by chain: fixed effects, standard deviations, correlations, sigma.

suppressPackageStartupMessages({
  library(rstanarm)
  library(jsonlite)
})

arguments <- commandArgs(trailingOnly = TRUE)
folder <- arguments[1]
key <- arguments[2]
run <- as.integer(arguments[3:7])
job <- fromJSON(file.path(folder, "jobs.json"), simplifyVector = FALSE)[[key]]
frame <- read.csv(file.path(folder, job$file), na.strings = "NA", check.names = FALSE)
for (name in names(job$levels)) {
  frame[[name]] <- factor(frame[[name]], levels = unlist(job$levels[[name]]))
}

start <- proc.time()[["elapsed"]]
fit <- suppressWarnings(stan_glmer(
  as.formula(job$formula),
  family = job$family,
  data = frame, chains = run[1], iter = run[2] + run[3], warmup = run[3],
  cores = run[4], seed = run[5], refresh = 0
))
seconds <- proc.time()[["elapsed"]] - start
print(fit)
cat("\n", arguments[8], "\n", sep = "")
flush(stdout())
# Chains run in other processes; Stan's clock is that of the processor.
cpu <- sum(proc.time()[c("user.self", "sys.self")]) + sum(rstan::get_elapsed_time(fit$stanfit))

all_draws <- as.matrix(fit)
single <- intersect(c(names(fixef(fit)), "sigma"), colnames(all_draws))
kept <- all_draws[, single, drop = FALSE]
colnames(kept) <- single
columns <- fit$glmod$reTrms$cnms
for (group in names(columns)) {
  cov <- function(a, b) {
    names <- paste0("Sigma[", group, ":", c(a, b), ",", c(b, a), "]")
    all_draws[, intersect(names, colnames(all_draws))[1]]
  }
  for (i in seq_along(columns[[group]])) {
    one <- columns[[group]][i]
    added <- cbind(sqrt(cov(one, one)))
    colnames(added) <- paste("sd", group, one)
    kept <- cbind(kept, added)
    for (other in columns[[group]][seq_len(i - 1)]) {
      added <- cbind(cov(one, other) / sqrt(cov(one, one) * cov(other, other)))
      colnames(added) <- paste("cor", group, other, one)
      kept <- cbind(kept, added)
    }
  }
}
write.csv(kept, file.path(folder, paste0(key, ".draws.csv")), row.names = FALSE)
divergent <- sum(sapply(
  rstan::get_sampler_params(fit$stanfit, inc_warmup = FALSE),
  function(chain) sum(chain[, "divergent__"])
))
cat(toJSON(list(call = seconds, cpu = cpu, divergent = divergent), auto_unbox = TRUE, digits = NA), "\n", sep = "")
