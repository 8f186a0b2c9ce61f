"""Modules that Data tasks load stay free of torch: each task's process would pay seconds and hundreds of MB for it."""

from __future__ import annotations

import pytest

from algos import estimator, kmeans
from tests.helpers.machines.fresh_imports import loaded_by

OF_TASKS = [
    "pipelines.stream.images.image_windows", "pipelines.stream.vector_windows", "pipelines.stream.images.center_crops",
    "pipelines.views.crops",
    "pipelines.datasets.embedding_folder", "pipelines.working_copy.copy_tasks", "pipelines.working_copy.fitness",
    "pipelines.clustering.initial_centers", "pipelines.tracking.recorder", "pipelines.curation.duplicates.tasks",
]  # fmt: skip


@pytest.mark.parametrize("module", OF_TASKS)
def test_what_a_task_loads_is_free_of_torch(module):
    assert loaded_by(module) & {"torch", "torchvision", "timm", "kornia", "mlflow"} == set()


def test_what_is_handed_on_lazily_is_there_when_asked_for():
    assert loaded_by("algos.kmeans") & {"torch"} == set()
    from algos.estimator import ConstrainedKMeans
    from algos.kmeans import OnlineConstrainedKMeans

    assert (ConstrainedKMeans.__name__, OnlineConstrainedKMeans.__name__) == ("ConstrainedKMeans", "OnlineConstrainedKMeans")
    for package, wrong in ((kmeans, "KMeans"), (estimator, "Kmeans")):
        with pytest.raises(AttributeError, match=wrong):
            getattr(package, wrong)
