# SPDX-License-Identifier: Apache-2.0
"""Reading runs: helpers for notebooks, and the notebooks.

Of ``driver`` this package uses the results schema (:mod:`driver.results.reader`) and what knows no
run: :mod:`driver.intervals`, :mod:`driver.text`, :mod:`driver.errors`. Notebooks may also use
:mod:`driver.api`, to run an experiment or to compare two runs.
"""
