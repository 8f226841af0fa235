"""Multipliers and exponents at the end of a run, for a few inputs, each with its window."""

from dataclasses import dataclass

import torch
from torch import Tensor

from looplab.measure import Ending
from looplab.measure.stability import (
    leading_multipliers,
    lyapunov_exponents,
    spectral_norm,
    spectral_radius,
)
from looplab.measure.stability.jacobian import Map, transposed_product
from looplab.reporting.protocol import Protocol
from looplab.reporting.running import follow
from looplab.reporting.subject import Case, Subject

BLOCKS = 8  # of the loops that an exponent is a mean over, to say how sure it is
AGREE = 0.05  # within which a finite difference must agree with the gradient
STIR = 1e-3  # of the state's length: a departure for a finite difference


@dataclass(frozen=True)
class Spectrum:
    """What was found for one input."""

    input: int  # from 1
    ends: str  # how its run ends: the label that most of its tokens have
    rests: bool  # whether all its tokens rest
    multipliers: list[tuple[float, float]]  # modulus, angle in turns; largest first
    norm: float | None  # the most that one loop can stretch a departure
    exponent: float | None  # mean logarithm of growth per loop
    error: float | None  # its standard error, over blocks of loops
    first: int  # loop at which the exponent's window begins
    last: int
    noise: float  # rounding of a pass, in units of the state, median over its tokens
    note: str  # why something is missing, or ""


def spectra(subject: Subject, protocol: Protocol, restless: int) -> list[Spectrum]:
    """Multipliers at the end of the run, and the leading exponent over the loops behind it.

    Of inputs spread evenly over all, with the `restless` one among them, which has the most tokens
    that do not rest.
    """
    count = min(protocol.spectra, subject.count)
    numbers = [n * subject.count // count for n in range(count)]
    if restless not in numbers:
        numbers[-1] = restless
    return [_one(subject.one(n, protocol.tokens), n, protocol) for n in sorted(numbers)]


def _one(case: Case, number: int, protocol: Protocol) -> Spectrum:
    run = follow(case, protocol.loops, protocol.patience)
    ending = run.found.ending.flatten()
    label = Ending(int(ending.mode().values)).name
    rests = bool((ending == Ending.REST).all())
    first, last = run.loops + protocol.growth // 4 + 1, run.loops + protocol.growth

    def told(note: str, multipliers=(), norm=None, exponent=None, error=None) -> Spectrum:
        noise = run.noise.median().item()
        found = (number + 1, label, rests, list(multipliers), norm, exponent, error, first, last)
        return Spectrum(*found, noise, note)

    state = run.end.to(case.start.dtype)
    if not state.isfinite().all():
        return told("the state is no number any more")

    def step(z: Tensor) -> Tensor:
        return case.step(z, run.loops)

    if trouble := gradient_trouble(step, state):
        return told(trouble)
    try:
        found = leading_multipliers(step, state, min(4, state.numel()))
    except RuntimeError:  # many of nearly the same size
        found = spectral_radius(step, state).to(torch.complex64)[None]
    except ValueError as error:
        return told(str(error))
    turns = found.angle() / (2 * torch.pi)
    pairs = list(zip(found.abs().tolist(), turns.tolist(), strict=True))
    norm, exponent, error, note = None, None, None, ""
    try:
        norm = spectral_norm(step, state).item()
        growth = lyapunov_exponents(
            step, state, protocol.growth, 1, settle=protocol.growth // 4
        ).growth[:, 0]
        if growth.isfinite().all():
            exponent = growth.double().mean().item()
            blocks = torch.stack([one.double().mean() for one in growth.chunk(BLOCKS)])
            error = (blocks.std() / BLOCKS**0.5).item()
        else:
            note = "a departure vanishes altogether, so it has no exponent"
    except (RuntimeError, ValueError) as wrong:
        note = f"the step cannot be differentiated twice ({str(wrong).splitlines()[0]})"
    return told(note, pairs, norm, exponent, error)


def gradient_trouble(step: Map, state: Tensor) -> str:
    """What is wrong with the gradient of `step` at `state`, in words; "" where it is right.

    A step that detaches its state, or runs part of itself without gradients, has multipliers that
    autograd does not see; a finite difference does.

    >>> gradient_trouble(lambda z: z / 2, torch.ones(1, 1, 3))
    ''
    >>> gradient_trouble(lambda z: z / 2 + z.detach() / 4, torch.ones(1, 1, 3))[:38]
    "the step's gradient is not that of the"
    """
    fixed = torch.Generator().manual_seed(1)
    v = torch.randn(state.shape, generator=fixed, dtype=torch.float64).to(state)
    v = v / v.norm()
    stir = STIR * max(state.norm().item(), STIR)
    with torch.no_grad():
        move = (step(state + stir * v) - step(state - stir * v)) / (2 * stir)
    size = move.norm()
    if not size > 0:
        return ""
    try:
        pull = transposed_product(step, state)
        seen = (pull(move / size) * v).sum()
    except (RuntimeError, ValueError) as error:
        return f"the step cannot be differentiated ({str(error).splitlines()[0]})"
    if (seen - size).abs() <= AGREE * size + STIR:
        return ""
    return (
        "the step's gradient is not that of the step: along one direction a departure grows by "
        f"{size:.3g}, and autograd says {seen:.3g} (detach or no_grad inside?)"
    )
