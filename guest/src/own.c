/* Makes a guest its own after it was forked from another's memory, or woken. Part of init, which is there already: under emulation
 * a program that must first be started takes longer than all of this. What virtscale's shell script does elsewhere, this does here.
 *
 * The guest agent writes one line into the file /run/virtscale-own and reads the answer behind it, "ID STATUS\n":
 *
 *   ID woken TIME
 *   ID fork TIME HOSTNAME MACHINE_ID SEED CARD_ADDRESS [renew]
 *
 * TIME: seconds since 1970, with a fraction. SEED: 64 hex digits for the kernel's random numbers, which are drawn anew at once.
 * CARD_ADDRESS: of the network card; with renew the link is down, and the guest asks for an address when it comes up.
 * Repeating it is no error. STATUS: 0, or the number of the step that failed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <net/if.h>
#include <sched.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "own.h"

enum { SEED_BYTES = 32, REQUEST_BYTES = 512, WORDS = 8, USAGE = 2, CLOCK, ENTROPY, NAME, CARD };

static int write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  int ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
  if (fd >= 0) close(fd);
  return ok;
}

static int set_clock(const char *text) {
  double seconds = strtod(text, NULL);
  struct timespec t = {.tv_sec = (time_t)seconds};
  t.tv_nsec = (long)((seconds - (double)t.tv_sec) * 1e9);
  return seconds > 0 && clock_settime(CLOCK_REALTIME, &t) == 0;
}

/* Mixes the seed in, then has every CPU's generator draw its key from the pool again: until then they all go on where the
 * template's stood. */
static int reseed(const char *hex) {
  struct { struct rand_pool_info info; unsigned char bytes[SEED_BYTES]; } seed;
  for (int i = 0; i < SEED_BYTES; i++) {
    unsigned byte;
    if (sscanf(hex + 2 * i, "%2x", &byte) != 1) return 0;
    ((unsigned char *)seed.info.buf)[i] = (unsigned char)byte;
  }
  seed.info.entropy_count = SEED_BYTES * 8;
  seed.info.buf_size = SEED_BYTES;
  int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
  int ok = fd >= 0 && ioctl(fd, RNDADDENTROPY, &seed) == 0 && ioctl(fd, RNDRESEEDCRNG) == 0;
  if (fd >= 0) close(fd);
  return ok;
}

static int set_names(const char *name, const char *machine_id) {
  char line[64];
  snprintf(line, sizeof line, "%.32s\n", machine_id);
  /* The backend says the last one. */
  return sethostname(name, strlen(name)) == 0 && write_file("/etc/machine-id", line) && write_file("/run/virtscale-name", name);
}

/* The address is changed while the card is up, so that its IP address and routes stay; neighbours are told. */
static int set_card(const char *address) {
  struct ifreq card;
  memset(&card, 0, sizeof card);
  strcpy(card.ifr_name, "eth0");
  card.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  unsigned char *to = (unsigned char *)card.ifr_hwaddr.sa_data;
  if (sscanf(address, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", to, to + 1, to + 2, to + 3, to + 4, to + 5) != 6) return 0;
  write_file("/proc/sys/net/ipv4/conf/eth0/arp_notify", "1");
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  int ok = ioctl(fd, SIOCSIFHWADDR, &card) == 0;
  close(fd);
  return ok;
}

/* init starts the DHCP client again when it has ended, and that one begins from nothing. */
static void renew(void) {
  char text[16] = "";
  int fd = open("/run/udhcpc.pid", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  if (read(fd, text, sizeof text - 1) > 0 && atoi(text) > 1) kill(atoi(text), SIGKILL);
  close(fd);
  struct ifreq card;
  memset(&card, 0, sizeof card);
  strcpy(card.ifr_name, "eth0");
  struct sockaddr_in none = {.sin_family = AF_INET};
  memcpy(&card.ifr_addr, &none, sizeof none);
  fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ioctl(fd, SIOCSIFADDR, &card);
  close(fd);
}

static int own(int argc, char **argv) {
  if (argc < 3) return USAGE;
  if (!set_clock(argv[2])) return CLOCK;
  if (strcmp(argv[1], "woken") == 0) return 0;
  if (argc < 7 || strlen(argv[5]) != 2 * SEED_BYTES) return USAGE;
  if (!reseed(argv[5])) return ENTROPY;
  if (!set_names(argv[3], argv[4])) return NAME;
  if (!set_card(argv[6])) return CARD;
  if (argc > 7) renew();
  return 0;
}

static int requests = -1;
static char answered[32]; /* the id of the last one */

static void answer(void) {
  char line[REQUEST_BYTES] = "", reply[64], *words[WORDS], *rest = line;
  int n = (int)pread(requests, line, sizeof line - 1, 0), argc = 0;
  char *end = n > 0 ? strchr(line, '\n') : NULL;
  if (!end) return;
  *end = 0;
  while (argc < WORDS && (words[argc] = strsep(&rest, " "))) argc++;
  if (argc < 2 || strlen(words[0]) >= sizeof answered || strcmp(words[0], answered) == 0) return;
  strcpy(answered, words[0]);
  snprintf(reply, sizeof reply, "%s %d\n", words[0], own(argc, words));
  ssize_t length = (ssize_t)strlen(reply);
  if (pwrite(requests, reply, (size_t)length, end + 1 - line) == length) ftruncate(requests, end + 1 - line + length);
}

int own_watch(void) {
  /* Before all others as soon as the agent has written: it asks for the answer again and again, and would take the CPU we need. */
  struct sched_param first = {.sched_priority = 1};
  sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first);
  int events = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  requests = open(OWN_FILE, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  inotify_add_watch(events, OWN_FILE, IN_MODIFY | IN_CLOSE_WRITE);
  return events;
}

void own_look(int events) {
  struct inotify_event e;
  int closed = 0;
  while (read(events, &e, sizeof e) == sizeof e) closed |= (e.mask & IN_CLOSE_WRITE) != 0;
  answer();
  if (closed && ftruncate(requests, 0) != 0) dprintf(1, "guest: %s: %m\n", OWN_FILE);
}
