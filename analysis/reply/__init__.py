# SPDX-License-Identifier: Apache-2.0
"""The answer to the 2019 thread, made of runs: ``python -m analysis.reply``.

Each module works out the numbers of one point; the words are in ``templates/reply.md.j2``. Nothing
here or there holds a number that was measured, and where a sentence says more or fewer, cheaper or
more expensive, the numbers choose the word.
"""
