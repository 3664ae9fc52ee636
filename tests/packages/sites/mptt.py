"""django-mptt: trees that grow at the same time, some with their updates delayed."""

from __future__ import annotations

from contextlib import nullcontext

from django.db import models
from django.http import HttpRequest
from mptt.models import MPTTModel, TreeForeignKey

from tests.packages.visits import KINDS, VISITORS, Meet, Visits, number_of, views


class Node(MPTTModel):
    name = models.CharField(max_length=50)
    parent = TreeForeignKey("self", models.CASCADE, null=True, related_name="children")


def prepare() -> None:
    for kind in KINDS:
        for number in range(VISITORS):
            Node.objects.create(name=f"/{kind}/ {number}")


def work(request: HttpRequest, meet: Meet) -> list[list[object]]:
    """Grow a tree of one's own by a child and a grandchild."""
    number = number_of(request)
    root = Node.objects.get(name=f"{request.path} {number}")
    delayed = Node.objects.delay_mptt_updates() if number % 2 else nullcontext()
    with delayed:
        child = Node.objects.create(name="child", parent=root)
        meet()
        Node.objects.create(name="grandchild", parent=child)
    tree = Node.objects.filter(tree_id=root.tree_id).order_by("pk")
    return [[node.name.split()[-1], node.lft, node.rght, node.level] for node in tree]


urlpatterns = views(work)


async def visit(visits: Visits) -> None:
    await visits.each_kind(
        "trees",
        lambda number: [[str(number), 1, 6, 0], ["child", 2, 5, 1], ["grandchild", 3, 4, 2]],
    )
