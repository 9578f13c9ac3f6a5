#include "clock.h"

#include <avr/interrupt.h>
#include <avr/io.h>
#include <util/atomic.h>

#include "lines.h"

static volatile uint16_t laps;
volatile uint8_t clock_laps_seen;

void clock_init(void)
{
  TCCR1A = 0;
  TCCR1B = _BV(CS11); /* F_CPU / 8, normal mode */
  TIMSK1 = _BV(TOIE1);
}

uint32_t clock_now_locked(void)
{
  uint16_t low = TCNT1;
  uint16_t high = laps;
  /* The timer has wrapped and its interrupt has not run: a small reading is from after the wrap. */
  if ((TIFR1 & _BV(TOV1)) && low < 0x8000U) {
    high++;
  }
  return (uint32_t)high << 16 | low;
}

uint32_t clock_now(void)
{
  uint8_t seen;
  uint16_t high, low;
  do {
    seen = clock_laps_seen;
    high = laps;
    ATOMIC_BLOCK(ATOMIC_FORCEON) /* both bytes of the timer pass through one register */
    {
      low = TCNT1;
    }
  } while (seen != clock_laps_seen); /* it has wrapped meanwhile */
  return (uint32_t)high << 16 | low;
}

uint32_t clock_extend(uint16_t reading)
{
  uint32_t now = clock_now();
  return now - (uint16_t)((uint16_t)now - reading);
}

ISR(TIMER1_OVF_vect)
{
  laps++;
  clock_laps_seen++;
  lines_lap();
}
