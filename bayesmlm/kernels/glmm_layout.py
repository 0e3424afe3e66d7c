"""Where compiled code finds what of a generalised model: effects, working memory, what each level meets."""

from __future__ import annotations

import numpy as np

from bayesmlm.crossprod import CrossProducts
from bayesmlm.kernels.sums import (
    AT_KD,
    AT_KR,
    AT_KT,
    AT_P0,
    CHAIN,
    EFFECTS,
    ENTRIES,
    ENTRY,
    FACTORS,
    LAM,
    LEVELS,
    NUMBERS,
    PARENT,
    POSITION,
    RIGHT,
    ROW,
    START,
    STRIDE,
    TAIL,
    THETA,
    TR,
    TT,
    WIDTH,
    ZR,
    ZT,
    ZZ,
    Ordered,
    R,
)

# As in `whitening` and `whitening_single`, which are compiled.
PARTS, TAIL_STRIDE, LINKS_STRIDE = 21, 5, 3


def effect_places(cp: CrossProducts, ordered: Ordered) -> tuple[np.ndarray, ...]:
    """Positions of each block's effects among those in elimination order, (levels, p) block by block."""
    found, start = {}, 0
    for f in ordered.order:
        factor = cp.factors[f]
        place = start + np.arange(factor.size).reshape(factor.n_levels, factor.width)
        for i, width, stop in zip(factor.blocks, factor.widths, np.cumsum(factor.widths), strict=True):
            found[i] = place[:, stop - width : stop]
        start += factor.size
    return tuple(found[i] for i in sorted(found))


def space(ordered: Ordered) -> np.ndarray:
    """Offsets of the parts of the working memory, and the table of the tail's columns: see `whitening`."""
    layout = ordered.sums.layout
    n, q, chain = layout[TAIL], layout[EFFECTS], layout[CHAIN]
    rows = layout[FACTORS : FACTORS + STRIDE * len(ordered.order)].reshape(-1, STRIDE)
    kd, kr, kt = np.diff(layout[[AT_KD, AT_KR, AT_KT, AT_P0]])
    table, matrix = _tail_table(rows[chain:], q - n, coupled=_dense_tail(ordered))
    links = _single_links(layout, rows[:chain], PARTS + table.size) if rows[:, WIDTH].max() == 1 else []
    widest = int(rows[:, WIDTH].max())
    most = max(
        (int(np.diff(layout[row[START] : row[START] + row[LEVELS] + 1]).max()) for row in rows[:chain]),
        default=0,
    )
    longest = int(rows[:chain, RIGHT].max()) - layout[R] + most + 1
    scratch = max(6 * widest * widest + longest * widest, n) + 4
    sizes = [layout[NUMBERS], layout[NUMBERS], kd, kd, kr, kt, layout[THETA], layout[THETA]]
    sizes += [q] * 8 + [matrix, matrix, 3 * n, scratch]
    return np.concatenate([[0], np.cumsum(sizes), table.ravel(), *links]).astype(np.int64)


def _dense_tail(ordered: Ordered) -> bool:
    n = ordered.sums.layout[TAIL]
    return bool(ordered.sums.layout[TR] - ordered.sums.layout[TT] == n * n)


def _tail_table(rows: np.ndarray, first: int, coupled: bool) -> tuple[np.ndarray, int]:
    """For every column of the tail: see TAIL_STRIDE in `whitening`; and the length of a matrix of the tail."""
    found, length = [], 0
    n = int((rows[:, LEVELS] * rows[:, WIDTH]).sum())
    for row in rows:
        width = int(row[WIDTH])
        for level in range(row[LEVELS]):
            start = int(row[ROW]) - first + level * width
            for x in range(start, start + width):
                at = x * n if coupled else length + (x - start) * width - start
                found.append([start, width, int(row[LAM]), at, 0 if coupled else start])
            length += width * width
    return np.array(found, np.int64).reshape(-1, TAIL_STRIDE), n * n if coupled else length


def _single_links(layout: np.ndarray, chain: np.ndarray, first: int) -> list[np.ndarray]:
    """Where each level's parents and the sums that it changes are, behind a table of where each list starts.

    See `whitening_single`; `first` is the position of the table.
    """
    lists = []
    for c, row in enumerate(chain):
        J, above = int(row[LEVELS]), len(chain) - 1 - c
        count = int(row[ENTRIES])
        parent = layout[row[PARENT] : row[PARENT] + above * J].reshape(above, J)
        entry = layout[row[POSITION] : row[POSITION] + above * count].reshape(above, count)
        of = np.repeat(np.arange(J), np.diff(layout[row[START] : row[START] + J + 1]))
        assert len(of) == count
        pairs, mixed = [], np.empty((count, above), np.int64)
        for s in range(above):
            later = chain[c + 1 + s]
            pairs.append(later[ZZ] + parent[s])
            pairs += [later[ZR] + parent[s] * later[RIGHT] + i for i in range(above - s - 1)]
            mixed[:, s] = later[ZT] + entry[s] - later[ENTRY]
        own = chain[c + 1 :, ROW][:, None] + parent
        lists += [own.T.ravel(), np.array(pairs).reshape(-1, J).T.ravel(), mixed.ravel()]
    starts = first + LINKS_STRIDE * len(chain) + np.cumsum([0, *(len(part) for part in lists[:-1])])
    return [starts, *lists]
