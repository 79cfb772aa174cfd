"""`rsbench doctor`: what works on this machine, and how to repair the rest."""

import sys
from dataclasses import asdict

import typer
from rich.text import Text

from rsbench.cli import options as o
from rsbench.cli.output import print_json, print_rich

_SIGNS = {True: Text("ok     ", "green"), False: Text("broken ", "bold red"), None: Text("absent ", "yellow")}


def doctor(data_root: o.DataRoot = None, db: o.Database = None, json: o.Json = False) -> None:
    """Check versions, devices, Ray, the database and the datasets."""
    from rsbench.jobs.doctor import examine

    findings = []
    for finding in examine(o.database(db), data_root):
        findings.append(finding)
        if not json:
            print_rich(Text.assemble(_SIGNS[finding.works], (f"{finding.subject:<14}", "bold"), finding.message))
            # The next finding may take seconds, and a pipe would hold this one back until the end.
            sys.stdout.flush()
    if json:
        print_json({"findings": [asdict(finding) for finding in findings]})
    if any(finding.works is False for finding in findings):
        raise typer.Exit(1)
