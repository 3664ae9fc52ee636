"""The settings module of the child process: Django's own for its tests, with other databases."""

from test_sqlite import *  # noqa: F403

from .child_config import ChildConfig
from .modes import MODES

_config = ChildConfig.from_environment()

DATABASES = _config.databases
TEST_RUNNER = "django_suite.recorder.RecordingRunner"
if _sync_views := MODES[_config.mode].sync_views:
    LOOM = {"SYNC_VIEWS": _sync_views}
