"""Prepares docstrings for the API pages (mkdocs.yml): their sections become Markdown.

Griffe's own reader knows neither `Call arguments` nor several arguments in one item, and it takes an
example for prose.
"""

import re
import textwrap

import griffe

ITEM = re.compile(r"^(\w[\w, ]*): ", flags=re.MULTILINE)  # `name: what it is`, or `name, name: ...`


class Docstrings(griffe.Extension):
    """Makes `Example` a block of code, and the arguments and errors lists."""

    def on_instance(self, *, obj, **_):
        if obj.docstring:
            for title, convert in SECTIONS.items():
                obj.docstring.value = _convert(title, convert, obj.docstring.value)


def _convert(title, convert, text):
    """The text with the indented block below a title converted."""
    block = re.compile(rf"^{title}:\n((?:    .*\n|\n)+)", flags=re.MULTILINE)
    return block.sub(lambda found: f"**{title}:**\n\n{convert(textwrap.dedent(found[1]))}\n\n", text + "\n")


def _list(text):
    return ITEM.sub(r"* **`\1`**: ", text)


def _code(text):
    return f"```python\n{text.strip()}\n```"


SECTIONS = {"Args": _list, "Call arguments": _list, "Returns": str, "Raises": _list, "Example": _code}
