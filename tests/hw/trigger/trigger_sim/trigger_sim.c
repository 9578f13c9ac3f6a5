/* The trigger board's own firmware on an emulated ATmega328P (libsimavr), cycle by cycle.
 *
 *   trigger_sim [--pty LINK] [--forward LINE SOCKET]... FIRMWARE.elf
 *
 * With --pty the serial port is a pseudo terminal that LINK points to, and the board runs at 16 MHz of the
 * wall clock. Without, it runs as fast as it can and only on the orders below.
 *
 * Standard output, one line each, at the CPU cycle it happens:
 *   PTY path                         the board has power, its serial port is there
 *   E cycle line level monotonic_ns  edge of line 0 (PB1) or line 1 (PB2); edges of one cycle have one time of
 *                                    the host's clock, which is 0 without --pty
 *   T cycle text                     a line the board has sent (not with --pty), newline left out
 *   R cycle                          the watchdog has reset the board
 *   D cycle                          orders done up to here
 *
 * Standard input, one order a line, in order:
 *   rx HEX           bytes for the serial port, at the line's speed, no gap
 *   run CYCLES       go on for so long
 *   idle             go on until the received bytes have been sent to the firmware
 *   input PIN LEVEL  the level of an input: 0 strobe of the reference (PB0), 1 of the secondary (PD2)
 *   strobe PIN CYCLES|off [WIDTH]  from now on, an input falls so long after its line rises, for WIDTH cycles
 *   reset            external reset
 *   quit
 *
 * --forward tells the UNIX datagram socket SOCKET of each rising edge of LINE, as "Line0 MONOTONIC_NS": what
 * the simulated GigE cameras take for an edge on their input.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <simavr/avr_ioport.h>
#include <simavr/avr_uart.h>
#include <simavr/sim_avr.h>
#include <simavr/sim_elf.h>
#include <simavr/sim_time.h>

#define FREQUENCY 16000000u
#define BYTE_CYCLES 352u   /* 11 bits at 500 kbaud: simavr 1.6 always counts a parity bit */
#define SLICE_CYCLES 4000u /* 0.25 ms between looks at the clock, the pty and the orders */
#define RING (1u << 16)

/* data addresses and vectors of the ATmega328P */
#define DDRB 0x24
#define PORTB 0x25
#define TCCR1A 0x80
#define TCCR1C 0x82
#define COMPA_VECTOR 11
#define COMPB_VECTOR 12

typedef struct {
  avr_irq_t *irq;
  bool on;
  avr_cycle_count_t delay, width;
} Strobe;

static avr_t *avr;
static avr_irq_t *uart_in;
static uint8_t ring[RING];
static unsigned head, tail;
static bool feeding;
static int master = -1, slave = -1;
static const char *link_path;
static int forward_socket = -1;
static struct sockaddr_un forward_to[2];
static bool forwards[2];
static Strobe strobe[2];
static uint8_t latch[2];
static char sent[256];
static unsigned sent_length;
static volatile sig_atomic_t stopping;

static void die(const char *what)
{
  fprintf(stderr, "trigger_sim: %s: %s\n", what, strerror(errno));
  exit(2);
}

static long long monotonic_ns(void)
{
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* --- serial port ---------------------------------------------------------------------------------------- */

static avr_cycle_count_t feed(avr_t *core, avr_cycle_count_t when, void *unused)
{
  (void)core;
  (void)unused;
  if (head == tail) {
    feeding = false;
    return 0;
  }
  avr_raise_irq(uart_in, ring[tail++ % RING]);
  return when + BYTE_CYCLES;
}

static void receive(const uint8_t *bytes, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    if (head - tail == RING) {
      errno = ENOBUFS;
      die("more bytes than fit between two looks; use smaller orders");
    }
    ring[head++ % RING] = bytes[i];
  }
  if (!feeding && head != tail) {
    feeding = true;
    avr_cycle_timer_register(avr, BYTE_CYCLES, feed, NULL);
  }
}

