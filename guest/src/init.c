/* Both inits of a virtscale guest, one static program: /init in the initramfs and /sbin/init on the root disk.
 * In C because a shell's forks are what most of a quick boot would go to under emulation. Not a general init.
 *
 * In the initramfs: mount /dev /proc /sys, load the modules named in /modules/order, mount /dev/vda, switch to it.
 * On the disk: network, backend, then everything that may come later (guest agent, remaining modules), then wait for
 * children, for the ACPI power button and for signals (busybox's: USR2 power off, TERM reboot).
 *
 * Kernel command line:
 *   virtscale.ip=ADDRESS/BITS,GATEWAY,DNS   a fixed address, for a network that is private to the VM (QEMU user mode);
 *                                           without it the guest asks by DHCP
 *   virtscale.net=MAC/ADDRESS/BITS[/MTU]    a fixed address on the card with that address; may stand there several times
 *
 * A file /etc/rc is run once everything else is up, with its output in /run/rc.log. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <net/if.h>
#include <net/route.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "own.h"

static void say(const char *text) {
  dprintf(1, "guest: %s\n", text);
}

static int read_file(const char *path, char *out, int size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  int n = fd < 0 ? -1 : (int)read(fd, out, (size_t)size - 1);
  if (fd >= 0) close(fd);
  out[n > 0 ? n : 0] = 0;
  out[strcspn(out, "\n")] = 0;
  return n > 0;
}

static void write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return;
  if (write(fd, text, strlen(text)) < 0) say(path);
  close(fd);
}

static void nap(int ms) {
  struct timespec t = {ms / 1000, (ms % 1000) * 1000000L};
  nanosleep(&t, NULL);
}

/* Loads every module listed in ORDER (one path a line, dependencies first). */
static void load_modules(const char *order) {
  FILE *list = fopen(order, "re");
  char path[256];
  if (!list) return;
  while (fgets(path, sizeof path, list)) {
    path[strcspn(path, "\n")] = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST)) dprintf(1, "guest: module %s: %m\n", path);
    if (fd >= 0) close(fd);
  }
  fclose(list);
}

static pid_t spawn(char *const argv[], const char *log) {
  pid_t pid = fork();
  if (pid != 0) return pid;
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  setsid();
  if (log) {
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    dup2(fd, 1);
    dup2(fd, 2);
  }
  execv(argv[0], argv);
  _exit(127);
}

/* ---- initramfs ---- */

static void wait_for_disk(void) {
  struct stat s;
  for (int i = 0; i < 2000 && stat("/dev/vda", &s) != 0; i++) nap(5);
}

static void to_root_disk(void) {
  static const char *kept[] = {"/dev", "/proc", "/sys"};
  load_modules("/modules/order");
  wait_for_disk();
  if (mount("/dev/vda", "/root", "ext4", MS_NOATIME, NULL) != 0) {
    dprintf(1, "guest: no root disk: %m\n");
    nap(1000);
    reboot(RB_POWER_OFF);
  }
  for (int i = 0; i < 3; i++) {
    char target[16];
    snprintf(target, sizeof target, "/root%s", kept[i]);
    mount(kept[i], target, NULL, MS_MOVE, NULL);
  }
  if (chdir("/root") != 0 || mount(".", "/", NULL, MS_MOVE, NULL) != 0 || chroot(".") != 0 || chdir("/") != 0)
    dprintf(1, "guest: cannot switch root: %m\n");
  char *const argv[] = {"/sbin/init", NULL};
  execv(argv[0], argv);
  dprintf(1, "guest: no /sbin/init: %m\n");
  reboot(RB_POWER_OFF);
}

/* ---- root disk ---- */

static int interface_flags(int fd, const char *name, short flags) {
  struct ifreq r;
  memset(&r, 0, sizeof r);
  strncpy(r.ifr_name, name, IFNAMSIZ - 1);
  if (ioctl(fd, SIOCGIFFLAGS, &r) != 0) return -1;
  r.ifr_flags |= flags;
  return ioctl(fd, SIOCSIFFLAGS, &r);
}

static void set_address(int fd, unsigned long request, const char *name, in_addr_t address) {
  struct ifreq r;
  memset(&r, 0, sizeof r);
  strncpy(r.ifr_name, name, IFNAMSIZ - 1);
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = address};
  memcpy(&r.ifr_addr, &in, sizeof in);
  if (ioctl(fd, request, &r) != 0) dprintf(1, "guest: address: %m\n");
}

