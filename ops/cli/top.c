/* penstock top: the queues on a full screen, read every second, and steered by keys. Over the API like every other command. */
#include "answer.h"
#include "cli.h"
#include "client.h"
#include "screen.h"
#include "show.h"
#include "top_view.h"

#include <stdio.h>
#include <stdlib.h>

enum { EVERY_MS = 1000, ASK_MS = 2000, TEXT_MAX_BYTES = 1 << 20, BODY_BYTES = 96, WORKERS_MAX = 1024 };

struct top {
    const struct options *o;
    struct top_view view;
    struct buf message; /* with a NUL */
    int code;           /* of the last reading */
};

static void say(struct top *t, const char *what, const char *name, const char *done) {
    buf_clear(&t->message);
    buf_addf(&t->message, "%s/%s %s", what, name, done);
    buf_add_char(&t->message, '\0');
    t->view.message = t->message.n > 0 && !err_is_set(buf_status(&t->message)) ? t->message.p : "";
}

/* ---- reading ---- */

/* The answer's JSON replaces *to; a failure leaves it, and the message says why. */
static int read_one(struct top *t, const char *path, json_t **to) {
    const struct client_request r = {
        .method = "GET", .path = {path}, .timeout_ms = t->o->timeout_ms < ASK_MS ? t->o->timeout_ms : ASK_MS};
    struct client_answer a;
    struct buf why;
    buf_init(&why, CLI_LINE_BYTES);
    int code = client_ask(t->o, &r, &a, &why);
    if (code == EXIT_SUCCESS) {
        json_decref(*to);
        *to = json_incref(a.json);
    } else {
        buf_clear(&t->message);
        buf_add(&t->message, buf_str(&why));
        buf_add_char(&t->message, '\0');
        t->view.message = !err_is_set(buf_status(&t->message)) ? t->message.p : "";
    }
    client_answer_free(&a);
    buf_free(&why);
    return code;
}

static void read_all(struct top *t) {
    int before = t->code;
    t->code = read_one(t, "/v1/queues", &t->view.queues);
    if (t->code == EXIT_SUCCESS) {
        t->code = read_one(t, "/v1/workers", &t->view.workers);
    }
    if (t->code == EXIT_SUCCESS) {
        t->code = read_one(t, "/v1/health", &t->view.health);
    }
    if (t->code == EXIT_SUCCESS && before != EXIT_SUCCESS) {
        t->view.message = ""; /* what was wrong is over */
    }
}

static void draw(const struct top *t) {
    struct screen_size size = screen_size();
    struct buf text;
    buf_init(&text, TEXT_MAX_BYTES);
    top_write(&t->view, size.rows, size.columns, clock_wall(&clock_system), &text);
    screen_draw(buf_str(&text));
    buf_free(&text);
}

/* ---- steering ---- */

static void change(struct top *t, const struct client_request *r, const char *done) {
    struct client_answer a;
    struct buf why;
    buf_init(&why, CLI_LINE_BYTES);
    if (client_ask(t->o, r, &a, &why) == EXIT_SUCCESS) {
        say(t, "queue", r->path[1], done);
    } else {
        buf_add_char(&why, '\0');
        say(t, "queue", r->path[1], !err_is_set(buf_status(&why)) ? why.p : "out of memory");
    }
    client_answer_free(&a);
    buf_free(&why);
    read_all(t);
}

static void pause_or_resume(struct top *t, const json_t *queue, const char *name) {
    bool paused = json_is_true(json_object_get(queue, "paused"));
    const struct client_request r = {.method = "POST",
                                     .path = {"/v1/queues/", name, paused ? "/resume" : "/pause"},
                                     .body = STR("{\"reason\":\"penstock top\"}"),
                                     .timeout_ms = ASK_MS};
    change(t, &r, paused ? "resumed" : "paused");
}

static void scale(struct top *t, const json_t *queue, const char *name, int by) {
    int64_t workers = json_integer_value(table_member(queue, "workers.desired")) + by;
    char body[BODY_BYTES], done[BODY_BYTES];
    if (workers < 0 || workers > WORKERS_MAX) {
        return;
    }
    (void)snprintf(body, sizeof body, "{\"workers\":%lld,\"reason\":\"penstock top\"}", (long long)workers);
    (void)snprintf(done, sizeof done, "scaled to %lld", (long long)workers);
    const struct client_request r = {.method = "PUT", .path = {"/v1/scale/", name}, .body = str_c(body), .timeout_ms = ASK_MS};
    change(t, &r, done);
}

/* The name is copied: reading anew drops the row. */
static void steer(struct top *t, int key) {
    const json_t *queue = top_selected(&t->view);
    char name[TOP_NAME_BYTES];
    if (queue == NULL || !str_copy_c(json_opt_str(queue, "name", STR("")), name, sizeof name)) {
        return;
    }
    if (key == 'p') {
        pause_or_resume(t, queue, name);
    } else {
        scale(t, queue, name, key == '+' ? 1 : -1);
    }
}

/* False: the end. */
static bool act_on(struct top *t, int key) {
    switch (key) {
    case 'q':
    case SCREEN_END:
        return false;
    case SCREEN_UP:
    case 'k':
        top_move(&t->view, -1);
        break;
    case SCREEN_DOWN:
    case 'j':
        top_move(&t->view, 1);
        break;
    case 's':
        t->view.sort = (enum top_sort)((t->view.sort + 1) % TOP_SORT_MAX);
        break;
    case 'p':
    case '+':
    case '-':
        steer(t, key);
        break;
    default:
        break;
    }
    return true;
}

static void run(struct top *t) {
    struct mono read_at = clock_mono(&clock_system);
    for (bool on = true; on;) {
        draw(t);
        int64_t left_ms = EVERY_MS - mono_ms_since(clock_mono(&clock_system), read_at);
        on = act_on(t, screen_key(left_ms));
        if (on && mono_ms_since(clock_mono(&clock_system), read_at) >= EVERY_MS) {
            read_at = clock_mono(&clock_system);
            read_all(t);
        }
    }
}

int cli_top(const struct options *o) {
    struct top t = {.o = o, .view = {.url = o->url, .message = "", .color = show_has_color(), .sort = TOP_BY_NAME}};
    buf_init(&t.message, CLI_LINE_BYTES);
    read_all(&t);
    if (t.code != EXIT_SUCCESS) { /* at first a failure is one, later it is told on the screen */
        (void)cli_fail(o, t.code, "%s", t.view.message);
    } else if (!screen_enter()) {
        t.code = cli_fail(o, EXIT_USAGE, "wants a terminal; penstock queue list -w shows what changes");
    } else {
        run(&t);
        screen_leave();
        t.code = EXIT_SUCCESS;
    }
    json_decref(t.view.queues);
    json_decref(t.view.workers);
    json_decref(t.view.health);
    buf_free(&t.message);
    return t.code;
}