static void on_sent(struct avr_irq_t *irq, uint32_t value, void *unused)
{
  (void)irq;
  (void)unused;
  uint8_t byte = (uint8_t)value;
  if (master >= 0) {
    ssize_t ignored = write(master, &byte, 1); /* a reader who does not read loses, as on a real wire */
    (void)ignored;
    return;
  }
  if (byte == '\n' || sent_length == sizeof sent) {
    printf("T %llu %.*s\n", (unsigned long long)avr->cycle, (int)sent_length, sent);
    sent_length = 0;
  } else {
    sent[sent_length++] = (char)byte;
  }
}

static void open_pty(void)
{
  struct termios raw;
  memset(&raw, 0, sizeof raw);
  cfmakeraw(&raw);
  char name[128];
  /* The slave stays open here, or the first client that leaves would hang the line up. */
  if (openpty(&master, &slave, name, &raw, NULL) != 0) {
    die("openpty");
  }
  fcntl(master, F_SETFL, O_NONBLOCK);
  unlink(link_path);
  if (symlink(name, link_path) != 0) {
    die(link_path);
  }
  printf("PTY %s\n", name);
  fflush(stdout);
}

static void read_pty(void)
{
  uint8_t bytes[1024];
  ssize_t count = read(master, bytes, sizeof bytes);
  if (count > 0) {
    receive(bytes, (size_t)count);
  }
}

/* --- pins ------------------------------------------------------------------------------------------------ */

static avr_cycle_count_t strobe_ends(avr_t *core, avr_cycle_count_t when, void *which)
{
  (void)core;
  (void)when;
  avr_raise_irq(((Strobe *)which)->irq, 1);
  return 0;
}

static avr_cycle_count_t strobe_begins(avr_t *core, avr_cycle_count_t when, void *which)
{
  (void)when;
  Strobe *self = which;
  avr_raise_irq(self->irq, 0);
  avr_cycle_timer_register(core, self->width, strobe_ends, self);
  return 0;
}

static void edge(int line, unsigned level)
{
  static unsigned last[2];
  if (last[line] == level) {
    return;
  }
  last[line] = level;
  unsigned long long cycle = avr->cycle;
  static unsigned long long now_cycle;
  static long long now;
  if (master >= 0 && (now == 0 || cycle != now_cycle)) {
    now = monotonic_ns();
    now_cycle = cycle;
  }
  printf("E %llu %d %u %lld\n", cycle, line, level, now);
  if (master >= 0) {
    fflush(stdout);
  }
  if (forwards[line] && level) {
    char text[64];
    int length = snprintf(text, sizeof text, "Line0 %lld", now);
    sendto(forward_socket, text, (size_t)length, MSG_DONTWAIT, (struct sockaddr *)&forward_to[line],
           sizeof forward_to[line]);
  }
  if (level && strobe[line].on) {
    avr_cycle_timer_register(avr, strobe[line].delay, strobe_begins, &strobe[line]);
  }
}

/* The output stage of PB1/OC1A and PB2/OC1B in normal mode, after table 16-1 of the datasheet. simavr 1.6 has
 * its own, but moves the pins at each wrap of the timer too, which only PWM modes do. */
static void update_lines(void)
{
  uint8_t com[2] = {avr->data[TCCR1A] >> 6 & 3, avr->data[TCCR1A] >> 4 & 3};
  uint8_t port = avr->data[PORTB] & avr->data[DDRB];
  for (int line = 0; line < 2; line++) {
    edge(line, com[line] ? latch[line] : port >> (line + 1) & 1);
  }
}

static void match(int line)
{
  switch (avr->data[TCCR1A] >> (line == 0 ? 6 : 4) & 3) {
  case 1:
    latch[line] ^= 1;
    break;
  case 2:
    latch[line] = 0;
    break;
  case 3:
    latch[line] = 1;
    break;
  }
  update_lines();
}

static void on_match(struct avr_irq_t *irq, uint32_t raised, void *line)
{
  (void)irq;
  if (raised) {
    match((int)(intptr_t)line);
  }
}

