"""What the services know: for each the parts that can be asked for, and their items."""

from __future__ import annotations

CONTENTS: dict[str, dict[str, list[dict[str, str]]]] = {
    "promotions": {
        "offers": [
            {"title": "Two courses for one", "text": "Love and monsters, until the month ends."},
            {"title": "Long winter list", "text": "Ten novels of more than 400 pages."},
        ],
        "events": [
            {"title": "Open evening", "text": "Thursday at 18:00: meet the teachers."},
            {"title": "Read aloud", "text": "Saturday at 10:00: a chapter of Dracula."},
        ],
    },
    "recommendations": {
        "for-you": [
            {"title": "Silas Marner", "text": "A weaver, his gold, and what he finds instead."},
            {"title": "Frankenstein", "text": "As everybody should once."},
        ],
        "popular": [
            {"title": "Pride and Prejudice", "text": "Most read this week."},
            {"title": "Monsters and Machines", "text": "The course that most people finish."},
        ],
    },
}
