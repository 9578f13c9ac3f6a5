/* The serial port: received bytes wait in a ring, sent ones are waited for. */
#ifndef UART_H
#define UART_H

#include <stdbool.h>
#include <stdint.h>

void uart_init(void);

/* False if nothing waits. `damaged`: this byte, or one before it that is lost, did not arrive well. */
bool uart_take(uint8_t *byte, bool *damaged);

/* For the main loop: with interrupts off, whether it may sleep. */
bool uart_is_empty_locked(void);

/* Returns when the hardware has taken the byte: at most 20 us. */
void uart_send(uint8_t byte);

#endif
