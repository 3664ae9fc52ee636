"""The part of the suite that runs in CI: everything that meets the ORM, and takes no time."""

from collections.abc import Iterable

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


def for_ci(packages: Iterable[str]) -> list[str]:
    """What is left after the packages above: some nine tenths of those that touch a database."""
    return [package for package in packages if package not in LEFT_OUT]
