"""Fitting again with something else: R's ``update``."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, Self

from bayesmlm.columns import as_frame
from bayesmlm.drawing import default_accept, sampler_obstacle
from bayesmlm.errors import DataError, SamplingError, did_you_mean
from bayesmlm.fits.base import Sampled
from bayesmlm.formulas import Formula, parse_formula
from bayesmlm.priors import build_priors
from bayesmlm.rows import expressions
from bayesmlm.sampling.settings import Settings, new_seed
from bayesmlm.source import CONSTANTS
from bayesmlm.specifying import carried_priors, specify_design
from bayesmlm.syntax import names_in
from bayesmlm.updating import KEEP, kept_data, updated_formula


class Updating(Sampled):
    """A fit that can be fitted again with something else."""

    def update(
        self,
        formula: str | Formula | None = None,
        data: Any = None,
        priors: Any = KEEP,
        *,
        family: Any = None,
        link: Any = None,
        weights: Any = KEEP,
        offset: Any = KEEP,
        exposure: Any = KEEP,
        **settings: Any,
    ) -> Self:
        """Fit again with another formula, other data, priors or settings; all else stays, as in R's ``update``.

        Parameters
        ----------
        formula
            Dots stand for the old left and right side: ``". ~ . + x"``, ``". ~ . - (x | g) + (1 | g)"``.
        data
            Other data. If None the data of this fit, all rows and columns of them: rows that a missing value kept
            out come back with a formula that does not need it.
        priors
            Priors in the place of those given before, as for `bayesmlm.fit`; None for the defaults. Unless given, the
            ones given before, scaled to the new data; one that does not go with the new model is left out.
        family, link
            As for `bayesmlm.fit`; as before if None. Another family has its own default link, and its own defaults of
            priors that were not given.
        weights, offset, exposure
            As for `bayesmlm.fit`; as before unless given.
        settings
            chains, draws, tune, seed, target_accept, sampler, cores, keep_ranef, prior_only, progress, as for
            `bayesmlm.fit`; as before unless given. The seed too: None takes a new one.

        Raises
        ------
        FormulaError, DataError, PriorError, SamplingError
            As `bayesmlm.fit`; DataError also for a column that the data do not have, because the fit was pickled or
            read from a file.

        Warns
        -----
        DataWarning
            For a prior that is left out.
        """
        new = updated_formula(self.design, formula)
        frame = self._data_for(new) if data is None else data
        given = {"weights": weights, "offset": offset, "exposure": exposure}
        kept = {name: self.design.given.get(name) if x is KEEP else x for name, x in given.items()}
        design = specify_design(new, frame, self.design.family if family is None else family, link, **kept)
        chosen = carried_priors(self.priors.given, design) if priors is KEEP else priors
        return type(self).draw(design, build_priors(design, chosen), self._settings_with(settings))

    def _settings_with(self, changes: dict[str, Any]) -> Settings:
        known = [f.name for f in fields(Settings)]
        for name in changes:
            if name not in known:
                hint = did_you_mean(name, known) or f" It takes formula, data, priors, {', '.join(known)}."
                raise SamplingError(f"update() has no setting {name!r}.{hint}")
        old = self.settings
        why_not = sampler_obstacle(self.design, self.priors, old)
        if old.target_accept == default_accept(why_not, self.design, self.priors):
            old = replace(old, target_accept=None)  # the sampler's own, which may be another sampler now
        if "seed" in changes and changes["seed"] is None:
            changes = {**changes, "seed": new_seed()}
        return replace(old, **changes)

    def _data_for(self, formula: str | Formula) -> Any:
        """The data of the fit, if they have what a formula names."""
        if self._saved is None or self._saved.all_columns:
            return kept_data(self.design)
        where = f"the file {self._saved.path.name}"
        if self.design.data is None:
            raise DataError(
                f"{where} has no data for another fit, only the rows of this one: give data= as well"
            )
        frame = as_frame(self.design.data)
        parsed = parse_formula(formula) if isinstance(formula, str) else formula
        names = dict.fromkeys(n.name for node in expressions(parsed) for n in names_in(node))
        unknown = [n for n in names if n not in frame.columns and n not in CONSTANTS]
        if unknown:
            raise DataError(
                f"{where} has only the columns that the formula used ({', '.join(frame.columns)}), not "
                f"{', '.join(unknown)}: give data= as well"
            )
        return frame
