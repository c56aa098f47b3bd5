# SPDX-License-Identifier: Apache-2.0
"""Running the trials of an experiment on the hosts of a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from driver.api.preparation import Preparation, validity
from driver.api.workspace import Workspace
from driver.cluster.deploy import ClusterOptions, connected
from driver.cluster.executor import cluster_executor
from driver.cluster.fleet import Demand, Fleet
from driver.cluster.messages import GuestOrder
from driver.cluster.portable import artifacts_in, pack
from driver.cluster.transfer import Shipment
from driver.errors import HostError, UserError
from driver.experiment.boot_failure import NeverReady
from driver.experiment.executor import OpenExecutor
from driver.experiment.work import Prepared, Work
from driver.results.guest_record import GuestRecord
from driver.store import Store
from driver.validity import Validity

if TYPE_CHECKING:
    from driver.api.plans import ExperimentPlan

__all__ = ["ClusterOptions", "OnCluster", "on_cluster"]


@dataclass(frozen=True)
class OnCluster:
    """A plan whose guests a cluster has prepared, or one that was never ready on any host."""

    work: Work
    validity: Validity
    reason: str
    open_executor: OpenExecutor
    never_ready: NeverReady | None


@contextmanager
def on_cluster(
    planned: ExperimentPlan,
    options: ClusterOptions,
    place: Workspace,
    reference: Sequence[GuestRecord] | None = None,
) -> Iterator[OnCluster]:
    """Build what a plan needs, connect to the cluster, and wait for its first host.

    ``reference`` are the guests of a run that is resumed: hosts that have others are refused.
    """
    if any(request.instruments for request in planned.guests):
        raise UserError(
            "instruments watch guests of this machine only, and --cluster names other hosts",
            hint="Leave --cluster or --instrument out.",
        )
    if planned.options.keep_guest:
        raise UserError(
            "--keep-guest keeps guests of this machine only, and --cluster names other hosts",
            hint="Leave --cluster or --keep-guest out.",
        )
    if planned.options.jobs != 1:
        raise UserError(
            f"--jobs {planned.options.jobs} is for this machine, and --cluster names other hosts",
            hint="Leave --jobs out; each host has its own number: driver worker ADDRESS --guests N",
        )
    preparation = Preparation(place, accel=planned.accel, options=planned.options)
    orders, shipments = _orders(preparation, planned, place.store)
    experiment = planned.definition.experiment
    demand = Demand(
        accel=planned.accel,
        guests=orders,
        artifacts=shipments,
        keep={name: list(found) for name, found in experiment.sources.keep.items()},
        digest_nvdimm=experiment.digest_nvdimm or planned.options.digest_nvdimm,
        crowded=planned.options.force,
        allowed=planned.options.allow_splat,
        timeout_factor=planned.options.timeout_factor,
        reference=reference,
    )
    with ExitStack() as undo:
        place.reporter.step(f"Connecting to {options.spec}")
        client = undo.enter_context(connected(options, place.store, place.reporter.note))
        place.reporter.note(f"Dask's dashboard: {client.dashboard}")
        fleet = Fleet(client, demand, place.reporter)
        undo.callback(fleet.close)
        place.reporter.step("Preparing guests on the first host")
        first = fleet.first()
        guests = {
            request: Prepared(None, record)
            for request, record in zip(planned.guests, first.guests, strict=False)
        }
        outcome = first.outcome("a host")
        last, record = list(planned.guests)[len(guests) - 1], first.guests[-1]
        yield OnCluster(
            Work(planned.definition, planned.trials, guests),
            validity(first.accel),
            first.reason,
            partial(cluster_executor, fleet),
            NeverReady(last, record, outcome) if outcome else None,
        )


def _orders(
    preparation: Preparation, planned: ExperimentPlan, store: Store
) -> tuple[list[GuestOrder], list[Shipment]]:
    """What hosts are asked to prepare, and the artifacts that takes."""
    orders: list[GuestOrder] = []
    needed: dict[tuple[str, str], None] = {}
    for request in planned.guests:
        kernel, image = preparation.parts(request)
        # What executes it is decided on the hosts.
        machine = preparation.machine(request, "tcg")
        packed = (pack(kernel, store.root), pack(image, store.root))
        orders.append(GuestOrder.of(request, machine, *packed))
        for parts in packed:
            needed |= dict.fromkeys(sorted(artifacts_in(parts)))
    return orders, [_shipment(store, kind, name) for kind, name in needed]


def _shipment(store: Store, kind: str, name: str) -> Shipment:
    artifact = store.recall(kind, name)
    if artifact is None:
        raise HostError(
            f"the {kind} {name[:12]} was removed from the cache {store.root} meanwhile",
            hint="Run the same command again: it is made again.",
        )
    return Shipment.of(artifact)
