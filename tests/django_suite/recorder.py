"""A Django test runner that writes every outcome to the event log. Runs in the child process."""

import time
import unittest
from typing import Any

from django.test.runner import DiscoverRunner
from django.test.utils import iter_test_cases

from .child_config import ChildConfig
from .events import EventLog
from .modes import MODES
from .outcomes import ERROR, EXPECTED_FAILURE, FAILED, PASSED, SKIPPED, UNEXPECTED_SUCCESS

DETAIL_LIMIT = 6_000

config = ChildConfig.from_environment()
log = EventLog(config.events)


class RecordingResult(unittest.TextTestResult):
    """Reports to the log as well as to the console."""

    def startTest(self, test: unittest.TestCase) -> None:
        log.write("start", test=test.id())
        self._started = time.perf_counter()
        super().startTest(test)

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        log.write("stop", test=test.id(), seconds=round(time.perf_counter() - self._started, 4))

    def addSuccess(self, test: unittest.TestCase) -> None:
        super().addSuccess(test)
        log.write("outcome", test=test.id(), outcome=PASSED)

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        super().addError(test, err)
        self._report(test, ERROR, self.errors[-1][1])

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addFailure(test, err)
        self._report(test, FAILED, self.failures[-1][1])

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            failed = issubclass(err[0], test.failureException)
            text = (self.failures if failed else self.errors)[-1][1]
            self._report(test, FAILED if failed else ERROR, f"{subtest}\n{text}")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        super().addSkip(test, reason)
        # A skipped subtest arrives as a test of its own; it counts to the test that holds it.
        self._report(getattr(test, "test_case", test), SKIPPED, reason)

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addExpectedFailure(test, err)
        log.write("outcome", test=test.id(), outcome=EXPECTED_FAILURE)

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        super().addUnexpectedSuccess(test)
        log.write("outcome", test=test.id(), outcome=UNEXPECTED_SUCCESS)

    def _report(self, test: unittest.TestCase, outcome: str, detail: str) -> None:
        log.write("outcome", test=test.id(), outcome=outcome, detail=detail[-DETAIL_LIMIT:])


class RecordingRunner(DiscoverRunner):
    """Runs the tests that still lack an outcome.

    Tests of the test runner make runners of their own: only the outermost one records.
    """

    _outermost_taken = False
    _recording = False

    def run_tests(self, test_labels: list[str], **kwargs: Any) -> int:
        self._recording = not RecordingRunner._outermost_taken
        RecordingRunner._outermost_taken = True
        if self._recording and MODES[config.mode].ours:
            from django_loom import reroute
            from django_loom.db import wrapper

            # As the app does when it is ready, but without an app that Django's tests would count.
            reroute.install()
            wrapper.require_app = lambda what: None
        if self._recording and MODES[config.mode].sync_views:
            from . import handlers  # needs apps that are ready

            handlers.install()
        failures: int = super().run_tests(test_labels, **kwargs)
        if self._recording:
            if MODES[config.mode].sync_views:
                log.write("counts", counts=handlers.served())
            log.write("end")
        return failures

    def build_suite(self, *args: Any, **kwargs: Any) -> unittest.TestSuite:
        suite = super().build_suite(*args, **kwargs)
        if not self._recording:
            return suite
        tests = [test for test in iter_test_cases(suite) if config.wants(test.id())]
        log.write("plan", tests=[test.id() for test in tests])
        return self.test_suite(tests)

    def run_suite(self, *args: Any, **kwargs: Any) -> unittest.TestResult:
        if self._recording:
            log.write("ready")
        return super().run_suite(*args, **kwargs)

    def get_resultclass(self) -> type[unittest.TestResult] | None:
        return RecordingResult if self._recording else super().get_resultclass()
