"""Typical wrong answers to chapter 06, and the hint each of them should get."""

import torch

from looplab import measure


def last_state_only(states, lag, tolerance=0.01):
    away = (states[-1] - states[-1 - lag]).norm(dim=-1)
    return away <= tolerance * states[-1].norm(dim=-1)


def whole_run(states, lag, tolerance=0.01):
    away = (states[lag:] - states[:-lag]).norm(dim=-1).amax(0)
    return away <= tolerance * states.norm(dim=-1).mean(0)


def no_unit(states, lag, tolerance=0.01):
    quarter = len(states) // 4
    away = (states[-quarter:] - states[-quarter - lag : -lag]).norm(dim=-1).amax(0)
    return away <= tolerance


def one_too_far(states, lag, tolerance=0.01):
    quarter = len(states) // 4
    before = states[-quarter - lag - 1 : -lag - 1]
    away = (states[-quarter:] - before).norm(dim=-1).amax(0)
    return away <= tolerance * states[-quarter:].norm(dim=-1).mean(0)


def any_loop(states, lag, tolerance=0.01):
    quarter = len(states) // 4
    away = (states[-quarter:] - states[-quarter - lag : -lag]).norm(dim=-1).amin(0)
    return away <= tolerance * states[-quarter:].norm(dim=-1).mean(0)


def first_time(right):
    return torch.where(right.any(0), right.long().argmax(0) + 1, 0)


def from_zero(right):
    return measure.lasting_from(right) - 1


def how_often(right):
    return torch.where(right[-1], right.sum(0), 0)


def never_is_the_last(right):
    best = measure.lasting_from(right)
    return torch.where(best == 0, len(right), best)


def small_steps(states, tolerance, patience=2):
    return measure.first_exit(measure.step_signal(states) < tolerance, patience)


def lengths_of_steps(states, tolerance, patience=2):
    lengths = (states[1:] - states[:-1]).norm(dim=-1)
    change = (lengths[1:] - lengths[:-1]).abs() / states[2:].norm(dim=-1)
    head = torch.full((2, *change.shape[1:]), torch.inf)
    return measure.first_exit(torch.cat((head, change)) < tolerance, patience)


def at_once(states, tolerance, patience=2):
    return measure.first_exit(measure.acceleration_signal(states) < tolerance, 1)


def too_early(states, tolerance, patience=2):
    quiet = measure.acceleration_signal(states)[2:] < tolerance
    left = measure.first_exit(quiet, patience)
    return torch.where(left == len(quiet), len(states), left)


def never_is_zero(states, tolerance, patience=2):
    left = measure.first_exit(measure.acceleration_signal(states) < tolerance, patience)
    return torch.where(left == len(states), 0, left)


def acceleration_without_unit(states, tolerance, patience=2):
    size = (states[2:] - 2 * states[1:-1] + states[:-2]).norm(dim=-1)
    head = torch.full((2, *size.shape[1:]), torch.inf)
    return measure.first_exit(torch.cat((head, size)) < tolerance, patience)


def _parts(exits, right):
    best = measure.lasting_from(right)
    known, kept = best > 0, measure.at_exit(right, exits)
    spare = (exits - best)[known].double().mean().item()
    return best, known, kept, spare


def every_wrong_answer(exits, right):
    _, _, kept, spare = _parts(exits, right)
    return spare, (~kept).double().mean().item()


def a_number_of_tokens(exits, right):
    _, known, kept, spare = _parts(exits, right)
    return spare, int((known & ~kept).sum())


def all_tokens_have_an_oracle(exits, right):
    best, known, kept, _ = _parts(exits, right)
    return (exits - best).double().mean().item(), (known & ~kept).double().mean().item()


def no_credit_for_early(exits, right):
    best, known, kept, _ = _parts(exits, right)
    spare = (exits - best)[known].clamp_min(0).double().mean().item()
    return spare, (known & ~kept).double().mean().item()


