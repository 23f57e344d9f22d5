/* The backend of a virtscale guest: a small HTTP/1.1 server that burns CPU on request.
 * It is the load the autoscaler is shown with, not a general web server.
 *
 *   GET /N         -> 200 {"input":N,"result":fib(N),"server":"<vm name>"}   N decimal, 0..LIMIT; more is 400
 *   GET /          -> 200 {"server":"<vm name>"}, at once; /healthz the same
 *   anything else  -> 404, other methods 405
 *
 * One thread owns every connection (epoll), a pool of threads with a lower priority computes. So however busy the
 * vCPUs are, accepting, "/" and the write of a finished answer go first, and no connection is ever refused or reset
 * for want of a worker: it waits. The pool is larger than any vCPU count here on purpose: requests share the CPU as
 * processes do, and a long one does not hold up a short one. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
  LIMIT = 45,        /* fib(45) is about a minute of one emulated vCPU */
  WORKERS = 64,      /* computing threads */
  WORKER_NICE = 10,
  MAX_CONNECTIONS = 4000,
  REQUEST_BYTES = 4096,
  ANSWER_BYTES = 768,
  NAME_BYTES = 128,
  BACKLOG = 1024,
};

struct connection {
  struct connection *next; /* in the job queue, the done list or the free list */
  int fd;
  int busy;   /* a worker has it: nothing is read from it meanwhile, so it cannot be freed under the worker */
  int broken; /* the peer went away while it was busy */
  int close_after;
  int have;   /* bytes in request */
  int left;   /* bytes of answer still to be written */
  int sent;
  unsigned input;
  uint64_t result;
  char request[REQUEST_BYTES + 1];
  char answer[ANSWER_BYTES];
};

static int epoll_fd, listen_fd, done_fd, open_connections, accepting;
static struct connection *free_list, *done_list, *queue_head, **queue_tail = &queue_head;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wanted = PTHREAD_COND_INITIALIZER;
static char smbios_name[NAME_BYTES];

/* ---- the server's name ---- */

static int read_line(const char *path, char *out, int size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  int n = (int)read(fd, out, size - 1);
  close(fd);
  if (n <= 0) return 0;
  out[n] = 0;
  out[strcspn(out, "\r\n")] = 0;
  return out[0] != 0;
}

/* A VM restored from a template's memory keeps the template's SMBIOS, so the file (written by the guest agent) wins. */
static void server_name(char *out) {
  char raw[NAME_BYTES];
  if (!read_line("/run/virtscale-name", raw, sizeof raw)) memcpy(raw, smbios_name, sizeof raw);
  int o = 0;
  for (int i = 0; raw[i] && o < NAME_BYTES - 2; i++) {
    unsigned char c = (unsigned char)raw[i];
    if (c < 0x20) continue;
    if (c == '"' || c == '\\') out[o++] = '\\';
    out[o++] = (char)c;
  }
  out[o] = 0;
}

/* ---- computing ---- */

static uint64_t fib(unsigned n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

static void *compute(void *unused) {
  (void)unused;
  setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), WORKER_NICE);
  for (;;) {
    pthread_mutex_lock(&lock);
    while (!queue_head) pthread_cond_wait(&wanted, &lock);
    struct connection *c = queue_head;
    queue_head = c->next;
    if (!queue_head) queue_tail = &queue_head;
    pthread_mutex_unlock(&lock);

    c->result = fib(c->input);

    pthread_mutex_lock(&lock);
    c->next = done_list;
    done_list = c;
    pthread_mutex_unlock(&lock);
    uint64_t one = 1;
    if (write(done_fd, &one, sizeof one) < 0) abort();
  }
  return NULL;
}

/* ---- connections ---- */

static void watch(struct connection *c, uint32_t events) {
  struct epoll_event e = {.events = events, .data.ptr = c};
  epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
}

static void set_accepting(int on) {
  if (on == accepting) return;
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = &listen_fd};
  epoll_ctl(epoll_fd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, listen_fd, &e);
  accepting = on;
}

