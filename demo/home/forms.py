"""The form for how the services behave."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings

from demo.services.behaviour import MAX_DELAY, Behaviour

_NORMAL = Behaviour().as_json()

# What the buttons below the form set, for each service; what they leave out is normal.
PRESETS: dict[str, tuple[str, dict[str, dict[str, int]]]] = {
    "normal": ("Both well", {}),
    "slow": ("Promotions too slow", {"promotions": {"delay": 3000, "failures": 0}}),
    "down": ("Recommendations down", {"recommendations": {"delay": 20, "failures": 100}}),
}


class BehaviourForm(forms.Form):
    """One service's delay and failures."""

    delay = forms.IntegerField(label="Delay in milliseconds", min_value=0, max_value=MAX_DELAY)
    failures = forms.IntegerField(label="Failures in percent", min_value=0, max_value=100)

    @property
    def title(self) -> str:
        """The service's name."""
        return str(self.prefix).capitalize()


def behaviour_forms(data: Any = None, initial: Any = None) -> list[BehaviourForm]:
    """Return a form for each service.

    :param data: what was submitted, if anything was.
    :param initial: what each service is set to, where that is known.
    """
    initial = initial or {}
    return [
        BehaviourForm(data, prefix=name, initial=initial.get(name)) for name in settings.SERVICES
    ]


def preset_values(preset: str) -> dict[str, dict[str, int]]:
    """Return what a preset sets each service to.

    :raises KeyError: there is no such preset.
    """
    _, special = PRESETS[preset]
    return {name: special.get(name, _NORMAL) for name in settings.SERVICES}
