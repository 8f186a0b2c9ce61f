"""What Ray's tables say of a cluster: each work-around works, and is still needed - a test that fails says which one can go."""

from __future__ import annotations

import inspect
import time

import pytest
import ray
import ray.data
from ray.train import ScalingConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table, remove_placement_group

from pipelines.jobs.ray_quirks.cluster import free_orphans, start_coordinator
from tests.helpers.machines.own_python import said_by


@pytest.mark.slow
def test_ray_lists_a_node_that_is_gone_and_we_do_not():
    code = """
import ray
from ray.cluster_utils import Cluster
from pipelines.jobs.ray_cluster import connect
from pipelines.jobs.ray_quirks.cluster import living_nodes
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
node = cluster.add_node(num_cpus=1)
ray.init(address=cluster.address)
before = connect()
cluster.remove_node(node)
print("nodes", len(ray.nodes()), "living", len(living_nodes()), "alone", before, connect())
"""
    assert "nodes 2 living 1 alone False False" in said_by(code)


class Reserving:
    """Somebody's own actor, which reserves a CPU."""

    def make(self):
        self.group = placement_group([{"CPU": 1}])
        ray.get(self.group.ready())
        return self.group.id.hex()


class TrainController(Reserving):
    """Has the name of Ray Train's, which reserves for workers."""


@pytest.mark.ray
def test_the_actor_that_a_controller_would_wait_for_is_there(local_ray):
    start_coordinator()
    found = ray.get_actor("AutoscalingCoordinator", namespace="AutoscalingCoordinator")
    start_coordinator()
    assert ray.get_actor("AutoscalingCoordinator", namespace="AutoscalingCoordinator") == found


def test_ray_trains_controller_waits_for_it():
    from ray.train.v2._internal.execution.scaling_policy import autoscaling_coordinator_client as client

    assert "ray.get(" in inspect.getsource(client.TrainAutoscalingCoordinatorClient.send_resource_request)


def state_of(group: str) -> str:
    return str(placement_group_table()[group]["state"])


@pytest.mark.ray
@pytest.mark.job
def test_what_an_actor_reserved_outlives_it_until_it_is_freed(local_ray):
    living, dying, another = (ray.remote(num_cpus=0)(kind).remote() for kind in (TrainController, TrainController, Reserving))
    kept, left, handed_on = ray.get([living.make.remote(), dying.make.remote(), another.make.remote()])
    mine = placement_group([{"CPU": 1}])
    ray.get(mine.ready())
    ray.kill(dying)
    ray.kill(another)
    time.sleep(2)
    assert state_of(left) == "CREATED"
    held = free_orphans()
    assert held >= 1
    assert {group: state_of(group) for group in (left, kept, handed_on, mine.id.hex())} == {
        left: "REMOVED", kept: "CREATED", handed_on: "CREATED", mine.id.hex(): "CREATED",
    }  # fmt: skip
    assert free_orphans() == held  # does no harm twice
    remove_placement_group(mine)
    remove_placement_group(PlacementGroup(ray.PlacementGroupID.from_hex(handed_on)))
    ray.kill(living)
    deadline = time.monotonic() + 20
    while free_orphans() >= held:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@ray.remote(num_cpus=0)
class Driver:
    """Drives a Ray Train job, as a trial of several workers does, whose workers report nothing."""

    def drive(self, storage):
        config = ray.train.RunConfig(storage_path=storage)
        scaling = ScalingConfig(num_workers=2)
        DataParallelTrainer(lambda: time.sleep(600), scaling_config=scaling, run_config=config).fit()


@pytest.mark.ray
@pytest.mark.slow
def test_a_driver_that_is_killed_before_its_workers_report_leaves_nothing_reserved(local_ray, tmp_path):
    def groups() -> set[str]:
        return {name for name, group in placement_group_table().items() if group["state"] == "CREATED"}

    before, driver = groups(), Driver.remote()
    driver.drive.remote(str(tmp_path))
    deadline = time.monotonic() + 60
    while not groups() - before:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    ray.kill(driver)
    time.sleep(8)
    assert groups() - before  # Ray Train itself does not free it
    free_orphans()
    assert groups() == before


OUTLIVES = """
import sys, ray
from ray.cluster_utils import Cluster
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as on
from pipelines.jobs.ray_quirks.cluster import keep_here

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 100 << 20})
node = cluster.add_node(num_cpus=2, object_store_memory=100 << 20)
ray.init(address=cluster.address, log_to_driver=False)
if sys.argv[1] == "kept":
    keep_here()

@ray.remote(num_cpus=0)
def rows():
    import ray.data
    return ray.data.range(3).take_all()

ray.get(rows.options(scheduling_strategy=on(node.node_id, soft=False)).remote())

names = {row["name"]: row["namespace"] for row in ray.util.list_named_actors(all_namespaces=True)}
states = ray._private.state.actors()
places = {one["Name"]: one["Address"]["NodeID"] for one in states.values() if one["State"] == "ALIVE" and one["Name"] in names}
print("names", sorted(names), "elsewhere", sorted(name for name, place in places.items() if place == node.node_id))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("start", "elsewhere"), [("left", True), ("kept", False)])
def test_what_outlives_the_jobs_is_on_the_drivers_node(start, elsewhere):
    said = next(line for line in said_by(OUTLIVES, start).splitlines() if line.startswith("names "))
    names, places = said.split(" elsewhere ")
    assert "datasets_stats_actor" in names
    assert ("datasets_stats_actor" in places) if elsewhere else (places == "[]")
