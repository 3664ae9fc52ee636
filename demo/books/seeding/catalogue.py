"""The books of the library: real titles, all out of copyright; the descriptions are ours."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Title:
    """A book, as the library gets it."""

    title: str
    author: str
    year: int
    description: str


# Name: years of birth and death.
AUTHORS = {
    "Jane Austen": (1775, 1817),
    "Charlotte Brontë": (1816, 1855),
    "Emily Brontë": (1818, 1848),
    "George Eliot": (1819, 1880),
    "Charles Dickens": (1812, 1870),
    "Leo Tolstoy": (1828, 1910),
    "Fyodor Dostoevsky": (1821, 1881),
    "Gustave Flaubert": (1821, 1880),
    "Victor Hugo": (1802, 1885),
    "Nguyễn Du": (1766, 1820),
    "Mary Shelley": (1797, 1851),
    "Bram Stoker": (1847, 1912),
    "H. G. Wells": (1866, 1946),
    "Jules Verne": (1828, 1905),
    "Robert Louis Stevenson": (1850, 1894),
    "Herman Melville": (1819, 1891),
}

MANNERS = [
    Title(
        "Pride and Prejudice",
        "Jane Austen",
        1813,
        "Elizabeth Bennet is sure what kind of man Mr Darcy is, and he of what her family is "
        "worth. Both find out, slowly and with much wit, how wrong a quick judgement can be.",
    ),
    Title(
        "Sense and Sensibility",
        "Jane Austen",
        1811,
        "Two sisters lose their home and fall in love: Elinor hides what she feels, Marianne "
        "hides nothing. Neither way spares them.",
    ),
    Title(
        "Jane Eyre",
        "Charlotte Brontë",
        1847,
        "An orphan becomes a governess in a house where somebody laughs behind a locked door. She "
        "loves its master, and still will not be less than his equal.",
    ),
    Title(
        "Wuthering Heights",
        "Emily Brontë",
        1847,
        "On the moors, Heathcliff and Catherine cannot live with each other nor apart, and two "
        "families pay for it over two generations.",
    ),
    Title(
        "Silas Marner",
        "George Eliot",
        1861,
        "A lonely linen weaver loses the gold that he has saved at his loom. What he finds by his "
        "hearth in its place is a child.",
    ),
    Title(
        "Middlemarch",
        "George Eliot",
        1871,
        "A whole provincial town: its marriages, debts, votes and ambitions, and Dorothea Brooke, "
        "who wants to do some good in it and marries the wrong scholar.",
    ),
    Title(
        "Great Expectations",
        "Charles Dickens",
        1861,
        "Pip helps a convict on the marshes, falls for Estella, and comes into money from he "
        "knows not whom. Growing up means learning who his friends were.",
    ),
    Title(
        "Anna Karenina",
        "Leo Tolstoy",
        1878,
        "Anna leaves her husband for an officer, and society shuts its doors. In the country, "
        "Levin mows with his peasants and asks himself how one should live.",
    ),
    Title(
        "Madame Bovary",
        "Gustave Flaubert",
        1857,
        "A country doctor's wife has read too many novels. She looks for their passion in two "
        "lovers and on credit, while the apothecary talks.",
    ),
    Title(
        "The Tale of Kiều",
        "Nguyễn Du",
        1820,
        "A poem of more than three thousand lines: gifted Thúy Kiều sells herself to save her "
        "father, and keeps her heart through fifteen years of misfortune.",
    ),
]

MONSTERS = [
    Title(
        "Frankenstein",
        "Mary Shelley",
        1818,
        "A student makes a living being and runs away from it. The being learns to read, asks for "
        "kindness, finds none, and comes to ask his maker why.",
    ),
    Title(
        "Dracula",
        "Bram Stoker",
        1897,
        "Letters, diaries and telegrams tell of a count who wants to buy a house in England, and "
        "of the friends who find out what he is.",
    ),
    Title(
        "The Time Machine",
        "H. G. Wells",
        1895,
        "A traveller comes late to his own dinner with a story of the year 802,701: gentle people "
        "above the ground, and others below it.",
    ),
    Title(
        "The War of the Worlds",
        "H. G. Wells",
        1898,
        "Cylinders from Mars fall on the commons of Surrey. Within days the roads are full, "
        "London is empty, and nothing that people have built helps.",
    ),
    Title(
        "Twenty Thousand Leagues Under the Seas",
        "Jules Verne",
        1870,
        "A professor hunts a sea monster that turns out to be a submarine. Its captain, Nemo, "
        "shows him the oceans, and will not let him go.",
    ),
    Title(
        "Around the World in Eighty Days",
        "Jules Verne",
        1873,
        "Phileas Fogg bets half of what he owns on a railway timetable. With him travel his "
        "servant, a detective who takes him for a thief, and bad luck.",
    ),
    Title(
        "Strange Case of Dr Jekyll and Mr Hyde",
        "Robert Louis Stevenson",
        1886,
        "A lawyer wonders what hold the brutal Hyde has over his respectable friend. The answer "
        "is in a laboratory, and in a sealed letter.",
    ),
    Title(
        "Moby-Dick",
        "Herman Melville",
        1851,
        "Ishmael signs on to a whaler whose captain cares for one whale only. There is room on "
        "the way for everything that can be known about whales.",
    ),
    Title(
        "Les Misérables",
        "Victor Hugo",
        1862,
        "Jean Valjean stole a loaf of bread and served nineteen years for it. He becomes an "
        "honest man; the law, in the person of Javert, does not believe it.",
    ),
    Title(
        "Crime and Punishment",
        "Fyodor Dostoevsky",
        1866,
        "A poor student in Petersburg reasons himself into a murder, and finds that he cannot "
        "reason himself out of having done it.",
    ),
]
