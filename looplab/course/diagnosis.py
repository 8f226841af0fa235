"""The diagnosis game: somebody broke a model; the learner sees three curves and names the fault."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import ipywidgets
import numpy as np
import torch

from looplab import plots
from looplab.course.faults import FAULTS, Signs, faulty_run, vital_signs
from looplab.widgets import embed
from looplab.widgets.stepper import whole

SCRIPT = Path(__file__).with_name("diagnosis.js")  # the game on a page without a kernel
FLOOR = 1e-8  # drawn here: smaller numbers are rounding, and zero has no place on a log axis

# What each fault shows. Told after a guess: of the right one as a reason, of a wrong one as what
# would have been seen.
TELLS = {
    "healthy": "the steps shrink by the same factor until rounding stops them, the length stays, "
    "and the tokens keep their distance from each other",
    "no input": "the tokens lose their distance: without its input every token becomes like every "
    "other, and the loop settles slowly on a point that knows nothing of the question",
    "no norms": "the state grows to several times the length it has after the first loop",
    "gain": "the steps stay large to the very end, at one height; norms hold the length",
    "reset": "the step jumps up at every eighth loop and falls in between",
    "not looped": "every step is exactly zero: each pass repeats the first, so nothing moves at "
    "all, and not even rounding flickers",
}


class Curve(NamedTuple):
    """One of the curves of a run: a field of Signs and how it is drawn."""

    field: str
    name: str
    short: str  # its name where many runs stand side by side
    log: bool


CURVES = (
    Curve("step", "step / length of the state", "step", True),
    Curve("length", "length of the state", "length", False),
    Curve("apart", "distance between tokens", "between tokens", True),
)


def signs_picture(signs: Signs, title: str = "") -> plots.Picture:
    """The three curves of one run; the alt text gives their numbers and no verdict."""
    with plots.drawing(9.6, 2.6, columns=len(CURVES)) as (figure, panels):
        for number, (panel, curve) in enumerate(zip(panels, CURVES, strict=True)):
            _draw(panel, signs, number, top=_top([signs]), size=3)
            panel.set(xlabel="loop", ylabel=curve.name)
        figure.suptitle(title)
    return plots.Picture(figure, f"{title or 'A run'}. {describe_signs(signs)}", signs._asdict())


def describe_signs(signs: Signs) -> str:
    """The curves in words, for who cannot see them: numbers at a few loops.

    >>> describe_signs(vital_signs(torch.ones(3, 1, 2, 4)))[:48]
    'Step at loops 2, 3: exactly 0 at both. Length of'
    """
    count = len(signs.length)
    loops = [n for n in (2, 3, 4, 7, 8, 9, 10, 15, 16, 17, 24, 31, 32, 40, 47, 48) if n <= count]
    steps = [float(signs.step[n - 2]) for n in loops]
    named = ", ".join(map(str, loops))
    if any(steps):
        told = ", ".join(f"{step:.1g}" for step in steps)
    else:
        told = f"exactly 0 at {'both' if len(loops) == 2 else f'all {len(loops)}'}"
    some = [n for n in (1, 4, 8, 16, count) if n <= count]
    lengths, apart = (
        ", ".join(f"{float(values[n - 1]):.2g}" for n in some)
        for values in (signs.length, signs.apart)
    )
    at = ", ".join(map(str, some))
    return (
        f"Step at loops {named}: {told}. Length of the state at loops {at}: {lengths}. "
        f"Distance between tokens at loops {at}: {apart}."
    )


class Diagnosis(ipywidgets.VBox):
    """A game of a few cases: look at three curves, press the button with the fault's name.

    cases: (name of the fault, Signs) in the order of play. Everything is drawn when the game is
    made; a guess only swaps a picture and a sentence. The controls are plain buttons, so Tab and
    Enter play it too; the picture carries its numbers as alt text, and what happened is announced.
    From Python: `guess`, `next_case`, `again`; `solution` holds the fault of each case. The parts
    on the screen are `view`, `told`, `buttons` (by name), `next_button` and `again_button`.
    Raises ValueError for no cases or an unknown name.

    >>> game = Diagnosis([("not looped", vital_signs(torch.ones(8, 1, 2, 4)))])
    >>> game.guess("gain")[:15]
    'Not gain: there'
    >>> game.guess("not looped")[:17]
    'Yes, not looped: '
    >>> game
    Diagnosis(cases=1, solved=1, at first sight=0)
    """

    def __init__(self, cases: Sequence[tuple[str, Signs]]):
        if not cases:
            raise ValueError("cases is empty: give at least one (fault, Signs)")
        for name, _ in cases:
            _check_fault(name)
        self.solution = tuple(name for name, _ in cases)
        self._signs = [signs for _, signs in cases]
        self._pictures = [
            signs_picture(signs, f"Case {n} of {len(cases)}")
            for n, (_, signs) in enumerate(cases, start=1)
        ]
        self._images = [_image(picture) for picture in self._pictures]
        self.view = ipywidgets.HTML()
        self.told = ipywidgets.HTML()
        self.buttons = {}
        wide = ipywidgets.Layout(width="130px")
        for name, what in FAULTS.items():
            button = ipywidgets.Button(description=name, tooltip=what, layout=wide)
            button.on_click(lambda _, name=name: self.guess(name))
            self.buttons[name] = button
        self.next_button = ipywidgets.Button(
            description="Next case", button_style="primary", layout=wide
        )
        self.next_button.on_click(lambda _: self.next_case())
        self.again_button = ipywidgets.Button(description="Start again", layout=wide)
        self.again_button.on_click(lambda _: self.again())
        wrap = ipywidgets.Layout(flex_flow="row wrap")
        super().__init__(
            [
                self.view,
                ipywidgets.HBox(list(self.buttons.values()), layout=wrap),
                self.told,
                ipywidgets.HBox([self.next_button, self.again_button], layout=wrap),
            ],
            layout=ipywidgets.Layout(max_width="1040px", width="100%"),
        )
        self.again()

    @classmethod
    def of(cls, model, tokens, cases: int = 4, seed: int = 0, loops: int = 48) -> "Diagnosis":
        """A game with `cases` different faults of one model on these tokens, drawn by `seed`."""
        if not 1 <= whole("cases", cases) <= len(FAULTS):
            raise ValueError(f"cases={cases}: there are 1 to {len(FAULTS)} to choose from")
        order = torch.randperm(len(FAULTS), generator=torch.Generator().manual_seed(seed))
        names = [list(FAULTS)[n] for n in order[:cases]]
        return cls(
            [(name, vital_signs(faulty_run(model, tokens, name, loops, seed))) for name in names]
        )

    def __repr__(self):
        return (
            f"Diagnosis(cases={len(self.solution)}, solved={self.solved}, "
            f"at first sight={self.score})"
        )

    @property
    def case(self) -> int:
        """The case on show, from 1."""
        return self._case + 1

    @property
    def solved(self) -> int:
        """Cases whose fault has been named."""
        return sum(self._solved)

    @property
    def score(self) -> int:
        """Cases whose fault was named at the first guess."""
        return sum(s and not w for s, w in zip(self._solved, self._wrong, strict=True))

    @property
    def finished(self) -> bool:
        return all(self._solved)

    @property
    def words(self) -> str:
        """What the game said last."""
        return self._words

    @property
    def picture(self) -> plots.Picture:
        """The curves of the case on show."""
        return self._pictures[self._case]

    def guess(self, name: str) -> str:
        """Name the fault of the case on show; returns what the game says to it."""
        _check_fault(name)
        fault = self.solution[self._case]
        if self._solved[self._case]:
            said = f"This case is solved: it is {fault}."
            return self._say(said + (" Press Next case." if not self.finished else ""))
        if name != fault:
            self._wrong[self._case].add(name)
            self.buttons[name].disabled = True
            return self._say(f"Not {name}: there {TELLS[name]}. Look again.")
        self._solved[self._case] = True
        self._show_case()
        said = f"Yes, {fault}: {TELLS[fault]}."
        if self.finished:
            said += f" That was the last case: {self.score} of {len(self.solution)} at first sight."
        return self._say(said)

    def next_case(self) -> None:
        """Go to the next case; waits until the one on show is solved, and stops at the last."""
        if not self._solved[self._case]:
            self._say("Name the fault of this case first; a wrong guess costs nothing but pride.")
        elif self._case + 1 < len(self.solution):
            self._case += 1
            self._show_case()
            self._say(f"Case {self.case} of {len(self.solution)}: what is broken?")

    def again(self) -> None:
        """Forget every guess and show the first case."""
        self._case = 0
        self._solved = [False] * len(self.solution)
        self._wrong = [set() for _ in self.solution]
        self._show_case()
        self._say(f"Case 1 of {len(self.solution)}: what is broken?")

    def film_strip(self) -> plots.Picture:
        """The steps of all cases as one still picture with alt text; it names no fault."""
        return _strip(self._signs)

    def html(self) -> str:
        """The same game, from its start, as self-contained HTML: no kernel, no network."""
        return embed.alone(self.block(), SCRIPT)

    def block(self) -> str:
        """The same game for a page that loads `embed.script` itself."""
        cases = [
            {"fault": fault, "srcset": _address(picture), "alt": picture.alt}
            for fault, picture in zip(self.solution, self._pictures, strict=True)
        ]
        payload = {"cases": cases, "faults": FAULTS, "tells": TELLS}
        return embed.block("game", "The diagnosis game", payload)

    def _show_case(self):
        self.view.value = self._images[self._case]
        for name, button in self.buttons.items():
            button.disabled = name in self._wrong[self._case]
        last = self._case + 1 == len(self.solution)
        self.next_button.disabled = last or not self._solved[self._case]

    def _say(self, words: str) -> str:
        self._words = words
        self.told.value = f'<p role="status" aria-live="polite">{html.escape(words)}</p>'
        return words


def _strip(cases: list[Signs]) -> plots.Picture:
    """The curves of all cases, a column for each."""
    with plots.drawing(
        2.4 * len(cases),
        4.8,
        columns=len(cases),
        rows=len(CURVES),
        squeeze=False,
        sharex=True,
        sharey="row",
    ) as (figure, grid):
        for column, signs in enumerate(cases):
            for number in range(len(CURVES)):
                _draw(grid[number][column], signs, number, top=_top(cases), size=2)
            grid[0][column].set_title(f"case {column + 1}", fontsize=10)
            grid[-1][column].set_xlabel("loop")
        for panels, curve in zip(grid, CURVES, strict=True):
            panels[0].set_ylabel(curve.short)
    told = (f"Case {n}. {describe_signs(signs)}" for n, signs in enumerate(cases, start=1))
    return plots.Picture(figure, "Vital signs of broken models. " + " ".join(told), {})


def _draw(panel, signs: Signs, number: int, *, top: float, size: float) -> None:
    """CURVES[number] of one run; `top` is where an axis without a log scale ends."""
    curve = CURVES[number]
    values, last = getattr(signs, curve.field).numpy(), len(signs.length)
    loop = np.arange(last - len(values) + 1, last + 1)
    shown = np.maximum(values, FLOOR) if curve.log else values
    panel.plot(loop, shown, color=plots.PALETTE[number], marker=plots.MARKERS[number], ms=size)
    if not curve.log:
        panel.set_ylim(0, top)
        return
    panel.set_yscale("log")
    panel.set_ylim(FLOOR / 2, 10)
    if not values.any():
        panel.text(loop[-1], FLOOR * 2, "exactly 0", ha="right", va="bottom")


def _top(runs: list[Signs]) -> float:
    """Room for the longest state of these runs, so that growth shows as growth."""
    return max(10, *(1.1 * float(signs.length.max()) for signs in runs))


def _image(picture: plots.Picture) -> str:
    return (
        f'<img alt="{html.escape(picture.alt, quote=True)}" '
        f'style="max-width:100%" srcset="{_address(picture)}">'
    )


def _address(picture: plots.Picture) -> str:
    """The picture as an address that holds it, with the density of its pixels (a srcset)."""
    data = base64.b64encode(picture.png()).decode()
    return f"data:image/png;base64,{data} {plots.SHARP}x"


def _check_fault(name: str):
    if name not in FAULTS:
        raise ValueError(f"fault={name!r}: expected one of {', '.join(FAULTS)}")
