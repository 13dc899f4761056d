/* Private servers for tests: real Redis and Postgres on a free loopback port, with their data in a new folder below /tmp.
 * They die with the process that started them. Every function that cannot do its work says why on standard error.
 *
 * Binaries: TEST_REDIS_SERVER, else redis-server, else redis-check-rdb (the same binary on Debian, told apart by its
 * name); TEST_POSTGRES_BIN (a folder), else /usr/lib/postgresql/15/bin. As root Postgres runs under the uid of postgres,
 * or of nobody. */
#ifndef TESTS_SERVER_H
#define TESTS_SERVER_H

#include <stdbool.h>

struct server;

/* extra: NULL-terminated further arguments ("--maxmemory", "1mb"; "-c", "fsync=on"); may be NULL. Ready when it returns; NULL: it
 * did not get ready in 20 s. Redis: no persistence unless said. Postgres: superuser postgres, no password, fsync off unless
 * said. */
struct server *server_redis_start(const char *const *extra);
struct server *server_postgres_start(const char *const *extra);

int server_port(const struct server *s);
const char *server_dir(const struct server *s);   /* its data folder */
void server_signal(struct server *s, int signal); /* to the server's main process: SIGSTOP, SIGCONT … */
void server_kill(struct server *s);               /* SIGKILL, and waits for its end */
bool server_restart(struct server *s);            /* after server_kill: same port, same data */
void server_stop(struct server *s);               /* kills, removes the data, frees; NULL is fine */

int server_free_port(void);            /* a loopback port nobody listens on just now */
int server_listen_deaf(int *out_port); /* a listening socket that accepts nothing itself: a half-open peer; close it */
int server_count_fds(void);            /* open descriptors of this process */

#endif
