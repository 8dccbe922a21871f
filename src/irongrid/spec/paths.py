"""Kinds of values that name files and folders."""

from irongrid.spec.findings import shown
from irongrid.spec.values import Kind, Wrong, wrong

MAX_PATH_CHARS = 1024


def path() -> Kind:
    """A path of a file or folder, as text."""

    def check(value: object) -> str:
        problem = _path_problem(value)
        if problem is None:
            return str(value)
        raise wrong(problem)

    return Kind(check, _PATH_SCHEMA)


def data_paths() -> Kind:
    """One path pattern, a list of them, or the word `stdlib`."""
    most = 256

    def check(value: object) -> tuple[str, ...]:
        if not isinstance(value, list):
            problem = _path_problem(value)
            if problem is not None:
                raise wrong(problem)
            return (str(value),)
        if not 1 <= len(value) <= most:
            size = f"{len(value)} entries" if value else "an empty list"
            raise wrong(Wrong(f"expected 1 to {most} paths, got {size}", "List the text files"))
        found = [_item_path(index, item) for index, item in enumerate(value)]
        problems = [problem for problem in found if problem is not None]
        if problems:
            raise wrong(*problems)
        return tuple(value)

    items = {**_PATH_SCHEMA, "not": {"const": "stdlib"}}
    many = {"type": "array", "minItems": 1, "maxItems": most, "items": items}
    return Kind(check, {"anyOf": [_PATH_SCHEMA, many]})


_PATH_SCHEMA = {"type": "string", "minLength": 1, "maxLength": MAX_PATH_CHARS, "pattern": "^[^$]"}


def _path_problem(value: object) -> Wrong | None:
    if not isinstance(value, str) or not value:
        return Wrong(f"expected a path, got {shown(value)}", "Write a path as text")
    if len(value) > MAX_PATH_CHARS:
        return Wrong(f"the path is longer than {MAX_PATH_CHARS} characters", "Use a shorter path")
    if value.startswith("$"):
        return Wrong("variables are not replaced in paths", "Write the path itself, or `~/...`")
    return None


def _item_path(index: int, item: object) -> Wrong | None:
    if item == "stdlib":
        fix = "Write `path: stdlib`, or ./stdlib for a folder of that name"
        return Wrong("the word stdlib stands alone, not in a list", fix, (index,))
    problem = _path_problem(item)
    return problem._replace(path=(index,)) if problem else None
