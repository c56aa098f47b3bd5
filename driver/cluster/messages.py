# SPDX-License-Identifier: Apache-2.0
"""What a driver and its hosts say to each other: JSON, checked by these schemas on arrival.

Nothing that a host sends is unpickled on its way into a run.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from driver.counters.source import UnreadableSource
from driver.digest import digest_of
from driver.errors import HostError
from driver.experiment.attempt import Measuring
from driver.experiment.outcome import Traces, TrialOutcome, failure
from driver.experiment.plan import GuestRequest, Trial
from driver.guest.accel import Choice
from driver.guest.job import Job
from driver.guest.machine import Accel, Machine
from driver.results.guest_record import GuestRecord
from driver.results.manifest import Host
from driver.results.record import Attempt, canonical, unpack
from driver.results.tidy import numbers
from driver.schema_errors import problems
from driver.text import binary, reason
from driver.validity import Accelerator, Validity

# A console or the samples of a trial that claim to be larger than this are refused, in bytes.
_MOST_BYTES = 1 << 28
_NO_BOOTS: Mapping[str, str] = {}


class Message(BaseModel):
    """Something that is sent: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def text(self) -> str:
        return self.model_dump_json()

    @classmethod
    def read(cls, text: str | bytes, sender: str) -> Self:
        """The message in a text; :class:`HostError` naming the sender if it is none."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise HostError(f"{sender} sent no valid {cls.__name__}: {problems(error)}") from None


class FileDigests(Message):
    """An artifact by kind and digest of its inputs, and the digest of each file in it."""

    kind: str
    digest: str
    inputs: dict[str, Any]
    facts: dict[str, Any]
    files: dict[str, str]


class Software(Message):
    """What a host would run trials with.

    ``driver_files`` is a digest of the driver's own modules, ``qemu_files`` of QEMU's program and
    firmware.
    """

    driver: str
    driver_files: str
    qemu: str
    qemu_files: str
    host: Host


class Inspection(Message):
    """The answer of a host that was asked what it is: its software, and which artifacts it lacks.

    ``problem`` says why it cannot work at all.
    """

    software: Software | None = None
    lacks: list[str] = []
    problem: str = ""


class Written(Message):
    """The answer of a host that was sent a piece of an artifact: its bytes, or what was wrong."""

    size: int = 0
    problem: str = ""


class GuestOrder(Message):
    """A kind of guest that a host is to prepare.

    ``kernel`` and ``image`` are artifacts whose paths are relative to the cache
    (:mod:`driver.cluster.portable`).
    """

    request: dict[str, Any]
    machine: dict[str, Any]
    kernel: dict[str, Any]
    image: dict[str, Any]

    @classmethod
    def of(
        cls, request: GuestRequest, machine: Machine, kernel: dict[str, Any], image: dict[str, Any]
    ) -> GuestOrder:
        return cls(
            request=_REQUEST.dump_python(request, mode="json"),
            machine=_MACHINE.dump_python(machine, mode="json"),
            kernel=kernel,
            image=image,
        )

    def guest_request(self) -> GuestRequest:
        """The request; equal ones have equal hashes, as those of a plan do."""
        found = _REQUEST.validate_python(self.request)
        provision = None if found.provision is None else _frozen(found.provision)
        return replace(found, provision=provision)

    def guest_machine(self) -> Machine:
        return _MACHINE.validate_python(self.machine)


class SessionOrder(Message):
    """Everything that a host has to prepare for a run, once.

    ``accel`` is the accelerator asked for. ``slots`` is how many guests run at a time there.
    """

    session: str
    accel: str
    slots: int
    guests: list[GuestOrder]
    keep: dict[str, list[str]]
    digest_nvdimm: bool
    allowed: list[str] = []
    timeout_factor: float = 1.0


class Prepared(Message):
    """The answer of a host that has prepared its guests, or why it has not.

    ``probe`` are the digests of a short trial, of a host whose guests repeat to the byte. If a
    guest was never ready, ``never_ready`` is the attempt at each of its trials, ``boot`` its
    console, compressed and in base64, and the last of ``guests`` is its record.
    """

    accel: Accel = "tcg"
    reason: str = ""
    guests: list[GuestRecord] = []
    probe: dict[str, str] = {}
    problem: str = ""
    never_ready: Attempt | None = None
    boot: str = ""

    @classmethod
    def failed(cls, choice: Choice, guests: list[GuestRecord], outcome: TrialOutcome) -> Prepared:
        """The answer of a host whose last guest was never ready."""
        return cls(
            accel=choice.accel,
            reason=choice.reason,
            guests=guests,
            problem=f"a guest was never ready: {outcome.attempt.message}",
            never_ready=outcome.attempt,
            boot=_packed_text(outcome.traces.boot),
        )

    def outcome(self, sender: str) -> TrialOutcome | None:
        """The result of each trial in a guest that was never ready; None if all were ready."""
        if self.never_ready is None:
            return None
        return TrialOutcome(self.never_ready, Traces(boot=_text(self.boot, sender)))


class TrialOrder(Message):
    """A trial that a host is to try once, under the lease ``token``; ``guest`` is its place in the
    session's list.
    """

    token: int
    id: str
    guest: int
    job: dict[str, Any]
    phases: list[str]

    @classmethod
    def of(cls, token: int, trial: Trial, guest: int) -> TrialOrder:
        job = _JOB.dump_python(trial.job, mode="json")
        return cls(token=token, id=trial.id, guest=guest, job=job, phases=list(trial.phases))

    def trial(self, request: GuestRequest) -> Trial:
        """As much of the trial as an attempt needs."""
        job = _frozen(_JOB.validate_python(self.job))
        return Trial(self.id, 0, 0, {}, request, job, tuple(self.phases))


class BatchOrder(Message):
    """Trials that a host is to try one after the other."""

    session: str
    trials: list[TrialOrder]


class Outcome(Message):
    """What became of one trial of a batch.

    ``attempt`` is None if the host itself failed, as ``problem`` says. ``console`` is compressed
    and in base64, ``result`` also: JSON lines as in ``raw/`` of a run. ``boot`` names what the
    console had said before the guest was forked, which a batch carries once.
    """

    token: int
    attempt: Attempt | None
    console: str = ""
    result: str | None = None
    evidence: dict[str, str] = {}
    boot: str = ""
    problem: str = ""

    @classmethod
    def of(cls, token: int, outcome: TrialOutcome) -> Outcome:
        traces = outcome.traces
        return cls(
            token=token,
            attempt=outcome.attempt,
            console=_packed_text(traces.console),
            result=None if traces.result is None else _packed(canonical(traces.result)),
            evidence=dict(traces.evidence),
            boot=_name_of(traces.boot),
        )

    def outcome(
        self, measuring: Measuring, sender: str, boots: Mapping[str, str] = _NO_BOOTS
    ) -> TrialOutcome:
        """The outcome for the run's record; its numbers are parsed from the texts here.

        ``boots`` are those of its batch, unpacked.

        Raises :class:`HostError` for one that does not hold together.
        """
        if self.attempt is None:
            raise HostError(f"{sender} sent an outcome without an attempt")
        traces = Traces(boot=boots.get(self.boot, ""), console=_text(self.console, sender))
        if self.result is None:
            if self.attempt.verdict == "ok":
                raise HostError(f"{sender} sent a good trial without a result")
            return TrialOutcome(self.attempt, traces)
        try:
            traces.result = unpack(_unpacked(self.result, sender))
        except (ValueError, KeyError, TypeError) as error:
            raise HostError(
                f"{sender} sent a result that cannot be read: {reason(error)}"
            ) from error
        traces.evidence = self.evidence
        try:
            traces.numbers = numbers(traces.result, measuring.keep, measuring.validity)
        except UnreadableSource as error:
            return failure(error, traces, self.attempt.host_seconds)
        return TrialOutcome(self.attempt, traces)


class Outcomes(Message):
    """The answer of a host that was given a batch; less than was asked for if it was stopped."""

    outcomes: list[Outcome]
    boots: dict[str, str] = {}

    @classmethod
    def of(cls, made: Iterable[tuple[int, TrialOutcome | str]]) -> Outcomes:
        """The answer to a batch: what became of each lease, or why the host failed at it."""
        outcomes: list[Outcome] = []
        boots: dict[str, str] = {}
        for token, found in made:
            if isinstance(found, str):
                outcomes.append(Outcome(token=token, attempt=None, problem=found))
                continue
            outcomes.append(Outcome.of(token, found))
            if found.traces.boot:
                name = _name_of(found.traces.boot)
                boots[name] = boots.get(name) or _packed_text(found.traces.boot)
        return cls(outcomes=outcomes, boots=boots)

    def boot_texts(self, sender: str) -> dict[str, str]:
        """What consoles had said before guests were forked, by name."""
        return {name: _text(packed, sender) for name, packed in self.boots.items()}


_REQUEST: TypeAdapter[GuestRequest] = TypeAdapter(GuestRequest)
_MACHINE: TypeAdapter[Machine] = TypeAdapter(Machine)
_JOB: TypeAdapter[Job] = TypeAdapter(Job)


def _frozen(job: Job) -> Job:
    """The job with tuples for the lists that JSON knows."""
    changed: dict[str, Any] = {
        field.name: tuple(value)
        for field in fields(job)
        if isinstance(value := getattr(job, field.name), list)
    }
    return replace(job, **changed)


def measuring_of(order: SessionOrder, accelerator: Accelerator) -> Measuring:
    """What a session's trials are measured by, under the accelerator that its host proved."""
    shift = Machine.icount_shift if accelerator is Accelerator.ICOUNT else None
    return Measuring(
        keep=order.keep,
        validity=Validity(accelerator, shift),
        digest_nvdimm=order.digest_nvdimm,
        allowed=frozenset(order.allowed),
        timeout_factor=order.timeout_factor,
    )


def _name_of(boot: str) -> str:
    return digest_of(boot.encode("utf-8", "surrogateescape").hex())[:16] if boot else ""


def _packed_text(text: str) -> str:
    return _packed(text.encode("utf-8", "surrogateescape"))


def _text(packed: str, sender: str) -> str:
    return _unpacked(packed, sender).decode("utf-8", "surrogateescape")


def _packed(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content, 6)).decode("ascii")


def _unpacked(text: str, sender: str) -> bytes:
    try:
        expander = zlib.decompressobj()
        content = expander.decompress(base64.b64decode(text, validate=True), _MOST_BYTES)
    except (ValueError, zlib.error) as error:
        raise HostError(f"{sender} sent an outcome that cannot be unpacked: {error}") from error
    if not expander.eof:
        raise HostError(
            f"{sender} sent more than {binary(_MOST_BYTES)} for one trial, or a part of it"
        )
    return content
