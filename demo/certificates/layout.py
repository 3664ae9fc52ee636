"""Where things are on the certificate, in points from the lower left corner, and its colours.

The template leaves room for what is stamped on it, so both go by this.
"""

from __future__ import annotations

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4, landscape

PAGE = landscape(A4)
WIDTH, HEIGHT = PAGE
CENTRE = WIDTH / 2

NAME_BASELINE = 300
NAME_SIZE = 46
NAME_WIDTH = 600
COURSE_BASELINE = 202
COURSE_SIZE = 24
COURSE_WIDTH = 560
FOOT_BASELINE = 94
FOOT_SIZE = 12
FOOT_LEFT, FOOT_RIGHT = 196, WIDTH - 196
FOOT_WIDTH = 190

PAPER = HexColor("#fdfaf1")
INK = HexColor("#22302d")
FADED = HexColor("#6a716c")
WARP = HexColor("#0b6e62")
WEFT = HexColor("#d99a3a")
SHADE = HexColor("#f3e9d3")
