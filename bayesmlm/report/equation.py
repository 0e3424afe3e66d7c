"""The equations of a model: in LaTeX, in lines that mathtext can draw, and in plain characters.

The notation is Gelman & Hill's (2007, Data Analysis Using Regression and Multilevel/Hierarchical Models, section 12.5):
row i belongs to level j[i] of one grouping factor and to level k[i] of another, nested or crossed alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bayesmlm.design import Block
from bayesmlm.explaining import Explanation, Made
from bayesmlm.explaining.pieces import Piece
from bayesmlm.report.distributions import latex_response, response_name, text_response

EFFECTS, INDICES = "bcduvwpqrst", "jklmopqrstz"
SPECIAL = {
    "\\": r"\backslash{}",
    "_": r"\_",
    "%": r"\%",
    "&": r"\&",
    "#": r"{\#}",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
}
SPECIAL |= {" ": r"\ ", "^": r"\wedge{}", "~": r"\sim{}", "*": r"{*}", "-": r"{-}", "<": r"{<}", ">": r"{>}"}
SPECIAL |= {'"': "\u201d", "`": "\u2018"}  # which no math mode has
SUBSCRIPT = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@dataclass(frozen=True)
class Equation:
    """The equations of one model.

    Attributes
    ----------
    latex : str
        An ``aligned`` environment, for MathJax, KaTeX or a document with amsmath.
    mathtext : tuple of str
        The same in single lines between dollars that Matplotlib can draw; covariance matrices are left as symbols.
    text : str
        The same in plain characters.
    """

    latex: str
    mathtext: tuple[str, ...]
    text: str


def name_latex(name: str) -> str:
    """Set a name upright, its special characters escaped."""
    return rf"\mathrm{{{''.join(SPECIAL.get(c, c) for c in name)}}}"


@dataclass(frozen=True)
class _Symbols:
    """Numbers of the coefficients and columns, and letters of the blocks and their grouping factors."""

    number: dict[str, int]
    letter: dict[str, str]
    index: dict[str, str]


def equation(e: Explanation) -> Equation:
    """Write the equations of a model."""
    s = _symbols(e)
    lines = _latex_lines(e, s)
    latex = (
        "\\begin{aligned}\n"
        + " \\\\\n".join(left + " &" + right for left, right in lines)
        + "\n\\end{aligned}"
    )
    # Matplotlib takes & for what it is, and knows no \&
    plain = [f"${left} {right}$" for left, right in _latex_lines(e, s, matrices=False)]
    drawn = tuple(line.replace(r"\&", "&") for line in plain)
    return Equation(latex, drawn, "\n".join(_text_lines(e, s)))


def _symbols(e: Explanation) -> _Symbols:
    names = [m.name for m in e.columns]
    first = 0 if "(Intercept)" in names else 1
    number = {name: first + i for i, name in enumerate(names)}
    for made in e.block_columns:
        for m in made:
            number.setdefault(m.name, 0 if m.name == "(Intercept)" else max([*number.values(), 0]) + 1)
    groups = list(dict.fromkeys(b.group for b in e.design.blocks))
    letters = dict(zip(groups, EFFECTS, strict=False))
    return _Symbols(
        number,
        {g: letters.get(g, f"b^{{({i})}}") for i, g in enumerate(groups)},
        {g: INDICES[i] if i < len(INDICES) else f"g_{{{i}}}" for i, g in enumerate(groups)},
    )


# -- LaTeX -----------------------------------------------------------------------------------------


def _latex_lines(e: Explanation, s: _Symbols, matrices: bool = True) -> list[tuple[str, str]]:
    """Left and right side of each line."""
    design = e.design
    terms = " + ".join(_latex_terms(e, s)) or "0"
    lines, left = latex_response(design, name_latex(response_name(design)))
    lines = [*lines, (left, f"= {terms}")]
    for block, made in zip(design.blocks, e.block_columns, strict=True):
        lines.append(_latex_block(block, made, s, matrices))
    return lines


def _latex_terms(e: Explanation, s: _Symbols) -> list[str]:
    """One summand per column: its coefficient with everything that makes it vary, times its value."""
    fixed = {m.name for m in e.columns}
    columns = list(_every_column(e).values())
    out = []
    for m in columns:
        number = s.number[m.name]
        parts = [rf"\beta_{{{number}}}"] if m.name in fixed else []
        for block, made in zip(e.design.blocks, e.block_columns, strict=True):
            if m.name in {other.name for other in made}:
                parts.append(rf"{s.letter[block.group]}_{{{number},{s.index[block.group]}[i]}}")
        coefficient = " + ".join(parts)
        value = _latex_value(m)
        coefficient = f"({coefficient})" if len(parts) > 1 and (value or len(columns) > 1) else coefficient
        out.append(rf"{coefficient}\,{value}" if value else coefficient)
    return out + ([r"\mathrm{offset}_i"] if e.design.offset is not None else [])


def _every_column(e: Explanation) -> dict[str, Made]:
    """The fixed-effects columns, then those that only vary, by name."""
    found = {m.name: m for m in e.columns}
    for m in (m for made in e.block_columns for m in made):
        found.setdefault(m.name, m)
    return found


def _latex_value(m: Made) -> str:
    return r" \cdot ".join(_latex_piece(p) for p in m.pieces)


def _latex_piece(p: Piece) -> str:
    variable = rf"{name_latex(p.variable)}_i"
    if p.kind == "level":
        return rf"[{variable} = {name_latex(str(p.level))}]"
    if p.kind == "number" and p.function in {"log", "sqrt"}:
        return rf"\log({variable})" if p.function == "log" else rf"\sqrt{{{variable}}}"
    if p.kind == "number" and p.function in {"log2", "log10"}:
        return rf"\log_{{{p.function[3:]}}}({variable})"
    if p.kind == "number" and p.function == "power":
        return rf"{name_latex(p.variable)}_i^{{{p.learned:g}}}"
    text = p.text if p.kind == "number" else f"{p.text}[{p.learned}]"
    return rf"{name_latex(text)}_i"


def _latex_block(block: Block, made: Sequence[Made], s: _Symbols, matrices: bool) -> tuple[str, str]:
    letter, index = s.letter[block.group], s.index[block.group]
    effects = [rf"{letter}_{{{s.number[m.name]},{index}}}" for m in made]
    legend = rf",\quad {index} = 1, \ldots, {len(block.levels)}\ ({name_latex(block.group)})"
    tau = [rf"\tau_{{{letter}{s.number[m.name]}}}" for m in made]
    if len(made) == 1:
        return effects[0], rf"\sim N(0,\ {tau[0]}^2){legend}"
    which = ",".join(str(s.number[m.name]) for m in made)
    if not matrices:
        return f"({', '.join(effects)})", rf"\sim N(0,\ \Sigma_{{{letter}{which}}}){legend}"
    rows = [[_covariance(tau, i, j, letter, s, made) for j in range(len(made))] for i in range(len(made))]
    matrix = r" \\ ".join(" & ".join(row) for row in rows)
    vector = r" \\ ".join(effects)
    left = rf"\begin{{pmatrix}} {vector} \end{{pmatrix}}"
    return left, rf"\sim N\!\left(0,\ \begin{{pmatrix}} {matrix} \end{{pmatrix}}\right){legend}"


def _covariance(tau: list[str], i: int, j: int, letter: str, s: _Symbols, made: Sequence[Made]) -> str:
    if i == j:
        return f"{tau[i]}^2"
    low, high = sorted((i, j))
    pair = f"{letter}{s.number[made[low].name]}{s.number[made[high].name]}"
    return rf"\rho_{{{pair}}} {tau[low]} {tau[high]}"


# -- plain characters ------------------------------------------------------------------------------


def _text_lines(e: Explanation, s: _Symbols) -> list[str]:
    design = e.design
    terms = " + ".join(_text_terms(e, s)) or "0"
    head, left = text_response(design)
    head = [*head, f"{left} = {terms}"]
    for block, made in zip(design.blocks, e.block_columns, strict=True):
        effects = [_text_effect(s, block.group, m.name) for m in made]
        if len(made) == 1:
            head.append(f"{effects[0]} ~ Normal(0, τ²), {len(block.levels)} levels")
        else:
            names = f"({', '.join(effects)})"
            head.append(f"{names} ~ Normal(0, Σ), Σ {len(made)} x {len(made)}, {len(block.levels)} levels")
    return head


def _text_effect(s: _Symbols, group: str, name: str) -> str:
    letter = re.sub(r"\W", "", s.letter[group])
    return f"{letter}{str(s.number[name]).translate(SUBSCRIPT)}[{group}]"


def _text_terms(e: Explanation, s: _Symbols) -> list[str]:
    fixed = {m.name for m in e.columns}
    every = _every_column(e)
    out = []
    for name, m in every.items():
        parts = [f"β{str(s.number[name]).translate(SUBSCRIPT)}"] if name in fixed else []
        for block, made in zip(e.design.blocks, e.block_columns, strict=True):
            if name in {m.name for m in made}:
                parts.append(_text_effect(s, block.group, name))
        value = "".join(f"·{_text_piece(p)}" for p in m.pieces)
        coefficient = " + ".join(parts)
        out.append((f"({coefficient})" if len(parts) > 1 and len(every) > 1 else coefficient) + value)
    return out + (["offset"] if e.design.offset is not None else [])


def _text_piece(p: Piece) -> str:
    if p.kind == "level":
        return f"[{p.variable} = {p.level}]"
    return p.text if p.kind == "number" else f"{p.text}[{p.learned}]"
