"""Numbers of the trigger protocol. Made from protocol.yaml by generate.py; do not edit."""

from __future__ import annotations

import enum

IDENTITY = 0xFBDE37A3
FIRMWARE_VERSION = 1
BAUD = 500000
LONGEST_FRAME = 72
TICK_NS = 500
SHORTEST_TICKS = 100
LONGEST_TICKS = 20000000
LONGEST_PULSE_TICKS = 60000
SHORTEST_SILENCE_MS = 100
LONGEST_SILENCE_MS = 5000


class ErrorCode(enum.IntEnum):
    CRC = 1
    TOO_LONG = 2
    SYNTAX = 3
    UNKNOWN = 4
    ARGUMENTS = 5
    RANGE = 6
    IDENTITY = 7
    UNPAIRED = 8
    BUSY = 9


class Mode(enum.IntEnum):
    IDLE = 0
    PULSE = 1
    HELD = 2
    PACED = 3


class Fault(enum.IntEnum):
    NONE = 0
    SILENCE = 1
    LATE = 2


class Command(enum.Enum):
    HELLO = "HELLO"
    PING = "PING"
    START = "START"
    PACE = "PACE"
    MEASURE = "MEASURE"
    SKEW = "SKEW"
    STOP = "STOP"
