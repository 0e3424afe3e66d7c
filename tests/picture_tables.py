"""Tables for pictures, from formulas: no sampler, no random numbers, the same on every machine."""

import numpy as np
import pandas as pd
from scipy import stats

GRID = np.linspace(0.0, 8.0, 41)


def quantiles(n: int, turn: float = 0.618034) -> np.ndarray:
    """n normal quantiles in a mixed but fixed order, another for another turn."""
    order = np.argsort(np.argsort((np.arange(1, n + 1) * turn) % 1))
    return stats.norm.ppf((order + 0.5) / n)


def levels(n: int) -> list[str]:
    return [f"s{j:02d}" for j in range(n)]


def shrinkage(n: int = 12) -> pd.DataFrame:
    """Own estimates and partial pooling halfway; the last level has no estimate of its own."""
    own = np.append(quantiles(n - 1), np.nan)
    rows = 4 + 5 * (np.arange(n) % 5)
    base = pd.DataFrame({"group": "school", "level": levels(n), "n": rows})
    intercepts = {"no_pooling": 50 + 6 * own, "partial": 50 + 3 * np.nan_to_num(own), "complete": 50.5}
    turned = quantiles(n - 1, 0.414214)
    slopes = {"no_pooling": 2 + np.append(turned, np.nan), "partial": 2 + 0.4 * np.append(turned, 0.0)}
    return pd.concat(
        [
            base.assign(term="(Intercept)", **intercepts),
            base.assign(term="hours", complete=2.1, **slopes),
        ],
        ignore_index=True,
    )


def effects(n: int = 12) -> pd.DataFrame:
    b, half = 3 * quantiles(n), 1.2 + 0.3 * (np.arange(n) % 4)
    table = pd.DataFrame({"group": "school", "level": levels(n), "term": "(Intercept)", "estimate": b})
    return table.assign(conf_low=b - half, conf_high=b + half, reference=b + 0.3)


def ranks(n: int = 18) -> pd.DataFrame:
    rank = 1 + (n - 1) * stats.norm.cdf(quantiles(n))
    low, high = np.clip(np.round(rank - 3), 1, n), np.clip(np.round(rank + 4), 1, n)
    return pd.DataFrame({"level": levels(n), "rank": rank, "rank_low": low, "rank_high": high})


def lines(n: int = 12) -> pd.DataFrame:
    b = quantiles(n)
    parts = [
        pd.DataFrame({"level": level, "x": GRID, "estimate": 50 + 6 * b[j] + (2 + b[-j - 1] / 2) * GRID})
        for j, level in enumerate(levels(n))
    ]
    return pd.concat(parts, ignore_index=True)


def points(n: int = 12, rows: int = 6) -> pd.DataFrame:
    b, e = quantiles(n), quantiles(n * rows)
    j, x = np.repeat(np.arange(n), rows), 8 * stats.norm.cdf(quantiles(n * rows, 0.414214))
    y = 50 + 6 * b[j] + (2 + b[::-1][j] / 2) * x + 4 * e
    return pd.DataFrame({"level": np.array(levels(n))[j], "x": x, "y": y})


def population() -> pd.DataFrame:
    return band(50 + 2 * GRID, 2 + 0.6 * np.abs(GRID - 3))


def band(middle: np.ndarray, half: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        {"x": GRID, "estimate": middle, "conf_low": middle - half, "conf_high": middle + half}
    )


def conditional() -> pd.DataFrame:
    one, other = population(), band(58 - 0.5 * GRID, 1.5 + 0.2 * GRID)
    return pd.concat([one.assign(by="boy"), other.assign(by="girl")], ignore_index=True)


def pooling(n: int = 4) -> tuple[pd.DataFrame, pd.DataFrame]:
    b = quantiles(n)
    kinds = {
        "complete": (50.0 + 0 * b, 2.0 + 0 * b),
        "no": (50 + 6 * b, 2 + b[::-1] / 2),
        "partial": (50 + 3 * b, 2 + 0.2 * b[::-1]),
    }
    parts = [
        pd.DataFrame({"level": levels(n), "pooling": kind, "intercept": intercept, "slope": slope})
        for kind, (intercept, slope) in kinds.items()
    ]
    return pd.concat(parts, ignore_index=True), points(n, 11)


def coefficients() -> pd.DataFrame:
    estimate = np.array([2.4, -1.1, 0.3, 4.0])
    half = np.array([0.8, 0.6, 0.9, 1.5])
    table = pd.DataFrame({"term": ["hours", "girl", "hours:girl", "mean hours"], "estimate": estimate})
    table = table.assign(conf_low=estimate - half, conf_high=estimate + half)
    table = table.assign(inner_low=estimate - 0.4 * half, inner_high=estimate + 0.4 * half)
    reference = {
        "reference": estimate + 0.1,
        "reference_low": estimate - half,
        "reference_high": estimate + half,
    }
    return table.assign(**reference)


