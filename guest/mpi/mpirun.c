/* mpirun: starts Open MPI's launcher, kept to the network that the nodes share, since the first card may have the same address in each of them.
 *
 * Takes MPICH's spelling of the commonest options beside Open MPI's: -f FILE (NAME:RANKS or NAME slots=RANKS a line), -hosts A,B, -n N, -ppn N,
 * -genv NAME VALUE, -prepend-rank. From the first word on that it does not know, all is Open MPI's. With -prepend-rank it stays, and puts
 * "[RANK] " before each line; Open MPI's own tags are "[JOB,RANK]<stdout>:", at the begin of whatever it read from a rank at once. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const char LAUNCHER[] = "/usr/bin/orterun";
enum { USAGE = 2, LINE_BYTES = 64 << 10, IDLE_MS = 500 };

static char **args;
static int count;

static void add(const char *word) {
  args = realloc(args, (size_t)(count + 2) * sizeof *args);
  args[count++] = strdup(word);
  args[count] = NULL;
}

static void add_pair(const char *option, const char *value) {
  add(option);
  add(value);
}

static _Noreturn void fail(const char *what, const char *about) {
  fprintf(stderr, "mpirun: %s: %s\n", about, what);
  exit(USAGE);
}

/* The hosts of a file as one word, A:1,B:2. */
static char *hosts_of(const char *path) {
  char line[512], *hosts = NULL;
  size_t size;
  FILE *in = fopen(path, "re"), *out = open_memstream(&hosts, &size);
  if (!in) fail(strerror(errno), path);
  while (fgets(line, sizeof line, in)) {
    line[strcspn(line, "#\r\n")] = 0;
    char *name = line + strspn(line, " \t"), *ranks = strstr(line, "slots=");
    size_t length = strcspn(name, " \t:");
    if (length == 0) continue;
    if (ranks) ranks += strlen("slots=");
    else if (name[length] == ':') ranks = name + length + 1;
    fprintf(out, "%s%.*s:%d", ftell(out) > 0 ? "," : "", (int)length, name, ranks && atoi(ranks) > 0 ? atoi(ranks) : 1);
  }
  fclose(in);
  fclose(out);
  if (size == 0) fail("names no host", path);
  return hosts;
}

/* By its address: the card may have other names in other nodes. */
static void keep_to_network(void) {
  char card[64] = "", net[INET_ADDRSTRLEN + 4];
  FILE *in = fopen("/run/virtscale-net", "re");
  struct ifaddrs *all, *one;
  if (!in || !fgets(card, sizeof card, in) || getifaddrs(&all) != 0) return;
  fclose(in);
  card[strcspn(card, "\n")] = 0;
  for (one = all; one; one = one->ifa_next) {
    if (!one->ifa_addr || one->ifa_addr->sa_family != AF_INET || strcmp(one->ifa_name, card) != 0) continue;
    struct in_addr mask = ((struct sockaddr_in *)one->ifa_netmask)->sin_addr, at = ((struct sockaddr_in *)one->ifa_addr)->sin_addr;
    at.s_addr &= mask.s_addr;
    inet_ntop(AF_INET, &at, net, INET_ADDRSTRLEN);
    sprintf(net + strlen(net), "/%d", __builtin_popcount(mask.s_addr));
    for (int i = 0; i < 2; i++) {
      add("--mca");
      add_pair(i == 0 ? "oob_tcp_if_include" : "btl_tcp_if_include", net);
    }
    return;
  }
}

static int is(const char *word, const char *names) {
  if (word[0] != '-' || !word[1]) return 0;
  word += word[1] == '-' ? 2 : 1;
  size_t length = strlen(word);
  for (const char *at = names; (at = strstr(at, word)); at++)
    if ((at == names || at[-1] == ' ') && (at[length] == ' ' || !at[length])) return length > 0;
  return 0;
}

/* Whether lines are to have their ranks. */
static int translate(char **in) {
  int is_ranked = 0;
  char text[4096];
  for (; *in; in++) {
    const char *option = *in, *value = in[1];
    int has = is(option, "prepend-rank l") ? 0 : is(option, "genv env mca") ? 2 : 1;
    if (is(option, "prepend-rank l")) is_ranked = 1;
    else if (is(option, "oversubscribe allow-run-as-root")) has = 0;
    else if (!is(option, "f machinefile hostfile hosts host H n np c ppn perhost genv env mca x wdir wd map-by rank-by bind-to N npernode timeout"))
      break;
    if (has > 0 && (!value || (has > 1 && !in[2]))) fail("needs a value", option);
    if (is(option, "f machinefile hostfile")) add_pair("--host", hosts_of(value));
    else if (is(option, "hosts host H")) add_pair("--host", value);
    else if (is(option, "n np c")) add_pair("-np", value);
    else if (is(option, "ppn perhost")) add_pair("-npernode", value);
    else if (is(option, "genv env")) {
      snprintf(text, sizeof text, "%s=%s", value, in[2]);
      add_pair("-x", text);
    } else if (!is_ranked || has > 0) {
      add(option);
      for (int i = 1; i <= has; i++) add(in[i]);
    }
    in += has;
  }
  if (is_ranked) add("--tag-output");
  for (; *in; in++) add(*in);
  return is_ranked;
}

