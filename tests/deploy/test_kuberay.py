"""deploy/kuberay against KubeRay's schema, Quorum's commands, Ray's and MLflow's, and itself."""

from __future__ import annotations

import copy
import functools
import re
import shlex
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from mlflow.cli import cli as mlflow
from ray.scripts.scripts import drain_node

from pipelines.config.recipe import read_recipe
from pipelines.config.training_config import PretrainConfig
from pipelines.errors import UserError
from tests.helpers.machines.manifests import KUBERAY, documents, mistakes, pods, values
from tests.helpers.machines.needs import needs_kubectl
from tests.helpers.pages.command_check import check_command
from tests.helpers.pages.written_pages import command_lines
from tests.helpers.places import ROOT

FILES = sorted(KUBERAY.glob("*.yaml"))
UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}
SECRET = re.compile(r"password|token|secret|key_id|access_key", re.IGNORECASE)

Resource = dict[str, Any]
every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)


def resource(file: str, kind: str, name: str | None = None) -> Resource:
    return next(one for one in documents(KUBERAY / file) if one["kind"] == kind and name in (None, one["metadata"]["name"]))


def bytes_of(quantity: str) -> int:
    return int(quantity[:-2]) * UNITS[quantity[-2:]]


@functools.cache
def with_kueue() -> list[Resource]:
    """What the overlay makes of the cluster and its jobs."""
    command = ["kubectl", "kustomize", "--load-restrictor", "LoadRestrictionsNone", str(KUBERAY / "kueue")]
    return list(yaml.safe_load_all(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


@every_file
def test_manifests_are_what_the_api_server_knows(file):
    assert [mistakes(one) for one in documents(file)] == [[] for _ in documents(file)]


def set_at(made: Resource, *path_and_value: Any) -> None:
    *path, last, value = path_and_value
    functools.reduce(lambda node, key: node[key], path, made)[last] = value


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda made: set_at(made, "spec", "workerGroupSpecs", 0, "maxReplica", 3), "'maxReplica' was unexpected"),
        (lambda made: set_at(made, "spec", "workerGroupSpecs", 0, "maxReplicas", "3"), "'3' is not of type 'integer'"),
        (lambda made: set_at(made, "spec", "authOptions", "mode", "tokn"), "'tokn' is not one of"),
        (lambda made: made["spec"]["headGroupSpec"].pop("template"), "'template' is a required property"),
        (lambda made: set_at(made, "spec", "headGroupSpec", "template", "spec", "volumes", 0, "emptyDi", {}), "'emptyDi'"),
        (lambda made: set_at(made, "spec", "headGroupSpec", "rayStartParams", "num-cpus", 0), "0 is not of type 'string'"),
        (lambda made: set_at(made, "apiVersion", "ray.io/v1alpha1"), "'ray.io/v1' was expected"),
        (lambda made: set_at(made, "metadata", "label", {}), "'label' was unexpected"),
    ],
)  # fmt: skip
def test_a_mistake_would_be_named(change: Callable[[Resource], Any], said: str):
    made = copy.deepcopy(resource("raycluster.yaml", "RayCluster"))
    change(made)
    assert any(said in mistake for mistake in mistakes(made)), mistakes(made)


@pytest.mark.parametrize("file", ["rayjob-pretrain.yaml", "rayjob-sweep.yaml"])
def test_jobs_run_commands_that_are_there_on_the_cluster_that_is_there(file):
    job = resource(file, "RayJob")
    (words,) = command_lines(job["spec"]["entrypoint"])
    check_command(words)
    assert words[words.index("--address") + 1] == "auto"
    assert job["spec"]["clusterSelector"] == {"ray.io/cluster": resource("raycluster.yaml", "RayCluster")["metadata"]["name"]}
    with pytest.raises(UserError):
        check_command([*words, "--adress", "auto"])


def test_the_group_of_gpus_has_a_pod_for_each_worker_of_the_job():
    gpus, data = resource("raycluster.yaml", "RayCluster")["spec"]["workerGroupSpecs"]
    recipe = read_recipe("coke_imagenet_2view", PretrainConfig, {})
    assert gpus["maxReplicas"] == recipe.compute.workers
    assert int(gpus["rayStartParams"]["num-cpus"]) > recipe.compute.cpus_per_worker  # the stream's tasks need some too
    assert {group["minReplicas"] for group in (gpus, data)} == {0}


def test_ray_is_told_what_the_pods_have():
    cluster = resource("raycluster.yaml", "RayCluster")
    head, *workers = pods(cluster)
    assert head[0]["num-cpus"] == "0"
    for start, pod in (head, *workers):
        (container,) = pod["containers"]
        asked = container["resources"]["requests"]
        assert container["resources"]["limits"] == asked
        assert start.get("num-gpus") == asked.get("nvidia.com/gpu")
        assert start["num-cpus"] in (asked["cpu"], "0")
        (shared,) = [volume["emptyDir"] for volume in pod["volumes"] if volume["name"] == "shared-memory"]
        assert {"name": "shared-memory", "mountPath": "/dev/shm"} in container["volumeMounts"]
        assert shared["medium"] == "Memory"
        assert int(start["object-store-memory"]) < bytes_of(shared["sizeLimit"]) < bytes_of(asked["memory"]) / 2
        assert container["image"].endswith(":cuda" if "nvidia.com/gpu" in asked else ":cpu")
    assert f"ray=={cluster['spec']['rayVersion']}" in (ROOT / "requirements.lock").read_text().split()


