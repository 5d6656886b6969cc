"""The programs that tests talk to: where they are, which Debian package has them, and how they get here.

``python -m tools.system_packages [NAME ...]`` installs what is missing when it may (apt-get as root, or with
a sudo that asks no password) and says what stays missing. The tests that need a missing program are left out,
each named at the end of the test run; with ``CI=true`` nothing may be left out and the command fails.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from glob import glob


@dataclass(frozen=True)
class Program:
    """A program by the name that tests use: the commands that may be it, best first, and its packages.

    A command is looked up on the PATH; an absolute path may be a pattern where every version has its own folder.
    `settings` are files, by path, that must be there before its packages are installed.
    """

    name: str
    commands: tuple[str, ...]
    packages: tuple[str, ...]
    settings: tuple[tuple[str, str], ...] = ()

    def path(self) -> str | None:
        """Return where the program is, or None when this machine does not have it."""
        candidates = (candidate for command in self.commands for candidate in newest_first(command))
        return next((found for candidate in candidates if (found := shutil.which(candidate))), None)

    def how_to_get(self) -> str:
        """Return what to tell a person who lacks the program."""
        return f"{self.name} (Debian package {self.packages[0]})"


def newest_first(command: str) -> list[str]:
    """Return the files that a pattern stands for, the highest version first; anything else as it is."""
    if "*" not in command:
        return [command]
    return sorted(glob(command), key=lambda path: [int(number) for number in re.findall(r"\d+", path)], reverse=True)


CHROMIUM_COMMANDS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)

POSTGRES_COMMANDS = (
    "postgres",
    "/usr/lib/postgresql/*/bin/postgres",
    "/opt/homebrew/opt/postgresql@*/bin/postgres",
    "/usr/local/opt/postgresql@*/bin/postgres",
)
# Debian's package makes a database of its own and starts a server for it, unless it finds this. The tests start theirs.
NO_DATABASE_OF_ITS_OWN = (
    "/etc/postgresql-common/createcluster.conf",
    "# Wirebook's tests only need the programs (tools/system_packages.py).\ncreate_main_cluster = false\n",
)

PROGRAMS = {
    program.name: program
    for program in (
        Program("cc", ("cc", "gcc", "clang"), ("gcc", "libc6-dev", "libssl-dev")),
        Program("chromium", CHROMIUM_COMMANDS, ("chromium", "fonts-liberation", "fonts-dejavu-core")),
        Program("curl", ("curl",), ("curl",)),
        Program("haproxy", ("haproxy", "/usr/sbin/haproxy"), ("haproxy",)),
        Program("nc", ("nc.openbsd", "nc"), ("netcat-openbsd",)),
        Program("openssl", ("openssl",), ("openssl",)),
        Program("postgres", POSTGRES_COMMANDS, ("postgresql",), (NO_DATABASE_OF_ITS_OWN,)),
        Program("socat", ("socat",), ("socat",)),
        Program("ip", ("ip", "/usr/sbin/ip"), ("iproute2",)),
        Program("ss", ("ss",), ("iproute2",)),
    )
}


def missing(names: Iterable[str]) -> list[Program]:
    """Return those of the programs called `names` that this machine does not have."""
    return [program for name in names if (program := PROGRAMS[name]).path() is None]


def nothing_may_be_left_out() -> bool:
    """Whether this is a CI run: there a missing program is an error, not a test left out."""
    return os.environ.get("CI", "").lower() == "true"


APT_GET = ["apt-get", "--quiet", "--yes", "-o", "DPkg::Lock::Timeout=120"]
# A file that is there already says what this machine's owner wants.
WRITE_UNLESS_THERE = 'test -e "$0" || { mkdir -p "$(dirname "$0")" && printf %s "$1" > "$0"; }'


def with_the_rights() -> list[str] | None:
    """Return the words before a command that let it install packages, None when there is no way here."""
    if shutil.which("apt-get") is None:
        return None
    # A question cannot be answered, and a setting that is there stays.
    environment = ["env", "DEBIAN_FRONTEND=noninteractive", "UCF_FORCE_CONFFOLD=1"]
    if os.geteuid() == 0:
        return environment
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        return ["sudo", "-n", *environment]
    return None


def install(programs: list[Program], rights: list[str]) -> None:
    """Install the packages of `programs` one by one: one that is not to be had stops no other."""
    subprocess.run([*rights, *APT_GET, "update"], stdout=subprocess.DEVNULL, check=False)
    for program in programs:
        print(f"installing {program.name}: apt-get install {' '.join(program.packages)}", flush=True)
        for path, text in program.settings:
            subprocess.run([*rights, "sh", "-c", WRITE_UNLESS_THERE, path, text], check=False)
        command = [*rights, *APT_GET, "install", "--no-install-recommends", *program.packages]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            print(f"apt-get failed with status {done.returncode}:\n{done.stdout[-2000:]}", file=sys.stderr)


def main(names: Iterable[str]) -> int:
    """Install what is missing of the programs called `names` if possible; return the exit status."""
    lacking = missing(names)
    if lacking and (rights := with_the_rights()):
        install(lacking, rights)
        lacking = missing(names)
    for program in lacking:
        print(f"not here: {program.how_to_get()}; the tests that need it are left out", file=sys.stderr)
    if lacking and nothing_may_be_left_out():
        print("CI=true, so no test may be left out: install the programs named above", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(PROGRAMS)))