static void drop(struct connection *c) {
  if (c->fd >= 0) close(c->fd);
  c->fd = -1;
  c->broken = 1;
  if (c->busy) return; /* the worker's result brings it back here */
  c->next = free_list;
  free_list = c;
  open_connections--;
  set_accepting(1);
}

static void answer(struct connection *c, int status, const char *reason, const char *body) {
  c->left = snprintf(c->answer, sizeof c->answer,
                     "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                     "Cache-Control: no-store\r\nConnection: %s\r\n\r\n%s",
                     status, reason, strlen(body), c->close_after ? "close" : "keep-alive", body);
  c->sent = 0;
}

/* Writes what it can. 1: all out, 0: the socket is full, -1: the connection is gone. */
static int flush(struct connection *c) {
  while (c->left > 0) {
    ssize_t n = send(c->fd, c->answer + c->sent, (size_t)c->left, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return 0;
    if (n <= 0) return -1;
    c->sent += (int)n;
    c->left -= (int)n;
  }
  return 1;
}

static int header_has(const char *head, const char *name, const char *value) {
  for (const char *p = head; (p = strchr(p, '\n')); ) {
    p++;
    if (strncasecmp(p, name, strlen(name)) == 0) {
      const char *end = strpbrk(p, "\r\n");
      const char *hit = strcasestr(p, value);
      return hit && (!end || hit < end);
    }
  }
  return 0;
}

/* Takes one whole request from the buffer. Answers into c->answer, or hands c to the workers (then c->busy). */
static void handle(struct connection *c, char *end) {
  char name[NAME_BYTES], body[NAME_BYTES + 128], method[16] = "", path[256] = "", version[16] = "";
  *end = 0;
  int fields = sscanf(c->request, "%15s %255s %15s", method, path, version);
  int old = strcmp(version, "HTTP/1.0") == 0;
  c->close_after = header_has(c->request, "Connection:", "close") ||
                   (old && !header_has(c->request, "Connection:", "keep-alive"));
  if (header_has(c->request, "Transfer-Encoding:", "") || header_has(c->request, "Content-Length:", ""))
    c->close_after = 1; /* a body is never read */
  int used = (int)(end - c->request) + 4;
  c->have -= used;
  char *rest = end + 4;
  path[strcspn(path, "?")] = 0;

  if (fields != 3 || strncmp(version, "HTTP/1.", 7) != 0) {
    c->close_after = 1;
    answer(c, 400, "Bad Request", "{\"error\":\"not an HTTP/1 request\"}");
  } else if (strcmp(method, "GET") != 0) {
    answer(c, 405, "Method Not Allowed", "{\"error\":\"only GET\"}");
  } else if (strcmp(path, "/") == 0 || strcmp(path, "/healthz") == 0) {
    server_name(name);
    snprintf(body, sizeof body, "{\"server\":\"%s\"}", name);
    answer(c, 200, "OK", body);
  } else if (path[0] == '/' && path[1] && path[strspn(path + 1, "0123456789") + 1] == 0) {
    unsigned long n = strlen(path) > 6 ? LIMIT + 1UL : strtoul(path + 1, NULL, 10);
    if (n > LIMIT) {
      snprintf(body, sizeof body, "{\"error\":\"the number must be 0 to %d\"}", LIMIT);
      answer(c, 400, "Bad Request", body);
    } else {
      c->input = (unsigned)n;
      c->busy = 1;
    }
  } else {
    answer(c, 404, "Not Found", "{\"error\":\"GET /N or /\"}");
  }
  memmove(c->request, rest, (size_t)c->have + 1);
  if (!c->busy) return;
  watch(c, 0); /* errors and hang-ups are still reported */
  c->next = NULL;
  pthread_mutex_lock(&lock);
  *queue_tail = c;
  queue_tail = &c->next;
  pthread_cond_signal(&wanted);
  pthread_mutex_unlock(&lock);
}

/* Goes on with a connection until it must wait for its peer or for a worker. */
static void serve(struct connection *c) {
  for (;;) {
    if (c->left > 0) {
      int out = flush(c);
      if (out < 0) { drop(c); return; }
      if (out == 0) { watch(c, EPOLLOUT); return; }
      if (c->close_after) { shutdown(c->fd, SHUT_WR); drop(c); return; }
    }
    c->request[c->have] = 0;
    char *end = strstr(c->request, "\r\n\r\n");
    if (end) {
      handle(c, end);
      if (c->busy) return;
      continue;
    }
    if (c->have == REQUEST_BYTES) {
      c->close_after = 1;
      c->have = 0;
      answer(c, 431, "Request Header Fields Too Large", "{\"error\":\"request too long\"}");
      continue;
    }
    ssize_t n = recv(c->fd, c->request + c->have, (size_t)(REQUEST_BYTES - c->have), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) { watch(c, EPOLLIN | EPOLLRDHUP); return; }
    if (n <= 0) { drop(c); return; }
    c->have += (int)n;
  }
}

static void accept_all(void) {
  for (;;) {
    if (open_connections >= MAX_CONNECTIONS) { set_accepting(0); return; } /* the rest waits in the backlog */
    int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) { if (open_connections > 0) set_accepting(0); return; }
      if (errno == EINTR || errno == ECONNABORTED) continue;
      return;
    }
    struct connection *c = free_list;
    if (c) free_list = c->next;
    else c = malloc(sizeof *c);
    if (!c) { close(fd); return; }
    memset(c, 0, offsetof(struct connection, request));
    c->fd = fd;
    open_connections++;
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    struct epoll_event e = {.events = 0, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e);
    serve(c);
  }
}

