"""What stability costs: products with the Jacobian against all of it, many starts against one.

    python benchmarks/bench_stability.py [256 512 1024 8192 paths]

Sizes are the numbers in a state. Dense is quicker at 256, grows with the third power and is left
out at 8192, where it would take minutes. `paths`: exponents, basins and solvers.
"""

import statistics
import sys
from dataclasses import dataclass

import scipy.optimize
import torch
from timing import interleave, show
from torch.nn.attention import SDPBackend, sdpa_kernel

from looplab import LoopedConfig, LoopedTransformer
from looplab.measure import stability


@dataclass(frozen=True)
class Size:
    width: int
    tokens: int
    rounds: int
    gate: float | None  # Arnoldi / dense; None: dense is left out


SIZES = {
    "256": Size(width=32, tokens=8, rounds=9, gate=4.0),
    "512": Size(width=32, tokens=16, rounds=7, gate=1.0),
    "1024": Size(width=64, tokens=16, rounds=5, gate=0.2),
    "8192": Size(width=256, tokens=32, rounds=5, gate=None),
}
SECONDS = 1.0  # of the spectral radius at 8192
ERROR = 0.01  # of the radius against the dense one


def looped(size, seed=0, gain=1.5):
    """A core with random weights large enough for complex leading multipliers."""
    torch.manual_seed(seed)
    model = LoopedTransformer(
        LoopedConfig(
            vocab=64, width=size.width, core=2, norm="residual_sandwich", injection="concat"
        )
    ).eval()
    for weight in model.cores[0].layers.parameters():
        if weight.dim() == 2:
            torch.nn.init.normal_(weight, std=gain / weight.shape[1] ** 0.5)
    return model


def loop_at_rest(size, seed=0):
    """The loop map on random tokens, and the state after 60 loops."""
    model = looped(size, seed)
    tokens = torch.randint(64, (1, size.tokens), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        state = model(tokens, 60).state
    return stability.loop_map(model, tokens), state


def dense(step, state):
    """What a user would write without this library."""
    with sdpa_kernel(SDPBackend.MATH):  # the fused kernel has no rule for batches of products
        jacobian = torch.func.jacrev(step)(state)
    return torch.linalg.eigvals(jacobian.reshape(state.numel(), -1))


def plain(step, state):
    with torch.no_grad():
        return step(state)


ARNOLDI, DENSE = "leading multipliers, Arnoldi", "dense Jacobian and eigvals"


def all_cases(step, state, with_dense):
    cases = {
        "one loop": lambda: plain(step, state),
        ARNOLDI: lambda: stability.leading_multipliers(step, state, 1),
        "spectral radius, power iteration": lambda: stability.spectral_radius(step, state),
        "spectral norm, Lanczos": lambda: stability.spectral_norm(step, state),
        "4 Lyapunov exponents, 8 loops": lambda: stability.lyapunov_exponents(step, state, 8, 4),
    }
    return cases | ({DENSE: lambda: dense(step, state)} if with_dense else {})


def error(size, seed):
    """Of the radius, relative, against the dense one."""
    step, state = loop_at_rest(size, seed)
    exact = dense(step, state).abs().max()
    return abs(stability.leading_multipliers(step, state, 1)[0].abs() / exact - 1).item()


def exponents_by_dense(step, state, loops, count):
    """Lyapunov exponents with the whole Jacobian of every loop."""
    directions, growth = torch.eye(state.numel())[:, :count], []
    with sdpa_kernel(SDPBackend.MATH):
        for _ in range(loops):
            jacobian = torch.func.jacrev(step)(state).reshape(state.numel(), -1)
            directions, stretch = torch.linalg.qr(jacobian @ directions)
            growth.append(stretch.diagonal().abs().log())
            state = plain(step, state)
    return torch.stack(growth).mean(0)


def one_by_one(step, starts, loops):
    """Each start run alone, then compared with the point of every basin found so far."""
    found = []
    for state in starts:
        for _ in range(loops):
            before, state = state, plain(step, state[None])[0]
        moving = (state - before).norm() > 1e-4 * state.norm()
        if not moving and all((state - point).norm() > 1e-3 * state.norm() for point in found):
            found.append(state)
    return found


def paths(rounds=5):
    step, state = loop_at_rest(SIZES["512"])
    cases = {
        "whole Jacobian of every loop": lambda: exponents_by_dense(step, state, 8, 4),
        "lyapunov_exponents": lambda: stability.lyapunov_exponents(step, state, 8, 4),
    }
    title = "4 Lyapunov exponents over 8 loops, 512 numbers"
    show(
        title,
        interleave(cases, rounds),
        "whole Jacobian of every loop",
        {"lyapunov_exponents": 0.5},
    )
    starts = torch.randn(32, *state.shape[1:], generator=torch.Generator().manual_seed(0))
    cases = {
        "one start after the other": lambda: one_by_one(step, starts, 30),
        "basins": lambda: stability.basins(step, starts, 30),
    }
    title = "32 starts, 30 loops"
    show(title, interleave(cases, rounds), "one start after the other", {"basins": 0.5})
    solvers()


def solvers(tolerance=1e-6):
    """Evaluations, not time, of a map with a known point; beside them what a user would call."""
    slow = torch.linspace(0, 0.98, 256, dtype=torch.float64)
    start = torch.zeros(256, dtype=torch.float64)
    count = 0

    def residual(z):
        nonlocal count
        count += 1
        return z * (slow.numpy() - 1) + 1

    try:
        # The same stop as ours: the residual's length in units of the first step's.
        limit = {"f_tol": tolerance * len(start) ** 0.5, "tol_norm": lambda f: (f @ f) ** 0.5}
        scipy.optimize.anderson(residual, start.numpy(), alpha=1, line_search=None, **limit)
        told = str(count)
    except scipy.optimize.NoConvergence:
        told = f"none in {count}"
    found = stability.compare_solvers(lambda z: slow * z + 1, start, tolerance=tolerance)
    print("\nevaluations until a linear map with multipliers from 0 to 0.98 is at rest")
    for method, solution in found.items():
        print(f"  {method:44s} {solution.verdict}")
    print(f"  {'scipy.optimize.anderson':44s} {told}")


def main(names):
    torch.set_num_threads(1)
    for name in names or [*SIZES, "paths"]:
        if name == "paths":
            paths()
            continue
        size = SIZES[name]
        title = f"{name}: width {size.width}, {size.tokens} tokens"
        seconds = interleave(
            all_cases(*loop_at_rest(size), with_dense=size.gate is not None), size.rounds
        )
        if size.gate is None:
            show(title, seconds, "one loop")
            spent = statistics.median(seconds[ARNOLDI])
            print(f"  seconds of the radius: {spent:.2f}", end="")
            print(f"  bound {SECONDS:.2f} {'ok' if spent <= SECONDS else 'OVER'}")
        else:
            show(title, seconds, DENSE, {ARNOLDI: size.gate})
            worst = max(error(size, seed) for seed in range(4))
            print(f"  error of the radius, largest of 4 cores: {worst:.1e}", end="")
            print(f"  bound {ERROR} {'ok' if worst <= ERROR else 'OVER'}")


if __name__ == "__main__":
    main(sys.argv[1:])
