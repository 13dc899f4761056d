#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TABLE_FD = 3, TYPES_FD };

static void on_exit_cb(uv_process_t *process, int64_t status, int signum) {
    struct child *c = process->data;
    supervisor_child_gone(c, status, signum);
}

static struct err spawn(struct child *c) {
    /* execve wants them writable */
    char name[] = "penstock", role[] = "worker-process", queue_flag[] = "--queue", queue[65], slot_flag[] = "--slot", slot[16],
         table_flag[] = "--table-fd", table[] = "3", quarantine[] = "--quarantine", types_flag[] = "--types",
         types[] = "/proc/self/fd/4";
    (void)snprintf(queue, sizeof queue, "%s", c->queue->name);
    (void)snprintf(slot, sizeof slot, "%d", c->slot);
    char *args[] = {name, role, queue_flag, queue, slot_flag, slot, table_flag, table, NULL, NULL, NULL, NULL};
    size_t n = 8;
    bool declared = c->supervisor->types_fd >= 0;
    if (c->quarantine) {
        args[n++] = quarantine;
    }
    if (declared) {
        args[n++] = types_flag;
        args[n++] = types;
    }
    uv_stdio_container_t stdio[TYPES_FD + 1] = {
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = 1},
        {.flags = UV_INHERIT_FD, .data.fd = 2},
        {.flags = UV_INHERIT_FD, .data.fd = c->table_fd},
        {.flags = UV_INHERIT_FD, .data.fd = c->supervisor->types_fd},
    };
    const uv_process_options_t options = {
        .exit_cb = on_exit_cb,
        .file = "/proc/self/exe",
        .args = args,
        .stdio_count = declared ? TYPES_FD + 1 : TABLE_FD + 1,
        .stdio = stdio,
    };
    int rc = uv_spawn(loop_uv(c->supervisor->rt->loop), &c->process, &options);
    return rc == 0 ? OK : err_make(ERR_SYSTEM, "starting a worker process: %s", uv_strerror(rc));
}

static void child_free(struct child *c) {
    slot_table_close(c->table);
    if (c->table_fd >= 0) {
        (void)close(c->table_fd);
    }
    free(c);
}

static void on_spawn_failed(uv_handle_t *h) { child_free(h->data); }

struct err child_spawn(struct supervisor *s, const struct queue_info *q, int slot, bool quarantine) {
    struct child *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return err_make(ERR_NOMEM, "child");
    }
    *c = (struct child){.supervisor = s,
                        .queue = q,
                        .slot = slot,
                        .quarantine = quarantine,
                        .table_fd = -1,
                        .started = loop_now(s->rt->loop),
                        .oom_kills = crash_oom_kills(),
                        .beat = loop_now(s->rt->loop)};
    struct err e = slot_table_create(&c->table_fd, &c->table);
    if (err_is_set(e)) {
        child_free(c);
        return e;
    }
    e = spawn(c);
    c->process.data = c;
    if (err_is_set(e)) {
        uv_close((uv_handle_t *)&c->process, on_spawn_failed); /* uv_spawn opened the handle even so */
        return e;
    }
    TAILQ_INSERT_TAIL(&s->alive, c, link);
    return OK;
}

void child_signal(struct child *c, int signum) { (void)uv_process_kill(&c->process, signum); }

static void on_handle_closed(uv_handle_t *h) { child_free(h->data); }

void child_bury(struct child *c) {
    TAILQ_REMOVE(&c->supervisor->dead, c, link);
    uv_close((uv_handle_t *)&c->process, on_handle_closed);
}
