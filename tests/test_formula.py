"""The formula language: what every formula means, what every mistake is told, and the laws of its algebra."""

from __future__ import annotations

import json
import re
from itertools import permutations, product
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from bayesmlm.errors import FormulaError
from bayesmlm.formulas import Formula, parse_formula
from bayesmlm.syntax import Binary, Node, Paren, Unary, deparse, parse_expression, walk

SETTINGS = settings(max_examples=80, deadline=None, derandomize=True)

# The fixed part is printed with its intercept (1 or 0) first; each bar is one block.
# lme4 1.1-31 (R 4.2.2) gives the same blocks, columns and names for every line that it can read.
MEANING = [
    # formula, response, fixed part, blocks
    # -- random effects ------------------------------------------------------------------------------
    ("y ~ 1 + (1 | g)", "y", "1", ["(1 | g)"]),
    ("y~x+(1|g)", "y", "1 + x", ["(1 | g)"]),
    ("y ~ x + (x | g)", "y", "1 + x", ["(1 + x | g)"]),
    ("y ~ x + (1 + x | g)", "y", "1 + x", ["(1 + x | g)"]),
    ("y ~ x + (0 + x | g)", "y", "1 + x", ["(0 + x | g)"]),
    ("y ~ x + (-1 + x | g)", "y", "1 + x", ["(0 + x | g)"]),
    ("y ~ x + (x - 1 | g)", "y", "1 + x", ["(0 + x | g)"]),
    ("y ~ x + (x + z | g)", "y", "1 + x", ["(1 + x + z | g)"]),
    ("y ~ x + (f | g)", "y", "1 + x", ["(1 + f | g)"]),
    ("y ~ x + (x*f | g)", "y", "1 + x", ["(1 + x + f + x:f | g)"]),
    ("y ~ x + (f/x | g)", "y", "1 + x", ["(1 + f + f:x | g)"]),
    ("y ~ x + (poly(x, 2) | g)", "y", "1 + x", ["(1 + poly(x, 2) | g)"]),
    # || makes one block per term; the columns of a factor stay together
    ("y ~ x + (x || g)", "y", "1 + x", ["(1 | g)", "(0 + x | g)"]),
    ("y ~ x + (0 + x || g)", "y", "1 + x", ["(0 + x | g)"]),
    ("y ~ x + (x + z || g)", "y", "1 + x", ["(1 | g)", "(0 + x | g)", "(0 + z | g)"]),
    ("y ~ x + (f || g)", "y", "1 + x", ["(1 | g)", "(0 + f | g)"]),
    ("y ~ x + (x*f || g)", "y", "1 + x", ["(1 | g)", "(0 + x | g)", "(0 + f | g)", "(0 + x:f | g)"]),
    ("y ~ x + (1 || g)", "y", "1 + x", ["(1 | g)"]),
    # nested: inner within outer, named inner first as lme4 names it
    ("y ~ x + (1 | a/b)", "y", "1 + x", ["(1 | b:a)", "(1 | a)"]),
    ("y ~ x + (x | a/b)", "y", "1 + x", ["(1 + x | b:a)", "(1 + x | a)"]),
    ("y ~ x + (1 | a/b/c)", "y", "1 + x", ["(1 | c:(b:a))", "(1 | b:a)", "(1 | a)"]),
    ("y ~ x + (x || a/b)", "y", "1 + x", ["(1 | b:a)", "(1 | a)", "(0 + x | b:a)", "(0 + x | a)"]),
    ("y ~ x + (1 | a) + (1 | a:b)", "y", "1 + x", ["(1 | a)", "(1 | a:b)"]),
    ("y ~ x + (1 | a:b:c)", "y", "1 + x", ["(1 | a:b:c)"]),
    # crossed, and several blocks on one factor
    ("y ~ x + (1 | a) + (1 | b)", "y", "1 + x", ["(1 | a)", "(1 | b)"]),
    ("y ~ x + (1 | a) + (0 + x | a)", "y", "1 + x", ["(1 | a)", "(0 + x | a)"]),
    ("y ~ x + (x | a) + (1 | b/c)", "y", "1 + x", ["(1 + x | a)", "(1 | c:b)", "(1 | b)"]),
    ("y ~ x + (1 | factor(g))", "y", "1 + x", ["(1 | factor(g))"]),
    ("y ~ x + (1 | a:factor(b))", "y", "1 + x", ["(1 | a:factor(b))"]),
    ("y ~ x + (1 | (a:b))", "y", "1 + x", ["(1 | a:b)"]),
    # a bar may stand anywhere in the sum
    ("y ~ (1 | g)", "y", "1", ["(1 | g)"]),
    ("y ~ (1 | g) + x", "y", "1 + x", ["(1 | g)"]),
    ("y ~ (1 | a) + x + (x | b) + z", "y", "1 + x + z", ["(1 | a)", "(1 + x | b)"]),
    ("y ~ (x + (1 | g))", "y", "1 + x", ["(1 | g)"]),
    ("y ~ x + ((1 | a) + (1 | b))", "y", "1 + x", ["(1 | a)", "(1 | b)"]),
    ("y ~ +(1 | g)", "y", "1", ["(1 | g)"]),
    ("y ~ 0 + (1 | g)", "y", "0", ["(1 | g)"]),
    ("y ~ (1 | g) - 1", "y", "0", ["(1 | g)"]),  # lme4 1.1-31 loses this minus
    ("y ~ (1 | g) - x + x", "y", "1 + x", ["(1 | g)"]),
    # -- the fixed part ------------------------------------------------------------------------------
    ("y ~ 1", "y", "1", []),
    ("y ~ 0", "y", "0", []),
    ("y ~ -1", "y", "0", []),
    ("y ~ x", "y", "1 + x", []),
    ("y ~ 0 + x", "y", "0 + x", []),
    ("y ~ x - 1", "y", "0 + x", []),
    ("y ~ x + 0", "y", "0 + x", []),
    ("y ~ 0 + 1 + x", "y", "1 + x", []),
    ("y ~ x + x + z - x", "y", "1 + z", []),
    ("y ~ a:b", "y", "1 + a:b", []),
    ("y ~ a*b", "y", "1 + a + b + a:b", []),
    ("y ~ a*b*c", "y", "1 + a + b + c + a:b + a:c + b:c + a:b:c", []),
    ("y ~ a/b", "y", "1 + a + a:b", []),
    ("y ~ a/b/c", "y", "1 + a + a:b + a:b:c", []),
    ("y ~ (a + b)/c", "y", "1 + a + b + a:b:c", []),
    ("y ~ a/(b + c)", "y", "1 + a + a:b + a:c", []),
    ("y ~ b %in% a", "y", "1 + b:a", []),
    ("y ~ a + b %in% a", "y", "1 + a + a:b", []),
    ("y ~ a %in% (b + c)", "y", "1 + a:b:c", []),
    ("y ~ (a + b)^2", "y", "1 + a + b + a:b", []),
    ("y ~ (a + b + c)^2", "y", "1 + a + b + c + a:b + a:c + b:c", []),
    ("y ~ (a + b + c)**2 - a:c", "y", "1 + a + b + c + a:b + b:c", []),
    ("y ~ a*b - a", "y", "1 + b + a:b", []),
    ("y ~ b:a + a", "y", "1 + a + b:a", []),  # degree first; within a term as it first appears, as in R
    ("y ~ a:a", "y", "1 + a", []),
    ("y ~ x^2", "y", "1 + x", []),
    ("y ~ I(x^2)", "y", "1 + I(x^2)", []),
    ("y ~ I( x*z )+I(x /z)", "y", "1 + I(x * z) + I(x/z)", []),
    ("y ~ I(-x^2 + 100000)", "y", "1 + I(-x^2 + 1e+05)", []),
    ("y ~ I(x %% 2) + I(x%/%2)", "y", "1 + I(x%%2) + I(x%/%2)", []),
    ("y ~ I(x > 1 | z > 1)", "y", "1 + I(x > 1 | z > 1)", []),
    ("y ~ log(x) + scale(x, scale=FALSE)", "y", "1 + log(x) + scale(x, scale = FALSE)", []),
    ("y ~ poly(x,2) * ns(z, df=3)", "y", "1 + poly(x, 2) + ns(z, df = 3) + poly(x, 2):ns(z, df = 3)", []),
    ("y ~ factor(k, levels=c('b','a'))", "y", '1 + factor(k, levels = c("b", "a"))', []),
    ("y ~ ks2*factor(sex)", "y", "1 + ks2 + factor(sex) + ks2:factor(sex)", []),
    ("y ~ x + offset(log(n))", "y", "1 + x + offset(log(n))", []),
    ("y ~ offset(a) + x + offset(b) + (1 | g)", "y", "1 + x + offset(a) + offset(b)", ["(1 | g)"]),
    # -- responses -----------------------------------------------------------------------------------
    ("log(y) ~ x", "log(y)", "1 + x", []),
    ("I(y^2) ~ x", "I(y^2)", "1 + x", []),
    ("cbind(s, n - s) ~ x", "cbind(s, n - s)", "1 + x", []),
    ("s / n ~ x", "s/n", "1 + x", []),
    ("~ x + (1 | g)", None, "1 + x", ["(1 | g)"]),
    # -- names ---------------------------------------------------------------------------------------
    ("total.fruits ~ IQ.ver.cen + (1 | .id)", "total.fruits", "1 + IQ.ver.cen", ["(1 | .id)"]),
    ("y ~ `reading age` + (1 | `class room`)", "y", "1 + `reading age`", ["(1 | `class room`)"]),
    ("y ~ `x` + log(`a b`)", "y", "1 + x + log(`a b`)", []),
    ("größe ~ alter_2", "größe", "1 + alter_2", []),
    # -- as Python users write -----------------------------------------------------------------------
    ("y ~ np.log(x) + C(k)", "y", "1 + np.log(x) + C(k)", []),
    ("y ~ I(x**2) + {x + 1}", "y", "1 + I(x^2) + I(x + 1)", []),
    # -- layout --------------------------------------------------------------------------------------
    ("y ~ x +  # a comment\n    (1 | g)", "y", "1 + x", ["(1 | g)"]),
]
REFERENCE = json.loads((Path(__file__).parent / "reference" / "lme4.json").read_text())
LME4_FORMULAS = sorted(
    {f for entry in REFERENCE.values() for f in (entry.get("formulas") or [entry.get("formula")]) if f}
)


