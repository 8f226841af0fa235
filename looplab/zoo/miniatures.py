"""The course's miniatures: small looped models in the released ones' on-disk forms, and their text.

They are ours, trained by data/make_miniatures.py in minutes, and say nothing about the released
models. What they are good for is to have every family's forward pass at hand, without a network.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from looplab.model import Loop
from looplab.tasks import Batch
from looplab.zoo.files import read_json

FOLDER = Path(__file__).resolve().parents[2] / "data" / "miniatures"
BACK = ("one-back", "two-back", "three-back")
PLACES = ("attic", "barn", "cave", "dock", "farm", "gate", "hall", "inn")
WORDS = ("<bos>", *BACK, *PLACES)
_PLACE = 1 + len(BACK)
_NO_TARGET = -100  # what stands where nothing is asked, as in PyTorch's cross-entropy
_NEWS = 0.2  # share of the days that name a place


def names() -> list[str]:
    """Miniatures there are.

    >>> "ouro-mini" in names()
    True
    """
    return sorted(path.parent.name for path in FOLDER.glob("*/card.json"))


def folder(name: str) -> Path:
    """Folder of a miniature, which `looplab.zoo.load` reads; ValueError naming the known ones.

    >>> folder("huginn-mini").name
    'huginn-mini'
    """
    if name not in names():
        raise ValueError(f"no miniature {name!r}: known are {', '.join(names())}")
    return FOLDER / name


def card(name: str) -> dict:
    """What a miniature is: family, recipe, seed, losses by loop, hash.

    >>> card("retrofit-mini")["made by"]
    'looplab, data/make_miniatures.py'
    """
    return read_json(folder(name) / "card.json")


def where_is(batch: int, generator: torch.Generator, days: int = 20) -> Batch:
    """Diaries of somebody who travels: where was it on each day?

    A day names a place, or says that it was spent where one, two or three days before were:
    `farm one-back inn three-back` is a diary of farm, farm, inn, farm. A target is the place of its
    day, so nothing is asked at <bos>; `difficulty` counts the steps back until a place is named,
    -1 at <bos>. Tokens are [batch, 1 + days], ids as in `WORDS`. ValueError for no days.

    >>> diary = where_is(1, torch.Generator().manual_seed(0), days=6)
    >>> text(diary.tokens[0])
    '<bos> farm inn two-back one-back three-back three-back'
    """
    if days < 1:
        raise ValueError(f"days={days}: expected at least 1")
    named = torch.randint(len(PLACES), (batch, days), generator=generator)
    back = torch.randint(1, 1 + len(BACK), (batch, days), generator=generator)
    news = torch.rand(batch, days, generator=generator) < _NEWS
    news |= back > torch.arange(days)  # nothing stands in front of the first day
    place, steps, row = torch.zeros_like(named), torch.zeros_like(named), torch.arange(batch)
    for day in range(days):
        source = (day - back[:, day]).clamp(min=0)
        place[:, day] = torch.where(news[:, day], named[:, day], place[row, source])
        steps[:, day] = torch.where(news[:, day], 0, steps[row, source] + 1)
    first = torch.zeros(batch, 1, dtype=torch.long)
    return Batch(
        torch.cat((first, torch.where(news, _PLACE + named, back)), dim=1),
        torch.cat((first + _NO_TARGET, _PLACE + place), dim=1),
        torch.cat((first - 1, steps), dim=1),
    )


def is_one(model: Loop) -> bool:
    """Whether a model is a miniature, by its tokenizer: it says places then, and no next words.

    >>> from looplab.zoo import load
    >>> is_one(load(folder("ouro-mini")))
    True
    """
    source = getattr(model.words, "folder", None)
    return source is not None and Path(source).parent == FOLDER


def most_named(tokens: Tensor) -> Tensor:
    """A rule that follows nothing: the place named most often so far, the latest of equals.

    tokens [..., token] as `where_is` makes them -> ids of places [..., token], 0 at <bos>.

    >>> text(most_named(ids("<bos> farm inn one-back inn"))[1:])
    'farm inn inn inn'
    """
    named = F.one_hot(tokens, len(WORDS))[..., _PLACE:]  # [..., token, place]
    when = torch.arange(tokens.shape[-1])[:, None] + 1
    last = (named * when).cummax(-2).values / (1 + tokens.shape[-1])  # below 1: breaks ties
    found = (named.cumsum(-2) + last).argmax(-1) + _PLACE
    return torch.where(named.cumsum(-2).sum(-1) > 0, found, 0)


def text(tokens: Tensor) -> str:
    """Words of token ids [token].

    >>> text(torch.tensor([8, 1, 10]))
    'farm one-back hall'
    """
    return " ".join(WORDS[token] for token in tokens.tolist())


def ids(words: str) -> Tensor:
    """Token ids [token] of words; ValueError naming a word that the miniatures do not know.

    >>> ids("farm one-back hall")
    tensor([ 8,  1, 10])
    """
    unknown = [word for word in words.split() if word not in WORDS]
    if unknown:
        raise ValueError(f"the miniatures do not know {unknown[0]!r}: they know {' '.join(WORDS)}")
    return torch.tensor([WORDS.index(word) for word in words.split()], dtype=torch.long)
