"""Fixtures for tests that need a browser; without one they are skipped, and the run says why."""

import os
from pathlib import Path

from looplab_nbval.quick import start_quickly

start_quickly()

import browser  # noqa: E402
import pytest  # noqa: E402

CHROMIUM = browser.find_chromium()
PINS = Path(__file__).with_name("colab.txt")
COLAB = PINS.parents[1] / ".venv" / "colab"  # where course.py test installs what PINS says
HOW_TO_GET_COLABS = (
    f"the widgets' packages of {PINS.name} are not in .venv/colab: python3 course.py test puts "
    "them there"
)


def pytest_report_header(config):
    return f"browser tests: {CHROMIUM or 'skipped, ' + browser.HOW_TO_GET_ONE}"


# Tests that share nothing and are long: each runs wherever there is room.
ALONE = ("test_a_solved_chapter", "test_a_hostile_answer", "test_solve_save_lose")
# A word in a test's name, its group; the first that fits.
GROUPS = {"colabs_widgets": "Colab", "jupyterlab": "JupyterLab"}
# Files whose tests need the same exported models, which the first of them makes.
EXPORTS = ("test_onnx.py", "test_explore.py", "test_explore_pages.py", "test_site.py")
# The longest first, or one core would wait for the other at the end.
FIRST = ("JupyterLab", "Colab", *ALONE, "test_site.py", "test_grade.py")


def group_of(nodeid):
    """What shares something expensive stays on one core, so that it is made only once: all tests
    that need one JupyterLab together, and of the others those of one file."""
    file, _, test = nodeid.partition("::")
    for word, group in GROUPS.items():
        if word in test:
            return group
    name = file.rpartition("/")[2]
    if name in EXPORTS:
        return "test_site.py"
    return nodeid if test.startswith(ALONE) else name


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return group_of(nodeid)

    return Together(config, log)


def pytest_collection_modifyitems(items):
    for item in items:
        for fixture, word in (("lab", "jupyterlab"), ("colabs_widgets", "colabs_widgets")):
            right = fixture not in item.fixturenames or group_of(item.nodeid) == GROUPS[word]
            assert right, f"{item.nodeid} needs JupyterLab: say {word} in its name, to share one"
    items.sort(key=_turn)


def _turn(item):
    group = group_of(item.nodeid)
    return next((n for n, name in enumerate(FIRST) if name in group), len(FIRST))


def pytest_terminal_summary(terminalreporter):
    """What chapters took, so that the log of a run shows it."""
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.getreports(kind)]
    lines = {value for one in reports for key, value in one.user_properties if key == "chapter"}
    if lines:
        terminalreporter.section("chapters: time, and memory at the peak")
        for line in sorted(lines):
            terminalreporter.line(line)


def _need(there, how_to_get_it):
    if there:
        return
    if os.environ.get("LOOPLAB_REQUIRE_BROWSER"):
        pytest.fail(how_to_get_it)
    pytest.skip(how_to_get_it)


def _need_chromium():
    _need(CHROMIUM, browser.HOW_TO_GET_ONE)


def _as_pinned():
    """Whether course.py has installed what PINS says now."""
    stamp = COLAB / "looplab-set-up"
    return stamp.exists() and stamp.read_text("utf-8") == PINS.read_text("utf-8")


@pytest.fixture(scope="session")
def lab_folder(tmp_path_factory):
    """What JupyterLab serves: tests put their notebooks here."""
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="session")
def lab(lab_folder):
    """Address of one running JupyterLab, shared by all tests."""
    _need_chromium()
    with browser.jupyterlab(lab_folder) as address:
        yield address


@pytest.fixture(scope="session")
def colabs_widgets(tmp_path_factory):
    """Address and folder of another one, with the widgets' packages as Colab has them."""
    _need_chromium()
    _need(_as_pinned(), HOW_TO_GET_COLABS)
    folder = tmp_path_factory.mktemp("colab")
    with browser.jupyterlab(folder, COLAB) as address:
        yield address, folder


@pytest.fixture(scope="session", params=["jupyterlab", "colabs_widgets"])
def each_lab(request):
    """Address and folder of the one, then of the other: for tests that move a widget."""
    if request.param == "colabs_widgets":
        return request.getfixturevalue("colabs_widgets")
    return request.getfixturevalue("lab"), request.getfixturevalue("lab_folder")


@pytest.fixture(scope="session")
def chromium():
    _need_chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=list(browser.FLAGS))
        yield running
        running.close()


@pytest.fixture
def page(chromium):
    """A fresh page, 1200 by 900."""
    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    page.set_default_timeout(browser.PATIENCE * 1000)
    yield page
    page.close()
