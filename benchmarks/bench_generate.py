"""What generation costs: looplab's cache against no cache and against transformers' Llama.

    python benchmarks/bench_generate.py [plain batch looped]

transformers is compared, at equal shapes and layer calls, when it is installed.
"""

import importlib.util
import sys
from dataclasses import dataclass

import torch
from timing import interleave, show

from looplab import LoopedConfig, LoopedTransformer, generate
from looplab.generate import ExitRule


@dataclass(frozen=True)
class Size:
    core: int
    loops: int
    prompt: int
    new: int
    batch: int
    rounds: int
    gate: float  # cached / uncached
    llama: float | None = None  # cached / transformers' generate


SIZES = {
    "plain": Size(core=8, loops=1, prompt=32, new=96, batch=1, rounds=7, gate=0.5, llama=1.0),
    "batch": Size(core=8, loops=1, prompt=32, new=32, batch=8, rounds=5, gate=0.3, llama=1.1),
    "looped": Size(core=2, loops=16, prompt=32, new=48, batch=1, rounds=5, gate=0.5),
}
VOCAB, WIDTH, HEADS, HIDDEN = 512, 256, 4, 688


def looped(size):
    """Llama's layer; with one loop, its `core` layers are a Llama of that depth."""
    torch.manual_seed(0)
    return LoopedTransformer(
        LoopedConfig(
            vocab=VOCAB,
            width=WIDTH,
            heads=HEADS,
            core=size.core,
            loops=size.loops,
            mlp="gated",
            mlp_width=HIDDEN,
            activation="silu",
            injection="none" if size.loops == 1 else "concat",
        )
    ).eval()


def llama(size):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCAB,
            hidden_size=WIDTH,
            intermediate_size=HIDDEN,
            num_hidden_layers=size.core,
            num_attention_heads=HEADS,
            max_position_embeddings=size.prompt + size.new,
            attn_implementation="sdpa",
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=0,
        )
    ).eval()


@torch.no_grad()
def uncached(model, tokens, new):
    for _ in range(new):
        logits = model(tokens).logits[:, -1]
        tokens = torch.cat((tokens, logits.argmax(-1, keepdim=True)), dim=1)
    return tokens


def main(names):
    torch.set_num_threads(1)
    for name in names or SIZES:
        size = SIZES[name]
        model = looped(size)
        tokens = torch.randint(VOCAB, (size.batch, size.prompt))
        assert torch.equal(generate(model, tokens, 8).tokens, uncached(model, tokens, 8))
        title = f"{name}: width {WIDTH}, {model.config.notation}, {size.batch}x{size.prompt}"
        cases = {
            "uncached": lambda model=model, tokens=tokens, new=size.new: uncached(
                model, tokens, new
            ),
            "looplab": lambda model=model, tokens=tokens, new=size.new: generate(
                model, tokens, new
            ),
        }
        if size.loops > 1:
            rule = ExitRule("step", 5e-3)
            saved = generate(model, tokens, size.new, exit=rule).saving
            cases[f"looplab, exit saving {saved:.0%}"] = (
                lambda model=model, tokens=tokens, new=size.new, rule=rule: generate(
                    model, tokens, new, exit=rule
                )
            )
            cases["looplab, one slot for all loops"] = (
                lambda model=model, tokens=tokens, new=size.new: generate(
                    model, tokens, new, slots=1
                )
            )
        seconds = interleave(cases, size.rounds, warmup=1)
        show(f"{title}+{size.new}", seconds, "uncached", {"looplab": size.gate})
        if size.llama and importlib.util.find_spec("transformers"):
            peer = llama(size)
            cases = {
                "transformers generate": lambda peer=peer, tokens=tokens, new=size.new: (
                    peer.generate(
                        tokens,
                        attention_mask=torch.ones_like(tokens),
                        do_sample=False,
                        min_new_tokens=new,
                        max_new_tokens=new,
                    )
                ),
                "looplab": cases["looplab"],
            }
            assert cases["transformers generate"]().shape == cases["looplab"]().tokens.shape
            seconds = interleave(cases, size.rounds, warmup=1)
            bound = {"looplab": size.llama}
            show(f"{name}: beside transformers", seconds, "transformers generate", bound)


if __name__ == "__main__":
    main(sys.argv[1:])
