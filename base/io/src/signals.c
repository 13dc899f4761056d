#include <io/signals.h>

#include <stdlib.h>
#include <uv.h>

struct signals {
    void (*cb)(void *arg, int signum);
    void *arg;
    size_t n, open;
    uv_signal_t handles[];
};

static void on_signal(uv_signal_t *h, int signum) {
    struct signals *s = h->data;
    s->cb(s->arg, signum);
}

static void on_closed(uv_handle_t *h) {
    struct signals *s = h->data;
    if (--s->open == 0) {
        free(s);
    }
}

struct err signals_new(struct loop *l, const int *signums, size_t n, void (*cb)(void *arg, int signum), void *arg,
                       struct signals **out) {
    struct signals *s = calloc(1, sizeof *s + n * sizeof s->handles[0]);
    if (s == NULL) {
        return err_make(ERR_NOMEM, "signals");
    }
    s->cb = cb;
    s->arg = arg;
    for (; s->n < n; s->n++) {
        uv_signal_t *h = &s->handles[s->n];
        (void)uv_signal_init(loop_uv(l), h);
        s->open++;
        h->data = s;
        int rc = uv_signal_start(h, on_signal, signums[s->n]);
        uv_unref((uv_handle_t *)h);
        if (rc != 0) {
            s->n++;
            signals_free(s);
            return err_make(ERR_SYSTEM, "signal %d: %s", signums[s->n - 1], uv_strerror(rc));
        }
    }
    *out = s;
    return OK;
}

void signals_free(struct signals *s) {
    for (size_t i = 0; s != NULL && i < s->n; i++) {
        uv_close((uv_handle_t *)&s->handles[i], on_closed);
    }
}
