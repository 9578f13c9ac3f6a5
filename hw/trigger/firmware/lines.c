#include "lines.h"

#include <avr/interrupt.h>
#include <avr/io.h>
#include <util/atomic.h>

#include "board.h"
#include "clock.h"

/* A wait longer than LONGEST_HOP is cut into half laps of the timer. What is left is never short. */
#define HALF_LAP 0x8000U
#define LONGEST_HOP 0xC000U

/* From arming the compare units to their first match: longer than the arming takes. */
#define LEAD_TICKS 64U

/* A compare interrupt must set the next match before that is due, behind the other line's, the overflow's and
 * the receiver's. The tests run both lines at this limit under a stream of requests. */
_Static_assert(SHORTEST_TICKS * TIMER_DIVIDER >= 800UL, "a hop must outlast the interrupts of both lines");
_Static_assert(LONGEST_PULSE_TICKS <= 0xFFFFUL, "a start pulse is one compare match away");

typedef struct {
  uint32_t high, low; /* ticks of each level */
  uint32_t left;      /* ticks from the next match to the next edge; 0: the next match is the edge */
  bool is_high;       /* before the next match */
} Line;

static Line line[2]; /* belongs to the compare interrupts while paced */
static volatile uint8_t mode, fault;
static volatile uint8_t silent_laps;
static uint8_t most_silent_laps;
static uint16_t starts;
static uint32_t edge;

void lines_init(void)
{
  PORTB &= (uint8_t)~LINES;
  DDRB |= LINES;
}

/* Interrupts are off. The timer lets go of both pins in one write, and the port below them is low. */
static void drop_locked(void)
{
  TIMSK1 &= (uint8_t)~(_BV(OCIE1A) | _BV(OCIE1B));
  TCCR1A = 0;
  PORTB &= (uint8_t)~LINES;
  mode = MODE_IDLE;
}

void lines_drop(void)
{
  ATOMIC_BLOCK(ATOMIC_RESTORESTATE)
  {
    drop_locked();
  }
}

void lines_start(uint16_t pulse)
{
  ATOMIC_BLOCK(ATOMIC_RESTORESTATE)
  {
#ifdef MUTANT_TWO_WRITES
    PORTB |= LINE_0;
    PORTB |= LINE_1;
#else
    PORTB |= LINES; /* the common edge: two bits make this IN, ORI, OUT; one bit would be SBI */
#endif
    edge = clock_now_locked();
    starts++;
    fault = FAULT_NONE;
    mode = MODE_HELD;
    if (pulse != 0) {
      mode = MODE_PULSE;
      OCR1A = (uint16_t)edge + pulse;
      TIFR1 = _BV(OCF1A);
      TIMSK1 |= _BV(OCIE1A);
    }
  }
}

void lines_pace(const Pace pace[2], uint16_t silence_ms)
{
  for (uint8_t i = 0; i < 2; i++) {
    line[i] = (Line){.high = pace[i].width, .low = pace[i].period - pace[i].width};
  }
  /* One lap more than the time asked for, because the first one has begun already. */
  most_silent_laps = (uint8_t)(silence_ms * TICKS_PER_MS / 0x10000UL + 1);
  ATOMIC_BLOCK(ATOMIC_RESTORESTATE)
  {
    starts++;
    fault = FAULT_NONE;
    mode = MODE_PACED;
    silent_laps = 0;
    /* Strobe both outputs to the level they have. The time of the first match comes before what it does: a
     * match left over from before would else raise one line alone. */
    TCCR1A = _BV(COM1A1) | _BV(COM1B1);
    TCCR1C = _BV(FOC1A) | _BV(FOC1B);
    uint16_t first = TCNT1 + LEAD_TICKS;
    OCR1A = first;
    OCR1B = first;
    TCCR1A = _BV(COM1A1) | _BV(COM1A0) | _BV(COM1B1) | _BV(COM1B0);
    TIFR1 = _BV(OCF1A) | _BV(OCF1B);
    TIMSK1 |= _BV(OCIE1A) | _BV(OCIE1B);
  }
}
_Static_assert(LONGEST_SILENCE_MS * TICKS_PER_MS / 0x10000UL + 1 < 0xFFUL, "laps of silence are 8 bits");

void lines_host_spoke(void)
{
  silent_laps = 0;
}

uint8_t lines_mode(void)
{
  return mode;
}

uint8_t lines_fault(void)
{
  return fault;
}

uint16_t lines_starts(void)
{
  return starts;
}

uint32_t lines_edge(void)
{
  return edge;
}

void lines_lap(void)
{
#ifndef MUTANT_NO_SILENCE_WATCHDOG
  if (mode == MODE_PACED && ++silent_laps > most_silent_laps) {
    drop_locked();
    fault = FAULT_SILENCE;
  }
#endif
}

/* A match has happened at `at`: the timer itself has moved the pin, to the tick. Choose what the next match
 * does and when. Times are added to the last match, never to the time at which we run, so nothing adds up.
 * Returns the hop. */
static uint16_t next_hop(Line *self, uint8_t set, uint8_t clear)
{
  if (self->left == 0) {
    self->is_high = !self->is_high;
    self->left = self->is_high ? self->high : self->low;
  }
  uint16_t hop = self->left > LONGEST_HOP ? HALF_LAP : (uint16_t)self->left;
  self->left -= hop;
  bool high_after = (self->left == 0) != self->is_high;
  TCCR1A = (TCCR1A & (uint8_t)~set) | (high_after ? set : clear);
  return hop;
}

static void check_in_time(uint16_t at, uint16_t hop)
{
#ifdef MUTANT_SLOW_INTERRUPT
  __builtin_avr_delay_cycles(1000);
#endif
  if ((uint16_t)(TCNT1 - at) >= hop) { /* the next match lies in the past: it would come a lap late */
    drop_locked();
    fault = FAULT_LATE;
  }
}

ISR(TIMER1_COMPA_vect)
{
  if (mode != MODE_PACED) { /* a start pulse is over */
    drop_locked();
    return;
  }
  uint16_t at = OCR1A;
  uint16_t hop = next_hop(&line[0], _BV(COM1A1) | _BV(COM1A0), _BV(COM1A1));
  OCR1A = at + hop;
  check_in_time(at, hop);
}

ISR(TIMER1_COMPB_vect)
{
  uint16_t at = OCR1B;
  uint16_t hop = next_hop(&line[1], _BV(COM1B1) | _BV(COM1B0), _BV(COM1B1));
  OCR1B = at + hop;
  check_in_time(at, hop);
}
