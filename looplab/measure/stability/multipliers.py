"""The largest multipliers: by how much the loop map stretches small departures from a state.

At a fixed point a departure along an eigenvector of the Jacobian is multiplied by its eigenvalue at
each loop: below 1 in modulus it dies out, a complex pair turns while it does, and -1 is where a
period of two is born. The map of a transformer is far from normal: its spectral norm, the most that
a single loop can stretch, is often above 1 where every multiplier is below, so departures may grow
before they die out. Read both.
"""

import numpy as np
import torch
from torch import Tensor

from looplab.measure.stability.jacobian import (
    Map,
    direct_products,
    precisely,
    transposed_product,
)

_DENSE = 64  # numbers in a state; up to here the whole Jacobian is cheaper than Arnoldi's method
_BASIS = 30  # vectors; with fewer, complex leading pairs come out some per cent wrong
_RESTARTS = 100  # of Arnoldi's method; a spectrum that takes more has no clear leaders


def leading_multipliers(step: Map, state: Tensor, count: int = 6) -> Tensor:
    """The `count` eigenvalues of the Jacobian at `state` that are largest in modulus, complex.

    `state` [...] -> [count], largest first; of a complex pair the one above the real axis comes
    first, and the end of the list may cut a pair. Arnoldi's method (ARPACK) on products with the
    transposed Jacobian. Where the spectral norm is many times the radius, the eigenvalues
    themselves are sensitive to rounding, whatever finds them; compare float64 then. Raises
    ValueError when the state has fewer than `count` numbers, and RuntimeError when the iteration
    does not converge.

    Source: leading multipliers, arXiv 2608.26556; Arnoldi's method, Lehoucq, Sorensen & Yang 1998.

    >>> turn = torch.tensor([[0.0, -0.5], [0.5, 0.0]])
    >>> leading_multipliers(lambda z: turn @ z, torch.ones(2), 2)
    tensor([0.+0.5000j, 0.-0.5000j])
    """
    size = state.numel()
    if not 1 <= count <= size:
        raise ValueError(f"count={count}: a state of {size} numbers has 1 to {size} multipliers")
    step, state = precisely(step, state)
    pull = transposed_product(step, state)
    if size <= _DENSE or count > size - 3:  # ARPACK finds at most size - 2
        values = torch.linalg.eigvals(_dense(pull, state)).cpu().numpy()
    else:
        values = _arnoldi(pull, state, count)
    # A pair's moduli differ by rounding; made equal, so that the upper one is always the first.
    modulus = np.abs(values).astype(float)
    modulus = np.round(modulus / max(modulus.max(), np.finfo(float).tiny), 4)
    order = np.lexsort((-values.imag, -modulus))[:count]
    kind = torch.complex128 if state.dtype == torch.float64 else torch.complex64
    return torch.tensor(values[order], dtype=kind, device=state.device)


def spectral_radius(step: Map, state: Tensor, steps: int = 100) -> Tensor:
    """Modulus of the largest multiplier at `state` by power iteration: [...] -> number.

    A random vector is multiplied `steps` times; the radius is the mean growth per product over the
    second half, as a geometric mean because a complex pair makes the length pulse (a Rayleigh
    quotient would be off by tens of per cent). Within about 1 % where the largest multiplier or
    pair stands alone; `leading_multipliers` is sharper for the same number of products, this one
    needs nothing but torch. Raises ValueError for fewer than two steps.

    >>> spectral_radius(lambda z: z * torch.tensor([0.9, 0.1]), torch.ones(2))
    tensor(0.9000)
    """
    if steps < 2:
        raise ValueError(f"steps={steps}: expected at least 2, and 100 to be accurate")
    step, state = precisely(step, state)
    pull = transposed_product(step, state)
    v = _random_like(state)
    growth = []
    for _ in range(steps):
        v = pull(v)
        growth.append(v.norm())
        v = v / growth[-1].clamp_min(torch.finfo(v.dtype).tiny)
    return torch.stack(growth[steps // 2 :]).log().mean().exp()


def spectral_norm(step: Map, state: Tensor) -> Tensor:
    """Largest singular value of the Jacobian at `state`: [...] -> number.

    The most by which one loop can lengthen a small departure; never below `spectral_radius`, and
    above it by how far the Jacobian is from normal. Lanczos' method (ARPACK) on J^T J.

    Source: norm(J) > 1 > radius(J) in trained loops, arXiv 2607.10681.

    >>> shear = torch.tensor([[0.5, 3.0], [0.0, 0.5]])  # both eigenvalues are 0.5
    >>> spectral_norm(lambda z: shear @ z, torch.ones(2))
    tensor(3.0811)
    """
    step, state = precisely(step, state)
    pull = transposed_product(step, state)
    if state.numel() <= _DENSE:
        return torch.linalg.matrix_norm(_dense(pull, state), ord=2)

    _, push = direct_products(step, state)

    def stretch(v: Tensor) -> Tensor:
        return pull(push(v[None])[0])

    from scipy.sparse.linalg import eigsh  # slow to import, and here needed only

    if _forgets(stretch, state):
        return state.new_zeros(())
    values = eigsh(
        _operator(stretch, state),
        k=1,
        v0=_random_like(state).flatten().double().cpu().numpy(),
        tol=_tolerance(state),
        return_eigenvectors=False,
    )
    return torch.tensor(max(values[0], 0.0) ** 0.5, dtype=state.dtype, device=state.device)


def _arnoldi(pull: Map, state: Tensor, count: int) -> np.ndarray:
    from scipy.sparse.linalg import ArpackNoConvergence, eigs

    if _forgets(pull, state):
        return np.zeros(count + 1, dtype=complex)
    try:
        return eigs(
            _operator(pull, state),
            k=count + 1,  # so that a pair is cut, if at all, by the caller's order
            ncv=min(state.numel(), max(2 * count + 3, _BASIS)),
            v0=_random_like(state).flatten().double().cpu().numpy(),
            tol=_tolerance(state),
            maxiter=_RESTARTS,
            return_eigenvectors=False,
        )
    except ArpackNoConvergence as error:
        raise RuntimeError(
            f"only {len(error.eigenvalues)} of count={count} multipliers converged: many have "
            "nearly the same modulus, or the Jacobian is too far from normal; ask for another "
            "count, or for the spectral_radius alone"
        ) from None


def _dense(pull: Map, state: Tensor) -> Tensor:
    """The whole Jacobian [out, in], for small states: row i is J^T e_i."""
    rows = torch.eye(state.numel(), dtype=state.dtype, device=state.device)
    return torch.stack([pull(row.view_as(state)).flatten() for row in rows])


def _operator(apply: Map, state: Tensor):
    """`apply` for scipy, on flat float64 arrays, whatever the type and device of the state."""
    from scipy.sparse.linalg import LinearOperator

    def matvec(v: np.ndarray) -> np.ndarray:
        image = apply(torch.from_numpy(v.ravel()).to(state).view_as(state))
        return image.flatten().double().cpu().numpy()

    return LinearOperator((state.numel(),) * 2, matvec=matvec, dtype=np.float64)


def _forgets(apply: Map, state: Tensor) -> bool:
    return not apply(_random_like(state)).any()  # ARPACK stops with an error at the zero matrix


def _tolerance(state: Tensor) -> float:
    return 100 * torch.finfo(state.dtype).eps  # below the rounding of products it is never met


def _random_like(state: Tensor) -> Tensor:
    """The same random unit vector in every call: a measurement should not depend on luck."""
    fixed = torch.Generator().manual_seed(0)
    v = torch.randn(state.shape, generator=fixed, dtype=torch.float64).to(state)
    return v / v.norm()
