"""What the browser is told about a widget's numbers: one record per kind, each field a JSON key.

The numbers themselves travel as bytes, see payload.py. The scripts in js/ read these fields by the
names that they have here.
"""

from dataclasses import asdict, dataclass, field

__all__ = ["Category"]


@dataclass(frozen=True)
class Category:
    """One kind of cell: told apart by colour (#rrggbb), by a mark in the cell and by hatching."""

    name: str
    colour: str
    mark: str = ""
    hatch: bool = False


@dataclass(frozen=True, kw_only=True)
class Meta:
    """What every widget with a slider tells."""

    kind: str  # which of looplab.painters draws it
    title: str
    layout: dict[str, list]  # where each array lies in the bytes, from payload.pack
    first: int  # the slider's two ends
    last: int
    slider: str = "loop"  # what the slider moves over
    menus: dict[str, list] = field(default_factory=dict)  # trait -> [its name, list of options]

    def as_dict(self) -> dict:
        """The same as plain lists and dicts, ready for JSON.

        >>> Meta(kind="plane", title="a turn", layout={}, first=1, last=8).as_dict()["slider"]
        'loop'
        """
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class FramesMeta(Meta):
    """A slider over pictures; array `frames` [loop, height, width]."""

    kind: str = "frames"
    kinds: list[Category] | None  # what the numbers index; None: they are shades
    colour: str  # #rrggbb of the largest number
    captions: list[str] | None  # what each frame shows, in words [frame]
    low: float  # the number that is white, and the one that has the full colour
    high: float
    axes: list[str]  # what the columns and the rows are; "" for nothing
    ticks: list[list[str]] | None  # a name for each column and for each row; "" for none
    unit: str  # what the shades are
    edits: bool = False  # whether cells can be changed, by whoever has a kernel


@dataclass(frozen=True, kw_only=True)
class PlaneMeta(Meta):
    """A slider over points in a plane; array `points` [menu, menu, menu, frame, point, 2]."""

    kind: str = "plane"
    names: list[str]  # the legend: a name for each kind of point; may be empty
    kinds: list[int]  # the kind of each point [point]
    captions: list  # what each frame shows, in words [menu][menu][menu][frame]
    circle: bool  # whether the unit circle is drawn
    path: bool  # whether the points are joined in their order
    closed: bool  # whether that path ends where it began, so that no point is its last
    axes: list[str]  # names of the two axes; "" for none
    extent: list[float]  # x0, x1, y0, y1 of the plane, in the points' units


@dataclass(frozen=True, kw_only=True)
class PhasesMeta(Meta):
    """A phase diagram whose cells show a run; array `paths` [row, gain, loop, layer, 2].

    A row is a norm and an injection. Every path fills the square from -1 to 1.
    """

    kind: str = "phases"
    rows: list[list[str]]  # its norm and injection [row][2]
    gains: list[str]
    kinds: list[str]  # names of the kinds of ends
    looks: list[dict[str, str]]  # colour, mark (matplotlib's name), ink and words of each [kind]
    ends: list[list[list[int]]]  # the kind of each draw, sorted [row][gain][draw]
    captions: list[list[str]]  # what a cell shows, in words [row][gain]


@dataclass(frozen=True)
class Forest:
    """The tokens as nodes of trees; forest.py lays them out."""

    parents: list[int]  # index of each token's parent; a root is its own [token]
    spots: list[list[float]]  # where each stands: columns from the left, steps below its root
    order: list[int]  # tokens in the order in which keys walk through them, each above its children
    colours: list[list[str]]  # a root's label, and #rrggbb of an answer that names it [root][2]
    other: str  # #rrggbb of an answer that names no root


@dataclass(frozen=True, kw_only=True)
class PatchesMeta(Meta):
    """A patching map; array `share` [from_loop, to_loop], and `answers` [from_loop, to_loop, token]
    where there is a forest.
    """

    kind: str = "patches"
    labels: list[str]  # a name for each token of the forest; empty without one
    targets: list[int] | None  # B's right answers [token]
    forest: Forest | None  # B's, on which the answers are drawn
    text: str  # what the words stand behind, where there is no forest
    said: list | None  # the likeliest next words with their shares [from_loop][to_loop][rank][2]
    captions: list[list[str]]  # what a cell shows, in words [from_loop][to_loop]


