"""What a record keeps, and what it leaves out."""

from __future__ import annotations

from django.test import SimpleTestCase

from demo.under_the_hood.records import MAX_NOTES, History, Note, Record, most_at_once


class RecordTests(SimpleTestCase):
    """One request's record."""

    def test_every_query_is_counted_and_a_limited_number_kept(self) -> None:
        record = Record("GET", "/")
        for _ in range(MAX_NOTES + 5):
            record.end(record.begin_query("SELECT 1"))
        assert (record.queries, len(record.query_notes)) == (MAX_NOTES + 5, MAX_NOTES)

    def test_what_ends_after_the_request_stays_open(self) -> None:
        record = Record("GET", "/")
        note = record.begin_hop("a thread")
        record.finish(200)
        record.end(note)
        assert note.ended is None

    def test_times_are_within_the_request(self) -> None:
        record = Record("GET", "/")
        note = record.begin_query("SELECT 1")
        record.end(note, failed=True)
        record.finish(200)
        assert note.began >= 0
        assert note.began <= note.ended
        assert note.ended <= record.milliseconds
        assert note.failed


class MostAtOnceTests(SimpleTestCase):
    """How many notes lasted at the same moment."""

    def test_none(self) -> None:
        assert most_at_once([]) == 0

    def test_one_after_the_other(self) -> None:
        assert most_at_once([Note("a", 0, 1), Note("b", 1, 2)]) == 1

    def test_side_by_side(self) -> None:
        notes = [Note("a", 0, 5), Note("b", 1, 2), Note("c", 1.5, 6), Note("d", 5.5, 7)]
        assert most_at_once(notes) == 3

    def test_what_has_not_ended_is_left_out(self) -> None:
        assert most_at_once([Note("a", 0), Note("b", 1, 2)]) == 1


class HistoryTests(SimpleTestCase):
    """The ring of the last records."""

    def test_the_oldest_fall_out(self) -> None:
        history = History(2)
        records = [Record("GET", f"/{each}") for each in range(3)]
        for record in records:
            history.add(record)
        assert [each.path for each in history.newest_first()] == ["/2", "/1"]
        assert history.find(records[0].number) is None
        assert history.find(records[2].number) is records[2]
