"""Numbers of every layer and loop of a run, measured while it runs; answers kept in a file.

Source: the stages of inference of arXiv 2604.11791, section 5 (claims C10, C12).
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from looplab.basics.tensor_files import check_format, read_tensors, reading, write_tensors
from looplab.measure import lasting_from, residual_entropy
from looplab.measure.shapes import precise
from looplab.model import Loop, Site
from looplab.model.tap import Tap

__all__ = ["Answers", "by_layer", "layer_run", "loop_run", "next_token_loss"]

Measures = Mapping[str, Mapping[str, Callable[[Tensor], Tensor]]]
_DATA = Path(__file__).resolve().parents[2] / "data"
_FORMAT = "looplab.answers.1"
_RANKS = 3  # next words that a widget names


def by_layer(
    model: Loop,
    tokens: Tensor,
    measures: Measures,
    *,
    tap: Tap | None = None,
    loops: int | None = None,
    batch: int = 4,
) -> dict[str, Tensor]:
    """Measure every layer while a model runs: name -> [layer, sequence], and "loss" [sequence].

    measures: a site inside of a layer, such as "attn.pattern", "mlp.out" or "resid" (model/tap.py),
    -> the names and functions to measure there. A function is given the site's value, batch first,
    and returns [batch] or [batch, head], whose heads are averaged. Layers stand in the order in
    which they ran: prelude, the core once for each loop, coda. `tap` may change the run first. Runs
    `batch` sequences at a time, so that nothing but numbers is kept. Logits have to be next tokens.

    >>> from looplab import LoopedConfig, LoopedTransformer, measure
    >>> model = LoopedTransformer(LoopedConfig(vocab=9, prelude=1, core=2, loops=3))
    >>> sinks = {"attn.pattern": {"sinks": measure.sink_rate}}
    >>> by_layer(model, torch.tensor([[1, 2, 3]]), sinks)["sinks"].shape
    torch.Size([7, 1])
    """
    model.check_says_next("by_layer")
    parts = []
    with torch.inference_mode():
        for some in tokens.split(batch):
            watch = _Watch(measures, tap)
            logits = model(some, loops, tap=watch).logits
            found = {name: torch.stack(values) for name, values in watch.found.items()}
            parts.append(found | {"loss": next_token_loss(logits, some)})
    return {name: torch.cat([part[name] for part in parts], dim=-1) for name in parts[0]}


def next_token_loss(logits: Tensor, tokens: Tensor) -> Tensor:
    """Mean loss of saying the next token: [batch, token, vocab], [batch, token] -> [batch].

    >>> next_token_loss(torch.zeros(1, 3, 2), torch.tensor([[0, 1, 0]]))
    tensor([0.6931])
    """
    # A few tokens at a time. Logarithms of a whole text's probabilities are blocks of some 10 MB,
    # which the heap does not use again once something small has come to lie behind them.
    return torch.stack(
        [
            torch.cat(
                [
                    F.cross_entropy(precise(some), right, reduction="none")
                    for some, right in zip(said[:-1].split(8), ids[1:].split(8), strict=True)
                ]
            ).mean()
            for said, ids in zip(logits, tokens, strict=True)
        ]
    )


def layer_run(
    model: Loop, encode: Callable[[str], list[int]], decode: Callable[[list[int]], str], text: str
) -> dict:
    """One text in a model without prelude and coda, as `widgets.LayerMicroscope` shows it.

    encode, decode: the tokenizer, from text to ids and back. Returns words [token], attention
    [layer, head, token, token], states [layer, token, width], norm [layer, token], the entropy of
    all states and the rest without the first [layer], and the three likeliest next tokens after
    each layer (the logit lens), likely [layer, token, rank] and said [layer][token][rank].

    >>> from looplab import LoopedConfig, LoopedTransformer
    >>> model = LoopedTransformer(LoopedConfig(vocab=128, core=2, loops=1))
    >>> letters = lambda text: [ord(letter) for letter in text]
    >>> run = layer_run(model, letters, lambda ids: chr(ids[0]), "loops")
    >>> run["words"], list(run["attention"].shape), len(run["said"])
    (['l', 'o', 'o', 'p', 's'], [2, 4, 5, 5], 2)
    """
    model.check_says_next("layer_run")
    ids = _ids(encode, text)
    found: dict[str, list[Tensor]] = {"core.attn.pattern": [], "core.resid": []}

    def keep(site: Site, value: Tensor):
        if site.name in found:
            found[site.name].append(value[0])

    keep.patterns = True
    with torch.inference_mode():
        model(torch.tensor([ids]), tap=keep)
        attention, states = (torch.stack(values) for values in found.values())
        tops = [model.head(model.norm(state)).softmax(-1).topk(_RANKS) for state in states]
    return {"attention": attention} | _told(ids, decode, states, tops)


def loop_run(
    model: Loop,
    encode: Callable[[str], list[int]],
    decode: Callable[[list[int]], str],
    text: str,
    loops: int | None = None,
) -> dict:
    """One text in a looped model, loop by loop, as `widgets.WordMicroscope` shows it.

    encode, decode: the tokenizer, from text to ids and back. loops: the config's unless given.
    Returns words [token], attention [loop, layer, token, token] of the core (means of heads),
    states at the end of each loop [loop, token, width], norm [loop, token], the entropy of all
    states and the rest without the first [loop], and the three likeliest next tokens, read out
    through coda and head after each loop, likely [loop, token, rank] and said [loop][token][rank].
    settled [token] is the first loop from which the likeliest of them is what it is after the last
    loop. Raises ValueError for a text of fewer than two tokens.

    >>> from looplab import LoopedConfig, LoopedTransformer
    >>> model = LoopedTransformer(LoopedConfig(vocab=128, prelude=1, core=2, coda=1))
    >>> letters = lambda text: [ord(letter) for letter in text]
    >>> run = loop_run(model, letters, lambda ids: chr(ids[0]), "loops", 6)
    >>> list(run["attention"].shape), list(run["states"].shape), len(run["settled"])
    ([6, 2, 5, 5], [6, 5, 64], 5)
    """
    model.check_says_next("loop_run")
    ids = _ids(encode, text)
    patterns: list[Tensor] = []

    def keep(site: Site, value: Tensor):
        if site.name == "core.attn.pattern":
            patterns.append(value[0].mean(0))

    keep.patterns = True
    states, tops = [], []
    with torch.inference_mode():
        ready = model.prepare(torch.tensor([ids]))
        for _, z in model.passes(ready, loops, tap=keep):
            states.append(z[0])
            tops.append(model.answer(z, ready)[0].softmax(-1).topk(_RANKS))
    answers = torch.stack([top.indices[:, 0] for top in tops])  # [loop, token]
    return {
        "attention": torch.stack(patterns).unflatten(0, (len(states), -1)),
        "settled": lasting_from(answers == answers[-1]),
    } | _told(ids, decode, torch.stack(states), tops)


def _ids(encode: Callable[[str], list[int]], text: str) -> list[int]:
    ids = encode(text)
    if len(ids) < 2:
        raise ValueError(f"the text {text!r} has {len(ids)} tokens: expected 2 or more")
    return ids


def _told(ids: list[int], decode: Callable[[list[int]], str], states: Tensor, tops: list) -> dict:
    """What a widget is told of states [step, token, width] and their likeliest next tokens."""
    return {
        "words": [decode([one]) for one in ids],
        "states": states,
        "norm": states.norm(dim=-1),
        "entropy": residual_entropy(states),
        "rest": residual_entropy(states[:, 1:]),
        "likely": torch.stack([top.values for top in tops]),
        "said": [[[decode([i]) for i in row] for row in top.indices.tolist()] for top in tops],
    }


class _Watch:
    """A tap that measures what another one leaves."""

    def __init__(self, measures: Measures, tap: Tap | None):
        self.measures, self.tap, self.found = measures, tap, {}
        self.patterns = "attn.pattern" in measures or bool(getattr(tap, "patterns", False))

    def __call__(self, site: Site, value: Tensor) -> Tensor | None:
        changed = None if self.tap is None else self.tap(site, value)
        _, _, name = site.name.partition(".")
        if site.layer is not None:
            for told, function in self.measures.get(name, {}).items():
                numbers = function(value if changed is None else changed)
                numbers = numbers.mean(-1) if numbers.dim() == 2 else numbers
                self.found.setdefault(told, []).append(numbers)
        return changed


class Answers:
    """What a chapter asked of a model that is not everywhere: asked again, or read from a file.

    file: in data/, written by `save`. live: whether the model is here. record: for whoever writes
    the file, a function of a question's name that says whether to ask it; others are read.

    >>> answers = Answers("nothing.safetensors", live=True)
    >>> answers.ask("two", lambda: {"numbers": torch.ones(2)})["numbers"]
    tensor([1., 1.])
    """

    def __init__(self, file: str, live: bool, record: Callable[[str], bool] | None = None):
        self.path, self.live, self.record = _DATA / file, live, record
        self._told: dict[str, dict] = {}
        self._read: dict[str, dict] | None = None

    def ask(self, name: str, question: Callable[[], dict], live: bool = True) -> dict:
        """What `question()` returns, a dict of tensors and of what JSON can hold.

        Without the model, or with `live=False`, it is read from the file, where numbers have three
        digits. ValueError where the file is damaged or lacks it.
        """
        if self.record is not None:
            self._told[name] = question() if self.record(name) else self._stored(name)
            return self._told[name]
        return question() if live and self.live else self._stored(name)

    def names(self) -> list[str]:
        """Questions that the file answers; ValueError where it is damaged."""
        return list(self._all())

    def save(self) -> Path:
        """Write all that was asked, numbers in half precision."""
        tensors, rest = {}, {}
        for name, answer in self._told.items():
            for key, value in answer.items():
                if not isinstance(value, Tensor):
                    rest.setdefault(name, {})[key] = value
                    continue
                value = value.half() if value.is_floating_point() else value
                if not value.isfinite().all():
                    raise ValueError(f"{name}, {key}: not finite in half precision")
                tensors[f"{name}/{key}"] = value.clone()
        write_tensors(self.path, tensors, {"format": _FORMAT, "rest": json.dumps(rest)})
        return self.path

    def _stored(self, name: str) -> dict:
        if name not in self._all():
            raise ValueError(f"{self.path.name} has no {name!r}: it has {sorted(self._all())}")
        return self._all()[name]

    def _all(self) -> dict[str, dict]:
        if self._read is None:
            self._read = self._open()
        return self._read

    def _open(self) -> dict[str, dict]:
        with reading(self.path, "is not a readable record", "get it again, with git checkout"):
            header, tensors = read_tensors(self.path)
            check_format(self.path, header, "record", _FORMAT, "get it again, with git checkout")
            found = json.loads(header["rest"])
            for where, value in tensors.items():
                name, _, key = where.rpartition("/")
                value = value.float() if value.is_floating_point() else value
                found.setdefault(name, {})[key] = value
        return found
