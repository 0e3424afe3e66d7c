"""Formula + data -> Design: columns, names, order and values as R's; groups as lme4's; any data frame."""

from __future__ import annotations

import json
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from bayesmlm.coding import model_columns
from bayesmlm.datasets import load_dataset
from bayesmlm.design import Design, build_design
from bayesmlm.errors import DataError, DataWarning
from bayesmlm.evaluate import Evaluator
from bayesmlm.families import read_family
from bayesmlm.formulas import parse_formula
from bayesmlm.rows import used_columns

REFERENCE = json.loads((Path(__file__).parent / "reference" / "lme4.json").read_text())


def mixed() -> pd.DataFrame:
    """Twelve rows of every kind of column: numbers, strings (f, h, s), booleans (t), integers (k), categories."""
    return pd.DataFrame(
        {
            "y": [3.1, 2.4, 5.6, 4.4, 6.1, 7.3, 2.2, 8.4, 5.0, 6.6, 1.7, 4.9],
            "x": [1.5, 2, 3.25, 4, 0.5, 6, 7.5, 2.5, 9, 1, 3, 5],
            "z": [2, 1, 4, 3, 8, 5, 7, 6, 1, 9, 2, 4],
            "f": list("abcabcabcabc"),
            "h": list("vuuvvuvuvuuv"),
            "t": [letter == "T" for letter in "TFTTFFTFTTFT"],
            "s": ["10", "2"] * 6,
            "k": [1, 1, 2, 2, 3, 3, 1, 2, 3, 1, 2, 3],
            "c": pd.Categorical(
                ["lo", "hi", "mid", "lo", "hi", "mid", "hi", "lo", "mid", "lo", "hi", "mid"],
                categories=["lo", "mid", "hi"],
            ),
            "total.x": [2, 1, 4, 3, 8, 5, 7, 6, 1, 9, 2, 4],
        }
    )


def grouped() -> pd.DataFrame:
    """The mixed rows four times, with grouping factors of 2 (b), 3 (e), 4 (a, o) and 12 (big) levels."""
    data = pd.concat([mixed()] * 4, ignore_index=True)
    return data.assign(
        a=np.repeat(list("pqrs"), 12),
        b=list("mn") * 24,
        e=[1, 1, 2, 2, 3, 3] * 8,
        o=["k1", "k2", "k3", "k4"] * 12,
        big=[f"s{i:02d}" for i in range(12, 0, -1)] * 4,
    )


# -- the fixed part ------------------------------------------------------------------------------------

PRIMES = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89]


