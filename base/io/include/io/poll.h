/* Readiness of a socket that a library owns, with libuv's trap closed in one place: libuv stops a poll handle itself and
 * reports status < 0 (UV_EBADF for POLLERR on a refused connection). The library must still be told, as "readable and
 * writable", or it waits for ever. */
#ifndef IO_POLL_H
#define IO_POLL_H

#include <base/err.h>
#include <io/loop.h>

enum { POLL_READ = 1, POLL_WRITE = 2 };

struct poll;

/* cb gets the events that are ready; both of them after an error. */
MUST struct err poll_new(struct loop *l, int fd, void (*cb)(void *arg, int events), void *arg, struct poll **out);
void poll_watch(struct poll *p, int events); /* 0 stops; after an error it starts watching anew */
int poll_fd(const struct poll *p);
void poll_free(struct poll *p); /* does not close the descriptor; NULL is fine */

#endif
