# SPDX-License-Identifier: Apache-2.0
"""Trials on many hosts, with Dask.distributed (the optional dependency ``cluster``).

Dask connects hosts, authenticates them, carries tasks and their results, and knows who is there.
It may run a task twice, or lose the result of one, so the run's directory decides what counts:
each attempt is leased to a host (:mod:`driver.cluster.leases`), and only the newest lease of a
trial may put an outcome into the run.

The side of the driver is :mod:`~driver.cluster.fleet`; that of a host :mod:`~driver.cluster.host`.
What goes from one to the other is :mod:`~driver.cluster.messages`: JSON, checked on arrival.
"""
