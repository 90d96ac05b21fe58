/* A storm: each client has a request under way, all are cut at once, and all come back for it.

   Each counts the numbered messages it has, over both connections: 1 to the terminal one, none
   missing. What comes twice is dropped, as PROTOCOL.md asks of a client, and counted. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "histogram.h"
#include "options.h"
#include "websocket.h"

enum { MOST = 62 };

struct story {
    uint64_t seen; /* a bit for each seq */
    uint32_t terminal;
    bool acked, resumed, recovered;
};

static struct story *stories;
static uint32_t acked, resumed, terminal, ended_before, repeats, errors;
static bool returning;
static int64_t cut_at, last_resumed, last_terminal;
static struct histogram back;

static uint32_t last_seq(const struct story *s) { return (uint32_t)__builtin_ctzll(~s->seen >> 1); }

static void submit(struct conn *c) {
    char text[256];
    int length = snprintf(text, sizeof text, "{\"id\":\"%08x-%u\",\"action\":\"%s\",\"payload\":{}}",
                          options.run, c->index, options.action);
    send_text(c, text, (size_t)length);
}

static void come_back(struct conn *c) {
    char text[256];
    int length = snprintf(text, sizeof text,
                          "{\"action\":\"streamer.hello\",\"payload\":{\"version\":1,\"resume\":"
                          "{\"%08x-%u\":%u}}}",
                          options.run, c->index, last_seq(&stories[c->index]));
    send_text(c, text, (size_t)length);
}

static void opened(struct conn *c) { returning ? come_back(c) : submit(c); }

static void numbered(struct story *s, const char *text, size_t length, bool ends) {
    int64_t seq = number_after(text, length, "\"seq\":");
    if (seq < 1 || seq > MOST) fail("a seq that no benchmark's handler makes");
    if (s->seen >> seq & 1) {
        repeats++;
        return;
    }
    s->seen |= 1ull << seq;
    if (!ends) return;
    s->terminal = (uint32_t)seq;
    terminal++;
    last_terminal = now_ns();
}

static void take(struct conn *c, const char *text, size_t length) {
    struct story *s = &stories[c->index];
    if (is_type(text, length, "acknowledgment")) {
        acked += !s->acked;
        s->acked = true;
    } else if (is_type(text, length, "chunk") || is_type(text, length, "restart")) {
        numbered(s, text, length, false);
    } else if (is_type(text, length, "complete")) {
        numbered(s, text, length, true);
    } else if (is_type(text, length, "resumed")) {
        last_resumed = now_ns();
        histogram_add(&back, last_resumed - cut_at);
        s->recovered = memmem(text, length, "\"recovered\":true", 16) != NULL;
        resumed += !s->resumed;
        s->resumed = true;
    } else if (is_type(text, length, "error")) {
        if (!errors++) fprintf(stderr, "load: %.*s\n", (int)length, text);
    }
}

static void wait_for(const uint32_t *number) {
    int64_t deadline = now_ns() + (int64_t)(options.patience * 1e9);
    while (*number < crowd.count && now_ns() < deadline) crowd_turn(now_ns() + 10000000);
}

int reconnect(void) {
    crowd.on_open = opened;
    crowd.on_text = take;
    if (!(stories = calloc(crowd.count, sizeof *stories))) fail("memory");
    int64_t began = now_ns();
    open_all();
    wait_for(&acked);
    if (acked < crowd.count) fail("not all requests were acknowledged");
    double seconds = since(began);
    ended_before = terminal;
    tell("begin");
    returning = true;
    uint32_t closed = crowd.closed;
    cut_at = now_ns();
    crowd_cut_all();
    crowd.closed = closed;
    open_all();
    double open_s = (double)(crowd.last_opened - cut_at) / 1e9;
    wait_for(&resumed);
    wait_for(&terminal);
    tell("end");
    uint32_t lost = 0, unrecovered = 0;
    for (uint32_t i = 0; i < crowd.count; i++) {
        lost += !stories[i].terminal || last_seq(&stories[i]) != stories[i].terminal;
        unrecovered += !stories[i].recovered;
    }
    print_common(seconds);
    printf("\"ended_before\": %u, \"resumed\": %u, \"terminal\": %u, \"lost\": %u, "
           "\"unrecovered\": %u, \"repeats\": %u, \"errors\": %u, \"open_s\": %.4f, "
           "\"resumed_s\": %.4f, \"terminal_s\": %.4f, ",
           ended_before, resumed, terminal, lost, unrecovered, repeats, errors, open_s,
           (double)(last_resumed - cut_at) / 1e9, (double)(last_terminal - cut_at) / 1e9);
    histogram_print(&back, "back");
    printf("}\n");
    return 0;
}
