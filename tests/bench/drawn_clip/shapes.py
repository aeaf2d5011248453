"""The things that drawn pictures show: 85 nouns, each a few strokes on a square of 100 by 100.

A stroke is a letter and numbers: o ellipse and r rectangle (x0 y0 x1 y1), p polygon (x y ...),
l line (width x y ...), a arc (width x0 y0 x1 y1 from to, in degrees). Small letters draw in the
thing's colour, capitals in the colour of the paper.
"""

from __future__ import annotations

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]

COLOURS: dict[str, Colour] = {
    "red": (214, 30, 38),
    "orange": (245, 136, 22),
    "yellow": (244, 214, 30),
    "green": (32, 150, 58),
    "blue": (34, 82, 208),
    "purple": (126, 42, 168),
    "pink": (246, 122, 178),
    "brown": (120, 72, 32),
    "black": (24, 24, 26),
}
PAPERS: tuple[Colour, ...] = (
    (255, 255, 255),
    (244, 240, 228),
    (226, 238, 248),
    (232, 246, 232),
    (214, 214, 214),
    (250, 228, 234),
)

_STROKES = """
circle: o 8 8 92 92
square: r 10 10 90 90
triangle: p 50 6 94 90 6 90
star: p 50 4 62 37 97 38 69 59 79 94 50 74 21 94 31 59 3 38 38 37
heart: o 6 12 52 56; o 48 12 94 56; p 10 44 90 44 50 94
moon: o 12 6 92 94; O 38 0 110 84
cross: r 38 4 62 96; r 4 38 96 62
arrow: r 4 40 60 60; p 56 16 98 50 56 84
diamond: p 50 2 84 50 50 98 16 50
ring: o 6 6 94 94; O 28 28 72 72
hexagon: p 28 8 72 8 96 50 72 92 28 92 4 50
oval: o 2 26 98 74
house: p 50 4 96 46 4 46; r 14 46 86 96; R 42 62 60 96
tree: r 42 64 58 98; p 50 2 82 36 18 36; p 50 20 92 66 8 66
car: p 24 30 66 30 82 52 18 52; r 2 50 98 72; o 14 60 38 84; o 62 60 86 84; R 34 36 58 50
bus: r 4 18 96 76; R 10 28 28 46; R 34 28 52 46; R 58 28 76 46; o 16 66 36 88; o 64 66 84 88
truck: r 2 24 62 72; p 66 40 84 40 98 58 98 72 66 72; o 10 62 32 86; o 70 62 92 86
boat: p 4 62 96 62 78 92 22 92; l 5 48 62 48 6; p 54 8 88 54 54 54
airplane: p 2 50 30 42 80 42 98 50 80 58 30 58; p 46 44 66 4 76 4 66 44; p 46 56 66 96 76 96 66 56
bicycle: a 6 2 42 44 84 0 360; a 6 56 42 98 84 0 360; l 5 23 63 40 34 70 34 77 63; l 5 40 34 50 63 70 34
train: r 6 20 40 74; r 40 40 96 74; r 76 18 88 40; R 14 28 30 46; o 8 68 30 92; o 40 68 62 92; o 72 68 94 92
cat: p 16 6 40 30 14 46; p 84 6 60 30 86 46; o 12 22 88 92; O 28 44 40 58; O 60 44 72 58; P 44 66 56 66 50 74
dog: o 20 14 80 92; o 2 16 28 68; o 72 16 98 68; O 34 36 44 48; O 56 36 66 48; O 40 60 60 74
fish: o 22 24 98 76; p 30 50 2 18 2 82; O 78 38 88 48
bird: o 22 38 76 84; o 62 16 92 46; p 90 26 100 34 90 38; p 26 56 0 40 4 72; l 4 46 84 46 98; l 4 58 82 58 98
snake: a 14 2 34 36 72 180 360; a 14 28 30 62 72 0 180; a 14 54 34 88 72 180 360; o 74 50 98 70
butterfly: o 2 8 48 54; o 52 8 98 54; o 12 48 48 92; o 52 48 88 92; L 6 50 10 50 92
spider: o 34 34 66 74; o 40 18 60 38; l 4 6 20 34 46; l 4 2 54 34 56; l 4 10 92 36 66; l 4 94 20 66 46; l 4 98 54 66 56; l 4 90 92 64 66
flower: o 34 2 66 34; o 62 22 94 54; o 52 56 84 88; o 16 56 48 88; o 6 22 38 54; O 38 34 62 58; l 5 50 60 50 100
leaf: p 50 2 86 40 74 74 50 88 26 74 14 40; L 4 50 14 50 88; l 6 50 86 50 100
mushroom: a 46 4 8 96 96 180 360; r 38 48 62 96
apple: o 6 26 58 96; o 42 26 94 96; l 6 50 32 58 6; o 58 6 84 20
pear: o 18 42 82 98; o 32 18 68 64; l 6 50 22 56 2
cherry: o 6 58 42 94; o 56 58 92 94; l 4 24 60 56 8 74 60
carrot: p 22 30 78 30 50 100; l 6 50 32 50 4; l 6 42 32 28 6; l 6 58 32 72 6
cake: r 8 50 92 92; r 22 30 78 50; r 46 8 54 30; L 4 8 66 92 66
lollipop: o 16 2 84 66; l 8 50 60 50 100; A 6 32 18 68 52 0 270
pizza: p 4 14 96 14 50 98; O 30 24 46 40; O 56 26 70 40; O 44 50 58 64
egg: o 18 22 82 98; o 24 4 76 76
cup: p 10 26 70 26 62 90 18 90; a 8 58 34 96 70 270 90
bottle: r 28 40 72 98; p 28 42 42 24 58 24 72 42; r 42 2 58 26; R 36 56 64 76
glass: p 12 4 88 4 56 52 44 52; r 46 50 54 90; r 26 88 74 96
spoon: o 32 2 68 44; r 45 40 55 98
fork: r 28 4 36 40; r 46 4 54 40; r 64 4 72 40; r 28 34 72 46; r 45 40 55 98
knife: p 44 2 62 16 62 58 44 58; r 44 58 54 98
key: a 10 4 30 44 70 0 360; r 42 46 98 55; r 76 54 83 72; r 90 54 97 68
padlock: r 16 44 84 96; a 10 28 8 72 80 180 360; O 42 58 58 74; R 47 68 53 86
bell: o 24 10 76 70; r 24 40 76 76; r 8 74 92 84; o 42 82 58 98
lamp: p 32 6 68 6 90 52 10 52; r 46 52 54 88; r 28 86 72 96
candle: r 36 38 64 98; o 40 6 60 36
book: p 2 22 48 30 48 92 2 84; p 52 30 98 22 98 84 52 92
envelope: r 4 20 96 82; L 6 4 20 50 56 96 20
pencil: p 70 4 96 30 36 90 10 64; p 6 70 30 94 2 98; L 4 58 16 84 42
scissors: l 8 20 4 66 64; l 8 80 4 34 64; a 8 8 58 44 94 0 360; a 8 56 58 92 94 0 360
hammer: r 12 8 80 34; p 80 8 98 20 80 34; r 40 34 54 98
umbrella: a 50 2 6 98 102 180 360; l 5 50 50 50 90; a 5 34 78 52 98 0 180
hat: r 24 16 76 66; r 2 64 98 80; R 24 52 76 60
shirt: p 30 8 70 8 98 34 84 52 74 42 74 96 26 96 26 42 16 52 2 34; O 40 0 60 20
shoe: p 6 26 38 26 56 52 96 62 96 82 6 82; r 6 84 96 92
glasses: a 8 2 32 44 74 0 360; a 8 56 32 98 74 0 360; a 7 40 40 60 60 180 360
clock: o 4 4 96 96; O 14 14 86 86; l 6 50 50 50 22; l 6 50 50 70 60
chair: r 20 4 30 98; r 20 50 80 60; r 70 50 80 98; r 20 10 44 42
table: r 2 30 98 44; r 10 44 20 94; r 80 44 90 94
bed: r 2 22 12 92; r 2 56 98 74; r 88 56 98 92; o 14 38 42 58
ladder: r 24 2 33 98; r 67 2 76 98; r 30 14 70 21; r 30 34 70 41; r 30 54 70 61; r 30 74 70 81
flag: r 10 2 18 98; p 18 6 94 26 18 50
kite: p 50 2 84 34 50 72 16 34; L 4 50 2 50 72; L 4 16 34 84 34; l 4 50 72 40 84 58 92 48 100
ball: o 6 6 94 94; A 7 -40 6 48 94 270 90; A 7 52 6 140 94 90 270
balloon: o 18 2 82 70; p 50 66 60 78 40 78; l 4 50 76 44 88 54 100
sun: o 26 26 74 74; l 6 50 2 50 18; l 6 50 82 50 98; l 6 2 50 18 50; l 6 82 50 98 50; l 6 16 16 28 28; l 6 84 16 72 28; l 6 16 84 28 72; l 6 84 84 72 72
cloud: o 4 40 46 82; o 24 18 72 72; o 54 36 96 82; r 24 56 76 82
lightning: p 58 2 18 56 46 56 34 98 82 40 54 40 74 2
snowman: o 20 46 80 100; o 30 8 70 54; O 40 22 47 29; O 54 22 61 29
mountain: p 36 14 74 92 0 92; p 70 36 100 92 44 92; P 36 14 46 36 26 36
traffic light: r 30 2 70 98; O 40 8 60 30; O 40 38 60 60; O 40 68 60 90
stop sign: p 32 2 68 2 92 26 92 56 68 76 32 76 8 56 8 26; r 46 76 54 100; R 24 32 76 46
robot: r 18 22 82 78; r 46 4 54 22; O 30 36 44 50; O 56 36 70 50; R 32 60 68 68; r 30 80 44 98; r 56 80 70 98
ghost: a 50 14 2 86 84 180 360; r 14 40 86 84; p 14 82 26 100 38 82 50 100 62 82 74 100 86 82; O 32 28 44 46; O 56 28 68 46
person: o 36 2 64 30; r 36 32 64 66; r 22 32 32 64; r 68 32 78 64; r 36 64 47 98; r 53 64 64 98
crown: p 4 26 28 54 50 14 72 54 96 26 88 88 12 88
anchor: a 7 38 2 62 26 0 360; r 46 24 54 92; r 28 34 72 42; a 8 10 36 90 96 10 170
drum: o 6 10 94 46; r 6 28 94 80; o 6 62 94 96; O 14 15 86 41
guitar: o 20 52 80 98; o 28 36 72 72; r 45 2 55 50; O 42 60 58 76; r 38 2 62 12
cactus: r 40 6 60 98; r 10 44 40 56; r 10 22 22 52; r 60 58 90 70; r 78 34 90 66
skull: o 10 4 90 74; r 30 60 70 94; O 24 32 44 54; O 56 32 76 54; P 50 56 56 66 44 66; R 42 78 46 94; R 54 78 58 94
"""


