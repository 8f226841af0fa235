"""`check` never raises in practice mode, says one line, and leaves nothing behind."""

import contextlib
import importlib
import random
import threading
import time

import numpy
import pytest
import torch

from looplab.course.exercises import CheckFailed, check, judge, scoreboard, todo, whose
from looplab.course.exercises import exercise as find
from looplab.course.exercises.solutions import solution


def forever(states):
    while True:
        pass


def swallow(states):
    for _ in range(10**9):
        with contextlib.suppress(Exception):  # as a bare try would
            time.sleep(0.01)


def deep(states):
    return deep(states)


def leave(states):
    raise SystemExit


def loud(states):
    print("hello")
    torch.manual_seed(1)
    random.seed(1)
    numpy.random.seed(1)
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    return (states[1:] - states[:-1]).norm(dim=-1)


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (todo, "03.1 not attempted: step size"),
        (lambda states: todo(), "03.1 not attempted: step size"),
        (lambda states: None, "03.1 not yet: the function returns nothing"),
        (lambda states: 3, "03.1 not yet: a tensor is expected, and this is a int"),
        (lambda states: states[1:, ..., 0] * torch.nan, "03.1 not yet: there are NaN"),
        (lambda: 1, "03.1 not yet: TypeError"),
        (lambda states: states.nothing, "03.1 not yet: AttributeError"),
        (5, "03.1 not yet: a function is expected here, and this is a int"),
        (deep, "03.1 not yet: the function calls itself without end"),
        (leave, "03.1 not yet: SystemExit"),
        (loud, "03.1 passed: step size"),
    ],
)
def test_one_line_whatever_the_answer_is(answer, line, capsys):
    before = torch.get_rng_state(), random.getstate(), numpy.random.get_state()[1].tolist()
    given = check("03.1", answer)
    out, err = capsys.readouterr()
    assert out.startswith(line)
    assert out.count("\n") == 1 and not err
    passed = "passed" in line
    assert given is (answer if passed else find("03.1").reference)
    assert whose("03.1") == ("yours" if passed else "looplab's")
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert numpy.random.get_state()[1].tolist() == before[2]
    assert torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize("answer", [forever, swallow])
@pytest.mark.parametrize("main_thread", [True, False])
def test_an_endless_loop_ends(answer, main_thread, monkeypatch):
    monkeypatch.setattr("looplab.course.exercises.judging.SECONDS", 0.5)
    found = []

    def run():
        found.append(judge(find("03.1"), answer))

    if main_thread:
        run()
    else:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join(20)
    assert "never ends" in found[0].mistake


