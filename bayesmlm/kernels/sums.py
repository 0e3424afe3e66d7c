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


# What `Sums.layout` holds of each factor, from FACTORS on, STRIDE numbers each: width p, levels J, number m of
# right-hand columns (those of the parents, and r), where Lambda and the group effects start; where in `Sums.numbers`
# are Z_j'WZ_j (ZZ, (J, p, p)), Z_j'W[Z_parents X y] (ZR, (J, p, m)) and Z_j'Wz of each entry (ZT, (E_c, p)); where
# K_jj (HD, (J, p, p)), K_j,parents (KR, (J, p, m - r)) and K_j,entries (KT, (E_c, p)) go; where in `layout` are the
# level of each later chain factor d that each level belongs to (PARENT, (C - c - 1, J)), where the entries of each
# level start (START, J + 1), and for each later d the entry of the parent with the same tail column (POSITION,
# (C - c - 1, E_c)); the number of the first entry and of entries.
WIDTH, LEVELS, RIGHT, LAM, ROW, ZZ, ZR, ZT, HD, KR, KT, PARENT, START, POSITION, ENTRY, ENTRIES = range(16)
STRIDE = 16
# What it holds of all of them: numbers of chain factors, tail columns n_t, right-hand columns r and group effects,
# length of Lambda; where in `numbers` are Z_t'WZ_t (TT), Z_t'W[X y] (TR) and [X y]'W[X y] (RR); where in `layout` are
# the tail column of each entry (COLUMN) and, for each tail column, where the columns of its level start, their number
# and where its Lambda starts (BLOCK, (n_t, 3)).
CHAIN, TAIL, R, EFFECTS, THETA, NUMBERS, TT, TR, RR, COLUMN, BLOCK = range(11)
# Where the parts of the working memory start. The first is a copy of `numbers`. Then, as long as needed:
# Lambda, its derivative and G; H_j of the chain; D, K and a spare matrix of the tail; B and the scores; the three parts
# of K; prior precision and mean, the matrix Q; scratch space, the last of it for `single`.
AT_LAMBDA, AT_GRAD, AT_CURVE, AT_HALF, AT_D, AT_K, AT_SPARE, AT_B, AT_SCORES, AT_KD, AT_KR, AT_KT = range(
    11, 23
)
AT_P0, AT_M0, AT_Q, AT_INVERSE, AT_E, AT_PIVOT, AT_SIDE, AT_PRODUCT, AT_P, AT_IA, AT_FKF, AT_G = range(23, 35)
AT_REST, AT_FIXED, AT_TALL, AT_MOMENTS, MEMORY, FACTORS = range(35, 41)


class Sums(NamedTuple):
    """Cross products in elimination order, as two flat arrays that compiled code can take.

    Attributes
    ----------
    layout : int64
        Sizes, links between levels, and offsets: see the names above.
    numbers : float64
        The sums themselves.
    """

    layout: np.ndarray
    numbers: np.ndarray

    def of(self, factor: int, what: int) -> int:
        """Return what `layout` holds of one factor."""
        return int(self.layout[FACTORS + factor * STRIDE + what])


class Ordered(NamedTuple):
    """`Sums`, and the positions in `CrossProducts.factors` of its factors."""

    sums: Sums
    order: tuple[int, ...]