def components() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two standard deviations, a correlation and sigma, with bell-shaped densities."""
    names = ["sd_(Intercept)|school", "cor_hours.(Intercept)|school", "sd_hours|school", "sigma"]
    table = pd.DataFrame(
        {
            "parameter": names,
            "kind": ["sd", "cor", "sd", "sd"],
            "group": ["school", "school", "school", "Residual"],
            "term": ["(Intercept)", "(Intercept) and hours", "hours", "Observation"],
            "estimate": [6.0, -0.4, 0.9, 4.0],
        }
    )
    spread = np.array([1.0, 0.2, 0.3, 0.1])
    table = table.assign(
        conf_low=table["estimate"] - 1.6 * spread, conf_high=table["estimate"] + 1.6 * spread
    )
    table = table.assign(
        reference=table["estimate"] - 0.3 * spread,
        reference_low=table["estimate"] - 2 * spread,
        reference_high=[7.5, np.nan, 1.4, 4.2],
    )
    z = np.linspace(-3, 3, 61)
    curves = [
        pd.DataFrame({"parameter": name, "value": middle + sd * z, "density": np.exp(-(z**2) / 2) / sd})
        for name, middle, sd in zip(names, table["estimate"], spread, strict=True)
    ]
    return table, pd.concat(curves, ignore_index=True)


def replications(draws: int = 12) -> pd.DataFrame:
    x = np.linspace(20, 90, 71)

    def curve(draw: int, middle: float, sd: float) -> pd.DataFrame:
        return pd.DataFrame({"draw": draw, "value": x, "density": stats.norm.pdf(x, middle, sd)})

    made = [curve(k, 55 + 2 * q, 10 + 0.6 * q) for k, q in enumerate(quantiles(draws))]
    return pd.concat([curve(-1, 57, 8.5), *made], ignore_index=True)


def statistics(n: int = 12) -> pd.DataFrame:
    middle = 55 + 6 * quantiles(n)
    y = middle + 3 * quantiles(n, 0.414214)
    return pd.DataFrame(
        {"level": levels(n), "y": y, "y_rep": middle, "conf_low": middle - 4, "conf_high": middle + 4}
    )


def calibration(n: int = 40) -> pd.DataFrame:
    fitted = 55 + 8 * quantiles(n)
    observed = fitted + 4 * quantiles(n, 0.414214)
    rows, highlight = 5 + np.arange(n) % 20, np.arange(n) % 13 == 0
    frame = {"label": levels(n), "n": rows, "fitted": fitted, "observed": observed, "highlight": highlight}
    return pd.DataFrame(frame)


def ellipses(draws: int = 10) -> tuple[pd.DataFrame, pd.DataFrame]:
    turn = np.linspace(0, 2 * np.pi, 61)

    def curve(kind: str, prob: float, draw: int, size: float, tilt: float) -> pd.DataFrame:
        x, y = 6 * size * np.cos(turn), size * np.sin(turn + tilt)
        return pd.DataFrame({"kind": kind, "prob": prob, "draw": draw, "x": x, "y": y})

    parts = [curve("draw", 0.9, k, 2.1 + 0.3 * q, 0.5 + 0.1 * q) for k, q in enumerate(quantiles(draws))]
    for kind, tilt in (("posterior", 0.5), ("reference", 0.4)):
        parts += [curve(kind, 0.5, -1, 1.2, tilt), curve(kind, 0.9, -1, 2.1, tilt)]
    b = quantiles(12)
    effects_of = pd.DataFrame({"level": levels(12), "x": 5 * b, "y": 0.6 * (b + quantiles(12, 0.414214))})
    return pd.concat(parts, ignore_index=True), effects_of


def checks(n: int = 60) -> tuple:
    """The tables of `plot_check`: a curved mean, one outlier, a level of too wide a spread."""
    fitted = np.linspace(40, 70, n)
    scaled = quantiles(n) + 0.6 * ((fitted - 55) / 15) ** 2 - 0.2
    scaled[20] = -4.0
    names = [f"row {i}" for i in range(n)]
    rows = pd.DataFrame({"label": names, "fitted": fitted, "resid": 4 * scaled, "scaled": scaled})
    rows = rows.assign(root=np.sqrt(np.abs(scaled)), outlier=np.arange(n) == 20)
    lines_of = {
        "resid": (fitted, 2.4 * ((fitted - 55) / 15) ** 2 - 0.8),
        "root": (fitted, np.full(n, 0.82)),
    }
    spread = pd.DataFrame({"level": levels(8), "n": np.arange(4, 12), "df": np.arange(3, 11)})
    half = 1.2 / np.sqrt(spread["df"])
    spread = spread.assign(
        spread=[0.9, 1.1, 2.2, 0.8, 1.0, 1.2, 0.7, 1.0], conf_low=1 - half, conf_high=1 + half
    )
    spread["outside"] = (spread["spread"] - 1).abs() > half
    effects_of = pd.concat(
        [
            banded(np.sort(quantiles(12)) * k).assign(group="school", term=t)
            for t, k in (("(Intercept)", 1.0), ("x", 0.9))
        ]
    )
    return rows, banded(np.sort(scaled), [names[i] for i in np.argsort(scaled)]), lines_of, effects_of, spread


def banded(values: np.ndarray, names: list[str] | None = None) -> pd.DataFrame:
    z = stats.norm.ppf((np.arange(len(values)) + 0.5) / len(values))
    half = 0.3 + 0.2 * z**2
    frame = {"theoretical": z, "value": values, "conf_low": z - half, "conf_high": z + half}
    return pd.DataFrame({"label": names or levels(len(values)), **frame})


def profile() -> pd.DataFrame:
    zeta = np.linspace(-2.6, 2.6, 9)
    return pd.concat(
        [
            pd.DataFrame({"parameter": "sigma", "value": 4 + 0.2 * zeta, "zeta": zeta}),
            pd.DataFrame(
                {"parameter": "sd_(Intercept)|school", "value": 6 * np.exp(0.2 * zeta), "zeta": zeta}
            ),
        ],
        ignore_index=True,
    )


def prior_posterior() -> pd.DataFrame:
    x = np.linspace(-4, 8, 61)
    parts = [
        pd.DataFrame(
            {"parameter": name, "source": source, "value": x, "density": stats.norm.pdf(x, middle, sd)}
        )
        for name, middle, sd in (("hours", 2.0, 0.7), ("sigma", 4.0, 0.4))
        for source, middle, sd in (("prior", 1.0, 3.0), ("posterior", middle, sd))
    ]
    return pd.concat(parts, ignore_index=True)