static int card_with(const char *mac, char *name) {
  DIR *d = opendir("/sys/class/net");
  int found = 0;
  for (struct dirent *e; d && !found && (e = readdir(d));) {
    char path[300], address[32];
    snprintf(path, sizeof path, "/sys/class/net/%s/address", e->d_name);
    if (e->d_name[0] == '.' || strlen(e->d_name) >= IFNAMSIZ || !read_file(path, address, sizeof address)) continue;
    if ((found = strcasecmp(address, mac) == 0)) strcpy(name, e->d_name);
  }
  if (d) closedir(d);
  return found;
}

static void start_cluster_networks(const char *cmdline) {
  static const char key[] = "virtscale.net=";
  char mac[18], address[32], name[IFNAMSIZ];
  int bits, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct ifreq mtu;
  for (const char *at = cmdline; (at = strstr(at, key));) {
    at += sizeof key - 1;
    mtu.ifr_mtu = 0;
    if (sscanf(at, "%17[0-9a-fA-F:]/%31[0-9.]/%d/%d", mac, address, &bits, &mtu.ifr_mtu) < 3 || bits < 1 || bits > 32) continue;
    if (!card_with(mac, name)) {
      dprintf(1, "guest: no card %s\n", mac);
      continue;
    }
    strcpy(mtu.ifr_name, name);
    if (mtu.ifr_mtu > 0) ioctl(fd, SIOCSIFMTU, &mtu);
    interface_flags(fd, name, IFF_UP | IFF_RUNNING);
    set_address(fd, SIOCSIFADDR, name, inet_addr(address));
    set_address(fd, SIOCSIFNETMASK, name, htonl(0xffffffffu << (32 - bits)));
    /* Programs that keep to one network are told the first. */
    if (access("/run/virtscale-net", F_OK) != 0) write_file("/run/virtscale-net", name);
  }
  close(fd);
}

static pid_t dhcp; /* 0: not wanted */

static pid_t start_dhcp(void) {
  char *const argv[] = {"/bin/udhcpc", "-i", "eth0", "-f", "-R", "-p", "/run/udhcpc.pid", "-t", "30", "-T", "1", "-A", "1",
                        "-s", "/etc/udhcpc.sh", NULL};
  return spawn(argv, "/run/udhcpc.log");
}

static void start_network(const char *cmdline) {
  char address[32], gateway[32] = "", dns[32] = "";
  int bits = 24, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const char *fixed = strstr(cmdline, "virtscale.ip=");
  interface_flags(fd, "lo", IFF_UP);
  int present = interface_flags(fd, "eth0", IFF_UP | IFF_RUNNING) == 0;
  if (present && fixed && sscanf(fixed + 13, "%31[0-9.]/%d,%31[0-9.],%31[0-9.]", address, &bits, gateway, dns) >= 2) {
    set_address(fd, SIOCSIFADDR, "eth0", inet_addr(address));
    set_address(fd, SIOCSIFNETMASK, "eth0", htonl(bits ? 0xffffffffu << (32 - bits) : 0));
    if (gateway[0]) {
      struct rtentry route;
      memset(&route, 0, sizeof route);
      struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(gateway)};
      memcpy(&route.rt_gateway, &in, sizeof in);
      in.sin_addr.s_addr = 0;
      memcpy(&route.rt_dst, &in, sizeof in);
      memcpy(&route.rt_genmask, &in, sizeof in);
      route.rt_flags = RTF_UP | RTF_GATEWAY;
      ioctl(fd, SIOCADDRT, &route);
    }
    if (dns[0]) {
      char line[64];
      snprintf(line, sizeof line, "nameserver %s\n", dns);
      write_file("/run/resolv.conf", line);
    }
  } else if (present) {
    dhcp = start_dhcp();
  }
  close(fd);
}

/* The agent's port has no name in /dev without udev; its name is in sysfs. */
static int find_agent_port(char *out, int size) {
  DIR *d = opendir("/sys/class/virtio-ports");
  int found = 0;
  for (struct dirent *e; d && !found && (e = readdir(d));) {
    char path[300], name[64];
    snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", e->d_name);
    if (read_file(path, name, sizeof name) && strcmp(name, "org.qemu.guest_agent.0") == 0) {
      snprintf(out, (size_t)size, "/dev/%s", e->d_name);
      found = 1;
    }
  }
  if (d) closedir(d);
  return found;
}

