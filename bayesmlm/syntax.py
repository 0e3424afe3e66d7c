"""The grammar of R expressions that a formula may hold: text -> tokens -> tree -> R's own spelling.

Operators bind as in R, tightest first: ``^`` (right to left), unary minus, ``:``, ``%in%``, ``* /``,
``+ -``, comparisons, ``!``, ``&``, ``|`` and ``||``, ``~``. A name may hold dots (``total.fruits``), so
Python's ``np.log`` is one name too. Every node keeps the positions of its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from bayesmlm.errors import FormulaError

TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
      | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?L?)
      | (?P<name>(?:[^\W\d]|\.(?!\d))[\w.]*)
      | (?P<quoted>`[^`]+`)
      | (?P<string>"[^"]*"|'[^']*')
      | (?P<op>%in%|%%|%/%|\*\*|\|\||\||==|!=|<=|>=|&&|[-+*/^:~(),=<>!&\[\]{}])
    """,
    re.VERBOSE,
)
# Binding powers of the binary operators; `^` binds to the right.
POWER = {"~": 1, "|": 2, "||": 2, "&": 3, "==": 5, "!=": 5, "<": 5, ">": 5, "<=": 5, ">=": 5}
POWER |= {"+": 6, "-": 6, "*": 7, "/": 7, "%in%": 8, "%%": 8, "%/%": 8, ":": 9, "^": 11}
NOT_POWER, SIGN_POWER = 4, 10
TIGHT = {"^", ":", "/", "%%", "%/%"}  # R's deparse puts no spaces around these
COLUMN_ALONE = "; write the column's name alone: the data frame is given apart from the formula"
NEXT_STEP = {  # what to write instead of a token that no formula holds
    "$": COLUMN_ALONE,
    "@": COLUMN_ALONE,
    "=": "; a formula has '~' between the response and the predictors",
    "[": "; a formula cannot index a column: make a new column in the data first",
    "|": ": nothing stands left of it; write '(1 | g)' for varying intercepts",
    "||": ": nothing stands left of it; write '(1 | g)' for varying intercepts",
}


@dataclass(frozen=True)
class Node:
    """A piece of an expression; `start` and `end` are positions in the formula's text."""

    start: int = field(compare=False, kw_only=True)
    end: int = field(compare=False, kw_only=True)

    def __str__(self) -> str:
        return deparse(self)


@dataclass(frozen=True)
class Name(Node):
    """A column, or the name of a constant such as TRUE."""

    name: str


@dataclass(frozen=True)
class Number(Node):
    """A numeric constant."""

    value: float


@dataclass(frozen=True)
class String(Node):
    """A quoted constant."""

    value: str


@dataclass(frozen=True)
class Unary(Node):
    """A sign or a negation."""

    op: str
    arg: Node


@dataclass(frozen=True)
class Binary(Node):
    """Two expressions joined by an operator."""

    op: str
    left: Node
    right: Node


@dataclass(frozen=True)
class Paren(Node):
    """An expression in parentheses."""

    arg: Node


@dataclass(frozen=True)
class Call(Node):
    """A function call; `args` are (keyword or None, expression) pairs."""

    func: str
    args: tuple[tuple[str | None, Node], ...]

    def positional(self) -> list[Node]:
        """Return the arguments given without a keyword."""
        return [a for k, a in self.args if k is None]


@dataclass(frozen=True)
class Token:
    """A lexical unit with its place."""

    kind: str
    text: str
    start: int
    end: int


def tokenize(text: str) -> list[Token]:
    """Cut a formula into tokens; the last one has kind ``end``.

    Raises
    ------
    FormulaError
        At a character that no R expression holds.
    """
    tokens, pos = [], 0
    while pos < len(text):
        match = TOKEN.match(text, pos)
        if match is None:
            what = "unclosed quote" if text[pos] in "`\"'" else f"unexpected character {text[pos]!r}"
            raise FormulaError(f"{what} in the formula{NEXT_STEP.get(text[pos], '')}", text, pos)
        kind = str(match.lastgroup)
        if kind != "space":
            tokens.append(Token(kind, match.group(), pos, match.end()))
        pos = match.end()
    tokens.append(Token("end", "", len(text), len(text) + 1))
    return tokens


def parse_expression(text: str) -> Node:
    """Parse a whole formula or expression into a tree.

    Raises
    ------
    FormulaError
        Where the text stops making sense, with what was expected there.
    """
    return parse_tokens(text, tokenize(text))


def parse_tokens(text: str, tokens: list[Token]) -> Node:
    """Parse tokens of a text, the last of kind ``end``; errors as `parse_expression`."""
    return _Parser(text, tokens).parse()


