/* Many connections that do nothing, and many that hear one event. */
#define _GNU_SOURCE
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "histogram.h"
#include "options.h"
#include "websocket.h"

static void no_text(struct conn *c, const char *text, size_t length) {
    socketio_take(c, &text, &length); /* a peer's pings want an answer */
}
static void nothing(struct conn *c) { (void)c; }

/* -- idle: opens, says so, and waits until its standard input ends */

static bool input_ended(void) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&input, 1, 0) > 0;
}

int idle(void) {
    crowd.on_open = nothing;
    crowd.on_text = no_text;
    int64_t began = now_ns();
    open_all();
    double seconds = since(began);
    tell("open");
    while (!input_ended()) crowd_turn(now_ns() + 50000000);
    print_common(seconds);
    printf("\"still_open\": %u}\n", crowd.open);
    return 0;
}

/* -- fanout: all but the last subscribe; the last publishes, round after round */

static struct histogram deliveries;
static uint32_t *last_round, subscribed, round_now, got, repeats, errors;
static int64_t published_at, first_at, last_at, answered_at;

static void subscribe(struct conn *c) {
    if (c->index == crowd.count - 1) return;
    char text[256];
    int length = snprintf(text, sizeof text,
                          "{\"action\":\"streamer.subscribe\",\"payload\":{\"topic\":\"%s\"}}",
                          options.topic);
    send_text(c, text, (size_t)length);
}

static void take(struct conn *c, const char *text, size_t length) {
    if (is_type(text, length, "event")) {
        int64_t number = number_after(text, length, "\"round\":");
        if (number != round_now) return;
        if (last_round[c->index] == round_now) {
            repeats++;
            return;
        }
        last_round[c->index] = round_now;
        last_at = now_ns();
        if (!got++) first_at = last_at;
        histogram_add(&deliveries, last_at - published_at);
    } else if (is_type(text, length, "response")) {
        if (c->index == crowd.count - 1) answered_at = now_ns();
        else subscribed++;
    } else {
        errors++;
        fprintf(stderr, "load: %.*s\n", (int)length, text);
    }
}

static bool wait_for(const uint32_t *number, uint32_t wanted) {
    int64_t deadline = now_ns() + (int64_t)(options.patience * 1e9);
    while (*number < wanted && now_ns() < deadline) crowd_turn(now_ns() + 10000000);
    return *number >= wanted;
}

static void publish(void) {
    char text[256];
    int length = snprintf(text, sizeof text,
                          "{\"action\":\"%s\",\"payload\":{\"round\":%u}}", options.action, round_now);
    got = 0, answered_at = 0;
    published_at = now_ns();
    send_text(&crowd.conns[crowd.count - 1], text, (size_t)length);
}

int fanout(void) {
    crowd.on_open = subscribe;
    crowd.on_text = take;
    uint32_t listeners = crowd.count - 1, lost = 0;
    if (!(last_round = calloc(crowd.count, sizeof *last_round))) fail("memory");
    int64_t began = now_ns();
    open_all();
    if (!wait_for(&subscribed, listeners)) fail("not all could subscribe");
    double seconds = since(began);
    tell("begin");
    char figures[4096];
    size_t at = 0;
    for (round_now = 1; round_now <= options.rounds; round_now++) {
        publish();
        if (!wait_for(&got, listeners)) lost += listeners - got;
        while (!answered_at && since(published_at) < options.patience)
            crowd_turn(now_ns() + 10000000);
        if (at < sizeof figures - 128)
            at += (size_t)snprintf(figures + at, sizeof figures - at,
                                   "%s{\"first_ms\": %.3f, \"last_ms\": %.3f, \"answer_ms\": %.3f}",
                                   round_now > 1 ? ", " : "", (double)(first_at - published_at) / 1e6,
                                   (double)(last_at - published_at) / 1e6,
                                   (double)(answered_at - published_at) / 1e6);
    }
    tell("end");
    print_common(seconds);
    printf("\"lost\": %u, \"repeats\": %u, \"errors\": %u, \"rounds\": [%s], ", lost, repeats, errors,
           figures);
    histogram_print(&deliveries, "delivery");
    printf("}\n");
    return 0;
}
