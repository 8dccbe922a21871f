"""Documents: a job as plain JSON values, as they travel from the command line to a server.

A server does not know the folder from which a job was sent, so a document has absolute paths only.
"""

import glob
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from irongrid.spec.findings import Finding, Path, kind, report
from irongrid.spec.yaml_text import MAX_CHARS, MAX_DEPTH, TOO_LARGE

MAX_VALUES = 5000
_NOT_TEXT = re.compile("[\0\ud800-\udfff]")


def read_file(path: str, most: int = MAX_CHARS) -> str:
    """The text of a file; never more of it than such a file may have.

    Raises:
        SpecError: there is no such file, or it is too large, or it is no text.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise report([Finding((), reason, "Check the path")], path, {}) from error
    if len(content) > most:
        raise report([TOO_LARGE if most == MAX_CHARS else _too_large(most)], path, {})
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
    raise report([Finding((), "the file is not UTF-8 text", "Save it as UTF-8", line)], path, {})


def _too_large(most: int) -> Finding:
    return Finding((), f"the file is larger than {most // 1024} KiB", "Check the path")


def default_name(text: str, otherwise: str = "job") -> str:
    """A name from a file name or a program's name."""
    stem = os.path.splitext(os.path.basename(text))[0]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("._-")[:63] or otherwise


def resolve(document: object, folder: str, interpreter: str, name: str) -> object:
    """The document with absolute paths, and with what the submitter's side fills in.

    What is not of the right type is left as it is, for the checks to find.
    """
    if not isinstance(document, dict):
        return document
    folder = os.path.abspath(folder)
    resolved = {"name": name, "workdir": folder, **document}
    resolved["workdir"] = _absolute(resolved["workdir"], folder)
    if "interpreter" in document:
        resolved["interpreter"] = _program(document["interpreter"], folder)
    elif interpreter:
        resolved["interpreter"] = _program(interpreter, folder)
    train = document.get("train")
    data = train.get("data") if isinstance(train, dict) else None
    if isinstance(train, dict) and isinstance(data, dict) and "path" in data:
        data = {**data, "path": _patterns(data["path"], folder)}
        resolved["train"] = {**train, "data": data}
    return resolved


def _absolute(path: object, folder: str, *, pattern: bool = False) -> object:
    if not isinstance(path, str) or not path or path.startswith("$"):
        return path
    start = glob.escape(folder) if pattern else folder
    return os.path.normpath(os.path.join(start, os.path.expanduser(path)))


def _program(path: object, folder: str) -> object:
    """A program named without a folder is looked up as a shell would."""
    if isinstance(path, str) and path and "/" not in path:
        return shutil.which(path) or path
    return _absolute(path, folder)


def _patterns(paths: object, folder: str) -> object:
    if isinstance(paths, list):
        return [
            path if path == "stdlib" else _absolute(path, folder, pattern=True) for path in paths
        ]
    return paths if paths == "stdlib" else _absolute(paths, folder, pattern=True)


def command_document(
    argv: Sequence[str],
    *,
    workdir: str,
    interpreter: str = "",
    name: str | None = None,
    count: int | str | None = None,
    accelerator: str | None = None,
    cpus: float | None = None,
    memory: str | None = None,
    env: Mapping[str, str] | None = None,
    retries: int | None = None,
    max_duration: str | None = None,
) -> dict[str, Any]:
    """The document of `irongrid submit -- CMD...`; None leaves a field out. Checks nothing."""
    document: dict[str, Any] = {
        "name": name,
        "run": list(argv),
        "workdir": _absolute(workdir, os.getcwd()),
        "interpreter": _program(interpreter, os.getcwd()) or None,
        "env": dict(env) if env else None,
        "resources": _given(count=count, accelerator=accelerator, cpus=cpus, memory=memory),
        "retries": _given(max=retries),
        "limits": _given(max_duration=max_duration),
    }
    return {field: value for field, value in document.items() if value is not None}


def _given(**fields: object) -> dict[str, object] | None:
    return {name: value for name, value in fields.items() if value is not None} or None


def check_json(document: object) -> list[Finding]:
    """Findings where a document is more than a job can be, or no JSON: then nothing else is said.

    Looks at every value once, without recursion, so depth and size cost what they must at most.
    """
    pending: list[tuple[Path, object]] = [((), document)]
    seen = 0
    while pending:
        path, value = pending.pop()
        if isinstance(value, str):
            if (not value.isascii() or "\0" in value) and _NOT_TEXT.search(value):
                return [_no_text(path)]
        elif isinstance(value, Mapping | list):
            if len(path) >= MAX_DEPTH:
                problem = f"values are nested more than {MAX_DEPTH} levels deep"
                return [
                    Finding((), problem, "A document needs 5 levels at most; remove the others")
                ]
            seen += len(value)
            if seen > MAX_VALUES:
                return [Finding((), f"there are more than {MAX_VALUES} values", "Shorten it")]
            if isinstance(value, list):
                pending.extend([((*path, index), item) for index, item in enumerate(value)])
                continue
            for name, item in value.items():
                if not isinstance(name, str) or _NOT_TEXT.search(name):
                    return [_no_text(path)]
                pending.append(((*path, name), item))
        elif value is not None and not isinstance(value, int | float):
            return [Finding(_public(path), f"holds {kind(value)}", "Send JSON values")]
    return []


def _no_text(path: Path) -> Finding:
    problem = "holds a NUL or half of a character, which no process can be given"
    return Finding(_public(path), problem, "Remove it")


def _public(path: Path) -> Path:
    """A place without the names inside `env`, which may be slips that hold secrets."""
    return path[:1] if path[:1] == ("env",) else path
