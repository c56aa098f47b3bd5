# SPDX-License-Identifier: Apache-2.0
"""Runs on disk: schema, manifest, writer, reader."""
