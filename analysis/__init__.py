# SPDX-License-Identifier: Apache-2.0
"""Reading runs: helpers for notebooks, and the notebooks.

The helpers use the results schema of ``driver`` (:mod:`driver.results`), and nothing else of it.
Notebooks may use :mod:`driver.api` as well, to run an experiment or to compare two runs.
"""
