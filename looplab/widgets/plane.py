"""A slider over points in a plane: multipliers in the unit disc, a path as the gain grows."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from looplab.measure import cycle_pca
from looplab.widgets.meta import PlaneMeta
from looplab.widgets.payload import pack, unpack
from looplab.widgets.stepper import Stepper, whole

__all__ = ["PlaneStepper"]

MENUS = ("token", "layer", "head")  # the stage's traits that menus may set, in order


class PlaneStepper(Stepper):
    """A slider over points in a plane.

    points: [*menu, frame, point, 2]; NaN is not drawn. menus: name -> options, at most three, in
    the order of the leading axes. first: what the slider says at frame 0. names: a legend entry for
    each kind of point; kinds [point]: which it is. captions: what each frame shows, in words, a
    nested list [*menu][frame]. circle: draw the unit circle. path: join the points in their order;
    the last is marked, unless the path is closed: then it is the first again, in every frame.
    buttons: a button for each option instead of a menu. slider: what the slider moves over. axes:
    names of the two axes. extent: (x0, x1, y0, y1), the part of the plane to draw, in place of all
    that ever has points. Raises ValueError naming what does not fit together.

    >>> turn = torch.linspace(0, 3, 8)
    >>> points = torch.stack((turn.cos(), turn.sin()), dim=-1)[:, None]
    >>> PlaneStepper(points, title="a turn", circle=True)
    PlaneStepper(loop=1..8, points=1)
    """

    def __init__(
        self,
        points: Tensor,
        *,
        title: str,
        menus: Mapping[str, Sequence[str]] | None = None,
        first: int = 1,
        names: Sequence[str] = (),
        kinds: Sequence[int] | None = None,
        captions: Sequence | None = None,
        circle: bool = False,
        path: bool = False,
        buttons: bool = False,
        slider: str = "loop",
        axes: tuple[str, str] = ("", ""),
        extent: tuple[float, float, float, float] | None = None,
    ):
        menus = dict(menus or {})
        cloud = np.asarray(torch.as_tensor(points).detach().cpu(), dtype=np.float64)
        if len(menus) > len(MENUS):
            raise ValueError(f"{len(menus)} menus: there is room for {len(MENUS)}")
        wanted = [len(options) for options in menus.values()]
        if cloud.ndim != len(menus) + 3 or cloud.shape[-1] != 2 or not cloud.size:
            raise ValueError(
                f"points have shape {list(cloud.shape)}: expected [*menu, frame, point, 2] "
                f"with {len(menus)} menus"
            )
        if list(cloud.shape[: len(menus)]) != wanted:
            raise ValueError(
                f"points have shape {list(cloud.shape)}: the menus offer {wanted} choices"
            )
        # Every run has three menu axes; those without a menu hold one choice.
        cloud = cloud.reshape(*wanted, *[1] * (3 - len(menus)), *cloud.shape[-3:])
        frames, count = cloud.shape[3:5]
        kinds = [0] * count if kinds is None else [int(kind) for kind in kinds]
        if len(kinds) != count or not all(0 <= kind < max(1, len(names)) for kind in kinds):
            raise ValueError(
                f"kinds {kinds}: expected {count} numbers from 0 to {max(1, len(names)) - 1}"
            )
        data, layout = pack({"points": (cloud, 2)})
        first = whole("first", first)
        meta = PlaneMeta(
            title=title,
            slider=slider,
            menus={
                trait: [name, list(options)]
                for trait, (name, options) in zip(MENUS, menus.items(), strict=False)
            },
            layout=layout,
            first=first,
            last=first + frames - 1,
            names=list(names),
            kinds=kinds,
            captions=_captions(captions, cloud.shape[:4], slider, first),
            circle=bool(circle),
            path=bool(path),
            closed=bool(path and count > 1 and (cloud[..., 0, :] == cloud[..., -1, :]).all()),
            axes=list(axes),
            extent=_extent(cloud, circle) if extent is None else _checked(extent),
        )
        super().__init__(data, unpack(data, layout), meta, loop=first, buttons=bool(buttons))

    @classmethod
    def passes(cls, states: Tensor, *, window: int = 4, **options) -> "PlaneStepper":
        """The last `window` passes of one token at every loop, in the plane of its whole path.

        states: [*menu, loop, layer, width]. The captions say how far the layers' points moved since
        the loop before. options: title, menus and others of PlaneStepper.

        >>> PlaneStepper.passes(torch.randn(6, 3, 8), title="three layers")
        PlaneStepper(loop=1..6, points=12)
        """
        loops, layers, width = states.shape[-3:]
        runs = states.reshape(-1, loops, layers, width)
        paths = torch.stack([cycle_pca(run).points for run in runs])  # [run, loop, layer, 2]
        waiting = paths.new_full((len(paths), window - 1, layers, 2), torch.nan)
        shown = torch.cat((waiting, paths), dim=1).unfold(1, window, 1).movedim(-1, 2)
        return cls(
            shown.reshape(*states.shape[:-3], loops, window * layers, 2),
            names=[f"after layer {layer + 1}" for layer in range(layers)],
            kinds=list(range(layers)) * window,
            captions=[_moved(path) for path in paths],
            path=True,
            **options,
        )

    def __repr__(self):
        meta = self.meta
        return f"PlaneStepper({meta.slider}={meta.first}..{meta.last}, points={len(meta.kinds)})"

    def picture_state(self, loop: int | None = None) -> dict:
        """loop, points [point][2] as drawn (None: not drawn), held loop, words."""
        loop = self.checked_loop(loop)
        shown = self.numbers["points"][(*self._chosen(), loop - self.meta.first)]
        points = [None if np.isnan(point).any() else point.tolist() for point in shown]
        words = self._caption(loop)
        if self.held_loop is not None:
            held = self._caption(self.held_loop)
            words += f" Held beside it, {self.meta.slider} {self.held_loop}: {held}"
        return {"loop": loop, "points": points, "held_loop": self.held_loop, "words": words}

    def describe(self, loop: int | None = None) -> str:
        """What this frame (or another) shows, in words; the line under the picture."""
        return self.picture_state(loop)["words"]

    def choose(self, **options: str) -> None:
        """Set menus from Python by their names: `stepper.choose(norm="pre")`."""
        for called, option in options.items():
            for trait, (name, offered) in self.meta.menus.items():
                if name == called and option in offered:
                    setattr(self.stage, trait, offered.index(option))
                    break
            else:
                known = {name: offered for name, offered in self.meta.menus.values()}
                raise ValueError(f"{called}={option!r}: the menus are {known}")

    def film_strip(
        self,
        frames: Sequence[int] | None = None,
        each: str | None = None,
        headings: Sequence[str] | None = None,
    ):
        """A few frames side by side as one still picture with alt text (a plots.Picture).

        each: the name of a menu; then a panel for each of its options, all at the last of `frames`.
        headings: what stands above each frame, in place of what the slider moves over and a number.
        """
        from looplab.widgets.strip import plane_strip

        if frames is None:
            every = np.linspace(self.meta.first, self.meta.last, 5).round().astype(int)
            frames = sorted({int(n) for n in every})
        frames = [n for n in frames if self.meta.first <= n <= self.meta.last]
        if each is None:
            headings = headings or [f"{self.meta.slider} {n}" for n in frames]
            return plane_strip(self, [(h, n, {}) for h, n in zip(headings, frames, strict=True)])
        menus = {name: (trait, options) for trait, (name, options) in self.meta.menus.items()}
        if each not in menus:
            raise ValueError(f"each={each!r}: the menus are {list(menus)}")
        trait, options = menus[each]
        panels = [(option, frames[-1], {trait: n}) for n, option in enumerate(options)]
        return plane_strip(self, panels)

    def _chosen(self) -> tuple[int, int, int]:
        return tuple(getattr(self.stage, trait) for trait in MENUS)

    def _caption(self, loop: int) -> str:
        a, b, c = self._chosen()
        return self.meta.captions[a][b][c][loop - self.meta.first]


def _moved(path: Tensor) -> list[str]:
    """How far the layers' points [loop, layer, 2] moved since the loop before, in words."""
    longest = (path[-1] - path[-1].roll(1, 0)).norm(dim=-1).max()  # side of the last tour
    moved = (path[1:] - path[:-1]).norm(dim=-1).amax(1) / longest
    told = [
        f"Loop {n}: largest move since loop {n - 1}, "
        f"{100 * far:.{0 if far > 0.1 else 1 if far > 0.001 else 3}f} % of the tour's longest side."
        for n, far in enumerate(moved.tolist(), 2)
    ]
    return ["Loop 1: the first pass.", *told]


