/* The API as the commands see it: one request, one answer, blocking. Where it is and who asks say o->url and o->key. */
#ifndef OPS_CLI_CLIENT_H
#define OPS_CLI_CLIENT_H

#include <base/json.h>

#include "options.h"

enum { CLIENT_QUERY_MAX = 10, CLIENT_HEADERS_MAX = 3 };

struct client_request {
    const char *method;
    const char *path[3]; /* pieces; the second one is escaped, as it comes from the command line. NULL: none */
    struct {
        const char *name, *value; /* value NULL: left out */
    } query[CLIENT_QUERY_MAX];
    struct str body; /* JSON; p NULL: none */
    const char *key; /* Idempotency-Key; NULL: none */
    struct {
        const char *name, *value;
    } headers[CLIENT_HEADERS_MAX]; /* name NULL: none */
    int64_t timeout_ms;
    bool anonymous; /* without the key */
    bool lines;     /* body, and answer where it is 200, are lines of JSON each: the answer's json is NULL then */
    /* A stream of events: taken as it comes, for as long as it lasts; timeout_ms is for its beginning. False: enough. */
    bool (*on_part)(void *arg, struct str part);
    void *arg;
    const char *last_event; /* NULL: from now on */
};

struct client_answer {
    int status; /* of HTTP; 0: none came */
    struct buf body;
    json_t *json; /* the body; NULL: it is none */
};

bool client_is_url(const char *url);   /* of http or https */
bool client_is_local(const char *url); /* on this machine */
bool client_is_key(const char *text);

/* The same stream beside other work. o and what r points to stay; NULL: why has the reason, out_code its exit code. */
struct client_stream;
struct client_stream *client_stream_open(const struct options *o, const struct client_request *r, int *out_code, struct buf *why);
/* Waits until something comes of it, or fd (-1: none) can be read, or ms are over, and gives to on_part what has come. False: it has ended; out_code
 * and why say how, EXIT_SUCCESS: by the other side, in order, or by on_part. */
bool client_stream_wait(struct client_stream *s, int fd, int64_t ms, int *out_code, struct buf *why);
void client_stream_close(struct client_stream *s); /* NULL is fine */

/* The exit code; for a failure why gets its line. The answer is to be freed in any case. */
int client_ask(const struct options *o, const struct client_request *r, struct client_answer *out, struct buf *why);
void client_answer_free(struct client_answer *a);

/* The same, with the failure told on standard error. */
int client_call(const struct options *o, const struct client_request *r, struct client_answer *out);

#endif
