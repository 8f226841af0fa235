"""Find the root: follow parent pointers through a random forest."""

import torch

from looplab.tasks.batch import Batch, check_generator, check_whole

__all__ = ["chain_and_star", "find_root", "parents", "two_chains"]

ROOT_SHARE = 0.15  # chance that a node starts a tree of its own


def find_root(batch: int, generator: torch.Generator, nodes: int = 12, max_depth: int = 5) -> Batch:
    """Random forests whose every node asks for the label of its root.

    tokens: [batch, node, 2] = (own label, parent's label); a root is its own parent.
    targets: [batch, node], label of the root. difficulty: [batch, node], depth (0 for a root).
    Labels are a random permutation of 0..nodes-1 and tokens come in random order, so nothing but
    the pointers tells the answer. Each forest draws how much it likes chains: deep ones, up to
    `max_depth`, are as well represented as bushy ones.

    Raises TypeError or ValueError for sizes that make no forest (max_depth from 0 to nodes-1).
    Source: pointer chasing, as in pointer jumping on parallel machines (Wyllie, 1979).

    Example:
        >>> find_root(2, torch.Generator().manual_seed(0), nodes=4, max_depth=2).targets.shape
        torch.Size([2, 4])
    """
    check_whole("batch", batch, 1)
    check_whole("nodes", nodes, 1)
    check_whole("max_depth", max_depth, 0, nodes - 1)
    check_generator(generator)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator)

    # Nodes are added one by one; a parent is always an earlier node, so depth and root are known.
    # The first axis is the node, so that each step reads and writes contiguous memory.
    parent = torch.zeros(nodes, batch, dtype=torch.long)
    depth = torch.zeros(nodes, batch, dtype=torch.long)
    root = torch.zeros(nodes, batch, dtype=torch.long)
    chain_share = uniform(batch)
    for node in range(1, nodes):
        earlier = depth[:node]
        # The chosen parent has the highest score: a random number, plus the depth in a chain step.
        chain = uniform(batch) < chain_share
        score = uniform(node, batch) + torch.where(chain, earlier, 0)
        score = score.masked_fill(earlier >= max_depth, -1)
        chosen = score.argmax(0, keepdim=True)
        is_root = uniform(batch) < ROOT_SHARE if max_depth else torch.ones(batch, dtype=torch.bool)
        parent[node] = torch.where(is_root, node, chosen[0])
        depth[node] = torch.where(is_root, 0, earlier.gather(0, chosen)[0] + 1)
        root[node] = torch.where(is_root, node, root[:node].gather(0, chosen)[0])

    label = uniform(nodes, batch).argsort(0)  # node -> label
    order = uniform(nodes, batch).argsort(0)  # token -> node
    parent_label, root_label = label.gather(0, parent), label.gather(0, root)
    own, up, target, difficulty = (
        value.gather(0, order).T.contiguous() for value in (label, parent_label, root_label, depth)
    )
    return Batch(torch.stack([own, up], dim=-1), target, difficulty)


def two_chains(batch: int, generator: torch.Generator, nodes: int = 12) -> Batch:
    """Forests of two chains of equal length, on which no shortcut replaces following pointers.

    In a random forest most nodes share one root, so its most common label is a good guess. Here
    every guess is right for one half. Tokens, targets and difficulty (0 to nodes/2 - 1) as in
    `find_root`; the order of the tokens is random too.

    Raises TypeError or ValueError for an odd number of nodes or fewer than two.

    Example:
        >>> two_chains(2, torch.Generator().manual_seed(0), nodes=4).difficulty.sort().values
        tensor([[0, 0, 1, 1],
                [0, 0, 1, 1]])
    """
    check_whole("batch", batch, 1)
    check_whole("nodes", nodes, 2)
    check_generator(generator)
    if nodes % 2:
        raise ValueError(f"nodes is {nodes}; two equal chains need an even number")
    label = torch.rand(batch, nodes, generator=generator).argsort(1).unflatten(1, (2, -1))
    parent = torch.cat((label[..., :1], label[..., :-1]), dim=-1)  # [batch, chain, depth]
    root = label[..., :1].expand_as(label)
    depth = torch.arange(nodes // 2).expand_as(label)
    order = torch.rand(batch, nodes, generator=generator).argsort(1)
    own, up, target, difficulty = (
        value.flatten(1).gather(1, order) for value in (label, parent, root, depth)
    )
    return Batch(torch.stack([own, up], dim=-1), target, difficulty)


def chain_and_star(
    batch: int,
    generator: torch.Generator,
    nodes: int = 12,
    chain: tuple[int, int] = (6, 10),
) -> Batch:
    """Forests of one chain and, as a decoy, a star: a root whose leaves are all other nodes.

    Deep nodes stand in the chain alone, and most parent pointers name the star's root: whoever
    answers with the label seen most often, or takes two steps and guesses, is wrong at depth.
    `chain` is the shortest and longest chain, both included, drawn anew for each forest. Tokens and
    targets as in `find_root`; difficulty: [batch, node], 0 to chain - 1 for a node of the chain,
    -1 in the star, which is not asked about. The order of the tokens is random too.

    Raises TypeError or ValueError for chains of fewer than two nodes, or that leave none for a
    star.

    Example:
        >>> forests = chain_and_star(2, torch.Generator().manual_seed(0), nodes=5, chain=(3, 3))
        >>> forests.difficulty.sort().values
        tensor([[-1, -1,  0,  1,  2],
                [-1, -1,  0,  1,  2]])
    """
    check_whole("batch", batch, 1)
    check_whole("nodes", nodes, 3)
    check_generator(generator)
    shortest, longest = chain
    check_whole("chain[1]", longest, 2, nodes - 1)
    check_whole("chain[0]", shortest, 2, longest)
    lengths = torch.randint(shortest, longest + 1, (batch, 1), generator=generator)
    place = torch.arange(nodes).expand(batch, -1)  # the chain from its root on, then the star
    in_chain = place < lengths
    parent = torch.where(in_chain, (place - 1).clamp(min=0), lengths)  # place -> parent's place
    root = torch.where(in_chain, 0, lengths)
    depth = torch.where(in_chain, place, -1)
    label = torch.rand(batch, nodes, generator=generator).argsort(1)  # place -> label
    order = torch.rand(batch, nodes, generator=generator).argsort(1)  # token -> place
    own, up, target, difficulty = (
        value.gather(1, order)
        for value in (label, label.gather(1, parent), label.gather(1, root), depth)
    )
    return Batch(torch.stack([own, up], dim=-1), target, difficulty)


def parents(tokens: torch.Tensor) -> torch.Tensor:
    """Index of each node's parent among the tokens; a root is its own parent.

    tokens: [..., node, 2], as `find_root` makes them; returns [..., node]. ValueError for another
    shape, for a label that two nodes have, and for a parent that is no node's label.

    Example:
        >>> parents(torch.tensor([[5, 5], [3, 7], [7, 5]]))  # 3 -> 7 -> 5
        tensor([0, 2, 0])
    """
    if tokens.dim() < 2 or tokens.shape[-1] != 2:
        raise ValueError(
            f"tokens have shape {list(tokens.shape)}: expected [..., node, 2], each node's label "
            "and its parent's"
        )
    own, up = tokens.unbind(-1)
    named = up.unsqueeze(-1) == own.unsqueeze(-2)  # [..., node, parent]
    wrong = named.sum(-1) != 1
    if wrong.any():
        raise ValueError(
            f"{int(up[wrong][0])} is named as a parent: expected the label of exactly one node"
        )
    return named.long().argmax(-1)
