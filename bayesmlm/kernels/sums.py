"""`CrossProducts` as flat arrays, in the order in which the group effects are eliminated.

The normal equations of a mixed model are sparse: a level of one factor meets only the levels of another that occur
with it. Two kinds of factors are told apart.

- The chain: factors each nested in the next (pupils in classes in schools). A level of one has a single parent in
  every later one, so that eliminating it changes one block of each and the equations stay block-diagonal.
- The tail: all others. The chain leaves a Schur complement of them that fills in; it is dense.

With one factor, or with nested factors only, there is no tail and the cost is linear in the number of levels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse

from bayesmlm.crossprod import CrossProducts
from bayesmlm.errors import DataError

LARGEST_TAIL = 20_000  # order of the dense matrix: 3 GB


# Columns of `Sums.table`.
WIDTH, LEVELS, RIGHT, LAM, ROW, ZZ, ZR, ZT, HD, KR, KT, PARENT, START, POSITION, ENTRY, ENTRIES = range(16)
# Its last row: numbers of chain factors, tail columns, right-hand columns r, group effects and entries of the chain's p x p
# blocks; and offsets.
CHAIN, TAIL, R, EFFECTS, SQUARES, SIDES, CELLS, TT, TR, RR, COLUMN, BLOCK = range(12)


class Sums(NamedTuple):
    """Cross products in elimination order, as three flat arrays that compiled code can take.

    C chain factors, then the tail factors; E entries (tail columns met by a level), n_t tail columns, r = k + 1.

    Attributes
    ----------
    table : int64 (F + 1, 16)
        For each factor its width p, levels J, number m of right-hand columns (those of its parents, and r), where
        its Lambda and its rows of group effects start, and offsets into `links` and `numbers`; the last row holds
        what concerns all factors.
    links : int64
        Per chain factor c: the level of each later chain factor d that each level belongs to (PARENT, (C - c - 1,
        J)); where the entries of each level start (START, J + 1); for each later d the entry of the parent with
        the same tail column (POSITION, (C - c - 1, E_c)). Then the tail column of each entry (COLUMN), and for each
        tail column where the columns of its level start, their number, and where its Lambda starts (BLOCK, (n_t, 3)).
    numbers : float64
        Per chain factor Z_j'WZ_j (ZZ, (J, p, p)), Z_j'W[Z_parents X y] (ZR, (J, p, m)) and Z_j'Wz of each entry (ZT,
        (E_c, p)); then Z_t'WZ_t (TT), Z_t'W[X y] (TR) and [X y]'W[X y] (RR).
    """

    table: np.ndarray
    links: np.ndarray
    numbers: np.ndarray


class Ordered(NamedTuple):
    """`Sums`, and the positions in `CrossProducts.factors` of its factors."""

    sums: Sums
    order: tuple[int, ...]


def ordered_sums(cp: CrossProducts) -> Ordered:
    """Choose the chain that leaves the smallest tail and lay out the cross products accordingly.

    Raises
    ------
    DataError
        If the tail would need a matrix that does not fit into memory.
    """
    chain = _best_chain(cp)
    tail = tuple(f for f in range(len(cp.factors)) if f not in chain)
    n_tail = sum(cp.factors[f].size for f in tail)
    if n_tail > LARGEST_TAIL:
        raise DataError(
            f"crossed grouping factors leave a dense matrix of order {n_tail:,}, more than {LARGEST_TAIL:,}: "
            "leave out the crossed factor with the fewest rows per level, or group it more coarsely"
        )
    entries = [_tail_entries(cp, c, tail) for c in chain]
    parents = [[_pair(cp, c, d) for d in chain[i + 1 :]] for i, c in enumerate(chain)]
    begin = np.cumsum([0] + [len(columns) for _, columns, _ in entries])
    links, numbers = _Pile(np.int64), _Pile(np.float64)
    table = np.zeros((len(cp.factors) + 1, 16), np.int64)
    rows = lam = 0
    hd = kr = kt = 0
    for c, f in enumerate(chain):
        factor, (start, _, values) = cp.factors[f], entries[c]
        right = np.concatenate([*(pair.data for pair in parents[c]), factor.ZXy], axis=2)
        table[c, ZZ], table[c, ZR], table[c, ZT] = map(numbers.add, (factor.ZZ, right, values))
        table[c, PARENT] = links.add(*(pair.indices for pair in parents[c]))
        table[c, START] = links.add(start + begin[c])
        table[c, POSITION] = links.add(*_positions(parents, entries, begin, n_tail, c))
        table[c, [RIGHT, ENTRY, ENTRIES, HD, KR, KT]] = right.shape[2], begin[c], len(values), hd, kr, kt
        hd, kt = hd + factor.ZZ.size, kt + values.size
        kr += factor.size * (right.shape[2] - len(cp.gram))
    for i, f in enumerate(chain + tail):
        table[i, [WIDTH, LEVELS, LAM, ROW]] = cp.factors[f].width, cp.factors[f].n_levels, lam, rows
        rows, lam = rows + cp.factors[f].size, lam + cp.factors[f].width ** 2
    last = table[-1]
    last[[CHAIN, TAIL, R, EFFECTS, SQUARES, SIDES, CELLS]] = len(chain), n_tail, len(cp.gram), rows, hd, kr, kt
    last[TT], last[RR] = numbers.add(_tail_square(cp, tail)), numbers.add(cp.gram)
    last[TR] = numbers.add(*(cp.factors[f].ZXy for f in tail))
    last[COLUMN] = links.add(*(columns for _, columns, _ in entries))
    last[BLOCK] = links.add(*(_column_blocks(*row[[WIDTH, LEVELS, ROW, LAM]], rows - n_tail) for row in table[len(chain) : -1]))
    return Ordered(Sums(table, links.joined(), numbers.joined()), chain + tail)


class _Pile:
    """Arrays laid end to end."""

    def __init__(self, dtype: type):
        self.parts, self.size = [np.empty(0, dtype)], 0

    def add(self, *arrays: np.ndarray) -> int:
        """Lay arrays on the pile and return where the first of them starts."""
        start = self.size
        for array in arrays:
            self.parts.append(np.ravel(array).astype(self.parts[0].dtype))
            self.size += array.size
        return start

    def joined(self) -> np.ndarray:
        return np.concatenate(self.parts)


def _column_blocks(width: int, levels: int, row: int, lam: int, first: int) -> np.ndarray:
    """Return, for each column of a tail factor, where its level starts, the factor's width and its Lambda."""
    start = row - first + np.repeat(np.arange(levels) * width, width)
    return np.column_stack([start, np.full_like(start, width), np.full_like(start, lam)])


