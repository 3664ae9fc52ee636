"""Which statements change an SQLite session for those that follow."""

from __future__ import annotations

import re

_COMMENT = r"--[^\n]*|/\*.*?\*/"
_GAP = rf"(?:[\s;\ufeff]|{_COMMENT})"
_SUSPECT = re.compile(
    rf"""{_GAP}*+ (?:explain\b {_GAP}*+ (?:query\b {_GAP}*+ plan\b {_GAP}*+)?+)?+
    (?P<statement>(?:pragma|attach|detach|create)\b)
    """,
    re.DOTALL | re.IGNORECASE | re.VERBOSE,
)
_ANY_COMMENT = re.compile(_COMMENT, re.DOTALL)

# What has an argument and changes nothing by it: https://www.sqlite.org/pragma.html#pragfunc
# has them as functions, with an argument.
READING_PRAGMAS = (
    "foreign_key_check",
    "foreign_key_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "quick_check",
    "table_info",
    "table_list",
    "table_xinfo",
)
_NAME = r"""["'`\[]?\w+["'`\]]?"""
_HARMLESS = re.compile(
    rf"""
    pragma\s+ (?:{_NAME}\s*\.\s*)? (?:{_NAME}[\s;]*\Z | (?:{"|".join(READING_PRAGMAS)})\b)
    | create\b (?:(?!\btemp(?:orary)?\b)[^(])*+ (?:\(|\Z)
    """,
    re.IGNORECASE | re.VERBOSE,
)


def changes_session(text: str) -> bool:
    """Tell if a statement may change what holds for the connection after it.

    In doubt it does, which costs a connection. A setting without a value is only read.
    """
    found = _SUSPECT.match(text)
    if found is None:
        return False
    statement = _ANY_COMMENT.sub(" ", text[found.start("statement") :])
    return _HARMLESS.match(statement) is None
