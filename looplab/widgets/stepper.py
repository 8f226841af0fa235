"""The shared machinery: a canvas fed once, core controls linked to it in the browser, a state."""

import base64
import json
from numbers import Integral

import anywidget
import ipywidgets
import numpy as np
import traitlets

from looplab.widgets import embed
from looplab.widgets.meta import Meta

SCRIPT = embed.live_script()

# What the menu beside the play button offers, and the milliseconds between two pictures; drawing
# comes on top, so the last is as fast as the browser can.
SPEEDS = {"2 loops/s": 500, "5 loops/s": 200, "10 loops/s": 100, "fastest": 20}


class Stage(anywidget.AnyWidget):
    """The canvas. All of a run is in `data`; the other traits say which part of it is shown."""

    _esm = SCRIPT

    data = traitlets.Bytes().tag(sync=True)  # of payload.pack
    meta = traitlets.Dict().tag(sync=True)  # a Meta as a dict
    loop = traitlets.Int().tag(sync=True)
    token = traitlets.Int().tag(sync=True)
    layer = traitlets.Int().tag(sync=True)
    head = traitlets.Int().tag(sync=True)
    held = traitlets.Bool(False).tag(sync=True)
    held_loop = traitlets.Int(-1).tag(sync=True)
    cursor = traitlets.List().tag(sync=True)  # row and column of a cell to edit, or nothing
    speed = traitlets.Int(1).tag(sync=True)
    interval = traitlets.Int(list(SPEEDS.values())[1]).tag(sync=True)
    intervals = traitlets.List(list(SPEEDS.values())).tag(sync=True)


class Stepper(ipywidgets.VBox):
    """A slider over loops whose every picture is already in the browser.

    The state lives in `stage`; slider, play button and menus are linked to it in the browser, so a
    busy kernel stops nothing. Set `loop` to move the picture from Python; read it to see where the
    learner is. `numbers` holds all that is drawn, name -> array, as rounded for the browser, and
    `meta` what the browser is told about it.
    """

    def __init__(
        self,
        data: bytes,
        numbers: dict[str, np.ndarray],
        meta: Meta,
        *,
        loop: int,
        buttons: bool = False,
        **state: int,
    ):
        self.numbers, self.meta = numbers, meta
        self.stage = Stage(data=data, meta=meta.as_dict(), loop=loop, **state)
        slider = ipywidgets.IntSlider(
            value=loop,
            min=meta.first,
            max=meta.last,
            description=meta.slider,
            layout=ipywidgets.Layout(flex="1 1 260px", width="auto"),
        )
        play = ipywidgets.Play(
            value=loop, min=meta.first, max=meta.last, interval=self.stage.interval
        )
        hold = ipywidgets.ToggleButton(
            description="Hold",
            icon="thumb-tack",
            tooltip="Keep the loop shown now as a ghost, to compare others with it",
            layout=ipywidgets.Layout(width="90px"),
        )
        speed = ipywidgets.Dropdown(
            options=list(SPEEDS),
            index=self.stage.speed,
            layout=ipywidgets.Layout(width="110px"),
            tooltip="speed of play",
        )
        # The stage comes first in every link: on display its value wins over the control's.
        links = [
            ("loop", slider, "value"),
            ("loop", play, "value"),
            ("interval", play, "interval"),
            ("held", hold, "value"),
            ("speed", speed, "index"),
        ]
        chosen = []
        # Buttons show all there is to choose from; many or long names need a menu.
        control = ipywidgets.ToggleButtons if buttons else ipywidgets.Dropdown
        for name, (called, options) in meta.menus.items():
            if len(options) < 2:
                continue
            menu = control(
                options=[(option, i) for i, option in enumerate(options)],
                index=getattr(self.stage, name),
                description=called,
                style={"description_width": "initial"},
                layout=ipywidgets.Layout(width="auto", margin="2px 12px 2px 2px"),
            )
            links.append((name, menu, "index"))
            chosen.append(menu)
        for trait, control, other in links:
            ipywidgets.jslink((self.stage, trait), (control, other))

        wrap = ipywidgets.Layout(flex_flow="row wrap", align_items="center", width="100%")
        rows = [ipywidgets.HBox([play, slider, hold, speed], layout=wrap)]
        if chosen:
            rows.append(ipywidgets.HBox(chosen, layout=wrap))
        super().__init__(
            [*rows, self.stage], layout=ipywidgets.Layout(max_width="1040px", width="100%")
        )

    @property
    def loop(self) -> int:
        """The loop that is shown; a value outside the run is moved to its nearest end."""
        return self.stage.loop

    @loop.setter
    def loop(self, value: int):
        self.stage.loop = min(max(whole("loop", value), self.meta.first), self.meta.last)

    def checked_loop(self, loop: int | None = None) -> int:
        """A loop that can be shown, by default the one shown now; ValueError for another."""
        loop = self.loop if loop is None else whole("loop", loop)
        first, last, slider = self.meta.first, self.meta.last, self.meta.slider
        if not first <= loop <= last:
            raise ValueError(f"loop={loop}: this run has {slider}s {first} to {last}")
        return loop

    @property
    def held_loop(self) -> int | None:
        """The loop kept as a ghost, or None."""
        return self.stage.held_loop if self.stage.held and self.stage.held_loop >= 0 else None

    def hold(self, loop: int | None = None) -> None:
        """Keep a loop (the one shown now, unless named) as a ghost beside the others."""
        loop = self.checked_loop(loop)
        with self.stage.hold_sync():
            self.stage.held, self.stage.held_loop = True, loop

    def release(self) -> None:
        """Drop the ghost."""
        with self.stage.hold_sync():
            self.stage.held, self.stage.held_loop = False, -1

    @property
    def payload(self) -> int:
        """Bytes that travel to the browser: the numbers, their description and the drawing code."""
        meta = json.dumps(self.stage.meta, ensure_ascii=False).encode()
        return len(self.stage.data) + len(meta) + len(SCRIPT.encode())

    def html(self) -> str:
        """The same view as self-contained HTML: no kernel, no widget manager, no network."""
        return embed.alone(self.block())

    def block(self) -> str:
        """The same view for a page that loads `embed.script` itself."""
        names = ("loop", "token", "layer", "head", "held", "held_loop", "cursor")
        payload = {
            "meta": self.stage.meta,
            "start": {name: getattr(self.stage, name) for name in names},
            "speeds": SPEEDS,
            "data": base64.b64encode(self.stage.data).decode(),
        }
        return embed.block("stepper", self.meta.title, payload)


def whole(name: str, value) -> int:
    """`value` as an int; TypeError naming it when it is not a whole number."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name}={value!r}: expected a whole number")
    return int(value)