@dataclass(frozen=True, kw_only=True)
class MicroscopeMeta(Meta):
    """One run, and perhaps a second beside it, for the microscope's four panels.

    Arrays, each named main.NAME and again other.NAME for the second run:
    `points` [loop, layer, token, 2] and `start` [token, 2], in the plane of the token's path;
    `distance` and `step` [loop + 1, layer, token], log10 of relative lengths, the start first;
    `attention` [loop, layer, head, token, token], if the run kept it, with one head for their mean;
    with a model `answers` [loop + 1, token, class], probabilities, or for many classes `top` and
    `top_p` [loop + 1, token, rank], the likeliest answers as indices of `names` and how likely.
    """

    kind: str = "microscope"
    loops: int  # passes of the first run, and of the second (of the first, if there is no other)
    other_loops: int
    layers: int
    labels: list[str]  # a name for each token [token]
    explained: list[list[float]]  # shares of the movement along a plane's axes [token][2]
    extent: list[list[float]]  # x0, x1, y0, y1 of all that is drawn in each token's plane [token]
    unit: str  # of `distance`, in words
    ranges: dict[str, list[float]]  # "distance", "step" -> lowest and highest decade, whole numbers
    noise: float  # log10 of the rounding of the states' number format, and its name
    noise_name: str
    names: list[str]  # a name for each answer that travels; empty without a model
    classes: int  # columns of `answers`; 0: no model, or too many, so that `top` stands for them
    targets: list[int] | None  # the right answer of each token, an index of `names` [token]
    attention_max: list[list[float]] | None  # largest weight [layer][mean of heads, then each head]
    forest: Forest | None  # the answers are drawn on it, if there is one


@dataclass(frozen=True, kw_only=True)
class LayersMeta(Meta):
    """One text in a language model, layer by layer or loop by loop: step by step.

    Arrays: `attention` [step, pattern, token, token]; `norm` [step, token], log10 of the states'
    lengths; `entropy` [step, 2], with the first token and without; `likely` [step, token, rank].
    The menu `head` chooses among the mean of the patterns and each of them.
    """

    kind: str = "layers"
    labels: list[str]  # the words of the text [token]
    said: list[list[list[str]]]  # the likeliest next words [step][token][rank]
    whole: str  # what the mean of the patterns is called where there is no menu
    every: int  # of which numbers those are multiples that stand below the lines
    lengths: list[float]  # at the lines of their log scale, the first and the last at its ends
    entropy_most: float  # the upper end of its scale
    settled: list[int] | None = None  # step from which the likeliest word is the last one's [token]


@dataclass(frozen=True, kw_only=True)
class StreamsMeta(Meta):
    """The streams of a model with hyper-connections, token by token, the start and every loop.

    Arrays: `strips` [loop + 1, token, stream + 2, cell], in units of each strip's rms, the last two
    being the mean of the streams and what the pass wrote; `apart` [loop + 1, token, stream, cell],
    what of them differs from the mean; `share` [loop + 1, token, stream], of their lengths, and
    `length` [loop + 1, token, stream + 2], log10, missing for zero; `gates` [loop, token, stream,
    3], H_pre, H_post and H_res of each pass; with words `likely` [loop + 1, token, stream + 1], the
    mean last. The menu `head` chooses between `strips` and `apart`.
    """

    kind: str = "streams"
    labels: list[str]  # the words of the text [token]
    streams: int
    width: int  # numbers of a stream, of which there may be more than a strip has cells
    post_most: int  # the upper end of the scale of H_post; the others end at 1
    said: list[list[list[str]]] | None  # what each would say next [loop + 1][token][stream + 1]
    every: int  # of which numbers those are multiples that stand below the lines
    lengths: list[float]  # at the lines of their log scale, the first and the last at its ends
