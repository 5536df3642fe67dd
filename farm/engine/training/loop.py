"""The training loop, on one worker or several, which can resume from its checkpoints.

A step is a function of the state, the step's number and the rows of the batch; its random numbers
come from rows, which are functions of seed, step and row. So a run that was stopped and resumed
equals an uninterrupted one bit for bit (on a CPU, with the same number of threads and workers).
Workers share the rows of each batch and add up their gradients. The first worker chooses the
checkpoint and sends it to the others, which refuse to start from any other state.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from types import MappingProxyType

import torch
from torch import Tensor

from farm.engine.training.checkpoint import TrainState
from farm.engine.training.contract import (
    Detector,
    Observation,
    Observe,
    Step,
    StepRecord,
    StepResult,
    TrainingOptions,
    Watcher,
)
from farm.engine.training.rates import Decision, Supervisor
from farm.engine.training.run_log import RunLog
from farm.engine.training.speed import Speed
from farm.engine.training.stages import CHECKPOINT, EXCHANGE, measured, stage
from farm.engine.world import ALONE, World
from farm.errors import Cancelled, UserError
from farm.model.messages import TrainingFigures

Report = Callable[[float, str, TrainingFigures], None]
"""Receives the fraction of the run that is done, a note and the figures of the step."""


def train(
    state: TrainState,
    step: Step,
    options: TrainingOptions,
    *,
    world: World = ALONE,
    detector: Detector | None = None,
    supervisor: Supervisor | None = None,
    observe: Observe = Observation,
    report: Report = lambda _done, _note, _figures: None,
    watcher: Watcher | None = None,
    skipped: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Start the run in the folder, or resume it from its last checkpoint, and finish it.

    observe: called on the first worker at each checkpoint. supervisor: changes the rate; the step
    must then apply it. report: called after each step; raises Cancelled to stop the run, which
    then writes a checkpoint. watcher: only used on the first worker. skipped: why pictures could
    not be read here so far, by name, which grows meanwhile; the run's folder lists those of all workers.

    Writes checkpoints/step-N.safetensors with a picture step-N.NAME.png for each that observe
    returns, and one line per step to log.jsonl. Raises BadInput if the folder contains a different
    run, UserError if training diverges or collapses, and StorageFailed if a worker cannot use the
    checkpoint that the first one resumes from.
    """
    log = RunLog(options, world)
    log.resume(state)
    if state.step > options.steps:
        raise UserError(
            f"the run has made {state.step} steps already, more than the {options.steps} that are "
            "asked for; ask for more to continue it"
        )
    training = _Training(
        state,
        options,
        world=world,
        log=log,
        detector=detector,
        supervisor=supervisor,
        observe=observe,
        watcher=watcher,
        skipped=skipped,
    )
    with log:
        training.keep_safe_step()
        while state.step < options.steps:
            with measured() as seconds:
                result = training.take(step)
            record = training.record(result, seconds)
            try:
                report(record.fraction, training.note(record), record.figures)
            except Cancelled:
                training.stop()
                raise
    if watcher and world.rank == 0:
        watcher.on_end(state)


@dataclass(frozen=True)
class _Outcome:
    """A step's values, the same on every worker."""

    losses: Mapping[str, float]
    figures: Mapping[str, float]
    warning: str
    rate: float | None