def ordered_sums(cp: CrossProducts, coupled: bool = True) -> Ordered:
    """Choose the chain that leaves the smallest tail and lay out the cross products accordingly.

    If not `coupled`, Z_t'WZ_t of the tail holds the blocks (p, p) of its levels only, end to end.

    Raises
    ------
    DataError
        If the tail would need a matrix that does not fit into memory.
    """
    chain = best_chain(cp)
    tail = tuple(f for f in range(len(cp.factors)) if f not in chain)
    n_tail = sum(cp.factors[f].size for f in tail)
    if coupled and n_tail > LARGEST_TAIL:
        raise DataError(
            f"crossed grouping factors leave a dense matrix of order {n_tail:,}, more than {LARGEST_TAIL:,}: "
            "leave out the crossed factor with the fewest rows per level, or group it more coarsely"
        )
    entries = [_tail_entries(cp, c, tail) for c in chain]
    parents = [[_pair(cp, c, d) for d in chain[i + 1 :]] for i, c in enumerate(chain)]
    begin = np.cumsum([0] + [len(columns) for _, columns, _ in entries])
    n_factors, r = len(cp.factors), len(cp.gram)
    layout, numbers = _Pile(np.int64, FACTORS + n_factors * STRIDE), _Pile(np.float64, 0)
    rows = np.zeros((n_factors, STRIDE), np.int64)
    kd = kr = kt = effects = theta = 0
    for c, f in enumerate(chain):
        factor, (start, _, values) = cp.factors[f], entries[c]
        right = np.concatenate([*(pair.data for pair in parents[c]), factor.ZXy], axis=2)
        rows[c, [ZZ, ZR, ZT]] = [numbers.add(part) for part in (factor.ZZ, right, values)]
        rows[c, PARENT] = layout.add(*(pair.indices for pair in parents[c]))
        rows[c, START] = layout.add(start + begin[c])
        rows[c, POSITION] = layout.add(*_positions(parents, entries, begin, n_tail, c))
        rows[c, [RIGHT, ENTRY, ENTRIES, HD, KR, KT]] = right.shape[2], begin[c], len(values), kd, kr, kt
        kd, kt, kr = kd + factor.ZZ.size, kt + values.size, kr + factor.size * (right.shape[2] - r)
    for row, f in zip(rows, chain + tail, strict=True):
        row[[WIDTH, LEVELS, LAM, ROW]] = cp.factors[f].width, cp.factors[f].n_levels, theta, effects
        effects, theta = effects + cp.factors[f].size, theta + cp.factors[f].width ** 2
    first = effects - n_tail
    columns = [_column_blocks(row, first) for row in rows[len(chain) :]]
    tt = numbers.add(*([_tail_square(cp, tail)] if coupled else [cp.factors[f].ZZ for f in tail]))
    tr, rr = numbers.add(*(cp.factors[f].ZXy for f in tail)), numbers.add(cp.gram)
    links = layout.add(*(columns for _, columns, _ in entries)), layout.add(*columns)
    sizes = [len(chain), n_tail, r, effects, theta, numbers.size, tt, tr, rr, *links]
    most = max(int(np.diff(start).max()) for start, _, _ in entries)
    wide, p = int(rows[:, RIGHT].max()) + most, int(rows[: len(chain), WIDTH].max())
    lengths = (
        [theta] * 3
        + [kd]
        + [n_tail**2] * 3
        + [effects * r] * 2
        + [kd, kr, kt, r * r, r, r * r, r * r, r, p * p]
    )
    lengths += [wide * p] * 2 + [p * p] * 4 + [p * r, 2 * r * r, 2 * n_tail * r, 3 * r * r + 2 * r + 3]
    at = np.cumsum([numbers.size, *lengths])
    layout.parts[0] = np.concatenate([sizes, at, rows.ravel()]).astype(np.int64)
    return Ordered(Sums(layout.joined(), numbers.joined()), chain + tail)


class _Pile:
    """Arrays laid end to end."""

    def __init__(self, dtype: type, head: int):
        self.parts: list[np.ndarray] = [np.zeros(head, dtype)]
        self.size = head

    def add(self, *arrays: np.ndarray) -> int:
        """Lay arrays on the pile and return where the first of them starts."""
        start = self.size
        for array in arrays:
            self.parts.append(np.ravel(array).astype(self.parts[0].dtype))
            self.size += array.size
        return start

    def joined(self) -> np.ndarray:
        return np.concatenate(self.parts)


def _column_blocks(row: np.ndarray, first: int) -> np.ndarray:
    """Return, for each column of a tail factor, where its level starts, the factor's width and its Lambda."""
    width = row[WIDTH]
    start = row[ROW] - first + np.repeat(np.arange(row[LEVELS]) * width, width)
    return np.column_stack([start, np.full_like(start, width), np.full_like(start, row[LAM])])


def best_chain(cp: CrossProducts) -> tuple[int, ...]:
    """Return the chain of nested factors with the most group effects; the one with larger levels first in a tie."""
    nested = {
        (a, b): _is_nested(cp, a, b) for a in range(len(cp.factors)) for b in range(len(cp.factors)) if a != b
    }
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
