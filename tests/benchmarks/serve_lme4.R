# Times lme4::lmer on request. Started by reference_fits.py: one process, data read once, a JSON line per answer.
#   Rscript --vanilla serve_lme4.R folder     requests on standard input: "key seconds", or "versions"
# Answers "versions" with the versions, and a key with the number of calls made in that many seconds, or one call,
# the seconds they took, and the ML deviance or REML criterion.

suppressPackageStartupMessages({
  library(lme4)
  library(jsonlite)
})

folder <- commandArgs(trailingOnly = TRUE)[1]
jobs <- fromJSON(file.path(folder, "jobs.json"), simplifyVector = FALSE)
frames <- new.env()

answer <- function(value) {
  cat(toJSON(value, auto_unbox = TRUE, digits = NA), "\n", sep = "")
  flush(stdout())
}

read_frame <- function(job) {
  frame <- read.csv(file.path(folder, job$file), na.strings = "NA", check.names = FALSE)
  for (name in names(job$levels)) {
    frame[[name]] <- factor(frame[[name]], levels = unlist(job$levels[[name]]))
  }
  frame
}

frame_of <- function(job) {
  if (is.null(frames[[job$file]])) assign(job$file, read_frame(job), envir = frames)
  frames[[job$file]]
}

measure <- function(job, at_least) {
  frame <- frame_of(job)
  formula <- as.formula(job$formula)
  gc(FALSE)
  calls <- 0
  start <- proc.time()[["elapsed"]]
  repeat {
    fit <- suppressMessages(suppressWarnings(lme4::lmer(formula, frame, REML = job$reml)))
    calls <- calls + 1
    seconds <- proc.time()[["elapsed"]] - start
    if (seconds >= at_least) break
  }
  criterion <- if (job$reml) REMLcrit(fit) else deviance(fit)
  list(calls = calls, seconds = seconds, criterion = criterion)
}

requests <- file("stdin", open = "r")
while (length(line <- readLines(requests, n = 1)) > 0) {
  words <- strsplit(line, " ")[[1]]
  if (words[1] == "versions") {
    answer(list(R = as.character(getRversion()), lme4 = as.character(packageVersion("lme4"))))
  } else {
    answer(measure(jobs[[words[1]]], as.numeric(words[2])))
  }
}