class _Training:
    """A run between its first step and its last."""

    def __init__(
        self,
        state: TrainState,
        options: TrainingOptions,
        *,
        world: World,
        log: RunLog,
        detector: Detector | None,
        supervisor: Supervisor | None,
        observe: Observe,
        watcher: Watcher | None,
        skipped: Mapping[str, str],
    ) -> None:
        self._state, self._options, self._world, self._log = state, options, world, log
        self._detector, self._supervisor, self._observe = detector, supervisor, observe
        self._watcher = watcher if world.rank == 0 else None
        self._skipped = skipped
        self._all_skipped, self._listed = 0.0, 0.0
        """Pictures that the workers have skipped, taken together, and how many of them are listed."""
        self._speed, self._taken = Speed(), 0
        self._began = state.step
        self._saved = state.step or None
        """The step whose checkpoint is on disk."""

    def take(self, step: Step) -> _Outcome:
        """Take a step, and log it or undo it. A decision is part of the warning that is returned."""
        state = self._state
        result = step(state, self._world.rows(self._options.batch))
        state.step += 1
        outcome = self._sum_up(result)
        decision = self._decide(outcome)
        if decision is None:
            self._keep(outcome)
            return outcome
        self._log.decision = str(decision)
        if decision.rewind_to is None:
            self._keep(outcome)
        else:
            self._go_back(decision.rewind_to)
        return replace(outcome, warning=_joined(str(decision), outcome.warning))

    def _keep(self, outcome: _Outcome) -> None:
        """Log a step, and write a checkpoint if one is due."""
        state = self._state
        figures = {**outcome.losses, **outcome.figures}
        if state.step % self._options.every == 0 or state.step == self._options.steps:
            observation = self._look()
            self._log.write(state.step, {**figures, **observation.figures}, outcome.warning)
            self._list_skipped()
            self._save(observation)
        else:
            self._log.write(state.step, figures, outcome.warning)
        self.keep_safe_step()

    def record(self, outcome: _Outcome, seconds: Mapping[str, float]) -> StepRecord:
        """Return the record of a step, and show it to the watcher."""
        step, options = self._state.step, self._options
        self._speed.tick()
        self._taken += 1
        figures = TrainingFigures(
            step,
            step * options.batch,
            outcome.losses,
            outcome.rate,
            dict(seconds),
            self._taken,
            outcome.warning,
            has_advanced=(self._saved or 0) > self._began,
        )
        record = StepRecord(step / options.steps, figures)
        if self._watcher:
            self._watcher.on_step(record)
        return record

    def note(self, record: StepRecord) -> str:
        """Return a step as one line for the user."""
        step, options = record.figures.step, self._options
        loss = ", ".join(f"{name} {value:.4g}" for name, value in record.figures.losses.items())
        speed = self._speed.describe(options.steps - step, options.batch)
        warning = f"; warning: {record.figures.warning}" if record.figures.warning else ""
        return f"step {step}: {loss}; {speed}{warning}"

    def _list_skipped(self) -> None:
        """Bring the list of skipped pictures up to date with what every worker knows."""
        if self._all_skipped <= self._listed:
            return
        self._listed = self._all_skipped
        own = json.dumps(dict(self._skipped))  # the background adds to them
        for rank in range(self._world.size):
            self._log.list_skipped(json.loads(self._world.broadcast_text(own, rank)))

    def stop(self) -> None:
        """Write a checkpoint of a run that was asked to stop, which other workers may not know yet."""
        self._log.list_skipped(dict(self._skipped))
        self.save()
        if self._watcher:
            self._watcher.on_stop(self._state)

    def save(self) -> None:
        """Write a checkpoint with its pictures, unless this step has one."""
        if self._saved != self._state.step:
            self._save(self._look())

    def _save(self, observation: Observation) -> None:
        with stage(CHECKPOINT):
            self._log.save(self._state, observation, self._safe_step())
            if self._watcher:
                self._watcher.on_checkpoint(self._state, observation)
        self._saved = self._state.step

    def keep_safe_step(self) -> None:
        """Write the checkpoint that the supervisor may go back to, if it is the current step."""
        if self._safe_step() == self._state.step:
            self.save()

    def _safe_step(self) -> int | None:
        return self._supervisor.safe_step(self._state.memory) if self._supervisor else None

    def _look(self) -> Observation:
        """Observe on the first worker, without moving a global random generator."""
        if self._world.rank != 0:
            return Observation()
        with stage(CHECKPOINT), torch.random.fork_rng(range(torch.cuda.device_count())):
            return self._observe()

    def _decide(self, outcome: _Outcome) -> Decision | None:
        """Ask the supervisor. Raises UserError if it stops the run, or if a loss is not finite."""
        if self._supervisor:
            loss = sum(outcome.losses.values())
            decision = self._supervisor.decide(self._state.memory, self._state.step, loss)
            if decision and decision.stops:
                raise UserError(f"training stopped at step {decision.step}: {decision.reason}")
            if decision:
                return decision
        check_finite(self._state.step, outcome.losses)
        return None

    def _go_back(self, step: int) -> None:
        """Continue from an earlier checkpoint, with what the supervisor has learnt since."""
        assert self._supervisor
        learnt = dict(self._state.memory)
        self._log.go_back(self._state, step)
        self._supervisor.carry_over(learnt, self._state.memory)
        self._save(self._look())

    def _sum_up(self, result: StepResult) -> _Outcome:
        """Add up losses, figures and what the detector measures over all workers."""
        named = {**result.losses, **result.figures}
        values = [torch.stack([value.detach().double() for value in named.values()])]
        values.append(values[0].new_tensor([len(self._skipped)]))
        if self._detector and result.pictures is not None:
            measured = self._detector.measure(result.pictures).double().sum(0)
            values.append(measured.to(values[0].device) / self._options.batch)
        flat = torch.cat(values)
        with stage(EXCHANGE):
            self._world.all_reduce(flat)
        numbers = flat.tolist()
        sums, self._all_skipped = dict(zip(named, numbers, strict=False)), numbers[len(named)]
        losses = {name: sums[name] for name in result.losses}
        figures = {name: sums[name] for name in result.figures}
        detected, fault = self._detect(losses, flat[len(named) + 1 :])
        warning = _joined(fault, result.warning, self._log.fallback)
        return _Outcome(losses, {**figures, **detected}, warning, result.rate)

    def _detect(
        self, losses: Mapping[str, float], measured: Tensor
    ) -> tuple[Mapping[str, float], str]:
        if self._detector is None or not len(measured):
            return {}, ""
        return self._detector.check(self._state.step, losses, measured)


def _joined(*warnings: str) -> str:
    return "; ".join(filter(None, warnings))


def check_finite(step: int, losses: Mapping[str, float]) -> None:
    """Raise UserError if a loss is not finite."""
    for name, loss in losses.items():
        if not isfinite(loss):
            value = str(loss).replace("nan", "NaN")
            raise UserError(
                f"training diverged at step {step}: loss {name!r} is {value}; try a lower learning rate"
            )
