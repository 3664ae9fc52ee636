"""The lab's progress bar, read from its output."""

from __future__ import annotations

from django.test import SimpleTestCase

from demo.laboratory.reading import BarReader, Step

OUTPUT = (
    "\x1b[?25lfan-out ━━━━╸      1/6 -:--:-- home-gathered at 10: 18.7/s, p50 213 ms"
    "\r\x1b[2Kfan-out ━━━━╸      2/6 0:00:01 home-sync at 2: 4.3/s, p50 206 ms\r\x1b[2K"
    "\n\x1b[?25hReport: out/report.html\n"
)


class BarReaderTests(SimpleTestCase):
    """What is found in the output."""

    def test_the_newest_state_counts(self) -> None:
        reader = BarReader()
        assert reader.feed(OUTPUT) == Step(2, 6, "home-sync at 2: 4.3/s, p50 206 ms")
        assert list(reader.other_lines) == ["Report: out/report.html"]

    def test_it_may_be_cut_anywhere(self) -> None:
        for cut in range(len(OUTPUT)):
            reader = BarReader()
            steps = [reader.feed(OUTPUT[:cut]), reader.feed(OUTPUT[cut:])]
            assert [each for each in steps if each][-1].done == 2, cut
            assert list(reader.other_lines) == ["Report: out/report.html"], cut

    def test_output_without_an_end_of_line_is_not_kept_for_ever(self) -> None:
        reader = BarReader()
        for _ in range(10):
            assert reader.feed("x" * 1000) is None
        assert reader.feed("\n") is None
        assert len(reader.other_lines[0]) <= 2000
