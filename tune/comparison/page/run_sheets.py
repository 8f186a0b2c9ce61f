"""Sheets of clusters that runs drew themselves, beside each other."""

from __future__ import annotations

from pathlib import Path

from pipelines.files.location import is_on_disk, path_on_disk
from tune.comparison.comparison import SHOWN, Comparison
from tune.comparison.mlflow_runs import Record
from tune.comparison.page.parts import paragraphs, section, sheet

MOST_SHEETS = 6


def sheets_part(compared: Comparison) -> str:
    """The last sheet of a run of each of the best settings; nothing where no run has one here."""
    found, without = list[tuple[Record, Path]](), list[str]()
    for line in compared.lines:
        mine = [(record, path) for record, _ in line.runs if (path := last_sheet(record))]
        found += mine[: 2 if compared.pair else 1]
        without += [] if mine else [line.runs[0][0].name]
    if not found:
        return ""
    said = [f"{len(found) - MOST_SHEETS} settings more have sheets"] if len(found) > MOST_SHEETS else []
    if without:
        more = f" and {len(without) - SHOWN} more" if len(without) > SHOWN else ""
        said.append(f"no sheet here of {', '.join(without[:SHOWN])}{more}")
    shown = "".join(sheet(path, f"{record.name}: {path.name}") for record, path in found[:MOST_SHEETS])
    return section("Clusters, as the runs drew them last", f'<div class="sheets pair">{shown}</div>{paragraphs(said)}')


def last_sheet(record: Record) -> Path | None:
    """The newest sheet of clusters in a run's folder; `None` where the folder is not on this machine, or has none."""
    if not record.folder or not is_on_disk(record.folder):
        return None
    return max((path_on_disk(record.folder) / "pictures").glob("clusters-*.png"), default=None)