class _Parser:
    """Precedence climbing over the tokens of one text."""

    def __init__(self, text: str, tokens: list[Token]):
        self.text, self.tokens, self.pos = text, tokens, 0

    @property
    def token(self) -> Token:
        return self.tokens[self.pos]

    def parse(self) -> Node:
        node = self.expression(0)
        if self.token.kind != "end":
            raise self.unexpected()
        return node

    def advance(self) -> Token:
        token = self.token
        self.pos += 1
        return token

    def unexpected(self) -> FormulaError:
        token = self.token
        if token.kind == "end":
            return FormulaError(
                "the formula ends too early: something is missing here", self.text, token.start
            )
        before = self.tokens[self.pos - 1] if self.pos else token
        if token.text in {")", "}"} and before.kind == "op" and before.text not in {")", "}"}:
            message = f"something is missing between {before.text!r} and {token.text!r}"
            return FormulaError(message, self.text, before.start, token.end)
        if token.text == ")":
            return FormulaError("')' closes a parenthesis that was not opened", self.text, token.start)
        hint = NEXT_STEP.get(token.text, "")
        if (self.pos and token.kind in {"name", "quoted", "number", "string"}) or token.text == "(":
            hint = "; an operator is missing before it, such as '+', '*', ':' or '|'"
        message = f"unexpected {token.text!r}{hint}"
        return FormulaError(message, self.text, token.start, token.end)

    def expect(self, text: str, opened: Token) -> Token:
        if self.token.text != text:
            if self.token.kind == "end":
                message = f"{opened.text!r} is never closed: add {text!r}"
                raise FormulaError(message, self.text, opened.start, opened.end)
            raise self.unexpected()
        return self.advance()

    def expression(self, minimum: int) -> Node:
        left = self.prefix()
        while self.token.kind == "op":
            op = {"**": "^", "&&": "&"}.get(self.token.text, self.token.text)
            power = POWER.get(op, -1)
            if power < minimum or power < 0:
                break
            self.advance()
            # R reads a^-1 as a^(-1), so the right side of ^ may start with a sign.
            right = self.expression(power if op == "^" else power + 1)
            left = Binary(op, left, right, start=left.start, end=right.end)
        return left

    def prefix(self) -> Node:
        token = self.token
        if token.kind == "op" and token.text in {"-", "+", "!", "~"}:
            self.advance()
            power = {"!": NOT_POWER, "~": POWER["~"] + 1}.get(token.text, SIGN_POWER)
            arg = self.expression(power)
            return Unary(token.text, arg, start=token.start, end=arg.end)
        return self.primary()

    def primary(self) -> Node:
        token = self.token
        if token.kind == "number":
            self.advance()
            return Number(float(token.text.rstrip("L")), start=token.start, end=token.end)
        if token.kind == "string":
            self.advance()
            return String(token.text[1:-1], start=token.start, end=token.end)
        if token.kind in {"name", "quoted"}:
            self.advance()
            name = token.text.strip("`")
            if self.token.text == "(" and token.kind == "name":
                return self.call(token, name)
            return Name(name, start=token.start, end=token.end)
        if token.text == "(":
            self.advance()
            inner = self.expression(0)
            close = self.expect(")", token)
            return Paren(inner, start=token.start, end=close.end)
        if token.text == "{":  # Bambi's spelling of I(...)
            self.advance()
            inner = self.expression(0)
            close = self.expect("}", token)
            return Call("I", ((None, inner),), start=token.start, end=close.end)
        raise self.unexpected()

    def call(self, name: Token, func: str) -> Call:
        opened = self.advance()
        args: list[tuple[str | None, Node]] = []
        while self.token.text != ")":
            args.append(self.argument())
            if self.token.text != ",":
                break
            self.advance()
        close = self.expect(")", opened)
        return Call(func, tuple(args), start=name.start, end=close.end)

    def argument(self) -> tuple[str | None, Node]:
        following = self.tokens[self.pos + 1] if self.pos + 1 < len(self.tokens) else self.token
        keyword = None
        if self.token.kind == "name" and following.text == "=":
            keyword = self.advance().text
            self.advance()
        return keyword, self.expression(0)


def number_text(value: float) -> str:
    """Return a number as R's deparse writes it: 15 digits, ``1e+05`` where that is shorter than ``100000``."""
    mantissa, exponent = f"{value:.14e}".split("e")
    scientific = f"{mantissa.rstrip('0').rstrip('.')}e{exponent}"
    fixed = f"{Decimal(scientific):f}"
    return fixed if len(fixed) <= len(scientific) else scientific


def quote_name(name: str) -> str:
    """Return a column name as it stands in a formula: in backticks where R would need them."""
    return name if re.fullmatch(r"(?:[^\W\d]|\.(?!\d))[\w.]*", name) else f"`{name}`"


def deparse(node: Node) -> str:
    """Return an expression as R spells it, which is how R names coefficients: ``I(age^2)``."""
    match node:
        case Name(name):
            return quote_name(name)
        case Number(value):
            return number_text(value)
        case String(value):
            return f'"{value}"' if '"' not in value else f"'{value}'"
        case Unary(op, arg):
            return f"{op}{deparse(arg)}"
        case Paren(arg):
            return f"({deparse(arg)})"
        case Binary(op, left, right):
            gap = "" if op in TIGHT else " "
            return f"{deparse(left)}{gap}{op}{gap}{deparse(right)}"
        case Call(func, args):
            inner = ", ".join(deparse(a) if k is None else f"{k} = {deparse(a)}" for k, a in args)
            return f"{func}({inner})"
    raise TypeError(f"not an expression: {node!r}")


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all nodes below it, outermost first."""
    yield node
    match node:
        case Unary(_, arg) | Paren(arg):
            yield from walk(arg)
        case Binary(_, left, right):
            yield from walk(left)
            yield from walk(right)
        case Call(_, args):
            for _, arg in args:
                yield from walk(arg)


def names_in(node: Node) -> list[Name]:
    """Return the names (columns or constants) that an expression uses, in order."""
    return [n for n in walk(node) if isinstance(n, Name)]
