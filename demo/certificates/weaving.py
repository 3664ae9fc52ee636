"""The woven ornaments of the certificate."""

from __future__ import annotations

from math import cos, pi, sin

from reportlab.pdfgen.canvas import Canvas

from .layout import HEIGHT, PAPER, SHADE, WARP, WEFT, WIDTH

CELL = 4.8
INSET = 20.0
ROWS = 4
# A twill: which thread lies on top, by column and row.
TWILL = 4


def frame(canvas: Canvas) -> None:
    """Weave a band along the four edges of the page."""
    columns = round((WIDTH - 2 * INSET) / CELL)
    rows = round((HEIGHT - 2 * INSET) / CELL)
    across, up = (WIDTH - 2 * INSET) / columns, (HEIGHT - 2 * INSET) / rows
    canvas.setFillColor(SHADE)
    for column in range(columns):
        for row in range(rows):
            if min(column, row, columns - 1 - column, rows - 1 - row) < ROWS:
                over = (column + row) % TWILL < TWILL // 2
                _crossing(canvas, INSET + column * across, INSET + row * up, across, up, over)


def _crossing(
    canvas: Canvas, x: float, y: float, width: float, height: float, warp_over: bool
) -> None:
    """Draw the place where two threads cross: the one on top, and a hint of the other."""
    gap = 0.55
    canvas.setFillColor(WARP if warp_over else WEFT)
    if warp_over:
        canvas.rect(x + gap, y, width - 2 * gap, height, stroke=0, fill=1)
    else:
        canvas.rect(x, y + gap, width, height - 2 * gap, stroke=0, fill=1)


def emblem(canvas: Canvas, x: float, y: float, size: float) -> None:
    """Draw the academy's emblem, three threads over three, with its middle at x and y."""
    third = size / 3
    canvas.saveState()
    canvas.translate(x, y)
    canvas.setLineCap(1)
    canvas.setLineWidth(size / 6)
    canvas.setStrokeColor(WARP)
    for step in (-1, 0, 1):
        canvas.line(step * third, -size / 2, step * third, size / 2)
    for step in (-1, 0, 1):
        for column in (-1, 0, 1):
            if (step + column) % 2 == 0:
                _over(canvas, column * third, step * third, third)
    canvas.restoreState()


def _over(canvas: Canvas, x: float, y: float, length: float) -> None:
    """Draw a piece of weft that lies over a warp thread, with a rim of paper."""
    width = length / 2
    for colour, thickness in ((PAPER, width + 1.6), (WEFT, width)):
        canvas.setStrokeColor(colour)
        canvas.setLineWidth(thickness)
        canvas.line(x - length * 0.36, y, x + length * 0.36, y)
    canvas.setStrokeColor(WARP)


def seal(canvas: Canvas, x: float, y: float, radius: float) -> None:
    """Draw a rosette of two threads that wind about each other."""
    canvas.saveState()
    canvas.translate(x, y)
    for colour, turn in ((WARP, 0.0), (WEFT, pi / 18)):
        canvas.setStrokeColor(colour)
        canvas.setLineWidth(1.1)
        for scale in (1.0, 0.82):
            _petals(canvas, radius * scale, turn)
    canvas.restoreState()
    emblem(canvas, x, y, radius * 0.62)


def _petals(canvas: Canvas, radius: float, turn: float) -> None:
    path = canvas.beginPath()
    steps = 360
    for step in range(steps + 1):
        angle = 2 * pi * step / steps
        length = radius * (1 + 0.07 * sin(18 * (angle + turn)))
        point = length * cos(angle), length * sin(angle)
        (path.lineTo if step else path.moveTo)(*point)
    path.close()
    canvas.drawPath(path, stroke=1, fill=0)
