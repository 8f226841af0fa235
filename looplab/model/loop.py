"""The loop itself: what every model that loops has in common, written once."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from looplab.basics.whole import whole_number
from looplab.model.anderson import Anderson
from looplab.model.cache import Cache
from looplab.model.config import LoopedConfig
from looplab.model.given import Words
from looplab.model.layers import Context
from looplab.model.tap import Site, Tap, show

StateMap = Callable[[Tensor], Tensor]


class LoopedOutput(NamedTuple):
    """What one forward pass gives back."""

    logits: Tensor  # [batch, token, vocab], after the last loop
    state: Tensor  # [batch, token, width], end of the last loop; pass it on as state=
    loop_states: Tensor | None  # [loop, batch, token, width], with every_loop=True
    gate: Tensor | None  # [loop, batch, token], exit gate before its sigmoid


class Ready(NamedTuple):
    """All that a run needs before its first pass; `prepare` makes one."""

    tokens: Tensor  # [batch, token] or [batch, token, field], checked
    x: Tensor  # the input X that every loop is given [batch, token, width]
    start: Tensor  # state at loop 0 [batch, token, width]
    context: Context | None  # what layers share; None for layers that looplab does not know


class Loop(nn.Module):
    """z = step(z, ready), again and again: a kind of model says what goes before, in and behind.

    It has `config` and the methods `prepare`, `step` and `answer`; `LoopedTransformer` is one
    kind, `adapt` makes another out of any module.
    """

    config: LoopedConfig
    gate: Callable[[Tensor], Tensor] | None  # state -> exit gate before its sigmoid
    words: Words | None = None  # its tokenizer, where it is known

    @property
    def dtype(self) -> torch.dtype:
        """Of its states."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """Where its states are."""
        raise NotImplementedError

    def check_tokens(self, tokens: Tensor) -> None:
        """Raise ValueError, naming value and remedy, for tokens that this model cannot read."""
        raise NotImplementedError

    def read(self, tokens: Any, mask: Any = None) -> tuple[Tensor, Tensor | None]:
        """Tokens and mask as tensors of this model's device, from whatever people have.

        This kind of model takes its tokens as they are, and no mask: ValueError.
        """
        if mask is not None:
            raise ValueError("this model takes no mask: run it on sequences of one length")
        return tokens, None

    def prepare(
        self,
        tokens: Tensor,
        *,
        mask: Tensor | None = None,
        types: Tensor | None = None,
        state: Tensor | None = None,
        generator: torch.Generator | None = None,
        cache: Cache | None = None,
        tap: Tap | None = None,
    ) -> Ready:
        """Everything before the first pass."""
        raise NotImplementedError

    def step(self, z: Tensor, x: Any, *, loop: int = 0, tap: Tap | None = None) -> Tensor:
        """One pass, from a state [batch, token, width] to the next."""
        raise NotImplementedError

    def answer(self, z: Tensor, ready: Ready, *, tap: Tap | None = None) -> Tensor:
        """Logits [batch, token, vocab] of a state of this run."""
        raise NotImplementedError

    def forward(
        self,
        tokens: Tensor,
        loops: int | None = None,
        *,
        mask: Tensor | None = None,
        types: Tensor | None = None,
        state: Tensor | None = None,
        tap: Tap | None = None,
        grad_loops: int | None = None,
        every_loop: bool = False,
        generator: torch.Generator | None = None,
        cache: Cache | None = None,
    ) -> LoopedOutput:
        """Run `loops` passes through the core on `tokens`, [batch, token] or [batch, token, field].

        `mask` [batch, token] is False at padding, which no other token then looks at; what is
        computed at the padding itself means nothing. Tokens and mask may be arrays or lists, and
        tokens a tokenizer's output, with its mask and types; a model that knows its `words` takes a
        text. `types` [batch, token] are for models that tell kinds of token apart.
        `state` [batch, token, width] replaces the state at loop 0, so k loops and then k more with
        the state carried on equal 2k. `grad_loops` keeps gradients through the last loops only
        (truncated backpropagation). `every_loop` also returns the state at the end of each loop;
        `readout` turns it into logits. `generator` draws the state of start="normal".
        `cache` (without gradients) holds the tokens before these, and then these too.

        Raises ValueError naming the value and the remedy for tokens, loops or a state that do
        not fit.
        """
        loops = self.check_loops(loops)
        more = {"mask": mask, "types": types}
        more = {name: value for name, value in more.items() if value is not None}
        ready = self.prepare(tokens, state=state, generator=generator, cache=cache, tap=tap, **more)
        z, ends, gates = ready.start, [], []
        for loop, z in self.passes(ready, loops, tap=tap, grad_loops=grad_loops):
            if every_loop:
                ends.append(z)
            if self.gate is not None:
                gates.append(self.gate_logit(z, loop, tap=tap))
        logits = show(tap, Site(None, None, "logits"), self.answer(z, ready, tap=tap))
        if cache is not None:
            cache.commit(ready.tokens.shape[1], loops)
        return LoopedOutput(
            logits,
            z,
            torch.stack(ends) if every_loop else None,
            torch.stack(gates) if gates else None,
        )

    def passes(
        self,
        ready: Ready,
        loops: int | None = None,
        *,
        tap: Tap | None = None,
        grad_loops: int | None = None,
    ) -> Iterator[tuple[int, Tensor]]:
        """Run the loop: yields its number, from 0, and the state [batch, token, width] at its end.

        A loop begins where the last one ended, or, with a solver, where that says. `loops` and
        `grad_loops` as in `forward`.
        """
        loops = self.check_loops(loops)
        if grad_loops is not None and grad_loops < 1:
            raise ValueError(f"grad_loops={grad_loops}: expected at least 1, or None for all")
        first_grad = 0 if grad_loops is None else loops - grad_loops
        z = point = ready.start
        mixer = None
        if self.config.solver == "anderson":
            mixer = Anderson(self.config.solver_memory, self.config.solver_share)
        for loop in range(loops):
            if loop:
                point = z if mixer is None else mixer.after(point, z)
            with torch.set_grad_enabled(torch.is_grad_enabled() and loop >= first_grad):
                z = self.step(point, ready, loop=loop, tap=tap)
            yield loop, z

    def gate_logit(self, z: Tensor, loop: int, *, tap: Tap | None = None) -> Tensor:
        """The exit gate before its sigmoid [batch, token], of the state `z` that `loop` ended with.

        `loop` counts from 0. Raises ValueError for a model without a gate.
        """
        if self.gate is None:
            raise ValueError("this model has no exit gate: choose another signal than 'gate'")
        return show(tap, Site(loop, None, "core.gate"), self.gate(z).squeeze(-1))

    def check_says_next(self, what: str) -> None:
        """Raise ValueError where logits are of the token itself; `what` needs those of the next."""
        if self.config.masked_lm:
            raise ValueError(
                "masked_lm=True: this model fills in hidden tokens, each from both sides, and "
                f"{what} needs one that says the next token. Put its mask token into a text and "
                "read the logits there"
            )

    def check_loops(self, loops: int | None) -> int:
        """The number of loops to run, the config's for None; ValueError for one it cannot."""
        if loops is None:
            return self.config.loops
        return whole_number("loops", loops, 1)
