#include <io/poll.h>

#include <stdlib.h>
#include <uv.h>

struct poll {
    uv_poll_t uv;
    void (*cb)(void *arg, int events);
    void *arg;
    int fd;
    int watched; /* what libuv watches now; 0 after it stopped by itself */
};

_Static_assert(POLL_READ == (int)UV_READABLE && POLL_WRITE == (int)UV_WRITABLE, "the same bits as libuv's");

static void on_poll(uv_poll_t *h, int status, int events) {
    struct poll *p = h->data;
    if (status < 0) {
        p->watched = 0;
        (void)uv_poll_stop(&p->uv);
        events = POLL_READ | POLL_WRITE;
    }
    p->cb(p->arg, events);
}

struct err poll_new(struct loop *l, int fd, void (*cb)(void *arg, int events), void *arg, struct poll **out) {
    struct poll *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return err_make(ERR_NOMEM, "poll");
    }
    int rc = uv_poll_init(loop_uv(l), &p->uv, fd);
    if (rc != 0) {
        free(p);
        return err_make(ERR_SYSTEM, "uv_poll_init: %s", uv_strerror(rc));
    }
    p->uv.data = p;
    p->cb = cb;
    p->arg = arg;
    p->fd = fd;
    *out = p;
    return OK;
}

void poll_watch(struct poll *p, int events) {
    if (events == p->watched) {
        return;
    }
    p->watched = events;
    if (events == 0) {
        (void)uv_poll_stop(&p->uv);
    } else {
        (void)uv_poll_start(&p->uv, events, on_poll);
    }
}

int poll_fd(const struct poll *p) { return p->fd; }

static void on_closed(uv_handle_t *h) { free(h->data); }

void poll_free(struct poll *p) {
    if (p != NULL) {
        (void)uv_poll_stop(&p->uv);
        uv_close((uv_handle_t *)&p->uv, on_closed);
    }
}
