/* When each camera began to expose, from its strobe output: the first edge after the common start. */
#ifndef CAPTURE_H
#define CAPTURE_H

#include <stdbool.h>
#include <stdint.h>

void capture_init(void);

/* Watch for the first edge on each input from now on. */
void capture_arm(bool rising);

void capture_disarm(void);

/* For the main loop, at every turn. */
void capture_poll(void);

/* Which inputs have seen their edge (bit 0, bit 1) and when, in ticks. */
uint8_t capture_read(uint32_t when[2]);

#endif
