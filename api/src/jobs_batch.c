/* POST /v1/jobs:batch: a job a line, and for each a line of the answer: its id, or the problem it would have got alone. */
#include <base/json.h>

#include "handlers.h"
#include "header.h"
#include "server.h"

enum { LINES_MAX = 1000, ANSWER_BYTES_MAX = 4 << 20 };

struct line {
    struct submit *submit; /* NULL: problem */
    struct problem problem;
};

struct batch {
    struct call *call;
    size_t n, open;
    struct line *lines;
};

/* ---- the answer ---- */

static void write_accepted(struct buf *b, const struct acceptance *a) {
    bool known = a->verdict == ACCEPTED_KNOWN;
    buf_add_c(b, ",\"status\":202");
    job_add_uuid(b, "id", known ? a->known_id : a->id);
    buf_add_c(b, a->due.ms != 0 ? ",\"state\":\"delayed\"" : ",\"state\":\"waiting\"");
    job_add_text(b, "queue", str_c(a->queue->name));
    buf_add_c(b, known ? ",\"replayed\":true" : ",\"replayed\":false");
}

static void write_problem(struct call *c, struct buf *b, struct problem *p) {
    p->trace = &c->trace;
    buf_addf(b, ",\"status\":%d,\"problem\":", problem_status(p->id));
    problem_write(b, p);
}

static void write_line(struct batch *batch, size_t i, struct buf *b) {
    struct line *l = &batch->lines[i];
    buf_addf(b, "{\"line\":%zu", i + 1);
    if (l->submit == NULL) {
        write_problem(batch->call, b, &l->problem);
    } else if (submit_refused(l->submit)) {
        write_problem(batch->call, b, &l->submit->problem);
    } else {
        write_accepted(b, &l->submit->a);
    }
    buf_add_c(b, "}\n");
}

static void answer(struct batch *batch) {
    struct buf b;
    buf_init(&b, ANSWER_BYTES_MAX);
    for (size_t i = 0; i < batch->n; i++) {
        write_line(batch, i, &b);
    }
    if (err_is_set(buf_status(&b))) {
        call_fail(batch->call, buf_status(&b));
    } else {
        call_answer(batch->call, 200, "application/x-ndjson", buf_str(&b));
    }
    buf_free(&b);
}

static void on_accepted(struct acceptance *a) {
    struct batch *batch = a->call->state;
    if (--batch->open == 0) {
        answer(batch);
    }
}

/* ---- the lines ---- */

static void refuse(struct call *c, struct line *l, enum problem_id id, const char *detail) {
    l->problem = (struct problem){.id = id, .detail = arena_str(&c->arena, str_c(detail))};
}

static void read_line(struct batch *batch, struct line *l, struct str text) {
    struct call *c = batch->call;
    struct submit *s = submit_new(c);
    json_t *request = NULL;
    struct err e = s != NULL ? json_read(text, &request) : err_make(ERR_NOMEM, "out of memory");
    if (err_is_set(e)) {
        refuse(c, l, e.code == ERR_NOMEM ? PROBLEM_BUSY : PROBLEM_MALFORMED, e.detail);
        return;
    }
    if (submit_request(s, request, "JobLine", text)) {
        s->a.done = on_accepted;
        l->submit = s;
        batch->open++;
    } else {
        l->problem = s->problem; /* what it points to is in the arena */
    }
    json_decref(request);
}

/* Lines are counted as they stand; the empty one after the last line feed is none. */
static size_t count_lines(struct str text) {
    struct str line;
    size_t n = 0;
    while (str_cut(&text, '\n', &line)) {
        n++;
    }
    return n;
}

static void start_all(struct batch *batch) {
    batch->open++; /* an acceptance may end before the last has started */
    for (size_t i = 0; i < batch->n; i++) {
        if (batch->lines[i].submit != NULL) {
            acceptance_start(&batch->lines[i].submit->a);
        }
    }
    if (--batch->open == 0) {
        answer(batch);
    }
}

void handle_jobs_batch(struct call *c) {
    struct str rest = c->req->body, text;
    size_t n = count_lines(rest);
    if (n == 0 || n > LINES_MAX) {
        call_problem(c, PROBLEM_MALFORMED, "The body must have 1 to %d lines, each a JSON object", LINES_MAX);
        return;
    }
    struct batch *batch = ARENA_NEW(&c->arena, struct batch);
    struct line *lines = ARENA_ARRAY(&c->arena, struct line, n);
    if (batch == NULL || lines == NULL) {
        call_fail(c, err_make(ERR_NOMEM, "batch"));
        return;
    }
    *batch = (struct batch){.call = c, .n = n, .lines = lines};
    c->state = batch;
    for (size_t i = 0; i < n && str_cut(&rest, '\n', &text); i++) {
        read_line(batch, &lines[i], text);
    }
    start_all(batch);
}
