#include <jobs/journal.h>

#include <stdlib.h>

struct queue_table {
    struct pg_pool *platform;
    struct queue_info *queues[LIMIT_QUEUES];
    size_t n;
};

static const struct pg_stmt load_stmt = {
    "queue_table.load",
    "SELECT name, number, shards, paused, slots, max_depth, max_open, max_drain_s, max_fill_pct, version FROM platform.queue "
    "ORDER BY number LIMIT 64",
    0,
};

struct err queue_table_new(struct pg_pool *platform, struct queue_table **out) {
    struct queue_table *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return err_make(ERR_NOMEM, "queue table");
    }
    t->platform = platform;
    *out = t;
    return OK;
}

static void queue_info_free(struct queue_info *q) {
    for (unsigned i = 0; i < q->shards_n; i++) {
        free(q->shards[i]);
    }
    free(q);
}

void queue_table_free(struct queue_table *t) {
    if (t == NULL) {
        return;
    }
    for (size_t i = 0; i < t->n; i++) {
        queue_info_free(t->queues[i]);
    }
    free(t);
}

static struct err queue_info_new(struct str name, unsigned number, unsigned shards, struct queue_info **out) {
    struct queue_info *q = calloc(1, sizeof *q);
    if (q == NULL || !str_copy_c(name, q->name, sizeof q->name) || shards > LIMIT_SHARDS) {
        free(q);
        return err_make(ERR_NOMEM, "queue %.*s", STR_ARG(name));
    }
    q->number = (uint16_t)number;
    struct err e = OK;
    for (unsigned i = 0; i < shards && !err_is_set(e); i++) {
        struct shard *s = calloc(1, sizeof *s);
        if (s == NULL) {
            e = err_make(ERR_NOMEM, "queue %s", q->name);
            break;
        }
        q->shards[q->shards_n++] = s;
        e = shard_init(s, name, i);
    }
    if (err_is_set(e)) {
        queue_info_free(q);
        return e;
    }
    *out = q;
    return OK;
}

static struct err take_row(struct queue_table *t, const PGresult *res, int row) {
    struct str name = pg_col(res, row, 0);
    struct queue_info *q = (struct queue_info *)queue_table_find(t, name);
    if (q == NULL) {
        if (t->n == LIMIT_QUEUES) {
            return err_make(ERR_TOO_LARGE, "more than %d queues", LIMIT_QUEUES);
        }
        TRY(queue_info_new(name, (unsigned)pg_col_int(res, row, 1), (unsigned)pg_col_int(res, row, 2), &q));
        t->queues[t->n++] = q;
    }
    q->paused = pg_col_bool(res, row, 3);
    q->slots = (int)pg_col_int(res, row, 4);
    q->max_depth = pg_col_int(res, row, 5);
    q->max_open = pg_col_int(res, row, 6);
    q->max_drain_s = pg_col_int(res, row, 7);
    q->max_fill_pct = (int)pg_col_int(res, row, 8);
    q->version = pg_col_int(res, row, 9);
    return OK;
}

struct load {
    struct queue_table *table;
    queue_table_cb *cb;
    void *arg;
};

static void on_loaded(void *arg, struct err err, const PGresult *res) {
    struct load *l = arg;
    for (int row = 0; !err_is_set(err) && row < PQntuples(res); row++) {
        err = take_row(l->table, res, row);
    }
    l->cb(l->arg, err);
    free(l);
}

void queue_table_load(struct queue_table *t, queue_table_cb *cb, void *arg) {
    struct load *l = malloc(sizeof *l);
    if (l == NULL) {
        cb(arg, err_make(ERR_NOMEM, "queue table"));
        return;
    }
    *l = (struct load){t, cb, arg};
    pg_exec(t->platform, &load_stmt, NULL, 0, 0, on_loaded, l);
}

const struct queue_info *queue_table_find(const struct queue_table *t, struct str name) {
    for (size_t i = 0; i < t->n; i++) {
        if (str_is(name, t->queues[i]->name)) {
            return t->queues[i];
        }
    }
    return NULL;
}

const struct queue_info *queue_table_number(const struct queue_table *t, unsigned number) {
    for (size_t i = 0; i < t->n; i++) {
        if (t->queues[i]->number == number) {
            return t->queues[i];
        }
    }
    return NULL;
}

size_t queue_table_count(const struct queue_table *t) { return t->n; }
const struct queue_info *queue_table_at(const struct queue_table *t, size_t i) { return t->queues[i]; }
