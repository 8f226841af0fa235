"""Mutants that no check has to find, each with the reason: they compute the same, or are allowed.

A line is what `mutants.Mutant.line` says: `old  ->  new`.
"""

# Exercises without mutants, and why.
SKIPPED: dict[str, str] = {
    "01.6": (
        "a model of the learner's own: what it has to do is asked, and how it is built and how its "
        "weights begin is free, so that most mutants are other right answers"
    ),
}

SIGN = "the length of a difference does not know its sign"
EDGE = "differs only where two floats are equal to the last bit"
EARLIER = "the line does not depend on the one that it changes places with"
COUNTS = "runs as often, and the number is not used"
SHARES = (
    "return torch.stack([right[depth == d].float().mean() "
    "for d in range(int(depth.max()) + 1)])  ->  "
)
KIND = "the same numbers in another kind, which a check accepts"
OWN = "another rule that is right often enough and earlier than the table's, as the card asks"
RULE = "another threshold, or another loop to look at, that tells the six faults apart as well"

COLSUM = "return 1 - torch.special.entr(share).sum(-1) / log("
LENS = "return (torch.stack(ids), torch.stack(likely))"
BEST = "best = head(norm(state)).softmax(-1).max(-1)"
MUTE = "value[:, slice(None) if position is None else position] = 0"
SWEPT = "return (torch.stack(rates), torch.stack(losses))"
LAST = "the axis is the last one"
BACK = "if ((late - before).norm(dim=-1) <= tolerance * late.norm(dim=-1)).all():  ->  "

STEP = {
    "(a line earlier or later)  ->  x = model.encode(batch.tokens)": EARLIER,
    "(a line earlier or later)  ->  optimiser.zero_grad()": EARLIER,
    "return loss.item()  ->  return loss": KIND,
    "optimiser.zero_grad()  ->  model.zero_grad()": (
        "the optimiser has the weights of the model, and no others"
    ),
}

AWAY = "away = (states - ends).norm(dim=-1) > 0.01 * size[-1]"
PAIRS = "ends[:, None] - ends[None]"
APART = f"apart = ({PAIRS}).norm(dim=-1).amax((0, 1)) / size[-1].mean(0)"
STEPS = "steps = (states[1:] - states[:-1]).norm(dim=-1) / size[1:]"
RESTS = "rests = bool(steps[-1].max() < 0.0001)"
REPORT = (
    "return {'rests': rests, 'loop': loop if rests else 0, "
    "'factor': measure.contraction_rate(steps.flatten(1).mean(1)).item(), "
    "'spread': apart.max().item()}"
)
SETTLED = "a loop is asked for only where the state is at rest, and its length with it"
SCALE = "scale = groups.abs().amax(-1, keepdim=True).clamp(min="
TINY = "any small number keeps the scale of a group of zeros from being one"
TWICE = "the axis holds one number, or the same number twice"

TOTALS = "return (rests[0].sum().item(), rests[1].sum().item(), chance.item())  ->  "
BOTH, FLIPPED = "('cycle', 'degenerate')", "('degenerate', 'cycle')"
ENDED = (
    f"rests = torch.tensor([[sum((ended(design, gain, seed) in {BOTH} for gain in gains)) "
    "for seed in seeds] for design in (first, second)])"
)
JACOBIAN = "jacobian = torch.autograd.functional.jacobian(step, point, vectorize=True)"
POINT = "point = measure.stability.solve(step, start, 'broyden', 1e-09, 600).point"
FASTER = "the same matrix, a row at a time"
SOLVED = "the solver comes to the same point, far within these limits"

