/* What the files of the Redis client share. */
#ifndef IO_REDIS_PRIVATE_H
#define IO_REDIS_PRIVATE_H

#include <base/arena.h>
#include <hiredis.h>
#include <io/redis.h>

/* redis_url.c: where the server is and who we are there. Strings are owned; NULL where the url has none. */
struct redis_url {
    char *host; /* literal address, brackets removed; NULL: unix socket */
    int port;
    char *path; /* unix socket */
    char *user, *password;
    int64_t db;
};
MUST struct err redis_url_parse(const char *url, struct redis_url *out); /* ERR_INVALID, ERR_NOMEM; never quotes the password */
void redis_url_free(struct redis_url *u);

/* redis_reply.c: replies built in an arena instead of one malloc per element. Set as a reader's functions, with the arena
 * as its privdata. */
extern redisReplyObjectFunctions redis_reply_functions;

/* redis_link.c: one attempt's socket and hiredis context. hiredis' asynchronous layer is not used, only its context, reader
 * and formatter: that layer aborts on a reply nobody asked for, forgets a command when it is out of memory, and allocates
 * per command. */
MUST struct err redis_link_open(const struct redis_url *u, redisContext **out); /* connecting, not yet connected */
MUST struct err redis_link_connected(redisContext *c, bool tcp); /* after the first event: the pending socket error */

/* For redis_sub.c. Every top-level reply is offered first; true: it was a push and answers no call. */
void redis_set_push(struct redis *r, bool (*on_push)(void *arg, const struct reply *reply), void *arg);
/* Gives the connection up with this cause; it comes back as after a loss. */
void redis_abandon(struct redis *r, struct err why);

#endif