def row_too_late(exits, right):
    _, known, _, spare = _parts(exits, right)
    index = exits.clamp_max(len(right) - 1)
    kept = right.gather(0, index[None])[0]
    return spare, (known & ~kept).double().mean().item()


def one_number(exits, right):
    return _parts(exits, right)[3]


def settled_is_healthy(step, length, apart):
    if (step == 0).all():
        return "not looped"
    return "healthy" if step[-1] < 0.01 else right_otherwise(step, length, apart)


def right_otherwise(step, length, apart, tall=None):
    if apart[-1] < 0.01:
        return "no input"
    if length[-1] > (tall or 1.5 * length[0]):
        return "no norms"
    late = step[-16:]
    if late.max() < 0.02:
        return "healthy"
    return "reset" if late.min() < 0.05 * late.max() else "gain"


def fixed_length(step, length, apart):
    return "not looped" if (step == 0).all() else right_otherwise(step, length, apart, 10)


def loud_or_quiet(step, length, apart):
    if (step == 0).all():
        return "not looped"
    named = right_otherwise(step, length, apart)
    return "gain" if named == "reset" else named


def small_is_zero(step, length, apart):
    return "not looped" if step[-1] < 1e-5 else right_otherwise(step, length, apart)


def another_name(step, length, apart):
    return "orbit"


def cell_by_cell(step, kl, answers):
    late = torch.arange(1, len(answers) + 1).view(-1, 1, 1) >= 4
    return measure.first_exit((measure.answer_age(answers) > 2) & late)


def last_change(step, kl, answers):
    return measure.lasting_from(answers == answers[-1]).clamp_min(4)


def always_sixteen(step, kl, answers):
    return torch.full_like(answers[0], 16)


def all_mazes_together(step, kl, answers):
    calm = (answers[1:] == answers[:-1]).flatten(1).all(-1)[2:]
    loop = int(calm.long().argmax()) + 4 if calm.any() else len(answers)
    return torch.full_like(answers[0], loop)


def from_loop_two(step, kl, answers):
    same = (answers[1:] == answers[:-1]).all(-1)
    calm = torch.where(same.any(0), same.long().argmax(0) + 2, len(answers))
    wet = torch.where((answers == 1).any(0), (answers == 1).long().argmax(0) + 1, len(answers))
    return torch.minimum(wet, calm[:, None])


# exercise -> [(wrong answer, part of the sentence it should get)]
BANK = {
    "06.1": [
        (last_state_only, "happens to meet"),
        (whole_run, "wanders first"),
        (no_unit, "relative to the length"),
        (one_too_far, "off by one"),
        (lambda states, lag: not whole_run(states, lag).any(), "a tensor is expected"),
    ],
    "06.2": [
        (first_time, "first time the answer is right"),
        (from_zero, "off by one"),
        (how_often, "counted the right loops"),
        (never_is_the_last, "should give 0, and yours gives 5"),
    ],
    "06.3": [
        (small_steps, "where the step is small"),
        (lengths_of_steps, "lengths of steps"),
        (at_once, "two in a row"),
        (too_early, "2 loops too early"),
        (never_is_zero, "not at 0"),
        (acceleration_without_unit, "no unit yet"),
    ],
    "06.4": [
        (every_wrong_answer, "every wrong answer"),
        (a_number_of_tokens, "number of tokens lost"),
        (all_tokens_have_an_oracle, "without an oracle exit"),
        (no_credit_for_early, "left before the oracle"),
        (row_too_late, "off by one"),
        (one_number, "two numbers"),
    ],
    "06.6": [
        (cell_by_cell, "dry before the water came"),
        (last_change, "and not what comes"),
        (always_sixteen, "'always the same' does it with"),
        (all_mazes_together, "the cells of one maze"),
        (from_loop_two, "lets cells go at loop 1; no rule"),
    ],
    "06.5": [
        (settled_is_healthy, "lost their distance"),
        (fixed_length, "a wider model"),
        (loud_or_quiet, "quiet in between"),
        (small_is_zero, "small is not zero"),
        (another_name, "no name of a fault"),
    ],
}
