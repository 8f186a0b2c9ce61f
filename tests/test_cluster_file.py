"""cluster.yaml and its twin for Google Cloud against Ray's own schema, and against each other."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.helpers.places import ROOT

AWS, GOOGLE = ROOT / "cluster.yaml", ROOT / "deploy" / "cluster-gcp.yaml"
OF_A_CLOUD = ("provider", "available_node_types")
LIBRARIES = ("boto3", "google-api-python-client google-cloud-storage")  # that install the cloud's machines and artifacts

each = pytest.mark.parametrize("file", [AWS, GOOGLE], ids=lambda file: file.name)


@each
def test_cluster_file_is_valid_for_ray_up(file):
    validate_config(prepare_config(yaml.safe_load(file.read_text())))


@each
def test_the_check_would_notice_a_mistake(file):
    config = prepare_config(yaml.safe_load(file.read_text()))
    config["max_wrokers"] = 3
    with pytest.raises(Exception, match="max_wrokers"):
        validate_config(config)


def without_cloud(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in OF_A_CLOUD}


def test_the_clouds_differ_in_their_machines_alone():
    as_google = AWS.read_text().replace("s3://", "gs://").replace(*LIBRARIES)
    assert without_cloud(yaml.safe_load(as_google)) == without_cloud(yaml.safe_load(GOOGLE.read_text()))


def test_the_clouds_have_the_same_kinds_of_nodes():
    aws, google = (yaml.safe_load(file.read_text())["available_node_types"] for file in (AWS, GOOGLE))
    assert aws.keys() == google.keys()
    for name, node in google.items():
        assert {key: node.get(key) for key in ("min_workers", "max_workers")} == {
            key: aws[name].get(key) for key in ("min_workers", "max_workers")
        }
        # Ray knows what AWS's machines have; of Google's it must be told.
        assert node["resources"] == ({} if name == "head" else {"CPU": 16, "GPU": 1})
        assert node["node_config"]["machineType"].endswith("-16")
    spot, on_demand = (google[name]["node_config"]["scheduling"] for name in ("gpu_spot", "gpu_on_demand"))
    assert spot["preemptible"]
    assert not on_demand.get("preemptible")
