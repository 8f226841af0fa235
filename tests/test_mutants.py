"""No check lets a mutant of its own solution pass, and none refuses what is right in another way.

Here every mutant is tried with one seed or two; `python tests/mutants.py` tries ten.
"""

import pytest
from equivalent_mutants import EQUIVALENT, SKIPPED
from mutants import mutants, passes, taken
from right_answers import KINDS, RIGHT, TENSORS, in_kind
from wrong_answers import once_passed

from looplab.course.exercises import exercise, judge

# Long checks: one seed, of three that take turns.
FEW = ("02.6", "02.7", "03.6", "04.5", "05.2", "05.4", "06.1", "06.3", "06.5", "06.6")
ONCE_PASSED = [(id, answer, hint) for id, rows in once_passed.BANK.items() for answer, hint in rows]
OTHERS = [(id, answer) for id, answers in RIGHT.items() for answer in answers]


def seeds(id: str, number: int) -> tuple[int, ...]:
    return (number % 3,) if id in FEW else (number % 10, (number + 5) % 10)


@pytest.mark.parametrize("id", taken())
def test_every_mutant_fails_unless_it_is_listed_with_a_reason(id):
    listed, every = EQUIVALENT.get(id, {}), mutants(id)
    assert len(every) >= 7
    assert not listed.keys() - {mutant.line for mutant in every}, "listed, and no mutant"
    for number, mutant in enumerate(every):
        passed = [passes(id, mutant, seed) for seed in seeds(id, number)]
        if mutant.line in listed:
            assert all(passed), f"listed, and fails: {mutant.line}"
        else:
            assert not any(passed), f"passes: {mutant.line}"


def test_what_is_listed_or_skipped_is_there_and_has_a_reason():
    for id in (*EQUIVALENT, *SKIPPED):
        assert exercise(id)
    assert all(SKIPPED.values())
    assert all(reason for rows in EQUIVALENT.values() for reason in rows.values())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("id", taken())
def test_a_right_answer_passes_in_every_kind(id, kind):
    if id in TENSORS and kind in ("NumPy", "lists"):
        pytest.skip("a gradient is asked for, which only tensors carry")
    if (id, kind) == ("05.7", "bfloat16"):
        pytest.skip("a fixed point in two digits is none")
    task = exercise(id)
    verdict = judge(task, in_kind(task.reference, kind), 1)
    assert verdict.kind == "passed", verdict


@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")  # torch.func's own
@pytest.mark.parametrize(("id", "answer"), OTHERS)
@pytest.mark.parametrize("seed", (0, 3))
def test_another_right_answer_passes(id, answer, seed):
    verdict = judge(exercise(id), answer, seed)
    assert verdict.kind == "passed", verdict


@pytest.mark.parametrize(("id", "answer", "hint"), ONCE_PASSED)
@pytest.mark.parametrize("seed", (0, 3))
def test_a_wrong_answer_that_once_passed_is_named(id, answer, hint, seed):
    verdict = judge(exercise(id), answer, seed)
    assert verdict.kind == "not yet", verdict
    assert hint in verdict.mistake
