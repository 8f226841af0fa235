"""What a training run says of itself: a bar, or a line now and then."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from looplab.train.step import Progress

SAY_SECONDS = 30.0  # without a bar, a line is written this often, and at the end of a longer run


class Teller:
    """Tells how far a run has come, its loss, tokens a second and the time that is left."""

    def __init__(self, steps: int, first: int, bar, silent: bool):
        self.steps, self.first, self.bar, self.silent = steps, first, bar, silent
        self.begun = self.said = time.perf_counter()
        self.tokens = 0  # that this call has trained on

    def step(self, done: Progress, tokens: int) -> None:
        """One more step was taken, on so many tokens."""
        self.tokens += tokens
        self.bar.update()
        if done.step % 10 == 0:
            self.bar.set_postfix_str(self._how(done), refresh=False)
        if self.bar.disable and time.perf_counter() - self.said > SAY_SECONDS:
            self._line(done)

    def end(self, done: Progress, why: str | None) -> None:
        """The run has ended, before its time where there is a `why`."""
        told = f"{why} after {done.step} of {self.steps} steps; the model keeps them."
        if why and not self.bar.disable:
            self.say(told)
        elif self.bar.disable and self.said > self.begun:
            self._line(done)
            if why:
                self.say(told)

    def say(self, text: str) -> None:
        """A line of somebody else's, where it does not tear the bar."""
        if self.silent:
            return
        if self.bar.disable:
            print(text, file=sys.stderr, flush=True)
        else:
            self.bar.write(text)

    def _how(self, done: Progress) -> str:
        speed = self.tokens / max(time.perf_counter() - self.begun, 1e-9)
        return f"loss {done.loss[-1]:.3f}, {speed:,.0f} tokens/s"

    def _line(self, done: Progress) -> None:
        self.said = time.perf_counter()
        each = (self.said - self.begun) / max(done.step - self.first, 1)
        left = each * (self.steps - done.step) / 60
        self.say(f"step {done.step} of {self.steps}, {self._how(done)}, {left:.1f} minutes left")


@contextmanager
def telling(steps: int, first: int, shown: bool, silent: bool = False) -> Iterator[Teller]:
    """A `Teller` for `steps` steps, of which `first` were taken before; with a bar if `shown`.

    A `silent` one says nothing at all: another process does.
    """
    shown = shown and not silent
    from tqdm.auto import tqdm  # not at import time: it looks for a notebook

    with tqdm(total=steps, initial=first, disable=not shown, unit="step", mininterval=0.2) as bar:
        yield Teller(steps, first, bar, silent)
