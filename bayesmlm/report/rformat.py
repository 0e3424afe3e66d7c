"""R's way of writing numbers and tables: `format`, `printCoefmat`, `abbreviate`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from bayesmlm.errors import BayesMLMError

EPSILON = float(np.finfo(float).eps)


def decimals_needed(value: float, digits: int) -> int:
    """Return how many decimals show `value` to `digits` significant digits, trailing zeros dropped."""
    if not math.isfinite(value) or value == 0:
        return 0
    mantissa, exponent = f"{abs(value):.{digits - 1}e}".split("e")
    return max(0, len(mantissa.rstrip("0").replace(".", "")) - 1 - int(exponent))


def format_numbers(values: Iterable[float], digits: int) -> list[str]:
    """Write numbers as R's ``format(x, digits)``: one number of decimals for all, right-justified.

    Enough decimals are used for each to show `digits` significant digits; scientific notation is used
    where it is narrower.
    """
    numbers = [float(v) for v in values]
    finite = [v for v in numbers if math.isfinite(v)]
    decimals = max((decimals_needed(v, digits) for v in finite), default=0)
    fixed = [f"{v:.{decimals}f}" if math.isfinite(v) else _special(v) for v in numbers]
    mantissa = max((_mantissa_decimals(v, digits) for v in finite), default=0)
    scientific = [f"{v:.{mantissa}e}" if math.isfinite(v) else _special(v) for v in numbers]
    chosen = fixed if _width(fixed) <= _width(scientific) else scientific
    return [text.rjust(_width(chosen)) for text in chosen]


def _special(value: float) -> str:
    return "NaN" if math.isnan(value) else ("Inf" if value > 0 else "-Inf")


def _mantissa_decimals(value: float, digits: int) -> int:
    return len(f"{value:.{digits - 1}e}".split("e")[0].rstrip("0").partition(".")[2])


def _width(texts: Sequence[str]) -> int:
    return max(map(len, texts), default=0)


def format_fixed(values: Iterable[float], decimals: int) -> list[str]:
    """Write numbers with a fixed number of decimals, right-justified to one width."""
    if not isinstance(decimals, int) or decimals < 0:
        raise BayesMLMError(f"digits = {decimals!r}: give a number of decimals, 0 or more")
    texts = [f"{v:.{decimals}f}" if math.isfinite(v) else _special(v) for v in map(float, values)]
    texts = [t.replace("-", "") if float(t) == 0 else t for t in texts]
    return [t.rjust(_width(texts)) for t in texts]


def format_coefficients(estimate: np.ndarray, se: np.ndarray, digits: int = 4) -> tuple[list[str], list[str]]:
    """Write estimates and standard errors with one number of decimals, as R's ``printCoefmat``."""
    both = np.concatenate([estimate, se])
    size = np.abs(both[np.isfinite(both) & (both != 0)])
    least = 1 + int(np.floor(np.log10(size.min()))) if size.size else 1
    texts = format_numbers(np.round(both, max(1, digits - least)), digits)
    return texts[: len(estimate)], texts[len(estimate) :]


def format_p(values: Iterable[float], digits: int = 3) -> list[str]:
    """Write p values as R's ``format.pval``: those below 1e-4 by themselves, tiny ones as ``< 2e-16``."""
    numbers = [float(v) for v in values]
    texts = [""] * len(numbers)
    tiny = [i for i, p in enumerate(numbers) if p < EPSILON]
    small = [i for i, p in enumerate(numbers) if EPSILON <= p < 1e-4]
    large = [i for i, p in enumerate(numbers) if p >= 1e-4]
    for group in (small, large):
        for i, text in zip(group, format_numbers([numbers[i] for i in group], digits), strict=True):
            texts[i] = text
    below = _below_epsilon(_width(texts), digits)
    for i in tiny:
        texts[i] = below
    return texts


