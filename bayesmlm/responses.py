"""The response as its family reads it: numbers, counts, successes of trials, categories."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesmlm.columns import Factor, is_logical
from bayesmlm.errors import DataError
from bayesmlm.evaluate import Evaluator
from bayesmlm.families import Family
from bayesmlm.syntax import Binary, Call, Name, Node

WHOLE = 1e-6  # a count this close to a whole number is one that was divided and multiplied again
MOST_CATEGORIES = 50


@dataclass(frozen=True, eq=False)
class Response:
    """A response.

    Attributes
    ----------
    y : ndarray, shape (n,)
        Numbers; successes of a binomial; positions of categories in `levels`.
    text : str
        R's text of it.
    trials : ndarray, shape (n,), or None
        Numbers of trials of a binomial; None if each is 1, and for other families.
    weights : ndarray, shape (n,), or None
        Prior weights, those of a binomial being in `trials`.
    levels : tuple of str
        The categories of a categorical or ordinal response; failure and success of a binomial factor.
    """

    y: np.ndarray
    text: str
    trials: np.ndarray | None = None
    weights: np.ndarray | None = None
    levels: tuple[str, ...] = ()


def read_response(node: Node, evaluator: Evaluator, family: Family, weights: np.ndarray | None) -> Response:
    """Evaluate the response and check that the family can have produced it.

    Parameters
    ----------
    node
        The expression left of the tilde.
    evaluator
        Of the rows used.
    family
        Family of the response.
    weights : ndarray, shape (n,), or None
        Prior weights of these rows; of a binomial the numbers of trials that a proportion is of.

    Raises
    ------
    DataError
        For values that the family cannot have; the message says which, and what to write.
    """
    text = node.name if isinstance(node, Name) else str(node)
    value = evaluator.take(node)
    if not isinstance(value, np.ndarray | Factor):
        raise evaluator.error("the response is a constant, not a column", node)
    if isinstance(value, np.ndarray):
        _check_columns(value, node, evaluator, family)
        if not np.isfinite(value).all():
            count = int((~np.isfinite(value)).sum())
            raise DataError(f"the response {text} is infinite in {count} rows: filter or change them first")
    if family.support == "binomial":
        return _check_varies(_binomial(value, node, text, weights))
    if family.support in {"ordinal", "categorical"}:
        return _categories(value, text, family, weights)
    if isinstance(value, Factor):
        raise _categorical_error(value, text, family)
    check_support(value, text, family)
    return _check_varies(Response(value, text, None, weights))


def _check_columns(value: np.ndarray, node: Node, evaluator: Evaluator, family: Family) -> None:
    if value.ndim == 1:
        return
    if isinstance(node, Call) and node.func == "cbind" and value.shape[1] == 2:
        if family.support != "binomial":
            raise DataError(
                f"the response {node} has two columns, for binomial models: {family.name} models need one number per "
                "row; add family='binomial' if these are successes and failures"
            )
        return
    message = f"the response has {value.shape[1]} columns: write one, or cbind(successes, failures)"
    raise evaluator.error(message, node)


def _check_varies(response: Response) -> Response:
    share = response.y if response.trials is None else response.y / response.trials
    if len(share) > 1 and np.ptp(share) == 0:
        raise DataError(
            f"the response {response.text} is constant ({share[0]:g}): there is nothing to explain"
        )
    return response


def _categorical_error(value: Factor, text: str, family: Family) -> DataError:
    shown = ", ".join(value.levels[:4])
    kind = "Gaussian" if family.name == "gaussian" else family.name
    message = f"the response {text} is categorical ({shown}, ...): a {kind} model needs numbers"
    if is_logical(value):
        message += f"; for a linear probability model write as.numeric({text}) ~ ..."
        message += ", for a logistic one family='binomial'"
    elif _look_like_numbers(value.levels):
        message += "; these look like numbers kept as text: convert the column with pandas.to_numeric first"
    elif len(value.levels) == 2:
        message += "; for two categories there is family='binomial'"
    return DataError(message)


def _look_like_numbers(levels: tuple[str, ...]) -> bool:
    try:
        return bool(np.isfinite([float(level) for level in levels]).all())
    except ValueError:
        return False


# -- binomial --------------------------------------------------------------------------------------


def _binomial(value: np.ndarray | Factor, node: Node, text: str, weights: np.ndarray | None) -> Response:
    if isinstance(value, Factor):
        return _two_levels(value, text, weights)
    if value.ndim == 2:
        return _successes_failures(value, text, weights)
    outside = (value < 0) | (value > 1)
    if outside.any():
        raise _not_a_share(value[outside][0], int(outside.sum()), node, text, weights)
    if weights is None:
        between = int(((value > 0) & (value < 1)).sum())
        if between:
            raise DataError(
                f"the response {text} is a proportion in {between} rows: give the numbers of trials, as "
                "weights='<column>', or write cbind(successes, failures) ~ ..."
            )
        return Response(value, text)
    trials = whole_numbers(weights, "weights, the numbers of trials,", text)
    successes = value * trials
    off = np.abs(successes - np.round(successes)) > WHOLE * np.maximum(trials, 1)
    if off.any():
        i = int(np.argmax(off))
        raise DataError(
            f"the response {text} times its weights is {successes[i]:g} successes of {trials[i]:g} trials (in "
            f"{int(off.sum())} rows it is no whole number): are the weights the numbers of trials?"
        )
    return _of_trials(np.round(successes), trials, text)


def _two_levels(value: Factor, text: str, weights: np.ndarray | None) -> Response:
    """R's rule: the first level is failure, the other one success."""
    if len(value.levels) > 2:
        shown = ", ".join(value.levels[:4])
        raise DataError(
            f"the response {text} has {len(value.levels)} categories ({shown}{', ...' * (len(value.levels) > 4)}), a "
            "binomial two: use family='categorical', family='cumulative' for ordered ones, or compare one with the "
            f"rest, as in I({text} == '{value.levels[-1]}') ~ ..."
        )
    if len(value.levels) < 2:
        raise DataError(f"the response {text} is constant ({value.levels[0]}): there is nothing to explain")
    y = value.codes.astype(float)
    if weights is None:
        return Response(y, text, levels=value.levels)
    trials = whole_numbers(weights, "weights, the numbers of trials,", text)
    return Response(y * trials, text, trials, levels=value.levels)


