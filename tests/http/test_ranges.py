"""Range, If-Range and Content-Range, as RFC 9110 has them."""

from __future__ import annotations

import pytest

from django_loom.http.ranges import content_range, if_range_holds, requested_range

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
NEXT_SECOND = "Sun, 06 Nov 1994 08:49:38 GMT"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", range(1)),
        ("bytes=0-499", range(500)),
        ("bytes=500-", range(500, 1000)),
        ("bytes=999-", range(999, 1000)),
        ("bytes=-1", range(999, 1000)),
        ("bytes=-1000", range(1000)),
        ("bytes=-1001", range(1000)),
        ("bytes=900-1000", range(900, 1000)),
        ("bytes=900-99999", range(900, 1000)),
        ("bytes=007-0008", range(7, 9)),
        (f"bytes=5-{'9' * 150}", range(5, 1000)),
        (f"bytes=-{'9' * 150}", range(1000)),
    ],
)
def test_one_range_is_cut_to_the_size(header: str, expected: range) -> None:
    assert requested_range(header, 1000) == expected


@pytest.mark.parametrize(
    "header",
    [
        "BYTES=1-2",
        "Bytes=1-2",
        "  bytes=1-2\t",
        "bytes= 1-2",
        "bytes=1-2 ",
        "bytes=,1-2",
        "bytes=, ,\t1-2 , ,",
    ],
)
def test_case_and_space_and_empty_elements_do_not_matter(header: str) -> None:
    assert requested_range(header, 10) == range(1, 3)


@pytest.mark.parametrize(
    "header",
    ["bytes=1000-", "bytes=1000-1000", "bytes=5000-6000", "bytes=-0", f"bytes={'9' * 150}-"],
)
def test_what_lies_outside_is_an_empty_range(header: str) -> None:
    part = requested_range(header, 1000)
    assert part is not None
    assert not part


@pytest.mark.parametrize(
    "header",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=,",
        "bytes=5",
        "bytes=a-b",
        "bytes=1-b",
        "bytes=5-4",
        "bytes=1--2",
        "bytes=--2",
        "bytes=+1-2",
        "bytes=1 - 2",
        "bytes=1_0-20",
        "bytes=0x1-2",
        "bytes=1.0-2",
        "bytes=1-2;q=1",
        "bytes =1-2",
        "bytes:1-2",
        "octets=1-2",
        "items=1-2",
        "bytes=\N{ARABIC-INDIC DIGIT ONE}-",
        "byte\N{LATIN SMALL LETTER LONG S}=1-2",
        "bytes=1-2\n",
        "bytes=1-2\0",
    ],
)
def test_what_is_malformed_or_of_another_unit_is_ignored(header: str) -> None:
    assert requested_range(header, 1000) is None


@pytest.mark.parametrize(
    "header",
    ["bytes=0-1,3-4", "bytes=0-0, -1", "bytes=0-1,5000-", "bytes=0-,0-,0-,0-", "bytes=0-1,x"],
)
def test_several_ranges_are_ignored(header: str) -> None:
    assert requested_range(header, 1000) is None


@pytest.mark.parametrize(
    "header",
    ["bytes=" + "0-," * 300_000, "bytes=" + "9" * 1_000_000 + "-", "bytes=" + "," * 1_000_000],
)
def test_a_header_of_great_length_is_ignored(header: str) -> None:
    assert requested_range(header, 1000) is None


def test_nothing_has_no_first_byte() -> None:
    assert requested_range("bytes=0-", 0) == range(0)
    assert requested_range("bytes=0-0", 0) == range(0)
    assert requested_range("bytes=-0", 0) == range(0)


def test_the_end_of_nothing_is_all_of_it() -> None:
    assert requested_range("bytes=-5", 0) is None


def test_a_file_may_be_larger_than_any_machine_word() -> None:
    part = requested_range(f"bytes={2**70}-", 2**70 + 5)
    assert part is not None
    assert content_range(part, 2**70 + 5) == f"bytes {2**70}-{2**70 + 4}/{2**70 + 5}"


def test_content_range_of_a_part_and_of_none() -> None:
    assert content_range(range(500), 1234) == "bytes 0-499/1234"
    assert content_range(range(7, 8), 8) == "bytes 7-7/8"
    assert content_range(range(0), 1234) == "bytes */1234"
    assert content_range(range(0), 0) == "bytes */0"


@pytest.mark.parametrize(
    ("header", "etag", "holds"),
    [
        ('"a"', '"a"', True),
        (' "a" ', '"a"', True),
        ('"a"', '"b"', False),
        ('"a"', 'W/"a"', False),
        ('W/"a"', '"a"', False),
        ('W/"a"', 'W/"a"', False),
        ('"a", "b"', '"a"', False),
        ('"a"', None, False),
        ("*", '"a"', False),
        ("", '"a"', False),
        ("a", '"a"', False),
    ],
)
def test_if_range_with_an_entity_tag_compares_strongly(
    header: str, etag: str | None, holds: bool
) -> None:
    assert if_range_holds(header, etag, DATE) is holds


@pytest.mark.parametrize(
    ("header", "last_modified", "holds"),
    [
        (DATE, DATE, True),
        ("Sunday, 06-Nov-94 08:49:37 GMT", DATE, True),
        ("Sun Nov  6 08:49:37 1994", DATE, True),
        (NEXT_SECOND, DATE, False),
        (DATE, NEXT_SECOND, False),
        (DATE, None, False),
        ("yesterday", "yesterday", False),
        ("yesterday", None, False),
    ],
)
def test_if_range_with_a_date_wants_the_very_second(
    header: str, last_modified: str | None, holds: bool
) -> None:
    assert if_range_holds(header, '"a"', last_modified) is holds
