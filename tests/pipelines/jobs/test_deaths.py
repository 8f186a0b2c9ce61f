"""The death of a process of Ray is one sentence; what a task raises passes."""

from __future__ import annotations

import pytest
from ray.core.generated.common_pb2 import ActorDiedErrorContext
from ray.exceptions import ActorDiedError, LocalRayletDiedError, OutOfMemoryError, RayTaskError

from pipelines.errors import Stopped, UserError
from pipelines.jobs.deaths import cause_of, death_in, deaths_in_words
from tests.helpers.machines.own_python import answer_of, said_by


def died(name: str) -> ActorDiedError:
    return ActorDiedError(ActorDiedErrorContext(class_name=name, actor_id=bytes(16), error_message="its process has died"))


@pytest.mark.parametrize(
    ("death", "who"),
    [
        (died("TrainController"), "the controller of Ray Train died"),
        (died("Recorder"), "the recorder of the run died"),
        (died("MapWorker"), "MapWorker died"),
        (LocalRayletDiedError(), "Ray (LocalRayletDiedError) died"),
    ],
)
def test_who_died_and_how_to_go_on_is_one_sentence(death, who):
    with pytest.raises(UserError) as said, deaths_in_words("quorum pretrain --resume outputs/first"):
        raise death
    assert str(said.value).startswith(who)
    assert str(said.value).endswith("go on with it: quorum pretrain --resume outputs/first")
    assert "\n" not in str(said.value)


def test_a_wish_to_stop_says_how_to_go_on_unless_that_was_said():
    with pytest.raises(Stopped) as said, deaths_in_words("quorum cluster --resume outputs/first"):
        raise Stopped(15)
    assert str(said.value) == "interrupted; what was saved is whole, go on with it: quorum cluster --resume outputs/first"
    assert said.value.number == 15
    with pytest.raises(Stopped, match=r"^stopped after step 3, as asked$"), deaths_in_words("quorum cluster"):
        raise Stopped(2, "stopped after step 3, as asked")


def test_what_a_task_raises_and_other_errors_tell_of_no_death():
    assert death_in(RayTaskError("task", "its stack", ValueError("3"))) is None
    assert death_in(ValueError("3")) is None


FULL = """1 worker(s) were killed due to the node running low on memory. \
Memory on the node (IP: 192.0.2.7, ID: 2f9b5) was 22.60GB used / 23.54GB limit (0.960068)
OOM kill reason: Memory usage 24266951680B exceeded threshold of 24012677120B (95.0% of 25276502016B limit)
Ray killed 1 worker(s) based on the killing policy
Refer to the documentation on how to address the out of memory issue: https://docs.ray.io. To disable worker killing, set ..."""


def test_memory_that_ran_out_is_said_with_the_machine_and_how_full_it_was():
    with pytest.raises(UserError) as said, deaths_in_words("quorum pretrain --resume outputs/first"):
        raise OutOfMemoryError(FULL)
    assert str(said.value).startswith(
        "memory ran out on 192.0.2.7 (22.60GB of 23.54GB in use, by all its programs), and Ray ended"
    )
    assert str(said.value).endswith("go on with it: quorum pretrain --resume outputs/first")
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("error", [RayTaskError("train", FULL, OutOfMemoryError(FULL)), f"Traceback\n{FULL}\n"])
def test_it_is_said_wherever_rays_message_is_quoted(error):
    assert cause_of(error).startswith("memory ran out on 192.0.2.7")


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ValueError("first\nValueError: what was raised\n\n"), "ValueError: what was raised"),
        ("Traceback\nOSError: no space\n", "OSError: no space"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_of_any_other_error_the_last_line_is_the_cause(error, cause):
    assert cause_of(error) == cause


MEMORY_RUNS_OUT = """
import ray
from pipelines.jobs.deaths import deaths_in_words
from pipelines.errors import UserError

ray.init("local", num_cpus=1, log_to_driver=False)

@ray.remote(max_retries=0)
def large():
    import time
    held = bytearray(200_000_000)
    time.sleep(60)

try:
    with deaths_in_words("quorum cluster --resume outputs/run"):
        ray.get(large.remote())
except UserError as error:
    answer = str(error)
"""


@pytest.mark.slow
def test_ray_says_that_memory_ran_out_as_it_is_read_here():
    assert answer_of(MEMORY_RUNS_OUT, RAY_memory_usage_threshold="0.01").startswith("memory ran out on ")


def test_what_a_task_raises_passes():
    error = RayTaskError("task", "its traceback", ValueError("no"))
    with pytest.raises(RayTaskError) as passed, deaths_in_words("quorum"):
        raise error
    assert passed.value is error


HEAD = """
import os, signal, sys, time, ray
from pipelines.jobs import deaths
from pipelines.jobs.ray_cluster import connect
deaths.HEAD_SECONDS, deaths.MISSED, deaths.LOST = 0.2, 2, 4
connect(local_cpus=1)
time.sleep(1)
say = lambda *words: print(*words, file=sys.stderr, flush=True)
with deaths.when_head_is_lost(lambda: say("over")):
    pass
with deaths.when_head_is_lost(lambda: 1 / 0), deaths.when_head_is_lost(lambda: say("lost")):
    say("killed")
    os.kill(ray._private.worker._global_node.all_processes["gcs_server"][0].process.pid, signal.SIGKILL)
    time.sleep(3)
os._exit(0)
"""


@pytest.mark.ray
def test_a_head_that_is_gone_is_told_and_a_last_act_is_done_before_ray_ends_the_process_without_a_word():
    lines = said_by(HEAD).splitlines()
    (told,) = (place for place, line in enumerate(lines) if line.startswith("Ray's head at "))
    assert lines.index("killed") < told < lines.index("lost")
    assert lines.count("lost") == 1
    assert "over" not in lines
    assert lines[told].endswith("what was saved is whole: give the command again, with --resume if it had begun a run or a sweep")
