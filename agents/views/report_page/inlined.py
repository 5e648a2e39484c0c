"""Put styles, scripts and data into a page so that none of them can end it, or fetch anything."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from agents.durations import words
from agents.reports.training.words import estimate_text
from agents.views.family_scores import error_text

_FOLDER = Path(__file__).parent / "templates"
# In JSON these are the same characters; in HTML they can neither end a script nor open a comment.
_IN_SCRIPT = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)


def template(name: str) -> jinja2.Template:
    """A template of ours: everything that is put into it is escaped, and a missing name fails."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": error_text,
        "estimate": estimate_text,
        "took": words,
        "json": compact,
        "when": lambda at: f"{at:%Y-%m-%d %H:%M} UTC{at:%z}".removesuffix("+0000"),
    }
    return environment.get_template(name)


def compact(value: Any) -> str:
    """A value as JSON on one line."""
    return json.dumps(value, ensure_ascii=False, default=str)


def style(*rules: str) -> Markup:
    """Our style sheet, after these rules of our own making."""
    return Markup("".join((*rules, _text("report.css"))))  # noqa: S704 - nothing of others in it


def script(name: str) -> Markup:
    """A script of ours."""
    return Markup(_text(name))  # noqa: S704 - a file of this package


@cache
def plotly_script() -> Markup:
    """The charts' library, whole."""
    # A browser reads line ends as \n before it takes the script's hash.
    text = get_plotlyjs().replace("\r\n", "\n").replace("\r", "\n")
    return Markup(text.replace("</script", "<\\/script").replace("<!--", "<\\!--"))  # noqa: S704


def data(value: Any) -> Markup:
    """A value as JSON for a script element."""
    text = json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.translate(_IN_SCRIPT))  # noqa: S704 - nothing in it can be markup


def _finite(value: Any) -> Any:
    """What is no number becomes null, which plotly leaves out; JSON has no word for it."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {key: _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case _:
            return value


def security(*scripts: Markup) -> str:
    """A content security policy: these scripts run, no other, and nothing is fetched."""
    hashes = " ".join(f"'sha256-{_hash(text)}'" for text in scripts) or "'none'"
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: Markup) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
