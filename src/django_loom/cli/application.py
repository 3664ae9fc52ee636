"""The application that ``loom serve`` is given, looked at before anything is started."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec

from .refusal import WrongCall


def check_application(app: str, whole: bool) -> None:
    """Find what would only be found in each worker, or after the pools are open.

    :param whole: import it, for this process will serve it.
    :raises WrongCall: there is no such module, or no such attribute in it.
    """
    module_name, _, attributes = app.partition(":")
    if not all(name.isidentifier() for name in [*module_name.split("."), *attributes.split(".")]):
        raise WrongCall(
            f"{app!r} must be written as module:attribute, as in mysite.asgi:application"
        )
    try:
        spec = find_spec(module_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise
        spec = None
    if spec is None:
        raise WrongCall(
            f"there is no module {module_name!r} in {os.getcwd()}, nor on the Python path"
        )
    if not whole:
        return
    found = import_module(module_name)
    for name in attributes.split("."):
        if not hasattr(found, name):
            raise WrongCall(f"the module {module_name!r} has no {attributes!r}")
        found = getattr(found, name)