static pid_t start_agent(void) {
  char port[280];
  if (!find_agent_port(port, sizeof port)) return -1;
  char *const argv[] = {"/sbin/qemu-ga", "-m", "virtio-serial", "-p", port, "-t", "/run", "-f", "/run/qemu-ga.pid",
                        "-l", "/run/qemu-ga.log", NULL};
  return spawn(argv, "/run/qemu-ga.out");
}

static void end_all(int how) {
  signal(SIGTERM, SIG_IGN);
  kill(-1, SIGTERM);
  for (int i = 0; i < 20 && waitpid(-1, NULL, WNOHANG) >= 0; i++) nap(5);
  kill(-1, SIGKILL);
  sync();
  mount("/dev/vda", "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
  reboot(how);
  for (;;) pause();
}

static int open_buttons(struct pollfd *fds, int max) {
  int n = 0;
  for (int i = 0; i < 8 && n < max; i++) {
    char path[32];
    snprintf(path, sizeof path, "/dev/input/event%d", i);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0) fds[n++] = (struct pollfd){.fd = fd, .events = POLLIN};
  }
  return n;
}

static volatile sig_atomic_t asked;
static void on_signal(int s) { if (s != SIGCHLD) asked = s; }

static void watch_over(char *const backend[], pid_t backend_pid) {
  struct pollfd fds[9];
  pid_t agent = start_agent();
  int buttons = open_buttons(fds, 8), status;
  fds[buttons] = (struct pollfd){.fd = own_watch(), .events = POLLIN};
  for (;;) {
    poll(fds, (nfds_t)buttons + 1, 1000);
    if (fds[buttons].revents) own_look(fds[buttons].fd);
    if (asked) {
      nap(50); /* the agent, who had us asked, is to see its helper end well first */
      end_all(asked == SIGTERM ? RB_AUTOBOOT : RB_POWER_OFF);
    }
    for (int i = 0; i < buttons; i++) {
      struct input_event e;
      while (read(fds[i].fd, &e, sizeof e) == sizeof e)
        if (e.type == EV_KEY && e.code == KEY_POWER && e.value == 1) end_all(RB_POWER_OFF);
    }
    for (pid_t gone; (gone = waitpid(-1, &status, WNOHANG)) > 0;) {
      if (gone == backend_pid) { nap(200); backend_pid = spawn(backend, NULL); }
      if (gone == agent) agent = 0;
      if (gone == dhcp) { /* ended by itself it had no answer; ended by another (own.c) it is wanted at once */
        if (!WIFSIGNALED(status)) nap(200);
        dhcp = start_dhcp();
      }
    }
    if (agent == 0) agent = start_agent(); /* once a second at most: poll above */
  }
}

int main(void) {
  char cmdline[2048], name[128];
  if (access("/modules/order", R_OK) == 0) {
    mkdir("/dev", 0755); mkdir("/proc", 0755); mkdir("/sys", 0755); mkdir("/root", 0755);
    mount("dev", "/dev", "devtmpfs", 0, NULL);
    int console = open("/dev/console", O_RDWR);
    for (int i = 0; i < 3; i++) dup2(console, i);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sys", "/sys", "sysfs", 0, NULL);
    to_root_disk();
  }
  /* Signals wake the poll above; SA_RESTART does not apply to poll. */
  struct sigaction act = {.sa_handler = on_signal};
  sigaction(SIGCHLD, &act, NULL);
  sigaction(SIGTERM, &act, NULL);
  sigaction(SIGUSR1, &act, NULL);
  sigaction(SIGUSR2, &act, NULL);
  reboot(RB_DISABLE_CAD);
  setenv("PATH", "/bin:/sbin:/usr/bin:/usr/sbin", 1);
  setenv("HOME", "/root", 1);
  mount("run", "/run", "tmpfs", 0, "mode=755");
  read_file("/proc/cmdline", cmdline, sizeof cmdline);
  start_network(cmdline);
  start_cluster_networks(cmdline);
  char *const backend[] = {"/bin/backend", "80", NULL};
  pid_t backend_pid = spawn(backend, NULL);
  mount("tmp", "/tmp", "tmpfs", 0, NULL);
  if (read_file("/sys/class/dmi/id/product_serial", name, sizeof name)) sethostname(name, strlen(name));
  load_modules("/modules-late/order");
  char *const rc[] = {"/bin/sh", "/etc/rc", NULL};
  if (access("/etc/rc", R_OK) == 0) spawn(rc, "/run/rc.log");
  say("up");
  watch_over(backend, backend_pid);
}
