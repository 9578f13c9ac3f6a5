/* Lines of protocol.yaml: from bytes to a checked request, from values to a reply. */
#ifndef FRAME_H
#define FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol.h"

typedef struct {
  uint8_t sequence;
  uint16_t crc;
  const char *name; /* until the next frame_feed() */
  uint8_t arguments;
  uint32_t argument[MOST_ARGUMENTS];
} Request;

typedef enum { FRAME_NONE, FRAME_REQUEST, FRAME_BROKEN } FrameEvent;

/* One byte from the host. `broken` says with an ERROR_ code why a frame that began and ended is none. */
FrameEvent frame_feed(uint8_t byte, Request *request, uint8_t *broken);

/* begin, value ..., send. A reply is kept so that it can be sent again; a rejection, of what was no request,
 * is not. */
void reply_begin(uint8_t sequence);
void reply_begin_error(uint8_t sequence, uint8_t code);
void reply_begin_rejection(uint8_t code);
void reply_value(uint32_t value);
void reply_send(void);
void reply_repeat(void);

#endif
