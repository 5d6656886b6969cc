"""A network with a link in it, whatever this machine has: `on_a_link` is run in a network namespace of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import program
from tests.core.transports import on_a_link

# The link has just the one address, which can be used at once: nobody looks whether others have it too.
NETWORK = f"""
set -e
ip link set lo up
ip link add {on_a_link.LINK} type veth peer name there
ip link set {on_a_link.LINK} addrgenmode none
ip -6 addr add {on_a_link.HOST.partition("%")[0]}/64 dev {on_a_link.LINK} nodad
ip link set {on_a_link.LINK} up
ip link set there up
exec "$@"
"""


@pytest.mark.timeout(120)
@pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's")
def test_what_needs_a_link_works_on_one() -> None:
    program("ip")
    tests = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", str(Path(on_a_link.__file__))]
    command = ["unshare", "--map-root-user", "--net", "sh", "-c", NETWORK, "sh", *tests]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout
