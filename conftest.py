"""Whatever the tests do, they do it to a progress file of their own."""

import os
import shutil
import tempfile

import pytest


def pytest_configure(config: pytest.Config) -> None:
    # Before nbval starts its kernels, which inherit the environment.
    config.dlcourse_home = os.environ["DLCOURSE_HOME"] = tempfile.mkdtemp(prefix="dlcourse-tests-")
    os.environ.pop("DLCOURSE_SOLUTIONS", None)


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.dlcourse_home, ignore_errors=True)
