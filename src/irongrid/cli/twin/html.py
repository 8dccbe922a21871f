"""Parts that all pages of the twin have."""

from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files


def page(title: str, about: str, sections: Iterator[str]) -> str:
    """A whole page in the style of all pages."""
    style = files("irongrid.cli.plan").joinpath("page.css").read_text("utf-8")
    style += files("irongrid.cli.twin").joinpath("page.css").read_text("utf-8")
    body = "\n".join(sections)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n<p>{escape(about)}</p>\n{body}\n</body>\n</html>\n"
    )


def section(title: str, *parts: str) -> str:
    """A titled part of a page."""
    return f"<section>\n<h2>{escape(title)}</h2>\n" + "\n".join(parts) + "\n</section>"


def tiles(values: Sequence[tuple[str, str]]) -> str:
    """Figures, large, each with its name."""
    parts = "".join(
        f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for value, name in values
    )
    return f'<div class="figures">{parts}</div>'


def table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells as text; those after the first are figures, to the right."""

    def line(cells: Sequence[str], tag: str) -> str:
        parts = [
            f"<{tag}>{escape(cell)}</{tag}>" if at == 0 else
            f'<{tag} class="figure">{escape(cell)}</{tag}>'
            for at, cell in enumerate(cells)
        ]  # fmt: skip
        return f"<tr>{''.join(parts)}</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f'<div class="wide"><table>{line(names, "th")}{body}</table></div>'


def listed(sentences: Sequence[str]) -> str:
    """Sentences as a list."""
    return f"<ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in sentences)}</ul>"