static void on_write(avr_t *core, avr_io_addr_t address, uint8_t value, void *unused)
{
  (void)unused;
  core->data[address] = value;
  if (address == TCCR1C) { /* force output compare: as a match, without its interrupt */
    for (int line = 0; line < 2; line++) {
      if (value & (line == 0 ? 0x80 : 0x40)) {
        match(line);
      }
    }
    core->data[address] = 0;
  }
  update_lines();
}

/* --- the board ------------------------------------------------------------------------------------------- */

static void never_sleep(avr_t *core, avr_cycle_count_t how_long)
{
  (void)core;
  (void)how_long; /* cycles pass all the same; keeping time with the wall clock is done in one place */
}

static void on_reset(avr_t *core)
{
  feeding = false; /* its timer is gone, and so are the bytes that were on the wire */
  tail = head;
  printf("R %llu\n", (unsigned long long)core->cycle);
  fflush(stdout);
}

static void make_board(const char *path)
{
  elf_firmware_t firmware;
  memset(&firmware, 0, sizeof firmware);
  if (elf_read_firmware(path, &firmware) != 0) {
    die(path);
  }
  avr = avr_make_mcu_by_name("atmega328p");
  avr_init(avr);
  avr->log = LOG_ERROR;
  avr_load_firmware(avr, &firmware);
  avr->frequency = FREQUENCY;
  avr->sleep = never_sleep;
  avr->reset = on_reset;

  uint32_t flags = 0;
  avr_ioctl(avr, AVR_IOCTL_UART_GET_FLAGS('0'), &flags);
  flags &= ~(uint32_t)(AVR_UART_FLAG_STDIO | AVR_UART_FLAG_POLL_SLEEP);
  avr_ioctl(avr, AVR_IOCTL_UART_SET_FLAGS('0'), &flags);
  uart_in = avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_INPUT);
  avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUTPUT), on_sent, NULL);

  avr_io_addr_t watched[] = {PORTB, DDRB, TCCR1A, TCCR1C};
  for (unsigned i = 0; i < sizeof watched / sizeof *watched; i++) {
    avr_register_io_write(avr, watched[i], on_write, NULL);
  }
  for (intptr_t line = 0; line < 2; line++) {
    avr_irq_t *vector = avr_get_interrupt_irq(avr, line == 0 ? COMPA_VECTOR : COMPB_VECTOR);
    avr_irq_register_notify(vector + AVR_INT_IRQ_PENDING, on_match, (void *)line);
  }
  strobe[0].irq = avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ('B'), 0);
  strobe[1].irq = avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ('D'), 2);
}

static avr_cycle_count_t wake(avr_t *core, avr_cycle_count_t when, void *unused)
{
  (void)core;
  (void)when;
  (void)unused;
  return 0;
}

static void run_until(avr_cycle_count_t end)
{
  if (end > avr->cycle) {
    avr_cycle_timer_register(avr, end - avr->cycle, wake, NULL); /* a sleeping core runs to the next timer */
  }
  while (avr->cycle < end && !stopping) {
    int state = avr_run(avr);
    if (state == cpu_Done || state == cpu_Crashed) {
      errno = EFAULT;
      die("the firmware has crashed");
    }
  }
}

/* Keeps the board at 16 MHz of the wall clock; after a long stall it goes on from there. */
static void keep_time(void)
{
  static long long epoch_ns;
  static avr_cycle_count_t epoch_cycle;
  long long now = monotonic_ns();
  long long ahead = (long long)((avr->cycle - epoch_cycle) * 1000 / 16) - (now - epoch_ns);
  if (epoch_ns == 0 || ahead < -50000000LL) {
    epoch_ns = now;
    epoch_cycle = avr->cycle;
  } else if (ahead > 0) {
    struct timespec pause = {ahead / 1000000000LL, ahead % 1000000000LL};
    nanosleep(&pause, NULL);
  }
}

