/* What Redis, or somebody in its place, answers: a letter for the call, then the reply in the language of fake_broker.h, read leniently:
 * 'text' +status :1 _ (nil) !error [ … ] ~ (no node) ? (a type that there is not). The callbacks of calls_fixture.h state what an
 * accepted answer may be. */
#include "calls_fixture.h"

#include "fuzz.h"

enum { DEPTH_MAX = 8, WIDTH_MAX = 200 };

static struct nodes nodes;
static struct fake fake;
static struct said said;
static struct shard shard, other;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    (void)setenv("CMOCKA_TEST_ABORT", "1", 1); /* the fixture's assertions end the process */
    PROMISE(!err_is_set(shard_init(&shard, STR("q"), 0)) && !err_is_set(shard_init(&other, STR("q"), 1)));
    return 0;
}

static const char *end_of(const char *p, const char *end, char mark) {
    const char *at = memchr(p, mark, (size_t)(end - p));
    return at != NULL ? at : end;
}

static void take_text(const char **p, const char *end, char mark, struct reply *r) {
    const char *stop = end_of(*p, end, mark);
    r->str = (char *)(uintptr_t)*p;
    r->len = (size_t)(stop - *p);
    *p = stop < end ? stop + 1 : end;
}

static void take_integer(const char **p, const char *end, struct reply *r) {
    struct str digits = {*p, 0};
    while (*p < end && (**p == '-' || (**p >= '0' && **p <= '9'))) {
        (*p)++;
        digits.n++;
    }
    int64_t v = 0;
    (void)str_to_i64(digits, &v);
    r->integer = v;
}

static struct reply *take_node(const char **p, const char *end, int depth);

static void take_array(const char **p, const char *end, int depth, struct reply *r) {
    struct reply *found[WIDTH_MAX];
    while (*p < end && **p != ']' && r->elements < WIDTH_MAX && nodes.n < FAKE_NODES - 1) {
        if (**p == ' ') {
            (*p)++;
            continue;
        }
        found[r->elements++] = take_node(p, end, depth + 1);
    }
    *p += *p < end && **p == ']';
    r->element = &nodes.slot[nodes.slots];
    r->elements = nodes.slots + r->elements <= FAKE_NODES ? r->elements : 0;
    nodes.slots += r->elements;
    if (r->elements > 0) {
        memcpy(r->element, found, r->elements * sizeof found[0]);
    }
}

/* Takes a byte or more; NULL for what is no node. */
static struct reply *take_node(const char **p, const char *end, int depth) {
    static const struct {
        char mark;
        int type;
    } types[] = {{'\'', REPLY_STRING}, {'+', REPLY_STATUS}, {'!', REPLY_ERROR}, {':', REPLY_INTEGER},
                 {'_', REPLY_NIL},     {'[', REPLY_ARRAY},  {'?', 99}};
    char mark = *(*p)++;
    struct reply *r = NULL;
    for (size_t i = 0; i < sizeof types / sizeof types[0] && nodes.n < FAKE_NODES; i++) {
        if (types[i].mark == mark) {
            r = node_new(&nodes, types[i].type);
        }
    }
    if (r != NULL && r->type == REPLY_INTEGER) {
        take_integer(p, end, r);
    } else if (r != NULL && r->type == REPLY_ARRAY && depth < DEPTH_MAX) {
        take_array(p, end, depth, r);
    } else if (r != NULL && (r->type == REPLY_STRING || r->type == REPLY_STATUS || r->type == REPLY_ERROR)) {
        take_text(p, end, r->type == REPLY_STRING ? '\'' : ' ', r);
    }
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct ctx ctx = {&fake, &shard, &other, &said};
    const char *p = (const char *)data, *end = p + size;
    if (size < 2) {
        return 0;
    }
    const struct op *op = &ops[(unsigned char)(*p++ - 'A') % OPS];
    nodes.n = nodes.slots = 0;
    fake_init(&fake);
    fake.reply = take_node(&p, end, 0);
    said = (struct said){0};
    op->run(&ctx);
    PROMISE(said.runs == 1);
    PROMISE(said.code == ERR_NONE || said.code == ERR_REDIS_REPLY);
    return 0;
}
