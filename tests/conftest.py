import os

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Kernels run in Triton's interpreter unless the GPU tests are asked for; it must be set before a kernel module is imported."""
    if "gpu" not in config.getoption("-m").replace("not gpu", ""):
        os.environ.setdefault("TRITON_INTERPRET", "1")
