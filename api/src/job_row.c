#include "job_row.h"

#include <base/json.h>
#include <base/schema.h>
#include <math.h>

bool job_row_read(const PGresult *res, int row, int first, struct arena *a, struct job_row *out) {
    struct job_row j = {
        .generation = (uint32_t)pg_col_int(res, row, first + 2),
        .tenant = pg_col(res, row, first + 3),
        .queue = pg_col(res, row, first + 4),
        .type = pg_col(res, row, first + 5),
        .type_version = (int)pg_col_int(res, row, first + 6),
        .due = {pg_col_int(res, row, first + 8)},
        .deadline = {pg_col_int(res, row, first + 9)},
        .created = {pg_col_int(res, row, first + 10)},
        .finished = {pg_col_int(res, row, first + 11)},
        .state = pg_col(res, row, first + 12),
        .status = (int)pg_col_int(res, row, first + 13),
    };
    if (!pg_col_uuid(res, row, first, &j.id) || !pg_col_uuid(res, row, first + 1, &j.root)) {
        return false;
    }
    if (!trace_parse(pg_col(res, row, first + 7), &j.trace)) {
        j.trace = (struct trace){0};
    }
    if (!pg_col_null(res, row, first + 14)) {
        j.result = pg_col_bytes(res, row, first + 14, a);
        if (j.result.p == NULL) {
            return false;
        }
    }
    *out = j;
    return true;
}

bool job_row_is_open(const struct job_row *j) { return str_is(j->state, "waiting"); }

/* In every answer, so without formats: those take longer than the rest of it. */
#define ADD(b, ...) add_parts(b, (const char *const[]){__VA_ARGS__, NULL})
static void add_parts(struct buf *b, const char *const *parts) {
    for (; *parts != NULL; parts++) {
        buf_add_c(b, *parts);
    }
}

void job_add_text(struct buf *b, const char *name, struct str value) {
    ADD(b, ",\"", name, "\":");
    json_add_string(b, value);
}

void job_add_uuid(struct buf *b, const char *name, struct uuid id) {
    char text[UUID_TEXT_BYTES];
    uuid_text(id, text);
    ADD(b, ",\"", name, "\":\"", text, "\"");
}

void job_add_time(struct buf *b, const char *name, struct wall t) {
    char text[WALL_TEXT_BYTES];
    if (t.ms != 0) {
        wall_text(t, text);
        ADD(b, ",\"", name, "\":\"", text, "\"");
    }
}

struct err job_add_payload(struct buf *b, const struct schema *schema, struct str text) {
    json_t *payload;
    /* Of a type that is not known nobody can say what must be hidden; no JSON: of one that took no care. */
    if (schema == NULL || err_is_set(json_read(text, &payload))) {
        buf_add_c(b, ",\"payload\":null");
        return OK;
    }
    struct err e = schema_mask(schema, &payload);
    if (!err_is_set(e)) {
        buf_add_c(b, ",\"payload\":");
        e = json_write(payload, b);
    }
    json_decref(payload);
    return e;
}

static void add_trace(struct buf *b, const struct trace *t) {
    char text[TRACE_ID_HEX_BYTES];
    trace_id_text(t, text);
    ADD(b, ",\"trace_id\":\"", text, "\"");
}

static void add_links(struct buf *b, const char *id) {
    ADD(b, ",\"links\":{\"self\":\"/v1/jobs/", id, "\",\"wait\":\"/v1/jobs/", id, "?wait=30s\",\"cancel\":\"/v1/jobs/", id,
        "\"}}");
}

static void add_seconds(struct buf *b, double s) {
    char room[I64_TEXT_BYTES], tenth[] = {'.', '0', '\0'};
    int64_t tenths = llround(s * 10);
    buf_add(b, str_from_i64(tenths / 10, room));
    tenth[1] = (char)('0' + tenths % 10);
    buf_add_c(b, tenth);
}

void accepted_write(struct buf *b, const struct accepted *a) {
    char id[UUID_TEXT_BYTES];
    uuid_text(a->id, id);
    ADD(b, "{\"id\":\"", id, "\",\"state\":\"", a->due.ms != 0 ? "delayed" : "waiting", "\"");
    job_add_text(b, "queue", a->queue);
    ADD(b, ",\"durability\":\"", job_class_name(a->class), "\",\"estimated_start_seconds\":");
    add_seconds(b, a->estimate_s);
    add_trace(b, a->trace);
    add_links(b, id);
}

void job_write(struct buf *b, const struct job_row *j, struct str state, struct wall started) {
    char id[UUID_TEXT_BYTES];
    uuid_text(j->id, id);
    buf_addf(b, "{\"id\":\"%s\"", id);
    job_add_uuid(b, "root_id", j->root);
    job_add_text(b, "type", j->type);
    buf_addf(b, ",\"type_version\":%d", j->type_version);
    job_add_text(b, "tenant", j->tenant);
    job_add_text(b, "queue", j->queue);
    buf_add_c(b, ",\"durability\":\"journal\"");
    job_add_text(b, "state", state);
    buf_addf(b, ",\"generation\":%u", j->generation);
    job_add_time(b, "created_at", j->created);
    job_add_time(b, "due_at", j->due);
    job_add_time(b, "deadline_at", j->deadline);
    job_add_time(b, "started_at", started);
    job_add_time(b, "finished_at", j->finished);
    if (j->progress.n > 0) {
        buf_add_c(b, ",\"progress\":");
        buf_add(b, j->progress);
    }
    if (j->status != 0) {
        buf_addf(b, ",\"status\":%d", j->status);
    }
    if (j->result.p != NULL && j->result.n > 0) {
        buf_add_c(b, ",\"result\":");
        buf_add(b, j->result);
    }
    add_trace(b, &j->trace);
    add_links(b, id);
}
