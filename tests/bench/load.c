/* The load generator of the benchmarks: one thread, one epoll, one message in flight per connection.
 *
 *     load echo    PORT CONNECTIONS SIZE SECONDS        as many echoes as the server gives
 *     load connect PORT CONNECTIONS SIZE SECONDS        connect, one echo, close, again
 *     load probe   PORT CONNECTIONS SIZE SECONDS RATE   RATE echoes a second per connection: round trips
 *     load hold    PORT CONNECTIONS SIZE SECONDS        connections that do nothing, and answer in the end
 *     load udp     PORT WINDOW SIZE SECONDS             datagrams from one socket, WINDOW of them under way
 *
 * A PORT with a "/" in it is the path of a UNIX socket (not for udp).
 *
 * probe and hold say "connected" and begin when their standard input says anything or ends. An echo that is late makes
 * the next one late; the time it was due counts, so that a stall is seen in full. What was never answered
 * is in the percentiles with its age. In udp a datagram that is lost is not sent again: it is "unanswered".
 *
 * Every echo is compared with what was sent. Prints one JSON object; a lost connection, a wrong byte or a
 * silent server (no echo at all for STALL_SECONDS in echo and connect) is an "error" there, and exit status 1.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { WARMUP_MS = 200, STALL_SECONDS = 10, EVENTS = 512, STAMP = 8, SOURCES = 50, PACE = 200 };
enum { SUB_BITS = 6, BUCKETS = 64 << SUB_BITS }; /* latency classes: 64 per power of two, so 1.6 % wide */

typedef struct {
    int fd;
    int connecting;
    int waiting;     /* an echo is under way */
    size_t received; /* bytes of it that are here */
    uint64_t stamp;  /* begins every message: no two are alike */
    uint64_t sent_at, answered_at;
    uint64_t due; /* probe: when the next message is to be sent */
} Connection;

static enum { ECHO, CONNECT, PROBE, HOLD, UDP } mode;
static const char *where;
static int port, epoll_fd;
static size_t connections, size;
static double seconds, rate;
static char *message, *inbox;
static uint64_t next_stamp, histogram[BUCKETS], count, total_ns, max_ns, measured_from, last_echo, unanswered;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    printf("{\"error\": \"");
    vprintf(format, arguments);
    printf("\"}\n");
    va_end(arguments);
    exit(1);
}

/* ---- latencies ---- */

static size_t bucket_of(uint64_t ns) {
    if (ns < (2u << SUB_BITS)) return ns;
    int shift = 63 - __builtin_clzll(ns) - SUB_BITS;
    return ((size_t)shift << SUB_BITS) + (ns >> shift);
}

static double bucket_us(size_t bucket) {
    if (bucket < (2u << SUB_BITS)) return bucket / 1e3;
    size_t shift = (bucket >> SUB_BITS) - 1;
    return (double)((bucket - (shift << SUB_BITS)) << shift) / 1e3;
}

static void record(uint64_t sent_at, uint64_t now) {
    if (sent_at < measured_from) return;
    uint64_t ns = now - sent_at;
    histogram[bucket_of(ns)]++;
    count++;
    total_ns += ns;
    if (ns > max_ns) max_ns = ns;
}

static double percentile_us(double share) {
    uint64_t wanted = (uint64_t)(share * (double)count), seen = 0;
    for (size_t i = 0; i < BUCKETS; i++)
        if ((seen += histogram[i]) > wanted) return bucket_us(i);
    return max_ns / 1e3;
}

static void report(uint64_t ended) {
    double measured = (double)(ended - measured_from) / 1e9;
    printf("{\"count\": %llu, \"seconds\": %.3f, \"rate\": %.1f, ", (unsigned long long)count, measured,
           (double)count / measured);
    printf("\"unanswered\": %llu, ", (unsigned long long)unanswered);
    printf("\"mean_us\": %.1f, \"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f}\n",
           count ? (double)total_ns / (double)count / 1e3 : 0, percentile_us(0.5), percentile_us(0.9),
           percentile_us(0.99), max_ns / 1e3);
}

/* ---- connections ---- */

/* Each source address has its own ports, so that those in TIME_WAIT do not run out. */
static void bind_source(int fd, uint64_t turn) {
    int on = 1;
    struct sockaddr_in source = {.sin_family = AF_INET};
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (uint32_t)(turn % SOURCES));
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&source, sizeof source) < 0) fail("bind: %s", strerror(errno));
}

