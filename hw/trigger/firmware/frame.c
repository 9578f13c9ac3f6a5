#include "frame.h"

#include <string.h>
#include <util/crc16.h>

#include "uart.h"

/* --- requests ------------------------------------------------------------------------------------------ */

#define CRC_TAIL 5 /* star and four digits */
#define SHORTEST (2 + 1 + 1 + CRC_TAIL)

static char text[LONGEST_FRAME]; /* between colon and newline, then a null */
static uint8_t length;
static enum { OUTSIDE, INSIDE, OVERLONG } state;

static int8_t digit(char c)
{
  if (c >= '0' && c <= '9') {
    return (int8_t)(c - '0');
  }
  if (c >= 'A' && c <= 'F') {
    return (int8_t)(c - 'A' + 10);
  }
  return -1;
}

/* The number of `count` digits at `from`. False if one of them is none. */
static bool hexadecimal(const char *from, uint8_t count, uint32_t *value)
{
  uint32_t sum = 0;
  while (count--) {
    int8_t nibble = digit(*from++);
    if (nibble < 0) {
      return false;
    }
    sum = sum << 4 | (uint8_t)nibble;
  }
  *value = sum;
  return true;
}

static uint16_t crc_of(const char *from, uint8_t count)
{
  uint16_t crc = 0xFFFF;
  while (count--) {
    crc = _crc_xmodem_update(crc, (uint8_t)*from++);
  }
  return crc;
}

/* Words after the sequence number, one space before each. Cuts `text` into strings. */
static bool split(Request *request)
{
  if (text[2] != ' ') {
    return false;
  }
  char *word = text + 3;
  request->name = word;
  request->arguments = 0;
  char *end = strchr(word, ' ');
  while (end != NULL) {
    *end = '\0';
    word = end + 1;
    end = strchr(word, ' ');
    uint8_t digits = (uint8_t)(end == NULL ? strlen(word) : (size_t)(end - word));
    if (request->arguments == MOST_ARGUMENTS || digits < 1 || digits > 8) {
      return false;
    }
    if (!hexadecimal(word, digits, &request->argument[request->arguments++])) {
      return false;
    }
  }
  return true;
}

/* 0 or an ERROR_ code. */
static uint8_t parse(Request *request)
{
  uint32_t number;
  if (length < SHORTEST || text[length - CRC_TAIL] != '*') {
    return ERROR_CRC;
  }
  uint8_t covered = length - CRC_TAIL;
  if (!hexadecimal(text + covered + 1, 4, &number)) {
    return ERROR_CRC;
  }
  request->crc = (uint16_t)number;
#ifndef MUTANT_CRC_IGNORED
  if (crc_of(text, covered) != request->crc) {
    return ERROR_CRC;
  }
#endif
  text[covered] = '\0';
  if (!hexadecimal(text, 2, &number)) {
    return ERROR_SYNTAX;
  }
  request->sequence = (uint8_t)number;
  return split(request) ? 0 : ERROR_SYNTAX;
}

FrameEvent frame_feed(uint8_t byte, Request *request, uint8_t *broken)
{
  if (byte == ':') {
    state = INSIDE;
    length = 0;
    return FRAME_NONE;
  }
  if (state == OUTSIDE) {
    return FRAME_NONE;
  }
  if (byte != '\n') {
    if (length >= LONGEST_FRAME - 2) { /* without colon and newline; room for the null */
      state = OVERLONG;
    } else {
      text[length++] = (char)byte;
    }
    return FRAME_NONE;
  }
  *broken = state == INSIDE ? parse(request) : ERROR_TOO_LONG;
  state = OUTSIDE;
  return *broken == 0 ? FRAME_REQUEST : FRAME_BROKEN;
}

/* --- replies ------------------------------------------------------------------------------------------- */

typedef struct {
  char text[LONGEST_FRAME];
  uint8_t length;
} Reply;

static Reply kept;      /* to the last request; it may be asked for again */
static Reply rejection; /* of noise, which must not displace the other */
static Reply *reply = &kept;

static void put(char c)
{
  if (reply->length < sizeof reply->text) {
    reply->text[reply->length++] = c;
  }
}

static void put_number(uint32_t value, uint8_t digits)
{
  while (digits--) {
    uint8_t nibble = (uint8_t)(value >> (4 * digits)) & 0x0F;
    put((char)(nibble < 10 ? '0' + nibble : 'A' + nibble - 10));
  }
}

static void put_word(const char *word)
{
  while (*word) {
    put(*word++);
  }
}

void reply_begin(uint8_t sequence)
{
  reply = &kept;
  reply->length = 0;
  put('=');
  put_number(sequence, 2);
  put_word(" OK");
}

void reply_begin_error(uint8_t sequence, uint8_t code)
{
  reply_begin(sequence);
  reply->length -= 2; /* OK */
  put_word("ER");
  reply_value(code);
}

void reply_begin_rejection(uint8_t code)
{
  reply = &rejection;
  reply->length = 0;
  put_word("=-- ER");
  reply_value(code);
}

void reply_value(uint32_t value)
{
  uint8_t digits = 1;
  while (digits < 8 && value >> (4 * digits) != 0) {
    digits++;
  }
  put(' ');
  put_number(value, digits);
}

static void transmit(const Reply *which)
{
  for (uint8_t i = 0; i < which->length; i++) {
    uart_send((uint8_t)which->text[i]);
  }
}

void reply_send(void)
{
  uint16_t crc = crc_of(reply->text + 1, (uint8_t)(reply->length - 1));
  put('*');
  put_number(crc, 4);
  put('\n');
  transmit(reply);
}

void reply_repeat(void)
{
  transmit(&kept);
}
