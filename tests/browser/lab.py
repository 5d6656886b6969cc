"""A real JupyterLab for tests, and a notebook in it driven as a person would: by keys, clicks and sight.

The server gets folders of its own for configuration, settings and runtime files, so that nothing of the
user's is read or written; the kernels are those of the environment the tests run in. Nothing leaves this
machine: news and updates are off, and a request of the page to any other host is refused and remembered.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, Locator, Page, Route, expect

from tests.conftest import eventually

SETTINGS = {
    "apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    "apputils-extension/themes": {"theme": "JupyterLab Light"},
    # Every cell stays in the document, also those scrolled out of sight.
    "notebook-extension/tracker": {"windowingMode": "none"},
}
CONFIGURATION = {
    "LabApp": {
        "news_url": None,
        "check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        "extension_manager": "readonly",
    }
}
# The page shows an idle kernel before it can run anything: a cell started then would be lost.
KERNEL_READY = """async () => {
    const context = jupyterapp.shell.currentWidget.sessionContext;
    await context.ready;
    await context.session.kernel.info;
}"""
CODE_CELLS = "jupyterapp.shell.currentWidget.content.widgets.filter(cell => cell.model.type === 'code')"
IS_ERROR = "output => output.output_type === 'error'"
START_SECONDS = 40
STOP_SECONDS = 10
CELL_SECONDS = 30


@dataclass
class Lab:
    """A running JupyterLab server over the folder `root`; its private files are in `home`."""

    root: Path
    home: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        """Start the server and wait until it says where it is."""
        self.write_json("config/jupyter_lab_config.json", CONFIGURATION)
        for name, values in SETTINGS.items():
            self.write_json(f"settings/@jupyterlab/{name}.jupyterlab-settings", values)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterlab", *self.options()],
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        up = eventually(lambda: self.process.poll() is not None or self.info is not None, START_SECONDS)
        assert up, f"JupyterLab did not start within {START_SECONDS} s:\n{self.log_text()}"
        assert self.process.poll() is None, f"JupyterLab ended at once:\n{self.log_text()}"

    def write_json(self, name: str, values: object) -> None:
        """Write one of the server's private files."""
        file = self.home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))

    def options(self) -> list[str]:
        """The server's command line: any free port of the loopback device, and no browser of its own."""
        return [
            *(["--allow-root"] if os.geteuid() == 0 else []),
            "--no-browser",
            "--expose-app-in-browser",
            "--ip=127.0.0.1",
            "--port=0",
            f"--notebook-dir={self.root}",
            f"--LabApp.user_settings_dir={self.home / 'settings'}",
            f"--LabApp.workspaces_dir={self.home / 'workspaces'}",
        ]

    def environment(self) -> dict[str, str]:
        """The tests' environment with Jupyter's folders in `home`, and this environment's kernels first."""
        return {
            **os.environ,
            "JUPYTER_CONFIG_DIR": str(self.home / "config"),
            "JUPYTER_DATA_DIR": str(self.home / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.home / "runtime"),
            "JUPYTER_PREFER_ENV_PATH": "1",
            "IPYTHONDIR": str(self.home / "ipython"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    @property
    def info(self) -> dict[str, str] | None:
        """What the server wrote about itself (its address and token), None before it did."""
        for file in (self.home / "runtime").glob("jpserver-*.json"):
            try:
                return dict(json.loads(file.read_text()))
            except json.JSONDecodeError:  # it is being written
                return None
        return None

    @property
    def log(self) -> Path:
        """Where the server's output goes."""
        return self.home / "jupyterlab.log"

    def log_text(self) -> str:
        """The end of the server's output, kernels' included."""
        return self.log.read_text(errors="replace")[-8000:]

    def address(self, notebook: str) -> str:
        """The address of a notebook's page, in a workspace of its own."""
        assert self.info is not None
        workspace = f"{self.info['url']}lab/workspaces/{Path(notebook).stem}"
        return f"{workspace}/tree/{notebook}?token={self.info['token']}"

    def stop(self) -> None:
        """End the server and its kernels in order; what is still there after a while is killed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(STOP_SECONDS)


class Notebook:
    """A notebook open in the page of a JupyterLab; cells are code cells, counted from 0."""

    def __init__(self, page: Page, panel: Locator) -> None:
        self.page = page
        self.panel = panel
        self.cells = panel.locator(".jp-CodeCell")

    @classmethod
    def open(cls, context: BrowserContext, lab: Lab, name: str) -> Notebook:
        """Open the notebook `name` of the server's folder and wait until its kernel can run cells."""
        page = context.new_page()
        page.goto(lab.address(name))
        panel = page.locator(".jp-NotebookPanel")
        notebook = cls(page, panel)
        expect(notebook.cells.first).to_be_visible(timeout=START_SECONDS * 1000)
        page.wait_for_function("() => !document.querySelector('#jupyterlab-splash')")
        page.evaluate(KERNEL_READY)
        return notebook

    def find(self, text: str) -> int:
        """Return the number of the first cell whose source has `text`; the test fails when none has."""
        sources: list[str] = self.page.evaluate(f"() => {CODE_CELLS}.map(cell => cell.model.sharedModel.getSource())")
        found = next((number for number, source in enumerate(sources) if text in source), None)
        assert found is not None, f"no cell of the notebook has {text!r}"
        return found

    def start(self, number: int) -> None:
        """Run a cell with Shift+Enter and do not wait for it."""
        self.cells.nth(number).locator(".jp-InputPrompt").click()
        self.page.keyboard.press("Shift+Enter")

    def run(self, number: int) -> None:
        """Run a cell with Shift+Enter and wait until it is done; the test fails if the cell does."""
        before = self.prompt(number)
        self.start(number)
        self.await_done(number, before)
        assert not self.failed(number), f"cell {number} failed:\n{self.output(number)}"

    def await_done(self, number: int, before: str = "[ ]:") -> None:
        """Wait until a cell's prompt shows a new number."""
        done = re.compile(r"^\[\d+\]:$")
        prompt = self.cells.nth(number).locator(".jp-InputPrompt")
        expect(prompt).not_to_have_text(before, timeout=CELL_SECONDS * 1000)
        expect(prompt).to_have_text(done, timeout=CELL_SECONDS * 1000)

    def prompt(self, number: int) -> str:
        """The text before a cell: ``[3]:``, ``[*]:`` while it runs, ``[ ]:`` when it never did."""
        return self.cells.nth(number).locator(".jp-InputPrompt").inner_text().strip()

    def running(self, number: int) -> bool:
        """Whether a cell is running, or waits to."""
        return self.prompt(number) == "[*]:"

    def failed(self, number: int) -> bool:
        """Whether the last run of a cell ended in an exception."""
        return bool(
            self.page.evaluate(f"number => ({CODE_CELLS})[number].model.outputs.toJSON().some({IS_ERROR})", number)
        )

    def outputs(self, number: int) -> Locator:
        """Where a cell's output is drawn."""
        return self.cells.nth(number).locator(".jp-Cell-outputArea")

    def output(self, number: int) -> str:
        """What can be read in a cell's output."""
        return self.outputs(number).inner_text()

    def interrupt(self) -> None:
        """Press the stop button."""
        self.panel.locator("jp-button[data-command='notebook:interrupt-kernel']").click()

    def restart(self) -> None:
        """Restart the kernel, as the button does once it is confirmed, and wait until it can run cells."""
        self.page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
        self.page.evaluate(KERNEL_READY)

    def make_room(self) -> None:
        """Fold the file browser away, so that a picture shows the notebook."""
        self.page.evaluate("() => jupyterapp.shell.collapseLeft()")

    def set_theme(self, name: str) -> None:
        """Switch JupyterLab's theme, e.g. to ``JupyterLab Dark``, and wait until it shows."""
        self.page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', { theme })", name)
        self.page.wait_for_function("theme => document.body.dataset.jpThemeName === theme", arg=name)


def refuse_other_machines(context: BrowserContext) -> list[str]:
    """Refuse what the pages in `context` ask of other machines; return the list where it is kept."""
    refused: list[str] = []

    def decide(route: Route) -> None:
        if urlsplit(route.request.url).hostname == "127.0.0.1":
            route.continue_()
        else:
            refused.append(route.request.url)
            route.abort()

    context.route("**/*", decide)
    return refused
