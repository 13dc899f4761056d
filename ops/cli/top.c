/* penstock top: the queues on a full screen, as GET /v1/live sends them every second, and steered by keys. It is one request, made again when
 * it ends; what is on the screen stays meanwhile, and a line says so. */
#include "cli.h"
#include "client.h"
#include "screen.h"
#include "show.h"
#include "sse.h"
#include "table.h"
#include "top_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { AGAIN_MS = 1000, SILENCE_MS = 10000, ASK_MS = 2000, TEXT_MAX_BYTES = 1 << 20, BODY_BYTES = 96, WORKERS_MAX = 1024 };

struct top {
    const struct options *o;
    struct top_view view;
    struct buf message; /* with a NUL */
    struct sse events;
    struct client_stream *stream; /* NULL: between two */
    struct mono opened_at, heard_at;
    int code; /* EXIT_SUCCESS: the stream goes on */
};

static void say(struct top *t, const struct buf *text) {
    buf_clear(&t->message);
    buf_add(&t->message, buf_str(text));
    buf_add_char(&t->message, '\0');
    t->view.message = !err_is_set(buf_status(&t->message)) ? t->message.p : "";
}

/* ---- the stream ---- */

static bool on_snapshot(void *arg, struct str name, struct str data) {
    struct top *t = arg;
    json_t *snapshot;
    if (!str_is(name, "snapshot") || err_is_set(json_read(data, &snapshot))) {
        return true;
    }
    json_decref(t->view.snapshot);
    t->view.snapshot = snapshot;
    t->heard_at = clock_mono(&clock_system);
    if (t->code != EXIT_SUCCESS) {
        t->code = EXIT_SUCCESS;
        t->view.message = ""; /* what was wrong is over */
    }
    return true;
}

static bool on_part(void *arg, struct str part) {
    struct top *t = arg;
    return sse_feed(&t->events, part);
}

static void ended(struct top *t, int code, struct buf *why) {
    client_stream_close(t->stream);
    t->stream = NULL;
    t->code = code != EXIT_SUCCESS ? code : EXIT_AGAIN;
    if (why->n == 0) {
        buf_addf(why, "the stream from %s has ended; it is asked for again", t->o->url);
    }
    say(t, why);
}

static void open_stream(struct top *t, struct buf *why) {
    const struct client_request r = {.method = "GET",
                                     .path = {"/v1/live"},
                                     .timeout_ms = t->o->timeout_ms < ASK_MS ? t->o->timeout_ms : ASK_MS,
                                     .on_part = on_part,
                                     .arg = t};
    int code = EXIT_SUCCESS;
    sse_begin(&t->events);
    t->opened_at = t->heard_at = clock_mono(&clock_system);
    t->stream = client_stream_open(t->o, &r, &code, why);
    if (t->stream == NULL) {
        ended(t, code, why);
    }
}

static int64_t ms_since(struct mono then) { return mono_ms_since(clock_mono(&clock_system), then); }

/* Until something comes, from the API or the keys, or it is time for something. */
static void wait_for_news(struct top *t, int keys) {
    struct buf why;
    int code = EXIT_SUCCESS;
    buf_init(&why, CLI_LINE_BYTES);
    if (t->stream == NULL && ms_since(t->opened_at) >= AGAIN_MS) {
        open_stream(t, &why);
    }
    if (t->stream != NULL) {
        if (!client_stream_wait(t->stream, keys, AGAIN_MS, &code, &why)) {
            ended(t, code, &why);
        } else if (ms_since(t->heard_at) >= SILENCE_MS) {
            buf_addf(&why, "nothing came from %s for %d s; it is asked again", t->o->url, SILENCE_MS / 1000);
            ended(t, EXIT_AGAIN, &why);
        }
    }
    buf_free(&why);
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
    buf_addf(&why, "queue/%s ", r->path[1]);
    if (client_ask(t->o, r, &a, &why) == EXIT_SUCCESS) {
        buf_add_c(&why, done);
    }
    say(t, &why);
    client_answer_free(&a);
    buf_free(&why);
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

static void steer(struct top *t, int key) {
    const json_t *queue = top_selected(&t->view);
    const char *name = json_string_value(json_object_get(queue, "name"));
    if (name == NULL) {
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
    for (bool on = true; on;) {
        draw(t);
        wait_for_news(t, STDIN_FILENO);
        on = act_on(t, screen_key(t->stream != NULL ? 0 : AGAIN_MS / 4));
    }
}

/* At first a failure is one, later it is told on the screen. */
static int begin(struct top *t) {
    struct buf why;
    buf_init(&why, CLI_LINE_BYTES);
    open_stream(t, &why);
    buf_free(&why);
    while (t->stream != NULL && t->view.snapshot == NULL) {
        wait_for_news(t, -1);
    }
    return t->view.snapshot != NULL ? EXIT_SUCCESS : cli_fail(t->o, t->code, "%s", t->view.message);
}

int cli_top(const struct options *o) {
    struct top t = {.o = o, .view = {.url = o->url, .message = "", .color = show_has_color(), .sort = TOP_BY_NAME}};
    buf_init(&t.message, CLI_LINE_BYTES);
    sse_init(&t.events, on_snapshot, &t);
    int code = begin(&t);
    if (code == EXIT_SUCCESS && !screen_enter()) {
        code = cli_fail(o, EXIT_USAGE, "wants a terminal; penstock queue list -w shows what changes");
    } else if (code == EXIT_SUCCESS) {
        run(&t);
        screen_leave();
    }
    client_stream_close(t.stream);
    json_decref(t.view.snapshot);
    sse_free(&t.events);
    buf_free(&t.message);
    return code;
}
