"""`looplab doctor` finds what is in the way, names the remedy, and changes nothing."""

import sys

import pytest

from looplab import doctor


def test_a_machine_that_runs_the_tests_has_no_problem(capsys):
    assert doctor.main([]) == 0
    said = capsys.readouterr().out
    for what in ("python", "packages", "torch", "memory", "disk", "widgets", "browser"):
        assert what in said
    assert said.endswith("Nothing in the way.\n")


@pytest.mark.parametrize("found", [(3, 10), (3, 14)])
def test_another_python_is_a_problem(found):
    finding = doctor.python(found)
    assert finding.level == "problem"
    assert "3.11, 3.12 or 3.13" in finding.remedy


def test_packages_are_compared_with_the_tested_set(tmp_path):
    file = tmp_path / "requirements.txt"
    file.write_text("numpy==0.0.1  # arrays\nno-such-package==1.0\n")
    missing, other = doctor.packages(file)
    assert (missing.level, other.level) == ("note", "note")
    assert "no-such-package" in missing.told
    assert "(tested 0.0.1)" in other.told
    [nothing] = doctor.packages(tmp_path / "none.txt")
    assert "nothing to compare" in nothing.told


def test_a_missing_torch_is_a_problem(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert doctor.device().level == "problem"


def test_little_memory_and_a_folder_that_cannot_be_written(monkeypatch, tmp_path):
    assert doctor.memory(10**9).remedy
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    finding = doctor.disk(tmp_path)
    assert finding.level == "problem"
    assert "cannot be written to" in finding.told


def test_every_finding_that_is_not_ok_has_a_remedy_or_is_only_a_note():
    for finding in doctor.examine():
        assert finding.level in ("ok", "note") or finding.remedy
