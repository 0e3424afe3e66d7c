"""Hypotheses about the parameters of a fit."""

from __future__ import annotations

from collections.abc import Iterable

from bayesmlm.fits.base import Sampled
from bayesmlm.hypotheses import judge_hypotheses
from bayesmlm.report import Report
from bayesmlm.report.hypotheses import hypotheses_report


class Testing(Sampled):
    """A fit whose parameters can be asked about."""

    def hypothesis(
        self,
        hypotheses: str | Iterable[str],
        prob: float = 0.9,
        *,
        rope: tuple[float, float] | None = None,
        digits: int = 2,
        seed: int = 1,
    ) -> Report:
        """Evaluate hypotheses about parameters, such as ``"femaleF > 0"``, on the draws.

        Parameters
        ----------
        hypotheses
            One text or several: two sides, with ``>``, ``<`` or ``=`` between them. A side has numbers, ``+ - * / ^``,
            ``abs exp log sqrt`` and parameters: coefficients by R's name, ``sigma``, ``sd_school__(Intercept)``,
            ``cor_school__(Intercept).femaleF``, ``icc_school``, ``Sigma[school:femaleF,(Intercept)]``,
            ``b[(Intercept) school:20920]``. Any of them may stand in backticks; brms's spellings
            (``sd_school__Intercept``) are understood.
        prob
            Probability of the central intervals.
        rope
            Region of practical equivalence of left side - right side, such as ``(-0.1, 0.1)``.
        digits
            Decimals shown.
        seed
            Of the simulation of the prior, where ``=`` needs its density and there is no closed form.

        Returns
        -------
        Report
            Its ``frame`` has one row per hypothesis: hypothesis; estimate (median), std_error (MAD_SD), conf_low,
            conf_high of left side - right side; post_prob; evidence_ratio; rope_prob. For ``>`` and ``<`` post_prob is
            the share of draws that satisfy the hypothesis and evidence_ratio post_prob / (1 - post_prob). For ``=``
            evidence_ratio is the density ratio of Savage and Dickey, posterior over prior density at equality, NaN
            where it cannot be had, and post_prob the probability of equality from even odds.

        Raises
        ------
        FormulaError
            At the place where a hypothesis cannot be read, or names no parameter.

        References
        ----------
        Dickey (1971), Annals of Mathematical Statistics 42, 204-223; Wagenmakers et al. (2010), Cognitive Psychology
        60, 158-189.
        """
        tested = judge_hypotheses(self.design, self.priors, self.posterior, hypotheses, prob, rope, seed)
        return hypotheses_report(tested, self.formula, digits)