struct line {
  int rank; /* -1: of the launcher */
  size_t length;
  char text[LINE_BYTES];
  struct line *next;
};
struct stream {
  int from, to, rank;
  size_t held; /* what may become a tag */
  char tag[40];
  struct line *lines;
};

static struct line *line_of(struct stream *s, int rank) {
  struct line *l;
  for (l = s->lines; l && l->rank != rank; l = l->next) continue;
  if (l) return l;
  l = malloc(sizeof *l);
  l->rank = rank;
  l->length = 0;
  l->next = s->lines;
  return s->lines = l;
}

static void tell(const struct stream *s, struct line *l) {
  static char whole[LINE_BYTES + 32];
  size_t length = l->rank >= 0 ? (size_t)sprintf(whole, "[%d] ", l->rank) : 0, done = 0;
  memcpy(whole + length, l->text, l->length);
  length += l->length;
  whole[length++] = '\n';
  for (ssize_t n; done < length && ((n = write(s->to, whole + done, length - done)) > 0 || errno == EINTR);) done += n > 0 ? (size_t)n : 0;
  l->length = 0;
}

static void put(struct stream *s, char c) {
  struct line *l = line_of(s, s->rank);
  if (c != '\n') l->text[l->length++] = c;
  if (c == '\n' || l->length == LINE_BYTES) tell(s, l);
  if (c == '\n') s->rank = -1;
}

/* 1: a tag, 0: may become one, -1: none. */
static int tag_of(const char *text, size_t length, int *rank) {
  static const char *const ENDS[] = {"]<stdout>:", "]<stderr>:", "]<stddiag>:"};
  size_t at = 1;
  while (at < length && isdigit(text[at])) at++;
  if (at == length) return 0;
  if (at == 1 || text[at++] != ',') return -1;
  size_t number = at;
  while (at < length && isdigit(text[at])) at++;
  if (at == length) return 0;
  if (at == number) return -1;
  *rank = atoi(text + number);
  for (int i = 0; i < 3; i++) {
    size_t has = length - at, wanted = strlen(ENDS[i]);
    if (strncmp(text + at, ENDS[i], has < wanted ? has : wanted) == 0) return has >= wanted;
  }
  return -1;
}

static void take(struct stream *s, const char *bytes, size_t length) {
  for (size_t i = 0; i < length; i++) {
    if (s->held == 0 && bytes[i] != '[') {
      put(s, bytes[i]);
      continue;
    }
    s->tag[s->held++] = bytes[i];
    s->tag[s->held] = 0;
    int rank, kind = tag_of(s->tag, s->held, &rank);
    if (kind > 0) s->rank = rank;
    if (kind == 0 && s->held < sizeof s->tag - 1) continue;
    size_t held = s->held;
    s->held = 0;
    if (kind > 0) continue;
    put(s, s->tag[0]);
    take(s, s->tag + 1, held - 1);
  }
}

static pid_t launcher;

static void pass_on(int number, siginfo_t *info, void *context) {
  (void)context;
  /* From the terminal the launcher has it too. */
  if (info->si_code != SI_KERNEL) kill(launcher, number);
}

static int with_ranks(void) {
  int out[2], err[2], status = 0, is_ended = 0, open = 2;
  if (pipe2(out, 0) != 0 || pipe2(err, 0) != 0) fail(strerror(errno), "pipe");
  launcher = fork();
  if (launcher == 0) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    dup2(out[1], 1);
    dup2(err[1], 2);
    for (int i = 0; i < 2; i++) close(out[i]), close(err[i]);
    execv(LAUNCHER, args);
    fail(strerror(errno), LAUNCHER);
  }
  close(out[1]);
  close(err[1]);
  struct sigaction action = {.sa_sigaction = pass_on, .sa_flags = SA_SIGINFO | SA_RESTART};
  for (int i = 0; i < 3; i++) sigaction((int[]){SIGTERM, SIGINT, SIGHUP}[i], &action, NULL);
  struct stream streams[] = {{.from = out[0], .to = 1, .rank = -1}, {.from = err[0], .to = 2, .rank = -1}};
  while (open > 0) {
    struct pollfd polled[] = {{streams[0].from, POLLIN, 0}, {streams[1].from, POLLIN, 0}};
    int ready = poll(polled, 2, IDLE_MS);
    /* What the launcher has left behind may hold the pipes. */
    if (ready == 0 && is_ended) break;
    if (!is_ended && waitpid(launcher, &status, WNOHANG) == launcher) is_ended = 1;
    for (int i = 0; ready > 0 && i < 2; i++) {
      if (!polled[i].revents) continue;
      char bytes[4096];
      ssize_t n = read(streams[i].from, bytes, sizeof bytes);
      if (n > 0) take(&streams[i], bytes, (size_t)n);
      else if (n == 0 || errno != EINTR) streams[i].from = -1, open--;
    }
  }
  for (int i = 0; i < 2; i++) {
    struct stream *s = &streams[i];
    for (size_t n = 0; n < s->held; n++) put(s, s->tag[n]);
    for (struct line *l = s->lines; l; l = l->next)
      if (l->length > 0) tell(s, l);
  }
  while (!is_ended && waitpid(launcher, &status, 0) != launcher) continue;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int main(int argc, char **argv) {
  (void)argc;
  setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
  setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
  add(LAUNCHER);
  keep_to_network();
  if (translate(argv + 1)) return with_ranks();
  execv(LAUNCHER, args);
  fail(strerror(errno), LAUNCHER);
}
