"""Which packages run in which mode, and which of them in CI."""

from collections.abc import Iterable

from .modes import Mode

# Packages that need long for what they say about a database engine, or never meet one.
LEFT_OUT = frozenset(
    {
        "admin_scripts",  # starts hundreds of processes
        "admin_views",
        "cache",  # waits for keys to expire
        "forms_tests",
        "i18n",
        "migrations",
        "schema",
        "sphinx",
        "staticfiles_tests",
        "template_backends",
        "template_tests",
        "test_runner",
        "utils_tests",
    }
)

# What sends requests, or makes middleware, requests or responses by hand; and all of admin_*.
HTTP = frozenset(
    {
        "asgi",
        "async",
        "auth_tests",
        "cache",
        "conditional_processing",
        "contenttypes_tests",
        "context_processors",
        "csrf_tests",
        "decorators",
        "deprecation",
        "file_uploads",
        "flatpages_tests",
        "generic_inline_admin",
        "generic_views",
        "handlers",
        "httpwrappers",
        "i18n",
        "logging_tests",
        "messages_tests",
        "middleware",
        "middleware_exceptions",
        "redirects_tests",
        "requests_tests",
        "responses",
        "sessions_tests",
        "shortcuts",
        "signed_cookies_tests",
        "sitemaps_tests",
        "sites_framework",
        "staticfiles_tests",
        "syndication_tests",
        "template_tests",
        "test_client",
        "test_client_regress",
        "test_utils",
        "urlpatterns",
        "urlpatterns_reverse",
        "view_tests",
    }
)

# With views that read what a TestCase has written, in the admin and for sessions.
HTTP_IN_CI = frozenset(
    {
        "admin_changelist",
        "asgi",
        "csrf_tests",
        "file_uploads",
        "generic_views",
        "handlers",
        "middleware_exceptions",
        "sessions_tests",
        "test_client",
        "view_tests",
    }
)


def choose(packages: Iterable[str], mode: Mode, ci: bool) -> list[str]:
    """Return the packages that ``mode`` runs when none are named."""
    return [package for package in packages if _runs(package, mode, ci)]


def _runs(package: str, mode: Mode, ci: bool) -> bool:
    if mode.sync_views and ci:
        return package in HTTP_IN_CI
    if mode.sync_views:
        return package in HTTP or (package.startswith("admin_") and package != "admin_scripts")
    return not ci or package not in LEFT_OUT
