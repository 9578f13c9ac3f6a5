/* Timer 1 runs free at TICK_NS for as long as the board has power: the time of everything here. */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>

/* Counts wraps of the timer, 65536 ticks each, modulo 256. */
extern volatile uint8_t clock_laps_seen;

void clock_init(void);

/* Ticks since reset, modulo 2^32. Call with interrupts off. */
uint32_t clock_now_locked(void);

/* The same with interrupts on, which it holds up for a few cycles only. */
uint32_t clock_now(void);

/* The 32-bit time of a reading of the timer that is less than one wrap old. Call with interrupts on. */
uint32_t clock_extend(uint16_t reading);

#endif
