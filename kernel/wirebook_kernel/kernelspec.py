"""Installing the kernelspec where Jupyter looks for it.

``pip install wirebook`` puts it beside the interpreter already. This is for the other cases: a Jupyter that
lives in another environment, or a second name for the kernel.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager

NAME = "wirebook"

_IN_DATA = Path("share/jupyter/kernels") / NAME


def source() -> Path:
    """The directory of the kernelspec that came with this package. Raises `FileNotFoundError`."""
    checkout = Path(__file__).parents[1] / "data" / _IN_DATA
    if checkout.is_dir():
        return checkout
    for file in metadata.files("wirebook") or ():
        if file.name == "kernel.json":
            return Path(str(file.locate())).resolve().parent
    raise FileNotFoundError("the kernelspec of wirebook is missing: install the package again with pip")


def install(
    *, user: bool = False, prefix: str | None = None, name: str = NAME, display_name: str | None = None
) -> Path:
    """Install the kernelspec for this interpreter and return where it is.

    It goes to the user's directory (`user`), below `prefix`, or system-wide. `name` is what
    ``jupyter --kernel`` takes, `display_name` what menus show. Raises `OSError` where it may not write, and
    `ValueError` for a name that Jupyter does not accept.
    """
    with tempfile.TemporaryDirectory() as staging:
        spec = Path(shutil.copytree(source(), Path(staging) / NAME))
        content = json.loads((spec / "kernel.json").read_text())
        content["argv"][0] = sys.executable
        content["display_name"] = display_name or (content["display_name"] if name == NAME else name)
        (spec / "kernel.json").write_text(json.dumps(content, indent=1) + "\n")
        manager = KernelSpecManager()
        return Path(manager.install_kernel_spec(str(spec), kernel_name=name, user=user, prefix=prefix))


def main(arguments: Sequence[str]) -> None:
    """The command ``python -m wirebook_kernel install``."""
    parser = argparse.ArgumentParser(
        prog="python -m wirebook_kernel install", description="Install the Wirebook kernelspec."
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--user", action="store_true", help="for this user only")
    where.add_argument(
        "--sys-prefix",
        action="store_const",
        const=sys.prefix,
        dest="prefix",
        help="in this Python environment (a virtual or conda environment)",
    )
    where.add_argument("--prefix", help="below this directory")
    parser.add_argument("--name", default=NAME, help="the name for jupyter --kernel (default: %(default)s)")
    parser.add_argument("--display-name", help="the name in menus")
    options = parser.parse_args(arguments)
    try:
        where_to = install(**vars(options))
    except PermissionError as error:
        parser.exit(1, f"{error}\nTry --user or --sys-prefix.\n")
    except ValueError as error:
        parser.exit(2, f"{error}\n")
    sys.stdout.write(f"Installed the kernelspec {options.name} in {where_to}\n")