@pytest.mark.parametrize(("text", "response", "fixed", "bars"), MEANING)
def test_formula_means(text, response, fixed, bars):
    formula = parse_formula(text)
    assert (formula.response and str(formula.response)) == response
    assert str(formula.fixed) == fixed
    assert [str(bar) for bar in formula.bars] == bars


@pytest.mark.parametrize("text", [row[0] for row in MEANING] + LME4_FORMULAS)
def test_spelled_text_means_the_same_and_keeps_its_spelling(text):
    formula = parse_formula(text)
    again = parse_formula(formula.spelled)
    assert again == formula
    assert again.spelled == formula.spelled


@pytest.mark.parametrize("text", LME4_FORMULAS)
def test_reference_formulas_are_accepted_as_they_stand(text):
    formula = parse_formula(text)
    assert formula.response is not None
    assert len(formula.bars) == text.count("|") + text.count("/")  # each || here stands for two blocks


@pytest.mark.parametrize(
    ("text", "names", "factors"),
    [
        ("y ~ (1 | a/b)", ["b:a", "a"], [["b", "a"], ["a"]]),
        ("y ~ (1 | a/b/c)", ["c:(b:a)", "b:a", "a"], [["c", "b", "a"], ["b", "a"], ["a"]]),
        ("y ~ (1 | a:b:c)", ["a:b:c"], [["a", "b", "c"]]),
        ("y ~ (1 | `class room`:factor(k))", ["class room:factor(k)"], [["`class room`", "factor(k)"]]),
    ],
)
def test_grouping_factors_have_lme4s_names(text, names, factors):
    """Names of lme4 1.1-31: ``names(ranef(m))``."""
    bars = parse_formula(text).bars
    assert [bar.group_name for bar in bars] == names
    assert [[str(factor) for factor in bar.group] for bar in bars] == factors


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        ("y ~ x^2", ["x^2 means x in a formula; for the power write I(x^2)"]),
        ("y ~ z + (x**3 | g)", ["x^3 means x in a formula; for the power write I(x^3)"]),
        ("y ~ (a + b)^2 + I(x^2)", []),
    ],
)
def test_a_power_of_one_term_is_noted(text, notes):
    assert list(parse_formula(text).notes) == notes


