#define _GNU_SOURCE
#include "websocket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "histogram.h"

enum { EVENTS = 1024, CHUNK = 256 * 1024 };

struct crowd crowd;
static int poller;
static struct sockaddr_in server;
static char upgrade[1024];
static char chunk[CHUNK];

int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void fail(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void append(struct buffer *b, const void *data, size_t length) {
    if (b->used + length > b->room) {
        b->room = (b->used + length) * 2;
        if (!(b->data = realloc(b->data, b->room))) fail("memory");
    }
    memcpy(b->data + b->used, data, length);
    b->used += length;
}

static void drop_front(struct buffer *b, size_t length) {
    b->used -= length;
    if (b->used) {
        memmove(b->data, b->data + length, b->used);
    } else { /* ten thousand connections: keep nothing */
        free(b->data);
        b->data = NULL;
        b->room = 0;
    }
}

/* -- the life of a connection */

static void begin(struct conn *c) {
    int one = 1;
    if ((c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)) < 0) fail("socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    struct sockaddr_in own = {.sin_family = AF_INET};
    own.sin_addr.s_addr = htonl(INADDR_LOOPBACK + c->index % crowd.addresses);
    if (bind(c->fd, (struct sockaddr *)&own, sizeof own)) fail("bind");
    if (connect(c->fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS)
        fail("connect");
    struct epoll_event wanted = {.events = EPOLLOUT, .data.u32 = c->index};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &wanted)) fail("epoll");
    c->state = CONNECTING;
    c->watches_writing = true;
    c->began = now_ns();
    crowd.opening++;
}

static void watch(struct conn *c, bool writing) {
    struct epoll_event wanted = {.events = EPOLLIN, .data.u32 = c->index};
    if (writing) wanted.events |= EPOLLOUT;
    if (c->watches_writing != writing) epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &wanted);
    c->watches_writing = writing;
}

static void forget(struct conn *c) {
    if (c->state == CLOSED) return;
    if (c->state == OPEN) {
        crowd.open--;
        crowd.closed++;
    } else {
        crowd.opening--;
        crowd.refused++;
    }
    close(c->fd);
    c->state = CLOSED;
    drop_front(&c->in, c->in.used);
    drop_front(&c->out, c->out.used);
}

static void push(struct conn *c, const char *data, size_t length) {
    ssize_t sent = 0;
    crowd.bytes_out += length;
    if (!c->out.used) {
        sent = send(c->fd, data, length, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) return; /* the reading side learns why */
        if (sent < 0) sent = 0;
        if ((size_t)sent == length) return;
    }
    append(&c->out, data + sent, length - (size_t)sent);
    watch(c, true);
}

static void flush(struct conn *c) {
    ssize_t sent = send(c->fd, c->out.data, c->out.used, MSG_NOSIGNAL);
    if (sent > 0) drop_front(&c->out, (size_t)sent);
    if (!c->out.used) watch(c, false);
}

/* -- frames */

static void send_frame(struct conn *c, uint8_t opcode, const char *data, size_t length) {
    static char frame[CHUNK];
    static uint32_t seed = 2463534242u;
    size_t at = 2;
    if (length + 14 > sizeof frame) fail("a message too large for this program");
    frame[0] = (char)(0x80 | opcode);
    if (length < 126) {
        frame[1] = (char)(0x80 | length);
    } else {
        frame[1] = (char)(0x80 | 126);
        frame[at++] = (char)(length >> 8);
        frame[at++] = (char)length;
    }
    if (length > 0xffff) fail("a frame larger than a client may send");
    seed ^= seed << 13, seed ^= seed >> 17, seed ^= seed << 5;
    char mask[4];
    memcpy(mask, &seed, 4);
    memcpy(frame + at, mask, 4);
    at += 4;
    for (size_t i = 0; i < length; i++) frame[at + i] = (char)(data[i] ^ mask[i & 3]);
    push(c, frame, at + length);
}

void send_text(struct conn *c, const char *text, size_t length) { send_frame(c, 1, text, length); }

static void take_frame(struct conn *c, uint8_t opcode, const char *body, size_t length) {
    if (opcode == 1) crowd.on_text(c, body, length);
    else if (opcode == 9) send_frame(c, 10, body, length);
    else if (opcode == 8) forget(c);
}

/* Takes the whole frames at the front; gives how many bytes they were. */
static size_t take_frames(struct conn *c, const char *data, size_t length) {
    size_t at = 0;
    while (c->state == OPEN && length - at >= 2) {
        const uint8_t *head = (const uint8_t *)data + at;
        size_t size = head[1] & 127, start = 2;
        if (size == 126) start = 4;
        else if (size == 127) start = 10;
        if (length - at < start) break;
        if (start > 2) {
            size = 0;
            for (size_t i = 2; i < start; i++) size = size << 8 | head[i];
        }
        if (length - at < start + size) break;
        at += start + size;
        take_frame(c, head[0] & 15, (const char *)head + start, size);
    }
    return at;
}

