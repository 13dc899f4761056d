/* A Redis in memory, with what the protocol uses of one and nothing else: an unknown command or argument ends the program. Streams with
 * one group, sorted sets, hashes, strings; the real Functions in Lua 5.1. tests/contract/test_sim_redis.py compares it with a real one.
 *
 * Every change is an op. The ops are its append-only file: a crash keeps a beginning of them, cut between two calls or (torn) inside
 * one, and the data is what they make when applied again. */
#ifndef SIM_MINI_H
#define SIM_MINI_H

#include <base/arena.h>
#include <base/reply.h>
#include <queues/stream_id.h>

struct mini;
enum mini_moment { MINI_BEFORE, MINI_AFTER, MINI_TORN };

/* random: HRANDFIELD's choice, below n. publish: what PUBLISH says. */
struct mini_options {
    uint64_t (*random)(void *self, uint64_t n);
    void (*publish)(void *self, struct str channel, struct str message);
    /* Around a tear: the data as it was before the call that was torn, as the whole call would have left it, and as it is. */
    void (*look)(void *self, enum mini_moment moment);
    /* A pending entry changes hands, or is taken away: from holder, who did not renew it for so long. */
    void (*taken)(void *self, struct str stream, struct str holder, int64_t idle_ms, struct stream_id id);
    const char *lua_from, *lua_to; /* a bug made in the Functions: this text, once there, replaced by that; NULL: none */
    void *self;
};
struct mini *mini_new(const struct mini_options *o);
void mini_free(struct mini *m);

/* One command at this time. NULL: an XREADGROUP with BLOCK that found nothing; to be called again after a change, without it.
 * The reply lives in the arena. */
struct reply *mini_call(struct mini *m, struct arena *a, int64_t now_ms, size_t argc, const struct str *argv);
uint64_t mini_changes(const struct mini *m); /* entries put into streams, ever */
void mini_refuse(
    struct mini *m,
    const char *error); /* every command gets this error reply; NULL: as always. "OOM …": those that bring new work */

/* The power fails: all but the last `lost` calls that changed something are kept, and of the last one kept only a beginning when torn.
 * Until BGREWRITEAOF, a second crash loses all that came after a torn one. */
struct mini_loss {
    bool any, torn, killed; /* killed: nothing was to be lost */
};
struct mini_loss mini_crash(struct mini *m, uint64_t lost, bool torn);
const char *mini_run_id(const struct mini *m); /* another one after each crash or wipe */
void mini_wipe(struct mini *m);                /* it comes back empty, without Functions */

/* For the judge: what the homes hold, without a command. */
struct str mini_field(struct mini *m, struct str key, struct str field); /* of a hash; empty when it is not there */
struct str mini_string(struct mini *m, struct str key);                  /* likewise */
size_t mini_size(struct mini *m, struct str key);                        /* entries, members, fields */
bool mini_has_entry(struct mini *m, struct str stream, struct stream_id id);
size_t mini_pending(struct mini *m, struct str stream);                   /* entries delivered and not acknowledged */
int64_t mini_field_int(struct mini *m, struct str key, struct str field); /* 0 when it is not there */
typedef void mini_entry_cb(void *arg, struct stream_id id, struct str header);
void mini_each_entry(struct mini *m, struct str stream, mini_entry_cb *cb, void *arg);
typedef void mini_field_cb(void *arg, struct str field, struct str value);
void mini_each_field(struct mini *m, struct str key, mini_field_cb *cb, void *arg); /* hash */

#endif
