/* A stream of server-sent events (text/event-stream), read as it comes. Pure. */
#ifndef OPS_CLI_SSE_H
#define OPS_CLI_SSE_H

#include <base/buf.h>

enum { SSE_ID_BYTES = 128, SSE_LINE_BYTES_MAX = 1 << 20 };

struct sse {
    struct buf line, data;
    char name[64], id[SSE_ID_BYTES]; /* id: of the last event, what Last-Event-ID is to be */
    /* Whole events alone; "message" without a name. False: enough. */
    bool (*on_event)(void *arg, struct str name, struct str data);
    void *arg;
};

void sse_init(struct sse *s, bool (*on_event)(void *, struct str, struct str), void *arg);
/* False: on_event has enough, a line is too long, or there is no memory. */
bool sse_feed(struct sse *s, struct str part);
void sse_begin(struct sse *s); /* another connection: what was begun is dropped, the id stays */
void sse_free(struct sse *s);

#endif
