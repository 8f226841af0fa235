"""`looplab doctor` finds what is in the way, names the remedy, and changes nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from looplab.course import doctor


def test_a_machine_that_runs_the_tests_has_no_problem(capsys):
    assert doctor.main([]) == 0
    said = capsys.readouterr().out
    for what in ("python", "packages", "memory", "disk", "widgets", "torch", "session", "browser"):
        assert f" {what} " in said
    assert said.endswith("Nothing in the way.\n")
    doctor.glance()
    assert capsys.readouterr().out == ""


def test_it_changes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    doctor.main([])
    doctor.glance()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("found", [(3, 10), (3, 14)])
def test_another_python_is_a_problem(found):
    finding = doctor.python(found)
    assert finding.level == "problem"
    assert "3.11, 3.12 or 3.13" in finding.remedy


@pytest.fixture
def course(tmp_path):
    """A folder in which a course tests and needs what its two files say."""

    def write(tested, needed):
        (tmp_path / "requirements.txt").write_text("\n".join(tested), encoding="utf-8")
        listed = ", ".join(f'"{one}"' for one in needed)
        text = f"[project]\ndependencies = [{listed}]\n"
        (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
        return list(doctor.packages(tmp_path))

    return write


def test_packages_are_compared_with_ranges_and_with_the_tested_set(course, tmp_path):
    [fine] = course([f"numpy=={doctor._installed('numpy')}"], ["numpy>=2,<3"])
    assert fine.level == "ok"
    [other] = course(["numpy==0.0.1  # arrays"], ["numpy>=2,<3"])
    assert (other.level, "(tested 0.0.1)" in other.told) == ("note", True)
    [extra] = course(["no-such-package==1.0"], [])
    assert (extra.level, "no-such-package" in extra.told) == ("note", True)
    [missing] = course([], ["no-such-package>=1"])
    assert (missing.level, "no-such-package" in missing.told) == ("problem", True)
    [outside] = course([], ["numpy>=99,<100"])
    assert (outside.level, "(looplab needs >=99,<100)" in outside.told) == ("problem", True)
    assert "course.py lab" in outside.remedy
    [nothing] = doctor.packages(tmp_path / "none")
    assert "nothing to compare" in nothing.told


def test_what_colab_has_fits(monkeypatch):
    # The versions of Colab's image in August 2026, which are not the tested ones.
    colab = {
        "torch": "2.11.0",
        "numpy": "2.1.3",
        "matplotlib": "3.10.0",
        "scipy": "1.16.3",
        "ipywidgets": "7.7.1",
        "anywidget": "0.9.21",
        "tqdm": "4.67.1",
        "safetensors": "0.6.2",
        "pillow": "11.3.0",  # a guess; matplotlib needs one as well
    }
    monkeypatch.setattr(doctor, "_installed", lambda name: colab.get(name, "1.0"))
    assert {finding.level for finding in doctor.packages()} == {"note"}


def test_a_missing_torch_is_a_problem(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert doctor.device().level == "problem"


def test_it_runs_where_torch_cannot_be_imported(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('a library is missing')")
    code = "import runpy, sys; sys.argv = ['doctor']; runpy.run_path(sys.path.pop(), "
    code += "run_name='__main__')"
    here = f"import sys; sys.path[:0] = [{str(tmp_path)!r}]; sys.path.append({doctor.__file__!r});"
    done = subprocess.run([sys.executable, "-c", here + code], capture_output=True, text=True)
    assert "torch cannot be imported: a library is missing" in done.stdout, done.stderr
    assert (done.returncode, done.stderr) == (1, "")
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.modules['safetensors'] = None; import looplab"],
        capture_output=True,
        text=True,
    )
    said = done.stderr.splitlines()[-1]
    assert said.startswith("ModuleNotFoundError: looplab needs safetensors, and ")
    assert "course.py doctor" in said


def test_threads_beyond_the_cores_are_told(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "CGROUPS", tmp_path)
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    assert doctor._cores() == 1
    import torch

    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    finding = doctor.device()
    assert (finding.level, "OMP_NUM_THREADS=1" in finding.remedy) == ("note", True)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert doctor._cores() >= 1


@pytest.mark.parametrize(
    ("free", "level"), [(3 * 2**30, "ok"), (3 * 2**29, "note"), (9 * 10**8, "problem")]
)
def test_little_memory(free, level, monkeypatch, capsys):
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("", (), {"available": free}))
    monkeypatch.setattr(doctor, "CGROUPS", Path("/nowhere"))
    finding = doctor.memory()
    assert finding.level == level
    assert (finding.remedy == "") == (level == "ok")
    doctor.glance()
    assert ("memory: 0.8 GB free" in capsys.readouterr().out) == (level == "problem")


def test_a_container_has_less_than_its_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "CGROUPS", tmp_path)
    assert doctor._left_in_container() is None
    for folder, names in (
        (tmp_path / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")),
        (tmp_path, ("memory.max", "memory.current")),  # where both are, this one counts
    ):
        folder.mkdir(exist_ok=True)
        (folder / names[0]).write_text("2000000000\n")
        (folder / names[1]).write_text("1500000000\n")
        (folder / "memory.stat").write_text("anon 5\ninactive_file 100000000\nslab 3\n")
        assert doctor._left_in_container() == 600_000_000
    assert doctor.memory().level == "problem"
    (tmp_path / "memory.max").write_text("max\n")
    assert doctor._left_in_container() is None


def test_a_folder_that_cannot_be_written_to_and_a_full_disk(monkeypatch, tmp_path):
    assert doctor.disk(tmp_path).level == "ok"
    usage = doctor.shutil.disk_usage(tmp_path)
    with monkeypatch.context() as full:
        full.setattr(doctor.shutil, "disk_usage", lambda folder: usage._replace(free=10**6))
        assert doctor.disk(tmp_path).level == "problem"
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    finding = doctor.disk(tmp_path)
    assert finding.level == "problem"
    assert "cannot be written to" in finding.told


def test_jupyterlab_without_its_side_of_the_widgets(monkeypatch, tmp_path):
    assert doctor.widgets().level == "ok"
    monkeypatch.setattr("jupyter_core.paths.jupyter_path", lambda name: [str(tmp_path)])
    finding = doctor.widgets()
    assert (finding.level, "jupyterlab-manager" in finding.told) == ("note", True)
    monkeypatch.setattr(doctor, "_installed", lambda name: None)  # Colab, VS Code: no JupyterLab
    assert doctor.widgets().level == "ok"


@pytest.mark.parametrize(
    ("variable", "place"), [("BINDER_LAUNCH_HOST", "Binder"), ("COLAB_RELEASE_TAG", "Colab")]
)
def test_places_that_forget(variable, place, monkeypatch):
    assert doctor.session().level == "ok"
    monkeypatch.setenv(variable, "x")
    finding = doctor.session()
    assert finding.told.startswith(place)
    assert "passport.save()" in finding.remedy


def test_no_browser(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    monkeypatch.setattr(doctor.webbrowser, "get", lambda: None)
    assert "one to learn in" in doctor.browser().told

    def none():
        raise doctor.webbrowser.Error

    monkeypatch.setattr(doctor.webbrowser, "get", none)
    assert "address that JupyterLab prints" in doctor.browser().remedy


def test_every_finding_that_is_not_ok_has_a_remedy(monkeypatch):
    monkeypatch.setenv("BINDER_LAUNCH_HOST", "x")
    for finding in doctor.examine():
        assert finding.level in ("ok", "note", "problem")
        assert (finding.remedy != "") == (finding.level != "ok")