@pytest.mark.parametrize("main_thread", [True, False])
def test_an_import_is_waited_for(main_thread, monkeypatch, tmp_path):
    name = f"a_slow_module_{main_thread}"
    (tmp_path / f"{name}.py").write_text("import time\n\ntime.sleep(1.5)\nready = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("looplab.course.exercises.judging.SECONDS", 0.3)
    found = []

    def imports_first(states):
        assert importlib.import_module(name).ready
        return find("03.1").reference(states)

    def run():
        found.append(judge(find("03.1"), imports_first))

    if main_thread:
        run()
    else:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join(20)
    assert found[0].kind == "passed", found


def test_an_answer_in_another_kind_is_handed_on_in_looplabs():
    def by_numpy(states):
        return numpy.linalg.norm(numpy.diff(states.numpy(), axis=0), axis=-1)

    def in_float64(states):
        return (states.double()[1:] - states[:-1]).norm(dim=-1)

    states = torch.randn(4, 2, 3)
    for answer in (by_numpy, in_float64):
        given = check("03.1", answer)
        assert given.__wrapped__ is answer and whose("03.1") == "yours"
        torch.testing.assert_close(given(states), find("03.1").reference(states))
    given = check("04.3", lambda table, layers: torch.tensor(solution("04.3")(table, layers)))
    assert type(given(torch.rand(6, 6), 2)) is float


def test_strict_mode_raises_and_the_seed_changes_the_inputs(monkeypatch):
    monkeypatch.setenv("LOOPLAB_MODE", "strict")
    with pytest.raises(CheckFailed, match="03.1 not yet"):
        check("03.1", lambda states: None)
    reference = find("03.1").reference
    own = lambda states: reference(states)  # noqa: E731
    assert check("03.1", own) is own
    assert judge(find("03.1"), reference, 1).values != judge(find("03.1"), reference, 2).values


@pytest.mark.parametrize("text", ["a tuple", "unsupported: 'Tensor' and 'tuple'"])
def test_a_mistake_is_not_read_from_what_an_exception_says(text):
    def answer(block, x):
        raise TypeError(text)

    verdict = judge(find("01.1"), answer)
    assert verdict.kind == "error" and text in verdict.mistake


def test_unknown_ids_are_named():
    with pytest.raises(ValueError, match="no exercise '03.9': known are 03.1, 03.2"):
        check("03.9", 1)
    with pytest.raises(ValueError, match="chapter '77' has no exercises"):
        check("77.1", 1)


def test_looplabs_own_answer_does_not_pass_for_the_learners(capsys):
    # What a failed check hands on: running the check's cell again must not pass.
    handed_on = check("03.1", lambda states: None)
    assert check("03.1", handed_on) is handed_on
    assert "not attempted: this is looplab's own answer" in capsys.readouterr().out
    assert whose("03.1") == "looplab's"


def test_notebooks_find_the_course_under_short_names():
    import looplab.exercises
    import looplab.passport
    from looplab import course, exercises, passport

    for name in ("check", "scoreboard", "todo", "whose"):
        assert getattr(exercises, name) is getattr(course.exercises, name)
    for name in ("save", "restore", "read", "merge", "Answer", "PassportError"):
        assert getattr(passport, name) is getattr(course.passport, name)
    assert (looplab.exercises, looplab.passport) == (exercises, passport)


def test_a_solution_is_that_of_the_chapters_source():
    assert solution("03.4") is solution("03.4")
    assert solution("04.2").__name__ == "all_distances"
    assert solution("05.1")(2, 3, 0.0, torch.Generator()).tolist() == [[0.0] * 3] * 2
    assert "looplab's solution of 05.1" in solution("05.1").__code__.co_filename
    for id in ("03.9", "77.1"):
        with pytest.raises(ValueError, match=f"no solution of '{id}'"):
            solution(id)


SOURCE = """# %% id="set-up"
from math import log, sqrt
import this_is_not_there

# %% id="a" role="answer" ex="98.1"
# exercise 98.1
def root(x):
    # --- solution
    return NAME(x)
    # --- stub
    # return todo()  # replace this line
    # --- end


# %% id="b" role="check" ex="98.1"
root = check("98.1", root)
"""


def test_a_solution_gets_the_imports_that_it_names_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr("looplab.course.exercises.solutions.CHAPTERS", tmp_path)
    (tmp_path / "98_x.py").write_text(SOURCE.replace("NAME", "sqrt"))
    found = solution("98.1")
    assert found(4) == 2.0
    assert not {"log", "this_is_not_there"} & set(found.__globals__)
    (tmp_path / "97_x.py").write_text(SOURCE.replace("NAME", "helper").replace("98.1", "97.1"))
    with pytest.raises(ValueError, match="the solution of 97.1 names helper"):
        solution("97.1")


def test_a_solution_builds_on_the_answers_in_front_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr("looplab.course.exercises.solutions.CHAPTERS", tmp_path)
    first = SOURCE.replace("NAME", "sqrt").replace("98", "96")
    later = SOURCE.partition("\n\n")[2].replace("NAME(x)", "root(root(x))").replace("98.1", "96.2")
    later = (
        later.replace("def root", "def again")
        .replace("root =", "again =")
        .replace(", root", ", again")
    )
    (tmp_path / "96_x.py").write_text(first + "\n\n" + later)
    assert solution("96.2")(16) == 2.0
    (tmp_path / "95_x.py").write_text(
        (SOURCE.partition("\n\n")[0] + "\n\n" + later).replace("96", "95")
    )
    with pytest.raises(ValueError, match="the solution of 95.2 names root"):
        solution("95.2")


def test_the_scoreboard_says_whose_code_ran(capsys):
    check("03.1", lambda states: find("03.1").reference(states))
    check("03.2", todo)
    told = repr(scoreboard("03"))
    assert "03.1  step size                        yours" in told
    assert "03.2  distance to the limit            looplab's" in told
