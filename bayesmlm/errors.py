"""Errors and warnings: what is wrong, where, and what to do next."""

from __future__ import annotations

import difflib
import os
import warnings
from collections.abc import Iterable


class BayesMLMError(Exception):
    """Base class of every error that bayesmlm raises on purpose."""


class FormulaError(BayesMLMError, ValueError):
    """A formula that cannot be read or translated.

    Parameters
    ----------
    message
        What is wrong and what to write instead.
    formula
        The whole text of the formula.
    start, end
        Character positions of the offending piece; the message shows it underlined.
    """

    def __init__(self, message: str, formula: str = "", start: int | None = None, end: int | None = None):
        self.formula, self.start, self.end = formula, start, end
        super().__init__(message if start is None else f"{message}\n{_underline(formula, start, end)}")


class DataError(BayesMLMError, ValueError):
    """Data that do not fit the formula: a missing column, one level only, infinite values, ..."""


class PriorError(BayesMLMError, ValueError):
    """A prior that does not exist, does not fit its parameter, or names an unknown term."""


class SamplingError(BayesMLMError, RuntimeError):
    """Sampling could not start, or gave nothing to keep."""


class FileError(BayesMLMError, OSError):
    """A file that cannot be written, or that cannot be read as a saved fit.

    Parameters
    ----------
    message
        What is wrong and what to do.
    damaged
        Whether it is one of ours whose contents have changed.
    """

    def __init__(self, message: str, damaged: bool = False):
        self.damaged = damaged
        super().__init__(message)


class MissingFileError(FileError, FileNotFoundError):
    """There is no such file."""


class BayesMLMWarning(UserWarning):
    """Base class of the package's warnings: the model is defined, but look at it again."""


class DataWarning(BayesMLMWarning):
    """The data define the model, but badly: a constant predictor, as many groups as rows, ..."""


class ConvergenceWarning(BayesMLMWarning):
    """Sampling or optimisation finished, but its result should not be trusted as it stands."""


def _underline(formula: str, start: int, end: int | None) -> str:
    width = max(1, (end if end is not None else start + 1) - start)
    line_start = formula.rfind("\n", 0, start) + 1
    line = formula[line_start:].split("\n", 1)[0]
    return f"  {line}\n  {' ' * (start - line_start)}{'^' * width}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the known name nearest to `name`, or "" if none is near."""
    names = [str(k) for k in known]
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    folded = {n.lower(): n for n in names}
    match = near[0] if near else folded.get(str(name).lower())
    return f" Did you mean {match!r}?" if match else ""


def warn(message: str, category: type[BayesMLMWarning]) -> None:
    """Warn, pointing at the line of the caller's own code rather than at ours."""
    warnings.warn(message, category, skip_file_prefixes=(os.path.dirname(__file__),))
