"""`adapt`: a module of somebody else's behind the library's instruments."""

import pytest
import torch
from torch import nn

from looplab import LoopedConfig, LoopedTransformer, adapt, measure, tasks, trace, train
from looplab.measure.stability import loop_map, lyapunov_exponents
from looplab.widgets import LoopMicroscope


class Block(nn.Module):
    def __init__(self, width=8, heads=2):
        super().__init__()
        self.norm1, self.norm2 = nn.RMSNorm(width), nn.RMSNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, bias=False, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 16), nn.GELU(), nn.Linear(16, width))

    def forward(self, x):
        seen = self.norm1(x)
        x = x + self.attention(seen, seen, seen)[0]
        return x + self.mlp(self.norm2(x))


class Mine(nn.Module):
    """What a learner writes: nothing of looplab in it."""

    def __init__(self, blocks=2, last=None):
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.ModuleList(nn.Embedding(12, 8) for _ in range(2))
        self.mix = nn.Linear(16, 8, bias=False)
        self.blocks = nn.ModuleList(Block() for _ in range(blocks))
        self.last = last
        self.head = nn.Linear(8, 12)

    def encode(self, tokens):
        return self.embed[0](tokens[..., 0]) + self.embed[1](tokens[..., 1])

    def step(self, z, x):
        z = self.mix(torch.cat((z, x), dim=-1))
        for block in self.blocks:
            z = block(z)
        return z if self.last is None else self.last(z)

    def readout(self, z):
        return self.head(z)


def forests(count=3):
    return tasks.find_root(count, torch.Generator().manual_seed(0))


def by_hand(model, tokens, loops):
    """States after every block [loop, block, batch, token, width], and ends of the loops."""
    x = model.encode(tokens)
    z, states, ends = torch.zeros_like(x), [], []
    for _ in range(loops):
        z = model.mix(torch.cat((z, x), dim=-1))
        for block in model.blocks:
            z = block(z)
            states.append(z)
        z = z if model.last is None else model.last(z)
        ends.append(z)
    return torch.stack(states).unflatten(0, (loops, -1)), torch.stack(ends)


@pytest.mark.parametrize("last", [None, nn.RMSNorm(8)])
def test_a_module_is_recorded_block_by_block_as_it_runs_by_hand(last):
    model, tokens = Mine(last=last), forests().tokens
    run = trace(adapt(model), tokens, 5, keep=("states", "attention"))
    with torch.no_grad():
        states, ends = by_hand(model, tokens, 5)
        logits = model.readout(ends[-1])
    torch.testing.assert_close(run.states, states)
    torch.testing.assert_close(run.loop_ends, ends)
    torch.testing.assert_close(run.logits, logits)
    assert run.attention.shape == (5, 2, 3, 2, 12, 12)
    torch.testing.assert_close(run.attention.sum(-1), torch.ones(5, 2, 3, 2, 12))


def test_its_patterns_are_those_of_its_own_attention():
    model, tokens = Mine(blocks=1), forests(1).tokens
    run = trace(adapt(model), tokens, 1, keep=("states", "attention"))
    with torch.no_grad():
        x = model.encode(tokens)
        seen = model.blocks[0].norm1(model.mix(torch.cat((torch.zeros_like(x), x), dim=-1)))
        wanted = model.blocks[0].attention(seen, seen, seen, average_attn_weights=False)[1]
    torch.testing.assert_close(run.attention[0, 0], wanted)


def test_measures_tables_and_the_microscope_take_it():
    batch, loop = forests(), adapt(Mine())
    run = trace(loop, batch.tokens, 6, keep=("states", "attention"))
    assert measure.distance_to_limit(run.states).shape == (6, 2, 3, 12)
    assert train.accuracy_table(loop, batch, 4).exact.shape == (4,)
    assert LoopMicroscope(run, loop, targets=batch.targets).picture_state(2)["right"] is not None
    step = loop_map(loop, batch.tokens[:1])
    assert step(torch.zeros(2, 12, 8)).shape == (2, 12, 8)
    start = torch.zeros(1, 12, 8)
    assert lyapunov_exponents(step, start, loops=8, settle=2).exponents.isfinite().all()
    out = loop(batch.tokens, 3, every_loop=True)
    torch.testing.assert_close(loop.readout(out.loop_states)[-1], out.logits)


def test_a_bare_function_is_a_loop_on_vectors():
    run = trace(adapt(lambda z, x: (z + x) / 2), torch.ones(1, 4, 3), 10)
    torch.testing.assert_close(run.loop_ends[-1], torch.full((1, 4, 3), 1 - 2.0**-10))
    assert run.states.shape == (10, 1, 1, 4, 3)


@pytest.mark.parametrize("layer", ["encoder", "gru", "conv"])
def test_modules_off_the_shelf_loop(layer):
    torch.manual_seed(0)
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    cell, conv = nn.GRUCell(8, 8), nn.Conv1d(8, 8, 3, padding=1)
    step = {
        "encoder": lambda z, x: encoder((z + x) / 2),
        "gru": lambda z, x: cell(x.flatten(0, 1), z.flatten(0, 1)).view_as(z),
        "conv": lambda z, x: torch.tanh(conv((z + x).mT).mT),
    }[layer]
    assert trace(adapt(step), torch.randn(2, 5, 8), 12).states.isfinite().all()


def test_an_encoder_layer_as_a_block_shows_its_patterns():
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
            self.blocks = nn.ModuleList([layer])

        def forward(self, z, x):
            return self.blocks[0](z + x)

    model = adapt(Encoder().eval())
    with torch.no_grad():
        run = trace(model, torch.randn(1, 5, 8), 2, keep=("states", "attention"))
    torch.testing.assert_close(run.attention.sum(-1), torch.ones(2, 1, 1, 2, 5))


def test_a_tap_can_change_what_a_block_returns():
    loop, tokens = adapt(Mine()), forests(1).tokens

    def tap(site, value):
        return value * 0 if site == (1, 1, "core.resid") else None

    states = []
    for _, z in loop.passes(loop.prepare(tokens), 3, tap=tap):
        states.append(z)
    assert states[1].abs().max() == 0 and states[2].abs().max() > 0


def test_a_model_of_the_family_is_returned_as_it_is():
    model = LoopedTransformer(LoopedConfig(vocab=5, width=8, heads=2))
    assert adapt(model) is model


def test_gradients_reach_an_adapted_module():
    model, batch = Mine(), forests()
    adapt(model)(batch.tokens, 3).logits.sum().backward()
    assert all(weight.grad is not None for weight in model.parameters())


class Twice(Mine):
    def step(self, z, x):
        return super().step(super().step(z, x), x)


@pytest.mark.parametrize(
    ("module", "given", "error", "told"),
    [
        (3, None, TypeError, "a int cannot be looped"),
        (lambda z, x: z[..., :2], torch.ones(1, 4, 3), ValueError, r"makes \(1, 4, 2\)"),
        (lambda z, x: None, torch.ones(1, 4, 3), ValueError, "must return the next state"),
        (lambda z, x: z, torch.ones(4, 3), ValueError, r"the input is \(4, 3\)"),
        (lambda z, x: z, torch.ones(1, 4, 3).long(), ValueError, "torch.int64: expected floats"),
        (Twice(), forests().tokens, ValueError, "runs its blocks 4 times in all"),
    ],
)
def test_what_is_no_loop_is_said_with_the_remedy(module, given, error, told):
    with pytest.raises(error, match=told):
        trace(adapt(module), given, 2)
