"""A study of two arms in two cells, small enough to calculate its table by hand."""

from __future__ import annotations

from pathlib import Path

from benchmarks.science.read_studies import read_studies
from benchmarks.science.study import Study

SMALL = """
studies:
  small:
    title: Scores
    command: pretrain
    settings: {monitor.split: test}
    score: {figure: test/knn_top1, last: 2}
    seeds: [1, 2, 3]
    cells:
      a: {recipe: coke_digits, data: digits, settings: {epochs: 3}}
      b: {recipe: coke_digits, data: other, settings: {epochs: 3, method.num_clusters: [4, 5]}, seeds: [1, 2]}
    arms:
      x: {}
      y: {method.min_size_ratio: 1.0}
    pairs:
      - {title: x against y, arm: x, against: y}
"""


def studies_of(folder: Path, text: str = SMALL) -> dict[str, Study]:
    """The studies of a file with that text."""
    file = folder / "studies.yaml"
    file.write_text(text)
    return read_studies(file)
