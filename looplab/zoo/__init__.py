"""Released looped models, read natively: Huginn, Ouro, the retrofits, ALBERT and others.

    model = zoo.load("ByteDance/Ouro-1.4B")          # or a folder that you downloaded
    run = trace(model, tokens, loops=8)

Files alone decide what is built: config.json and the names of the tensors. No code of a model's
folder is run, and a pickle is opened as tensors only, where a family has nothing else.

What differs between the families and is easily got wrong:

- Huginn and the retrofits start from noise, so two runs differ unless `generator` or `state` is
  given. Huginn was trained at 32 loops on average, Ouro at 4, a retrofit at the number in its name.
- Official Huginn and retrofit code ignores the attention mask, so that a padded batch attends to
  its padding: see `pad_right`, which is exact for every causal family.
- ALBERT fills in hidden tokens: its logits are of the token itself, and nothing is generated.
- An attractor's solver mixes over all tokens of a sequence, so that a token sees later ones until
  it has converged: `model.with_solver("plain")` is the causal loop.
- In bfloat16 Ouro's official rule "leave at threshold 1.0" leaves early, because the sum of the
  exit probabilities is rounded up to one: see `exit_loop`.
- Fixed points show only to about 1e-2 in bfloat16: measure convergence with dtype=torch.float32.
- Token ids in the retrofits' config.json are Huginn's and mean other words in their vocabularies:
  take them from the tokenizer. Huginn and the retrofits want the begin-of-text token in front of
  raw text, Ouro does not.
"""

from looplab.zoo.chatting import chat
from looplab.zoo.exporting import export
from looplab.zoo.families import FAMILIES
from looplab.zoo.gate import exit_distribution, exit_loop, expected_logits
from looplab.zoo.healed import looped_smollm2, looped_smollm2_card
from looplab.zoo.loading import load
from looplab.zoo.looped_by_hand import loopify
from looplab.zoo.named import tokenizer_of as tokenizer
from looplab.zoo.packaged import has_smollm2, smollm2, smollm2_file
from looplab.zoo.padding import pad_right
from looplab.zoo.source import PINNED

__all__ = [
    "FAMILIES",
    "PINNED",
    "chat",
    "exit_distribution",
    "exit_loop",
    "expected_logits",
    "export",
    "has_smollm2",
    "load",
    "loopify",
    "looped_smollm2",
    "looped_smollm2_card",
    "pad_right",
    "smollm2",
    "smollm2_file",
    "tokenizer",
]
