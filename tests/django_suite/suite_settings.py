"""The settings module of the child process: Django's own for its tests, with other databases."""

from test_sqlite import *  # noqa: F403

from .child_config import ChildConfig

DATABASES = ChildConfig.from_environment().databases
TEST_RUNNER = "django_suite.recorder.RecordingRunner"
