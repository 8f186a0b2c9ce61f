"""The death of a process of Ray is one sentence; what a task raises passes."""

from __future__ import annotations

import pytest
from ray.core.generated.common_pb2 import ActorDiedErrorContext
from ray.exceptions import ActorDiedError, LocalRayletDiedError, RayTaskError

from pipelines.errors import UserError
from pipelines.jobs.deaths import deaths_in_words


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


def test_what_a_task_raises_passes():
    error = RayTaskError("task", "its traceback", ValueError("no"))
    with pytest.raises(RayTaskError) as passed, deaths_in_words("quorum"):
        raise error
    assert passed.value is error