@pytest.mark.parametrize(("value", "text"), [
    # deparse() of R 4.2.2: 15 digits, and the shorter of the two notations
    ("2", "2"), ("2.50", "2.5"), (".5", "0.5"), ("0.1", "0.1"), ("1000", "1000"), ("100000", "1e+05"),
    ("123456", "123456"), ("300000", "3e+05"), ("12e10", "1.2e+11"), ("0.0001", "1e-04"),
    ("0.00012", "0.00012"), ("1e-5", "1e-05"), ("1e15", "1e+15"), ("3L", "3"),
])  # fmt: skip
def test_numbers_are_spelled_as_r_spells_them(value, text):
    assert str(parse_expression(value)) == text


# -- wrong formulas ------------------------------------------------------------------------------------

WRONG = [
    # formula, a piece of the message, the text underlined
    ("y", "no '~'", "y"),
    ("y + x", "no '~'", "y + x"),
    ("y = x + (1|g)", "a formula has '~'", "="),
    ("y ~ x ~ z", "one '~'", "y ~ x"),
    ("y ~", "ends too early", ""),
    ("y ~ x +", "ends too early", ""),
    ("y ~ x z", "operator is missing", "z"),
    ("y ~ 2x", "operator is missing", "x"),
    ("y ~ x (1|g)", "'+' is missing before the parenthesis: write 'x + (1 | g)'", "x (1|g)"),
    ("y ~ (x)(1|g)", "operator is missing", "("),
    ("y ~ (x", "'(' is never closed: add ')'", "("),
    ("y ~ log(x", "'(' is never closed: add ')'", "("),
    ("y ~ {x + 1", "'{' is never closed: add '}'", "{"),
    ("y ~ x)", "was not opened", ")"),
    ("y ~ x + (1|)", "something is missing between '|' and ')'", "|)"),
    ("y ~ ()", "something is missing between '(' and ')'", "()"),
    ("y ~ (|g)", "write '(1 | g)'", "|"),
    ("y ~ x + 1|g", "parentheses of its own", "x + 1|g"),
    ("y ~ x | g", "parentheses of its own", "x | g"),
    ("x | g", "parentheses of its own", "x | g"),
    ("y ~ (0|g)", "no effects left of the bar", "0|g"),
    ("y ~ (1 | a | b)", "one bar per parenthesis", "1 | a | b"),
    ("y ~ (x | a + b)", "write '(... | a) + (... | b)' for crossed factors, 'a/b' for nested", "a + b"),
    ("y ~ (x | a * b)", "one grouping factor", "a * b"),
    ("y ~ (x | 1)", "a column, 'a:b' or 'a/b'", "1"),
    ("y ~ (x | a/(b/c))", "a column, 'a:b' or 'a/b'", "b/c"),
    ("y ~ (x | z > 1)", "a column, 'a:b' or 'a/b'", "z > 1"),
    ("y ~ (offset(x) | g)", "offset belongs to the fixed part", "offset(x)"),
    ("y ~ (1|g) + (1 | g)", "stands twice", "(1 | g)"),
    ("y ~ (x||g) + (1|g)", "stands twice", "(1|g)"),
    ("y ~ x*(1|g)", "joined by '+', not by '*'", "x*(1|g)"),
    ("y ~ x + (z + (1|g))^2", "joined by '+', not by '^'", "(z + (1|g))^2"),
    ("y ~ x - (1|g)", "added to a formula, not subtracted", "(1|g)"),
    ("y ~ y + x", "the response y stands among the predictors", "y"),
    ("log(y) ~ (log(y) | g)", "the response log(y) stands among the predictors", "log(y)"),
    ("y ~ .", "write the columns out", "."),
    ("y ~ x + 2", "only 0 and 1", "2"),
    ("y ~ 2*x", "wrap arithmetic in I(...)", "2"),
    ("y ~ x:1", "wrap arithmetic in I(...)", "1"),
    ("y ~ x > 1", "wrap arithmetic and comparisons in I(...)", "x > 1"),
    ("y ~ x^1.5", "write I(x^1.5)", "x^1.5"),
    ("y ~ x^z", "write I(x^z)", "x^z"),
    ("y ~ offset(a, b)", "one expression", "offset(a, b)"),
    ("y ~ x - offset(a)", "added, not subtracted", "offset(a)"),
    ("y ~ x*offset(a)", "only predictors", "offset(a)"),
    ("y ~ df$x", "column's name alone", "$"),
    ("y ~ x[1]", "cannot index a column", "["),
    ("y ~ 'x", "unclosed quote", "'"),
    ("y ~ `x", "unclosed quote", "`"),
    ("y ~ x ? z", "unexpected character '?'", "?"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message", "underlined"), WRONG)
def test_wrong_formula_is_explained_and_underlined(text, message, underlined):
    with pytest.raises(FormulaError, match=re.escape(message)) as caught:
        parse_formula(text)
    error = caught.value
    end = error.start + 1 if error.end is None else error.end
    assert (text[error.start : end].strip() or underlined) == underlined
    _, line, marks = str(error).split("\n")
    assert line == f"  {text}"
    assert marks == "  " + " " * error.start + "^" * (end - error.start)


def test_an_error_shows_the_line_it_is_in():
    with pytest.raises(FormulaError) as caught:
        parse_formula("y ~ x +\n  (1 | a + b)\n  + z")
    assert str(caught.value).split("\n")[1:] == ["    (1 | a + b)", "         ^^^^^"]


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_formula_says_what_to_write(text):
    with pytest.raises(FormulaError, match=r"empty: write 'response ~ predictors \+ \(effects \| group\)'"):
        parse_formula(text)


def test_a_formula_is_a_string():
    with pytest.raises(FormulaError, match="a formula is a string"):
        parse_formula(3)  # type: ignore[arg-type]


@SETTINGS
@given(st.text(alphabet="xyg1. ~+-*/:^|(),%in'`=<&!{}", max_size=24))
def test_any_text_is_read_or_refused_with_a_place_in_it(text):
    try:
        formula = parse_formula(text)
    except FormulaError as error:
        assert error.start is None or 0 <= error.start <= len(text)  # noqa: PT017
    else:
        assert parse_formula(formula.spelled) == formula


# -- printing and positions, for random formulas -------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "x", "total.n", "`reading age`", "_z1"])
ATOMS = NAMES | st.sampled_from(["1", "2.5", "100000", "'lo'"])


def arithmetic(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(["+", "-", " * ", "/", "^", "**", " %% ", "%/%", " > ", "==", " & ", " | "])
    return st.one_of(
        st.tuples(inner, operators, inner).map("".join),
        inner.map(lambda e: f"({e})"),
        inner.map(lambda e: f"-{e}"),
        st.tuples(st.sampled_from(["log", "np.exp", "f.1"]), inner).map(lambda p: f"{p[0]}( {p[1]})"),
        st.tuples(inner, inner).map(lambda p: f"scale({p[0]}, scale={p[1]})"),
    )


EXPRESSIONS = st.recursive(ATOMS, arithmetic, max_leaves=6)
FACTORS = NAMES | st.one_of(
    EXPRESSIONS.map(lambda e: f"I({e})"), NAMES.map("factor({})".format), NAMES.map("poly({}, 2)".format)
)
TERMS = st.recursive(
    FACTORS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([":", "*", " / ", " %in% "]), inner).map("".join),
        st.tuples(inner, inner).map(lambda p: f"({p[0]} + {p[1]})"),
        st.tuples(inner, inner).map(lambda p: f"({p[0]}+{p[1]})^2"),
    ),
    max_leaves=4,
)
SUMS = st.lists(
    st.tuples(st.sampled_from([" + ", "+", " - "]), TERMS | st.sampled_from(["1", "0"])), max_size=3
)
LINEAR = st.tuples(TERMS | st.sampled_from(["1", "0"]), SUMS).map(
    lambda p: p[0] + "".join(op + term for op, term in p[1])
)
GROUPS = st.sampled_from(["g", "g/h", "g:h", "g/h/k", "factor(g)", "`class room`"])
BARS = st.tuples(LINEAR, st.sampled_from([" | ", "||"]), GROUPS).map(lambda p: f"({''.join(p)})")
RESPONSES = st.sampled_from(["y", "log(y)", "cbind(s, n - s)", "`my y`", "s/n"])
FORMULAS = st.tuples(RESPONSES, LINEAR, st.lists(BARS, max_size=2)).map(
    lambda p: f"{p[0]} ~ {' + '.join([p[1], *p[2]])}"
)


def read(text: str) -> Formula:
    """Parse a random formula; a block without effects or written twice is not one."""
    try:
        return parse_formula(text)
    except FormulaError as error:
        assume("no effects" not in str(error) and "stands twice" not in str(error))
        raise


def unordered(formula: Formula) -> tuple:
    """A formula up to the order of factors within an interaction."""
    parts = [formula.fixed, *(bar.effects for bar in formula.bars)]
    sums = [(p.intercept, [frozenset(map(str, t.factors)) for t in p.terms], p.offsets) for p in parts]
    return formula.response, sums, [bar.grouping for bar in formula.bars]


@SETTINGS
@given(FORMULAS)
def test_spelled_text_of_a_random_formula_parses_to_an_equal_formula(text):
    formula = read(text)
    again = parse_formula(formula.spelled)
    assert again == formula
    assert again.spelled == formula.spelled


@SETTINGS
@given(FORMULAS)
@example("y ~ b:a + a")  # R too names the interaction b:a here, and a:b in ~ a + b:a
def test_printed_expansion_of_a_random_formula_has_the_same_terms_and_blocks(text):
    formula = read(text)
    again = parse_formula(str(formula))
    assert unordered(again) == unordered(formula)
    assert str(parse_formula(str(again))) == str(again)


@SETTINGS
@given(FORMULAS)
def test_every_node_knows_its_text(text):
    for node in walk(parse_expression(text)):
        assert parse_expression(text[node.start : node.end]) == node


@SETTINGS
@given(EXPRESSIONS)
def test_printing_an_expression_is_idempotent(text):
    node = parse_expression(text)
    assert parse_expression(deparse(node)) == node
    assert deparse(parse_expression(deparse(node))) == deparse(node)


@pytest.mark.parametrize(
    ("text", "grouped"),
    [
        ("-a^2", "-(a^2)"),
        ("a^-b", "a^(-b)"),
        ("a^b^c", "a^(b^c)"),
        ("-a:b", "(-a):b"),
        ("a:b*c", "(a:b)*c"),
        ("a*b+c", "(a*b)+c"),
        ("a-b-c", "(a-b)-c"),
        ("a/b:c", "a/(b:c)"),
        ("a %in% b:c", "a %in% (b:c)"),
        ("a*b %in% c", "a*(b %in% c)"),
        ("!a > b", "!(a > b)"),
        ("a > b & c", "(a > b) & c"),
        ("a | b & c", "a | (b & c)"),
        ("a + 1 | b/c", "(a + 1) | (b/c)"),
    ],
)
def test_operators_bind_as_in_r(text, grouped):
    assert bare(parse_expression(text)) == bare(parse_expression(grouped))


def bare(node: Node) -> object:
    """The tree of an expression without its parentheses."""
    match node:
        case Paren(arg):
            return bare(arg)
        case Unary(op, arg):
            return op, bare(arg)
        case Binary(op, left, right):
            return op, bare(left), bare(right)
    return str(node)


# -- the algebra of terms ------------------------------------------------------------------------------

Tree = str | tuple
LETTERS = "abcd"


def written(tree: Tree) -> str:
    """A tree of operators as a formula, every operand in parentheses."""
    if isinstance(tree, str):
        return tree
    op, *args = tree
    return (
        f"({written(args[0])})^{args[1]}" if op == "^" else f"({written(args[0])}) {op} ({written(args[1])})"
    )


def words(tree: Tree) -> list[str]:
    """Brute force: rewrite every operator into sums and products until only words of letters are left.

    a*b = a + b + a:b; a/b = a + (all letters of a):b; a %in% b = a:(all letters of b); a^n = a*a*...
    """
    if isinstance(tree, str):
        return [tree]
    op, left, right = tree
    if op == "^":
        return words(left) if right == 1 else words(("*", ("^", left, right - 1), left))
    a, b = words(left), words(right)
    rewritten = {
        "+": a + b,
        "-": [w for w in a if w not in b],
        ":": [u + v for u, v in product(a, b)],
        "*": a + b + [u + v for u, v in product(a, b)],
        "/": a + ["".join(a) + v for v in b],
        "%in%": [u + "".join(b) for u in a],
    }[op]
    return list(dict.fromkeys("".join(sorted(set(w))) for w in rewritten))  # a word is a set of letters


def expected_terms(tree: Tree) -> list[str]:
    """R's order: by degree, then as produced; letters in the order of their first appearance in the text."""
    appearance = written(tree)
    ordered = sorted(words(tree), key=len)
    return [":".join(sorted(w, key=appearance.index)) for w in ordered]


TREES = st.recursive(
    st.sampled_from(LETTERS),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["+", "+", "*", ":", "/", "%in%", "-"]), inner, inner),
        st.tuples(st.just("^"), inner, st.integers(1, 3)),
    ),
    max_leaves=6,
)


