"""Run a notebook without a browser and write it, outputs included, as one HTML page.

``python -m tools.demo NOTEBOOK PAGE``. The page is what a reader without a kernel sees: live views appear as
their static HTML, and nothing is loaded from another host.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter
from traitlets.config import Config

CELL_SECONDS = 60

# nbconvert's templates name scripts of other hosts for formulas, diagrams and widgets. The page needs none.
SELF_CONTAINED = Config(
    HTMLExporter={
        "exclude_input_prompt": False,
        "jquery_url": "",
        "mathjax_url": "",
        "require_js_url": "",
    }
)


def run(notebook: nbformat.NotebookNode, folder: Path) -> CellExecutionError | None:
    """Execute `notebook` in `folder`; return the error of the cell that failed, if one did."""
    # Without stored widget state the exporter takes each view's static HTML instead of a script from afar.
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        store_widget_state=False,
        resources={"metadata": {"path": str(folder)}},
    )
    try:
        client.execute()
    except CellExecutionError as error:
        return error
    return None


def main(source: Path, page: Path) -> int:
    """Run the notebook at `source` and write `page`, also when a cell fails; return the exit status."""
    notebook = nbformat.read(source, as_version=4)
    error = run(notebook, source.parent)
    html, _resources = HTMLExporter(config=SELF_CONTAINED).from_notebook_node(notebook)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(html, encoding="utf-8")
    print(f"wrote {page}")
    if error is not None:
        print(f"a cell of {source} failed:\n{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m tools.demo NOTEBOOK PAGE")
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
