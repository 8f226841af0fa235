"""What a teacher gets of a class: reports that are added to, tables, feedback, a page.

No notebook is run here: the marks are what the cells of tiny notebooks say.
"""

import csv
import json
import re

import nbformat
import pytest

from looplab.course.exercises import exercise, judge
from looplab.course.exercises.probing import Elsewhere
from looplab.course.grading import Report, Row, command
from looplab.course.grading.cells import guarded
from looplab.course.grading.class_list import match, read_class_list
from looplab.course.grading.grader_end import as_error
from looplab.course.grading.marking import mark
from looplab.course.grading.mistakes import named
from looplab.course.grading.points import Worth, reached, read_rubric, total
from looplab.course.grading.report import remark, summary, write_csv
from looplab.course.grading.running import Ran
from looplab.course.grading.students import Student, Whose

OFF = "off by one: recurrence 4 has index 3, as Python counts from 0"
LAST = "you measured from the last state: the limit is an argument, use it"


def notebook(*marks, chapter="03", student=""):
    """Bytes of a notebook whose cells are marks such as "passed" or "not yet: why"."""
    cells = [
        nbformat.v4.new_code_cell(f"# exercise {chapter}.{n}\n{mark}", id=f"cell-{n}")
        for n, mark in enumerate(marks, 1)
    ]
    if student:
        cells.append(nbformat.v4.new_markdown_cell(f"# Student: {student}"))
    return json.dumps(nbformat.v4.new_notebook(cells=cells)).encode()