def _parsed(strokes: str) -> list[tuple[str, list[float]]]:
    pieces = (stroke.split() for stroke in strokes.split(";"))
    return [(kind, [float(number) for number in numbers]) for kind, *numbers in pieces]


SHAPES = {
    name: _parsed(strokes)
    for name, _, strokes in (line.partition(":") for line in _STROKES.strip().splitlines())
}
NOUNS = tuple(SHAPES)


def draw(noun: str, size: int, colour: Colour, paper: Colour) -> tuple[Image.Image, Image.Image]:
    """A thing as a picture of `size` pixels a side, and the mask of what it covers."""
    picture, mask = Image.new("RGB", (size, size), paper), Image.new("L", (size, size), 0)
    pens = ImageDraw.Draw(picture), ImageDraw.Draw(mask)
    for kind, numbers in SHAPES[noun]:
        for pen, ink in zip(pens, (colour if kind.islower() else paper, 255), strict=True):
            _stroke(pen, kind.lower(), [number * size / 100 for number in numbers], numbers, ink)
    return picture, mask


def _stroke(
    pen: ImageDraw.ImageDraw, kind: str, at: list[float], raw: list[float], ink: Colour | int
) -> None:
    if kind == "o":
        pen.ellipse(at, fill=ink)
    elif kind == "r":
        pen.rectangle(at, fill=ink)
    elif kind == "p":
        pen.polygon(at, fill=ink)
    elif kind == "l":
        pen.line(at[1:], fill=ink, width=max(1, round(at[0])), joint="curve")
    else:
        pen.arc(at[1:5], raw[5], raw[6], fill=ink, width=max(1, round(at[0])))
