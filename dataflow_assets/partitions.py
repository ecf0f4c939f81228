"""The partitions: one per library, or one per bucket of a very large one."""

from __future__ import annotations

import dagster as dg

library_partitions = dg.DynamicPartitionsDefinition(name="library")
"""Keys are made by `catalog.partition_of` alone. A key is never deleted: it would come back as materialised. A library that
left the catalog keeps its key and is shown as retired."""
