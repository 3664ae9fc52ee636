"""Django's own async methods of the ORM run on the loop: none of them makes a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.contrib.contenttypes.prefetch import GenericPrefetch
from django.db.models import Count, Model, QuerySet, aprefetch_related_objects
from django.shortcuts import aget_list_or_404, aget_object_or_404

from django_loom import run_sync
from tests.loops import LoopRunner
from tests.testapp.models import Author, Book, Note, Tag
from tests.threads import noting_threads

pytestmark = pytest.mark.usefixtures("db_tables")


class Shop:
    """Some rows, made anew for each test."""

    def __init__(self) -> None:
        self.ann = Author.objects.create(name="Ann")
        self.book = self.ann.books.create(title="Looms")
        self.tag = Tag.objects.create(name="craft")
        self.book.tags.add(self.tag)
        self.note = self.book.notes.create(text="good")
        self.other = Author.objects.create(name="Bea")

    def fresh_book(self) -> Book:
        return Book(title="Silk", author=self.ann)


AUTHORS = Author.objects
Case = Callable[[Shop], Awaitable[Any]]


async def _rows(queryset: Any) -> list[Any]:
    return [row async for row in queryset]


async def _contains(shop: Shop) -> None:
    assert await AUTHORS.acontains(shop.ann)


QUERYSET: dict[str, Case] = {
    "aaggregate": lambda shop: AUTHORS.aaggregate(Count("pk")),
    "abulk_create": lambda shop: AUTHORS.abulk_create([Author(name="1"), Author(name="2")]),
    "abulk_update": lambda shop: AUTHORS.abulk_update([shop.ann], ["name"]),
    "acontains": _contains,
    "acount": lambda shop: AUTHORS.acount(),
    "acreate": lambda shop: AUTHORS.acreate(name="Cid"),
    "adelete": lambda shop: AUTHORS.all().adelete(),
    "aearliest": lambda shop: AUTHORS.aearliest("name"),
    "aexists": lambda shop: AUTHORS.aexists(),
    "aexplain": lambda shop: AUTHORS.all().aexplain(),
    "afirst": lambda shop: AUTHORS.afirst(),
    "aget": lambda shop: AUTHORS.aget(name="Ann"),
    "aget_or_create": lambda shop: AUTHORS.aget_or_create(name="Cid"),
    "ain_bulk": lambda shop: AUTHORS.ain_bulk(),
    "aiterator": lambda shop: _rows(AUTHORS.prefetch_related("books").aiterator(1)),
    "alast": lambda shop: AUTHORS.alast(),
    "alatest": lambda shop: AUTHORS.alatest("name"),
    "aupdate": lambda shop: AUTHORS.aupdate(born=None),
    "aupdate_or_create": lambda shop: AUTHORS.aupdate_or_create(name="Ann"),
}
MODEL: dict[str, Case] = {
    "adelete": lambda shop: shop.other.adelete(),
    "arefresh_from_db": lambda shop: shop.ann.arefresh_from_db(),
    "asave": lambda shop: shop.fresh_book().asave(),
}
MANAGER = ["aadd", "aclear", "acreate", "aget_or_create", "aremove", "aset", "aupdate_or_create"]
ONE_TO_MANY: dict[str, Case] = {
    "aadd": lambda shop: shop.other.books.aadd(shop.book),
    "acreate": lambda shop: shop.ann.books.acreate(title="Silk"),
    "aget_or_create": lambda shop: shop.ann.books.aget_or_create(title="Silk"),
    "aset": lambda shop: shop.ann.books.aset([shop.book]),
    "aupdate_or_create": lambda shop: shop.ann.books.aupdate_or_create(title="Looms"),
}
MANY_TO_MANY: dict[str, Case] = {
    "aadd": lambda shop: shop.book.tags.aadd(shop.tag),
    "aclear": lambda shop: shop.book.tags.aclear(),
    "acreate": lambda shop: shop.book.tags.acreate(name="wool"),
    "aget_or_create": lambda shop: shop.book.tags.aget_or_create(name="wool"),
    "aremove": lambda shop: shop.book.tags.aremove(shop.tag),
    "aset": lambda shop: shop.tag.books.aset([shop.book]),
    "aupdate_or_create": lambda shop: shop.book.tags.aupdate_or_create(name="craft"),
}
GENERIC: dict[str, Case] = {
    "aadd": lambda shop: shop.book.notes.aadd(Note(text="new"), bulk=False),
    "aclear": lambda shop: shop.book.notes.aclear(),
    "acreate": lambda shop: shop.book.notes.acreate(text="new"),
    "aget_or_create": lambda shop: shop.book.notes.aget_or_create(text="new"),
    "aremove": lambda shop: shop.book.notes.aremove(shop.note),
    "aset": lambda shop: shop.book.notes.aset([shop.note]),
    "aupdate_or_create": lambda shop: shop.book.notes.aupdate_or_create(text="good"),
}


async def _generic_target(shop: Shop) -> None:
    note = await Note.objects.aget()
    assert await run_sync(lambda: note.target) == shop.book


async def _prefetch(shop: Shop) -> None:
    authors = await _rows(AUTHORS.prefetch_related("books__tags", "books__notes"))
    assert [tag.name for tag in authors[0].books.all()[0].tags.all()] == ["craft"]


async def _prefetch_objects(shop: Shop) -> None:
    await aprefetch_related_objects([shop.ann], "books__author")


async def _generic_prefetch(shop: Shop) -> None:
    prefetch = GenericPrefetch("target", [Book.objects.select_related("author")])
    (note,) = await _rows(Note.objects.prefetch_related(prefetch))
    assert note.target.author == shop.ann


async def _lazy_relation(shop: Shop) -> None:
    book = await Book.objects.aget()
    assert await run_sync(lambda: book.author) == shop.ann


async def _cascade(shop: Shop) -> None:
    await AUTHORS.filter(pk=shop.ann.pk).adelete()
    assert not await Note.objects.aexists()


OTHERS: dict[str, Case] = {
    "iteration": lambda shop: _rows(AUTHORS.all()),
    "iteration over values": lambda shop: _rows(AUTHORS.values("name")),
    "iteration over raw SQL": lambda shop: _rows(AUTHORS.raw("SELECT * FROM testapp_author")),
    "iteration over a manager": lambda shop: _rows(shop.ann.books.all()),
    "aget_object_or_404": lambda shop: aget_object_or_404(Author, name="Ann"),
    "aget_list_or_404": lambda shop: aget_list_or_404(Author.objects.all()),
    "generic foreign key": _generic_target,
    "generic prefetch": _generic_prefetch,
    "lazy relation": _lazy_relation,
    "prefetch": _prefetch,
    "aprefetch_related_objects": _prefetch_objects,
    "cascade": _cascade,
}
GROUPS = {
    "QuerySet": QUERYSET,
    "Model": MODEL,
    "one-to-many": ONE_TO_MANY,
    "many-to-many": MANY_TO_MANY,
    "generic": GENERIC,
    "others": OTHERS,
}
CASES = {f"{group} {name}": case for group, each in GROUPS.items() for name, case in each.items()}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_no_thread(case: Case) -> None:
    async def main() -> None:
        shop = await run_sync(Shop)
        await run_sync(ContentType.objects.get_for_models, Author, Book)
        with noting_threads() as noted:
            await case(shop)
            await asyncio.gather(*[AUTHORS.acount() for _ in range(3)])
        assert noted == []

    LoopRunner("asyncio")(main)


def async_methods(owner: Any) -> set[str]:
    return {name for name in dir(owner) if iscoroutinefunction(getattr(owner, name, None))}


def test_no_async_method_is_left_out() -> None:
    assert async_methods(QuerySet) | {"aiterator"} == set(QUERYSET)
    assert async_methods(Model) == set(MODEL)
    ann, book = Author(pk=1), Book(pk=1)
    own = set(MANAGER)
    assert async_methods(type(ann.books)) & own - {"aclear", "aremove"} == set(ONE_TO_MANY)
    assert async_methods(type(book.tags)) & own == set(MANY_TO_MANY) == own
    assert async_methods(type(book.notes)) & own == set(GENERIC) == own