/* --- orders ---------------------------------------------------------------------------------------------- */

static void order_rx(const char *hex)
{
  uint8_t bytes[4096];
  size_t count = 0;
  unsigned byte;
  while (count < sizeof bytes && sscanf(hex, "%2x", &byte) == 1) {
    bytes[count++] = (uint8_t)byte;
    hex += 2;
  }
  receive(bytes, count);
}

static void order(char *line)
{
  unsigned long long cycles = 0, width = 16000;
  unsigned pin, level;
  line[strcspn(line, "\n")] = '\0';
  if (strncmp(line, "rx ", 3) == 0) {
    order_rx(line + 3);
  } else if (sscanf(line, "run %llu", &cycles) == 1) {
    run_until(avr->cycle + cycles);
  } else if (strcmp(line, "idle") == 0) {
    while (feeding && !stopping) {
      run_until(avr->cycle + BYTE_CYCLES);
    }
  } else if (sscanf(line, "input %u %u", &pin, &level) == 2 && pin < 2) {
    avr_raise_irq(strobe[pin].irq, level);
  } else if (sscanf(line, "strobe %u %llu %llu", &pin, &cycles, &width) >= 2 && pin < 2) {
    strobe[pin] = (Strobe){strobe[pin].irq, true, cycles, width};
    avr_raise_irq(strobe[pin].irq, 1);
  } else if (sscanf(line, "strobe %u off", &pin) == 1 && pin < 2) {
    strobe[pin].on = false;
  } else if (strcmp(line, "reset") == 0) {
    avr_reset(avr);
  } else if (strcmp(line, "quit") == 0) {
    stopping = 1;
  } else {
    errno = EINVAL;
    die(line);
  }
  printf("D %llu\n", (unsigned long long)avr->cycle);
}

static void run_orders(void)
{
  static char line[16384];
  while (!stopping && fgets(line, sizeof line, stdin)) {
    order(line);
  }
}

static void run_live(void)
{
  static char buffer[16384];
  size_t held = 0;
  struct pollfd orders = {STDIN_FILENO, POLLIN, 0};
  while (!stopping) {
    run_until(avr->cycle + SLICE_CYCLES);
    keep_time();
    read_pty();
    if (poll(&orders, 1, 0) <= 0 || !(orders.revents & (POLLIN | POLLHUP))) {
      continue;
    }
    ssize_t count = read(STDIN_FILENO, buffer + held, sizeof buffer - 1 - held);
    if (count <= 0) {
      return; /* whoever started this is gone */
    }
    held += (size_t)count;
    buffer[held] = '\0';
    char *end;
    while ((end = strchr(buffer, '\n'))) {
      *end = '\0';
      order(buffer);
      held -= (size_t)(end + 1 - buffer);
      memmove(buffer, end + 1, held + 1);
      fflush(stdout);
    }
  }
}

static void on_signal(int number)
{
  (void)number;
  stopping = 1;
}

int main(int count, char **words)
{
  int at = 1;
  for (; at < count && words[at][0] == '-'; at++) {
    if (strcmp(words[at], "--pty") == 0 && at + 1 < count) {
      link_path = words[++at];
    } else if (strcmp(words[at], "--forward") == 0 && at + 2 < count) {
      int line = atoi(words[++at]) & 1;
      forwards[line] = true;
      forward_to[line].sun_family = AF_UNIX;
      strncpy(forward_to[line].sun_path, words[++at], sizeof forward_to[line].sun_path - 1);
      forward_socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    } else {
      break;
    }
  }
  if (at != count - 1) {
    fprintf(stderr, "usage: trigger_sim [--pty LINK] [--forward LINE SOCKET]... FIRMWARE.elf\n");
    return 2;
  }
  signal(SIGTERM, on_signal);
  signal(SIGINT, on_signal);
  make_board(words[at]);
  if (link_path) {
    open_pty();
    run_live();
    unlink(link_path);
  } else {
    run_orders();
  }
  fflush(stdout);
  return 0;
}
