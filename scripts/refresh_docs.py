#!/usr/bin/env python
"""Write what the manual says about the code anew: tables between markers, and the diagrams.

A block stands between `<!-- begin NAME -->` and `<!-- end -->` in Markdown, `.. begin NAME` and `.. end` in
reStructuredText. `--check` writes nothing and ends with exit code 1 where something is out of date.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import click

ROOT = Path(__file__).parents[1]
# Neither folder is a package: they are tools of a checkout, not part of the wheel.
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "docs"), str(ROOT)]

import bench_drawing  # noqa: E402
import bench_tables  # noqa: E402
import diagrams  # noqa: E402  (found through the path set above)
import fault_table  # noqa: E402
import manual_tables  # noqa: E402
import scale_table  # noqa: E402
import workflow_map  # noqa: E402

PAGES = (
    "docs/configuration.md",
    "docs/api.md",
    "docs/commands.md",
    "docs/architecture.md",
    "docs/benchmarks.md",
    "docs/faults.md",
    "docs/how-to/scale.md",
    "docs/workflows/workflows.rst",
    "workflows/README.md",
)
BLOCKS: dict[str, Callable[..., str]] = {
    "settings": manual_tables.settings_text,
    "cave": manual_tables.cave_table,
    "routes": manual_tables.routes_text,
    "errors": manual_tables.errors_table,
    "commands": manual_tables.commands_text,
    "tree": manual_tables.tree,
    "workflows": workflow_map.map_table,
    "units": workflow_map.unit_table,
    "beat": workflow_map.beat_table,
    "start": workflow_map.start_facts,
    "benchmarks": bench_tables.benchmark_table,
    "growth": bench_tables.growth_table,
    "ledger-growth": bench_tables.ledger_table,
    "reads": bench_tables.reads_table,
    "scale-figures": scale_table.figures,
    "scale-needs": scale_table.needs,
    "faults": fault_table.table,
    "fault-count": fault_table.count,
}
_BLOCK = re.compile(
    r"^(?P<begin><!-- begin (?P<md>[\w -]+?) -->|\.\. begin (?P<rst>[\w -]+))\n.*?^(?P<end><!-- end -->|\.\. end)$",
    re.MULTILINE | re.DOTALL,
)


def refreshed(text: str) -> str:
    """A page with each of its blocks written anew. Raises KeyError for a block of unknown name."""

    def write(found: re.Match[str]) -> str:
        name, *arguments = (found["md"] or found["rst"]).split()
        return f"{found['begin']}\n\n{BLOCKS[name](*arguments)}\n\n{found['end']}"

    return _BLOCK.sub(write, text)


def wanted() -> dict[Path, str]:
    """Every generated file and page with the content that fits the code."""
    with warnings.catch_warnings():
        # apispec tells of schema names that it numbers; the manual shows none of them.
        warnings.filterwarnings("ignore", module="apispec")
        pages = {ROOT / name: refreshed((ROOT / name).read_text(encoding="utf-8")) for name in PAGES}
    drawings = diagrams.draw_all() | {"benchmarks.svg": bench_drawing.benchmark_drawing()}
    return pages | {ROOT / "docs/images" / name: svg for name, svg in drawings.items()}


def outdated() -> dict[Path, str]:
    """Those of `wanted` that differ from what is on disk."""
    return {
        path: text for path, text in wanted().items() if not path.is_file() or path.read_text(encoding="utf-8") != text
    }


@click.command(help=__doc__)
@click.option("--check", is_flag=True, help="Only say what is out of date.")
def main(check: bool) -> None:
    """Refresh, or check."""
    found = outdated()
    for path, text in found.items():
        click.echo(f"{'out of date' if check else 'written'}: {path.relative_to(ROOT)}")
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if check and found:
        sys.exit("run: .venv/bin/python scripts/refresh_docs.py")


if __name__ == "__main__":
    main()
