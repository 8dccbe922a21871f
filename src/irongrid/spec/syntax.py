"""A YAML parser's complaint in plain words. What the file holds at that place is never quoted."""

import re

from ruamel.yaml.error import MarkedYAMLError, YAMLError

from irongrid.spec.findings import Finding

_INDENT = "Indent the fields of one section equally, with spaces"

# First match wins: a pattern over "context: problem", then what to say and what to do.
_EXPLANATIONS: tuple[tuple[str, str, str], ...] = (
    (r"found character '\\t'", "a tab stands where spaces are needed", _INDENT),
    (
        r"found character",
        "a value begins with a character that YAML reserves",
        "Put the value in quotes",
    ),
    (
        r"mapping values are not allowed",
        "a colon is not allowed here",
        "Put a text that contains a colon in quotes, or check the indentation",
    ),
    (
        r"but found '[\]}]'",
        "a closing bracket has no opening one",
        "Remove it, or put a text that contains it in quotes",
    ),
    (
        r"but found '-'|block collection|sequence entries are not allowed",
        "a list item stands where none can",
        "Begin every item of a list with `- `, at one indentation",
    ),
    (
        r"but found '<scalar>'",
        "text follows a value that has ended",
        "Put the whole value in quotes, or indent it like the lines above",
    ),
    (
        r"simple key.*could not find expected ':'",
        "this line has no colon after its field name",
        "Write it as `field: value`",
    ),
    (
        r"quoted scalar.*(end of stream|document separator)",
        "a quoted text that begins here has no end",
        "Add the closing quote",
    ),
    (
        r"unknown escape|escape sequence",
        'a backslash in a "..." text begins no known escape',
        "Use '...' quotes, or write the backslash twice",
    ),
    (
        r"expected ',' or '\]'",
        "a list that begins here with [ lacks a comma or its ]",
        "Add what is missing",
    ),
    (
        r"expected ',' or '\}'",
        "a mapping that begins here with { lacks a comma or its }",
        "Add what is missing",
    ),
    (r"block mapping", "this line is not indented like the lines around it", _INDENT),
    (
        r"block scalar|more indented",
        "a text after | or > is not indented as it should be",
        "Indent all its lines equally, deeper than the field",
    ),
    (
        r"scanning an (alias|anchor)",
        "a value begins with * or &, which YAML reserves",
        "Put the value in quotes",
    ),
    (
        r"\btag\b",
        "a value begins with !, which YAML reserves",
        "Put the value in quotes",
    ),
    (
        r"flow mapping|flow sequence|flow node",
        "the brackets do not match",
        "Close every [ with ] and every { with }",
    ),
)
# What is at fault began earlier than where the parser gave up.
_AT_CONTEXT = re.compile(r"simple key|quoted scalar|flow mapping|flow sequence")


def explain_syntax(error: YAMLError) -> Finding:
    """What to tell a person about a parser error."""
    context = str(getattr(error, "context", None) or "")
    text = f"{context}: {getattr(error, 'problem', None) or ''}"
    for pattern, problem, fix in _EXPLANATIONS:
        if re.search(pattern, text):
            return Finding((), problem, fix, _line(error, context))
    return Finding((), "this is not valid YAML", "Check this line", _line(error, context))


def _line(error: YAMLError, context: str) -> int:
    if not isinstance(error, MarkedYAMLError):
        return 1
    mark = error.problem_mark or error.context_mark
    if error.context_mark is not None and _AT_CONTEXT.search(context):
        mark = error.context_mark
    return int(mark.line) + 1 if mark is not None else 1
