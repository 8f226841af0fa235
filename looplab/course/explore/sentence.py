"""What the page "One sentence" is told about the course's English."""

from looplab.zoo import english
from looplab.zoo.files import read_json

WINDOW = 128  # tokens of a piece that the models learned from
# Gerald Ford in 1977, a year that the models did not read.
SENTENCE = "I can report that the state of the Union is good. There is room for improvement"


def given() -> dict:
    """What the page is given: the tokenizer, the longest text in tokens, a first sentence."""
    return {"words": byte_pairs(), "window": WINDOW, "text": SENTENCE}


def byte_pairs() -> dict[str, list]:
    """The text's tokenizer for the browser: texts of the ids, merges as pairs of ids, specials.

    >>> byte_pairs()["special"]
    ['<|begin|>']
    """
    said = read_json(english.TEXT / "tokenizer.json")
    ids = said["model"]["vocab"]
    return {
        "tokens": sorted(ids, key=ids.get),
        "merges": [[ids[left], ids[right]] for left, right in said["model"]["merges"]],
        "special": [one["content"] for one in said["added_tokens"]],
    }
