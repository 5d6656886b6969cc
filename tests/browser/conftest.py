"""A browser, and a JupyterLab over a copy of the notebooks; logs and a picture of every failure."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.browser.lab import Lab, refuse_other_machines
from tests.conftest import ROOT

BUILD = ROOT / "build"
ACTION_SECONDS = 20


@pytest.fixture
def leak_check() -> None:
    """Not here: Playwright keeps threads of its own, and the framework runs in the kernel's process."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab whose folder is a copy of ``notebooks/``: runs never change the tracked ones."""
    home = tmp_path_factory.mktemp("lab")
    root = home / "notebooks"
    shutil.copytree(ROOT / "notebooks", root, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    server = Lab(root, home)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh window; the test fails if a page in it asked another machine for something."""
    window = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    window.set_default_timeout(ACTION_SECONDS * 1000)
    refused = refuse_other_machines(window)
    yield window
    window.close()
    assert not refused, f"the page asked other machines: {refused}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the server's output and a picture of each page to the report of a failed test."""
    report = yield
    fixtures = getattr(item, "funcargs", {})
    if report.failed and "lab" in fixtures:
        report.sections.append(("JupyterLab", fixtures["lab"].log_text()))
    if report.failed and report.when == "call" and "context" in fixtures:
        report.sections.append(("pictures", "\n".join(pictures(fixtures["context"], item.name))))
    return report


def pictures(context: BrowserContext, name: str) -> list[str]:
    """Take a picture of every page in `context`; return where they are."""
    BUILD.mkdir(exist_ok=True)
    taken = []
    for number, page in enumerate(context.pages):
        file = BUILD / f"failed-{name}-{number}.png"
        page.screenshot(path=file)
        taken.append(str(file))
    return taken
