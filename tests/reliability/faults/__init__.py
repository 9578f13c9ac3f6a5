"""Every fault, in the order of docs/reliability.md."""

from tests.reliability.faults import encoding, storage, process, outside  # isort: skip

__all__ = ["encoding", "outside", "process", "storage"]
