/* What the command line says, and what every mode prints. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "websocket.h"

struct options {
    const char *host, *path, *action, *topic;
    uint16_t port;
    uint32_t connections;
    uint32_t bytes;    /* of a message */
    double rate;       /* messages a second offered; 0: a closed loop */
    uint32_t depth;    /* closed loop: messages under way a connection */
    uint64_t count;    /* messages in all; 0: until the time is over */
    double seconds, warmup;
    bool until_ack;    /* closed loop: the acknowledgment asks for the next message, not the end */
    double patience;   /* seconds waited for what is still missing at the end */
    uint32_t rounds;
    bool socketio;     /* speak Socket.IO to a peer, see socketio.c */
    uint32_t run;      /* names this run's requests, so that none is another run's again */
};

extern struct options options;

int requests(void);  /* requests.c */
int idle(void);      /* crowds.c */
int fanout(void);    /* crowds.c */
int reconnect(void); /* reconnect.c */

bool socketio_take(struct conn *, const char **text, size_t *length);
bool socketio_ready(void);         /* all connections have joined their namespace */

void open_all(void);               /* or ends the program */
void tell(const char *event);      /* prints a line at once */
double cpu_seconds(void);          /* this process's */
double since(int64_t from_ns);     /* in seconds */
void print_common(double seconds); /* handshakes, losses and CPU; opens the object */

#endif