def _best_chain(cp: CrossProducts) -> tuple[int, ...]:
    """Return the chain of nested factors with the most group effects; the one with larger levels first in a tie."""
    nested = {(a, b): _is_nested(cp, a, b) for a in range(len(cp.factors)) for b in range(len(cp.factors)) if a != b}
    from_fine_to_coarse = sorted(range(len(cp.factors)), key=lambda f: -cp.factors[f].n_levels)
    chains = []
    for start in range(len(cp.factors)):
        chain = [start]
        for f in from_fine_to_coarse:
            if f not in chain and all(nested[c, f] for c in chain):
                chain.append(f)
        chains.append(tuple(chain))
    return max(chains, key=lambda chain: sum(cp.factors[c].size for c in chain))


def _is_nested(cp: CrossProducts, a: int, b: int) -> bool:
    return bool(np.all(np.diff(_pair(cp, a, b).indptr) == 1))


def _pair(cp: CrossProducts, a: int, b: int) -> sparse.bsr_array:
    """Return Z_a'WZ_b as blocks per pair of levels, sorted."""
    if a < b:
        return cp.cross[a, b]
    turned = sparse.bsr_array(cp.cross[b, a].T)
    turned.sort_indices()
    return turned


def _tail_entries(
    cp: CrossProducts, c: int, tail: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where the entries of each level start, their tail columns, and Z_j'Wz (E_c, p_c) of each."""
    factor = cp.factors[c]
    level, column = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    values, begin = [np.empty((0, factor.width))], 0
    for f in tail:
        pair, width = _pair(cp, c, f), cp.factors[f].width
        level.append(np.repeat(np.arange(factor.n_levels), np.diff(pair.indptr) * width))
        column.append((begin + pair.indices[:, None] * width + np.arange(width)).ravel())
        values.append(pair.data.transpose(0, 2, 1).reshape(-1, factor.width))
        begin += cp.factors[f].size
    of, columns = np.concatenate(level), np.concatenate(column)
    order = np.lexsort((columns, of))
    start = np.searchsorted(of[order], np.arange(factor.n_levels + 1))
    return start, columns[order], np.concatenate(values)[order]


def _positions(
    parents: list[list[sparse.bsr_array]],
    entries: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
    begin: np.ndarray,
    n_tail: int,
    c: int,
) -> list[np.ndarray]:
    """Find each entry of chain factor c among those of its parents: whatever a level meets, its parents meet."""
    found = []
    for d, pair in enumerate(parents[c], start=c + 1):
        known = _entry_levels(entries[d][0]) * n_tail + entries[d][1]
        wanted = pair.indices[_entry_levels(entries[c][0])].astype(np.int64) * n_tail + entries[c][1]
        found.append(begin[d] + np.searchsorted(known, wanted))
    return found


def _entry_levels(start: np.ndarray) -> np.ndarray:
    return np.repeat(np.arange(len(start) - 1), np.diff(start))


def _tail_square(cp: CrossProducts, tail: tuple[int, ...]) -> np.ndarray:
    size = [cp.factors[f].size for f in tail]
    begin = np.cumsum([0, *size])
    out = np.zeros((begin[-1], begin[-1]))
    for i, a in enumerate(tail):
        rows = slice(begin[i], begin[i + 1])
        for j, b in enumerate(tail[:i]):
            columns = slice(begin[j], begin[j + 1])
            out[rows, columns] = _pair(cp, a, b).toarray()
            out[columns, rows] = out[rows, columns].T
        own = begin[i] + np.arange(size[i]).reshape(cp.factors[a].n_levels, -1)
        out[own[:, :, None], own[:, None, :]] = cp.factors[a].ZZ
    return out
