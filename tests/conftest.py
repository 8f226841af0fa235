"""Fixtures for tests that need a browser; without one they are skipped, and the run says why."""

import os

import browser
import pytest

CHROMIUM = browser.find_chromium()


def pytest_report_header(config):
    return f"browser tests: {CHROMIUM or 'skipped, ' + browser.HOW_TO_GET_ONE}"


# The longest first, or one core would wait for the other at the end.
FIRST = ("test_notebooks.py", "test_grade_hostile.py", "test_passport.py", "test_grade.py")


def pytest_itemcollected(item):
    """With --dist=loadgroup, what shares something expensive stays on one core, so that it is made
    only once: all tests that need JupyterLab together, and of the others those of one file. Tests
    marked `alone` share nothing and are long: they run wherever there is room."""
    if "lab" in item.fixturenames:
        item.add_marker(pytest.mark.xdist_group("JupyterLab"))
    elif item.get_closest_marker("alone") is None:
        item.add_marker(pytest.mark.xdist_group(item.path.name))


def pytest_collection_modifyitems(items):
    items.sort(key=_turn)


def _turn(item):
    alone, name = item.get_closest_marker("alone") is not None, item.path.name
    place = FIRST.index(name) if name in FIRST else len(FIRST)
    return "lab" not in item.fixturenames, not alone, place


def pytest_terminal_summary(terminalreporter):
    """What chapters took, so that the log of a run shows it."""
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.getreports(kind)]
    lines = {value for one in reports for key, value in one.user_properties if key == "chapter"}
    if lines:
        terminalreporter.section("chapters: time, and memory at the peak")
        for line in sorted(lines):
            terminalreporter.line(line)


def _need_chromium():
    if CHROMIUM:
        return
    if os.environ.get("LOOPLAB_REQUIRE_BROWSER"):
        pytest.fail(browser.HOW_TO_GET_ONE)
    pytest.skip(browser.HOW_TO_GET_ONE)


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
