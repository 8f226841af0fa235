"""Make a looped model out of SmolLM2-135M: four of its layers, looped, learn to stand for eight.

    python data/heal_smollm2.py FOLDER lessons          the teacher writes and reads its lessons
    python data/heal_smollm2.py FOLDER looped 0         train, with seed 0; goes on where it stopped
    python data/heal_smollm2.py FOLDER once 0           the control: the same, but with one pass
    python data/heal_smollm2.py FOLDER card             what is measured of all, and the delta

Layers 0 to 11 stay in front of the loop, 12 to 15 are looped, 16 to 19 are left out, 20 to 29 stay
behind it. An injection, Linear(2d -> d), starts as the mean of state and input. It and the four
layers learn to leave the state that the teacher has behind layer 19, whatever the number of passes
was, and towards the end also the teacher's predictions. Lessons are half the teacher's own words
(it is asked to write the user's question as well as its answer) and half speeches of the training
years in data/text. Neither the problems nor the held-out speeches that are measured are in them.
"""

import json
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from looplab import LoopedTransformer, generate, tasks, zoo
from looplab.train import PoissonLogNormalLoops
from looplab.zoo.healed import DELTA, DROP, FIRST, FOLDER, LAST, LOOPS, SHARE, save_delta

DATA = Path(__file__).parent
LENGTH = 128  # tokens of a lesson
CHATS, SPEECHES = 192, 448  # lessons of either kind
STEPS, BATCH, RATE, WARMUP = 400, 8, 3e-4, 30
GRAD_LOOPS, MOST_LOOPS = 4, 12
WORDS_FROM = 0.66  # share of the steps behind which predictions count too, of TAUGHT lessons
TAUGHT = 2
MEASURED = (1, 2, 3, 4, 6, 8, 16, 32, 64)  # loops
ITEMS = 32  # of either kind that is measured
PROMPTS = ("The capital of France is", "Once upon a time, there was a little", "A good friend is")
ASK = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n<|im_start|>user\n"
)


def teacher() -> tuple[LoopedTransformer, object]:
    return zoo.smollm2(), zoo.tokenizer("smollm2")


def student(base: LoopedTransformer) -> LoopedTransformer:
    model = zoo.loopify(base, FIRST, LAST, LOOPS, injection=SHARE, drop=DROP)
    for weight in model.cores[0].parameters():
        weight.data = weight.data.clone()  # the teacher keeps its own
        weight.requires_grad_(True)
    return model


def speeches(words) -> list[list[int]]:
    """Pieces of the training years, spread over all of them."""
    text = load_file(DATA / "text" / "tokens.safetensors")["train"]
    ours = Tokenizer.from_file(str(DATA / "text" / "tokenizer.json"))
    stride = len(text) // SPEECHES
    found = []
    for n in range(SPEECHES):
        ids = [token for token in text[n * stride : n * stride + 300].tolist() if token]
        found.append(words(ours.decode(ids)).input_ids[:LENGTH])
    return found


def lessons(folder: Path):
    base, words = teacher()
    torch.manual_seed(0)
    generator, ids = torch.Generator().manual_seed(0), []
    ask = torch.tensor([words(ASK).input_ids] * 32)
    with torch.inference_mode():
        while len(ids) < CHATS:
            new = LENGTH
            said = generate(base, ask, new=new, temperature=0.9, generator=generator).tokens
            ids += said[:, ask.shape[1] - 3 :][:, :LENGTH].tolist()
            for one in ids[-32:]:
                print(len(ids), repr(words.decode(one))[:150], flush=True)
        ids = ids[:CHATS] + [one for one in speeches(words) if len(one) == LENGTH]
        tokens = torch.tensor(ids)[:, :LENGTH]
        x, y = (torch.empty(*tokens.shape, base.config.width, dtype=torch.bfloat16) for _ in "xy")
        layers = {FIRST - 1: x, LAST + DROP - 1: y}
        for n in range(0, len(tokens), 8):

            def keep(site, value, n=n):
                if site.name == "core.resid" and site.layer in layers:
                    layers[site.layer][n : n + 8] = value

            base(tokens[n : n + 8], tap=keep)
            print("read", n, flush=True)
    save_file({"tokens": tokens, "x": x, "y": y}, folder / "lessons.safetensors")


