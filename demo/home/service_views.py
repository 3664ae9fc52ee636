"""The form that sets the services' delay and failures: a page, and a part of the first one."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.views.decorators.http import require_http_methods
from django.views.decorators.vary import vary_on_headers

from demo.project.clients import client

from .forms import PRESETS, BehaviourForm, behaviour_forms, preset_values
from .service_settings import Values, read_all, set_all

Results = dict[str, Values | str]


@vary_on_headers("HX-Request")
@require_http_methods(["GET", "POST"])
async def services(request: HttpRequest) -> HttpResponse:
    """Show the services' settings, and set them."""
    if request.method == "POST":
        return await _set(request)
    async with client(request) as http:
        results = await read_all(http)
    return _show(request, behaviour_forms(initial=_known(results)), results)


async def _set(request: HttpRequest) -> HttpResponse:
    preset = request.POST.get("preset", "")
    forms = behaviour_forms(request.POST)
    if preset in PRESETS:
        values = preset_values(preset)
    elif all([form.is_valid() for form in forms]):  # noqa: C419 - each is to have its errors
        values = {str(form.prefix): form.cleaned_data for form in forms}
    else:
        return _show(request, forms, {}, status=422)
    async with client(request) as http:
        results = await set_all(http, values)
    return _confirm(request, values, results)


def _confirm(request: HttpRequest, values: dict[str, Values], results: Results) -> HttpResponse:
    if "HX-Request" not in request.headers:
        for problem in _problems(results):
            messages.error(request, problem)
        if not _problems(results):
            messages.success(request, "The services are set.")
        return redirect("home:index")
    response = _show(request, behaviour_forms(initial=values), results, saved=True)
    response.headers["HX-Trigger"] = "services-changed"
    return response


def _show(
    request: HttpRequest,
    forms: list[BehaviourForm],
    results: Results,
    saved: bool = False,
    status: int = 200,
) -> HttpResponse:
    context: dict[str, Any] = {
        "forms": forms,
        "presets": [(key, title) for key, (title, _) in PRESETS.items()],
        "problems": _problems(results),
        "saved": saved,
    }
    is_part = "HX-Request" in request.headers
    template = "home/services_part.html" if is_part else "home/services.html"
    return TemplateResponse(request, template, context, status=status)


def _known(results: Results) -> dict[str, Values]:
    return {name: result for name, result in results.items() if isinstance(result, dict)}


def _problems(results: Results) -> list[str]:
    return [
        f"{name.capitalize()} {result}; its settings are not known."
        for name, result in results.items()
        if isinstance(result, str)
    ]
