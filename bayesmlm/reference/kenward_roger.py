"""Kenward and Roger's covariance matrix and degrees of freedom for the fixed effects of a REML fit.

Kenward & Roger (1997, Biometrics 53:983), in the steps of Halekoh & Hojsgaard (2014, J. Stat. Softw. 59(9), section
3). The covariance of y is linear in its parameters, Sigma = sum_r gamma_r G_r, so that with Phi = (X'Sigma^-1 X)^-1

    P_r = X'Sigma^-1 G_r Sigma^-1 X,   Q_rs = X'Sigma^-1 G_r Sigma^-1 G_s Sigma^-1 X,
    K_rs = tr(Sigma^-1 G_r Sigma^-1 G_s),
    W = 2 [K_rs - 2 tr(Phi Q_rs) + tr(Phi P_r Phi P_s)]^-1    (the inverse of REML's expected information),
    Phi_A = Phi + 2 Phi [sum_rs W_rs (Q_rs - P_r Phi P_s)] Phi.

Nothing here depends on which basis of the span of the G_r is chosen. Ours is the group part's Z_f (I x E) Z_f', one
for each symmetric unit matrix E of a block, in the basis of the cross products; and, instead of W^-1 for the
residuals, V = Sigma / sigma^2 itself, which is W^-1 plus a combination of the others: P_V = X'V^-1 X,
Q_rV = P_r, K_rV = tr(V^-1 G_r), K_VV = n. So nothing of size n is needed, only Z'V^-1 Z (see `group_products`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesmlm.covariance import lower_indices
from bayesmlm.crossprod import CrossProducts, cross_products, orthogonal_basis
from bayesmlm.design import Design
from bayesmlm.errors import BayesMLMError, DataError
from bayesmlm.reference.contrasts import FTest, TTest, f_test, positive_inverse, spectral, t_test
from bayesmlm.reference.deviance import basis_lambdas, eliminate
from bayesmlm.reference.estimate import LmerEstimate
from bayesmlm.reference.gradient import scores
from bayesmlm.reference.group_products import GroupProducts, group_products

LARGEST_REST = 4000  # effects of all factors but the first: a dense matrix of this order is inverted
LARGEST_REACH = 50_000_000  # entries of E
NEAR_ZERO = 1e-10


@dataclass(frozen=True)
class KenwardRogerMoments:
    """What Kenward and Roger's method needs to know of a fit, for any contrast; in the user's columns.

    Attributes
    ----------
    beta : ndarray, shape (k,)
    vcov : ndarray, shape (k, k)
        Phi, the covariance of beta-hat with the variances taken as known.
    adjusted : ndarray, shape (k, k)
        Phi_A.
    change : ndarray, shape (m, k, k)
        dPhi / dgamma_r = Phi P_r Phi for the m parameters.
    spread : ndarray, shape (m, m)
        W, the asymptotic covariance of gamma-hat.
    """

    beta: np.ndarray
    vcov: np.ndarray
    adjusted: np.ndarray
    change: np.ndarray
    spread: np.ndarray


def kenward_roger_moments(design: Design, estimate: LmerEstimate) -> KenwardRogerMoments:
    """Return Phi, Phi_A, the derivatives of Phi, and W of a REML fit.

    Raises
    ------
    BayesMLMError
        For an ML fit: the method is one for REML.
    DataError
        If several factors have so many levels that dense matrices of their order do not fit.
    """
    if not estimate.reml:
        raise BayesMLMError(
            "Kenward and Roger's method needs a REML fit, and this one is by maximum likelihood: "
            "use .refit(reml=True), or ddf='satterthwaite'"
        )
    cp = cross_products(design, orthogonal_basis(design))
    _check_size(cp)
    spread, extra, change, phi = _information(cp, estimate.theta)
    # sum_r over one index, then the other: 2 Phi [sum W_rs (Q_rs - P_r Phi P_s)] Phi
    adjusted = phi + 2.0 * np.einsum("rs,rsab->ab", spread, extra)
    inverse, scale = np.linalg.inv(cp.basis.x), estimate.sigma**2
    change = scale * inverse @ change @ inverse.T
    return KenwardRogerMoments(
        estimate.beta, estimate.vcov, scale * inverse @ adjusted @ inverse.T, change, spread
    )


def kenward_roger_contrast(moments: KenwardRogerMoments, L: np.ndarray) -> TTest:
    """Test L beta = 0 for one row vector L, shape (k,)."""
    L = np.asarray(L, float)
    df, _ = _df_and_scale(moments, L[None, :])
    return t_test(float(L @ moments.beta), float(L @ moments.adjusted @ L), df)


def kenward_roger_joint(moments: KenwardRogerMoments, L: np.ndarray) -> FTest:
    """Test L beta = 0 for the rows of L, shape (r, k), jointly: the scaled Wald statistic with Phi_A."""
    L = np.atleast_2d(np.asarray(L, float))
    rows = spectral(L @ moments.vcov @ L.T)[1].T @ L
    if not len(rows):
        return f_test(np.nan, 0, np.nan)
    difference = rows @ moments.beta
    wald = float(difference @ np.linalg.solve(rows @ moments.adjusted @ rows.T, difference)) / len(rows)
    df, scale = _df_and_scale(moments, rows)
    return f_test(scale * wald, len(rows), df, scale)


def _df_and_scale(moments: KenwardRogerMoments, L: np.ndarray) -> tuple[float, float]:
    """Return the denominator degrees of freedom and the factor of the Wald statistic; L has full row rank q.

    Section 3 of Halekoh & Hojsgaard (2014): the first two moments of the Wald statistic, from A_1 and A_2, with the
    constants c_1, c_2, c_3 that make them exact in balanced cases, are those of a scaled F.
    """
    q = len(L)
    own = np.linalg.solve(L @ moments.vcov @ L.T, L @ moments.change @ L.T)
    traces = np.trace(own, axis1=1, axis2=2)
    A1 = float(traces @ moments.spread @ traces)
    A2 = float(np.einsum("rs,rab,sba->", moments.spread, own, own))
    B = (A1 + 6.0 * A2) / (2.0 * q)
    g = ((q + 1.0) * A1 - (q + 4.0) * A2) / ((q + 2.0) * A2)
    c1, c2, c3 = np.array([g, q - g, q + 2.0 - g]) / (3.0 * q + 2.0 * (1.0 - g))
    mean, bend = 1.0 - A2 / q, 1.0 - c2 * B
    ratio = 1.0 if max(abs(mean), abs(bend)) < NEAR_ZERO else mean / bend
    top = 1.0 + c1 * B
    rho = ratio**2 * (0.0 if abs(top) < NEAR_ZERO else top) / (1.0 - c3 * B) / q
    df = 4.0 + (q + 2.0) / (q * rho - 1.0)
    return df, 1.0 if abs(df - 2.0) < 1e-2 else df * mean / (df - 2.0)


def _check_size(cp: CrossProducts) -> None:
    rest = sum(f.size for f in cp.factors[1:])
    if rest > LARGEST_REST or rest * cp.factors[0].size > LARGEST_REACH:
        raise DataError(
            f"Kenward and Roger's method needs dense matrices of {cp.factors[0].size} x {rest} group effects here: "
            "use ddf='satterthwaite', which with so many groups hardly differs"
        )


@dataclass(frozen=True)
class _Component:
    """G = Z_f (I x E) Z_f' of one variance or covariance.

    `factor` is f, `rows` are those of f among all group effects, `unit` is E, shape (p_f, p_f).
    """

    factor: int
    rows: slice
    unit: np.ndarray


def _components(cp: CrossProducts) -> list[_Component]:
    """One component for each element of the lower triangle of each block's covariance matrix."""
    found, start = [], 0
    for f, factor in enumerate(cp.factors):
        rows = slice(start, start + factor.size)
        offset = 0
        for width in factor.widths:
            for r, c in zip(*lower_indices(width), strict=True):
                unit = np.zeros((factor.width, factor.width))
                unit[offset + r, offset + c] = unit[offset + c, offset + r] = 1.0
                found.append(_Component(f, rows, unit))
            offset += width
        start += factor.size
    return found