# exercise -> {"old line  ->  new line": why it is right as well}
EQUIVALENT: dict[str, dict[str, str]] = {
    "01.2": {
        "for _ in range(loops):  ->  for _ in reversed(range(loops)):": COUNTS,
        "return torch.stack(ends)  ->  return ends": KIND,
    },
    "01.3": {
        "weights = {id(weight): weight for module in stack for weight in module.parameters()}"
        "  ->  "
        "weights = {weight: weight for module in stack for weight in module.parameters()}": (
            "tensors are told apart by their identity in a dictionary too"
        ),
    },
    "01.4": {
        "return torch.stack(torch.autograd.grad(loss(z), copies))"
        "  ->  return torch.autograd.grad(loss(z), copies)": KIND,
        "copies = [weight.detach().clone().requires_grad_() for _ in range(loops)]"
        "  ->  copies = [weight.detach().requires_grad_() for _ in range(loops)]": (
            "a detached view is a leaf of its own, and nothing is written into it"
        ),
        "copies = [weight.detach().clone().requires_grad_() for _ in range(loops)]"
        "  ->  copies = [weight.clone().requires_grad_() for _ in range(loops)]": (
            "a copy that hangs on the weight has a gradient of its own all the same"
        ),
    },
    "01.5": {
        "return (a - b).norm(dim=-1) / ((a.norm(dim=-1) + b.norm(dim=-1)) / 2)"
        "  ->  return (b - a).norm(dim=-1) / ((a.norm(dim=-1) + b.norm(dim=-1)) / 2)": SIGN,
    },
    "02.3": {
        f"{SHARES}return [right[depth == d].float().mean() for d in range(int(depth.max()) + 1)]": (
            KIND
        ),
        f"{SHARES}return torch.stack([right[depth == d].float().mean() "
        "for d in range(depth.max() + 1)])": "range takes a tensor with one whole number",
    },
    "02.5": {
        "return ((last - before).norm(dim=-1) / last.norm(dim=-1)).mean()"
        "  ->  return ((before - last).norm(dim=-1) / last.norm(dim=-1)).mean()": SIGN,
    },
    "02.6": STEP,
    "02.7": STEP,
    "03.1": {
        "return (states[1:] - states[:-1]).norm(dim=-1)"
        "  ->  return (states[:-1] - states[1:]).norm(dim=-1)": SIGN,
    },
    "03.2": {
        "return (states - states[limit - 1]).norm(dim=-1)"
        "  ->  return (states[limit - 1] - states).norm(dim=-1)": SIGN,
    },
    "03.3": {
        "return (path - mean) @ axes.T  ->  return (mean - path) @ axes.T": (
            "the signs of components are arbitrary"
        ),
        "axes = torch.linalg.svd(flat - mean, full_matrices=False)[2][:2]"
        "  ->  axes = torch.linalg.svd(mean - flat, full_matrices=False)[2][:2]": (
            "the singular vectors are the same"
        ),
        "axes = torch.linalg.svd(flat - mean, full_matrices=False)[2][:2]"
        "  ->  axes = torch.linalg.svd(flat - mean)[2][:2]": (
            "more singular vectors than are used"
        ),
        "axes = torch.linalg.svd(flat - mean, full_matrices=False)[2][:2]"
        "  ->  axes = torch.linalg.svd(flat - mean, full_matrices=True)[2][:2]": (
            "more singular vectors than are used"
        ),
    },
    "03.5": {
        "distance = (ends[:, None] - ends[None]).norm(dim=-1)"
        "  ->  distance = (ends[None] - ends[:, None]).norm(dim=-1)": SIGN,
        "return distance.amax((0, 1)) / ends.norm(dim=-1).mean(0)"
        "  ->  return distance.amax((1, 0)) / ends.norm(dim=-1).mean(0)": (
            "the largest over both axes, in whatever order they are named"
        ),
    },
    "03.6": {
        f"(a line earlier or later)  ->  {AWAY}": EARLIER,
        f"(a line earlier or later)  ->  {APART}": EARLIER,
        "for _ in range(loops):  ->  for _ in reversed(range(loops)):": COUNTS,
        f"{RESTS}  ->  rests = steps[-1].max() < 0.0001": KIND,
        f"{RESTS}  ->  rests = bool(steps[-1].max() <= 0.0001)": EDGE,
        f"{AWAY}  ->  {AWAY.replace('>', '>=')}": EDGE,
        f"{AWAY}  ->  {AWAY.replace('states - ends', 'ends - states')}": SIGN,
        f"{AWAY}  ->  {AWAY.replace('size[-1]', 'size[-2]')}": SETTLED,
        f"{AWAY}  ->  {AWAY.replace('size[-1]', 'size[-1 - 1]')}": SETTLED,
        f"{APART}  ->  {APART.replace('.amax((0, 1))', '')}": "the largest is taken at the end",
        f"{APART}  ->  {APART.replace('(0, 1)', '(1, 0)')}": "two axes, in whatever order",
        f"{APART}  ->  {APART.replace(PAIRS, 'ends[None] - ends[:, None]')}": SIGN,
        f"{STEPS}  ->  {STEPS.replace('states[1:] - states[:-1]', 'states[:-1] - states[1:]')}": (
            SIGN
        ),
        "loop = int(away.max()) + 2 if len(away) else 1"
        "  ->  loop = away.max() + 2 if len(away) else 1": KIND,
        f"{REPORT}  ->  {REPORT.replace('.mean(1)).item()', '.mean(1))')}": KIND,
        f"{REPORT}  ->  {REPORT.replace('apart.max().item()', 'apart.max()')}": KIND,
    },
    "04.1": {
        "return (a - b).flatten(-2).norm(dim=-1)"
        "  ->  return (b - a).flatten(-2).norm(dim=-1)": SIGN,
    },
    "04.2": {
        "moved = patterns - patterns[-1]  ->  moved = patterns[-1] - patterns": SIGN,
        "square = moved.square().sum(-1)  ->  square = moved.square().sum(1)": (
            "the patterns have two axes"
        ),
        "moved = patterns - patterns[-1]  ->  moved = patterns - patterns[-1 - 1]": (
            "any late pattern will do as the zero to count from"
        ),
        "moved = patterns - patterns[-1]  ->  moved = patterns - patterns[-2]": (
            "any late pattern will do as the zero to count from"
        ),
    },
    "04.3": {
        "(a line earlier or later)  ->  "
        "not_itself = ~torch.eye(len(distances), dtype=torch.bool)": EARLIER,
        "return (distances[same & not_itself].mean() / distances[~same].mean()).item()"
        "  ->  return distances[same & not_itself].mean() / distances[~same].mean()": KIND,
    },
    "04.4": {
        "return (0.5 * 2 * largest * kappa / head_width ** 0.5 * (after - before).norm()).item()"
        "  ->  "
        "return 0.5 * 2 * largest * kappa / head_width ** 0.5 * (after - before).norm()": KIND,
        "largest = max(before.norm(), after.norm())"
        "  ->  largest = max(after.norm(), before.norm())": "the larger of two in any order",
        "return (0.5 * 2 * largest * kappa / head_width ** 0.5 * (after - before).norm()).item()"
        "  ->  "
        "return (largest * kappa / head_width ** 0.5 * (after - before).norm()).item()": (
            "half of two is one"
        ),
        "return (0.5 * 2 * largest * kappa / head_width ** 0.5 * (after - before).norm()).item()"
        "  ->  "
        "return (0.5 * 2 * largest * kappa / head_width ** 0.5 * (before - after).norm()).item()": (
            SIGN
        ),
    },
    "04.5": {"(a line earlier or later)  ->  kept = {}": EARLIER},
    "04.6": {
        "(a line earlier or later)  ->  "
        "node = torch.arange(parents.shape[1]).expand_as(parents)": EARLIER,
        "(a line earlier or later)  ->  has = torch.ones_like(parents, dtype=torch.bool)": EARLIER,
        "(a line earlier or later)  ->  looks = []": EARLIER,
        "(a line earlier or later)  ->  above = parents.gather(1, node)": EARLIER,
        "for _ in range(most + 1):  ->  for _ in reversed(range(most + 1)):": COUNTS,
        "index = node[..., None].expand(*weights.shape[:-1], 1)"
        "  ->  index = node[..., None].expand(*weights.shape[:-1], 2)": TWICE,
        "weight = weights.gather(-1, index)[..., 0]"
        "  ->  weight = weights.gather(-1, index)[..., -1]": TWICE,
    },
    "05.2": {
        "(a line earlier or later)  ->  points = F.normalize(states[-1], dim=-1)": EARLIER,
        "(a line earlier or later)  ->  "
        "late = F.normalize(ends[-(len(ends) // 4):], dim=-1)": EARLIER,
        "if cosine.mean() > 0.999:  ->  if cosine.mean() >= 0.999:": EDGE,
        "if not states.isfinite().all() or growth > 100:"
        "  ->  if not states.isfinite().all() or growth >= 100:": EDGE,
        "moved = (late - late[-1]).norm(dim=-1).amax(0)"
        "  ->  moved = (late[-1] - late).norm(dim=-1).amax(0)": SIGN,
        "return 'cycle' if (moved < 0.01).float().mean() >= 0.9 else 'moving'"
        "  ->  return 'cycle' if (moved <= 0.01).float().mean() >= 0.9 else 'moving'": EDGE,
    },
    "05.3": {
        "for _ in range(products):  ->  for _ in reversed(range(products)):": COUNTS,
        "for _ in range(products):  ->  for _ in range(products + 1):": (
            "one product more, for who counts them from the first vector: allowed"
        ),
    },
    "05.4": {
        "for _ in range(loops):  ->  for _ in reversed(range(loops)):": COUNTS,
        "(a line earlier or later)  ->  "
        "state, nudge = (end, moved * (apart / moved.norm()))": EARLIER,
        "moved = step(state + nudge) - end  ->  moved = end - step(state + nudge)": (
            "the neighbour changes sides, and its distance grows alike"
        ),
        "moved = step(state + nudge) - end  ->  moved = step(state - nudge) - end": (
            "the neighbour is on the other side, and its distance grows alike"
        ),
    },
    "05.6": {
        "(a line earlier or later)  ->  "
        "signs = torch.tensor(list(product((1, -1), repeat=len(seeds))))": EARLIER,
        "lead = rests[0] - rests[1]  ->  lead = rests[1] - rests[0]": (
            "how far apart two totals are does not know which comes first"
        ),
        f"{TOTALS}return (rests[0].sum(), rests[1].sum().item(), chance.item())": KIND,
        f"{TOTALS}return (rests[0].sum().item(), rests[1].sum(), chance.item())": KIND,
        f"{TOTALS}return (rests[0].sum().item(), rests[1].sum().item(), chance)": KIND,
        "apart = (signs * lead).sum(-1).abs()  ->  apart = (signs * lead).sum(1).abs()": (
            "the table of swaps has two axes"
        ),
        "signs = torch.tensor(list(product((1, -1), repeat=len(seeds))))"
        "  ->  signs = torch.tensor(list(product((-1, 1), repeat=len(seeds))))": (
            "all ways to swap, in another order"
        ),
        f"{ENDED}  ->  {ENDED.replace(BOTH, FLIPPED)}": "two words, in whatever order",
    },
    "05.7": {
        f"(a line earlier or later)  ->  {JACOBIAN}": EARLIER,
        "(a line earlier or later)  ->  limits = 2 * away.real / away.abs().square()": EARLIER,
        f"{JACOBIAN}  ->  {JACOBIAN.replace(', vectorize=True', '')}": FASTER,
        f"{JACOBIAN}  ->  {JACOBIAN.replace('True', 'False')}": FASTER,
        f"{POINT}  ->  {POINT.replace('1e-09', '2e-09')}": SOLVED,
        f"{POINT}  ->  {POINT.replace('1e-09', '5e-10')}": SOLVED,
        f"{POINT}  ->  {POINT.replace('600', '601')}": SOLVED,
        f"{POINT}  ->  {POINT.replace('600', '599')}": SOLVED,
        "return (point, min(1.0, limits.min().item()))"
        "  ->  return (point, min(1.0, limits.min()))": KIND,
        "return (point, min(1.0, limits.min().item()))"
        "  ->  return (point, min(limits.min().item(), 1.0))": "the smaller of two in any order",
        "if (away.real <= 0).any():  ->  if (away.real < 0).any():": EDGE,
    },
    "06.1": {
        "(a line earlier or later)  ->  before = states[-quarter - lag:-lag]": EARLIER,
        "return (now - before).norm(dim=-1).amax(0) <= tolerance * now.norm(dim=-1).mean(0)"
        "  ->  "
        "return (now - before).norm(dim=-1).amax(0) < tolerance * now.norm(dim=-1).mean(0)": EDGE,
        "return (now - before).norm(dim=-1).amax(0) <= tolerance * now.norm(dim=-1).mean(0)"
        "  ->  "
        "return (before - now).norm(dim=-1).amax(0) <= tolerance * now.norm(dim=-1).mean(0)": SIGN,
    },
    "06.3": {
        "steps = states[1:] - states[:-1]  ->  steps = states[:-1] - states[1:]": SIGN,
        "quiet = change < tolerance  ->  quiet = change <= tolerance": EDGE,
        "change = (steps[1:] - steps[:-1]).norm(dim=-1) / states[2:].norm(dim=-1)"
        "  ->  change = (steps[:-1] - steps[1:]).norm(dim=-1) / states[2:].norm(dim=-1)": SIGN,
    },
    "06.4": {
        "(a line earlier or later)  ->  kept = right[exits - 1, torch.arange(len(exits))]": EARLIER,
        "(a line earlier or later)  ->  "
        "spare = (exits - best)[known].float().mean().item()": EARLIER,
        "spare = (exits - best)[known].float().mean().item()"
        "  ->  spare = (exits - best)[known].float().mean()": KIND,
        "return (spare, (known & ~kept).float().mean().item())"
        "  ->  return (spare, (known & ~kept).float().mean())": KIND,
    },
    "06.5": dict.fromkeys(
        (
            "if apart[-1] < 0.01 * apart[0]:  ->  if apart[-1] < 0.01:",
            "if apart[-1] < 0.01 * apart[0]:  ->  if apart[-1] <= 0.01 * apart[0]:",
            "if length[-1] > 1.5 * length[0]:  ->  if length[-1] >= 1.5 * length[0]:",
            "if late.max() < 0.02:  ->  if late.max() < 0.04:",
            "if late.max() < 0.02:  ->  if late.max() < 0.01:",
            "if late.max() < 0.02:  ->  if late.max() <= 0.02:",
            "if (step == 0).all():  ->  if (step == 0).any():",
            "if apart[-1] < 0.01 * apart[0]:  ->  if apart[-1 - 1] < 0.01 * apart[0]:",
            "if apart[-1] < 0.01 * apart[0]:  ->  if apart[-1] < 0.02 * apart[0]:",
            "if apart[-1] < 0.01 * apart[0]:  ->  if apart[-1] < 0.005 * apart[0]:",
            "if apart[-1] < 0.01 * apart[0]:  ->  if apart[-1] < 0.01 / apart[0]:",
            "if length[-1] > 1.5 * length[0]:  ->  if length[-1 - 1] > 1.5 * length[0]:",
            "late = step[-16:]  ->  late = step[16:]",
            "late = step[-16:]  ->  late = step[-16 + 1:]",
            "late = step[-16:]  ->  late = step[-16 - 1:]",
            "return 'reset' if late.min() < 0.05 * late.max() else 'gain'"
            "  ->  return 'reset' if late.min() < 0.05 else 'gain'",
            "return 'reset' if late.min() < 0.05 * late.max() else 'gain'"
            "  ->  return 'reset' if late.min() <= 0.05 * late.max() else 'gain'",
            "if apart[-1] < 0.01 * apart[0]:  ->  if apart[-2] < 0.01 * apart[0]:",
            "if apart[-1] < 0.01 * apart[0]:  ->  if apart[-1] < 0.01 * step[0]:",
            "if apart[-1] < 0.01 * apart[0]:  ->  if apart[-1] < 0.01 * apart[1]:",
            "if length[-1] > 1.5 * length[0]:  ->  if length[-2] > 1.5 * length[0]:",
            "late = step[-16:]  ->  late = step[-17:]",
            "late = step[-16:]  ->  late = step[-15:]",
            "return 'reset' if late.min() < 0.05 * late.max() else 'gain'"
            "  ->  return 'reset' if late.min() < 0.1 * late.max() else 'gain'",
            "return 'reset' if late.min() < 0.05 * late.max() else 'gain'"
            "  ->  return 'reset' if late.min() < 0.025 * late.max() else 'gain'",
            "return 'reset' if late.min() < 0.05 * late.max() else 'gain'"
            "  ->  return 'reset' if late.min() < 0.05 / late.max() else 'gain'",
        ),
        RULE,
    )
    | dict.fromkeys(
        (
            "(a line earlier or later)  ->  if apart[-1] < 0.01 * apart[0]: | return 'no input'",
            "(a line earlier or later)  ->  if length[-1] > 1.5 * length[0]: | return 'no norms'",
            "(a line earlier or later)  ->  late = step[-16:]",
        ),
        EARLIER,
    ),
    "06.6": {
        "(a line earlier or later)  ->  same = (answers[1:] == answers[:-1]).all(-1)": EARLIER,
        "(a line earlier or later)  ->  wet = answers[3:] == 1": EARLIER,
        "loops = len(answers)  ->  loops = len(step)": "all three have as many loops",
        "loops = len(answers)  ->  loops = len(kl)": "all three have as many loops",
        "return torch.minimum(wet_at, calm_at[:, None])"
        "  ->  return torch.minimum(calm_at[:, None], wet_at)": "the smaller of two in any order",
    }
    | dict.fromkeys(
        (
            "calm = same[2:]  ->  calm = same[1:]",
            "calm = same[2:]  ->  calm = same[:]",
            "calm_at = torch.where(calm.any(0), calm.long().argmax(0) + 4, loops)"
            "  ->  calm_at = torch.where(calm.any(0), calm.long().argmax(0) + 5, loops)",
            "wet_at = torch.where(wet.any(0), wet.long().argmax(0) + 4, loops)"
            "  ->  wet_at = torch.where(wet.any(0), wet.long().argmax(0) + 5, loops)",
            "wet = answers[3:] == 1  ->  wet = answers[3:] == 2",
            "wet = answers[3:] == 1  ->  wet = step[3:] == 1",
            "wet = answers[3:] == 1  ->  wet = kl[3:] == 1",
            "wet = answers[3:] == 1  ->  wet = answers[2:] == 1",
            "wet = answers[3:] == 1  ->  wet = answers[:] == 1",
        ),
        OWN,
    ),
    "07.1": {
        f"{COLSUM}patterns.shape[-1])  ->  {COLSUM}patterns.shape[{other}])": "a pattern is square"
        for other in ("-1 - 1", "-2")
    },
    "07.3": {
        "x = states.double()  ->  x = states": (
            "float32 is close enough even beside one very long state"
        ),
        "values = torch.linalg.eigvalsh(x @ x.mT).clamp_min(0)"
        "  ->  values = torch.linalg.eigvalsh(x.mT @ x).clamp_min(0)": (
            "both products have the same eigenvalues but zeros"
        ),
    },
    "07.4": {
        "(a line earlier or later)  ->  likely.append(best.values)": EARLIER,
        f"{LENS}  ->  return (ids, torch.stack(likely))": KIND,
        f"{LENS}  ->  return (torch.stack(ids), likely)": KIND,
        f"{BEST}  ->  best = head(norm(state)).softmax(-1).max(1)": LAST,
        f"{BEST}  ->  best = head(norm(state)).softmax(1).max(-1)": LAST,
    },
    "07.5": {
        "(a line earlier or later)  ->  found = []": EARLIER,
        "return torch.stack(found)  ->  return found": KIND,
        "found.append(value[:, position].norm(dim=-1).mean())"
        "  ->  found.append(value[:, position].norm(dim=1).mean())": LAST,
    },
    "07.6": dict.fromkeys(
        (
            f"{MUTE}  ->  value[:, {where} if {when} else position] = 0"
            for where, when in (
                ("slice(None)", "False"),
                ("slice(None)", "layer is None"),
                ("None", "position is None"),
            )
        ),
        "None as an index gives an axis more, and all of it is set to zero as well",
    ),
    "07.7": {
        "(a line earlier or later)  ->  rates.append(torch.stack(seen).mean())": EARLIER,
        "(a line earlier or later)  ->  losses.append(loss)": EARLIER,
        f"{SWEPT}  ->  return (rates, torch.stack(losses))": KIND,
        f"{SWEPT}  ->  return (torch.stack(rates), losses)": KIND,
        "seen.append(sink_rate(value).mean())  ->  seen.append(sink_rate(value))": (
            "the mean over all of it is taken at the end"
        ),
    },
    "08.1": {
        "(a line earlier or later)  ->  right = tokens[:, 1:].expand(len(logits), -1, -1)": EARLIER,
        "logs = logits[:, :, :-1].log_softmax(-1)  ->  logs = logits[:, :, :].log_softmax(-1)": (
            "gather takes as many tokens as there are to judge, the first ones"
        ),
        "return -logs.gather(-1, right[..., None])[..., 0].mean(-1)"
        "  ->  return -logs.gather(-1, right[..., None])[..., -1].mean(-1)": TWICE,
    },
    "08.2": {
        "(a line earlier or later)  ->  free = max(loops - grad_loops, 0)": EARLIER,
        "for _ in range(free):  ->  for _ in reversed(range(free)):": COUNTS,
        "for _ in range(loops - free):  ->  for _ in reversed(range(loops - free)):": COUNTS,
        "free = max(loops - grad_loops, 0)  ->  free = max(0, loops - grad_loops)": (
            "the larger of two in any order"
        ),
        "return torch.stack(losses)  ->  return losses": KIND,
    },
    "08.3": {
        "for _ in range(new):  ->  for _ in reversed(range(new)):": COUNTS,
        "share = (logits / temperature).softmax(-1)"
        "  ->  share = (logits / temperature).softmax(1)": LAST,
    },
    "08.6": {
        "(a line earlier or later)  ->  entropy = torch.special.entr(exits).sum(0)": EARLIER,
    },
    "09.3": {
        "return torch.diag_embed(keep) + write[..., :, None] * read[..., None, :]  ->  "
        "return torch.diag_embed(keep) + write[:, ..., None] * read[..., None, :]": LAST,
    },
    "09.4": {
        "(a line earlier or later)  ->  pairs = combinations(range(len(states)), 2)": EARLIER,
    },
    "09.5": {
        "(a line earlier or later)  ->  top = 2 ** (bits - 1) - 1": EARLIER,
        "groups = weight.unflatten(-1, (-1, group))"
        "  ->  groups = weight.unflatten(1, (-1, group))": LAST,
        "top = 2 ** (bits - 1) - 1  ->  top = 1 - 2 ** (bits - 1)": (
            "a scale below zero gives the same levels from the other side"
        ),
        f"{SCALE}1e-12) / top  ->  {SCALE}2e-12) / top": TINY,
        f"{SCALE}1e-12) / top  ->  {SCALE}5e-13) / top": TINY,
    },
    "10.1": {
        "for _ in range(loops):  ->  for _ in reversed(range(loops)):": COUNTS,
        "return torch.stack(states)  ->  return states": KIND,
    },
    "10.3": {
        f"{BACK}if ((late - before).norm(dim=-1) < tolerance * late.norm(dim=-1)).all():": EDGE,
        f"{BACK}if ((late - before).norm(dim=1) <= tolerance * late.norm(dim=-1)).all():": LAST,
        f"{BACK}if ((late - before).norm(dim=-1) <= tolerance * late.norm(dim=1)).all():": LAST,
        f"{BACK}if ((before - late).norm(dim=-1) <= tolerance * late.norm(dim=-1)).all():": SIGN,
    },
    "11.3": {
        "return torch.stack([change.diagonal(d, 0, 2).mean() for d in range(nodes)])  ->  "
        "return [change.diagonal(d, 0, 2).mean() for d in range(nodes)]": KIND,
    },
    "11.4": {
        "(a line earlier or later)  ->  x = left[seen].double()": EARLIER,
        "return ((x * y).sum() / (x * x).sum()).exp().item()  ->  "
        "return ((x * y).sum() / (x * x).sum()).exp()": KIND,
    },
    "11.5": {
        "(a line earlier or later)  ->  "
        "short = states[:-1] + share * (states[1:] - states[:-1])": EARLIER,
        "return right(short)[failed].float().mean().item()  ->  "
        "return right(short)[failed].float().mean()": KIND,
    },
    "11.6": {
        "(a line earlier or later)  ->  "
        "if max(ours) - min(control) < least: | return 'no'": "no numbers are both a yes and a no",
    },
}
