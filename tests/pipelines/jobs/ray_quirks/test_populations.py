"""When members of a population meet: at each interval's end, and never waiting for one that does not come."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ray.tune.experiment import Trial

from pipelines.jobs.ray_quirks.populations import Population

METRIC, EPOCHS = "train/epoch_loss", "epochs_done"


class Member:
    """A trial as Ray Tune's scheduler knows it; `settings` is its configuration."""

    def __init__(self, name: str, **settings: object) -> None:
        self.trial_id = self.experiment_tag = name
        self.config, self.status, self.is_saving = dict(settings), Trial.RUNNING, False
        manager = SimpleNamespace(checkpoint_config=SimpleNamespace(num_to_keep=None), _latest_checkpoint_result=None)
        self.run_metadata, self.checkpoint = SimpleNamespace(checkpoint_manager=manager), f"checkpoint of {name}"
        self.temporary_state, self.set_experiment_tag = SimpleNamespace(saving_to=None), lambda tag: None

    @property
    def handed(self) -> str | None:
        """The checkpoint that it is to go on from."""
        found = self.run_metadata.checkpoint_manager._latest_checkpoint_result
        return found and found.checkpoint

    def set_config(self, settings: dict) -> None:
        self.config = settings

    def is_finished(self) -> bool:
        return self.status == Trial.TERMINATED


class Meetings:
    """Members under a scheduler, in the place of Ray Tune's controller."""

    def __init__(self, scheduler: Population, *members: Member) -> None:
        self.scheduler, self.members, self.search_alg = scheduler, list(members), None
        scheduler.set_search_properties(METRIC, "min")
        for member in members:
            scheduler.on_trial_add(self, member)

    def get_trials(self) -> list[Member]:
        return self.members

    def get_live_trials(self) -> set[Member]:
        return {member for member in self.members if not member.is_finished()}

    def pause_trial(self, member: Member, should_checkpoint: bool = True) -> None:
        member.status = Trial.PAUSED

    def _schedule_trial_save(self, member: Member, result: dict) -> object:
        return member.checkpoint

    def report(self, member: Member, epochs: int, **figures: float) -> str:
        decision = self.scheduler.on_trial_result(self, member, {EPOCHS: epochs, **figures})
        member.status = Trial.RUNNING if decision == "CONTINUE" else Trial.PAUSED
        return decision

    def goes_on(self) -> list[Member]:
        """Members that are let go on now."""
        found = []
        while (chosen := self.scheduler.choose_trial_to_run(self)) is not None:
            chosen.status = Trial.RUNNING
            found.append(chosen)
        return found


def population(reached: int = 0, interval: int = 2) -> Population:
    return Population(
        reached, time_attr=EPOCHS, perturbation_interval=interval, quantile_fraction=0.5,
        hyperparam_mutations={"lr": [0.1, 0.2, 0.4]},
    )  # fmt: skip


@pytest.fixture
def pair() -> list[Member]:
    return [Member("good", lr=0.1), Member("bad", lr=0.2)]


def test_members_wait_for_each_other_and_then_all_go_on(pair):
    good, bad = pair
    together = Meetings(population(), good, bad)
    together.report(good, 2, **{METRIC: 1.0})
    assert together.goes_on() == []  # the other one is still to come
    together.report(bad, 2, **{METRIC: 2.0})
    assert set(together.goes_on()) == {good, bad}


def test_a_member_that_ended_is_not_waited_for(pair):
    good, bad = pair
    failing = Member("failing", lr=0.4)
    together = Meetings(population(), good, bad, failing)
    together.report(good, 2, **{METRIC: 1.0})
    together.report(bad, 2, **{METRIC: 2.0})
    assert together.goes_on() == []
    failing.status = Trial.TERMINATED
    assert set(together.goes_on()) == {good, bad}
    assert bad.handed == good.checkpoint  # they have met


def test_members_of_a_resumed_sweep_meet_where_the_furthest_is(pair):
    ahead, behind = pair
    together = Meetings(population(reached=3), ahead, behind)
    assert together.report(behind, 1, **{METRIC: 2.0}) == "CONTINUE"
    assert together.report(ahead, 3, **{METRIC: 1.0}) == "CONTINUE"
    assert together.report(ahead, 4, **{METRIC: 1.0}) != "CONTINUE"
    assert together.report(behind, 2, **{METRIC: 2.0}) == "CONTINUE"
    assert behind.handed is None
    together.report(behind, 4, **{METRIC: 2.0})
    assert behind.handed == ahead.checkpoint
    assert set(together.goes_on()) == {ahead, behind}


def test_a_member_whose_score_comes_late_goes_on_and_all_meet_again(pair):
    early, late = pair
    together = Meetings(population(), early, late)
    together.report(early, 2, **{METRIC: 2.0})
    assert together.report(late, 2) == "CONTINUE"
    together.report(late, 4, **{METRIC: 1.0})  # the other one takes over its state of epoch 4
    assert set(together.goes_on()) == {early, late}