def _information(
    cp: CrossProducts, theta: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return W, Phi (Q_rs - P_r Phi P_s) Phi, Phi P_r Phi and Phi in the basis, in units of sigma^2; V is last."""
    lambdas = basis_lambdas(cp, theta)
    state, k, parts = eliminate(cp, lambdas), cp.n_coefficients, _components(cp)
    products = group_products(cp, lambdas)
    score = _stacked(cp, [s[:, :, :k] for s in scores(state)])  # Z'V^-1 X
    m = len(parts)
    weighted = np.zeros((m, *score.shape))  # (I x E) Z_f'V^-1 X
    for r, part in enumerate(parts):
        own = score[part.rows]
        levels = own.reshape(len(own) // len(part.unit), len(part.unit), k)
        weighted[r, part.rows] = (part.unit @ levels).reshape(own.shape)
    P = np.concatenate([score.T @ weighted, state.reduced[None, :k, :k]])
    Q = np.empty((m + 1, m + 1, k, k))
    for s in range(m):
        Q[:m, s] = weighted.transpose(0, 2, 1) @ products.apply(weighted[s])
    Q[m], Q[:, m] = P, P
    phi = np.linalg.inv(P[m])
    change = phi @ P @ phi
    information = _traces(cp, parts, products) - 2.0 * np.einsum("ab,rsba->rs", phi, Q)
    information += np.einsum("rab,sba->rs", phi @ P, phi @ P)
    extra = phi @ Q @ phi - change[:, None] @ (P @ phi)[None, :]
    return 2.0 * positive_inverse(information), extra, change, phi


def _stacked(cp: CrossProducts, per_block: list[np.ndarray]) -> np.ndarray:
    """Stack (J, p, c) arrays of the blocks of the design to (q, c), in the order of the factors."""
    joined = [np.concatenate([per_block[i] for i in f.blocks], axis=1) for f in cp.factors]
    return np.concatenate([a.reshape(f.size, -1) for a, f in zip(joined, cp.factors, strict=True)])


def _traces(cp: CrossProducts, parts: list[_Component], products: GroupProducts) -> np.ndarray:
    """Return K_rs, V last."""
    m, factors = len(parts), range(len(cp.factors))
    moments = {(f, g): products.moments(f, g) for f in factors for g in factors if f <= g}
    sums = [products.diagonal_sum(f) for f in factors]
    K = np.full((m + 1, m + 1), float(cp.n))
    for r, a in enumerate(parts):
        for s, b in enumerate(parts[r:], start=r):
            pair = moments[a.factor, b.factor]
            K[r, s] = K[s, r] = np.einsum("ab,cd,bcad->", a.unit, b.unit, pair)
        K[r, m] = K[m, r] = np.sum(a.unit * sums[a.factor])
    return K