static int connect_tcp(Connection *c, int flags) {
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int on = 1;
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | flags, 0);
    if (c->fd < 0) fail("socket: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (mode == CONNECT || mode == HOLD) bind_source(c->fd, (uint64_t)c->fd + next_stamp);
    c->sent_at = now_ns();
    return connect(c->fd, (struct sockaddr *)&server, sizeof server);
}

static int connect_unix(Connection *c, int flags) {
    struct sockaddr_un server = {.sun_family = AF_UNIX};
    if (strlen(where) >= sizeof server.sun_path) fail("the path is too long: %s", where);
    strcpy(server.sun_path, where);
    c->fd = socket(AF_UNIX, SOCK_STREAM | flags, 0);
    if (c->fd < 0) fail("socket: %s", strerror(errno));
    c->sent_at = now_ns();
    return connect(c->fd, (struct sockaddr *)&server, sizeof server);
}

static void open_connection(Connection *c, int flags) {
    struct epoll_event interest = {.events = EPOLLIN | (flags ? EPOLLOUT : 0), .data.ptr = c};
    if ((port ? connect_tcp(c, flags) : connect_unix(c, flags)) < 0 && errno != EINPROGRESS)
        fail("connect to %s: %s", where, strerror(errno));
    c->connecting = flags != 0;
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &interest) < 0) fail("epoll_ctl: %s", strerror(errno));
}

static void send_message(Connection *c, uint64_t now) {
    c->stamp = next_stamp++;
    memcpy(message, &c->stamp, size < STAMP ? size : STAMP);
    c->received = 0;
    c->waiting = 1;
    c->sent_at = now;
    ssize_t sent = send(c->fd, message, size, MSG_NOSIGNAL);
    if (sent != (ssize_t)size) fail("sent %zd of %zu bytes: %s", sent, size, strerror(errno));
}

/* Returns whether the echo is complete. */
static int receive_echo(Connection *c) {
    ssize_t n = recv(c->fd, inbox, size + 1, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (n <= 0) fail("the server closed a connection: %s", n ? strerror(errno) : "end of stream");
    if (!c->waiting || c->received + (size_t)n > size) fail("the server sent more than it was given");
    memcpy(message, &c->stamp, size < STAMP ? size : STAMP);
    if (memcmp(inbox, message + c->received, (size_t)n)) fail("the echo differs from what was sent");
    c->received += (size_t)n;
    if (c->received < size) return 0;
    c->waiting = 0;
    return 1;
}

static void connected(Connection *c) {
    struct epoll_event interest = {.events = EPOLLIN, .data.ptr = c};
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error) fail("connect to %s: %s", where, strerror(error));
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &interest);
    uint64_t opened = c->sent_at;
    c->connecting = 0;
    send_message(c, now_ns());
    c->sent_at = opened; /* the latency of this mode begins with the connect */
}

/* ---- the loop ---- */

static void handle(Connection *c) {
    if (c->connecting) {
        connected(c);
    } else if (receive_echo(c)) {
        uint64_t now = now_ns();
        record(c->sent_at, now);
        last_echo = c->answered_at = now;
        if (mode == ECHO) send_message(c, now);
        if (mode == CONNECT) {
            close(c->fd);
            open_connection(c, SOCK_NONBLOCK);
        }
    }
}

/* Sends what is due; returns when the next message will be. */
static uint64_t send_probes(Connection *all, uint64_t now, uint64_t interval) {
    uint64_t next = UINT64_MAX;
    for (size_t i = 0; i < connections; i++) {
        Connection *c = &all[i];
        if (!c->waiting && now >= c->due) {
            int held_up = c->answered_at > c->due; /* by the server, not by our own scheduling */
            send_message(c, now);
            if (held_up) c->sent_at = c->due;
            c->due += interval;
        }
        if (!c->waiting && c->due < next) next = c->due;
    }
    return next;
}

static void count_unanswered(Connection *all, uint64_t end, uint64_t interval) {
    uint64_t answered = count;
    for (size_t i = 0; i < connections; i++) {
        if (!all[i].waiting) continue;
        record(all[i].sent_at, end);
        for (uint64_t due = all[i].due; due < end; due += interval) record(due, end);
    }
    unanswered = count - answered;
}

