"""A forest of tokens: where each node of its trees stands, and how its answers are drawn."""

from collections.abc import Sequence

from looplab.widgets.meta import Forest

# One for each root; those of the layers, which stand beside a forest, come last.
COLOURS = ("#56B4E9", "#E69F00", "#CC79A7", "#0072B2", "#009E73", "#D55E00")
OTHER = "#E6E6E6"  # of an answer that names no root
INK, SOFT = "#1a1a1a", "#595959"
BETWEEN_LEAVES, BETWEEN_TREES = 1.5, 0.3  # columns; a level is 1
LOOKS = {  # whether an answer is right -> the line around it
    True: {"edgecolor": INK, "linewidth": 1.3, "linestyle": "-"},
    False: {"edgecolor": SOFT, "linewidth": 1.3, "linestyle": (0, (2, 1.5))},
}


def lay_out(parents: Sequence[int], labels: Sequence[str]) -> Forest:
    """Trees side by side, the tallest first; each node stands above the middle of its children.

    parents: index of each token's parent; a root is its own. labels: a name for each token.
    ValueError for a parent that is no token, and for parents that lead round a circle.

    >>> lay_out([0, 2, 0], ["5", "3", "7"]).spots  # 3 -> 7 -> 5
    [[0.0, 0], [0.0, 2], [0.0, 1]]
    """
    children, roots = [[] for _ in parents], []
    for token, parent in enumerate(parents):
        if not 0 <= parent < len(parents):
            raise ValueError(
                f"parents hold {parent}: expected indices of tokens, 0 to {len(parents) - 1}; "
                "a root is its own parent"
            )
        (roots if parent == token else children[parent]).append(token)

    height = {}  # nodes on the longest way down from a token, itself included

    def measure(token: int) -> int:
        height[token] = 1 + max(map(measure, children[token]), default=0)
        return height[token]

    def tallest_first(tokens: list[int]) -> list[int]:
        return sorted(tokens, key=lambda token: -height[token])

    for root in roots:
        measure(root)
    if len(height) < len(parents):
        lost = next(token for token in range(len(parents)) if token not in height)
        raise ValueError(
            f"parents lead round a circle from token {lost}: expected a way to a root, which is "
            "its own parent"
        )

    spots, free = {}, 0.0  # the next column for a leaf; keys come in the order of `order`

    def place(token: int, depth: int) -> float:
        nonlocal free
        spots[token] = [0.0, depth]
        columns = [place(child, depth + 1) for child in tallest_first(children[token])]
        if not columns:
            columns, free = [free], free + BETWEEN_LEAVES
        spots[token][0] = round((columns[0] + columns[-1]) / 2, 4)
        return spots[token][0]

    roots = tallest_first(roots)
    for root in roots:
        place(root, 0)
        free += BETWEEN_TREES
    return Forest(
        parents=list(parents),
        spots=[spots[token] for token in range(len(parents))],
        order=list(spots),
        colours=[[labels[root], COLOURS[n % len(COLOURS)]] for n, root in enumerate(roots)],
        other=OTHER,
    )


def panel_size(forest: Forest, width: float, height: float) -> tuple[float, float]:
    """Inches of the largest panel within `width` and `height` that the forest fills.

    >>> panel_size(lay_out([0, 0, 1], ["5", "3", "7"]), 3.0, 6.6)
    (3.0, 6.6)
    """
    columns, levels = _extent(forest)
    step = min(width / columns, height / levels)
    return round(step * columns, 3), round(step * levels, 3)


def draw_forest(
    axes, forest: Forest, nodes: Sequence[dict], size: tuple[float, float], chosen=None
):
    """Every node with the answer it gives, in the colour of the root that the answer names.

    nodes: "forest" of LoopMicroscope.picture_state(). A right answer is a circle with a firm line,
    a wrong one a square with a broken line. size: the panel's, of `panel_size`, for the letters.
    chosen: a token to put a ring around.
    """
    from matplotlib.patches import Circle, FancyBboxPatch

    columns, levels = _extent(forest)
    axes.set(xlim=(-0.9, columns - 0.9), ylim=(levels - 0.7, -0.7), aspect="equal", anchor="N")
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    for (x, y), parent in zip(forest.spots, forest.parents, strict=True):
        above = forest.spots[parent]
        axes.plot([x, above[0]], [y, above[1]], color="0.6", linewidth=1.2, zorder=1)
    points = 72 * size[0] / columns  # between two columns
    look = {"ha": "center", "va": "center_baseline", "zorder": 4}
    for token, (node, (x, y)) in enumerate(zip(nodes, forest.spots, strict=True)):
        right = node["right"] is not False
        if token == chosen:
            axes.add_patch(Circle((x, y), 0.49, fill=False, edgecolor=INK, linewidth=1.2))
        shape = Circle((x, y), 0.38)
        if not right:
            shape = FancyBboxPatch((x - 0.22, y - 0.22), 0.44, 0.44, "round,pad=0.12")
        shape.set(facecolor=node["colour"], zorder=3, **LOOKS[right])
        axes.add_patch(shape)
        ink = {"color": ink_on(node["colour"]), "fontweight": "bold"}
        axes.text(x, y, node["answer"], fontsize=0.38 * points, **ink, **look)
        own = {"color": SOFT, "fontsize": 0.28 * points, "ha": "right"}
        axes.text(x - 0.55, y, node["label"], **(look | own))


def forest_key(forest: Forest, judged: bool) -> list:
    """Entries of a legend: the roots' colours and, where answers are judged, right and wrong."""
    from matplotlib.lines import Line2D

    def entry(label: str, fill: str, right: bool):
        look = {"color": "none", "markerfacecolor": fill, "markersize": 9, "label": label}
        line = {"markeredgecolor": LOOKS[right]["edgecolor"], "marker": "o" if right else "s"}
        return Line2D([], [], **look, **line)

    roots = [entry(f"names root {root}", fill, True) for root, fill in forest.colours]
    own = Line2D([], [], color="none", label="small: a node's own label")
    if not judged:
        return [*roots, own]
    verdicts = entry("circle: right", "white", True), entry("square: wrong", "white", False)
    return [*roots, *verdicts, own]


def _extent(forest: Forest) -> tuple[float, float]:
    """Columns and levels, with the margins around them."""
    return (
        1.5 + max(across for across, _ in forest.spots),
        1.3 + max(depth for _, depth in forest.spots),
    )


def ink_on(colour: str) -> str:
    """What can be read on a ground of this colour, as `inkOn` in js/palette.js.

    >>> ink_on("#0072B2"), ink_on("#E69F00")
    ('#ffffff', '#1a1a1a')
    """
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#ffffff" if 0.299 * red + 0.587 * green + 0.114 * blue < 140 else INK
