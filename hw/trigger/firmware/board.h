/* The board: ATmega328P at 16 MHz (Arduino Uno, Nano and their kin), what is on which pin, and why.
 *
 *   D9  PB1 OC1A  out  line 0, reference camera     both on one port, so that one write raises both, and
 *   D10 PB2 OC1B  out  line 1, secondary camera     both outputs of one timer, so that it paces them alone
 *   D8  PB0 ICP1  in   strobe of the reference      latched by the input capture unit: exact to one tick
 *   D2  PD2 INT0  in   strobe of the secondary      the highest interrupt, which reads the same timer
 *
 * There is one capture unit. Sending both strobes through it in turn (the comparator can stand in for the
 * pin) would miss the one pair of edges that matters, for both come within microseconds. So the second takes
 * the interrupt that nothing goes before. See capture.c for what that costs.
 */
#ifndef BOARD_H
#define BOARD_H

#include <avr/io.h>
#include <stdint.h>

#include "protocol.h"

#ifndef __AVR_ATmega328P__
#error "pins and timers here are those of the ATmega328P"
#endif

#define LINE_0 _BV(PORTB1)
#define LINE_1 _BV(PORTB2)
#define LINES (LINE_0 | LINE_1)
#define STROBE_0 _BV(PORTB0)
#define STROBE_1 _BV(PORTD2)

#define TIMER_DIVIDER 8UL
#define TICKS_PER_MS (F_CPU / TIMER_DIVIDER / 1000UL)

_Static_assert(TICK_NS * (F_CPU / 1000000UL) == TIMER_DIVIDER * 1000UL, "TICK_NS is not the timer's");
_Static_assert((LINE_0 & LINE_1) == 0 && (LINES & STROBE_0) == 0, "two jobs on one pin");
_Static_assert(F_CPU % (8UL * BAUD) == 0, "the baud rate is not exact");

#endif