/* Takes the answer to the handshake; gives how many bytes it was, 0 where it is not whole. */
static size_t take_answer(struct conn *c, const char *data, size_t length) {
    const char *end = memmem(data, length, "\r\n\r\n", 4);
    if (!end) return 0;
    if (length < 12 || memcmp(data + 9, "101", 3)) {
        forget(c);
        return length;
    }
    c->state = OPEN;
    crowd.opening--;
    crowd.open++;
    crowd.last_opened = now_ns();
    histogram_add(crowd.handshakes, crowd.last_opened - c->began);
    crowd.on_open(c);
    return (size_t)(end - data) + 4;
}

static void take(struct conn *c, const char *data, size_t length, bool kept) {
    size_t done = 0;
    if (c->state == UPGRADING) done = take_answer(c, data, length);
    if (c->state == OPEN) done += take_frames(c, data + done, length - done);
    if (c->state == CLOSED) return;
    if (kept) drop_front(&c->in, done);
    else if (done < length) append(&c->in, data + done, length - done);
}

static void receive(struct conn *c) {
    ssize_t got = recv(c->fd, chunk, sizeof chunk, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        forget(c);
        return;
    }
    crowd.bytes_in += (uint64_t)got;
    if (!c->in.used) {
        take(c, chunk, (size_t)got, false);
        return;
    }
    append(&c->in, chunk, (size_t)got);
    take(c, c->in.data, c->in.used, true);
}

/* -- all of them */

void crowd_start(const char *host, uint16_t port, const char *path, uint32_t count) {
    server.sin_family = AF_INET;
    server.sin_port = htons(port);
    if (inet_pton(AF_INET, host, &server.sin_addr) != 1) fail("host");
    snprintf(upgrade, sizeof upgrade,
             "GET %s HTTP/1.1\r\nHost: %s:%u\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
             path, host, port);
    crowd.count = count;
    if (!(crowd.conns = calloc(count, sizeof *crowd.conns))) fail("memory");
    if (!(crowd.handshakes = calloc(1, sizeof *crowd.handshakes))) fail("memory");
    for (uint32_t i = 0; i < count; i++) crowd.conns[i].index = i;
    if ((poller = epoll_create1(0)) < 0) fail("epoll");
}

bool crowd_open_all(int64_t deadline) {
    for (crowd.next = 0; crowd.open < crowd.count && now_ns() < deadline;) {
        while (crowd.next < crowd.count && crowd.opening < crowd.in_flight)
            begin(&crowd.conns[crowd.next++]);
        if (crowd.next == crowd.count && !crowd.opening) break;
        crowd_turn(now_ns() + 10000000);
    }
    return crowd.open == crowd.count;
}

static void handle(struct conn *c, uint32_t events) {
    if (c->state == CONNECTING && events & EPOLLOUT) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) {
            forget(c);
            return;
        }
        c->state = UPGRADING;
        watch(c, false);
        push(c, upgrade, strlen(upgrade));
    } else if (events & EPOLLOUT && c->out.used) {
        flush(c);
    }
    if (c->state != CLOSED && events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(c);
}

void crowd_turn(int64_t until) {
    struct epoll_event events[EVENTS];
    int64_t wait = until - now_ns();
    if (wait < 0) wait = 0;
    struct timespec timeout = {wait / 1000000000, wait % 1000000000};
    int got = epoll_pwait2(poller, events, EVENTS, &timeout, NULL);
    for (int i = 0; i < got; i++) handle(&crowd.conns[events[i].data.u32], events[i].events);
}

void crowd_cut_all(void) {
    struct linger at_once = {1, 0}; /* a reset: no port is kept waiting */
    for (uint32_t i = 0; i < crowd.count; i++) {
        struct conn *c = &crowd.conns[i];
        if (c->state == CLOSED) continue;
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        forget(c);
    }
}

/* -- reading messages */

bool is_type(const char *text, size_t length, const char *type) {
    static const char start[] = "{\"type\":\"";
    size_t before = sizeof start - 1, size = strlen(type);
    return length > before + size && !memcmp(text, start, before) &&
           !memcmp(text + before, type, size) && text[before + size] == '"';
}

int64_t number_after(const char *text, size_t length, const char *name) {
    const char *found = memmem(text, length, name, strlen(name));
    if (!found) return -1;
    found += strlen(name);
    int64_t number = 0;
    bool any = false;
    for (; found < text + length && *found >= '0' && *found <= '9'; found++, any = true)
        number = number * 10 + (*found - '0');
    return any ? number : -1;
}