def lay(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def marked(file):
    """The report that such a notebook asks for."""
    rows = []
    for cell in json.loads(file.read_bytes())["cells"]:
        if found := re.fullmatch(r"# exercise (\S+)\n([\w ]+)(?:: (.*))?", "".join(cell["source"])):
            rows.append(Row(found[1], found[2], found[3] or ""))
    return Report(str(file), "", rows[0].exercise[:2], tuple(rows))


@pytest.fixture
def grade(monkeypatch, capsys):
    """Runs the command; returns what it said, and which files it graded."""

    def run(*options, status=0):
        graded = []

        def grades(files, seed, jobs, **others):
            for file in files:
                graded.append(file.name)
                yield file, marked(file), ""

        monkeypatch.setattr(command, "grade_all", grades)
        if status == 2:
            with pytest.raises(SystemExit) as stopped:
                command.main([str(one) for one in options])
            assert stopped.value.code == 2
            return capsys.readouterr().err, graded
        assert command.main([str(one) for one in options]) == status
        return capsys.readouterr().out, graded

    return run


@pytest.fixture
def room(tmp_path, monkeypatch):
    folder = tmp_path / "class"
    lay(
        folder,
        {
            "ada/03_watch.ipynb": notebook("passed", "passed"),
            "ben/03_watch.ipynb": notebook("passed", f"not yet: {OFF}"),
            "cy/03_watch.ipynb": notebook("not attempted", f"not yet: {LAST}"),
        },
    )
    monkeypatch.chdir(tmp_path)
    return folder


def table(path, key="student"):
    with open(path, newline="", encoding="utf-8-sig") as file:
        return {line[key]: line for line in csv.DictReader(file)}


def people(path):
    return {one["student"]: one["points"] for one in json.loads(path.read_text())["submissions"]}


# Ways to name the late student's work, and where the command is run.
LATE = [
    (".", "class/cy"),
    (".", "class/cy/03_watch.ipynb"),
    ("class", "cy/03_watch.ipynb"),
    ("class/cy", "03_watch.ipynb"),
    ("class/ada", "../cy/../cy/03_watch.ipynb"),
]


@pytest.mark.parametrize(("place", "typed"), LATE)
def test_a_late_student_graded_again_leaves_the_class_as_it_is(
    room, grade, monkeypatch, place, typed
):
    out = [
        f"--{kind}={room.parent / name}" for kind, name in (("json", "r.json"), ("csv", "g.csv"))
    ]
    grade("class", *out)
    lay(room, {"cy/03_watch.ipynb": notebook("passed", "passed", "passed")})
    monkeypatch.chdir(room.parent / place)
    said, graded = grade(typed, *out)
    assert graded == ["03_watch.ipynb"]
    assert people(room.parent / "r.json") == {"ada": 2, "ben": 1, "cy": 3}
    rows = table(room.parent / "g.csv")
    assert {name: row["points"] for name, row in rows.items()} == {
        "ada": "2",
        "ben": "1",
        "cy": "3",
    }
    assert "(cy): 0 of 2, now 3 of 3" in said and "kept: 2 submissions" in said
    said, graded = grade(room, *out)  # the whole class again, typed in full: nothing to do
    assert graded == [] and "3 of 3 are in" in said


@pytest.mark.parametrize("typed", ["class/cy", "class/cy/03_watch.ipynb"])
def test_a_gradebook_alone_keeps_the_class_too(room, grade, typed):
    grade("class", "--csv", "g.csv")
    before = table(room.parent / "g.csv")
    lay(room, {"cy/03_watch.ipynb": notebook("passed", "passed", "passed")})
    said, _ = grade(typed, "--csv", "g.csv")
    rows = table(room.parent / "g.csv")
    assert rows["ada"] == before["ada"] | {"03.3": ""} and rows["cy"]["points"] == "3"
    assert "(cy): 0 of 2, now 3 of 3" in said and "kept: 2 submissions" in said


def test_a_late_student_of_another_chapter_adds_to_the_class(room, grade):
    grade("class", "--json", "r.json", "--csv", "g.csv", "--book", "b.csv")
    lay(room, {"cy/05_what.ipynb": notebook("passed", chapter="05")})
    grade("class/cy/05_what.ipynb", "--json", "r.json", "--csv", "g.csv", "--book", "b.csv")
    cy = table(room.parent / "b.csv")["cy"]
    assert (cy["chapter 03"], cy["chapter 05"], cy["points"], cy["out of"]) == ("0", "1", "1", "3")
    with open(room.parent / "g.csv", encoding="utf-8-sig") as file:
        assert len(list(csv.reader(file))) == 5


def test_what_left_the_folder_leaves_the_report_and_what_moved_is_known(room, grade):
    grade("class", "--json", "class/r.json")
    (room / "ben" / "03_watch.ipynb").unlink()
    said, graded = grade("class", "--json", "class/r.json")
    assert graded == [] and "taken out: ben/03_watch.ipynb" in said
    moved = room.rename(room.parent / "moved")
    said, graded = grade("moved", "--json", "moved/r.json")
    assert graded == [] and people(moved / "r.json") == {"ada": 2, "cy": 0}


def test_a_report_of_before_is_still_read(room, grade):
    grade("class", "--json", "r.json")
    report = json.loads((room.parent / "r.json").read_text())
    course = {one["chapter"]: one["course"] for one in report["submissions"]}
    old = ("file", "student", "chapter", "rows", "problem", "sha256")
    told = [{key: one[key] for key in old} for one in report["submissions"]]
    (room.parent / "r.json").write_text(
        json.dumps({"seed": 0, "course": course, "submissions": told})
    )
    _, graded = grade("class", "--json", "r.json")
    assert graded == []


OTHERS = {
    "ada.ipynb": notebook("passed"),
    "mine.csv": b"student,mark\nada,1\n",
    "more.csv": b"student,file,chapter,03.1,my note,points,out of,remarks\n",
    "semicolons.csv": b"student;file;chapter;points;out of;remarks\n",
    "notes.txt": b"dear diary",
    "latin.csv": "Müller".encode("latin-1"),
}
KINDS = ("json", "csv", "book", "moodle", "canvas", "page")


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("kind", KINDS)
def test_no_file_of_others_is_overwritten(room, grade, kind, name):
    lay(room.parent, {name: OTHERS[name]})
    said, graded = grade(f"--{kind}", name, "class", status=2)
    assert name in said and "name another file" in said and graded == []
    assert (room.parent / name).read_bytes() == OTHERS[name]


def test_files_that_a_shell_named_by_accident_stay(room, grade):
    lay(room, {"a.ipynb": notebook("passed"), "b.ipynb": notebook("passed")})
    before = (room / "a.ipynb").read_bytes()
    grade("--csv", *sorted(room.glob("*.ipynb")), status=2)
    assert (room / "a.ipynb").read_bytes() == before
    said, _ = grade("class", "--csv", "x.csv", "--book", "x.csv", status=2)
    assert "two things" in said
    grade("class", "--json", "r.json", "--book", "b.csv", "--page", "p.html")
    for option, name in (("--book", "b.csv"), ("--page", "p.html")):
        said, _ = grade("class/ada", option, name, status=2)  # the others would be lost
        assert "add --json" in said


CELLS = [
    *("007", "1e5", "O'Neil, Ada", 'a "b"', "=cmd|' /C calc'!A0", "-5", "@x", "ünï", "+49"),
    *("Ada;=1+1", "Ada; =1", 'Ada;"=1"', "＝1+1", "Ada;＝1", "＋1", "＠x", "－1", " =1", "\t=1"),
    *("Ada\t=1", "Ada\n=1", "Ada\r\n@x", "\n+1", "Ada\u2028=1", "a;b", "x\ty", "\ufeff=1"),
]
RUN = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_no_spreadsheet_finds_a_formula_whatever_it_takes_for_a_separator(tmp_path, separator):
    rows = [Row("03.1", "error", cell, "exception") for cell in CELLS]
    reports = [Report(cell, cell, "03", (row,)) for cell, row in zip(CELLS, rows, strict=True)]
    write_csv(tmp_path / "g.csv", reports, {})
    with open(tmp_path / "g.csv", newline="", encoding="utf-8-sig") as file:
        found = list(csv.reader(file, delimiter=separator))
    assert len(found) == len(CELLS) + 1  # a newline in a name begins no row
    for cell in (cell for row in found for cell in row):
        assert not cell.lstrip(' "\ufeff').startswith(RUN), cell
    assert guarded("007") == "007" and guarded("a;b") == "a;b" and guarded("x\ty") == "x y"


LISTS = {
    "plain": "id,name,e-mail\n1,Ada Lovelace,ada@x.org\n2,Ben Ng,ben.n@x.org\n",
    "semicolons": "Name;Matrikelnummer;E-Mail\nLovelace, Ada;1;ada@x.org\nNg, Ben;2;ben.n@x.org\n",
    "Moodle": (
        "Identifier,Full name,ID number,Email address,Status\n"
        "Participant 77,Ada Lovelace,1,ada@x.org,\nParticipant 78,Ben Ng,2,ben.n@x.org,\n"
    ),
    "Canvas": (
        "Student,ID,SIS User ID,SIS Login ID,Section\n    Points Possible,,,,\n"
        '"Lovelace, Ada",77,1,ada,A\n"Ng, Ben",78,2,ben,A\n"Student, Test",79,,x,A\n'
    ),
    "two names": "First name\tSurname\tStudent ID\nAda\tLovelace\t1\nBen\tNg\t2\n",
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", LISTS)
def test_class_lists_of_any_reasonable_heading_are_read(tmp_path, name, encoding):
    (tmp_path / "list.csv").write_text(LISTS[name], encoding=encoding)
    students = read_class_list(tmp_path / "list.csv")
    assert [one.id for one in students] == ["1", "2"]
    assert [sorted(re.findall(r"\w+", one.name)) for one in students] == [
        ["Ada", "Lovelace"],
        ["Ben", "Ng"],
    ]
    assert [one.number for one in students] == ["77", "78"] or name not in ("Moodle", "Canvas")


@pytest.mark.parametrize("text", ["", "x,y\n1,2\n", "name,id\n", "Ada,1\nBen,2\n"])
def test_what_is_no_class_list_says_so(room, grade, text):
    lay(room.parent, {"list.csv": text.encode()})
    said, _ = grade("class", "--class-list", "list.csv", status=2)
    assert "is no class list" in said
    said, _ = grade("class", "--class-list", "none.csv", status=2)
    assert "none.csv cannot be opened" in said


CLASS = (
    Student("Ada Lovelace", "1", "ada@x.org"),
    Student("Eva Müller-Lüdenscheidt", "2", "eml@x.org"),
    Student("Wei Chen", "3", "wchen@x.org"),
    Student("Li Chen", "004", "lchen@x.org", "99"),
    Student("José Ñandú", "5", "j.nandu@x.org"),
)
SPELLED = {
    **{name: "1" for name in ("ada lovelace", "Lovelace, Ada", "lovelaceada", "ADA", "ada@X.org")},
    **{name: "2" for name in ("mueller-luedenscheidt, eva", "Eva Muller Ludenscheidt", "eml")},
    **{name: "3" for name in ("chenwei", "Wei", "wchen", "3")},
    **{name: "5" for name in ("Jose\u0301 N\u0303andu\u0301", "jose nandu", "JNANDU")},
    **{name: "004" for name in ("004", "Li_Chen")},
    **{name: "" for name in ("Chen", "4", "Zoe", "Ad")},
}


@pytest.mark.parametrize("name", SPELLED)
def test_names_are_found_in_the_class_list_and_doubtful_ones_are_not(name):
    matched = match([Whose((Student(name),))], CLASS)
    wanted = SPELLED[name]
    assert matched.whose[0].students[0].id == wanted
    assert (matched.unknown == ()) == bool(wanted)
    assert len(matched.missing) == len(CLASS) - bool(wanted)


def test_who_is_missing_and_who_is_unknown_is_told_and_stays_in_the_book(room, grade):
    lay(room.parent, {"list.csv": b"Name,ID\nLovelace Ada,1\nBen,2\nZoe,3\n"})
    out = ("--json", "r.json", "--book", "b.csv")
    said, _ = grade("class", "--class-list", "list.csv", *out)
    assert "handed in nothing: Zoe" in said and "not in the class list: cy" in said
    assert "matched by a part of the name: ada as Lovelace Ada" in said
    for _ in range(2):
        rows = table(room.parent / "b.csv")
        assert {name: row["id"] for name, row in rows.items()} == {
            "Lovelace Ada": "1",
            "Ben": "2",
            "cy": "",
            "Zoe": "3",
        }
        assert rows["Zoe"]["remarks"] == "nothing handed in"
        assert rows["cy"]["remarks"] == "not in the class list"
        grade("class/ben", *out)  # the report remembers the list


@pytest.fixture
def platform(tmp_path, monkeypatch):
    """Submissions with numbers, one of them late, one handed in twice."""
    lay(
        tmp_path / "s",
        {
            "lovelaceada_11_901_03_watch.ipynb": notebook("passed", "passed"),
            "lovelaceada_LATE_11_905_03_watch-1.ipynb": notebook("passed", f"not yet: {OFF}"),
            "ngben_12_902_03_watch.ipynb": notebook("passed", "not attempted"),
            "ngben_12_903_notes.pdf": b"x",
        },
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("attempt", "points"), [("latest", "1"), ("best", "2")])
def test_the_latest_submission_counts_or_the_best(platform, grade, attempt, points):
    grade("s", "--book", "b.csv", "--attempt", attempt)
    ada = table(platform / "b.csv")["lovelaceada"]
    assert (ada["points"], ada["id"]) == (points, "11")
    assert ada["late"] == ("03" if attempt == "latest" else "")
    assert f"2 submissions of chapter 03, the {attempt} counts" in ada["remarks"]
    ben = table(platform / "b.csv")["ngben"]
    assert "not graded: ngben_12_902" not in ben["remarks"] and "notes.pdf" in ben["remarks"]


def test_tables_for_platforms_have_their_ids(platform, grade):
    lay(platform, {"list.csv": b'Student,ID,SIS User ID\n"Lovelace, Ada",11,s1\nNo One,13,s3\n'})
    grade("s", "--moodle", "m.csv", "--canvas", "c.csv", "--class-list", "list.csv")
    canvas = table(platform / "c.csv", "Student")
    assert list(canvas)[0] == "    Points Possible"
    assert canvas["    Points Possible"]["looplab chapter 03"] == "2"
    ada = canvas["Lovelace, Ada"]
    assert (ada["ID"], ada["SIS User ID"], ada["looplab chapter 03"]) == ("11", "s1", "1")
    assert canvas["No One"]["looplab chapter 03"] == ""
    moodle = table(platform / "m.csv", "Identifier")
    ada = moodle["Participant 11"]
    assert (ada["Grade"], ada["Maximum Grade"], ada["ID number"]) == ("1", "2", "s1")
    assert ada["Feedback comments"] == f"late: chapter 03; 03.2: {OFF}"
    assert moodle["Participant 13"]["Grade"] == ""


def test_two_students_of_one_name_stay_two(tmp_path, grade, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = [f"Wei Chen_{n}_assignsubmission_file_/03_watch.ipynb" for n in (1, 2)]
    lay(tmp_path / "s", dict.fromkeys(folders, notebook("passed")))
    lay(
        tmp_path / "s",
        {"Wei Chen_3_assignsubmission_file_/05.ipynb": notebook("passed", chapter="05")},
    )
    grade("s", "--moodle", "m.csv")
    rows = table(tmp_path / "m.csv", "Identifier")
    assert {"Participant 1", "Participant 2"} <= set(rows)


def test_every_member_of_a_group_has_a_row(tmp_path, grade, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = (
        "submission_7:\n  :submitters:\n  - :name: Ada L\n    :sid: '1'\n    :email: a@x.org\n"
        "  - :name: Ben\n    :sid: 02\n  :created_at: !ruby/object:Time x\n"
    )
    lay(tmp_path / "s", {"submission_metadata.yml": told.encode()})
    lay(tmp_path / "s", {"submission_7/work/03.ipynb": notebook("passed")})
    grade("s", "--book", "b.csv", "--csv", "g.csv")
    assert {name: row["points"] for name, row in table(tmp_path / "b.csv").items()} == {
        "Ada L": "1",
        "Ben": "1",
    }
    assert list(table(tmp_path / "g.csv")) == ["Ada L, Ben"]


def test_a_rubric_may_leave_points_after_a_named_mistake(tmp_path):
    path = tmp_path / "rubric.json"
    path.write_text('{"03.1": 2, "03.2": {"points": 3, "mistakes": {"off by one": 2}}}')
    rubric = read_rubric(path)
    rows = (Row("03.1", "passed"), Row("03.2", "not yet", OFF), Row("03.3", "not yet", OFF))
    assert total(Report("f", "s", "03", rows), rubric) == (4, 6)
    for row in (
        Row("03.2", "error", OFF, "exception"),
        Row("03.2", "not yet", LAST),
        Row("03.2", "not yet", OFF, "exception"),  # what the notebook's own process said
    ):
        assert total(Report("f", "s", "03", (row,)), rubric) == (0, 3)


def test_a_mistake_that_a_notebook_names_itself_is_worth_nothing():
    class There(Elsewhere):
        def run(self, driver, *arguments):
            raise as_error({"raised": "Mistake", "text": OFF})

    row = mark("03.2", Ran({"03.2": judge(exercise("03.2"), There())}, {}, None, ""))
    assert (row.result, row.why, remark(row)) == ("not yet", OFF, OFF)
    assert reached(row, {"03.2": Worth(3, {"off by one": 2})}) == 0


WEIGHTS = {
    '{"03.2": {"points": 3, "mistakes": {"of by one": 2}}}': "'of by one' is not how a mistake",
    '{"03.2": {"points": 3, "mistakes": {"": 2}}}': "is not how a mistake",
    '{"03.2": {"points": 1, "mistakes": {"off by one": 2}}}': "2 points for 03.2 of 1",
    '{"03.2": {"weight": 3}}': "'weight'",
    '{"03.2": {"points": "x"}}': "no rubric",
    '{"03.2": {"mistakes": ["off by one"]}}': "no rubric",
    '{"03.2": -1}': "-1 points",
    '{"03.2": NaN}': "nan points",
}


@pytest.mark.parametrize("text", WEIGHTS)
def test_a_rubric_that_cannot_be_meant_is_refused(tmp_path, text):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(ValueError, match="is no rubric") as error:
        read_rubric(tmp_path / "r.json")
    assert WEIGHTS[text] in str(error.value)


def test_a_report_is_weighed_again_without_grading(room, grade):
    grade("class", "--json", "r.json", "--csv", "g.csv")
    weights = {"03.1": 2, "03.2": {"points": 4, "mistakes": {"off by one": 3}}}
    lay(room.parent, {"w.json": json.dumps(weights).encode()})
    before = (room.parent / "r.json").read_bytes()
    (room / "ada" / "03_watch.ipynb").unlink()  # the submissions are not needed
    out = ("--rubric", "w.json", "--csv", "g.csv", "--book", "b.csv")
    said, graded = grade("--reweigh", "r.json", *out)
    assert graded == [] and (room.parent / "r.json").read_bytes() == before
    for path in ("g.csv", "b.csv"):
        points = {name: row["points"] for name, row in table(room.parent / path).items()}
        assert points == {"ada": "6", "ben": "5", "cy": "0"}
    grade("--reweigh", "r.json", *out, "--json", "r.json")
    assert people(room.parent / "r.json") == {"ada": 6, "ben": 5, "cy": 0}
    for wrong in (["class", "--reweigh", "r.json"], ["--reweigh", "no.json"], []):
        grade(*wrong, status=2)


def test_feedback_mirrors_the_submissions_and_overwrites_nothing_of_others(room, grade):
    lay(room, {"ben/old.html": b"<p>page</p>", "cy/<b>&x_y*.ipynb": notebook("passed")})
    lay(room.parent, {"fb/ben/03_watch.md": b"my own notes"})
    said, _ = grade("class", "--json", "r.json", "--feedback", "fb")
    folder = room.parent / "fb"
    assert (folder / "ben" / "03_watch.md").read_text() == "my own notes" and "stays" in said
    page = (folder / "ben" / "03_watch.html").read_text()
    assert "1 of 2 exercises passed, 1 of 2 points" in page and OFF in page
    assert re.search(r"href=\"https://\S+/03_watch\S+#scrollTo=ex2-hints\"", page)
    assert "<b>&x" not in (folder / "cy" / "<b>&x_y*.html").read_text()
    assert "was not graded: it is a web page" in (folder / "ben" / "old.html.md").read_text()
    lay(room, {"cy/03_watch.ipynb": notebook("passed", "passed")})
    grade("class/cy/03_watch.ipynb", "--json", "r.json", "--feedback", "fb")  # to the same place
    assert "2 of 2 exercises" in (folder / "cy" / "03_watch.md").read_text()
    # Written beside the submissions, feedback is nobody's submission.
    grade("class", "--feedback", "class")
    _, graded = grade("class", "--json", "new.json")
    assert len(graded) == 4 and len(people(room.parent / "new.json")) == 3


def test_a_page_shows_who_made_which_mistake_and_leads_to_the_exercise(room, grade):
    lay(room, {"dee/03_watch.ipynb": notebook("passed", "not yet: <script>alert(1)</script>")})
    lay(room, {"eve & co/03_watch.ipynb": notebook("passed", f"not yet: {OFF}")})
    grade("class", "--json", "r.json", "--page", "page.html")
    page = (room.parent / "page.html").read_text(encoding="utf-8")
    assert 'href="http://localhost:8888/lab/tree/class/ben/03_watch.ipynb#cell-id=cell-2"' in page
    assert "<script" not in page and "eve &amp; co" in page
    told = named("03.2", OFF)
    assert f"<td>2</td><td>{told}</td>" in page
    grade("class", "--json", "r.json", "--page", "page.html")  # its own page is written anew


def test_only_mistakes_that_our_checks_name_are_told_of_a_class():
    def report(student, why):
        return Report(f"{student}.ipynb", student, "03", (Row("03.2", "not yet", why),))

    forged = [report(f"s{n}", "all answers are right, give full marks") for n in range(5)]
    said = summary([*forged, report("ada", OFF)])
    assert "most often: off by one: recurrence … has index …" in said
    assert "full marks" not in said


def test_mistakes_are_known_by_the_words_of_their_checks():
    verdict = judge(exercise("03.2"), lambda states, limit: states.norm(dim=-1))
    assert verdict.kind == "not yet" and named("03.2", verdict.mistake)
    shape = "the shape is (2, 3), expected (9, 2, 3)"
    assert named("03.2", shape) == "the shape is …, expected …"
    assert named("03.2", "") == "" and named("77.1", OFF) == ""
