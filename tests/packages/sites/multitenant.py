"""django-multitenant: each request reads the rows of its tenant."""

from __future__ import annotations

from django.db import models
from django.http import HttpRequest
from django_multitenant.models import TenantModel

from tests.packages.visits import Meet, Visits, views

TENANTS = 3


class Shop(TenantModel):
    name = models.CharField(max_length=50)

    class TenantMeta:
        tenant_field_name = "id"


class Order(TenantModel):
    shop = models.ForeignKey(Shop, models.CASCADE)
    text = models.CharField(max_length=50)

    class TenantMeta:
        tenant_field_name = "shop_id"


def tenant_of_request(request: HttpRequest) -> Shop:
    """What the project puts in the place of django_multitenant.views.get_tenant."""
    return Shop.objects.get(pk=int(request.GET["visitor"]) % TENANTS + 1)


def prepare() -> None:
    from django_multitenant import views as views_of_the_package

    views_of_the_package.get_tenant = tenant_of_request
    for number in range(TENANTS):
        shop = Shop.objects.create(pk=number + 1, name=f"shop {number}")
        Order.objects.create(shop=shop, text=f"of {number}")


def work(request: HttpRequest, meet: Meet) -> list[list[str]]:
    def texts() -> list[str]:
        return sorted({order.text for order in Order.objects.all()})

    before = texts()
    meet()
    return [before, texts()]


urlpatterns = views(work)


async def visit(visits: Visits) -> None:
    await visits.each_kind("orders", lambda number: [[f"of {number % TENANTS}"]] * 2)
