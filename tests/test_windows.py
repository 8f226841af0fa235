"""Windows of a model looped three ways: the same losses as `loopify` gives, and the map of them."""

import pytest
import torch

from looplab import LoopedConfig, LoopedTransformer
from looplab.experiments.layerwise import next_token_loss
from looplab.experiments.windows import LOOPS, SHARES, window_losses, window_map
from looplab.zoo import loopify


def test_each_way_is_the_loop_that_loopify_makes():
    torch.manual_seed(0)
    model = LoopedTransformer(LoopedConfig(vocab=9, width=16, heads=2, core=5, loops=1)).eval()
    tokens = torch.randint(9, (3, 7))
    found = window_losses(model, tokens, 1, 3, loops=(1, 2, 3), shares=(0.3,), batch=2)

    def loss(loops, **way):
        with torch.no_grad():
            logits = loopify(model, 1, 3, loops, **way)(tokens, loops).logits
        return next_token_loss(logits, tokens)

    for row, loops in enumerate((1, 2, 3)):
        for name, way in (
            ("naive", {"damped": False}),
            ("damped", {"damped": True}),
            ("0.3", {"injection": 0.3}),
        ):
            torch.testing.assert_close(found[name][row], loss(loops, **way))
    with pytest.raises(ValueError, match="window 3 to 9"):
        window_losses(model, tokens, 3, 9)


def test_the_map_has_every_window_and_one_loop_is_the_model_itself():
    atlas = window_map()
    wanted = {(n, n + size) for size in (4, 6) for n in range(0, 31 - size, 2)}
    assert set(atlas) == wanted and len(atlas) == 27
    itself = atlas[12, 18]["naive"][0]
    for losses in atlas.values():
        for name in ("naive", "damped", *map(str, SHARES)):
            assert losses[name].shape == (len(LOOPS), 24)
            assert torch.equal(losses[name][0], itself)
