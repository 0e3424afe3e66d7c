"""Penalised iteratively reweighted least squares: the conditional modes of the group effects.

Given Lambda and beta, or Lambda alone, u (and beta) minimise D(eta) + |u|^2, eta = offset + X beta + Z Lambda u (Bates
et al., Fitting linear mixed-effects models with lme4, section on generalised models). Each step solves

    (Lambda'Z'WZ Lambda + I) u = Lambda'Z'(W Z Lambda u_old + r),

W Fisher's weights or, where that is a descent, the observed ones, with which the steps are Newton's. A step is halved
until D + |u|^2 falls.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesmlm.kernels.reweighted import ReweightedKernel, Solved
from bayesmlm.reference.glmm.response import Responses, Rows, Second

DECREMENT = 1e-12  # the last step's promised fall of D + |u|^2; what it leaves is of the order of its square
NEAR = 10.0  # a smaller promised fall says that Newton's method will converge
ITERATIONS = 200
HALVINGS = 30
ROUNDING = 1e-13  # of D + |u|^2


@dataclass(frozen=True, eq=False)
class Mode:
    """The minimum of D + |u|^2.

    Attributes
    ----------
    gamma : ndarray, shape (k,)
        Fixed effects, as given or found.
    u : ndarray, shape (q,)
        Spherical group effects in elimination order.
    eta, Zb : ndarray, shape (n,)
    rows : Rows
        At eta.
    penalty : float
        |u|^2.
    """

    gamma: np.ndarray
    u: np.ndarray
    eta: np.ndarray
    Zb: np.ndarray
    rows: Rows
    penalty: float


class Pirls:
    """Conditional modes of one model, each search starting where the last one ended.

    Parameters
    ----------
    responses
        The likelihood.
    kernel
        Group effects, and the columns of those fixed effects that are found with them (none, or all).
    X : ndarray, shape (n, k)
        Columns of the fixed effects.
    offset : ndarray, shape (n,)
    """

    def __init__(self, responses: Responses, kernel: ReweightedKernel, X: np.ndarray, offset: np.ndarray):
        self.responses, self.kernel, self.X, self.offset = responses, kernel, X, offset
        self._u = np.zeros(kernel.size)
        self._gamma = np.zeros(X.shape[1])

    @property
    def joint(self) -> bool:
        """Whether fixed effects are found with the group effects."""
        return self.kernel.k > 0

    def start_at(self, gamma: np.ndarray, u: np.ndarray | None = None) -> None:
        """Start the next search from these effects; u is 0 if None."""
        self._gamma = np.asarray(gamma, float)
        self._u = np.zeros(self.kernel.size) if u is None else u

    def mode(self, lambdas: list[np.ndarray], gamma: np.ndarray, alpha: float = np.nan) -> Mode | None:
        """Return the mode given Lambda and gamma (or, if `joint`, given Lambda); None where there is none."""
        gamma = self._gamma if self.joint else gamma
        for u in (self._u, np.zeros(self.kernel.size)):
            state = self._state(lambdas, gamma, u, alpha)
            if state is not None:
                break
        if state is None:
            return None
        found = self._search(lambdas, state, alpha)
        if found is not None:
            self._u, self._gamma = found.u, found.gamma
        return found

    def _state(
        self, lambdas: list[np.ndarray], gamma: np.ndarray, u: np.ndarray, alpha: float
    ) -> Mode | None:
        Zb = self.kernel.by_row(self.kernel.times(lambdas, u))
        return self._at(gamma, u, self.offset + self.X @ gamma + Zb, Zb, alpha)

    def _at(
        self, gamma: np.ndarray, u: np.ndarray, eta: np.ndarray, Zb: np.ndarray, alpha: float
    ) -> Mode | None:
        rows = self.responses.rows(eta, alpha)
        if rows is None or not np.isfinite(rows.loss):
            return None
        return Mode(gamma, u, eta, Zb, rows, float(u @ u))

    def _search(self, lambdas: list[np.ndarray], state: Mode, alpha: float) -> Mode | None:
        newton = self.responses.canonical
        for _ in range(ITERATIONS):
            moved = self._step(lambdas, state, alpha, newton and not self.responses.canonical)
            if moved is None:
                return None
            state, decrement = moved
            small = decrement < DECREMENT * (1.0 + 1e-3 * abs(state.rows.loss))
            if small and newton:
                return state
            newton = newton or small or decrement < NEAR
        return None

    def _step(
        self, lambdas: list[np.ndarray], state: Mode, alpha: float, observed: bool
    ) -> tuple[Mode, float] | None:
        """Return the state after one step, and what it promised; None if no step lowers D + |u|^2."""
        rows, fixed = state.rows, self.X @ state.gamma if self.joint else 0.0
        known = self.X @ state.gamma if not self.joint else np.zeros(len(state.eta))
        weights = [self.responses.second(state.eta, rows, alpha).observed] if observed else []
        for W in (*weights, rows.W):
            v = W * (state.Zb + fixed) + rows.r
            solved = self.kernel.solve(lambdas, W, v)
            if not np.isfinite(solved.logdet):
                continue
            gamma, u, eta = self._target(lambdas, solved, v, W, known, state)
            decrement = float(rows.r @ (eta - state.eta) - state.u @ (u - state.u))
            if decrement < -ROUNDING * (1e4 + abs(rows.loss)) or not np.isfinite(decrement):
                continue
            moved = self._halve(state, gamma, u, eta, solved.Zb, alpha)
            if moved is not None:
                return moved, decrement
            if abs(decrement) < 1e-6:  # no better point can be told from this one
                return state, 0.0
        return None

    def _target(
        self,
        lambdas: list[np.ndarray],
        solved: Solved,
        v: np.ndarray,
        W: np.ndarray,
        known: np.ndarray,
        state: Mode,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        own = self.kernel.X @ solved.gamma if self.joint else 0.0
        u = self.kernel.times(lambdas, self.kernel.by_effect(v - W * (own + solved.Zb)), transpose=True)
        gamma = solved.gamma if self.joint else state.gamma
        return gamma, u, self.offset + known + own + solved.Zb

    def _halve(
        self,
        state: Mode,
        gamma: np.ndarray,
        u: np.ndarray,
        eta: np.ndarray,
        Zb: np.ndarray,
        alpha: float,
    ) -> Mode | None:
        before = state.rows.loss + state.penalty
        allowed = before + ROUNDING * max(1.0, abs(before))
        for k in range(HALVINGS):
            t = 0.5**k
            trial = self._at(
                state.gamma + t * (gamma - state.gamma),
                state.u + t * (u - state.u),
                state.eta + t * (eta - state.eta),
                state.Zb + t * (Zb - state.Zb),
                alpha,
            )
            if trial is not None and trial.rows.loss + trial.penalty <= allowed:
                return trial
        return None

    def second(self, mode: Mode, alpha: float = np.nan) -> Second:
        """Return the derivatives of the weights at a mode."""
        return self.responses.second(mode.eta, mode.rows, alpha)
