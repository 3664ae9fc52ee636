"""What the services know: for each the parts that can be asked for, and their items."""

from __future__ import annotations

CONTENTS: dict[str, dict[str, list[dict[str, str]]]] = {
    "promotions": {
        "offers": [
            {"title": "Two courses for one", "text": "Bring a friend, until the end of the month."},
            {"title": "Autumn reading list", "text": "Ten books that teachers here go back to."},
        ],
        "events": [
            {"title": "Open evening", "text": "Thursday at 18:00: ask us anything."},
            {"title": "Weaving workshop", "text": "Saturday at 10:00, with real looms."},
        ],
    },
    "recommendations": {
        "for-you": [
            {"title": "Patterns on paper", "text": "As you liked the first lesson on drafting."},
            {"title": "Colour and fibre", "text": "It follows from what you read last."},
        ],
        "popular": [
            {"title": "A history of the shuttle", "text": "Most read this week."},
            {"title": "Warp and weft in an hour", "text": "The course that most people finish."},
        ],
    },
}
