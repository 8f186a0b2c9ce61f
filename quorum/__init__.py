"""Quorum: image representations and few-label classifiers by online constrained k-means, on Ray.

The functions are the commands of `quorum`, and return objects to look at in a notebook; what they need is imported when they are
first used. A mistake raises `UserError`, whose message is one sentence.
"""

from __future__ import annotations

from quorum.start.import_names import refuse_hidden_rooms

# isort: split
import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from algos.estimator import ConstrainedKMeans as ConstrainedKMeans
    from pipelines.clustering.config import ClusterConfig as ClusterConfig
    from pipelines.config.training_config import PretrainConfig as PretrainConfig
    from pipelines.config.training_config import ProbeConfig as ProbeConfig
    from pipelines.config.training_config import SemisupConfig as SemisupConfig
    from pipelines.errors import UserError as UserError
    from quorum.assigning import Assignment as Assignment
    from quorum.assigning import JoinedLabels as JoinedLabels
    from quorum.assigning import Quality as Quality
    from quorum.assigning import assign as assign
    from quorum.assigning import join_labels as join_labels
    from quorum.assigning import quality as quality
    from quorum.clustering import Clustering as Clustering
    from quorum.clustering import cluster as cluster
    from quorum.clustering import open_clusters as open_clusters
    from quorum.comparing import Comparison as Comparison
    from quorum.comparing import compare as compare
    from quorum.comparing import sweep as sweep
    from quorum.curation import Curated as Curated
    from quorum.curation import Deduplicated as Deduplicated
    from quorum.curation import centers as centers
    from quorum.curation import curate as curate
    from quorum.curation import dedup as dedup
    from quorum.data import DataSet as DataSet
    from quorum.data import LabelChoice as LabelChoice
    from quorum.data import NextLabels as NextLabels
    from quorum.data import ingest as ingest
    from quorum.data import labels as labels
    from quorum.data import open_data as open_data
    from quorum.scoring import Embeddings as Embeddings
    from quorum.scoring import Probe as Probe
    from quorum.scoring import embed as embed
    from quorum.scoring import evaluate as evaluate
    from quorum.scoring import export as export
    from quorum.scoring import probe as probe
    from quorum.settings import recipes as recipes
    from quorum.source_look import SourceLook as SourceLook
    from quorum.source_look import look as look
    from quorum.training import Run as Run
    from quorum.training import open_run as open_run
    from quorum.training import pretrain as pretrain
    from quorum.training import semisup as semisup
    from quorum.upkeep.clean import Cleaning as Cleaning
    from quorum.upkeep.clean import clean as clean
    from quorum.upkeep.doctor import Checkup as Checkup
    from quorum.upkeep.doctor import doctor as doctor
    from tune.search.sweep_config import SweepConfig as SweepConfig

refuse_hidden_rooms()

_HOMES = {
    "ingest": "quorum.data",
    "look": "quorum.source_look",
    "labels": "quorum.data",
    "open_data": "quorum.data",
    "DataSet": "quorum.data",
    "LabelChoice": "quorum.data",
    "NextLabels": "quorum.data",
    "SourceLook": "quorum.source_look",
    "pretrain": "quorum.training",
    "semisup": "quorum.training",
    "open_run": "quorum.training",
    "Run": "quorum.training",
    "evaluate": "quorum.scoring",
    "probe": "quorum.scoring",
    "Probe": "quorum.scoring",
    "embed": "quorum.scoring",
    "Embeddings": "quorum.scoring",
    "export": "quorum.scoring",
    "cluster": "quorum.clustering",
    "open_clusters": "quorum.clustering",
    "Clustering": "quorum.clustering",
    "assign": "quorum.assigning",
    "Assignment": "quorum.assigning",
    "join_labels": "quorum.assigning",
    "JoinedLabels": "quorum.assigning",
    "quality": "quorum.assigning",
    "Quality": "quorum.assigning",
    "curate": "quorum.curation",
    "Curated": "quorum.curation",
    "dedup": "quorum.curation",
    "Deduplicated": "quorum.curation",
    "centers": "quorum.curation",
    "sweep": "quorum.comparing",
    "compare": "quorum.comparing",
    "Comparison": "quorum.comparing",
    "doctor": "quorum.upkeep.doctor",
    "Checkup": "quorum.upkeep.doctor",
    "clean": "quorum.upkeep.clean",
    "Cleaning": "quorum.upkeep.clean",
    "recipes": "quorum.settings",
    "ConstrainedKMeans": "algos.estimator",
    "PretrainConfig": "pipelines.config.training_config",
    "ProbeConfig": "pipelines.config.training_config",
    "SemisupConfig": "pipelines.config.training_config",
    "ClusterConfig": "pipelines.clustering.config",
    "SweepConfig": "tune.search.sweep_config",
    "UserError": "pipelines.errors",
}
__all__ = ["__version__"]
__all__ += list(_HOMES)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("quorum-kmeans")
    if name not in _HOMES:
        raise AttributeError(f"module 'quorum' has no attribute {name!r}; it has {', '.join(_HOMES)}")
    value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
