"""The users of the demo, the courses, and what was thought of a few books."""

from __future__ import annotations

PASSWORD = "loom-demo"

# User name: first name, last name, may use the admin.
USERS = {
    "ann": ("Ann", "Weaver", False),
    "bob": ("Bob", "Dyer", False),
    "admin": ("Ada", "Admin", True),
}

# Slug: title, summary.
COURSES = {
    "love-money-and-manners": (
        "Love, Money and Manners",
        "Ten novels about what people owe to each other, and to themselves, from the drawing "
        "rooms of Hertfordshire to the court of Kiều.",
    ),
    "monsters-and-machines": (
        "Monsters and Machines",
        "Ten stories of people who made something, or met something, that they could not master: "
        "a creature, a white whale, a time machine, the law.",
    ),
}

# Who is enrolled where when the site is new.
ENROLMENTS = [
    ("ann", "love-money-and-manners"),
    ("ann", "monsters-and-machines"),
    ("bob", "monsters-and-machines"),
]

# Slug of the book, reader, rating, text.
REVIEWS = [
    (
        "pride-and-prejudice",
        "ann",
        5,
        "The letter in the middle turns the whole book over. I laughed at every word of Mr "
        "Collins.",
    ),
    (
        "pride-and-prejudice",
        "bob",
        4,
        "I expected lace and got the sharpest jokes of the year. A little long in the drawing "
        "room.",
    ),
    (
        "silas-marner",
        "bob",
        5,
        "Short, warm, and the only novel I know in which the loom is nearly a character.",
    ),
    (
        "frankenstein",
        "ann",
        4,
        "The creature speaks better than his maker. I did not expect to take his side.",
    ),
    (
        "moby-dick",
        "bob",
        3,
        "Wonderful when it sails, heavy going when it counts the bones. I am glad to have read it.",
    ),
]
