"""The programs that tests talk to: where they are, which Debian package has them, and how they get here.

``python -m tools.system_packages [NAME ...]`` installs what is missing when it may (apt-get as root, or with
a sudo that asks no password) and says what stays missing. The tests that need a missing program are left out,
each named at the end of the test run; with ``CI=true`` nothing may be left out and the command fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Program:
    """A program by the name that tests use: the commands that may be it, best first, and its packages."""

    name: str
    commands: tuple[str, ...]
    packages: tuple[str, ...]

    def path(self) -> str | None:
        """Return where the program is, or None when this machine does not have it."""
        return next((found for command in self.commands if (found := shutil.which(command))), None)

    def how_to_get(self) -> str:
        """Return what to tell a person who lacks the program."""
        return f"{self.name} (Debian package {self.packages[0]})"


CHROMIUM_COMMANDS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)

PROGRAMS = {
    program.name: program
    for program in (
        Program("cc", ("cc", "gcc", "clang"), ("gcc", "libc6-dev")),
        Program("chromium", CHROMIUM_COMMANDS, ("chromium", "fonts-liberation", "fonts-dejavu-core")),
        Program("curl", ("curl",), ("curl",)),
        Program("nc", ("nc.openbsd", "nc"), ("netcat-openbsd",)),
        Program("openssl", ("openssl",), ("openssl",)),
        Program("socat", ("socat",), ("socat",)),
    )
}


def missing(names: Iterable[str]) -> list[Program]:
    """Return those of the programs called `names` that this machine does not have."""
    return [program for name in names if (program := PROGRAMS[name]).path() is None]


def nothing_may_be_left_out() -> bool:
    """Whether this is a CI run: there a missing program is an error, not a test left out."""
    return os.environ.get("CI", "").lower() == "true"


def apt_get() -> list[str] | None:
    """Return the command line that runs apt-get with the rights to install, None when there is none."""
    if shutil.which("apt-get") is None:
        return None
    command = ["apt-get", "--quiet", "--yes", "-o", "DPkg::Lock::Timeout=120"]
    environment = ["env", "DEBIAN_FRONTEND=noninteractive"]
    if os.geteuid() == 0:
        return [*environment, *command]
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        return ["sudo", "-n", *environment, *command]
    return None


def install(programs: list[Program], apt: list[str]) -> None:
    """Install the packages of `programs` one by one: one that is not to be had stops no other."""
    subprocess.run([*apt, "update"], stdout=subprocess.DEVNULL, check=False)
    for program in programs:
        print(f"installing {program.name}: apt-get install {' '.join(program.packages)}", flush=True)
        command = [*apt, "install", "--no-install-recommends", *program.packages]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            print(f"apt-get failed with status {done.returncode}:\n{done.stdout[-2000:]}", file=sys.stderr)


def main(names: Iterable[str]) -> int:
    """Install what is missing of the programs called `names` if possible; return the exit status."""
    lacking = missing(names)
    if lacking and (apt := apt_get()):
        install(lacking, apt)
        lacking = missing(names)
    for program in lacking:
        print(f"not here: {program.how_to_get()}; the tests that need it are left out", file=sys.stderr)
    if lacking and nothing_may_be_left_out():
        print("CI=true, so no test may be left out: install the programs named above", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(PROGRAMS)))
