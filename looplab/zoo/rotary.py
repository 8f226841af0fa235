"""A rotary table that is stored beside the weights: does it turn by the angles of config.json?

Some models keep the table in their files, and official code then turns by it, whatever config.json
says. looplab makes its own from config.json, so the two have to agree.
"""

from pathlib import Path

import torch
from torch import Tensor

from looplab.model import LoopedConfig
from looplab.model.layers import rotary_table

_TOLERANCE = 0.02  # of a cosine: tables are stored in bfloat16 too


def check_table(config: LoopedConfig, table: Tensor, path: Path, name: str) -> None:
    """ValueError unless `table` [1, token, 1, pair, cosine or sine] is the config's.

    The error names the file, and the base that the table seems to have.

    >>> config = LoopedConfig(vocab=9, width=8, heads=1, rope_theta=100.0)
    >>> table = torch.stack(rotary_table(6, 8, 100.0, None, "cpu", torch.float32), -1)
    >>> check_table(config, table[None, :, None], Path("x.bin"), "freqs_cis")
    """
    pairs, tokens = config.head_width // 2, table.shape[1] if table.dim() == 5 else 0
    if table.shape != (1, tokens, 1, pairs, 2) or tokens < 2:
        raise ValueError(
            f"{path}: {name} has shape {tuple(table.shape)}, expected [1, token, 1, {pairs}, 2], a "
            "table of rotary positions: files of two models?"
        )
    table = table[0, :, 0].float()
    theta, scaling = config.rope_theta, config.rope_scaling
    ours = rotary_table(tokens, config.head_width, theta, scaling, "cpu", torch.float32)
    if (table - torch.stack(ours, -1)).abs().max() <= _TOLERANCE:
        return
    angle = torch.atan2(table[1, -1, 1], table[1, -1, 0]).item()  # of the slowest pair, one token
    told = "is no table of one base"
    if pairs > 1 and angle > 0:
        told = f"looks like base {round(angle ** (pairs / (1 - pairs)), 1):.6g}"
    raise ValueError(
        f"{path}: {name}, the stored rotary table, {told}, and config.json says {theta:g}. "
        "Official code turns by the table and looplab by config.json: put the table's base into a "
        "copy of config.json, or take the table out of a copy of the weights if it is wrong"
    )