static void collect_results(void) {
  uint64_t count;
  if (read(done_fd, &count, sizeof count) < 0) return;
  pthread_mutex_lock(&lock);
  struct connection *c = done_list;
  done_list = NULL;
  pthread_mutex_unlock(&lock);
  while (c) {
    struct connection *next = c->next;
    c->busy = 0;
    if (c->broken) {
      drop(c);
    } else {
      char name[NAME_BYTES], body[NAME_BYTES + 128];
      server_name(name);
      snprintf(body, sizeof body, "{\"input\":%u,\"result\":%llu,\"server\":\"%s\"}", c->input,
               (unsigned long long)c->result, name);
      answer(c, 200, "OK", body);
      serve(c);
    }
    c = next;
  }
}

int main(int argc, char **argv) {
  int port = argc > 1 ? atoi(argv[1]) : 80, one = 1;
  signal(SIGPIPE, SIG_IGN);
  struct rlimit files = {MAX_CONNECTIONS + 64, MAX_CONNECTIONS + 64};
  setrlimit(RLIMIT_NOFILE, &files);
  if (!read_line("/sys/class/dmi/id/product_serial", smbios_name, sizeof smbios_name) &&
      gethostname(smbios_name, sizeof smbios_name - 1) != 0)
    strcpy(smbios_name, "unnamed");

  struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listen_fd, (struct sockaddr *)&any, sizeof any) != 0 || listen(listen_fd, BACKLOG) != 0) {
    perror("backend: cannot listen");
    return 1;
  }
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = &done_fd};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, done_fd, &e);
  set_accepting(1);

  int workers = 0;
  for (;;) {
    struct epoll_event ready[64];
    /* The pool is built only once the first connection has been seen to: it is not in the way of the first answer. */
    int n = epoll_wait(epoll_fd, ready, 64, -1);
    for (int i = 0; i < n; i++) {
      void *p = ready[i].data.ptr;
      struct connection *c = p;
      if (p == &listen_fd) accept_all();
      else if (p == &done_fd) collect_results();
      else if (c->fd < 0) continue; /* dropped earlier in this very batch */
      else if (c->busy) drop(c);    /* only an error or hang-up can wake a busy one */
      else serve(c);
    }
    if (workers == 0) {
      pthread_attr_t small;
      pthread_attr_init(&small);
      pthread_attr_setstacksize(&small, 64 * 1024);
      for (pthread_t t; workers < WORKERS; workers++)
        if (pthread_create(&t, &small, compute, NULL) != 0) break;
    }
  }
}
