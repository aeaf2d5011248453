"""An evaluation's report: tables for the terminal, and one page of HTML that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Table:
    """Rows of cells under headings; `pictures` are PNG or JPEG data URLs, one a row or none."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    pictures: Sequence[str | None] = ()


@dataclass(frozen=True)
class Curve:
    """Points in the unit square, drawn with the diagonal; `name` says what the axes are."""

    title: str
    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Report:
    """What was measured on what."""

    title: str
    about: str
    tables: Sequence[Table] = field(default_factory=list)
    curves: Sequence[Curve] = field(default_factory=list)

    def show(self, console: Console) -> None:
        """Print the tables."""
        from rich.markup import escape as plain
        from rich.table import Table as Printed

        console.print(f"{plain(self.title)}\n{plain(self.about)}\n")
        for table in self.tables:
            printed = Printed(title=table.title, title_justify="left", box=None, pad_edge=False)
            for index, heading in enumerate(table.headings):
                wide = heading == "text"
                printed.add_column(
                    heading,
                    justify="left" if index == 0 or wide else "right",
                    no_wrap=not wide,
                    overflow="ellipsis",
                )
            for row in table.rows:
                printed.add_row(*map(plain, row))
            console.print(printed)
            console.print(f"{plain(table.note)}\n" if table.note else "")

    def html(self) -> str:
        """The page."""
        parts = [f"<h1>{escape(self.title)}</h1><p>{escape(self.about)}</p>"]
        parts += [f'<div class="curves">{"".join(map(_drawn, self.curves))}</div>']
        parts += map(_laid_out, self.tables)
        body = "\n".join(parts)
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            f"<title>{escape(self.title)}</title><style>{_STYLE}</style></head>"
            f"<body>{body}</body></html>\n"
        )


def _laid_out(table: Table) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in table.headings)
    rows = []
    for index, row in enumerate(table.rows):
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in row)
        picture = table.pictures[index] if index < len(table.pictures) else None
        if picture:
            cells += f'<td><img src="{escape(picture)}" alt=""></td>'
        rows.append(f"<tr>{cells}</tr>")
    note = f"<p>{escape(table.note)}</p>" if table.note else ""
    title = escape(table.title)
    return f"<h2>{title}</h2><table><tr>{head}</tr>{''.join(rows)}</table>{note}"


def _drawn(curve: Curve) -> str:
    """A curve as SVG, 200 units to a side."""
    points = " ".join(f"{20 + 200 * x:.1f},{220 - 200 * y:.1f}" for x, y in curve.points)
    dots = "".join(
        f'<circle cx="{20 + 200 * x:.1f}" cy="{220 - 200 * y:.1f}" r="2.5"/>'
        for x, y in (curve.points if len(curve.points) <= 20 else ())
    )
    return (
        f'<figure><svg viewBox="0 0 240 240" width="300" height="300">'
        '<rect x="20" y="20" width="200" height="200" class="frame"/>'
        '<line x1="20" y1="220" x2="220" y2="20" class="even"/>'
        f'<polyline points="{points}"/>{dots}</svg>'
        f"<figcaption>{escape(curve.title)}<br>{escape(curve.name)}</figcaption></figure>"
    )


_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem;"
    "color:#1b1f24}table{border-collapse:collapse}td,th{padding:.2rem .7rem;text-align:left;"
    "vertical-align:top;border-bottom:1px solid #ddd;overflow-wrap:anywhere}"
    "img{max-width:20rem;max-height:14rem}.curves{display:flex;gap:2rem;flex-wrap:wrap}"
    "figure{margin:0}polyline{fill:none;stroke:#0b62a8;stroke-width:2}circle{fill:#0b62a8}"
    ".frame{fill:none;stroke:#999}.even{stroke:#bbb;stroke-dasharray:4}"
)