def test_a_pod_that_is_to_go_tells_ray_leaves_time_to_save_and_is_there_as_long_as_it_said():
    gpus = resource("raycluster.yaml", "RayCluster")["spec"]["workerGroupSpecs"][0]["template"]["spec"]
    shell, option, script = gpus["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert (shell, option) == ("/bin/bash", "-c")
    drain, _, rest = script.partition(" && ")
    ray, command, *words = shlex.split(drain)
    assert (ray, command) == ("ray", "drain-node")
    context = drain_node.make_context(command, words)  # refuses what Ray's command does not know
    seconds = context.params["deadline_remaining_seconds"]
    assert seconds < int(rest.removeprefix("sleep ")) < gpus["terminationGracePeriodSeconds"]


@every_file
def test_no_pod_runs_as_root_or_may_become_it(file):
    for one in documents(file):
        for _, pod in pods(one):
            assert pod["securityContext"]["runAsNonRoot"]
            assert pod["securityContext"]["runAsUser"] > 0
            for container in pod["containers"]:
                assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def in_clear(one: Resource) -> list[str]:
    """Where a resource holds a secret itself instead of a reference to one."""
    found = [path for path, value in values(one) if re.search(r"://[^/@\s]*:[^/@\s]+@", str(value))]
    for path, value in values(one):
        if path.endswith(".name") and SECRET.search(str(value)) and ".env." in path:
            node = functools.reduce(lambda node, key: node[int(key) if key.isdigit() else key], path.split(".")[1:-1], one)
            found += [] if "value" not in node else [path]
    return [*found, "kind"] if one["kind"] == "Secret" else found


@every_file
def test_secrets_are_references(file):
    assert [in_clear(one) for one in documents(file)] == [[] for _ in documents(file)]


def test_a_secret_in_clear_would_be_seen():
    made = copy.deepcopy(resource("mlflow.yaml", "Deployment"))
    made["spec"]["template"]["spec"]["containers"][0]["env"][1] = {"name": "PGPASSWORD", "value": "no"}
    made["spec"]["template"]["spec"]["containers"][0]["args"][3] = "--backend-store-uri=postgresql://mlflow:no@here/mlflow"
    assert len(in_clear(made)) == 2


def test_what_belongs_together_is_called_alike():
    cluster, account = resource("raycluster.yaml", "RayCluster"), resource("account.yaml", "ServiceAccount")["metadata"]["name"]
    server, database = resource("mlflow.yaml", "Deployment"), resource("mlflow.yaml", "StatefulSet")
    for made in (server, database):
        name = made["metadata"]["name"]
        service = resource("mlflow.yaml", "Service", name)["spec"]
        assert service["selector"] == made["spec"]["selector"]["matchLabels"] == made["spec"]["template"]["metadata"]["labels"]
        (container,) = made["spec"]["template"]["spec"]["containers"]
        assert service["ports"][0]["port"] == container["ports"][0]["containerPort"]
        mounted = {mount["name"] for mount in container.get("volumeMounts", ())}
        claims = [claim["metadata"]["name"] for claim in made["spec"].get("volumeClaimTemplates", ())]
        assert mounted == {volume["name"] for volume in made["spec"]["template"]["spec"].get("volumes", ())} | set(claims)
    assert database["spec"]["serviceName"] == database["metadata"]["name"]
    for _, pod in [*pods(cluster), *pods(server)]:
        assert pod["serviceAccountName"] == account
    for _, pod in pods(cluster):
        assert {"name": "MLFLOW_TRACKING_URI", "value": "http://mlflow:5000"} in pod["containers"][0]["env"]


def options_of_server() -> dict[str, Any]:
    (container,) = resource("mlflow.yaml", "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["mlflow", "server"]
    return dict(mlflow.commands["server"].make_context("server", list(container["args"])).params)


def test_mlflow_takes_its_options_and_answers_to_its_service():
    given, database = options_of_server(), resource("mlflow.yaml", "StatefulSet")
    service = resource("mlflow.yaml", "Service", "mlflow")
    host, port = service["metadata"]["name"], service["spec"]["ports"][0]["port"]
    assert given["port"] == port
    assert {host, f"{host}:{port}", f"localhost:{port}"} <= set(given["allowed_hosts"].split(","))
    environment = {one["name"]: one.get("value") for one in database["spec"]["template"]["spec"]["containers"][0]["env"]}
    user, name = environment["POSTGRES_USER"], environment["POSTGRES_DB"]
    assert given["backend_store_uri"] == f"postgresql+psycopg2://{user}@{database['metadata']['name']}/{name}"


@needs_kubectl
@pytest.mark.parametrize("name", ["pretrain", "sweep"])
def test_under_kueue_a_job_brings_a_cluster_of_a_fixed_size(name):
    (job,) = [one for one in with_kueue() if one["kind"] == "RayJob" and one["metadata"]["labels"]["app"] == name]
    assert mistakes(job) == []
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "quorum"
    assert job["spec"]["entrypoint"] == resource(f"rayjob-{name}.yaml", "RayJob")["spec"]["entrypoint"]
    made, base = job["spec"]["rayClusterSpec"], resource("raycluster.yaml", "RayCluster")["spec"]
    assert not {"enableInTreeAutoscaling", "autoscalerOptions"} & made.keys()
    assert made["headGroupSpec"] == base["headGroupSpec"]
    for group, known in zip(made["workerGroupSpecs"], base["workerGroupSpecs"], strict=True):
        assert 0 < group["replicas"] <= group["maxReplicas"]
        assert {key: value for key, value in group.items() if key != "replicas"} == known
    assert job["spec"]["shutdownAfterJobFinishes"]
    assert "clusterSelector" not in job["spec"]


@needs_kubectl
def test_the_overlay_creates_no_cluster_beside_those_of_its_jobs():
    assert {one["kind"] for one in with_kueue()} == {"RayJob"}
