"""From a fleet file to a `Fleet`, or to a report of everything that is wrong."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from irongrid.domain.fleet import Fleet, Pool, Site, WideLink
from irongrid.spec.document import check_json, default_name, read_file
from irongrid.spec.findings import Finding, Path, kind, one_of, quoted, report
from irongrid.spec.fleet_fields import GRAMMAR, FleetFields, SiteFields, Wan
from irongrid.spec.fleet_pool import build_pool
from irongrid.spec.sections import beneath, missing
from irongrid.spec.translate import validated
from irongrid.spec.values import is_name
from irongrid.spec.yaml_text import Reading, Unreadable, read_yaml

DEFAULT_SITE = "site"


def load_fleet(path: str) -> Fleet:
    """The fleet in a file. Reports name the file as `path` does.

    Raises:
        SpecError: every problem, with its line.
    """
    return parse_fleet_text(read_file(path), source=path)


def parse_fleet_text(text: str, *, source: str) -> Fleet:
    """The fleet in a YAML or JSON text.

    Raises:
        SpecError: every problem, with its line.
    """
    try:
        reading = read_yaml(text)
    except Unreadable as unreadable:
        findings = unreadable.findings
    else:
        fleet, findings = check_fleet(reading, source)
        if fleet is not None:
            return fleet
        raise report(findings, source, reading.lines)
    raise report(findings, source, {})


def parse_fleet_document(document: Mapping[str, Any], *, source: str) -> Fleet:
    """The fleet in a JSON document, as a client sends it.

    Raises:
        SpecError: every problem; there are no lines.
    """
    fleet, findings = check_fleet(Reading(document), source)
    if fleet is None:
        raise report(findings, source, {})
    return fleet


def check_fleet(reading: Reading, source: str) -> tuple[Fleet | None, list[Finding]]:
    """The fleet in a document, or everything that is wrong with it."""
    document = reading.document
    unfit = check_json(document)
    if unfit:
        return None, [*reading.findings, *unfit]
    if not isinstance(document, Mapping):
        empty = document is None
        problem = "the fleet is empty" if empty else f"expected fields, got {kind(document)}"
        fix = "Begin with `pools: {h100: {accelerator: H100, nodes: 4}}`"
        return None, [*reading.findings, Finding((), problem, fix)]
    fields, findings, wrong = validated(FleetFields, document, GRAMMAR)
    known = frozenset(wrong | reading.broken)
    findings += missing(fields, (), known)
    findings += _names(fields, known)
    pools, problems = _pools(fields, known)
    findings += [*problems, *_sites(fields, known)]
    findings = [item for item in findings if not beneath(item.path, reading.broken)]
    findings = [*reading.findings, *findings]
    return (None, findings) if findings else (_fleet(fields, pools, source), [])


def _names(fields: FleetFields, known: frozenset[Path]) -> Iterator[Finding]:
    some = any(path[0] == "pools" for path in known)
    if fields.has("pools") and not fields.pools and not some:
        fix = "Add one: `h100: {accelerator: H100, nodes: 4}`"
        yield Finding(("pools",), "there are no pools", fix)
    for section, names in (("pools", fields.pools), ("sites", fields.sites)):
        for name in names:
            if not is_name(name):
                fix = "Use 1 to 63 letters, digits, dots, dashes or underscores"
                yield Finding((section, name), "is not a name", fix)


def _pools(fields: FleetFields, known: frozenset[Path]) -> tuple[list[Pool], list[Finding]]:
    pools: list[Pool] = []
    findings: list[Finding] = []
    only = next(iter(fields.sites), DEFAULT_SITE)
    for name, given in fields.pools.items():
        built, problems = build_pool(name, given, ("pools", name), known, given.site or only)
        findings += problems
        if built is not None:
            pools.append(built)
    return pools, findings


def _sites(fields: FleetFields, known: frozenset[Path]) -> Iterator[Finding]:
    for name, pool in fields.pools.items():
        where = ("pools", name, "site")
        if pool.site is None and len(fields.sites) > 1 and where not in known:
            yield Finding(where, "is required, as there are several sites", _one_of(fields.sites))
        elif pool.site is not None and fields.sites and pool.site not in fields.sites:
            problem = f"{quoted(pool.site)} is not one of the sites"
            yield Finding(where, problem, _one_of(fields.sites))
    yield from _links(fields)
    if not any(path[0] == "links" for path in known):
        yield from _reached(fields)


def _links(fields: FleetFields) -> Iterator[Finding]:
    sites = _site_names(fields)
    seen: set[frozenset[str]] = set()
    for index, link in enumerate(fields.links):
        where = ("links", index, "between")
        ends = link.between
        if ends is None:
            continue
        for end in ends:
            if end not in sites:
                problem = f"{quoted(end)} is not one of the sites"
                yield Finding(where, problem, _one_of(sites))
        if ends[0] == ends[1]:
            yield Finding(where, "joins a site with itself", "Name two sites")
        elif frozenset(ends) in seen:
            problem = f"{quoted(ends[0])} and {quoted(ends[1])} are joined twice"
            yield Finding(where, problem, "Keep one link, with the rate of both")
        seen.add(frozenset(ends))


def _reached(fields: FleetFields) -> Iterator[Finding]:
    """Sites that no chain of links joins with the first one."""
    used: dict[str, str] = {}
    for pool, given in fields.pools.items():
        if given.site is not None:
            used.setdefault(given.site, pool)
    if len(used) < 2:
        return
    first, *others = used
    reached = {first}
    ends = [link.between for link in fields.links if link.between is not None]
    for _ in ends:
        for here, there in ends:
            if here in reached or there in reached:
                reached |= {here, there}
    for name in others:
        if name not in reached:
            problem = f"no link leads from {quoted(first)} to {quoted(name)}"
            example = f"{{between: [{first}, {name}], rate: 100Gbit/s, latency: 50ms}}"
            yield Finding(("pools", used[name], "site"), problem, f"Add `- {example}` to links")


def _site_names(fields: FleetFields) -> list[str]:
    used = (pool.site for pool in fields.pools.values() if pool.site is not None)
    return list(dict.fromkeys([*fields.sites, *used])) or [DEFAULT_SITE]


def _one_of(names: Iterable[str]) -> str:
    return f"Use {one_of(quoted(name) for name in [*names][:8])}"


def _fleet(fields: FleetFields, pools: list[Pool], source: str) -> Fleet:
    sites = tuple(_site(name, fields.sites.get(name, SiteFields())) for name in _site_names(fields))
    return Fleet(
        name=fields.name or default_name(source, "fleet"),
        pools=tuple(pools),
        sites=sites,
        wide_links=tuple(_wide(link) for link in fields.links),
    )


def _site(name: str, given: SiteFields) -> Site:
    optional = {name: value for name, value in given.given().items() if value is not None}
    return Site(name=name, **optional)


def _wide(link: Wan) -> WideLink:
    assert link.between is not None, "a link without ends was refused"
    assert link.rate is not None, "a link without a rate was refused"
    assert link.latency is not None, "a link without a latency was refused"
    return WideLink(sites=link.between, bytes_per_s=link.rate, latency_s=link.latency)
