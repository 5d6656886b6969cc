"""Every notebook runs from top to bottom without a browser, and the page made of it shows its views."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter

from tests.conftest import ROOT
from tools import demo

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# What a browser would fetch by itself when it opens the page, as far as it is outside the page.
FETCHED = re.compile(r"<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>")


def test_there_is_a_tour() -> None:
    assert ROOT / "notebooks" / "00-tour.ipynb" in NOTEBOOKS


@pytest.mark.timeout(180)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_its_page_needs_no_other_host(path: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert demo.main(path, page) == 0
    assert not FETCHED.findall(page.read_text(encoding="utf-8"))


LABS = [path for path in NOTEBOOKS if "### Exercise" in path.read_text(encoding="utf-8")]
CHECK = re.compile(r"^check\(\d+,.*$", re.MULTILINE)
SOLUTION = re.compile(r"<summary>Solution</summary>\s*```python\n(.*?)```", re.DOTALL)


def solve(notebook: nbformat.NotebookNode) -> int:
    """Put each solution in the place of the stub above it; how many there are."""
    solved, stub = 0, None
    for cell in notebook.cells:
        if "exercise" in cell.metadata.get("tags", ()):
            stub = cell
        elif cell.cell_type == "markdown" and (found := SOLUTION.search(cell.source)):
            assert stub is not None, f"a solution without an exercise: {cell.source}"
            stub.source, stub = found.group(1), None
            solved += 1
    return solved


def check_twice(notebook: nbformat.NotebookNode) -> None:
    """Have each check run again at once, as students do."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = CHECK.sub(r"\g<0>\n\g<0>", cell.source)


def printed(notebook: nbformat.NotebookNode) -> str:
    """Everything that the cells printed."""
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", ()))
    return "".join(output.get("text", "") for output in outputs)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("path", LABS, ids=lambda path: path.stem)
def test_the_solutions_of_a_lab_pass_its_checks_and_the_stubs_do_not(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert demo.run(notebook, path.parent) is None
    assert not re.search(r"exercise \d+: solved", printed(notebook))
    count = solve(notebook)
    check_twice(notebook)
    assert demo.run(notebook, path.parent) is None
    assert re.findall(r"exercise (\d+): solved", printed(notebook)) == [
        str(n) for n in range(1, count + 1) for _ in "12"
    ]


@pytest.mark.parametrize("path", LABS, ids=lambda path: path.stem)
def test_the_page_of_a_lab_hides_its_solutions_until_they_are_opened(path: Path) -> None:
    html, _ = HTMLExporter(config=demo.SELF_CONTAINED).from_filename(str(path))
    hidden = re.findall(r"<summary>Solution</summary>(.*?)</details>", html, re.DOTALL)
    assert hidden
    assert all("highlight" in solution for solution in hidden)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_clean_and_names_its_kernel(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "wirebook"
    dirty = [cell.id for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")]
    assert not dirty, f"clear the outputs of {path.name} before committing it: cells {dirty}"
