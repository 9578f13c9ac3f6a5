#include "capture.h"

#include <avr/interrupt.h>
#include <avr/io.h>
#include <util/atomic.h>

#include "board.h"
#include "clock.h"

/* From the edge on INT0 to the reading of the timer in its interrupt, in whole ticks, the CPU asleep, as the
 * emulator counts. The four cycles that a real ATmega328P takes to wake (datasheet 7.7.1) are half a tick
 * more; so is what is left of another interrupt or locked access that began just before. */
#define INT0_LATENCY_TICKS 2U

/* GPIOR0 is a register that SBI sets without touching another: an interrupt of one instruction. */
#define EDGE_0 _BV(0)
#define EDGE_1 _BV(1)

static volatile uint16_t reading_1; /* belongs to the interrupt until EDGE_1 is set */
static uint32_t stamp[2];
static uint8_t seen;

void capture_init(void)
{
  /* An open collector pulls low; the pull-ups (20 to 50 kohm) make it work without a further part. */
  PORTB |= STROBE_0;
  PORTD |= STROBE_1;
}

static void disarm_locked(void)
{
  TIMSK1 &= (uint8_t)~_BV(ICIE1);
  EIMSK &= (uint8_t)~_BV(INT0);
}

void capture_disarm(void)
{
  ATOMIC_BLOCK(ATOMIC_RESTORESTATE)
  {
    disarm_locked();
  }
}

void capture_arm(bool rising)
{
  seen = 0;
  ATOMIC_BLOCK(ATOMIC_RESTORESTATE)
  {
    disarm_locked();
    GPIOR0 = 0;
    TCCR1B = _BV(CS11) | (rising ? _BV(ICES1) : 0);
    EICRA = _BV(ISC01) | (rising ? _BV(ISC00) : 0);
    TIFR1 = _BV(ICF1); /* choosing the edge can set either flag */
    EIFR = _BV(INTF0);
    TIMSK1 |= _BV(ICIE1);
    EIMSK |= _BV(INT0);
  }
}

/* The other strobe may come while this one is read, so interrupts are off for single accesses only. */
void capture_poll(void)
{
  if (GPIOR0 & EDGE_0) {
    uint16_t reading;
    ATOMIC_BLOCK(ATOMIC_FORCEON)
    {
      reading = ICR1;
    }
    ATOMIC_BLOCK(ATOMIC_FORCEON)
    {
      TIMSK1 &= (uint8_t)~_BV(ICIE1);
    }
    GPIOR0 &= (uint8_t)~EDGE_0;
    stamp[0] = clock_extend(reading);
    seen |= 1;
  }
  if (GPIOR0 & EDGE_1) { /* set by an interrupt that has switched itself off */
    GPIOR0 &= (uint8_t)~EDGE_1;
    stamp[1] = clock_extend(reading_1) - INT0_LATENCY_TICKS;
    seen |= 2;
  }
}

uint8_t capture_read(uint32_t when[2])
{
  when[0] = stamp[0];
  when[1] = stamp[1];
  return seen;
}

/* The capture unit has latched the time; this only wakes the main loop. One instruction, for while it runs
 * the other edge waits. */
ISR(TIMER1_CAPT_vect, ISR_NAKED)
{
  GPIOR0 |= EDGE_0;
  reti();
}

ISR(INT0_vect)
{
  reading_1 = TCNT1;
  GPIOR0 |= EDGE_1;
  EIMSK &= (uint8_t)~_BV(INT0);
}
