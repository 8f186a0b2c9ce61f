"""Which files are found, and what is said of those of another kind: a command that makes Parquet of them, and works."""

from __future__ import annotations

import shlex
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pytest

from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.datasets.parquet_files import find_parquet
from pipelines.errors import UserError

ROWS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def stream(path: str) -> None:
    """As Hugging Face writes tables."""
    table = pa.table({"embedding": list(ROWS)})
    with pa.ipc.new_stream(path, table.schema) as file:
        file.write_table(table)


WRITERS = {
    "x.npy": lambda path: np.save(path, ROWS),
    "x.csv": lambda path: pd.DataFrame(ROWS, columns=["a", "b", "c"]).to_csv(path, index=False),
    "x.tsv": lambda path: pd.DataFrame(ROWS, columns=["a", "b", "c"]).to_csv(path, index=False, sep="\t"),
    "x.feather": lambda path: feather.write_feather(pa.table({"embedding": list(ROWS)}), path),
    "x.arrow": stream,
    "NAME.jsonl": lambda path: pd.DataFrame({"embedding": list(ROWS)}).to_json(path, orient="records", lines=True),
}


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("name", list(WRITERS))
def test_the_command_that_is_said_makes_parquet(tmp_path, name, alone):
    WRITERS[name](str(tmp_path / name))
    said = f"{name} is no Parquet file; make one" if alone else rf"holds no \.parquet file, but 1 file \(1 .*\): {name}; make one"
    with pytest.raises(UserError, match=f"{said}: python -c ") as error:
        find_parquet(str(tmp_path / name if alone else tmp_path))
    if alone:
        command = shlex.split(str(error.value).partition("make one: ")[2])
        subprocess.run([sys.executable, *command[1:]], check=True, cwd=tmp_path)
        vectors = EmbeddingFolder.open(str(tmp_path / f"{name.split('.')[0]}.parquet"))
        np.testing.assert_allclose(vectors.read(0, 0)[0], ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True), atol=1e-5)


def test_what_lies_there_instead_is_said(tmp_path):
    with pytest.raises(UserError, match="is no folder and no file; give a Parquet file or a folder of them"):
        find_parquet(str(tmp_path / "absent"))
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "_b.parquet").write_text("x")
    with pytest.raises(UserError, match=r"holds no \.parquet file, but 2 files \(1 \.txt, 1 hidden\): _b\.parquet, a\.txt; give"):
        find_parquet(str(tmp_path))
    with pytest.raises(UserError, match=r"a\.txt is no whole Parquet file"):
        find_parquet(str(tmp_path / "a.txt")).footers()
