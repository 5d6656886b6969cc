"""The messaging protocol's own suite, run against the kernel."""

from __future__ import annotations

from typing import ClassVar

import jupyter_kernel_test  # type: ignore[import-untyped]

from tests.kernel.kit import manager_of


class TestConformance(jupyter_kernel_test.KernelTests):  # type: ignore[misc]
    """Every test of jupyter_kernel_test that makes sense for Python."""

    kernel_name = "wirebook"
    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('test', file=sys.stderr)"
    completion_samples: ClassVar = [{"text": "zi", "matches": {"zip"}}]
    complete_code_samples: ClassVar = ["1", "print('hello, world')", "def f(x):\n  return x*2\n\n\n"]
    incomplete_code_samples: ClassVar = ["print('''hello", "def f(x):\n  x*2"]
    invalid_code_samples: ClassVar = ["import = 7q"]
    code_page_something = "zip?"
    code_generate_error = "raise"
    code_execute_result: ClassVar = [{"code": "1+2+3", "result": "6"}]
    code_display_data: ClassVar = [
        {"code": "from IPython.display import HTML; display(HTML('x'))", "mime": "text/html"}
    ]
    code_history_pattern = "1?2*"
    # Not "range": ipykernel answers it with session 0, where the suite expects the number that it gave before.
    supported_history_operations = ("tail", "search")
    code_inspect_sample = "zip"
    code_clear_output = "from IPython.display import clear_output; clear_output()"

    @classmethod
    def setUpClass(cls) -> None:
        """Start the kernel of this checkout, whatever kernelspecs are installed."""
        cls.km = manager_of(cls.kernel_name)
        cls.km.start_kernel(extra_arguments=["--log-level=ERROR"])
        cls.kc = cls.km.client()
        cls.kc.start_channels()
        cls.kc.wait_for_ready(timeout=20)