static void wait_for_the_start(void) {
    char byte;
    printf("connected\n");
    fflush(stdout);
    if (read(STDIN_FILENO, &byte, 1) < 0) fail("read: %s", strerror(errno));
}

static int wait_events(struct epoll_event *events, uint64_t until) {
    uint64_t now = now_ns();
    uint64_t left = until > now ? until - now : 0;
    struct timespec timeout = {.tv_sec = (time_t)(left / 1000000000u), .tv_nsec = (long)(left % 1000000000u)};
    return epoll_pwait2(epoll_fd, events, EVENTS, &timeout, NULL);
}

static uint64_t run(Connection *all) {
    struct epoll_event events[EVENTS];
    uint64_t start = now_ns(), interval = (uint64_t)(1e9 / rate), probe_at = UINT64_MAX, now;
    uint64_t stall = (uint64_t)STALL_SECONDS * 1000000000u;
    measured_from = start + WARMUP_MS * 1000000u;
    last_echo = start;
    for (size_t i = 0; i < connections; i++) all[i].due = start + interval * i / connections;
    uint64_t end = measured_from + (uint64_t)(seconds * 1e9);
    while ((now = now_ns()) < end) {
        if (mode == PROBE) probe_at = send_probes(all, now, interval);
        int n = wait_events(events, probe_at < end ? probe_at : end);
        for (int i = 0; i < n; i++) handle(events[i].data.ptr);
        if (mode != PROBE && now > last_echo + stall) fail("no echo for %d seconds", STALL_SECONDS);
    }
    if (mode == PROBE) count_unanswered(all, end, interval);
    return now;
}

/* ---- holding ---- */

static void echo_now(Connection *c) {
    struct pollfd readable = {.fd = c->fd, .events = POLLIN};
    send_message(c, now_ns());
    do {
        if (poll(&readable, 1, STALL_SECONDS * 1000) == 0) fail("no echo for %d seconds", STALL_SECONDS);
    } while (!receive_echo(c));
    record(c->sent_at, now_ns());
}

/* An echo now and then waits until the server has accepted those before, so that its queue does not overflow. */
static void open_held(Connection *all) {
    for (size_t i = 0; i < connections; i++) {
        open_connection(&all[i], 0);
        if (i % PACE == PACE - 1 || i == connections - 1) echo_now(&all[i]);
    }
}

static uint64_t answer_each(Connection *all) {
    memset(histogram, 0, sizeof histogram);
    count = total_ns = max_ns = 0;
    measured_from = now_ns();
    for (size_t i = 0; i < connections; i++) echo_now(&all[i]);
    return now_ns();
}

/* ---- datagrams ---- */

/* One datagram of the window: what is under way in it, and when it was sent. */
typedef struct {
    uint64_t stamp, sent_at;
    int waiting;
} Slot;

static Slot *slots;
static char *outgoing, *incoming; /* one message for each slot */
static struct mmsghdr *to_send, *to_receive;
static struct iovec *pieces_out, *pieces_in;

static int open_datagrams(void) {
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct timeval patience = {.tv_usec = 100000}; /* often enough to see the end */
    if (fd < 0 || connect(fd, (struct sockaddr *)&server, sizeof server) < 0) fail("connect: %s", strerror(errno));
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0) fail("setsockopt: %s", strerror(errno));
    slots = calloc(connections, sizeof *slots);
    outgoing = malloc(connections * size);
    incoming = malloc(connections * (size + 1));
    to_send = calloc(connections, sizeof *to_send);
    to_receive = calloc(connections, sizeof *to_receive);
    pieces_out = calloc(connections, sizeof *pieces_out);
    pieces_in = calloc(connections, sizeof *pieces_in);
    for (size_t i = 0; i < connections; i++) {
        memcpy(outgoing + i * size, message, size);
        pieces_in[i] = (struct iovec){incoming + i * (size + 1), size + 1};
        to_send[i].msg_hdr = (struct msghdr){.msg_iov = &pieces_out[i], .msg_iovlen = 1};
        to_receive[i].msg_hdr = (struct msghdr){.msg_iov = &pieces_in[i], .msg_iovlen = 1};
    }
    return fd;
}

