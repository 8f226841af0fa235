"""Sketches say in words what they draw."""

import pytest

from looplab import LoopedConfig
from looplab.plots import sketch


def test_a_loop_names_its_layers_and_its_injection():
    picture = sketch.loop(LoopedConfig(vocab=5, core=3, injection="concat"))
    assert "the input is mixed in" in picture.alt and "3 layers" in picture.alt
    assert "mixed" not in sketch.loop(LoopedConfig(vocab=5)).alt
    assert picture.png() == sketch.loop(LoopedConfig(vocab=5, core=3, injection="concat")).png()


def test_a_rack_shares_letters_where_weights_are_shared():
    looped = LoopedConfig(vocab=5, prelude=1, core=2, loops=3, coda=1, injection="concat")
    picture = sketch.rack({"a": looped, "b": looped.unrolled(), "c": looped.shallow()})
    assert picture.data == {"a": "ABCBCBCD", "b": "ABCDEFGH", "c": "ABCD"}
    assert "a runs 8 layers with 4 different sets of weights" in picture.alt
    assert picture.png().startswith(b"\x89PNG")


def test_a_rack_runs_out_of_letters():
    with pytest.raises(ValueError, match="letters for 26"):
        sketch.rack({"deep": LoopedConfig(vocab=5, core=9, loops=3).unrolled()})
