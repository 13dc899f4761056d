/* The Redis in memory on standard input and output, in Redis's protocol: for tests/contract/test_sim_redis.py, which compares it with a real
 * one. CLOCK <ms> sets its time. */
#include "bugs.h"
#include "mini.h"

#include <base/buf.h>
#include <stdio.h>
#include <stdlib.h>

enum { ARGS_MAX = 4096, LINE_MAX = 64 };

static uint64_t first(void *self, uint64_t n) {
    (void)self;
    (void)n;
    return 0;
}

static void publish(void *self, struct str channel, struct str message) {
    (void)self;
    (void)channel;
    (void)message;
}

static void taken(void *self, struct str stream, struct str holder, int64_t idle_ms, struct stream_id id) {
    (void)self;
    (void)stream;
    (void)holder;
    (void)idle_ms;
    (void)id;
}

/* "*3" or "$5": the number. False: the end. */
static bool read_number(int64_t *out) {
    char line[LINE_MAX];
    struct str text;
    if (fgets(line, sizeof line, stdin) == NULL) {
        return false;
    }
    text = str_c(line + 1);
    while (text.n > 0 && (text.p[text.n - 1] == '\r' || text.p[text.n - 1] == '\n')) {
        text.n--;
    }
    return str_to_i64(text, out);
}

static bool read_call(struct arena *a, struct str *argv, size_t *out_n) {
    int64_t n, bytes;
    if (!read_number(&n) || n < 1 || n > ARGS_MAX) {
        return false;
    }
    for (int64_t i = 0; i < n; i++) {
        if (!read_number(&bytes)) {
            return false;
        }
        char *p = arena_alloc(a, (size_t)bytes + 2);
        if (p == NULL || fread(p, 1, (size_t)bytes + 2, stdin) != (size_t)bytes + 2) {
            return false;
        }
        argv[i] = str_of(p, (size_t)bytes);
    }
    *out_n = (size_t)n;
    return true;
}

static void write_reply(struct buf *b, const struct reply *r) {
    switch (r->type) {
    case REPLY_INTEGER:
        buf_addf(b, ":%lld\r\n", r->integer);
        break;
    case REPLY_STATUS:
    case REPLY_ERROR:
        buf_addf(b, "%c%.*s\r\n", r->type == REPLY_ERROR ? '-' : '+', (int)r->len, r->str);
        break;
    case REPLY_STRING:
        buf_addf(b, "$%zu\r\n", r->len);
        buf_add(b, str_of(r->str, r->len));
        buf_add_c(b, "\r\n");
        break;
    case REPLY_ARRAY:
        buf_addf(b, "*%zu\r\n", r->elements);
        for (size_t i = 0; i < r->elements; i++) {
            write_reply(b, r->element[i]);
        }
        break;
    default:
        buf_add_c(b, "$-1\r\n");
    }
}

int serve(void) {
    static struct str argv[ARGS_MAX];
    const struct mini_options o = {.random = first, .publish = publish, .taken = taken};
    struct mini *m = mini_new(&o);
    const struct reply nothing = {.type = REPLY_NIL};
    struct arena a;
    struct buf out;
    size_t n;
    int64_t now_ms = 1;
    arena_init(&a, 64 << 10, 64 << 20);
    buf_init(&out, 64 << 20);
    while (read_call(&a, argv, &n)) {
        buf_clear(&out);
        if (str_is(argv[0], "CLOCK") && n == 2 && str_to_i64(argv[1], &now_ms)) {
            buf_add_c(&out, "+OK\r\n");
        } else {
            const struct reply *r = mini_call(m, &a, now_ms, n, argv);
            write_reply(&out, r != NULL ? r : &nothing);
        }
        (void)fwrite(out.p, 1, out.n, stdout);
        (void)fflush(stdout);
        arena_reset(&a);
    }
    buf_free(&out);
    arena_free(&a);
    mini_free(m);
    return 0;
}
