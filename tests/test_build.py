"""The builder on a chapter of a few lines, in a course of its own."""

import nbformat
import pytest

from looplab.course import build

SOURCE = '''\
# ---
# jupyter:
#   looplab:
#     chapter: "01"
#     title: Tiny
#     minutes: 5
#     needs: nothing
#     learn: add one
# ---

# %% [markdown] id="title"
# # 01 · Tiny
#
# The [solutions](solved/01_tiny.ipynb) are there.

# %% [markdown] id="only-solved" edition="solved"
# See the [solution](solved/01_tiny.ipynb) below.

# %% id="set-up" tags=["hide"]
def todo():
    print("not attempted")

# %% id="add-answer" role="answer" ex="01.1"
# exercise 01.1
def add_one(n):
    """One more than n."""
    # --- solution
    more = n + 1
    return more
    # --- stub
    # # think first
    # return todo()
    # --- end

class Adder:
    def two(self, n):
        # --- solution
        return n + 2
        # --- stub
        # return todo()
        # --- end

# %% id="add-check" role="check" ex="01.1"
add_one(2)
'''

UNSOLVED = '''\
# exercise 01.1
def add_one(n):
    """One more than n."""
    # think first
    return todo()

class Adder:
    def two(self, n):
        return todo()'''

SOLVED = '''\
# exercise 01.1
def add_one(n):
    """One more than n."""
    more = n + 1
    return more

class Adder:
    def two(self, n):
        return n + 2'''


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course with one chapter; a function that changes its source and gives its path."""
    monkeypatch.setattr(build, "ROOT", tmp_path)
    path = tmp_path / "chapters" / "source" / "01_tiny.py"
    path.parent.mkdir(parents=True)
    (tmp_path / "chapters" / "solved").mkdir()
    readme = "# Course\n<!-- chapters:begin -->\nold\n<!-- chapters:end -->\nThe end.\n"
    (tmp_path / "README.md").write_text(readme, encoding="utf-8")
    citation = "cff-version: 1.2.0\nrepository-code: elsewhere\nlicense: MIT\n"
    (tmp_path / "CITATION.cff").write_text(citation, encoding="utf-8")

    def source(old="", new=""):
        assert old in SOURCE
        path.write_text(SOURCE.replace(old, new) if old else SOURCE, encoding="utf-8")
        return path

    source()
    return source


def built(source):
    """Both editions written without being run, and what is made in other files."""
    for edition in build.EDITIONS:
        build.write(build.normalise(build.make(source, edition)), build.target(source, edition))
    build.refresh()


def cell(notebook, name):
    return next(cell for cell in notebook.cells if cell.id == name)


def edit(path, name, text):
    notebook = nbformat.read(path, as_version=4)
    cell(notebook, name).source = text
    build.write(notebook, path)


def test_each_edition_has_its_own_answer(course):
    unsolved, solved = (build.make(course(), edition) for edition in build.EDITIONS)
    assert cell(unsolved, "add-answer").source == UNSOLVED
    assert cell(solved, "add-answer").source == SOLVED
    assert "---" not in UNSOLVED + SOLVED
    compile(UNSOLVED, "unsolved", "exec")
    assert cell(unsolved, "add-check") == cell(solved, "add-check")


def test_ids_roles_and_tags_come_from_the_source(course):
    for edition in build.EDITIONS:
        notebook = build.make(course(), edition)
        nbformat.validate(notebook)
        names = ["title", "only-solved", "set-up", "add-answer", "add-check"]
        if edition == "unsolved":
            names.remove("only-solved")
        assert [cell.id for cell in notebook.cells] == names
        assert cell(notebook, "add-answer").metadata.looplab == {"role": "answer", "ex": "01.1"}
        assert cell(notebook, "add-check").metadata.looplab == {"role": "check", "ex": "01.1"}
        assert cell(notebook, "set-up").metadata.looplab == {"role": "given"}
        assert cell(notebook, "set-up").metadata.tags == ["hide"]
        assert cell(notebook, "add-check").metadata.tags == ["nbval-check-output"]
        assert cell(notebook, "title").metadata == {}
        about = notebook.metadata.looplab
        assert (about.chapter, about.title, about.edition) == ("01", "Tiny", edition)
        assert about.answers == build.fingerprint(notebook)


def test_links_and_badges_suit_the_edition(course):
    unsolved, solved = (build.make(course(), edition) for edition in build.EDITIONS)
    first = unsolved.cells[0].source
    assert first.startswith("# 01 · Tiny\n\n[![Open in Colab]")
    assert "main/chapters/01_tiny.ipynb" in first
    assert "](solved/01_tiny.ipynb)" in first
    assert "main/chapters/solved/01_tiny.ipynb" in solved.cells[0].source
    assert "[solution](01_tiny.ipynb)" in cell(solved, "only-solved").source
    assert "badge" not in cell(solved, "only-solved").source


def test_the_first_chapter_lists_the_others(course):
    source = course(
        'id="only-solved" edition="solved"\n', 'id="only-solved"\n# <!-- chapters -->\n#\n'
    )
    other = source.with_name("02_small.py")
    text = source.read_text(encoding="utf-8").replace('"01"', '"02"').replace("Tiny", "Small")
    other.write_text(text.replace("# <!-- chapters -->\n", ""), encoding="utf-8")
    listed = cell(build.make(source, "unsolved"), "only-solved").source
    assert listed.startswith("| chapter | you will be able to | minutes |\n|---|---|---|\n")
    assert "\n| [02 Small](02_small.ipynb) | add one | 5 |\n" in listed
    assert "Tiny" not in listed


def test_making_is_repeatable(course):
    assert build.make(course(), "solved") == build.make(course(), "solved")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("#     minutes: 5\n", "", "01_tiny.py: the header needs chapter, title, minutes"),
        (' id="set-up"', "", "cell 2: every cell needs an id of its own"),
        ('id="add-check"', 'id="set-up"', "cell set-up: every cell needs an id of its own"),
        ('id="set-up"', 'id="Set up"', "in a-z, 0-9 and -"),
        ("add_one(2)\n", "add_one(2);\n", "cell add-check: ends in ';'"),
        ("# exercise 01.1", "# exercise 01.2", "starts with '# exercise 01.1'"),
        (
            'id="add-check" role="check" ex="01.1"',
            'id="add-check"',
            r"exercises \['01.1'\] lack an answer or a check",
        ),
        ('role="check" ex="01.1"', 'role="check" ex="01.2"', r"\['01.1', '01.2'\] lack"),
        ('id="set-up"', 'id="begin"', "the cell with the imports has to be called set-up"),
    ],
)
def test_a_malformed_source_is_refused_by_name(course, old, new, says):
    with pytest.raises(build.SourceError, match=says):
        build.make(course(old, new), "unsolved")


@pytest.mark.parametrize("mark", ["solution", "stub", "end"])
@pytest.mark.parametrize("edition", build.EDITIONS)
def test_an_answer_without_one_of_its_marks_is_refused(mark, edition):
    text = (
        "def f():\n    # --- solution\n    return 1\n    # --- stub\n    # return 2\n    # --- end"
    )
    assert build.one_edition(text, edition, "here").startswith("def f():\n    return ")
    torn = text.replace(f"# --- {mark}", "#")
    with pytest.raises(build.SourceError, match="here: no '# --- solution', '# --- stub'"):
        build.one_edition(torn, edition, "here")


@pytest.mark.parametrize("edition", build.EDITIONS)
@pytest.mark.parametrize("lost", [0, 1])
def test_a_mark_forgotten_in_one_of_two_answers_leaks_nothing(lost, edition):
    one = "# --- solution\nreturn 1\n# --- stub\n# return 2\n# --- end\n"
    parts = [one, one]
    parts[lost] = one.replace("# --- end\n", "")
    with pytest.raises(build.SourceError, match="'# --- end' is missing"):
        build.one_edition("".join(parts), edition, "here")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('role="check" ex="01.1"', 'role="chekc" ex="01.1"', "role='chekc' is none of given"),
        ('role="check" ex="01.1"', 'role="check"', "answer and check cells, and only they"),
        ('id="set-up"', 'id="set-up" edition="solvd"', "edition='solvd' is none of unsolved"),
    ],
)
def test_misspelt_metadata_is_refused(course, old, new, says):
    with pytest.raises(build.SourceError, match=says):
        build.make(course(old, new), "unsolved")


def test_a_stub_that_would_run_in_the_source_is_refused(course):
    source = course("    # return todo()\n    # --- end", "    return todo()\n    # --- end")
    with pytest.raises(build.SourceError, match="cell add-answer: stub lines are comments"):
        build.make(source, "unsolved")


def test_a_fresh_build_is_what_its_source_says(course, capsys):
    built(course())
    assert build.main(["--check"]) == 0
    assert "1 chapters are what their sources say" in capsys.readouterr().out
    readme = (build.ROOT / "README.md").read_text(encoding="utf-8")
    assert "| [01 Tiny](chapters/01_tiny.ipynb) | 5 | nothing | add one |" in readme
    assert "old" not in readme
    assert readme.startswith("# Course\n")
    assert readme.endswith("\nThe end.\n")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("not attempted", "try again", ["01_tiny.ipynb, cell set-up: not what the source says"]),
        ("tags=[", "tags=['more', ", ["01_tiny.ipynb, cell set-up: not what the source says"]),
        ('"title"', '"heading"', ["01_tiny.ipynb: cells were added, removed or moved"]),
        ("minutes: 5", "minutes: 6", ["01_tiny.ipynb: metadata", "README.md: not what"]),
    ],
)
def test_an_edited_source_is_noticed(course, capsys, old, new, says):
    built(course())
    course(old.replace("'", '"'), new.replace("'", '"'))
    assert build.main(["--check"]) == 1
    told = capsys.readouterr().out
    for line in says:
        assert line in told
    assert "chapters/solved/01_tiny.ipynb" in told


def test_only_the_edition_whose_answer_changed_is_named(course, capsys):
    built(course())
    course("return n + 2", "return 2 + n")
    assert build.main(["--check", "01"]) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[-1] == "chapters/solved/01_tiny.ipynb, cell add-answer: not what the source says"
    assert all(line.startswith("chapters/solved/01_tiny.ipynb") for line in told)


def test_an_edited_or_missing_notebook_is_noticed(course, capsys):
    built(source := course())
    path = build.target(source, "unsolved")
    edit(path, "set-up", "print('mine')")
    assert build.main(["--check"]) == 1
    told = capsys.readouterr().out
    assert told == "chapters/01_tiny.ipynb, cell set-up: not what the source says\n"
    path.unlink()
    assert build.main(["--check"]) == 1
    assert capsys.readouterr().out == "chapters/01_tiny.ipynb: missing, run looplab build\n"


def test_outputs_are_not_compared(course):
    built(source := course())
    path = build.target(source, "solved")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].outputs = [nbformat.v4.new_output("stream", text="3")]
    build.write(notebook, path)
    assert build.differences(build.make(source, "solved"), path) == []


def test_answers_somebody_wrote_are_not_overwritten(course):
    built(source := course())
    path = build.target(source, "unsolved")
    build.refuse_edited(path)
    build.refuse_edited(path.with_name("not_there.ipynb"))
    edit(path, "set-up", "print('mine')")
    build.refuse_edited(path)  # not an answer
    edit(path, "add-answer", "# exercise 01.1\ndef add_one(n):\n    return n + 1")
    before = path.read_bytes()
    with pytest.raises(SystemExit, match=r"chapters/01_tiny.ipynb holds answers.*--force"):
        build.main(["01"])
    assert path.read_bytes() == before


def test_normalising_leaves_nothing_of_one_run():
    output = nbformat.v4.new_output
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "0"}, "text/plain": "view"}
    outputs = [
        output("stream", name="stderr", text="50 %"),
        output("stream", name="stdout", text="done"),
        output("display_data", data=view),
        output("execute_result", data={"text/plain": "3"}, execution_count=17),
    ]
    cells = [
        nbformat.v4.new_markdown_cell("# Title"),
        nbformat.v4.new_code_cell("1", execution_count=9),
        nbformat.v4.new_code_cell("2", execution_count=17, outputs=outputs),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"widgets": {"state": {}}})
    notebook.metadata.language_info = {"name": "python", "version": "3.12.3"}
    once = build.normalise(notebook)
    nbformat.validate(once)
    assert once.metadata == {"language_info": {"name": "python"}}
    assert [cell.get("execution_count") for cell in once.cells] == [None, 1, 2]
    stdout, display, result = once.cells[2].outputs
    assert stdout.text == "done"
    assert display.data == {"text/plain": "view"}
    assert result.execution_count == 2
    text = nbformat.writes(once)
    assert nbformat.writes(build.normalise(once)) == text


def test_a_notebook_too_large_is_not_written(course):
    source = course()
    notebook, path = build.make(source, "solved"), build.target(source, "solved")
    notebook.cells[-1].outputs = [nbformat.v4.new_output("stream", text="x" * build.MAX_BYTES)]
    with pytest.raises(SystemExit, match="01_tiny.ipynb has 40. KB, more than 400"):
        build.write(notebook, path)
    assert not path.exists()


def test_an_unknown_chapter_says_which_are_known(course):
    with pytest.raises(SystemExit, match="no chapter '07': known are 01"):
        build.main(["07"])


def test_a_build_runs_both_editions(course, capsys):
    source = course()
    assert build.main([]) == 0
    assert build.main(["--check"]) == 0, capsys.readouterr().out
    unsolved, solved = (
        nbformat.read(build.target(source, edition), as_version=4) for edition in build.EDITIONS
    )
    assert cell(unsolved, "add-check").outputs[0].text == "not attempted\n"
    assert cell(solved, "add-check").outputs[0].data == {"text/plain": "3"}
    assert [cell.execution_count for cell in solved.cells if cell.cell_type == "code"] == [1, 2, 3]
