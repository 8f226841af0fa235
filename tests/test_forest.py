"""Forests drawn as trees: where each node stands, and what it says."""

import browser
import pytest
import torch

from looplab import LoopedConfig, LoopedTransformer, plots, tasks, trace
from looplab.widgets import LoopMicroscope
from looplab.widgets.forest import lay_out


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return LoopedTransformer(LoopedConfig(vocab=8, fields=2, width=16, heads=2)).eval()


@pytest.fixture(scope="module")
def forests():
    """Two of them: a chain of five beside a star of three."""
    return tasks.chain_and_star(2, torch.Generator().manual_seed(0), nodes=8, chain=(5, 5))


@pytest.fixture
def scope(model, forests):
    run, parents = trace(model, forests.tokens, loops=4), tasks.parents(forests.tokens)
    return LoopMicroscope(run, model, item=1, targets=forests.targets, parents=parents)


def test_every_node_tells_what_it_answers_and_whether_that_is_right(scope, forests):
    own, up = ([str(label) for label in labels] for labels in forests.tokens[1].T.tolist())
    state = scope.picture_state(3)
    nodes = state["forest"]
    assert [node["label"] for node in nodes] == own
    assert [node["parent"] for node in nodes] == up
    assert [node["answer"] for node in nodes] == state["answers"]
    assert sum(node["right"] for node in nodes) == state["right"]
    roots, other = dict(scope.meta.forest.colours), scope.meta.forest.other
    assert set(roots) == {label for label, parent in zip(own, up, strict=True) if label == parent}
    assert len({*roots.values(), other}) == 3
    assert [node["colour"] for node in nodes] == [roots.get(n["answer"], other) for n in nodes]


def test_words_say_where_the_node_stands(scope, forests):
    depths = forests.difficulty[1].tolist()
    for depth, place in {
        0: "a root",
        1: "1 step below its root",
        4: "4 steps below its root",
    }.items():
        scope.token = depths.index(depth)
        assert f"Node {scope.picture_state()['label']}, {place}, answers " in scope.describe()


def test_the_keys_walk_down_the_chain_and_then_through_the_star(scope, forests):
    forest = scope.meta.forest
    assert forests.difficulty[1, forest.order].tolist() == [0, 1, 2, 3, 4, -1, -1, -1]
    across = [forest.spots[token][0] for token in forest.order]
    assert len(set(across[:5])) == 1  # a chain hangs straight down
    assert across[5] == pytest.approx((across[6] + across[7]) / 2)


def test_no_two_nodes_stand_in_one_place():
    forests = tasks.find_root(64, torch.Generator().manual_seed(0), max_depth=11)
    for parents in tasks.parents(forests.tokens).tolist():
        spots = lay_out(parents, [str(label) for label in range(12)]).spots
        assert len({tuple(spot) for spot in spots}) == 12
        for token, parent in enumerate(parents):
            assert spots[token][1] == (0 if parent == token else spots[parent][1] + 1)


def test_a_strip_of_trees_names_each_wrong_answer(scope):
    strip = scope.film_strip((1, 4), states=True)
    assert isinstance(strip, plots.Picture)
    for loop in (1, 4):
        state = scope.picture_state(loop)
        assert f"Loop {loop}: {state['right']} of 8 right" in strip.alt
        for node in state["forest"]:
            told = f"{node['label']} (depth {node['depth']}) answers {node['answer']}"
            assert node["right"] or told in strip.alt


def test_trees_need_neither_targets_nor_a_model(model, forests):
    run, parents = trace(model, forests.tokens, loops=2), tasks.parents(forests.tokens)
    bare = LoopMicroscope(run, parents=parents)
    assert bare.picture_state()["forest"] is None
    assert "Loop 2 of 2" in bare.film_strip((2,)).alt
    unjudged = LoopMicroscope(run, model, parents=parents[0].tolist())
    assert {node["right"] for node in unjudged.picture_state()["forest"]} == {None}
    first = unjudged.picture_state(1)["forest"][0]
    assert f"{first['label']} (depth {first['depth']}) answers" in unjudged.film_strip((1, 2)).alt


@pytest.mark.parametrize(
    ("parents", "message"),
    [
        ([0, 1], "parents have shape"),
        ([9] * 8, "parents hold 9: expected indices of tokens, 0 to 7"),
        ([0, 2, 1, 0, 0, 0, 0, 0], "round a circle from token 1"),
    ],
)
def test_parents_that_make_no_forest_are_refused(model, forests, parents, message):
    with pytest.raises(ValueError, match=message):
        LoopMicroscope(trace(model, forests.tokens, loops=2), model, parents=parents)


def test_on_a_page_without_a_kernel_a_node_is_clicked_and_walked_to(scope, page):
    page.set_content(scope.html())
    canvas, words = page.locator(".looplab-canvas"), page.locator(".looplab-words")
    canvas.focus()
    for _ in range(8):
        page.keyboard.press("ArrowUp")
    assert ", a root, answers " in words.inner_text()
    page.keyboard.press("ArrowDown")
    assert ", 1 step below its root, answers " in words.inner_text()
    for told, x, y in canvas.evaluate(browser.TOLD):
        canvas.click(position={"x": x, "y": y})
        assert told in words.inner_text()
