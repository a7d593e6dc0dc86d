import os

import pytest
from hypothesis import settings

# A busy machine is no failed property: examples are bounded in number, tests by pytest's time-out. CI draws the same examples each time; people draw new ones.
settings.register_profile("tokenmill", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("tokenmill")


def pytest_configure(config: pytest.Config) -> None:
    """Kernels run in Triton's interpreter unless the GPU tests are asked for; it must be set before a kernel module is imported."""
    if "gpu" not in config.getoption("-m").replace("not gpu", ""):
        os.environ.setdefault("TRITON_INTERPRET", "1")
