/* As much of Socket.IO 5 over Engine.IO 4 (WebSocket only) as peers need.

   0{...} open, answered by 40: join the namespace; 40{...} joined; 2 ping, answered by 3: pong;
   42["message",{...}] an event; 431[{...}] the acknowledgment of an event sent as 421[...].
   https://socket.io/docs/v4/socket-io-protocol/ */
#include <string.h>

#include "options.h"
#include "websocket.h"

static uint32_t joined;

bool socketio_ready(void) { return !options.socketio || joined == crowd.count; }

/* Answers what the protocol asks; true where there is a message, which is then cut out. */
bool socketio_take(struct conn *c, const char **text, size_t *length) {
    if (!options.socketio) return true;
    const char *packet = *text;
    if (*length && packet[0] == '0') send_text(c, "40", 2);
    if (*length && packet[0] == '2') send_text(c, "3", 1);
    if (*length < 2 || packet[0] != '4') return false;
    joined += packet[1] == '0';
    const char *body = memchr(packet, '{', *length);
    if (packet[1] == '0' || !body) return false;
    *length -= (size_t)(body - packet);
    *text = body;
    return true;
}
