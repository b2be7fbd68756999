"""A page of our own: no scripts, nothing from elsewhere."""

from html import escape

from fastapi.responses import HTMLResponse

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "code{background:#f2f2f2;padding:.1em .3em}h3{margin:1.5rem 0 .2rem}dt{font-family:monospace}.verb{font-weight:700}"
)


def page(title: str, content: str, status: int = 200) -> HTMLResponse:
    """`content` is HTML, `title` is text."""
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>{content}</body></html>",
        status,
    )
