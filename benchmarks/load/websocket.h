/* Many WebSocket clients on one epoll: connect, mask and send text frames, read text frames. */
#ifndef WEBSOCKET_H
#define WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum state { CLOSED, CONNECTING, UPGRADING, OPEN };

struct buffer {
    char *data;
    size_t used, room;
};

struct conn {
    int fd;
    enum state state;
    bool watches_writing;
    uint32_t index;
    int64_t began; /* when its connect began */
    struct buffer in, out; /* what is not a whole frame yet; what the socket did not take yet */
};

struct crowd {
    struct conn *conns;
    uint32_t count;
    uint32_t addresses; /* source addresses 127.0.0.1 and on */
    uint32_t in_flight; /* handshakes under way at once at most */
    uint32_t opening, open, next, refused, closed;
    uint64_t bytes_in, bytes_out;
    int64_t last_opened;
    struct histogram *handshakes;
    void (*on_open)(struct conn *);
    void (*on_text)(struct conn *, const char *text, size_t length);
};

extern struct crowd crowd;

int64_t now_ns(void);
void fail(const char *what);
void crowd_start(const char *host, uint16_t port, const char *path, uint32_t count);
bool crowd_open_all(int64_t deadline); /* runs until all are open; false where the time is over */
void crowd_turn(int64_t until);        /* handles what comes, until that time at the latest */
void crowd_cut_all(void);              /* closes all sockets without a word */
void send_text(struct conn *, const char *text, size_t length);

/* Of a server's message: its type is first, and the names below stand before any payload. */
bool is_type(const char *text, size_t length, const char *type);
int64_t number_after(const char *text, size_t length, const char *name);

#endif
