"""Ray Tune's population: members that meet wait for nobody in vain."""

from __future__ import annotations

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import PopulationBasedTraining


class Population(PopulationBasedTraining):
    """All members meet at each interval's end, so that none is compared with another's later state.

    Ray Tune's own waits for ever for a member that ended before the others' next meeting, and where all are at one epoch already
    after a meeting; and it lets members of one that goes on meet wherever they are. No issue found.

    Args:
        reached: time of the member that is furthest, of a population that goes on.
        options: of Ray Tune's scheduler.
    """

    def __init__(self, reached: int = 0, **options: Any) -> None:
        # A score that no member has yet is no reason to end the sweep.
        super().__init__(synch=True, log_config=False, require_attrs=False, **options)
        intervals = max(1, -(-reached // self._perturbation_interval))
        self._next_perturbation_sync = intervals * self._perturbation_interval

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Let a member wait for the others, unless it has to come to where they meet first."""
        if result.get(self._time_attr, 0) < self._next_perturbation_sync:
            return str(self.CONTINUE)
        return str(super().on_trial_result(tune_controller, trial, result))

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """A member that may go on; where all wait and nobody is to come any more, they meet first."""
        chosen, members = super().choose_trial_to_run(tune_controller), tune_controller.get_live_trials()
        if chosen is None and members and all(one.status == Trial.PAUSED and not one.is_saving for one in members):
            latest = max(members, key=lambda one: self._trial_state[one].last_train_time)
            time = self._trial_state[latest].last_train_time
            super().on_trial_result(tune_controller, latest, self._trial_state[latest].last_result)
            self._next_perturbation_sync = max(self._next_perturbation_sync, time + self._perturbation_interval)
            chosen = super().choose_trial_to_run(tune_controller)
        return chosen
