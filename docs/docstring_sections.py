"""Griffe extension: entries `name : what it is`, whose type stands in the signature, as numpydoc's name and text."""

import re
from typing import Any

from griffe import Extension, Object

SECTION = re.compile(r"^(Parameters|Attributes|Raises)\n-+\n((?:.*\S.*\n?)+)", re.MULTILINE)
ENTRY = re.compile(r"^(\S.*?) : (.*)$", re.MULTILINE)
RETURNS = re.compile(r"^Returns\n-+\n((?:.*\S.*\n?)+)\n*", re.MULTILINE)


def as_numpydoc(docstring: str) -> str:
    """Docstring with the text of each entry on a line of its own, and what is returned as a paragraph before them."""
    if returned := RETURNS.search(docstring):
        docstring = docstring[: returned.start()] + docstring[returned.end() :]
    docstring = SECTION.sub(lambda found: ENTRY.sub(r"\1\n    \2", found[0]), docstring)
    if returned:
        first = SECTION.search(docstring)
        place = first.start() if first else len(docstring)
        docstring = f"{docstring[:place].rstrip()}\n\nReturns: {returned[1].strip()}\n\n{docstring[place:]}"
    return docstring


class DocstringSections(Extension):
    """Rewrites docstrings before they are parsed."""

    def on_instance(self, *, obj: Object, **_: Any) -> None:
        """Rewrite."""
        if obj.docstring:
            obj.docstring.value = as_numpydoc(obj.docstring.value)
