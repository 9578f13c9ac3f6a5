/* The two trigger lines: one common edge, a pulse, or two paces; and how they fall. */
#ifndef LINES_H
#define LINES_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
  uint32_t period; /* ticks */
  uint32_t width;
} Pace;

/* Low from the first instructions after reset on; see main.c. */
void lines_init(void);

/* Both rise in one write. They fall after `pulse` ticks; 0: by lines_drop(). Only in MODE_IDLE. */
void lines_start(uint16_t pulse);

/* Both rise at the same tick, then each at its own pace, until lines_drop() or `silence_ms` without
 * lines_host_spoke(), whichever comes first. Only in MODE_IDLE. */
void lines_pace(const Pace pace[2], uint16_t silence_ms);

/* Both low, at once, from any mode. */
void lines_drop(void);

void lines_host_spoke(void);

uint8_t lines_mode(void);
uint8_t lines_fault(void);   /* why the lines dropped by themselves; FAULT_NONE after the next start */
uint16_t lines_starts(void); /* common edges since reset */

/* Time of the last common edge of lines_start(). */
uint32_t lines_edge(void);

/* Called by the clock at each wrap of the timer, in its interrupt. */
void lines_lap(void);

#endif