def _below_epsilon(width: int, digits: int) -> str:
    """Write that a p value is below rounding error; `width` is that of the other p values, 0 without any."""
    digits = max(1, digits - 2)
    if width and digits > 1 and digits + 6 > width:
        digits = max(1, width - 7)
    gap = "" if digits == 1 and width <= 6 else " "
    return f"<{gap}{format_numbers([EPSILON], digits)[0]}"


def stars(p: float) -> str:
    """R's significance codes."""
    return next(
        (mark for limit, mark in ((0.001, "***"), (0.01, "**"), (0.05, "*"), (0.1, ".")) if p <= limit), " "
    )


def zapsmall(values: np.ndarray, digits: int) -> np.ndarray:
    """Round to `digits` significant digits of the largest value, as R's ``zapsmall``."""
    largest = float(np.max(np.abs(values)))
    decimals = digits if largest == 0 else max(0, math.floor(digits - math.log10(largest) + 0.5))
    return np.round(values, decimals)


def abbreviate(names: Sequence[str], minimum: int) -> list[str]:
    """Shorten names as R's ``abbreviate``: vowels go first, then small letters, then the rest, from the end.

    The first letter of each word stays. Names that would become equal are shortened less.
    """
    lengths = dict.fromkeys(range(len(names)), minimum)
    short = [_shorten(name, minimum) for name in names]
    for _ in range(max(map(len, names), default=0)):
        clash = [i for i, s in enumerate(short) if short.count(s) > 1 and names.count(names[i]) == 1]
        if not clash:
            break
        for i in clash:
            lengths[i] += 1
            short[i] = _shorten(names[i], lengths[i])
    return short


def _shorten(name: str, minimum: int) -> str:
    chars = list(name.strip())

    def long_enough() -> bool:
        return sum(not c.isspace() for c in chars) <= minimum

    def first_of_word(i: int) -> bool:
        return i == 0 or chars[i - 1].isspace()

    def last_of_word(i: int) -> bool:
        return not first_of_word(i) and (i + 1 == len(chars) or chars[i + 1].isspace())

    if len(name) <= minimum:
        return name
    steps = [
        (lambda c: c in "aeiou", last_of_word),
        (lambda c: c in "aeiou", None),
        (str.islower, last_of_word),
        (str.islower, None),
        (lambda c: not c.isspace(), None),
    ]
    for matches, place in steps:
        for i in range(len(chars) - 1, 0, -1):
            if long_enough():
                break
            if i < len(chars) and matches(chars[i]) and (place(i) if place else not first_of_word(i)):
                del chars[i]
    return "".join(c for c in chars if not c.isspace())


def text_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: int = 0,
    row_names: Sequence[str] | None = None,
) -> list[str]:
    """Lay out strings in columns separated by a space.

    Parameters
    ----------
    headers, rows
        Column heads and cells.
    left
        How many leading columns are left-justified; the others are right-justified.
    row_names
        Names in front, left-justified, without a head.
    """
    columns = [list(c) for c in zip(headers, *rows, strict=True)]
    lines = [""] * (len(rows) + 1)
    if row_names is not None:
        width = _width(list(row_names))
        lines = [n.ljust(width) for n in ["", *row_names]]
    for j, column in enumerate(columns):
        width = _width(column)
        cells = [c.ljust(width) if j < left else c.rjust(width) for c in column]
        gap = " " if (j or row_names is not None) else ""
        lines = [line + gap + cell for line, cell in zip(lines, cells, strict=True)]
    return lines


def wrap_named(names: Sequence[str], values: Sequence[str], width: int = 80) -> list[str]:
    """Print a named vector as R does: names above values, right-justified, as many as fit a line."""
    cell = max(_width(list(names)), _width(list(values)))
    per_line = max(1, width // (cell + 2))
    lines = []
    for start in range(0, len(names), per_line):
        stop = start + per_line
        lines.append("".join(n.rjust(cell) + "  " for n in names[start:stop]))
        lines.append("".join(v.rjust(cell) + "  " for v in values[start:stop]))
    return lines
