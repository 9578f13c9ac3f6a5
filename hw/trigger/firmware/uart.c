#include "uart.h"

#include <avr/interrupt.h>
#include <avr/io.h>

#include "board.h"

#define RING 64U
_Static_assert((RING & (RING - 1)) == 0 && RING <= 128, "the ring's indices are 8 bits and wrap");

/* One writer (the interrupt) and one reader (the main loop), indices of one byte: no lock needed. */
static volatile uint8_t ring[RING];
static volatile uint8_t head, tail;

void uart_init(void)
{
  UCSR0A = _BV(U2X0);
  UCSR0C = _BV(UCSZ01) | _BV(UCSZ00); /* 8N1 */
  UBRR0 = F_CPU / (8UL * BAUD) - 1;
  UCSR0B = _BV(RXCIE0) | _BV(RXEN0) | _BV(TXEN0);
}

ISR(USART_RX_vect)
{
  bool bad = UCSR0A & _BV(FE0); /* read before UDR0, which clears it */
  uint8_t byte = UDR0;
  uint8_t at = head;
  if ((uint8_t)(at - tail) < RING) {
    ring[at % RING] = bad ? 0 : byte;
    head = at + 1;
  }
}

bool uart_take(uint8_t *byte)
{
  uint8_t at = tail;
  if (at == head) {
    return false;
  }
  *byte = ring[at % RING];
  tail = at + 1;
  return true;
}

bool uart_is_empty_locked(void)
{
  return head == tail;
}

void uart_send(uint8_t byte)
{
  while (!(UCSR0A & _BV(UDRE0))) {
  }
  UDR0 = byte;
}
