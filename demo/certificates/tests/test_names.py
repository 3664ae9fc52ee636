"""Which names a certificate takes, and what it says to the others."""

from __future__ import annotations

import unicodedata
from string import ascii_letters

import pytest
from django.core.exceptions import ValidationError
from django.test import SimpleTestCase

from demo.certificates.fonts import ITALIC, REGULAR, missing, printable
from demo.certificates.names import clean_name

VIETNAMESE = "àáảãạăằắẳẵặâầấẩẫậèéẻẽẹêềếểễệìíỉĩịòóỏõọôồốổỗộơờớởỡợùúủũụưừứửữựỳýỷỹỵđ"
CYRILLIC = "".join(map(chr, range(0x400, 0x460))) + "ҐґӘәҒғҚқҢңӨөҰұҮүҺһ"
LATIN = "".join(map(chr, range(0xC0, 0x180)))


class TypefaceTests(SimpleTestCase):
    def test_both_typefaces_have_the_three_scripts(self) -> None:
        letters = ascii_letters + LATIN + VIETNAMESE + VIETNAMESE.upper() + CYRILLIC
        for name in (ITALIC, REGULAR):
            assert missing(letters, name) == []

    def test_a_title_from_the_admin_gets_a_mark_for_what_is_missing(self) -> None:
        assert printable("Tơ 🎉 lụa 漢") == "Tơ \ufffd lụa \ufffd"


class NameTests(SimpleTestCase):
    def refusal(self, name: str) -> str:
        with pytest.raises(ValidationError) as refused:
            clean_name(name)
        return " ".join(refused.value.messages)

    def test_names_of_three_scripts_stay_as_they_are(self) -> None:
        for name in ("Nguyễn Thị Ánh", "Анна Каренина", "Zoë O’Brien-Łukasz, Jr. 2"):  # noqa: RUF001
            assert clean_name(name) == name

    def test_accents_become_one_with_their_letters(self) -> None:
        loose = unicodedata.normalize("NFD", "Nguyễn Thị Ánh")
        assert len(loose) > len("Nguyễn Thị Ánh")
        assert clean_name(loose) == "Nguyễn Thị Ánh"

    def test_accents_without_a_letter_of_their_own_are_kept(self) -> None:
        assert clean_name("Ṣẹ́gun") == "Ṣẹ́gun"

    def test_lines_and_spaces_become_one_space(self) -> None:
        assert clean_name("  Ann\t\r\n  Weaver\u2003 ") == "Ann Weaver"

    def test_empty_and_too_long(self) -> None:
        assert "Write the name" in self.refusal(" \n ")
        assert clean_name("x" * 80)
        assert "80 characters at most; these are 81" in self.refusal("x" * 81)

    def test_invisible_characters_are_named_by_their_codes(self) -> None:
        for sign, code in {
            "\0": "U+0000",
            "\x1b": "U+001B",
            "\u202e": "U+202E",  # turns what follows around
            "\u200b": "U+200B",
            "\ud800": "U+D800",  # half of a character
            "\ue000": "U+E000",
            "\U000e0041": "U+E0041",
        }.items():
            with self.subTest(code):
                assert code in self.refusal(f"Ann{sign}Weaver")

    def test_what_the_typeface_lacks_is_named(self) -> None:
        for name, shown in {
            "Ann 🎉": "🎉",
            "שרה": "ש ר ה",
            "محمد": "م ح د",
            "王小明": "王 小 明",
            "👩\u200d👩": "👩",
            "A\ufffdnn": "\ufffd",
        }.items():
            with self.subTest(name):
                assert f"can't show: {shown}." in self.refusal(name)

    def test_a_tower_of_accents_is_refused(self) -> None:
        assert "too many accents" in self.refusal("A" + "\u0336\u0321\u0322" * 20)

    def test_a_name_has_letters(self) -> None:
        assert "has letters" in self.refusal("12 - 3")
