"""cluster.yaml against Ray's own schema."""

from __future__ import annotations

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.helpers.places import ROOT

CLUSTER = ROOT / "cluster.yaml"


def test_cluster_file_is_valid_for_ray_up():
    validate_config(prepare_config(yaml.safe_load(CLUSTER.read_text())))


def test_the_check_would_notice_a_mistake():
    config = prepare_config(yaml.safe_load(CLUSTER.read_text()))
    config["max_wrokers"] = 3
    with pytest.raises(Exception, match="max_wrokers"):
        validate_config(config)
