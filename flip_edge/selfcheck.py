"""The one door: a run in, a verdict out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from flip_edge.backward import BackwardInference, Evidence, InferenceEngine
from flip_edge.calibration import find_calibration
from flip_edge.config import LIVE, Config, Rule
from flip_edge.decision import Decision, Outcome, decide, effective_rule
from flip_edge.episode import Episode
from flip_edge.errors import ConfigError
from flip_edge.hearsay import hearsay
from flip_edge.models import AdapterFile, ModelFile, joined_id, resolve, resolve_adapter, verify
from flip_edge.neighbours import processors
from flip_edge.prepared import find_prepared
from flip_edge.prompts import DEFAULT_PROMPT, PromptFormat, load_prompt, prompt_id
from flip_edge.verdict import Verdict, verdict_of

_log = logging.getLogger(__name__)


class SelfCheck:
    """Checks runs with one loaded model. Not thread-safe, but for :meth:`interrupt` and :meth:`resume`.

    >>> with SelfCheck() as check:  # doctest: +SKIP
    ...     verdict = check("bring the mug to the sink", ["picked up the mug", "put it in the sink"])
    ...     print(verdict.outcome.value, verdict.reason)

    Args:
        config: the settings; the defaults use the embedded model.
        engine: an engine to use in place of the configured model; closed with this object.

    Raises:
        ModelError: the model is missing, corrupt or cannot be loaded; the message says what to do.
        ConfigError: the prompt format is unknown, or the rule cannot be used with it.
    """

    def __init__(self, config: Config | None = None, *, engine: InferenceEngine | None = None) -> None:
        self._config = config = config or Config()
        self._cpus = processors(config.cpus)
        model = None if engine else resolve(config.model)
        adapter = resolve_adapter(config.adapter, model, config.prompt) if model else None
        if model and (prepared := find_prepared(model, adapter)):
            model, adapter = prepared, None
        prompt = load_prompt(_prompt_name(config.prompt, model, adapter))
        self.prompt_id = prompt_id(prompt)
        self._likelihood = prompt.supports_likelihood
        self._require_likelihood(config)
        self.model_id = joined_id(model, adapter) if model else "given"
        if model:
            engine = self._open(model, adapter)
        assert engine
        self._engine = engine
        try:
            self.calibration = find_calibration(config.calibration, self.model_id, self.prompt_id)
            self._backward = BackwardInference(self._engine, prompt, config.max_new_tokens, config.max_alternatives)
        except BaseException:
            self._engine.close()
            raise
        if self.rule != config.rule:
            _log.warning(
                "no calibration for model %s with prompt %s: rule 'likelihood' decides; flip-edge calibrate makes one",
                self.model_id,
                self.prompt_id,
            )

    def _open(self, model: ModelFile, adapter: AdapterFile | None) -> InferenceEngine:
        from flip_edge.engine import Engine  # here, so that llama.cpp is loaded only where a model is

        verify(model)
        if adapter:
            verify(adapter)
        return Engine(
            model.path,
            adapter=adapter.path if adapter else None,
            n_ctx=self._config.n_ctx,
            n_threads=self._config.n_threads or len(self._cpus),
            n_gpu_layers=self._config.n_gpu_layers,
            check_tensors=model.sha256 is None,
        )

    def _require_likelihood(self, config: Config) -> None:
        if config.rule != "f1" and not self._likelihood:
            raise ConfigError(
                f"rule {config.rule!r} needs a completion prompt; {self.prompt_id!r} answers in JSON: use rule 'f1'"
            )

    @property
    def config(self) -> Config:
        """The settings in use."""
        return self._config

    @property
    def engine(self) -> InferenceEngine:
        """What computes; for measuring it."""
        return self._engine

    @property
    def prompt(self) -> PromptFormat:
        """How a run is put before the model."""
        return self._backward.prompt

    @property
    def rule(self) -> Rule:
        """The rule that decides: the configured one, or ``likelihood`` where there is no calibration."""
        return effective_rule(self._config, self.calibration)

    @property
    def gpu_offload_missing(self) -> bool:
        """Whether layers were to go to a GPU that this llama.cpp cannot use."""
        return bool(getattr(self._engine, "gpu_offload_missing", False))

    def __call__(self, command: str, steps: Iterable[str], *, id: str = "") -> Verdict:
        """Check one run.

        Args:
            command: what the robot was told.
            steps: what it did, one description a step, oldest first.
            id: carried into the verdict as ``command_id``.

        Raises:
            InputError: the command or a step is not text. Text that cannot be judged is UNKNOWN, not an error.
        """
        return self.check(Episode.of(command, steps, id=id))

    def check(self, episode: Episode, *, waited_s: float = 0.0) -> Verdict:
        """Check an episode; ``waited_s`` is the time it spent in a queue, for the record."""
        config = self._config
        started = time.perf_counter()
        evidence = self._observe(episode, lambda found: self._settled(episode, found))
        decision = decide(episode, evidence, config, self.calibration)
        return self._verdict(episode, decision, evidence, waited_s, time.perf_counter() - started)

    def observe(self, episode: Episode, *, sampled: bool = False) -> Evidence:
        """All the evidence, undecided; empty, with the reason, for an episode that cannot be judged.

        Args:
            episode: the run.
            sampled: draw ``samples`` instructions as rule ``f1`` does, under any rule.
        """
        return self._observe(episode, lambda _: False, sampled=sampled)

    def _observe(self, episode: Episode, settled: Callable[[Evidence], bool], *, sampled: bool = False) -> Evidence:
        if problem := episode.problem():
            return Evidence(failure=problem)
        places = hearsay(episode.command, episode.steps)
        if len(places) == len(episode.steps):
            return Evidence(failure="no actions: what was described only repeats the command, or speaks of success")
        samples = self._config.samples if sampled or self.rule == "f1" else 0
        evidence = self._backward.observe(
            episode.without(places),
            self._config.deadline_s or None,
            settled,
            samples=samples,
            long_runs=self._config.long_runs,
        )
        return replace(evidence, hearsay=len(places))

    def _settled(self, episode: Episode, evidence: Evidence) -> bool:
        """Whether nothing is wrong whatever instruction would be inferred; what is wrong is worth explaining.

        An instruction can only raise the score, as no weight of a calibration is negative.
        """
        if self._config.infer == "always" or self.rule == "f1":
            return False
        outcome = decide(episode, evidence, self._config, self.calibration).outcome
        return outcome is (Outcome.MATCH if episode.finished else Outcome.UNKNOWN)

    def read_ahead(self, episode: Episode) -> int:
        """Read the steps of a run that goes on while it goes on, so that little is left to do at its end.

        The verdict of the whole run is the same without. One run is kept like that: the last one that was read.

        Returns:
            How many tokens were read; 0 also where the run cannot be judged.
        """
        if not episode.steps or episode.problem():
            return 0
        episode = episode.without(hearsay(episode.command, episode.steps))
        return self._backward.read_ahead(episode, self._config.deadline_s or None)

    def unknown(self, episode: Episode, reason: str, *, waited_s: float = 0.0) -> Verdict:
        """The verdict of a run that never reached the model, for example because the queue overflowed."""
        return self._verdict(episode, Decision(Outcome.UNKNOWN, reason, self.rule), Evidence(), waited_s, 0.0)

    def _verdict(
        self, episode: Episode, decision: Decision, evidence: Evidence, waited_s: float, computed_s: float
    ) -> Verdict:
        return verdict_of(
            episode,
            decision,
            evidence,
            self._config,
            model_id=self.model_id,
            prompt_id=self.prompt_id,
            calibration_id=self.calibration.id if self.calibration else None,
            waited_s=waited_s,
            computed_s=computed_s,
        )

    def reconfigure(self, config: Config) -> None:
        """Change the settings that need no new model, from the next check on.

        Raises:
            ConfigError: another setting differs; it takes a new SelfCheck.
        """
        for name in config.__struct_fields__:
            if name not in LIVE and getattr(config, name) != getattr(self._config, name):
                raise ConfigError(f"{name} cannot change while the model is loaded")
        self._require_likelihood(config)
        self._config = config

    def restore(self) -> None:
        """Put the engine in order for checks, after it was used for something else."""
        self._backward.restore()

    def interrupt(self) -> None:
        """Make the check that runs, and all later ones, UNKNOWN at once. From any thread."""
        self._engine.interrupt()

    def resume(self) -> None:
        """Allow checks again after :meth:`interrupt`."""
        self._engine.resume()

    def close(self) -> None:
        """Free the model."""
        self._engine.close()

    def __enter__(self) -> SelfCheck:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _prompt_name(name: str, model: ModelFile | None, adapter: AdapterFile | None) -> str:
    if name != "auto":
        return name
    return adapter.prompt if adapter else model.prompt if model else DEFAULT_PROMPT
