"""Names that Quorum and Ray give to files below a folder of theirs; a file of another name is the user's."""

from __future__ import annotations

import re

CHECKPOINT = r"step-\d{9}(-\d+)?\.pt"


def paths(*patterns: str) -> re.Pattern[str]:
    """Paths of these patterns, and what a cut-off write of such a file leaves."""
    return re.compile(rf"(?:{'|'.join(patterns)})(?:\.[0-9a-f]{{32}}\.partial)?", re.DOTALL)


COPY_PARTS = r"part-\d{6}\.parquet|_embeddings\.json"
OF_A_COPY = paths(COPY_PARTS)
OF_RAY_TRAIN = paths(r"\.validate_storage_marker", r"checkpoint_manager_snapshot\.json")
OF_RAY_TUNE = paths(
    r"\.validate_storage_marker|tuner\.pkl|trainable\.pkl|searcher-state-[^/]*\.pkl",
    r"(experiment_state|basic-variant-state|search_gen_state)-[^/]*\.json",
    r"[^/]+_[0-9a-f]{5}_\d{5}_[^/]*/(params\.(json|pkl)|checkpoint_\d{6}/handover\.json|result\.json|progress\.csv|error\.(txt|pkl)|events\.out\.tfevents\.[^/]*)",
)
OF_A_RUN = paths(
    r"run\.json|config\.yaml|at_work\.json|labels\.json|initial\.safetensors|(start|centers|sizes|parents)\.parquet|report\.json",
    rf"checkpoints/(index\.json|{CHECKPOINT})",
    r"journal\.(jsonl|sent|partial)|journal/\d{6}\.jsonl",
    r"pictures/(cluster-sizes|curves|clusters|prototypes|pseudo-labels|refined)-\d{4,}\.png",
    rf"ray/train-\d+/({OF_RAY_TRAIN.pattern})",
    r"evaluation/(journal\.(jsonl|sent|partial)|classes-[^/]+\.(parquet|csv))",
    r"images/[^/]+/part-\d{5}\.parquet",
    rf"working-copy/({COPY_PARTS})",
    r"labels/part-\d{6}\.parquet",
)
OF_A_BEGINNING = paths(r"at_work\.json|config\.yaml|labels\.json|initial\.safetensors")
OF_ASSIGN = paths(r"_begun\.json", r"labels/part-\d{6}\.parquet", r"sizes\.parquet")
OF_JOIN = paths(r"_begun\.json", r"[^/]+\.parquet")  # copies of the user's files, which keep their names
OF_EXCHANGE = paths(r"part-\d{8}\.arrows")
