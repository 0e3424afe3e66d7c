"""lme4's formula language: text -> Formula(response, fixed, bars). Pure text: it sees no data.

The algebra of terms is that of R's ``terms.formula`` (Wilkinson & Rogers 1973): ``a*b`` is ``a + b + a:b``,
terms are sets of factors, ordered by degree and then by appearance, factors within a term by appearance.
The bars are lme4's (Bates et al. 2015, table 2): one bar is one block of correlated effects.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bayesmlm.errors import FormulaError
from bayesmlm.syntax import Binary, Call, Name, Node, Number, Paren, Unary, parse_expression, walk

LOGICAL = {"I", "factor", "as.factor", "as.numeric", "as.integer"}  # may hold x > 1 | z > 1, which is no bar


@dataclass(frozen=True)
class Term:
    """A product of factors, ``ks2stand:factor(gender)``; each factor is an expression."""

    factors: tuple[Node, ...]

    def __str__(self) -> str:
        return ":".join(map(str, self.factors))


@dataclass(frozen=True)
class Linear:
    """A sum of terms: the fixed part, or what stands left of a bar."""

    intercept: bool
    terms: tuple[Term, ...]
    offsets: tuple[Node, ...] = ()

    def __str__(self) -> str:
        parts = ["1" if self.intercept else "0", *map(str, self.terms)]
        return " + ".join([*parts, *(f"offset({o})" for o in self.offsets)])


@dataclass(frozen=True)
class Bar:
    """One block of correlated group effects, ``(1 + x | g)``."""

    effects: Linear
    grouping: Node
    start: int = field(compare=False, default=0)
    end: int = field(compare=False, default=0)

    @property
    def group(self) -> tuple[Node, ...]:
        """The columns that are crossed into the grouping factor, from left to right."""
        return tuple(_factors(self.grouping))

    @property
    def group_name(self) -> str:
        """The grouping factor as lme4 names it, ``cask:batch``; ``pupil:(class:school)`` for three levels."""
        return _plain(self.grouping)

    def __str__(self) -> str:
        return f"({self.effects} | {self.grouping})"


@dataclass(frozen=True)
class Formula:
    """A parsed formula.

    Attributes
    ----------
    response : Node or None
        Expression left of ``~``.
    fixed : Linear
        Fixed part.
    bars : tuple of Bar
        One per block, ``||`` and ``/`` already expanded, in the order written.
    text : str
        The text as typed; positions in error messages refer to it.
    spelled : str
        The whole formula as R's deparse spells it, operators and bars as typed.
    notes : tuple of str
        What a reader of R would be warned of.
    others : tuple of (str, Formula)
        Formulas of auxiliary parameters that have predictors, by name; see `bayesmlm.distributional`.
    """

    response: Node | None
    fixed: Linear
    bars: tuple[Bar, ...]
    text: str = field(compare=False, default="")
    spelled: str = field(compare=False, default="")
    notes: tuple[str, ...] = field(compare=False, default=())
    others: tuple[tuple[str, Formula], ...] = ()

    def __str__(self) -> str:
        left = "" if self.response is None else f"{self.response} "
        return f"{left}~ {' + '.join([str(self.fixed), *map(str, self.bars)])}"


def parse_formula(text: str) -> Formula:
    """Parse an lme4 formula.

    Parameters
    ----------
    text
        Such as ``"course ~ 1 + female + (1 + female | school)"``.

    Returns
    -------
    Formula

    Raises
    ------
    FormulaError
        With the place underlined, and what to write instead.
    """
    if not isinstance(text, str):
        raise FormulaError(f"a formula is a string such as 'y ~ x + (x | g)', not {type(text).__name__}")
    if not text.strip():
        raise FormulaError("the formula is empty: write 'response ~ predictors + (effects | group)'")
    tree = parse_expression(text)
    response, right = _sides(tree, text)
    algebra = _Algebra(text)
    fixed_tree, bar_trees = algebra.split_bars(right)
    fixed = algebra.linear(fixed_tree)
    bars = tuple(bar for tree in bar_trees for bar in algebra.expand_bar(tree))
    _reject_twins(bars, text)
    _reject_response_as_predictor(response, [fixed, *(bar.effects for bar in bars)], text)
    return Formula(response, fixed, bars, text, str(tree), tuple(algebra.notes))


def _sides(tree: Node, text: str) -> tuple[Node | None, Node]:
    """Return what stands left (None for a one-sided formula) and right of the tilde."""
    if not isinstance(tree, Binary | Unary) or tree.op != "~":
        _reject_bare_bar(tree, text)
        raise FormulaError(
            "no '~' in the formula: write 'response ~ predictors + (effects | group)'", text, 0, len(text)
        )
    left, right = (tree.left, tree.right) if isinstance(tree, Binary) else (None, tree.arg)
    for node in (n for side in (left, right) if side for n in walk(side)):
        if isinstance(node, Binary | Unary) and node.op == "~":
            message = "a formula has one '~', between the response and the predictors"
            raise FormulaError(message, text, node.start, node.end)
    return left, right


def _reject_twins(bars: tuple[Bar, ...], text: str) -> None:
    blocks = [(bar.effects, bar.group) for bar in bars]
    for i, bar in enumerate(bars):
        if blocks[i] in blocks[:i]:
            message = f"the block {bar} stands twice: no data can tell the two apart; leave one out"
            raise FormulaError(message, text, bar.start, bar.end)


def _reject_response_as_predictor(response: Node | None, linears: list[Linear], text: str) -> None:
    for factor in (f for linear in linears for term in linear.terms for f in term.factors):
        if factor == response:
            message = f"the response {response} stands among the predictors: leave it out there"
            raise FormulaError(message, text, factor.start, factor.end)


def _plain(grouping: Node) -> str:
    match grouping:
        case Name(name):
            return name
        case Paren(arg):
            return f"({_plain(arg)})"
        case Binary(":", left, right):
            return f"{_plain(left)}:{_plain(right)}"
    return str(grouping)


def _factors(grouping: Node) -> list[Node]:
    grouping = _strip(grouping)
    if isinstance(grouping, Binary):
        return [*_factors(grouping.left), *_factors(grouping.right)]
    return [grouping]


def _strip(node: Node) -> Node:
    while isinstance(node, Paren):
        node = node.arg
    return node


def _is_bar(node: Node) -> bool:
    return isinstance(node, Binary) and node.op in {"|", "||"}


def _reject_bare_bar(node: Node, text: str) -> None:
    if _is_bar(node):
        message = "the random part needs parentheses of its own: write '+ (x | g)'"
        raise FormulaError(message, text, node.start, node.end)


@dataclass
class _Sum:
    """Terms as sets of factor names, in order; `intercept` None means not mentioned."""

    terms: list[frozenset[str]]
    intercept: bool | None = None


class _Algebra:
    """Expands the operators of one formula; remembers each factor's expression and first appearance."""

    def __init__(self, text: str):
        self.text = text
        self.factors: dict[str, Node] = {}
        self.notes: list[str] = []

    def error(self, message: str, node: Node) -> FormulaError:
        return FormulaError(message, self.text, node.start, node.end)

    # -- the fixed part and the bars ------------------------------------------------------------

    def split_bars(self, node: Node) -> tuple[Node | None, list[Binary]]:
        """Separate the bars from the sum they stand in; the rest keeps its shape."""
        _reject_bare_bar(node, self.text)
        inner = _strip(node)
        if isinstance(node, Paren) and _is_bar(inner):
            assert isinstance(inner, Binary)
            return None, [inner]
        if isinstance(node, Binary) and node.op in {"+", "-"}:
            left, left_bars = self.split_bars(node.left)
            right, right_bars = self.split_bars(node.right)
            if node.op == "-" and right_bars:
                raise self.error("a random part can be added to a formula, not subtracted", node.right)
            if left is None or right is None:
                kept = left if right is None else right
                if right is not None and node.op == "-":
                    kept = Unary("-", right, start=node.start, end=node.end)
                return kept, left_bars + right_bars
            rest = Binary(node.op, left, right, start=node.start, end=node.end)
            return rest, left_bars + right_bars
        if isinstance(node, Paren) or (isinstance(node, Unary) and node.op == "+"):
            return self.split_bars(node.arg)
        self.reject_inner_bars(node, node)
        return node, []

    def reject_call_of_bar(self, node: Node) -> None:
        if not isinstance(node, Call) or node.func in LOGICAL:
            return
        if any(_is_bar(_strip(arg)) for _, arg in node.args):
            inner = ", ".join(str(arg) for _, arg in node.args)
            raise self.error(f"'+' is missing before the parenthesis: write '{node.func} + ({inner})'", node)

    def reject_inner_bars(self, node: Node, whole: Node) -> None:
        """Reject a bar in the operands of an operator other than ``+``, the outermost of which is `whole`."""
        match node:
            case Binary("|" | "||"):
                op = whole.op if isinstance(whole, Binary | Unary) else ""
                raise self.error(f"a random part is joined by '+', not by {op!r}", whole)
            case Paren(arg) | Unary(_, arg):
                self.reject_inner_bars(arg, whole)
            case Binary(_, left, right):
                self.reject_inner_bars(left, whole)
                self.reject_inner_bars(right, whole)

    def linear(self, node: Node | None) -> Linear:
        """Expand a sum into its terms, in R's order."""
        offsets: list[Node] = []
        total = _Sum([]) if node is None else self.sum(node, offsets)
        rank = {name: i for i, name in enumerate(self.factors)}
        terms = sorted(total.terms, key=len)  # stable: by degree, then as written
        ordered = tuple(Term(tuple(self.factors[f] for f in sorted(t, key=rank.__getitem__))) for t in terms)
        return Linear(total.intercept is not False, ordered, tuple(offsets))

    def expand_bar(self, bar: Binary) -> list[Bar]:
        """Expand ``||`` and ``a/b`` as lme4 does; one Bar per block."""
        effects = _Algebra(self.text)
        if any(_is_bar(_strip(side)) for side in (bar.left, bar.right)):
            raise self.error("one bar per parenthesis: write '(x | a) + (x | b)'", bar)
        linear = effects.linear(_strip(bar.left))
        self.notes += effects.notes
        if linear.offsets:
            raise self.error("an offset belongs to the fixed part, not to a bar", bar.left)
        if not linear.intercept and not linear.terms:
            raise self.error("no effects left of the bar: write '(1 | g)' for varying intercepts", bar)
        parts = [linear] if bar.op == "|" else _uncorrelated(linear)
        groups = self.groups(bar.right)
        return [Bar(part, group, bar.start - 1, bar.end + 1) for part in parts for group in groups]

    def groups(self, node: Node) -> list[Node]:
        """Return the grouping factors right of a bar; ``a/b`` gives ``b:a`` and ``a``, as lme4 names them."""
        node = _strip(node)
        if isinstance(node, Binary) and node.op == "/":
            outer = self.groups(node.left)
            inner = self.grouping(node.right)
            below = outer[0]
            if isinstance(below, Binary):  # a/b/c is c:(b:a), b:a and a
                below = Paren(below, start=below.start, end=below.end)
            return [Binary(":", inner, below, start=node.start, end=node.end), *outer]
        return [self.grouping(node)]

    def grouping(self, node: Node) -> Node:
        """Check that a grouping factor is made of columns and ``:`` only."""
        node = _strip(node)
        if isinstance(node, Name | Call):
            return node
        if isinstance(node, Binary) and node.op == ":":
            self.grouping(node.left)
            self.grouping(node.right)
            return node
        if isinstance(node, Binary) and node.op in {"+", "*"}:
            a, b = node.left, node.right
            message = f"a bar has one grouping factor: write '(... | {a}) + (... | {b})' for crossed factors"
            raise self.error(f"{message}, '{a}/{b}' for nested ones, '{a}:{b}' for their combinations", node)
        raise self.error("the right side of a bar is a grouping factor: a column, 'a:b' or 'a/b'", node)

    # -- the algebra of terms -------------------------------------------------------------------

    def sum(self, node: Node, offsets: list[Node]) -> _Sum:
        match node:
            case Paren(arg):
                return self.sum(arg, offsets)
            case Number(value):
                return self.constant(value, node)
            case Unary("+", arg):
                return self.sum(arg, offsets)
            case Unary("-", arg):
                return self.subtract(_Sum([]), arg)
            case Binary("-", left, right):
                return self.subtract(self.sum(left, offsets), right)
            case Binary("+", left, right):
                a, b = self.sum(left, offsets), self.sum(right, offsets)
                return _Sum(_union(a.terms, b.terms), a.intercept if b.intercept is None else b.intercept)
            case Binary("*" | ":" | "/" | "%in%", left, right):
                return self.product(node, self.terms(left), self.terms(right))
            case Binary("^", left, right):
                return self.power(node, left, right)
            case Call("offset", args):
                if len(args) != 1:
                    raise self.error("offset() takes one expression", node)
                offsets.append(args[0][1])
                return _Sum([])
            case Name(".") | Name("..."):
                raise self.error("'.' (all other columns) is not supported: write the columns out", node)
            case Name() | Call():
                self.reject_call_of_bar(node)
                key = str(node)
                self.factors.setdefault(key, node)
                return _Sum([frozenset({key})])
        raise self.error("this is not a term: wrap arithmetic and comparisons in I(...)", node)

    def terms(self, node: Node) -> list[frozenset[str]]:
        """Terms of an operand of ``*``, ``:``, ``/`` or ``^``, where constants and offsets make no sense."""
        offsets: list[Node] = []
        if isinstance(_strip(node), Number):
            raise self.error("only predictors can be multiplied: wrap arithmetic in I(...)", node)
        inner = self.sum(node, offsets)
        if offsets:
            raise self.error("only predictors can be multiplied: wrap arithmetic in I(...)", node)
        return inner.terms

    def constant(self, value: float, node: Node) -> _Sum:
        if value not in (0.0, 1.0):
            raise self.error("only 0 and 1 (no intercept, intercept) stand alone in a formula", node)
        return _Sum([], intercept=value == 1.0)

    def subtract(self, left: _Sum, node: Node) -> _Sum:
        offsets: list[Node] = []
        right = self.sum(node, offsets)
        if offsets:
            raise self.error("an offset can be added, not subtracted", node)
        gone = set(right.terms)
        intercept = left.intercept if right.intercept is None else not right.intercept
        return _Sum([t for t in left.terms if t not in gone], intercept)

    def product(self, node: Binary, left: list[frozenset[str]], right: list[frozenset[str]]) -> _Sum:
        crossed = [a | b for a in left for b in right]
        everything = frozenset().union(*left)
        match node.op:
            case ":":
                return _Sum(_union(crossed))
            case "*":
                return _Sum(_union(left, right, crossed))
            case "/":
                return _Sum(_union(left, [everything | b for b in right]))
        inner = frozenset().union(*right)  # a %in% b is the interaction, without b
        return _Sum(_union([a | inner for a in left]))

    def power(self, node: Binary, left: Node, right: Node) -> _Sum:
        exponent = _strip(right)
        if not isinstance(exponent, Number) or exponent.value < 1 or exponent.value % 1:
            raise self.error(f"^ crosses terms a whole number of times; for a power write I({node})", node)
        base = self.terms(left)
        if len(base) == 1 and exponent.value > 1:
            self.notes.append(f"{node} means {left} in a formula; for the power write I({node})")
        total = base
        for _ in range(int(exponent.value) - 1):
            total = _union(total, base, [a | b for a in total for b in base])
        return _Sum(total)


def _union(*lists: list[frozenset[str]]) -> list[frozenset[str]]:
    return list(dict.fromkeys(t for terms in lists for t in terms))


def _uncorrelated(linear: Linear) -> list[Linear]:
    """Split ``(1 + x + f || g)`` as lme4 does: one block per term; a factor's columns stay correlated."""
    parts = [Linear(True, ())] if linear.intercept else []
    return parts + [Linear(False, (term,)) for term in linear.terms]
