"""What running and writing cost: looplab beside transformers' Llama and OLMo-2, and without cache.

    python benchmarks/bench_generate.py [llama olmo2 loops]

`llama` and `olmo2` give transformers and looplab the same weights, so the same answers at equal
shapes and layer calls; transformers runs its fused attention and its own cache, and is left out
where it is not installed. `loops` compares a looped model with itself.
"""

import sys
import tempfile

import torch
from timing import interleave, show

from looplab import LoopedConfig, LoopedTransformer, generate
from looplab.generation import ExitRule
from looplab.zoo import load

VOCAB, LAYERS = 512, 8
# width -> heads, width inside the MLP; (batch, prompt, new) for forward passes and for writing
WIDTHS = {256: (4, 688), 512: (8, 1376)}
FORWARD = ((1, 32), (1, 256), (8, 64))  # (batch, token)
WRITE = ((1, 32, 64), (8, 32, 24))  # (batch, prompt, new)
BOUND = 1.0  # looplab / transformers
CACHED = 0.5  # looplab / the same model without a cache


def official(family, width):
    """A random model of transformers, on one thread of a CPU, with fused attention."""
    import transformers

    heads, hidden = WIDTHS[width]
    name = {"llama": "Llama", "olmo2": "Olmo2"}[family]
    config = getattr(transformers, f"{name}Config")(
        vocab_size=VOCAB,
        hidden_size=width,
        intermediate_size=hidden,
        num_hidden_layers=LAYERS,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=512,
        attn_implementation="sdpa",
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    return getattr(transformers, f"{name}ForCausalLM")(config).eval()


def beside(family):
    """Forward passes and cached writing, both models with the same weights."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    for width in WIDTHS:
        peer = official(family, width)
        with tempfile.TemporaryDirectory() as folder:
            peer.save_pretrained(folder)
            model = load(folder)
        for batch, token in FORWARD:
            tokens = torch.randint(VOCAB, (batch, token))
            cases = {
                "transformers": lambda peer=peer, t=tokens: peer(t, use_cache=False).logits,
                "looplab": lambda model=model, t=tokens: model(t).logits,
            }
            many = {
                name: repeated(case, 1024 // (batch * token) + 1) for name, case in cases.items()
            }
            with torch.no_grad():
                one, other = (case() for case in cases.values())
                assert torch.allclose(one, other, atol=1e-3)
                seconds = interleave(many, rounds=9)
            title = f"{family}, width {width}: forward, {batch}x{token}"
            show(title, seconds, "transformers", {"looplab": BOUND})
        for batch, prompt, new in WRITE:
            tokens = torch.randint(VOCAB, (batch, prompt))
            cases = {
                "transformers": lambda peer=peer, t=tokens, new=new: peer.generate(
                    t,
                    attention_mask=torch.ones_like(t),
                    do_sample=False,
                    min_new_tokens=new,
                    max_new_tokens=new,
                ),
                "looplab": lambda model=model, t=tokens, new=new: generate(model, t, new).tokens,
            }
            one, other = (case() for case in cases.values())
            assert torch.equal(one, other)
            seconds = interleave(cases, rounds=7, warmup=1)
            title = f"{family}, width {width}: writing, {batch}x{prompt}+{new}"
            show(title, seconds, "transformers", {"looplab": BOUND})


def repeated(case, times):
    """A short case run several times, so that the clock can tell."""

    def run():
        for _ in range(times):
            case()

    return run


@torch.no_grad()
def uncached(model, tokens, new):
    for _ in range(new):
        logits = model(tokens).logits[:, -1]
        tokens = torch.cat((tokens, logits.argmax(-1, keepdim=True)), dim=1)
    return tokens


def loops():
    """What the cache, early exit and shared slots save in a model of 16 loops."""
    torch.manual_seed(0)
    config = LoopedConfig(
        vocab=VOCAB,
        width=256,
        heads=4,
        core=2,
        loops=16,
        mlp="gated",
        mlp_width=688,
        activation="silu",
        injection="concat",
    )
    model, new = LoopedTransformer(config).eval(), 48
    tokens = torch.randint(VOCAB, (1, 32))
    assert torch.equal(generate(model, tokens, 8).tokens, uncached(model, tokens, 8))
    rule = ExitRule("step", 5e-3)
    saved = generate(model, tokens, new, exit=rule).saving
    cases = {
        "uncached": lambda: uncached(model, tokens, new),
        "looplab": lambda: generate(model, tokens, new),
        f"looplab, exit saving {saved:.0%} of the loops": lambda: generate(
            model, tokens, new, exit=rule
        ),
        "looplab, one slot for all loops": lambda: generate(model, tokens, new, slots=1),
    }
    seconds = interleave(cases, rounds=5, warmup=1)
    show(f"{config.notation}, width 256, 1x32+{new}", seconds, "uncached", {"looplab": CACHED})


CASES = {"llama": lambda: beside("llama"), "olmo2": lambda: beside("olmo2"), "loops": loops}


def main(names):
    torch.set_num_threads(1)
    for name in names or CASES:
        CASES[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
