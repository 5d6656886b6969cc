"""The script and the style that a page loads: complete, in one piece, and with tests of their own."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import playwright

from wirebook_widgets._page import STATIC, parts_of, script, style

SCRIPTS = Path(__file__).parent / "scripts"
# Playwright brings a node of its own: no machine that has the tests' requirements lacks it.
NODE = Path(playwright.__file__).parent / "driver" / "node"


def node(*arguments: str, folder: Path = SCRIPTS) -> str:
    """What node prints; the test fails if node does."""
    command = [str(NODE), *arguments]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=50, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_each_part_comes_once_and_after_what_it_needs() -> None:
    parts = parts_of("connections.js", ())
    assert len(parts) == len(set(parts))
    assert parts.index("dom.js") < parts.index("grid.js") < parts.index("connections.js")


def test_the_script_imports_nothing_and_exports_the_widget_alone() -> None:
    text = script("connections.js")
    assert re.findall(r"^import\b.*", text, re.MULTILINE) == []
    assert len(re.findall(r"^export\b", text, re.MULTILINE)) == 1
    assert "\nexport default" in text


def test_the_script_never_writes_markup() -> None:
    assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", script("connections.js")) == []


def test_nothing_is_loaded_from_elsewhere() -> None:
    text = script("connections.js") + style("theme.css", "connections.css")
    assert set(re.findall(r"https?://[\w./]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert "@import" not in text


def test_every_script_and_style_is_used() -> None:
    used = {*parts_of("connections.js", ()), "theme.css", "connections.css"}
    assert {path.name for path in STATIC.iterdir()} == used


def test_colours_fall_back_from_jupyterlab_to_vs_code_to_a_literal() -> None:
    for line in style("theme.css").splitlines():
        if "var(--jp-" in line:
            assert re.search(r"var\(--jp-[\w-]+, var\(--vscode-[\w-]+, .+\)\)", line), line


def test_the_parts_pass_their_own_tests() -> None:
    report = node("--test", "--test-reporter=tap", *sorted(path.name for path in SCRIPTS.glob("*.test.mjs")))
    passed = re.search(r"^# pass (\d+)$", report, re.MULTILINE)
    assert passed is not None
    assert int(passed[1]) > 30


def test_the_joined_script_is_a_module_that_makes_a_widget(tmp_path: Path) -> None:
    (tmp_path / "widget.mjs").write_text(script("connections.js"), "utf-8")
    check = "import make from './widget.mjs'; console.log(Object.keys(make()).join());"
    assert node("--input-type=module", "--eval", check, folder=tmp_path).strip() == "initialize,render"
