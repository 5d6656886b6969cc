"""``python -m wirebook_kernel -f FILE`` runs the kernel; ``python -m wirebook_kernel install`` installs it."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run the kernel, or install its kernelspec when the first argument is ``install``."""
    if sys.argv[1:2] == ["install"]:
        from wirebook_kernel.kernelspec import main as install

        install(sys.argv[2:])
    else:
        # Among so much that is made to stay the collector would find nothing. `WirebookKernel.start` turns it on.
        gc.disable()
        from wirebook_kernel.app import WirebookApp
        from wirebook_kernel.kernel import WirebookKernel

        WirebookApp.launch_instance(kernel_class=WirebookKernel)


if __name__ == "__main__":
    main()
