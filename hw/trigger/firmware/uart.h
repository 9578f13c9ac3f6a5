/* The serial port: received bytes wait in a ring, sent ones are waited for. */
#ifndef UART_H
#define UART_H

#include <stdbool.h>
#include <stdint.h>

void uart_init(void);

/* False if nothing waits. A byte that did not arrive well is a null, which no frame holds; one for which the
 * ring had no room is lost, which the frame's checksum tells. */
bool uart_take(uint8_t *byte);

/* For the main loop: with interrupts off, whether it may sleep. */
bool uart_is_empty_locked(void);

/* Returns when the hardware has taken the byte: at most 20 us. */
void uart_send(uint8_t byte);

#endif