/* The slot is the stamp's remainder, so that an echo finds it in whatever order it comes. */
static void prepare(size_t place, size_t slot, uint64_t now) {
    Slot *s = &slots[slot];
    s->stamp += s->sent_at ? connections : slot;
    s->sent_at = now;
    s->waiting = 1;
    memcpy(outgoing + slot * size, &s->stamp, STAMP);
    pieces_out[place] = (struct iovec){outgoing + slot * size, size};
}

static void send_prepared(int fd, size_t number) {
    for (size_t sent = 0; sent < number;) {
        int n = sendmmsg(fd, to_send + sent, (unsigned)(number - sent), 0);
        if (n <= 0) fail("sendmmsg: %s", strerror(errno));
        sent += (size_t)n;
    }
}

static size_t take_datagram(size_t place, uint64_t now) {
    const char *data = incoming + place * (size + 1);
    uint64_t stamp = 0;
    if (to_receive[place].msg_len != size) fail("a datagram of %u bytes came for %zu", to_receive[place].msg_len, size);
    memcpy(&stamp, data, STAMP);
    Slot *s = &slots[stamp % connections];
    if (s->stamp != stamp || memcmp(data, outgoing + (stamp % connections) * size, size))
        fail("the echo differs from what was sent");
    if (!s->waiting) fail("the server sent more than it was given");
    s->waiting = 0;
    record(s->sent_at, now);
    return stamp % connections;
}

static uint64_t run_datagrams(void) {
    int fd = open_datagrams();
    uint64_t now = now_ns();
    measured_from = now + WARMUP_MS * 1000000u;
    uint64_t end = measured_from + (uint64_t)(seconds * 1e9);
    last_echo = now;
    for (size_t i = 0; i < connections; i++) prepare(i, i, now);
    send_prepared(fd, connections);
    while (now < end) {
        int n = recvmmsg(fd, to_receive, (unsigned)connections, MSG_WAITFORONE, NULL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) fail("recvmmsg: %s", strerror(errno));
        now = now_ns();
        for (int i = 0; i < n; i++) prepare((size_t)i, take_datagram((size_t)i, now), now);
        if (n > 0) {
            send_prepared(fd, (size_t)n);
            last_echo = now;
        }
        if (now > last_echo + (uint64_t)STALL_SECONDS * 1000000000u) fail("no echo for %d seconds", STALL_SECONDS);
    }
    /* What was sent in the last moment is under way; what is older is lost. */
    for (size_t i = 0; i < connections; i++) unanswered += slots[i].waiting && slots[i].sent_at + 100000000u < end;
    return now;
}

int main(int argc, char **argv) {
    if (argc < 6) fail("usage: load echo|connect|probe|hold|udp PORT CONNECTIONS SIZE SECONDS [RATE]");
    mode = !strcmp(argv[1], "connect") ? CONNECT
           : !strcmp(argv[1], "probe") ? PROBE
           : !strcmp(argv[1], "hold")  ? HOLD
           : !strcmp(argv[1], "udp")   ? UDP
                                       : ECHO;
    where = argv[2];
    port = strchr(where, '/') ? 0 : atoi(where);
    connections = strtoul(argv[3], NULL, 10);
    size = strtoul(argv[4], NULL, 10);
    seconds = atof(argv[5]);
    rate = argc > 6 ? atof(argv[6]) : 100;
    if (!connections || !size || seconds <= 0 || rate <= 0) fail("numbers must be greater than 0");
    alarm((unsigned)seconds + 3 * STALL_SECONDS);
    Connection *all = calloc(connections, sizeof *all);
    message = malloc(size);
    inbox = malloc(size + 1);
    for (size_t i = 0; i < size; i++) message[i] = (char)('A' + i % 53);
    if (mode == UDP) {
        if (size < STAMP) fail("a datagram needs room for its stamp: %d bytes", STAMP);
        report(run_datagrams());
        return 0;
    }
    epoll_fd = epoll_create1(0);
    if (mode == HOLD) {
        open_held(all);
        wait_for_the_start();
        report(answer_each(all));
        return 0;
    }
    for (size_t i = 0; i < connections; i++) open_connection(&all[i], mode == CONNECT ? SOCK_NONBLOCK : 0);
    if (mode == PROBE) wait_for_the_start();
    uint64_t now = now_ns();
    for (size_t i = 0; mode == ECHO && i < connections; i++) send_message(&all[i], now);
    report(run(all));
    return 0;
}