def relative_error(z, y):
    """Squared distance to the teacher, relative; the first token, which is huge, counts less."""
    error = (z - y).square().sum(-1) / y.square().sum(-1)
    return error[:, 1:].mean() + 0.1 * error[:, 0].mean(), error[:, 1:].mean().item()


def heal(folder: Path, name: str, seed: int):
    base, _ = teacher()
    model = student(base)
    core, saved = model.cores[0], folder / f"{name}-{seed}.pt"
    taught = load_file(folder / "lessons.safetensors")
    draws = torch.Generator().manual_seed(seed)
    loops = [min(n, MOST_LOOPS) for n in PoissonLogNormalLoops(3).draw(STEPS, draws)]
    loops = loops if name == "looped" else [1] * STEPS
    lessons_in_all, wanted = len(taught["tokens"]), STEPS * BATCH
    rounds = range(1 + wanted // lessons_in_all)
    order = torch.cat([torch.randperm(lessons_in_all, generator=draws) for _ in rounds])
    order = order[: STEPS * BATCH].view(STEPS, BATCH)
    optimizer = torch.optim.AdamW(core.parameters(), RATE, betas=(0.9, 0.95), weight_decay=0.0)
    begun, seconds, log = 0, 0.0, []
    if saved.exists():
        past = torch.load(saved, weights_only=True)
        core.load_state_dict(past["core"])
        optimizer.load_state_dict(past["optimizer"])
        begun, seconds, log = past["step"], past["seconds"], past["log"]
    for step in range(begun, STEPS):
        since = time.perf_counter()
        for group in optimizer.param_groups:
            warm = min(1, (step + 1) / WARMUP)
            cosine = 0.55 + 0.45 * torch.cos(torch.tensor(torch.pi * step / STEPS)).item()
            group["lr"] = RATE * warm * cosine
        rows = order[step]
        x, y = taught["x"][rows].float(), taught["y"][rows].float()
        z = x
        for loop in range(loops[step]):
            with torch.set_grad_enabled(loop >= loops[step] - GRAD_LOOPS):
                z = model.step(z, x)
        loss, error = relative_error(z, y)
        if step >= WORDS_FROM * STEPS:
            with torch.no_grad():
                wanted = model.readout(y[:TAUGHT]).log_softmax(-1)
            given = model.readout(z[:TAUGHT]).log_softmax(-1)
            apart = F.kl_div(given, wanted, reduction="none", log_target=True).sum(-1).mean()
            loss = loss + 0.3 * apart
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(core.parameters(), 1.0)
        optimizer.step()
        log.append([loops[step], round(error, 5)])
        seconds += time.perf_counter() - since
        if step % 20 == 19:
            print(step + 1, f"{seconds:.0f} s", sum(e for _, e in log[-20:]) / 20, flush=True)
        if step % 50 == 49 or step == STEPS - 1:
            state = {"core": core.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save(state | {"step": step + 1, "seconds": seconds, "log": log}, f"{saved}.new")
            Path(f"{saved}.new").rename(saved)


def measured(words) -> dict[str, torch.Tensor]:
    """What was never a lesson: problems of our own, and held-out speeches."""
    ids = [words(one).input_ids[:96] for one in tasks.word_problems(2 * ITEMS)]
    problems = torch.tensor([one for one in ids if len(one) == 96][:ITEMS])
    held = (DATA / "text" / "held.txt").read_text()
    stride = len(held) // ITEMS
    pieces = [words(held[n * stride : n * stride + 1500]).input_ids[:LENGTH] for n in range(ITEMS)]
    return {"problems": problems, "English": torch.tensor(pieces)}


@torch.inference_mode()
def losses(model: LoopedTransformer, tokens: torch.Tensor, loops=MEASURED) -> dict:
    """Nats a token, the error of their mean, the size of the last step, and each text's loss."""
    told = {n: [] for n in loops}
    steps = {n: [] for n in loops}
    for part in tokens.split(4):
        ready = model.prepare(part)
        before = ready.start
        for passed, z in model.passes(ready, max(loops)):
            loop = passed + 1
            if loop in loops:
                logits = model.readout(z)
                each = F.cross_entropy(
                    logits[:, :-1].flatten(0, 1), part[:, 1:].flatten(), reduction="none"
                )
                told[loop] += each.unflatten(0, (len(part), -1)).mean(1).tolist()
                if loop > 1:
                    moved = (z - before).norm(dim=-1) / z.norm(dim=-1)
                    steps[loop] += moved[:, 1:].flatten().tolist()
            before = z
    return {
        str(n): {
            "loss": round(torch.tensor(told[n]).mean().item(), 4),
            "error": round((torch.tensor(told[n]).std() / len(told[n]) ** 0.5).item(), 4),
            "step": float(f"{torch.tensor(steps[n]).median().item():.2g}") if n > 1 else None,
            "each": [round(loss, 3) for loss in told[n]],
        }
        for n in loops
    }


def trained(name: str, base: LoopedTransformer, folder: Path) -> LoopedTransformer:
    model = student(base)
    past = torch.load(folder / f"{name}.pt", weights_only=True)
    model.cores[0].load_state_dict(past["core"])
    return model.requires_grad_(False)


def card(folder: Path):
    """Write data/healed: the looped model of seed 0, and what was measured of all."""
    base, words = teacher()
    test, told = measured(words), {}
    runs = sorted(path.stem for path in folder.glob("*-?.pt"))
    before = {name: value.clone() for name, value in student(base).cores[0].state_dict().items()}
    save_delta(DELTA, before, trained("looped-0", base, folder).cores[0].state_dict())

    def add(name, model, loops=MEASURED):
        told[name] = {kind: losses(model, tokens, loops) for kind, tokens in test.items()}
        print(name, json.dumps(told[name]), flush=True)

    add("SmolLM2", base, (1,))
    add("layers dropped, no loop", zoo.loopify(base, FIRST, LAST, 1, drop=DROP), (1,))
    add("looped, not trained", student(base).requires_grad_(False))
    for name in runs:
        add(name, trained(name, base, folder))
    add("as stored", zoo.looped_smollm2(), (1, 4))
    model = zoo.looped_smollm2()
    spent = {}
    for name in runs:
        past = torch.load(folder / f"{name}.pt", weights_only=True)
        errors = [error for _, error in past["log"]]
        spent[name] = {
            "seconds": round(past["seconds"]),
            "relative error": [round(sum(errors[n : n + 20]) / 20, 4) for n in range(0, STEPS, 20)],
        }
    said = {
        str(n): [
            generate(model, prompt, new=40, loops=n).text[0][len(prompt) :] for prompt in PROMPTS
        ]
        for n in (1, 4, 16, 64)
    }
    said["SmolLM2"] = [generate(base, one, new=40).text[0][len(one) :] for one in PROMPTS]
    recipe = {"steps": STEPS, "batch": BATCH, "lr": RATE, "warmup": WARMUP, "length": LENGTH}
    recipe |= {"grad_loops": GRAD_LOOPS, "loops": "PoissonLogNormalLoops(3), at most 12"}
    found = {
        "notation": model.config.notation,
        "recipe": recipe,
        "lessons": {"self-chats": CHATS, "speeches": SPEECHES},
        "trained": spent,
        "losses": told,
        "prompts": PROMPTS,
        "said": said,
        "trained by": "data/heal_smollm2.py",
    }
    (FOLDER / "smollm2-looped.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    where = Path(sys.argv[1])
    where.mkdir(exist_ok=True)
    if sys.argv[2] == "lessons":
        lessons(where)
    elif sys.argv[2] == "card":
        card(where)
    else:
        heal(where, sys.argv[2], int(sys.argv[3]))
