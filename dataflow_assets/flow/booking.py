"""From the ledger to `model_calls`: what was paid for, where people look for it.

The ledger is the truth and is written call by call; the warehouse gets the settled calls in one transaction after each stage
that asked, and at the start and the end of every run, so that a killed run's calls are there after the next.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from dataflow_assets.flow.paid import open_ledger
from dataflow_assets.records import ModelCall, columns_of
from dataflow_assets.warehouse.store import Warehouse, now


def book_calls(home: Path, warehouse: Warehouse) -> int:
    """Copy settled calls into the warehouse; give their number. Where there are none, nothing is opened for writing."""
    ledger = open_ledger(home)
    ledger.settle_dead()
    booked = 0
    names = [*columns_of(ModelCall), "updated_at"]
    marks = ", ".join("?" * len(names))
    while calls := ledger.unbooked():
        with warehouse.transaction() as connection:
            # A call may have been booked before: as in flight no more, or by a process that died before it could say so.
            connection.execute("CREATE TEMP TABLE booking (call_id VARCHAR)")
            connection.executemany("INSERT INTO booking VALUES (?)", [[call["call_id"]] for call in calls])
            connection.execute("DELETE FROM model_calls WHERE call_id IN (SELECT call_id FROM booking)")
            connection.execute("DROP TABLE booking")
            connection.executemany(
                f"INSERT INTO model_calls ({', '.join(names)}) VALUES ({marks})",
                [
                    [
                        {
                            **call,
                            "called_at": dt.datetime.fromtimestamp(call["called_at"], dt.UTC).replace(tzinfo=None),
                            "input_hash": call["asked"],
                            "updated_at": now(),
                        }[name]
                        for name in names
                    ]
                    for call in calls
                ],
            )
        ledger.mark_booked([call["call_id"] for call in calls])
        booked += len(calls)
    return booked
