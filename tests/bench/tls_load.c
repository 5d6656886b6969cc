/* The load generator of the TLS benchmarks: one thread, one epoll, OpenSSL on the sockets.
 *
 *     tls_load echo      PORT CONNECTIONS SIZE SECONDS   one message in flight per connection
 *     tls_load handshake PORT CONNECTIONS SIZE SECONDS   connect, full TLS 1.3 handshake, one byte echoed, close, again
 *     tls_load send      PORT CONNECTIONS SIZE SECONDS   send as fast as the server takes it, in pieces of SIZE
 *     tls_load receive   PORT CONNECTIONS SIZE SECONDS   ask once, then receive as fast as the server gives it
 *
 * Prints one JSON object with "count" (echoes, handshakes or bytes), "seconds" and "rate", and "total", which is the
 * count with that of the warm-up. A lost connection, a wrong
 * byte or a server that does nothing for STALL_SECONDS is an "error" there, and exit status 1. The server's
 * certificate is not verified: that is the client's work, and not what is measured.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WARMUP_MS = 200, STALL_SECONDS = 10, EVENTS = 256, SOURCES = 50 };

typedef struct {
    int fd;
    int secured;     /* the handshake is done */
    size_t received; /* bytes of the echo that are here */
    SSL *ssl;
} Connection;

static enum { ECHO, HANDSHAKE, SEND, RECEIVE } mode;
static int port, epoll_fd;
static size_t connections, size;
static char *message, *inbox;
static uint64_t count, total, opened, counted_from, last_progress;
static SSL_CTX *context;

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

static void progress(uint64_t amount) {
    last_progress = now_ns();
    total += amount;
    if (last_progress >= counted_from) count += amount;
}

/* Whether a call that returned `result` is to be repeated when the socket is ready. */
static int again(Connection *c, int result, const char *what) {
    int error = SSL_get_error(c->ssl, result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return 1;
    fail("%s: %s (%s)", what, ERR_reason_error_string(ERR_peek_error()), strerror(errno));
    return 0;
}

static void open_connection(Connection *c) {
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in source = {.sin_family = AF_INET};
    struct epoll_event interest = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    int on = 1;
    /* Each source address has its own ports, so that those in TIME_WAIT do not run out. */
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (uint32_t)(opened++ % SOURCES));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) fail("socket: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(c->fd, (struct sockaddr *)&source, sizeof source) < 0) fail("bind: %s", strerror(errno));
    if (connect(c->fd, (struct sockaddr *)&server, sizeof server) < 0 && errno != EINPROGRESS)
        fail("connect to port %d: %s", port, strerror(errno));
    c->ssl = SSL_new(context);
    SSL_set_fd(c->ssl, c->fd);
    SSL_set_connect_state(c->ssl);
    c->secured = 0;
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &interest) < 0) fail("epoll_ctl: %s", strerror(errno));
}

static void close_connection(Connection *c) {
    SSL_shutdown(c->ssl);
    SSL_free(c->ssl);
    close(c->fd);
}

static void send_message(Connection *c) {
    size_t length = mode == ECHO ? size : 1;
    c->received = 0;
    int sent = SSL_write(c->ssl, message, (int)length);
    if (sent != (int)length) fail("sent %d of %zu bytes", sent, length);
}

static void receive_echo(Connection *c) {
    size_t length = mode == HANDSHAKE ? 1 : size;
    for (;;) {
        int n = SSL_read(c->ssl, inbox, (int)size + 1);
        if (n <= 0) {
            again(c, n, "the server ended a connection");
            return;
        }
        if (c->received + (size_t)n > length || memcmp(inbox, message + c->received, (size_t)n))
            fail("the echo differs from what was sent");
        c->received += (size_t)n;
        if (c->received < length) continue;
        progress(1);
        if (mode == HANDSHAKE) {
            close_connection(c);
            open_connection(c);
            return;
        }
        send_message(c);
    }
}

/* Edge-triggered, so each goes on until the socket has enough. */
static void send_bulk(Connection *c, uint64_t end) {
    while (now_ns() < end) {
        int n = SSL_write(c->ssl, message, (int)size);
        if (n <= 0) {
            again(c, n, "sending");
            return;
        }
        progress((uint64_t)n);
    }
}

static void receive_bulk(Connection *c, uint64_t end) {
    while (now_ns() < end) {
        int n = SSL_read(c->ssl, inbox, (int)size);
        if (n <= 0) {
            again(c, n, "receiving");
            return;
        }
        progress((uint64_t)n);
    }
}

static void handle(Connection *c, uint64_t end) {
    if (!c->secured) {
        int error = 0;
        socklen_t length = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
        if (error) fail("connect to port %d: %s", port, strerror(error));
        int done = SSL_do_handshake(c->ssl);
        if (done != 1) {
            again(c, done, "handshake");
            return;
        }
        c->secured = 1;
        if (mode != SEND) send_message(c);
    }
    if (mode == ECHO || mode == HANDSHAKE) receive_echo(c);
    if (mode == SEND) send_bulk(c, end);
    if (mode == RECEIVE) receive_bulk(c, end);
}

static void run(Connection *all, double seconds) {
    struct epoll_event events[EVENTS];
    (void)all;
    uint64_t now = now_ns();
    last_progress = now;
    counted_from = now + WARMUP_MS * 1000000u;
    uint64_t end = counted_from + (uint64_t)(seconds * 1e9);
    while ((now = now_ns()) < end) {
        int n = epoll_wait(epoll_fd, events, EVENTS, 100);
        for (int i = 0; i < n; i++) handle(events[i].data.ptr, end);
        if (now > last_progress + (uint64_t)STALL_SECONDS * 1000000000u) fail("nothing for %d seconds", STALL_SECONDS);
    }
    double measured = (double)(now - counted_from) / 1e9;
    printf("{\"count\": %llu, \"seconds\": %.3f, \"rate\": %.1f, ", (unsigned long long)count, measured,
           (double)count / measured);
    printf("\"total\": %llu}\n", (unsigned long long)total);
}

int main(int argc, char **argv) {
    if (argc < 6) fail("usage: tls_load echo|handshake|send|receive PORT CONNECTIONS SIZE SECONDS");
    mode = !strcmp(argv[1], "handshake") ? HANDSHAKE : !strcmp(argv[1], "send") ? SEND
           : !strcmp(argv[1], "receive") ? RECEIVE : ECHO;
    port = atoi(argv[2]);
    connections = strtoul(argv[3], NULL, 10);
    size = strtoul(argv[4], NULL, 10);
    double seconds = atof(argv[5]);
    if (!connections || !size || seconds <= 0) fail("numbers must be greater than 0");
    alarm((unsigned)seconds + 3 * STALL_SECONDS);
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context, 1);
    Connection *all = calloc(connections, sizeof *all);
    message = malloc(size);
    inbox = malloc(size + 1);
    for (size_t i = 0; i < size; i++) message[i] = (char)('A' + i % 53);
    epoll_fd = epoll_create1(0);
    for (size_t i = 0; i < connections; i++) open_connection(&all[i]);
    run(all, seconds);
    return 0;
}
