"""The service in which the tests of this folder run."""

from tests.harness.service import run_service

__all__ = ["run_service"]
