/* One Redis connection on the loop: hiredis' non-blocking context and reader behind our own adapter, which adds what the
 * shipped asynchronous one lacks: a refused connection is noticed, connecting and every command have deadlines, and a lost
 * connection comes back by itself (full jitter, 50 ms to 2 s). A command whose deadline passes fails the whole connection:
 * its answer would arrive in the place of a later one's. Never mix blocking reads with other commands on one connection: an
 * answer waits for those before it, and so does its deadline. Too many calls without an answer (128 Ki), or bytes unsent
 * (16 MiB): ERR_BUSY. The process must ignore SIGPIPE. */
#ifndef IO_REDIS_H
#define IO_REDIS_H

#include <base/reply.h>
#include <io/loop.h>

struct redis;

struct redis_options {
    const char *url;      /* conf redis.url: redis://[user[:password]@]host[:port] or unix:/path; host must be an address */
    const char *user;     /* over the url's; NULL: the url's, or none */
    const char *password; /* likewise */
    const char *name;     /* CLIENT SETNAME */
    int64_t connect_ms, command_ms;
    /* Connection came up (authenticated, after HELLO-less AUTH), or went down with its cause. May be NULL. */
    void (*on_state)(void *arg, bool up, struct err why);
    void *arg;
};

/* Starts connecting at once. Options are copied. */
MUST struct err redis_new(struct loop *l, const struct redis_options *o, struct redis **out);
/* Pending calls fail with ERR_CLOSED before this returns; the object is freed by the loop. NULL is fine. */
void redis_close(struct redis *r);
bool redis_is_up(const struct redis *r);
struct err redis_why_down(const struct redis *r); /* the last cause; OK while up */
struct broker redis_broker(struct redis *r);      /* valid while r is */
size_t redis_pending(const struct redis *r);      /* calls without an answer */

/* Pub/sub on a connection of its own. on_message runs for every message; after each (re)connection, when the subscription
 * stands again, on_ready runs: messages may have been lost before it. Patterns are not supported. */
struct redis_sub;
struct redis_sub_options {
    struct redis_options connection; /* its on_state is free for the caller */
    const char *const *channels;     /* copied */
    size_t channels_n;
    void (*on_ready)(void *arg);
    void (*on_message)(void *arg, struct str channel, struct str message);
    void *arg;
};
MUST struct err redis_sub_new(struct loop *l, const struct redis_sub_options *o, struct redis_sub **out);
void redis_sub_close(struct redis_sub *s);

/* The error behind an error reply: OOM, MISCONF, READONLY, LOADING, BUSY, MASTERDOWN, NOREPLICAS → ERR_REDIS_FULL;
 * NOGROUP → ERR_REDIS_NOGROUP; "Function not found" → ERR_REDIS_NOFUNC; WRONGPASS, NOPERM, NOAUTH and the rest →
 * ERR_REDIS_REPLY. The adapter applies it: a callback never sees an error reply at top level. */
struct err redis_reply_err(struct str message);

#endif
