/* The loop and its end-of-turn hooks. The hooks run in a prepare handle: after the callbacks of a turn, before the loop
 * blocks. While hooks are scheduled an idle handle keeps the next wait at zero, so that a hook scheduled from a prepare
 * callback or from outside the loop is not left waiting for an unrelated event. */
#include <io/loop.h>

#include <base/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

struct loop {
    uv_loop_t uv;
    uv_prepare_t turn_end;
    uv_idle_t no_wait;
    struct turn_end *first, **last;
    uint32_t nobody, *owner;
};

static void on_idle(uv_idle_t *h) { (void)h; }

static void on_turn_end(uv_prepare_t *h) {
    struct loop *l = h->data;
    /* Bounded: what hooks schedule runs in the next turn. */
    struct turn_end *end_of_batch = NULL;
    for (struct turn_end *t = l->first; t != NULL; t = t->next) {
        end_of_batch = t;
    }
    while (l->first != NULL) {
        struct turn_end *t = l->first;
        bool was_last = t == end_of_batch;
        loop_cancel_turn_end(l, t);
        t->run(t->arg);
        if (was_last) {
            break;
        }
    }
    if (l->first == NULL) {
        uv_idle_stop(&l->no_wait);
    }
    log_flush();
}

void loop_at_turn_end(struct loop *l, struct turn_end *hook) {
    if (hook->scheduled) {
        return;
    }
    hook->scheduled = true;
    hook->next = NULL;
    *l->last = hook;
    l->last = &hook->next;
    uv_idle_start(&l->no_wait, on_idle);
}

void loop_cancel_turn_end(struct loop *l, struct turn_end *hook) {
    if (!hook->scheduled) {
        return;
    }
    for (struct turn_end **at = &l->first; *at != NULL; at = &(*at)->next) {
        if (*at == hook) {
            *at = hook->next;
            if (l->last == &hook->next) {
                l->last = at;
            }
            break;
        }
    }
    hook->scheduled = false;
}

struct err loop_new(struct loop **out) {
    struct loop *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return err_make(ERR_NOMEM, "loop");
    }
    int rc = uv_loop_init(&l->uv);
    if (rc != 0) {
        free(l);
        return err_make(ERR_SYSTEM, "uv_loop_init: %s", uv_strerror(rc));
    }
    l->last = &l->first;
    l->owner = &l->nobody;
    l->uv.data = l;
    uv_prepare_init(&l->uv, &l->turn_end);
    uv_idle_init(&l->uv, &l->no_wait);
    l->turn_end.data = l;
    uv_prepare_start(&l->turn_end, on_turn_end);
    uv_unref((uv_handle_t *)&l->turn_end); /* the hooks alone keep nobody alive; the idle handle does while any waits */
    *out = l;
    return OK;
}

uint32_t loop_owner(const struct loop *l) { return *l->owner; }

uint32_t loop_own(struct loop *l, uint32_t owner) {
    uint32_t before = *l->owner;
    *l->owner = owner;
    return before;
}

void loop_own_in(struct loop *l, uint32_t *cell) {
    *cell = *l->owner;
    l->owner = cell;
}

static void report_leak(uv_handle_t *h, void *arg) {
    (void)arg;
    (void)fprintf(stderr, "loop_free: leaked %s handle%s\n", uv_handle_type_name(h->type), uv_is_closing(h) ? " (closing)" : "");
}

void loop_free(struct loop *l) {
    if (l == NULL) {
        return;
    }
    uv_close((uv_handle_t *)&l->turn_end, NULL);
    uv_close((uv_handle_t *)&l->no_wait, NULL);
    (void)uv_run(&l->uv, UV_RUN_NOWAIT); /* close callbacks of the two, and of what others closed last */
    (void)uv_run(&l->uv, UV_RUN_NOWAIT);
    if (uv_loop_close(&l->uv) != 0) {
        uv_walk(&l->uv, report_leak, NULL);
        abort();
    }
    free(l);
}

void loop_run(struct loop *l) {
    log_hold(true);
    (void)uv_run(&l->uv, UV_RUN_DEFAULT);
    log_hold(false);
}

void loop_stop(struct loop *l) { uv_stop(&l->uv); }

struct mono loop_now(struct loop *l) {
    (void)l;
    return clock_mono(&clock_system);
}

int64_t loop_memory_bytes(void) {
    size_t n;
    return uv_resident_set_memory(&n) == 0 ? (int64_t)n : 0;
}

struct wall loop_wall(struct loop *l) {
    (void)l;
    return clock_wall(&clock_system);
}

struct uv_loop_s *loop_uv(struct loop *l) {
    return &l->uv;
}
