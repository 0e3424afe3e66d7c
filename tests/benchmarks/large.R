# Fits one large problem with lme4 and reports the seconds of each call, then the peak memory.
#   Rscript --vanilla large.R file.csv formula calls

suppressPackageStartupMessages(library(lme4))

arguments <- commandArgs(trailingOnly = TRUE)
frame <- read.csv(arguments[1], stringsAsFactors = TRUE)
formula <- as.formula(arguments[2])
for (i in seq_len(as.integer(arguments[3]))) {
  start <- proc.time()[["elapsed"]]
  fit <- suppressMessages(lme4::lmer(formula, frame))
  seconds <- proc.time()[["elapsed"]] - start
  cat(seconds, format(REMLcrit(fit), digits = 17), "\n")
}
status <- if (file.exists("/proc/self/status")) readLines("/proc/self/status") else character(0)
peak <- grep("^VmHWM", status, value = TRUE)
cat(if (length(peak)) gsub("[^0-9]", "", peak) else "NaN", "\n")