def _captions(captions, shape: tuple[int, ...], slider: str, first: int) -> list:
    """Captions under three menu axes, [a][b][c][frame]; without any, the frame's number."""
    last = first + shape[3] - 1
    if captions is None:
        flat = [f"{slider.capitalize()} {first + n} of {last}." for n in range(shape[3])]
        flat *= int(np.prod(shape[:3]))
    else:
        flat = list(np.asarray(captions, dtype=object).ravel())
        if len(flat) != int(np.prod(shape)) or not all(isinstance(text, str) for text in flat):
            raise ValueError(
                f"captions hold {len(flat)} texts: expected one per menu choice and frame, "
                f"{int(np.prod(shape))}"
            )
    return np.array(flat, dtype=object).reshape(shape).tolist()


def _checked(extent: Sequence[float]) -> list[float]:
    x0, x1, y0, y1 = map(float, extent)
    if not (x0 < x1 and y0 < y1):
        raise ValueError(f"extent={tuple(extent)}: expected x0 < x1 and y0 < y1")
    return [x0, x1, y0, y1]


def _extent(cloud: np.ndarray, circle: bool) -> list[float]:
    """x0, x1, y0, y1 around everything that is ever drawn, and around the circle."""
    known = cloud.reshape(-1, 2)
    known = known[np.isfinite(known).all(1)]
    if circle:
        known = np.concatenate([known, [[-1, -1], [1, 1]]])
    if not len(known):
        return [-1.0, 1.0, -1.0, 1.0]
    low, high = known.min(0), known.max(0)
    edge = np.maximum(0.06 * (high - low).max(), 1e-9)
    low, high = low - edge, high + edge
    return [float(f"{value:.4g}") for value in (low[0], high[0], low[1], high[1])]
