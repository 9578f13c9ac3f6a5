"""Every fault, in the order of docs/reliability.md."""

from tests.reliability.faults import cameras, board, fusing, encoding, storage, process, outside  # isort: skip

__all__ = ["board", "cameras", "encoding", "fusing", "outside", "process", "storage"]