def _successes_failures(value: np.ndarray, text: str, weights: np.ndarray | None) -> Response:
    if (value < 0).any():
        row = int(np.argmax((value < 0).any(axis=1)))
        s, f = value[row]
        raise DataError(
            f"the response {text} has {s:g} successes and {f:g} failures in a row: neither can be negative (is the "
            "second column the failures, and are there no more successes than trials?)"
        )
    counts = whole_numbers(value, "successes and failures", text)
    trials = counts.sum(axis=1)
    if (trials == 0).any():
        raise DataError(
            f"the response {text} has no trials in {int((trials == 0).sum())} rows: leave these rows out"
        )
    if weights is not None:
        repeats = whole_numbers(weights, "weights", text)
        counts, trials = counts * repeats[:, None], trials * repeats
    return _of_trials(counts[:, 0], trials, text)


def _of_trials(successes: np.ndarray, trials: np.ndarray, text: str) -> Response:
    return Response(successes, text, None if (trials == 1).all() else trials)


def _not_a_share(first: float, count: int, node: Node, text: str, weights: np.ndarray | None) -> DataError:
    if weights is None and first > 1 and float(first).is_integer():
        advice = (
            "counts of successes need their numbers of trials: write cbind(successes, failures) ~ ..., or "
            "successes / trials with weights='<trials>'; for counts without trials use family='poisson'"
        )
    elif isinstance(node, Binary) and node.op == "/" and first > 1:
        advice = "there are more successes than trials"
    else:
        advice = "a binomial response is 0 or 1, or a proportion of trials"
    return DataError(f"the response {text} is {first:g} in a row ({count} rows are outside 0 to 1): {advice}")


def whole_numbers(values: np.ndarray, what: str, text: str) -> np.ndarray:
    """Return counts without the rounding of earlier divisions; `what` of the response `text` they are."""
    rounded = np.round(values)
    off = np.abs(values - rounded) > WHOLE
    if off.any():
        raise DataError(
            f"{what} of the response {text} are counts, but {values[off][0]:g} is among them: "
            "give whole numbers"
        )
    return rounded


# -- other supports --------------------------------------------------------------------------------


def check_support(y: np.ndarray, text: str, family: Family) -> None:
    """Raise unless a family can have produced the numbers."""
    name = family.spelled
    match family.support:
        case "count":
            bad, wanted = (y < 0) | (y != np.round(y)), "counts: 0, 1, 2, ..."
            advice = (
                "negative binomial and Poisson models are for counts, family='Gamma' for positive amounts"
            )
        case "positive":
            bad, wanted = y <= 0, "positive numbers"
            advice = (
                "leave these rows out, model zeros by family='hurdle_gamma', or use another family"
                if (y == 0).any() and not (y < 0).any()
                else "use family='gaussian' or 't' for numbers of either sign"
            )
        case "nonnegative":
            bad, wanted = y < 0, "numbers of at least 0"
            advice = "use family='gaussian' or 't' for numbers of either sign"
        case "unit":
            bad, wanted = (y <= 0) | (y >= 1), "numbers between 0 and 1"
            advice = (
                "0 and 1 themselves are impossible: shrink them, as (y * (n - 1) + 0.5) / n, or use a binomial if "
                "these are shares of trials"
            )
        case _:
            return
    if bad.any():
        raise DataError(
            f"the response {text} is {y[bad][0]:g} in a row ({int(bad.sum())} such rows), but {name} responses are "
            f"{wanted}: {advice}"
        )


def _categories(
    value: np.ndarray | Factor, text: str, family: Family, weights: np.ndarray | None
) -> Response:
    if isinstance(value, Factor):
        levels, codes = value.levels, value.codes.astype(float)
    else:
        if value.ndim > 1 or (value != np.round(value)).any():
            raise DataError(
                f"the response {text} is not whole numbers: a {family.name} response is a category, as text, a pandas "
                "Categorical or the numbers 1, 2, 3, ..."
            )
        found, place = np.unique(value, return_inverse=True)
        levels, codes = tuple(f"{v:g}" for v in found), place.astype(float)
    if len(levels) < 3:
        few = ", ".join(levels)
        raise DataError(f"the response {text} has {len(levels)} categories ({few}): use family='binomial'")
    if len(levels) > MOST_CATEGORIES:
        raise DataError(
            f"the response {text} has {len(levels)} different values, too many for a {family.name} model: "
            "is it a number rather than a category?"
        )
    return Response(codes, text, None, weights, levels)
