/* Requests at an offered rate (Poisson arrivals, latency from the intended time of sending, so that
   a server that falls behind cannot hide it) or in a closed loop. */
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "histogram.h"
#include "options.h"
#include "websocket.h"

enum { ACKED = 1, PROGRESSED = 2, ENDED = 4, LARGEST = 60000 };

static struct histogram lag, acks, progresses, ends;
static int64_t *started; /* by request number; when it was meant to be sent */
static uint8_t *seen;
static uint64_t room, sent, acked, ended, errors, acked_within, ended_within;
static int64_t begin_at, end_at, first_sent, last_ack, last_end;
static bool over;
static char first_error[300];
static char message[LARGEST], run_name[16], id_prefix[40];
static size_t message_length, number_at;

static void write_template(void) {
    const char *end = options.socketio ? "\"}}]" : "\"}}";
    snprintf(run_name, sizeof run_name, "%08x-", options.run);
    snprintf(id_prefix, sizeof id_prefix, "\"request_id\":\"%s", run_name);
    int length = options.socketio
                     ? snprintf(message, sizeof message, "421[\"%s\",", options.action) : 0;
    length += snprintf(message + length, 64, "{\"id\":\"%s", run_name);
    number_at = (size_t)length;
    length += snprintf(message + length, sizeof message - (size_t)length,
                       "0000000000\",\"action\":\"%s\",\"payload\":{\"text\":\"", options.action);
    size_t wanted = options.bytes < LARGEST - 8 ? options.bytes : LARGEST - 8;
    while ((size_t)length + strlen(end) < wanted) message[length++] = 'x';
    memcpy(message + length, end, strlen(end));
    message_length = (size_t)length + strlen(end);
}

static void send_one(struct conn *c, int64_t intended) {
    if (sent == room) {
        room = room ? room * 2 : 65536;
        started = realloc(started, room * sizeof *started);
        seen = realloc(seen, room);
        if (!started || !seen) fail("memory");
    }
    char digits[12];
    snprintf(digits, sizeof digits, "%010llu", (unsigned long long)sent);
    memcpy(message + number_at, digits, 10);
    started[sent] = intended;
    seen[sent++] = 0;
    if (!first_sent) first_sent = intended;
    send_text(c, message, message_length);
}

static bool may_go_on(void) { return !over && (!options.count || sent < options.count); }

static void note(struct histogram *h, uint64_t number, int64_t now) {
    if (started[number] >= begin_at && started[number] < end_at)
        histogram_add(h, now - started[number]);
}

static void take(struct conn *c, const char *text, size_t length) {
    if (!socketio_take(c, &text, &length)) return;
    int64_t number = number_after(text, length, id_prefix);
    int64_t now = now_ns();
    bool within = now >= begin_at && now < end_at, next = false;
    if (number < 0 || (uint64_t)number >= sent) return;
    if (is_type(text, length, "acknowledgment")) { /* a worker's end may overtake it */
        if (seen[number] & ACKED) return;
        seen[number] |= ACKED;
        acked++, acked_within += within, last_ack = now;
        note(&acks, (uint64_t)number, now);
        next = options.until_ack;
    } else if (seen[number] & ENDED) {
        return;
    } else if (is_type(text, length, "progress")) {
        if (!(seen[number] & PROGRESSED)) note(&progresses, (uint64_t)number, now);
        seen[number] |= PROGRESSED;
    } else if (is_type(text, length, "response") || is_type(text, length, "complete")) {
        seen[number] |= ENDED;
        ended++, ended_within += within, last_end = now;
        note(&ends, (uint64_t)number, now);
        next = !options.until_ack;
    } else if (is_type(text, length, "error")) {
        seen[number] |= ENDED;
        if (!errors++) snprintf(first_error, sizeof first_error, "%.*s", (int)length, text);
        next = true;
    }
    if (next && options.rate == 0 && may_go_on()) send_one(c, now);
}

static void nothing(struct conn *c) { (void)c; }

static double pause_s(void) { return -log(1.0 - drand48()) / options.rate; }

/* Sends what is due; gives when the next is. */
static int64_t offer(int64_t due) {
    static uint32_t turn;
    for (int64_t now = now_ns(); due <= now && may_go_on(); now = now_ns()) {
        struct conn *c = &crowd.conns[turn++ % crowd.count];
        if (c->state == OPEN) send_one(c, due);
        if (due >= begin_at && due < end_at) histogram_add(&lag, now - due);
        due += (int64_t)(pause_s() * 1e9);
    }
    return due;
}

static void run_until(int64_t until, int64_t *due) {
    while (now_ns() < until && may_go_on()) {
        if (options.rate > 0) *due = offer(*due);
        crowd_turn(options.rate > 0 && *due < until ? *due : until);
    }
}

static void print(double seconds, double window_cpu) {
    for (char *c = first_error; *c; c++)
        if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ') *c = '\'';
    print_common(seconds);
    printf("\"sent\": %llu, \"acked\": %llu, \"ended\": %llu, \"errors\": %llu, \"missing\": %llu, "
           "\"acked_within\": %llu, \"ended_within\": %llu, \"window_generator_cpu_s\": %.4f, "
           "\"to_last_ack_s\": %.4f, \"to_last_end_s\": %.4f, \"first_error\": \"%s\", ",
           (unsigned long long)sent, (unsigned long long)acked, (unsigned long long)ended,
           (unsigned long long)errors, (unsigned long long)(sent - ended - errors),
           (unsigned long long)acked_within, (unsigned long long)ended_within, window_cpu,
           last_ack ? (double)(last_ack - first_sent) / 1e9 : 0,
           last_end ? (double)(last_end - first_sent) / 1e9 : 0, first_error);
    histogram_print(&lag, "lag"), printf(", ");
    histogram_print(&acks, "ack"), printf(", ");
    histogram_print(&progresses, "progress"), printf(", ");
    histogram_print(&ends, "end"), printf("}\n");
}

int requests(void) {
    crowd.on_open = nothing;
    crowd.on_text = take;
    write_template();
    open_all();
    int64_t due = now_ns();
    begin_at = due + (int64_t)(options.warmup * 1e9);
    end_at = begin_at + (int64_t)(options.seconds * 1e9);
    for (uint32_t i = 0; options.rate == 0 && i < crowd.count * options.depth; i++)
        if (may_go_on()) send_one(&crowd.conns[i % crowd.count], now_ns());
    run_until(begin_at, &due);
    tell("begin");
    double cpu = cpu_seconds();
    int64_t began = now_ns();
    run_until(end_at, &due);
    if (options.count) { /* its window is its end */
        over = true;
        int64_t patience = now_ns() + (int64_t)(options.patience * 1e9);
        while (ended + errors < sent && now_ns() < patience) crowd_turn(now_ns() + 1000000);
    }
    double seconds = since(began);
    cpu = cpu_seconds() - cpu;
    tell("end");
    over = true;
    int64_t patience = now_ns() + (int64_t)(options.patience * 1e9);
    while (ended + errors < sent && now_ns() < patience) crowd_turn(now_ns() + 1000000);
    print(seconds, cpu);
    return 0;
}
