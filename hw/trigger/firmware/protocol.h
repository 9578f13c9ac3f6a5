/* Made from protocol.yaml by hw/trigger/generate.py; do not edit. */
#ifndef PROTOCOL_H
#define PROTOCOL_H

#ifndef PROTOCOL_IDENTITY /* tests build firmware of another age */
#define PROTOCOL_IDENTITY 0xFBDE37A3UL
#endif
#define BAUD 500000UL
#define LONGEST_FRAME 72UL
#define TICK_NS 500UL
#define SHORTEST_TICKS 100UL
#define LONGEST_TICKS 20000000UL
#define LONGEST_PULSE_TICKS 60000UL
#define SHORTEST_SILENCE_MS 100UL
#define LONGEST_SILENCE_MS 5000UL
#define MOST_ARGUMENTS 5

#define COMMANDS(X) \
  X(HELLO, 1) \
  X(PING, 0) \
  X(START, 1) \
  X(PACE, 5) \
  X(MEASURE, 2) \
  X(SKEW, 0) \
  X(STOP, 0)

enum {
  ERROR_CRC = 1,
  ERROR_TOO_LONG = 2,
  ERROR_SYNTAX = 3,
  ERROR_UNKNOWN = 4,
  ERROR_ARGUMENTS = 5,
  ERROR_RANGE = 6,
  ERROR_IDENTITY = 7,
  ERROR_UNPAIRED = 8,
  ERROR_BUSY = 9,
};

enum {
  MODE_IDLE = 0,
  MODE_PULSE = 1,
  MODE_HELD = 2,
  MODE_PACED = 3,
};

enum {
  FAULT_NONE = 0,
  FAULT_SILENCE = 1,
  FAULT_LATE = 2,
};

#endif
