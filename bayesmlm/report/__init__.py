"""Tables -> the text and HTML that a person reads. The only place where a number is rounded.

The layout of Bayesian fits is rstanarm's, that of reference fits lme4's, so that both look familiar.
"""

from bayesmlm.report.accuracy import accuracy_report, loo_comparison_report
from bayesmlm.report.comparison import comparison_report
from bayesmlm.report.glmm import glmer_report, glmer_summary_report
from bayesmlm.report.grid import Grid, PrintedVarCorr, Report, printed_varcorr
from bayesmlm.report.posterior import diagnostics_report, fit_report, summary_report
from bayesmlm.report.prior import prior_report, prior_text
from bayesmlm.report.reference import linear_report, reference_report, reference_summary_report

__all__ = [
    "Grid",
    "PrintedVarCorr",
    "Report",
    "accuracy_report",
    "comparison_report",
    "diagnostics_report",
    "fit_report",
    "glmer_report",
    "glmer_summary_report",
    "linear_report",
    "loo_comparison_report",
    "printed_varcorr",
    "prior_report",
    "prior_text",
    "reference_report",
    "reference_summary_report",
    "summary_report",
]
