"""The course's miniatures: small looped models in the released ones' on-disk forms, and their text.

They are ours, trained by data/make_miniatures.py in minutes, and say nothing about the released
models. What they are good for is to have every family's forward pass at hand, without a network.
"""

from pathlib import Path

import torch
from torch import Tensor

from looplab.tasks import Batch
from looplab.zoo.files import read_json

FOLDER = Path(__file__).resolve().parents[2] / "data" / "miniatures"
PEOPLE = ("ann", "bob", "cat", "dan", "eve", "fay", "gus", "hal", "ivy", "jon", "kim", "leo")
PLACES = ("attic", "barn", "cave", "dock", "farm", "gate", "hall", "inn")
WORDS = ("<bos>", "in", "with", "?", *PEOPLE, *PLACES)
_IN, _WITH, _ASK = 1, 2, 3
_PERSON, _PLACE = 4, 4 + len(PEOPLE)


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


def where_is(batch: int, generator: torch.Generator, people: int = 4) -> Batch:
    """Little stories that say who is where, and then ask: `ann in barn bob with ann bob ? barn`.

    People come in one by one, in a place or with somebody who is there already; then each is asked
    for twice, in random order. To answer, follow "with" until a place comes: `difficulty` counts
    those steps at the token "?" of a first question, and is -1 elsewhere. Targets are the next
    tokens; the first token is <bos>. Tokens are [batch, 9 people], ids as in `WORDS`. ValueError
    for more people than names.

    >>> story = where_is(1, torch.Generator().manual_seed(0), people=2)
    >>> text(story.tokens[0])
    '<bos> cat in farm dan with cat cat ? farm dan ? farm dan ? farm cat ?'
    """
    if not 2 <= people <= len(PEOPLE):
        raise ValueError(f"people={people}: expected 2 to {len(PEOPLE)}, the names there are")

    def draw(high: int) -> Tensor:
        return torch.randint(high, (batch,), generator=generator)

    def chance(p: float) -> Tensor:
        return torch.rand(batch, generator=generator) < p

    def shuffled(n: int) -> Tensor:
        return torch.rand(batch, n, generator=generator).argsort(1)

    who = shuffled(len(PEOPLE))[:, :people]  # [batch, person], in order of appearance
    row, story = torch.arange(batch), [torch.zeros(batch, 1, dtype=torch.long)]
    place = torch.zeros(batch, people, dtype=torch.long)
    steps = torch.zeros(batch, people, dtype=torch.long)
    for n in range(people):
        arrives = torch.ones(batch, dtype=torch.bool) if n == 0 else chance(0.4)
        somewhere = draw(len(PLACES))
        # Half of the time it is the one who came last, so that chains grow long.
        friend = torch.where(chance(0.5), max(n - 1, 0), draw(max(n, 1)))
        place[:, n] = torch.where(arrives, somewhere, place[row, friend])
        steps[:, n] = torch.where(arrives, 0, steps[row, friend] + 1)
        said = torch.where(arrives, _PLACE + somewhere, _PERSON + who[row, friend])
        how = torch.where(arrives, _IN, _WITH)
        story.append(torch.stack((_PERSON + who[:, n], how, said), dim=1))
    asked = shuffled(2 * people) % people
    ask = torch.full((batch,), _ASK)
    seen = torch.zeros(batch, people, dtype=torch.bool)
    difficulty = torch.full((batch, 9 * people), -1)
    for n in range(2 * people):
        one = asked[:, n]
        answer = _PLACE + place[row, one]
        story.append(torch.stack((_PERSON + who[row, one], ask, answer), dim=1))
        # A second question can be answered by looking up the first.
        first = ~seen[row, one]
        difficulty[:, 3 * people + 3 * n + 2] = torch.where(first, steps[row, one], -1)
        seen[row, one] = True
    story = torch.cat(story, dim=1)  # [batch, 9 people + 1]
    return Batch(story[:, :-1], story[:, 1:], difficulty)


def text(tokens: Tensor) -> str:
    """Words of token ids [token].

    >>> text(torch.tensor([4, 1, 17]))
    'ann in barn'
    """
    return " ".join(WORDS[token] for token in tokens.tolist())


def ids(words: str) -> Tensor:
    """Token ids [token] of words; ValueError naming a word that the miniatures do not know.

    >>> ids("ann in barn")
    tensor([ 4,  1, 17])
    """
    unknown = [word for word in words.split() if word not in WORDS]
    if unknown:
        raise ValueError(f"the miniatures do not know {unknown[0]!r}: they know {' '.join(WORDS)}")
    return torch.tensor([WORDS.index(word) for word in words.split()], dtype=torch.long)
