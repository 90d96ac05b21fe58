/* A load generator for Streamer's gateway: one thread, one epoll, never the bottleneck.

   load MODE name=value ...          MODE: requests | idle | fanout | reconnect

   Prints JSON lines: {"event": ...} as things happen, and at last an object of figures.
   Latencies are in milliseconds. Linux 5.11 and glibc 2.35 or newer (epoll_pwait2). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "histogram.h"
#include "options.h"
#include "websocket.h"

enum { ONE_ADDRESS_HOLDS = 2500, OPEN_S = 120 };

struct options options = {
    .host = "127.0.0.1", .path = "/", .action = "echo", .topic = "all",
    .connections = 100, .bytes = 200, .depth = 1, .seconds = 10, .patience = 10, .rounds = 5,
};

static void set(const char *name, const char *value) {
    if (!strcmp(name, "host")) options.host = value;
    else if (!strcmp(name, "port")) options.port = (uint16_t)atoi(value);
    else if (!strcmp(name, "path")) options.path = value;
    else if (!strcmp(name, "action")) options.action = value;
    else if (!strcmp(name, "topic")) options.topic = value;
    else if (!strcmp(name, "connections")) options.connections = (uint32_t)atoi(value);
    else if (!strcmp(name, "in_flight")) crowd.in_flight = (uint32_t)atoi(value);
    else if (!strcmp(name, "bytes")) options.bytes = (uint32_t)atoi(value);
    else if (!strcmp(name, "rate")) options.rate = atof(value);
    else if (!strcmp(name, "depth")) options.depth = (uint32_t)atoi(value);
    else if (!strcmp(name, "count")) options.count = strtoull(value, NULL, 10);
    else if (!strcmp(name, "seconds")) options.seconds = atof(value);
    else if (!strcmp(name, "warmup")) options.warmup = atof(value);
    else if (!strcmp(name, "until_ack")) options.until_ack = atoi(value) != 0;
    else if (!strcmp(name, "patience")) options.patience = atof(value);
    else if (!strcmp(name, "socketio")) options.socketio = atoi(value) != 0;
    else if (!strcmp(name, "rounds")) options.rounds = (uint32_t)atoi(value);
    else {
        fprintf(stderr, "load: there is no option %s\n", name);
        exit(2);
    }
}

void tell(const char *event) {
    printf("{\"event\": \"%s\"}\n", event);
    fflush(stdout);
}

double cpu_seconds(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

double since(int64_t from_ns) { return (double)(now_ns() - from_ns) / 1e9; }

void open_all(void) {
    int64_t began = now_ns();
    bool open = crowd_open_all(began + OPEN_S * 1000000000ll);
    while (open && !socketio_ready() && since(began) < OPEN_S) crowd_turn(now_ns() + 10000000);
    if (!open || !socketio_ready()) {
        fprintf(stderr, "load: %u of %u connections opened, %u were refused\n", crowd.open,
                crowd.count, crowd.refused);
        exit(1);
    }
}

void print_common(double seconds) {
    printf("{\"connections\": %u, \"closed_by_server\": %u, \"bytes_in\": %llu, "
           "\"bytes_out\": %llu, \"generator_cpu_s\": %.4f, \"seconds\": %.4f, ",
           crowd.count, crowd.closed, (unsigned long long)crowd.bytes_in,
           (unsigned long long)crowd.bytes_out, cpu_seconds(), seconds);
    histogram_print(crowd.handshakes, "handshake");
    printf(", ");
}

int main(int argc, char **argv) {
    crowd.in_flight = 256;
    for (int i = 2; i < argc; i++) {
        char *equals = strchr(argv[i], '=');
        if (!equals) set(argv[i], "");
        else *equals = '\0', set(argv[i], equals + 1);
    }
    options.run = (uint32_t)now_ns() ^ (uint32_t)getpid() << 16;
    const char *mode = argc > 1 ? argv[1] : "";
    uint32_t publishers = strcmp(mode, "fanout") ? 0 : 1;
    crowd.addresses = options.connections / ONE_ADDRESS_HOLDS + 1;
    crowd_start(options.host, options.port, options.path, options.connections + publishers);
    if (!strcmp(mode, "requests")) return requests();
    if (!strcmp(mode, "idle")) return idle();
    if (!strcmp(mode, "fanout")) return fanout();
    if (!strcmp(mode, "reconnect")) return reconnect();
    fprintf(stderr, "usage: load requests|idle|fanout|reconnect name=value ...\n");
    return 2;
}
