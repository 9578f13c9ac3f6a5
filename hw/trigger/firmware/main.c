/* Trigger board of twinhdr: starts two cameras in the same instant. The protocol is in ../protocol.yaml. */
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/pgmspace.h>
#include <avr/sleep.h>
#include <avr/wdt.h>
#include <string.h>

#include "board.h"
#include "capture.h"
#include "clock.h"
#include "frame.h"
#include "lines.h"
#include "uart.h"
#include "version.h"

/* Nothing in here waits longer than one reply takes (1.5 ms), and the timer wraps every 33 ms. */
#define HANG WDTO_250MS

static uint8_t reset_cause __attribute__((section(".noinit")));
static uint16_t rejected;

/* --- from reset to main: lines low before anything else, and no watchdog that the last life left on ------ */

void early(void) __attribute__((naked, used, section(".init3")));
void early(void)
{
  lines_init();
  reset_cause = MCUSR;
  MCUSR = 0; /* WDRF would keep the watchdog on */
  wdt_disable();
}

/* --- requests ------------------------------------------------------------------------------------------ */

typedef struct {
  uint8_t code;    /* 0: a reply was begun */
  uint32_t detail; /* with ERROR_RANGE: the number of the argument */
} Verdict;

static const Verdict done = {0, 0};

static Verdict out_of_range(uint8_t argument)
{
  return (Verdict){ERROR_RANGE, argument};
}

static bool paired;

static Verdict on_hello(const Request *r)
{
  if (r->argument[0] != PROTOCOL_IDENTITY) {
    return (Verdict){ERROR_IDENTITY, PROTOCOL_IDENTITY};
  }
  paired = true;
  reply_begin(r->sequence);
  reply_value(PROTOCOL_IDENTITY);
  reply_value(FIRMWARE_VERSION);
  reply_value(reset_cause);
  return done;
}

static Verdict on_ping(const Request *r)
{
  reply_begin(r->sequence);
  reply_value(lines_mode());
  reply_value(lines_fault());
  reply_value(lines_starts());
  reply_value(rejected);
  return done;
}

static void reply_starts(const Request *r)
{
  reply_begin(r->sequence);
  reply_value(lines_starts());
}

static Verdict on_start(const Request *r)
{
  if (r->argument[0] > LONGEST_PULSE_TICKS || (r->argument[0] != 0 && r->argument[0] < SHORTEST_TICKS)) {
    return out_of_range(1);
  }
  if (lines_mode() != MODE_IDLE) {
    return (Verdict){ERROR_BUSY, 0};
  }
  lines_start((uint16_t)r->argument[0]);
#ifdef MUTANT_HANG_AFTER_START
  for (;;) {
  }
#endif
  reply_starts(r);
  return done;
}

static Verdict on_pace(const Request *r)
{
  Pace pace[2];
  for (uint8_t i = 0; i < 2; i++) {
    uint32_t period = r->argument[2 * i], width = r->argument[2 * i + 1];
    if (period > LONGEST_TICKS || period < 2 * SHORTEST_TICKS) {
      return out_of_range(2 * i + 1);
    }
    if (width < SHORTEST_TICKS || width > period - SHORTEST_TICKS) {
      return out_of_range(2 * i + 2);
    }
    pace[i] = (Pace){.period = period, .width = width};
  }
  if (r->argument[4] < SHORTEST_SILENCE_MS || r->argument[4] > LONGEST_SILENCE_MS) {
    return out_of_range(5);
  }
  if (lines_mode() != MODE_IDLE) {
    return (Verdict){ERROR_BUSY, 0};
  }
  lines_pace(pace, (uint16_t)r->argument[4]);
  reply_starts(r);
  return done;
}

static Verdict on_measure(const Request *r)
{
  if (r->argument[1] > 1) {
    return out_of_range(2);
  }
  capture_arm(r->argument[1] != 0);
  Verdict verdict = on_start(r);
  if (verdict.code != 0) {
    capture_disarm();
  }
  return verdict;
}