@SETTINGS
@given(TREES)
def test_expansion_agrees_with_brute_force(tree):
    assume(isinstance(tree, str) or all(words(part) for part in subtrees(tree)))
    assert [str(t) for t in parse_formula(f"y ~ {written(tree)}").fixed.terms] == expected_terms(tree)


def subtrees(tree: Tree) -> list[Tree]:
    if isinstance(tree, str):
        return [tree]
    return [tree, *(s for arg in tree[1:] if not isinstance(arg, int) for s in subtrees(arg))]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("a*b", "a + b + a:b"),
        ("(a + b)^2", "a + b + a:b"),
        ("(a + b + c)^3", "a*b*c"),
        ("(a + b)^2", "(a + b)*(a + b)"),
        ("a/b", "a + a:b"),
        ("a/b", "a + b %in% a"),
        ("a/(b*c)", "a + a:b + a:c + a:b:c"),
        ("(a + b):c", "a:c + b:c"),
        ("a:(b:c)", "(a:b):c"),
        ("a*b - a:b", "a + b"),
        ("a:a", "a"),
        ("a + a", "a"),
        ("a %in% b", "a:b"),
        ("a - a + b", "b"),
    ],
)
def test_laws_of_the_algebra(left, right):
    for letters in permutations("abc"):
        rename = str.maketrans("abc", "".join(letters))
        one, other = (parse_formula(f"y ~ {side.translate(rename)}") for side in (left, right))
        assert unordered(one) == unordered(other)


@SETTINGS
@given(st.permutations(["a", "b", "c", "a:b", "b:c", "a:b:c"]))
def test_terms_are_ordered_by_degree_and_then_by_appearance(order):
    terms = [str(t).split(":") for t in parse_formula(f"y ~ {' + '.join(order)}").fixed.terms]
    assert [len(t) for t in terms] == [1, 1, 1, 2, 2, 3]
    assert [t[0] for t in terms[:3]] == [t for t in order if len(t) == 1]
    assert [set(t) for t in terms[3:5]] == [set(t.split(":")) for t in order if len(t) == 3]
    rank = {letter: min(" ".join(order).index(x) for x in letter) for letter in "abc"}
    assert all(t == sorted(t, key=rank.__getitem__) for t in terms)