def fingerprint(columns: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """Sum of sqrt(prime of the row) x value, by column: no two different columns of 0 and 1 share it."""
    return np.sqrt(np.array(PRIMES)[np.arange(len(columns)) if rows is None else rows]) @ columns


# R 4.2.2 (packages stats and splines), on the rows of mixed() with strings left as strings:
#   m <- model.matrix(formula, d); colnames(m); sprintf("%.7g", sqrt(primes) %*% m)
R_COLUMNS = [
    # formula, names of the columns (x1..3 stands for x1 | x2 | x3), their fingerprints
    ("y ~ 1", "(Intercept)", (45.26379,)),
    ("y ~ x", "(Intercept) | x", (45.26379, 184.2126)),
    ("y ~ 0 + x", "x", (184.2126,)),
    ("y ~ x - 1", "x", (184.2126,)),
    ("y ~ 0 + 1 + x", "(Intercept) | x", (45.26379, 184.2126)),
    ("y ~ x + -1", "x", (184.2126,)),
    ("y ~ f", "(Intercept) | fb | fc", (45.26379, 14.97534, 16.72021)),
    ("y ~ 0 + f", "fa | fb | fc", (13.56824, 14.97534, 16.72021)),
    ("y ~ 0 + x + f", "x | fa | fb | fc", (184.2126, 13.56824, 14.97534, 16.72021)),
    ("y ~ 0 + f + h", "fa | fb | fc | hv", (13.56824, 14.97534, 16.72021, 22.37829)),
    ("y ~ 0 + h + f", "hu | hv | fb | fc", (22.8855, 22.37829, 14.97534, 16.72021)),
    ("y ~ t", "(Intercept) | tTRUE", (45.26379, 26.6829)),
    ("y ~ 0 + t", "tFALSE | tTRUE", (18.58089, 26.6829)),
    ("y ~ c", "(Intercept) | cmid | chi", (45.26379, 16.72021, 14.73955)),
    ("y ~ s", "(Intercept) | s2", (45.26379, 23.81018)),
    ("y ~ k", "(Intercept) | k", (45.26379, 95.67381)),
    ("y ~ total.x", "(Intercept) | total.x", (45.26379, 209.7468)),
    ("y ~ x + f + x", "(Intercept) | x | fb | fc", (45.26379, 184.2126, 14.97534, 16.72021)),
    (
        "y ~ x * f",
        "(Intercept) | x | fb | fc | x:fb | x:fc",
        (45.26379, 184.2126, 14.97534, 16.72021, 32.72295, 102.4768),
    ),
    ("y ~ x:f", "(Intercept) | x:fa | x:fb | x:fc", (45.26379, 49.01278, 32.72295, 102.4768)),
    ("y ~ f:x", "(Intercept) | fa:x | fb:x | fc:x", (45.26379, 49.01278, 32.72295, 102.4768)),
    ("y ~ 0 + x:f", "x:fa | x:fb | x:fc", (49.01278, 32.72295, 102.4768)),
    (
        "y ~ 0 + f + x:f",
        "fa | fb | fc | fa:x | fb:x | fc:x",
        (13.56824, 14.97534, 16.72021, 49.01278, 32.72295, 102.4768),
    ),
    ("y ~ x + x:f", "(Intercept) | x | x:fb | x:fc", (45.26379, 184.2126, 32.72295, 102.4768)),
    (
        "y ~ f + f:x",
        "(Intercept) | fb | fc | fa:x | fb:x | fc:x",
        (45.26379, 14.97534, 16.72021, 49.01278, 32.72295, 102.4768),
    ),
    (
        "y ~ x * f - x",
        "(Intercept) | fb | fc | x:fa | x:fb | x:fc",
        (45.26379, 14.97534, 16.72021, 49.01278, 32.72295, 102.4768),
    ),
    (
        "y ~ 0 + x * f",
        "x | fa | fb | fc | x:fb | x:fc",
        (184.2126, 13.56824, 14.97534, 16.72021, 32.72295, 102.4768),
    ),
    ("y ~ x:t", "(Intercept) | x:tFALSE | x:tTRUE", (45.26379, 54.35626, 129.8563)),
    (
        "y ~ t:f",
        "(Intercept) | tFALSE:fa | tTRUE:fa | tFALSE:fb | tTRUE:fb | tFALSE:fc | tTRUE:fc",
        (45.26379, 0, 13.56824, 14.97534, 0, 3.605551, 13.11466),
    ),
    (
        "y ~ f:h",
        "(Intercept) | fa:hu | fb:hu | fc:hu | fa:hv | fb:hv | fc:hv",
        (45.26379, 5.385165, 11.65871, 5.841619, 8.18307, 3.316625, 10.87859),
    ),
    (
        "y ~ 0 + f:h",
        "fa:hu | fb:hu | fc:hu | fa:hv | fb:hv | fc:hv",
        (5.385165, 11.65871, 5.841619, 8.18307, 3.316625, 10.87859),
    ),
    (
        "y ~ f + f:h",
        "(Intercept) | fb | fc | fa:hv | fb:hv | fc:hv",
        (45.26379, 14.97534, 16.72021, 8.18307, 3.316625, 10.87859),
    ),
    (
        "y ~ h + f:h",
        "(Intercept) | hv | hu:fb | hv:fb | hu:fc | hv:fc",
        (45.26379, 22.37829, 11.65871, 3.316625, 5.841619, 10.87859),
    ),
    (
        "y ~ f * h",
        "(Intercept) | fb | fc | hv | fb:hv | fc:hv",
        (45.26379, 14.97534, 16.72021, 22.37829, 3.316625, 10.87859),
    ),
    (
        "y ~ f * h - f",
        "(Intercept) | hv | fb:hu | fc:hu | fb:hv | fc:hv",
        (45.26379, 22.37829, 11.65871, 5.841619, 3.316625, 10.87859),
    ),
    (
        "y ~ 0 + f * h",
        "fa | fb | fc | hv | fb:hv | fc:hv",
        (13.56824, 14.97534, 16.72021, 22.37829, 3.316625, 10.87859),
    ),
    (
        "y ~ f / h",
        "(Intercept) | fb | fc | fa:hv | fb:hv | fc:hv",
        (45.26379, 14.97534, 16.72021, 8.18307, 3.316625, 10.87859),
    ),
    (
        "y ~ f / x",
        "(Intercept) | fb | fc | fa:x | fb:x | fc:x",
        (45.26379, 14.97534, 16.72021, 49.01278, 32.72295, 102.4768),
    ),
    ("y ~ x / f", "(Intercept) | x | x:fb | x:fc", (45.26379, 184.2126, 32.72295, 102.4768)),
    (
        "y ~ f / (x + z)",
        "(Intercept) | fb | fc | fa:x | fb:x | fc:x | fa:z | fb:z | fc:z",
        (45.26379, 14.97534, 16.72021, 49.01278, 32.72295, 102.4768, 88.0939, 65.55397, 56.09891),
    ),
    (
        "y ~ (f + h) / x",
        "(Intercept) | fb | fc | hv | fa:hu:x | fb:hu:x | fc:hu:x | fa:hv:x | fb:hv:x | fc:hv:x",
        (45.26379, 14.97534, 16.72021, 22.37829, 5.385165, 31.06464, 28.90053, 43.62762, 1.658312, 73.5763),
    ),
    (
        "y ~ f / h / x",
        "(Intercept) | fb | fc | fa:hv | fb:hv | fc:hv | fa:hu:x | fb:hu:x | fc:hu:x | fa:hv:x | "
        "fb:hv:x | fc:hv:x",
        (
            45.26379, 14.97534, 16.72021, 8.18307, 3.316625, 10.87859, 5.385165, 31.06464, 28.90053,
            43.62762, 1.658312, 73.5763,
        ),
    ),
    ("y ~ x %in% f", "(Intercept) | x:fa | x:fb | x:fc", (45.26379, 49.01278, 32.72295, 102.4768)),
    (
        "y ~ f %in% h",
        "(Intercept) | fa:hu | fb:hu | fc:hu | fa:hv | fb:hv | fc:hv",
        (45.26379, 5.385165, 11.65871, 5.841619, 8.18307, 3.316625, 10.87859),
    ),
    (
        "y ~ f + h %in% f",
        "(Intercept) | fb | fc | fa:hv | fb:hv | fc:hv",
        (45.26379, 14.97534, 16.72021, 8.18307, 3.316625, 10.87859),
    ),
    (
        "y ~ (x + z) %in% f",
        "(Intercept) | x:fa | x:fb | x:fc | z:fa | z:fb | z:fc",
        (45.26379, 49.01278, 32.72295, 102.4768, 88.0939, 65.55397, 56.09891),
    ),
    (
        "y ~ f %in% (h + t)",
        "(Intercept) | fa:hu:tFALSE | fb:hu:tFALSE | fc:hu:tFALSE | fa:hv:tFALSE | fb:hv:tFALSE | "
        "fc:hv:tFALSE | fa:hu:tTRUE | fb:hu:tTRUE | fc:hu:tTRUE | fa:hv:tTRUE | fb:hv:tTRUE | "
        "fc:hv:tTRUE",
        (45.26379, 0, 11.65871, 3.605551, 0, 3.316625, 0, 5.385165, 0, 2.236068, 8.18307, 0, 10.87859),
    ),
    ("y ~ x * z", "(Intercept) | x | z | x:z", (45.26379, 184.2126, 209.7468, 718.495)),
    ("y ~ x + z + x:z - x", "(Intercept) | z | x:z", (45.26379, 209.7468, 718.495)),
    (
        "y ~ (x + z + f)^2",
        "(Intercept) | x | z | fb | fc | x:z | x:fb | x:fc | z:fb | z:fc",
        (45.26379, 184.2126, 209.7468, 14.97534, 16.72021, 718.495, 32.72295, 102.4768, 65.55397, 56.09891),
    ),
    (
        "y ~ (x + z + f)^3 - x:z:f",
        "(Intercept) | x | z | fb | fc | x:z | x:fb | x:fc | z:fb | z:fc",
        (45.26379, 184.2126, 209.7468, 14.97534, 16.72021, 718.495, 32.72295, 102.4768, 65.55397, 56.09891),
    ),
    ("y ~ x:z + x:f", "(Intercept) | x:z | x:fb | x:fc", (45.26379, 718.495, 32.72295, 102.4768)),
    (
        "y ~ f:h + h:c + c",
        "(Intercept) | cmid | chi | fa:hu | fb:hu | fc:hu | fa:hv | fb:hv | fc:hv | hv:cmid | hv:chi",
        (
            *(45.26379, 16.72021, 14.73955, 5.385165, 11.65871, 5.841619, 8.18307, 3.316625),
            *(10.87859, 10.87859, 7.43973),
        ),
    ),
    ("y ~ x:z:f", "(Intercept) | x:z:fa | x:z:fb | x:z:fc", (45.26379, 300.9212, 115.5207, 302.0532)),
    (
        "y ~ f * h * x",
        "(Intercept) | fb | fc | hv | x | fb:hv | fc:hv | fb:x | fc:x | hv:x | fb:hv:x | fc:hv:x",
        (
            45.26379, 14.97534, 16.72021, 22.37829, 184.2126, 3.316625, 10.87859, 32.72295, 102.4768,
            118.8622, 1.658312, 73.5763,
        ),
    ),
    ("y ~ x:z + z + x", "(Intercept) | z | x | x:z", (45.26379, 209.7468, 184.2126, 718.495)),
    ("y ~ I(x^2)", "(Intercept) | I(x^2)", (45.26379, 1061.884)),
    ("y ~ I(x * z) + I(x / z)", "(Intercept) | I(x * z) | I(x/z)", (45.26379, 718.495, 80.35294)),
    ("y ~ I(x - mean(x))", "(Intercept) | I(x - mean(x))", (45.26379, 13.53036)),
    ("y ~ I((x - mean(x)) / sd(x))", "(Intercept) | I((x - mean(x))/sd(x))", (45.26379, 5.116247)),
    ("y ~ I(x %% 2) + I(z %/% 2)", "(Intercept) | I(x%%2) | I(z%/%2)", (45.26379, 36.77035, 93.72966)),
    ("y ~ I(x > 3)", "(Intercept) | I(x > 3)TRUE", (45.26379, 23.48907)),
    ("y ~ I(x > 3 & z < 5)", "(Intercept) | I(x > 3 & z < 5)TRUE", (45.26379, 15.76041)),
    (
        "y ~ as.numeric(x > 6) + I(z >= 8)",
        "(Intercept) | as.numeric(x > 6) | I(z >= 8)TRUE",
        (45.26379, 8.918937, 8.70179),
    ),
    (
        'y ~ I(f == "a") + I(s != 10)',
        '(Intercept) | I(f == "a")TRUE | I(s != 10)TRUE',
        (45.26379, 13.56824, 23.81018),
    ),
    ("y ~ I(!t) + I(x * t)", "(Intercept) | I(!t)TRUE | I(x * t)", (45.26379, 18.58089, 129.8563)),
    (
        "y ~ I(100000 * x) + I(x / 0.0001)",
        "(Intercept) | I(1e+05 * x) | I(x/1e-04)",
        (45.26379, 1.842126e+07, 1842126),
    ),
    (
        "y ~ log(x) + log(x, 2) + log(x, base = 10)",
        "(Intercept) | log(x) | log(x, 2) | log(x, base = 10)",
        (45.26379, 50.98453, 73.55513, 22.1423),
    ),
    (
        "y ~ log2(x) + log10(x) + log1p(x)",
        "(Intercept) | log2(x) | log10(x) | log1p(x)",
        (45.26379, 73.55513, 22.1423, 66.73043),
    ),
    (
        "y ~ sqrt(x) + exp(-x / 10) + abs(x - 3)",
        "(Intercept) | sqrt(x) | exp(-x/10) | abs(x - 3)",
        (45.26379, 85.88254, 31.13702, 98.61062),
    ),
    (
        "y ~ round(x) + round(x, 1) + trunc(x) + floor(x) + ceiling(x)",
        "(Intercept) | round(x) | round(x, 1) | trunc(x) | floor(x) | ceiling(x)",
        (45.26379, 182.5844, 184.1008, 177.0471, 177.0471, 192.496),
    ),
    ("y ~ scale(x)", "(Intercept) | scale(x)", (45.26379, 5.116247)),
    (
        "y ~ scale(x, scale = FALSE) + scale(z, center = FALSE)",
        "(Intercept) | scale(x, scale = FALSE) | scale(z, center = FALSE)",
        (45.26379, 13.53036, 39.76774),
    ),
    ("y ~ scale(x, 3, 2)", "(Intercept) | scale(x, 3, 2)", (45.26379, 24.2106)),
    (
        "y ~ scale(log(x)) * h",
        "(Intercept) | scale(log(x)) | hv | scale(log(x)):hv",
        (45.26379, 4.07462, 22.37829, 8.334309),
    ),
    ("y ~ as.vector(scale(x))", "(Intercept) | as.vector(scale(x))", (45.26379, 5.116247)),
    ("y ~ poly(x, 1)", "(Intercept) | poly(x, 1)", (45.26379, 1.542606)),
    ("y ~ poly(x, 3)", "(Intercept) | poly(x, 3)1..3", (45.26379, 1.542606, 0.1345473, -0.6016933)),
    (
        "y ~ poly(x, degree = 2, raw = TRUE)",
        "(Intercept) | poly(x, degree = 2, raw = TRUE)1..2",
        (45.26379, 184.2126, 1061.884),
    ),
    (
        "y ~ f * poly(x, 2)",
        "(Intercept) | fb | fc | poly(x, 2)1..2 | fb:poly(x, 2)1 | fc:poly(x, 2)1 | fb:poly(x, 2)2 | "
        "fc:poly(x, 2)2",
        (45.26379, 14.97534, 16.72021, 1.542606, 0.1345473, -2.707361, 4.495179, -0.1915873, -0.7343547),
    ),
    ("y ~ ns(x)", "(Intercept) | ns(x)", (45.26379, 15.2415)),
    ("y ~ ns(x, 3)", "(Intercept) | ns(x, 3)1..3", (45.26379, 4.227586, 18.23313, -1.535869)),
    (
        "y ~ ns(x, knots = c(2, 5))",
        "(Intercept) | ns(x, knots = c(2, 5))1..3",
        (45.26379, 4.985768, 17.78316, -2.219568),
    ),
    (
        "y ~ ns(x, df = 3, intercept = TRUE)",
        "(Intercept) | ns(x, df = 3, intercept = TRUE)1..3",
        (45.26379, 5.723836, 19.72274, -0.08813887),
    ),
    ("y ~ bs(x)", "(Intercept) | bs(x)1..3", (45.26379, 11.55199, 8.563508, 9.44982)),
    (
        "y ~ bs(x, df = 5)",
        "(Intercept) | bs(x, df = 5)1..5",
        (45.26379, 5.847956, 12.95961, 9.688961, 4.969788, 6.266095),
    ),
    (
        "y ~ bs(x, df = 5, degree = 2)",
        "(Intercept) | bs(x, df = 5, degree = 2)1..5",
        (45.26379, 4.962111, 11.00623, 11.18439, 6.084099, 6.424372),
    ),
    (
        "y ~ bs(x, knots = c(2, 5), degree = 1)",
        "(Intercept) | bs(x, knots = c(2, 5), degree = 1)1..3",
        (45.26379, 14.00046, 15.61102, 8.27416),
    ),
    (
        "y ~ bs(x, df = 4, intercept = TRUE)",
        "(Intercept) | bs(x, df = 4, intercept = TRUE)1..4",
        (45.26379, 15.69846, 11.55199, 8.563508, 9.44982),
    ),
    ("y ~ factor(k)", "(Intercept) | factor(k)2 | factor(k)3", (45.26379, 14.80848, 17.80077)),
    (
        "y ~ as.factor(k) * x",
        "(Intercept) | as.factor(k)2 | as.factor(k)3 | x | as.factor(k)2:x | as.factor(k)3:x",
        (45.26379, 14.80848, 17.80077, 184.2126, 45.45077, 96.86792),
    ),
    ("y ~ factor(x > 3)", "(Intercept) | factor(x > 3)TRUE", (45.26379, 23.48907)),
    (
        'y ~ factor(f, levels = c("c", "a", "b"))',
        '(Intercept) | factor(f, levels = c("c", "a", "b"))a | factor(f, levels = c("c", "a", "b"))b',
        (45.26379, 13.56824, 14.97534),
    ),
    (
        "y ~ factor(k, levels = 3:1)",
        "(Intercept) | factor(k, levels = 3:1)2 | factor(k, levels = 3:1)1",
        (45.26379, 14.80848, 12.65453),
    ),
    (
        'y ~ factor(k, labels = c("one", "two", "three"))',
        '(Intercept) | factor(k, labels = c("one", "two", "three"))two | '
        'factor(k, labels = c("one", "two", "three"))three',
        (45.26379, 14.80848, 17.80077),
    ),
    (
        'y ~ relevel(c, ref = "hi")',
        '(Intercept) | relevel(c, ref = "hi")lo | relevel(c, ref = "hi")mid',
        (45.26379, 13.80403, 16.72021),
    ),
    (
        'y ~ relevel(factor(k), "3")',
        '(Intercept) | relevel(factor(k), "3")1..2',
        (45.26379, 12.65453, 14.80848),
    ),
    (
        "y ~ as.numeric(c) + as.numeric(t) + as.numeric(s)",
        "(Intercept) | as.numeric(c) | as.numeric(t) | as.numeric(s)",
        (45.26379, 91.46309, 26.6829, 262.1564),
    ),
    (
        "y ~ as.integer(x) + as.integer(s)",
        "(Intercept) | as.integer(x) | as.integer(s)",
        (45.26379, 177.0471, 262.1564),
    ),
    (
        "y ~ as.numeric(factor(s)) + as.numeric(x > 3)",
        "(Intercept) | as.numeric(factor(s)) | as.numeric(x > 3)",
        (45.26379, 69.07397, 23.48907),
    ),
    (
        "y ~ cbind(x, total = z)",
        "(Intercept) | cbind(x, total = z)x | cbind(x, total = z)total",
        (45.26379, 184.2126, 209.7468),
    ),
    ("y ~ offset(log(x)) + f", "(Intercept) | fb | fc", (45.26379, 14.97534, 16.72021)),
]  # fmt: skip


def expand(names: str) -> list[str]:
    out = []
    for name in names.split(" | "):
        stem, dots, last = name.rpartition("1..")
        out += [f"{stem}{i}" for i in range(1, int(last) + 1)] if dots else [name]
    return out


@pytest.mark.parametrize(("formula", "names", "values"), R_COLUMNS)
def test_columns_are_those_of_rs_model_matrix(formula, names, values):
    columns = model_columns(parse_formula(formula).fixed, Evaluator(mixed(), formula))
    assert list(columns.names) == expand(names)
    np.testing.assert_allclose(fingerprint(columns.values), values, rtol=5e-7, atol=1e-12)


def test_a_condition_with_or_is_one_column_and_no_bar():
    """R 4.2.2: coefficient ``I(x > 6 | z == 1)TRUE``."""
    data = mixed()
    design = build_design("y ~ I(x > 6 | z == 1)", data)
    assert design.coefficients == ("(Intercept)", "I(x > 6 | z == 1)TRUE")
    assert design.X[:, 1].tolist() == ((data.x > 6) | (data.z == 1)).astype(float).tolist()


def test_assign_tells_the_term_of_every_column():
    design = build_design("y ~ f * x + poly(z, 2)", mixed())
    terms = ["(Intercept)" if i < 0 else str(design.formula.fixed.terms[i]) for i in design.assign]
    assert terms == ["(Intercept)", "f", "f", "x", *["poly(z, 2)"] * 2, "f:x", "f:x"]


def test_an_ordered_categorical_is_coded_by_treatment_contrasts():
    """A decision, not R's: there ``ordered()`` gives the columns c.L and c.Q."""
    data = mixed()
    design = build_design("y ~ c", data.assign(c=data.c.cat.as_ordered()))
    np.testing.assert_array_equal(design.X, build_design("y ~ c", data).X)
    assert design.coefficients == ("(Intercept)", "cmid", "chi")


@pytest.mark.parametrize(
    ("response", "values"),
    [
        ("log(y)", np.log(mixed().y)),
        ("I(y^2)", mixed().y ** 2),
        ("y / z", mixed().y / mixed().z),
        ("scale(y)", (mixed().y - mixed().y.mean()) / mixed().y.std()),
        ("as.numeric(t)", mixed().t.astype(float)),
    ],
)
def test_response_is_transformed(response, values):
    design = build_design(f"{response} ~ x", mixed())
    np.testing.assert_allclose(design.y, values, rtol=1e-15)
    assert design.response == response.replace(" / ", "/")


def test_names_with_dots_and_spaces():
    data = mixed().rename(columns={"x": "reading age", "f": "class room"})
    design = build_design(
        "y ~ `reading age`:`class room` + total.x + log(`reading age`) + (1 | `class room`)", data
    )
    assert design.coefficients == (
        *("(Intercept)", "total.x", "log(`reading age`)"),
        *("reading age:class rooma", "reading age:class roomb", "reading age:class roomc"),
    )
    assert [(b.label, b.group, b.levels) for b in design.blocks] == [
        ("class room", "class room", ("a", "b", "c"))
    ]


# -- columns that say nothing new ----------------------------------------------------------------------

# R 4.2.2, lme4 1.1-31: what lmer(... + (1 | a)) keeps, and the coefficients that lm() prints as NA
ALIASED = [
    # formula, kept, left out
    ("y ~ x + x2", "(Intercept) | x", "x2"),
    ("y ~ x2 + x + z", "(Intercept) | x2 | z", "x"),
    ("y ~ one + x", "(Intercept) | x", "one"),
    ("y ~ 0 + one + x", "one | x", ""),
    ("y ~ f + f2", "(Intercept) | fb | fc", "f2b | f2c"),
    ("y ~ 0 + f + h + f2", "fa | fb | fc | hv", "f2b | f2c"),
    ("y ~ k + factor(k)", "(Intercept) | k | factor(k)2", "factor(k)3"),
    ("y ~ factor(k) + k", "(Intercept) | factor(k)2 | factor(k)3", "k"),
    ("y ~ x + z + w", "(Intercept) | x | z", "w"),
    ("y ~ w + z + x", "(Intercept) | w | z", "x"),
    ("y ~ x + near9", "(Intercept) | x", "near9"),
    ("y ~ x + near5", "(Intercept) | x | near5", ""),
    ("y ~ x * x2", "(Intercept) | x | x:x2", "x2"),
    ("y ~ 0 + f:t", "fb:tFALSE | fc:tFALSE | fa:tTRUE | fc:tTRUE", "fa:tFALSE | fb:tTRUE"),
]


@pytest.mark.parametrize(("formula", "kept", "left_out"), ALIASED)
def test_collinear_columns_are_left_out_as_r_does(formula, kept, left_out):
    data = grouped()
    data = data.assign(x2=2 * data.x, one=1, f2=data.f, w=data.x + data.z)
    data = data.assign(near9=data.x + 1e-9 * data.z, near5=data.x + 1e-5 * data.z)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        design = build_design(f"{formula} + (1 | a)", data)
    gone = left_out.split(" | ") if left_out else []
    assert " | ".join(design.coefficients) == kept
    assert list(design.aliased) == gone
    assert design.X.shape[1] == len(design.assign) == len(design.coefficients)
    assert [w.category for w in caught] == [DataWarning] * len(gone)
    for name, warning in zip(gone, caught, strict=True):
        assert str(warning.message).startswith(f"{name} is ")
        assert "left out of the fixed effects" in str(warning.message)


# -- groups --------------------------------------------------------------------------------------------

# R 4.2.2, lme4 1.1-31, on the rows of grouped(): lFormula(formula, d)$reTrms, names(cnms), cnms, nlevels(flist)
LME4_BLOCKS = [
    # random part, blocks as (label, columns, number of levels)
    ("(1|a)", [("a", "(Intercept)", 4)]),
    ("(x|a)", [("a", "(Intercept) | x", 4)]),
    ("(0 + x | a)", [("a", "x", 4)]),
    ("(x || a)", [("a", "(Intercept)", 4), ("a.1", "x", 4)]),
    ("(x + z || a)", [("a", "(Intercept)", 4), ("a.1", "x", 4), ("a.2", "z", 4)]),
    ("(f | a)", [("a", "(Intercept) | fb | fc", 4)]),
    ("(0 + f | a)", [("a", "fa | fb | fc", 4)]),
    ("(f || a)", [("a", "(Intercept)", 4), ("a.1", "fa | fb | fc", 4)]),
    ("(f + x - 1 || a)", [("a", "fa | fb | fc", 4), ("a.1", "x", 4)]),
    ("(0 + x + f | a)", [("a", "x | fa | fb | fc", 4)]),
    ("(x*f | a)", [("a", "(Intercept) | x | fb | fc | x:fb | x:fc", 4)]),
    (
        "(x*f || a)",
        [
            ("a", "(Intercept)", 4),
            ("a.1", "x", 4),
            ("a.2", "fa | fb | fc", 4),
            ("a.3", "x:fa | x:fb | x:fc", 4),
        ],
    ),
    ("(x:f | a)", [("a", "(Intercept) | x:fa | x:fb | x:fc", 4)]),
    ("(f/x | a)", [("a", "(Intercept) | fb | fc | fa:x | fb:x | fc:x", 4)]),
    ("(t | a)", [("a", "(Intercept) | tTRUE", 4)]),
    ("(c | a)", [("a", "(Intercept) | cmid | chi", 4)]),
    ("(poly(x, 2) | a)", [("a", "(Intercept) | poly(x, 2)1..2", 4)]),
    # nested, and combinations
    ("(1 | a/b)", [("b:a", "(Intercept)", 8), ("a", "(Intercept)", 4)]),
    ("(x | a/b)", [("b:a", "(Intercept) | x", 8), ("a", "(Intercept) | x", 4)]),
    ("(x || a/b)", [("b:a", "x", 8), ("b:a.1", "(Intercept)", 8), ("a", "x", 4), ("a.1", "(Intercept)", 4)]),
    ("(1 | a/b/e)", [("e:(b:a)", "(Intercept)", 24), ("b:a", "(Intercept)", 8), ("a", "(Intercept)", 4)]),
    ("(1 | a/b:e)", [("b:e:a", "(Intercept)", 24), ("a", "(Intercept)", 4)]),
    ("(1 | a:b:e)", [("a:b:e", "(Intercept)", 24)]),
    ("(1 | a) + (1 | a:b)", [("a:b", "(Intercept)", 8), ("a", "(Intercept)", 4)]),
    (
        "(x | a/b) + (1 | o)",
        [("b:a", "(Intercept) | x", 8), ("a", "(Intercept) | x", 4), ("o", "(Intercept)", 4)],
    ),
    (
        "(x | b/a) + (1 | o)",
        [("a:b", "(Intercept) | x", 8), ("o", "(Intercept)", 4), ("b", "(Intercept) | x", 2)],
    ),
    # order: as written while the numbers of levels do not increase; otherwise rev(order(nl)), ties reversed
    ("(1 | a) + (1 | o)", [("a", "(Intercept)", 4), ("o", "(Intercept)", 4)]),
    ("(1 | o) + (1 | a)", [("o", "(Intercept)", 4), ("a", "(Intercept)", 4)]),
    ("(1 | a) + (1 | b)", [("a", "(Intercept)", 4), ("b", "(Intercept)", 2)]),
    ("(1 | b) + (1 | a)", [("a", "(Intercept)", 4), ("b", "(Intercept)", 2)]),
    (
        "(1 | b) + (1 | a) + (1 | o)",
        [("o", "(Intercept)", 4), ("a", "(Intercept)", 4), ("b", "(Intercept)", 2)],
    ),
    (
        "(1 | big) + (1 | a) + (1 | o)",
        [("big", "(Intercept)", 12), ("a", "(Intercept)", 4), ("o", "(Intercept)", 4)],
    ),
    (
        "(1 | a) + (1 | big) + (1 | o)",
        [("big", "(Intercept)", 12), ("o", "(Intercept)", 4), ("a", "(Intercept)", 4)],
    ),
    ("(1 | a) + (0 + x | a)", [("a", "(Intercept)", 4), ("a.1", "x", 4)]),
    (
        "(1 | a) + (0 + x | a) + (1 | big)",
        [("big", "(Intercept)", 12), ("a", "x", 4), ("a.1", "(Intercept)", 4)],
    ),
    # integers, booleans and categories as groups
    ("(1 | e)", [("e", "(Intercept)", 3)]),
    ("(1 | t)", [("t", "(Intercept)", 2)]),
    ("(1 | c)", [("c", "(Intercept)", 3)]),
    ("(1 | factor(e))", [("factor(e)", "(Intercept)", 3)]),
    ("(1 | a:factor(e))", [("a:factor(e)", "(Intercept)", 12)]),
]


@pytest.mark.filterwarnings("ignore:.*as many group effects:bayesmlm.errors.DataWarning")
@pytest.mark.parametrize(("random", "blocks"), LME4_BLOCKS)
def test_blocks_are_those_of_lme4(random, blocks):
    design = build_design(f"y ~ x + {random}", grouped())
    assert [(b.label, list(b.columns), len(b.levels)) for b in design.blocks] == [
        (label, expand(columns), levels) for label, columns, levels in blocks
    ]
    assert design.ngroups == {b.group: n for b, (_, _, n) in zip(design.blocks, blocks, strict=True)}
    for block in design.blocks:
        assert block.Z.shape == (48, len(block.columns))
        assert np.unique(block.index).tolist() == list(range(len(block.levels)))


def test_every_row_has_its_level():
    data = grouped()
    columns = {"a": data.a, "b:a": data.b + ":" + data.a, "big": data.big, "e": data.e.astype(str)}
    columns |= {"t": data.t.map({True: "TRUE", False: "FALSE"}), "c": data.c.astype(str)}
    columns |= {"e:(b:a)": columns["e"] + ":" + columns["b:a"]}
    design = build_design("y ~ (1|a/b/e) + (1|big) + (1|e) + (1|t) + (1|c)", data)
    assert {b.group for b in design.blocks} == set(columns)
    for block in design.blocks:
        assert np.array(block.levels)[block.index].tolist() == columns[block.group].tolist()


def test_levels_are_ordered_as_r_orders_them():
    """R 4.2.2: strings sort, categories keep their order, integers sort as numbers, a:b has b varying fastest."""
    design = build_design(
        "y ~ (1|big) + (1|c:b) + (1|ids) + (1|s)", grouped().assign(ids=[10, 9, 100, 1] * 12)
    )
    levels = {b.group: b.levels for b in design.blocks}
    assert levels["big"] == tuple(f"s{i:02d}" for i in range(1, 13))
    assert levels["c:b"] == ("lo:m", "lo:n", "mid:m", "mid:n", "hi:m", "hi:n")
    assert levels["ids"] == ("1", "9", "10", "100")
    assert levels["s"] == ("10", "2")


def test_only_observed_combinations_are_levels():
    data = pd.DataFrame({"y": range(8), "a": list("ppppqqqq"), "b": list("mmnnooll")})
    nested, outer = build_design("y ~ (1 | a/b)", data).blocks
    assert nested.levels == ("l:q", "m:p", "n:p", "o:q")
    assert outer.levels == ("p", "q")


def test_z_holds_the_values_of_the_columns():
    data = grouped()
    (block,) = build_design("y ~ (x*t | a)", data).blocks
    assert block.columns == ("(Intercept)", "x", "tTRUE", "x:tTRUE")
    np.testing.assert_array_equal(block.Z, np.column_stack([np.ones(48), data.x, data.t, data.x * data.t]))


# -- the models of the reference -----------------------------------------------------------------------


def prepared(entry: dict) -> pd.DataFrame:
    """The data set of a reference model, prepared as its note says."""
    data = load_dataset(entry["data"].removesuffix(".csv"))
    if entry["data"] == "england_schools.csv":
        data = data.query("ATT8SCR > 0 and PTFSM6CLA1A > 0 and PERCTOT > 0 and PNUMEAL > 0")
    if entry["data"] == "grouseticks.csv":
        data = data.assign(cHEIGHT=data.HEIGHT - data.HEIGHT.mean())
    return data


@pytest.mark.filterwarnings("ignore:.1 . INDEX. has as many:bayesmlm.errors.DataWarning")
@pytest.mark.parametrize("name", [k for k, entry in REFERENCE.items() if "formula" in entry])
def test_reference_models_have_lme4s_names_rows_and_groups(name):
    entry = REFERENCE[name]
    design = build_design(entry["formula"], prepared(entry), read_family(entry.get("family", "gaussian")))
    assert list(design.coefficients) == entry["fixef"]["names"] if "fixef" in entry else entry["names"]
    assert design.nobs == entry["nobs"]
    if "ngrps" in entry:
        assert design.ngroups == entry["ngrps"]
        assert list(design.ngroups) == list(entry["ngrps"])
        labels = [row["grp"] for row in entry["varcorr"] if row["grp"] != "Residual"]
        assert [b.label for b in design.blocks] == list(dict.fromkeys(labels))
        for block in design.blocks:
            assert list(block.levels[:10]) == entry["ranef"][block.group]["levels"]


# -- missing values, offsets, weights ------------------------------------------------------------------


def test_rows_with_a_missing_value_are_dropped_and_counted_by_column():
    data = grouped()
    data.loc[[0, 1, 2], "x"] = np.nan
    data.loc[[2, 3], "y"] = np.nan
    data.loc[7, "a"] = None
    data.loc[9, "z"] = 0
    data["unused"] = np.nan
    design = build_design("y ~ x + z + (x | a)", data)
    assert design.dropped == {"y": 2, "x": 3, "a": 1}
    assert (design.nobs, design.n_given) == (43, 48)
    assert design.rows.tolist() == [4, 5, 6, *range(8, 48)]
    np.testing.assert_array_equal(design.X[:, 1], data.x.to_numpy()[design.rows])
    assert design.frame.columns.tolist() == ["y", "x", "z", "a"]
    assert design.frame.index.tolist() == list(range(43))
    assert design.frame.x.tolist() == data.x.iloc[design.rows].tolist()


def test_rows_lost_in_a_transformation_are_counted_by_expression():
    data = grouped().assign(x=lambda d: d.x - 1.2)
    data.loc[[0, 4], "x"] = np.nan
    with pytest.warns(DataWarning, match="dropped"):
        design = build_design("y ~ log(x) + (1 | a)", data)
    assert design.dropped == {"x": 2, "log(x)": 7}  # 0.5 and 1 became negative: 8 rows, one of them missing
    assert design.nobs == 48 - 2 - 7


def test_complete_data_lose_nothing():
    design = build_design("y ~ x + (1 | a)", grouped())
    assert dict(design.dropped) == {}
    assert design.rows.tolist() == list(range(48))


def test_levels_and_codes_of_dropped_rows_are_gone():
    data = grouped()
    data.loc[data.a == "q", "y"] = np.nan
    data.loc[data.f == "a", "x"] = np.nan
    design = build_design("y ~ x + f + (1 | a)", data)
    assert design.coefficients == ("(Intercept)", "x", "fc")
    assert design.blocks[0].levels == ("p", "r", "s")


# R 4.2.2, lme4 1.1-31: y misses rows 2, 7 and 24, x misses rows 3 and 4. A transformation sees every known x,
# also where y is missing; the fingerprints are of lFormula(formula, d)$X on the rows kept.
R_TRANSFORMED = [
    ("y ~ scale(x) + (1 | a)", (120.26867, -1.0128314)),
    ("y ~ poly(z, 2) + (1 | a)", (125.15049, 1.6198022, 2.1007197)),
    ("y ~ ns(x, 2) + (1 | a)", (120.26867, 41.6727, 3.5365918)),
    ("y ~ bs(x, df = 4) + (1 | a)", (120.26867, 38.361355, 26.72972, 16.181868, 18.479494)),
    ("y ~ as.numeric(factor(k)) + (1 | a)", (125.15049, 255.30366)),
]


def half_missing() -> pd.DataFrame:
    data = pd.concat([mixed()] * 2, ignore_index=True).assign(a=list("pqrs") * 6)
    data.loc[[1, 6, 23], "y"] = np.nan
    data.loc[[2, 3], "x"] = np.nan
    return data


@pytest.mark.parametrize(("formula", "values"), R_TRANSFORMED)
def test_transformations_see_every_known_value_as_in_r(formula, values):
    design = build_design(formula, half_missing())
    np.testing.assert_allclose(fingerprint(design.X, design.rows), values, rtol=1e-7)


def test_transformations_left_of_a_bar_see_every_known_value_as_in_r():
    (block,) = build_design("y ~ z + (scale(x) | a)", half_missing()).blocks
    sums = np.bincount(block.index, block.Z[:, 1])
    np.testing.assert_allclose(sums, [-0.26056269, -1.0800744, 0.59677262, -0.42026241], rtol=1e-7)


def test_weights_and_offset_by_name_and_by_array():
    data = grouped().assign(w=np.arange(48) + 1.0, o=np.linspace(0, 1, 48))
    by_name = build_design("y ~ x + (1 | a)", data, weights="w", offset="o")
    by_array = build_design("y ~ x + (1 | a)", data, weights=data.w.to_numpy(), offset=list(data.o))
    for design in (by_name, by_array):
        np.testing.assert_array_equal(design.weights, data.w)
        np.testing.assert_array_equal(design.offset, data.o)
    assert build_design("y ~ x", data).weights is None
    assert build_design("y ~ x", data).offset is None


def test_offsets_of_the_formula_and_the_argument_add_up():
    data = grouped()
    design = build_design("y ~ x + offset(log(z)) + offset(x) + offset(2)", data, offset=data.k)
    np.testing.assert_allclose(design.offset, np.log(data.z) + data.x + 2 + data.k, rtol=1e-14)
    assert design.coefficients == ("(Intercept)", "x")


def test_missing_weights_and_offsets_drop_their_rows():
    data = grouped().assign(w=1.0)
    data.loc[[3, 5], "w"] = np.nan
    data.loc[5, "x"] = np.nan
    design = build_design("y ~ x", data, weights="w", offset=np.where(np.arange(48) == 7, np.nan, 0.5))
    assert design.dropped == {"x": 1, "weights": 2, "offset": 1}
    assert len(design.weights) == len(design.offset) == design.nobs == 45


def test_a_predictor_may_be_called_weights():
    data = grouped().rename(columns={"x": "weights"})
    data.loc[4, "weights"] = np.nan
    design = build_design("y ~ weights", data, weights=np.ones(48))
    assert (design.nobs, dict(design.dropped)) == (47, {"weights": 1})


# -- every kind of data frame --------------------------------------------------------------------------

DTYPES = {
    # column of grouped(): dtypes that must all give the same design
    "x": ["float64", "float32", "Float64", object, "double[pyarrow]"],
    "z": ["int64", "int8", "uint16", "Int64", "float64", object, "int64[pyarrow]"],
    "f": ["str", object, "string", "string[pyarrow]", "category", "large_string[pyarrow]"],
    "t": ["bool", "boolean", object, "bool[pyarrow]"],
    "a": ["str", object, "string", "string[pyarrow]", "category"],
    "e": ["int64", "int32", "Int64", "float64", object, "int64[pyarrow]", "category", "str"],
}
EVERYTHING = "y ~ x*f + z + t + I(x > 2) + log(z) + (x + t | a) + (1 | e) + (0 + f | e)"


def assert_same(one: Design, other: Design) -> None:
    assert one.coefficients == other.coefficients
    np.testing.assert_allclose(one.X, other.X, rtol=1e-6)
    np.testing.assert_array_equal(one.y, other.y)
    np.testing.assert_array_equal(one.rows, other.rows)
    assert dict(one.dropped) == dict(other.dropped)
    assert [(b.label, b.columns, b.levels) for b in one.blocks] == [
        (b.label, b.columns, b.levels) for b in other.blocks
    ]
    for mine, yours in zip(one.blocks, other.blocks, strict=True):
        np.testing.assert_array_equal(mine.index, yours.index)
        np.testing.assert_allclose(mine.Z, yours.Z, rtol=1e-6)


@pytest.mark.parametrize(("column", "dtype"), [(c, d) for c, dtypes in DTYPES.items() for d in dtypes])
def test_dtypes_do_not_matter(column, dtype):
    data = grouped()
    assert_same(build_design(EVERYTHING, data.astype({column: dtype})), build_design(EVERYTHING, data))


@pytest.mark.parametrize(("column", "dtype"), [
    ("x", "Float64"), ("x", object), ("x", "double[pyarrow]"), ("z", "Int64"), ("z", "int64[pyarrow]"),
    ("f", "str"), ("f", "string"), ("f", "category"), ("f", "string[pyarrow]"), ("t", "boolean"), ("t", object),
    ("t", "bool[pyarrow]"), ("a", "str"), ("a", "category"), ("e", "Int64"), ("e", "float64"), ("e", "category"),
])  # fmt: skip
def test_missing_values_of_every_dtype_drop_their_rows(column, dtype):
    data = grouped()
    complete = build_design(EVERYTHING, data.drop(index=[5, 11]))
    data[column] = data[column].astype(dtype)
    data[column] = data[column].mask(data.index.isin([5, 11]))
    design = build_design(EVERYTHING, data)
    assert dict(design.dropped) == {column: 2}
    np.testing.assert_array_equal(design.X, complete.X)
    assert [(b.label, b.columns, b.levels) for b in design.blocks] == [
        (b.label, b.columns, b.levels) for b in complete.blocks
    ]


def test_a_categorical_keeps_its_order_without_unused_categories():
    data = grouped().assign(
        f=lambda d: pd.Categorical(d.f, categories=["z", "c", "a", "y", "b"]),
        a=lambda d: pd.Categorical(d.a, categories=["s", "none", "r", "q", "p"], ordered=True),
    )
    design = build_design("y ~ f + (1 | a)", data)
    assert design.coefficients == ("(Intercept)", "fa", "fb")
    assert design.blocks[0].levels == ("s", "r", "q", "p")


def test_identifiers_keep_their_digits():
    """R 4.2.2 labels 1.5 and 2 as here; identifiers beyond 2^53 would collapse if they were read as floats."""
    data = pd.DataFrame({"y": range(6), "n": [1.5, 2.0] * 3, "id": np.repeat(2**60 + np.arange(3), 2)})
    long, short = build_design("y ~ 1 + (1 | id) + (1 | n)", data).blocks
    assert long.levels == ("1152921504606846976", "1152921504606846977", "1152921504606846978")
    assert short.levels == ("1.5", "2")
    assert build_design("y ~ factor(id)", data).coefficients[1:] == tuple(
        f"factor(id){v}" for v in long.levels[1:]
    )


CONVERSIONS = {
    "polars": pl.from_pandas,
    "polars lazy": lambda d: pl.from_pandas(d).lazy(),
    "arrow": lambda d: pl.from_pandas(d).to_arrow(),
}


@pytest.mark.parametrize("convert", CONVERSIONS.values(), ids=CONVERSIONS)
def test_polars_and_arrow_give_the_same_design(convert):
    data = grouped().drop(columns="c")
    data.loc[3, "x"] = np.nan
    data.loc[4, "a"] = None
    assert_same(build_design(EVERYTHING, convert(data)), build_design(EVERYTHING, data))


def test_polars_nulls_and_enums():
    frame = pl.DataFrame(
        {
            "y": [1.0, 2.0, None, 4.0, 6.0, 5.0],
            "n": pl.Series([1, 2, 3, None, 2, 7], dtype=pl.Int64),
            "b": [True, False, True, True, None, False],
            "g": pl.Series(["lo", "hi", "lo", "hi", "lo", "hi"], dtype=pl.Enum(["lo", "mid", "hi"])),
        }
    )
    design = build_design("y ~ n + (1 | g)", frame)
    assert dict(design.dropped) == {"y": 1, "n": 1}
    assert design.X[:, 1].tolist() == [1, 2, 2, 7]
    assert design.blocks[0].levels == ("lo", "hi")
    assert build_design("y ~ b", frame).coefficients == ("(Intercept)", "bTRUE")


@pytest.mark.parametrize("data", [[[1, 2]], None, "data.csv", np.ones((3, 2)), pd.Series([1])])
def test_other_containers_are_refused(data):
    with pytest.raises(DataError, match="data must be a data frame"):
        build_design("y ~ x", data)


def test_the_index_of_the_data_does_not_matter():
    data = grouped()
    shuffled = data.set_index(pd.Index(np.arange(48)[::-1] // 2))
    assert_same(build_design(EVERYTHING, shuffled), build_design(EVERYTHING, data))


def test_the_data_are_not_changed():
    data = grouped()
    data.loc[3, "x"] = np.nan
    before = data.copy(deep=True)
    design = build_design("y ~ x + log10(x) + f + (scale(x) | a)", data, weights="z", offset="x")
    design.frame.loc[0, "x"] = 99
    pd.testing.assert_frame_equal(data, before)
    assert data.dtypes.equals(before.dtypes)


def test_a_parsed_formula_may_be_given():
    design = build_design("y ~ x + (1 | a)", grouped())
    assert_same(build_design(design.formula, grouped()), design)
    assert used_columns(design.formula, grouped()) == ["y", "x", "a"]


# -- size ----------------------------------------------------------------------------------------------


def test_memory_grows_with_rows_and_columns_but_not_with_groups():
    """No array of n rows x J levels: 70,000 x 3,000 numbers would be 1,700 MB."""
    n, levels = 70_000, 3_000
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"y": rng.normal(size=n), "x": rng.normal(size=n)})
    data = data.assign(g=rng.integers(levels, size=n), h=rng.integers(levels, size=n).astype(str))
    tracemalloc.start()
    try:
        design = build_design("y ~ x + (1 + x | g) + (1 + x | h)", data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [len(b.levels) for b in design.blocks] == [levels, levels]
    arrays = [design.X, design.y, *(a for b in design.blocks for a in (b.Z, b.index))]
    assert max(a.size for a in arrays) == 2 * n
    assert peak < 100e6


def test_labels_of_blocks_avoid_names_of_factors():
    data = pd.DataFrame({"y": np.arange(40.0) % 7, "x": np.arange(40.0) % 11, "g": list("abcd") * 10})
    data["g.1"] = list("uvwxy") * 8
    design = build_design("y ~ x + (1 | g) + (0 + x | g) + (1 | g.1)", data)
    assert [(b.label, b.group) for b in design.blocks] == [("g.1", "g.1"), ("g", "g"), ("g.2", "g")]


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("y ~ f + f1 + (1 | g)", "named 'f1'"),
        ("y ~ 1 + (1 | a:b)", "named 'x:y:z'"),
        ("y ~ 1 + (f + f1 | g)", "'f1'"),
    ],
)
def test_names_that_cannot_be_told_apart(formula, words):
    data = pd.DataFrame({"y": np.arange(40.0) % 7, "f": list("0123") * 10, "g": list("abcde") * 8})
    data["f1"] = np.arange(40.0) % 3
    data["a"], data["b"] = ["x:y", "x"] * 20, ["z", "y:z"] * 20
    with pytest.raises(DataError, match=words):
        build_design(formula, data)
