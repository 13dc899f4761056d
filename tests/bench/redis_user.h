/* A connection to Redis as a role of Penstock has it, for programs that call the queue protocol itself; driven by the loop. */
#ifndef BENCH_REDIS_USER_H
#define BENCH_REDIS_USER_H

#include <io/redis.h>

/* To 127.0.0.1:--port, as --user with --password. on_up runs once, when the connection stands; its loss ends the process. */
struct redis *redis_user_open(struct loop *l, int argc, char **argv, void (*on_up)(void *arg), void *arg);

#endif