static Verdict on_skew(const Request *r)
{
  uint32_t when[2];
  uint8_t seen = capture_read(when);
  reply_begin(r->sequence);
  reply_value(seen);
  for (uint8_t i = 0; i < 2; i++) {
    reply_value(seen & _BV(i) ? when[i] - lines_edge() : 0);
  }
  return done;
}

static Verdict on_stop(const Request *r)
{
  lines_drop();
  capture_disarm();
  reply_begin(r->sequence);
  return done;
}

typedef struct {
  char name[8];
  uint8_t arguments;
  Verdict (*run)(const Request *);
} Command;

/* Handlers in the order of COMMANDS; a command without one does not link. */
#define on_HELLO on_hello
#define on_PING on_ping
#define on_START on_start
#define on_PACE on_pace
#define on_MEASURE on_measure
#define on_SKEW on_skew
#define on_STOP on_stop
#define ROW(name, arguments) {#name, arguments, on_##name},
static const Command commands[] PROGMEM = {COMMANDS(ROW)};

static Verdict obey(const Request *request)
{
  for (uint8_t i = 0; i < sizeof commands / sizeof *commands; i++) {
    Command command;
    memcpy_P(&command, &commands[i], sizeof command);
    if (strcmp(request->name, command.name) != 0) {
      continue;
    }
    if (request->arguments != command.arguments) {
      return (Verdict){ERROR_ARGUMENTS, command.arguments};
    }
    if (!paired && command.run != on_hello && command.run != on_stop) {
      return (Verdict){ERROR_UNPAIRED, 0};
    }
    return command.run(request);
  }
  return (Verdict){ERROR_UNKNOWN, 0};
}

static void answer(const Request *request)
{
  /* A repetition: its reply was lost. To obey again would give a second edge. */
  static uint8_t last_sequence;
  static uint16_t last_crc;
  static bool has_last;
  lines_host_spoke();
  if (has_last && request->sequence == last_sequence && request->crc == last_crc) {
    reply_repeat();
    return;
  }
  Verdict verdict = obey(request);
  if (verdict.code != 0) {
    reply_begin_error(request->sequence, verdict.code);
    if (verdict.detail != 0) {
      reply_value(verdict.detail);
    }
    if (verdict.code == ERROR_IDENTITY) {
      reply_value(FIRMWARE_VERSION);
    }
  }
  last_sequence = request->sequence;
  last_crc = request->crc;
  has_last = true;
  reply_send();
}

/* --- main loop ------------------------------------------------------------------------------------------ */

/* One byte at most, so that a host that never pauses holds up nothing else in the main loop. False if there
 * was nothing to do. */
static bool serve(void)
{
  static Request request;
  static uint8_t rejection;
  uint8_t byte, broken;
  if (!uart_take(&byte)) {
    /* Only now: noise would else make more to send than comes in, and a good frame would find no room. */
    if (rejection == 0) {
      return false;
    }
    reply_begin_rejection(rejection);
    reply_send();
    rejection = 0;
    return true;
  }
  switch (frame_feed(byte, &request, &broken)) {
  case FRAME_NONE:
    break;
  case FRAME_REQUEST:
    rejection = 0;
    answer(&request);
    break;
  case FRAME_BROKEN:
    rejected++;
    rejection = broken;
    break;
  }
  return true;
}

/* The watchdog is fed by work: bytes served and the timer's interrupt alive, never by either alone. */
static void feed_watchdog(void)
{
  static uint8_t last_lap;
  uint8_t lap = clock_laps_seen;
  if (lap != last_lap) {
    last_lap = lap;
    wdt_reset();
  }
}

int main(void)
{
  wdt_enable(HANG);
  uart_init();
  clock_init();
  capture_init();
  set_sleep_mode(SLEEP_MODE_IDLE);
  sei();
  for (;;) {
    bool busy = serve();
    capture_poll();
    feed_watchdog();
    cli();
    if (!busy && uart_is_empty_locked()) {
      sleep_enable();
      sei(); /* the instruction after SEI runs before any interrupt: none is slept through */
      sleep_cpu();
      sleep_disable();
    }
    sei();
  }
}
