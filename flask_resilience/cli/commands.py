"""The commands ``logs``, ``trace``, ``stats`` and ``schema``, and their exit codes.

0 if something was found, 1 if nothing was, 2 if the command makes no sense or a file is missing.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

import click

from .filter import LEVELS, Filter, chosen
from .follow import follow as following
from .join import join
from .listing import Listing
from .output import Output, standard_output, visible
from .progress import Progress
from .schema import DEFAULT, presets
from .schema import schema as schema_of
from .source import STANDARD_INPUT, Source, SourceError
from .statistics import Statistics
from .trace import MOST_RECORDS, find
from .tree import requests_of
from .tree_view import heading, tree_json, tree_lines

INTERRUPTED = 130
_files = click.argument("files", nargs=-1, metavar="[FILE]...")


class Refusal(click.ClickException):
    """One sentence on standard error, and exit code 2."""

    exit_code = 2


def _command(work: Callable[..., bool]) -> Callable[..., None]:
    """Make a command of what says whether it found anything."""

    @wraps(work)
    def run(**options: Any) -> None:
        try:
            code = 0 if work(**options) else 1
            sys.stdout.flush()
        except BrokenPipeError:
            code = 0
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except SourceError as error:
            raise Refusal(visible(str(error))) from None
        except KeyboardInterrupt:
            code = INTERRUPTED
        sys.exit(code)

    return run


@click.group()
def resilience() -> None:
    """Read the JSON logs of flask-resilience.

    Exit codes: 0 something was found, 1 nothing was, 2 wrong usage or a missing file.
    """


@resilience.command()
@_files
@click.option(
    "--level", type=click.Choice(LEVELS, case_sensitive=False), help="At least so severe."
)
@click.option("--status", metavar="LIST", help="HTTP statuses: 404, 5xx, or 404,5xx.")
@click.option("--route", metavar="ROUTE", help="The http_route; * stands for anything.")
@click.option("--upstream", metavar="NAME", help="The upstream; * stands for anything.")
@click.option("--event", metavar="EVENT", help="The event; * stands for anything.")
@click.option("--request-id", metavar="ID", help="The request.")
@click.option("--slow", type=float, metavar="MS", help="What took so long or longer.")
@click.option("--since", metavar="TIME", help="Not older: 90s, 15m, 2h, 7d or an RFC 3339 time.")
@click.option(
    "--where",
    multiple=True,
    metavar="CONDITION",
    help="FIELD=VALUE, also != > < >= <= and ~ for a regular expression; may be repeated.",
)
@click.option("--follow", "-f", is_flag=True, help="Go on as files grow, until interrupted.")
@click.option("--json", "as_json", is_flag=True, help="Write the JSON objects as they are.")
@_command
def logs(files: Sequence[str], follow: bool, as_json: bool, **options: Any) -> bool:
    """Show the lines of logs, or those that meet every condition.

    FILE may be gzipped; - or none is standard input. Without a condition, lines that are no JSON
    pass through.
    """
    output = standard_output()
    listing = Listing(_filters(options), output, as_json=as_json)
    with _opened(files, is_quiet=follow or output.is_terminal) as sources:
        growing = [source.name for source in sources if follow and source.grows]
        for source in sources:
            if source.name not in growing:
                listing.show_all(source.blocks(), at_once=not source.is_file)
        if growing:
            listing.follow(following(growing))
    output.flush()
    if listing.leaves_out:
        _tell_of_garbage(listing.not_json)
    return listing.found


@resilience.command()
@click.argument("wanted", metavar="ID")
@_files
@click.option("--json", "as_json", is_flag=True, help="Write the tree as one JSON object.")
@_command
def trace(wanted: str, files: Sequence[str], as_json: bool) -> bool:
    """Show one request as a tree over services, with offsets in milliseconds.

    ID is a request ID or a trace ID. FILE may be gzipped, and stand in any order; - or none is
    standard input. What is missing is said where it is.
    """
    with _opened(files) as sources:
        for source in sources:
            source.keep()
        found = find(sources, wanted)
    _tell_of_garbage(found.not_json)
    if found.undated:
        _tell(f"Lines without a timestamp, which are left out: {found.undated}.")
    if found.is_cut:
        _tell(f"There are more than {MOST_RECORDS} lines; the tree is made of the first ones.")
    roots = [
        root
        for root in join(requests_of(found.records))
        if any(one.record is not None and found.is_named_by(one.record) for one in root.walk())
    ]
    if not roots:
        _tell(f"There is no line of {visible(wanted)!r} here.")
        return False
    output = standard_output()
    if as_json:
        _write_json(output, tree_json(roots))
    else:
        output.line(heading(roots, output))
        for line in tree_lines(roots, output):
            output.line(line)
    output.flush()
    return True


@resilience.command()
@_files
@click.option("--json", "as_json", is_flag=True, help="Write the figures as one JSON object.")
@_command
def stats(files: Sequence[str], as_json: bool) -> bool:
    """Count requests by route, and calls and attempts by upstream.

    Percentiles are within 1 % of the true ones. FILE may be gzipped; - or none is standard input.
    """
    counted = Statistics()
    with _opened(files) as sources:
        for source in sources:
            for block in source.blocks():
                counted.read(block)
    _tell_of_garbage(counted.not_json)
    output = standard_output()
    if as_json:
        _write_json(output, counted.as_json())
    else:
        for line in counted.lines():
            output.line(line)
    output.flush()
    return not counted.is_empty


@resilience.command()
@click.option("--preset", type=click.Choice(presets()), default=DEFAULT, show_default=True)
@_command
def schema(preset: str) -> bool:
    """Print the JSON Schema of the log lines (draft 2020-12)."""
    output = standard_output()
    output.line(schema_of(preset).rstrip("\n"))
    output.flush()
    return True


def _filters(options: Mapping[str, Any]) -> list[Filter]:
    try:
        return list(chosen(options, time.time()))
    except ValueError as error:
        raise click.UsageError(visible(str(error))) from None


@contextmanager
def _opened(files: Sequence[str], *, is_quiet: bool = False) -> Iterator[list[Source]]:
    """Open the logs, show how far they are read, and say which were cut off."""
    progress = Progress(is_shown=False if is_quiet else None)
    names = files or (STANDARD_INPUT,)
    sources = [Source(name, progress.read) for name in names]
    progress.total = sum(source.size for source in sources)
    if STANDARD_INPUT in names and sys.stdin.isatty():
        _tell("Reading standard input.")
    try:
        yield sources
    finally:
        progress.clear()
        for source in sources:
            source.close()
    for source in sources:
        if source.is_cut:
            _tell(f"{visible(source.name)!r} ends in the middle of its compressed data.")


def _write_json(output: Output, value: Mapping[str, Any]) -> None:
    text = json.dumps(value, indent=2, default=str)
    output.line(text.replace("\x7f", "\\u007f"))  # the one control character JSON leaves as it is


def _tell_of_garbage(lines: int) -> None:
    if lines:
        _tell(f"Lines that are no JSON: {lines}.")


def _tell(text: str) -> None:
    click.echo(text, err=True)
