/* Whatever Redis, or somebody in its place, answers: the callback runs once, with an error or with what can be true. */
#include "calls_fixture.h"

static struct fake fake;
static struct nodes nodes;
static struct said said;
static struct shard shard, other;
static const struct ctx ctx = {&fake, &shard, &other, &said};

static int setup(void **state) {
    (void)state;
    return err_is_set(shard_init(&shard, STR("q"), 0)) || err_is_set(shard_init(&other, STR("q"), 1));
}

static void run(const struct op *op, const struct reply *reply) {
    fake_init(&fake);
    fake.reply = reply;
    said = (struct said){0};
    op->run(&ctx);
    assert_int_equal(1, said.runs);
    assert_true(said.code == ERR_NONE || said.code == ERR_REDIS_REPLY || (torture_is_failing() && said.code == ERR_NOMEM));
}

static const struct op *op_named(const char *name) {
    for (size_t i = 0; i < OPS; i++) {
        if (strcmp(ops[i].name, name) == 0) {
            return &ops[i];
        }
    }
    fail_msg("no call %s", name);
    return NULL;
}

static bool takes(const struct op *op, const char *reply) {
    static const struct {
        const char *op, *reply;
    } rows[] = {
        {"claim", "_"},  {"claim", "[]"}, {"hand_back", "[]"}, {"suspect", "[]"},    {"pending", "[]"}, {"cancels", "[]"},
        {"retry", "[]"}, {"bury", "[]"},  {"park", "[]"},      {"renew", "[[] []]"}, {"walk", "['x']"}, {"peek", "[]"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].op, op->name) == 0 && strcmp(rows[i].reply, reply) == 0) {
            return true;
        }
    }
    return op->reply[0] == ':' && reply[0] == ':';
}

static void test_replies__given_another_type_then_it_is_an_error(void **state) {
    (void)state;
    static const char *const replies[] = {"_", "'x'", ":1", "[]", "[_]", "[:1]", "['x']", "[[]]", "!ERR", "[[] []]"};
    for (size_t i = 0; i < OPS; i++) {
        for (size_t r = 0; r < sizeof replies / sizeof replies[0]; r++) {
            run(&ops[i], reply_of(&nodes, replies[r]));
            if ((said.code == ERR_NONE) != takes(&ops[i], replies[r])) {
                fail_msg("%s answered with %s: %s", ops[i].name, replies[r], err_name(said.code));
            }
        }
        run(&ops[i], NULL);
        assert_int_equal(ERR_REDIS_REPLY, said.code);
    }
}

static void test_replies__given_a_value_out_of_range_then_it_is_an_error(void **state) {
    (void)state;
    static const struct {
        const char *op, *reply;
    } rows[] = {
        {"add", "'x'"},
        {"add", "'99999999999999999999'"},
        {"enter", "[:1 '" JOB_A "' :0 '" JOB_B "' :2 '" JOB_B "']"},
        {"enter", "[:1 '" JOB_A "' :0 '" JOB_B "' :2 '" JOB_B "' :3 '" JOB_B "']"},
        {"enter", "[:1 '" JOB_A "' :0 '" JOB_B "' :2 '" JOB_B "' :-2 '']"},
        {"enter", "[:1 '" JOB_A "' :0 '" JOB_B "' :2 '" JOB_B "' :-1 '' :1 '" JOB_A "']"},
        {"enter", "[:1 '' :0 '" JOB_B "' :2 '" JOB_B "' :-1 '']"},
        {"enter", "[:1 'a' :0 '" JOB_B "' :2 '" JOB_B "' :-1 '']"},
        {"claim", "[['pen:{other:0}:s' []]]"},
        {"claim", "[['pen:{q:0}:s' _]]"},
        {"claim", "[['pen:{q:0}:s' [['x' ['h' 'H']]]]]"},
        {"claim", "[['pen:{q:0}:s' [_]]]"},
        {"sweep", "[[['1-1' []]] _]"},
        {"sweep", "[[['1-1' []]]]"},
        {"lone", "[[['1-1' []]] :0]"},
        {"lone", "[[['1-1' []]] 'x' '']"},
        {"lone", "[[['1-1' []] ['1-2' []]] :0 '']"},
        {"renew", "[['1-1'] ['x']]"},
        {"renew", "[['1-1']]"},
        {"pending", "[['1-1' 'c' :0 'x']]"},
        {"pending", "[['1-1' 'c' :0]]"},
        {"cancels", "[:0]"},
        {"cancels", "[:0 :1 :0]"},
        {"promote", "[:1 :2]"},
        {"depth", "[:1 :2 :3 :0 :0 :0 :0 :0 :0 '' []]"}, /* more handed back than pending */
        {"depth", "[:-1 :0 :0 :0 :0 :0 :0 :0 :0 '' []]"},
        {"depth", "[:1 :0 :0 :0 :0 :0 :0 :0 :0 '' ['base']]"},
        {"depth", "[:1 :0 :0 :0 :0 :0 :0 :0 :0 '' ['base' 'x']]"},
        {"depth", "[:0 :0 :0 :0 :0 :0 :0 :0 :0 '' ['base' '9223372036854775807' 'jin' '1']]"},
        {"depth", "[:1 :0 :0 :0 :0 :0 :0 :0 :0 '' ['base' '-9223372036854775808']]"},
        {"depth",
         "[:0 :0 :0 :0 :0 :0 :0 :0 :0 '1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678"
         "9012345678' []]"},
        {"find", "[:6 :0 '']"},
        {"find", "[:-1 :0 '']"},
        {"find", "[:0 :0]"},
        {"find", "[:2 :0 'x']"}, /* an outcome of what runs */
        {"find_all", "[:1 :0 'x']"},
        {"find_all", "[:1 :0 'x' :2 :17]"},
        {"find_all", "[:1 :0 'x' :9 :17 '']"},
        {"walk", "['0' '" JOB_A "' 'x']"},
        {"walk", "[:0 '" JOB_A "']"},
        {"mend", "['x' 'y']"},
        {"peek", "['" JOB_A "']"},
        {"peek", "['x' 'y']"},
        {"peek", "['" JOB_A "' _]"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        run(op_named(rows[i].op), reply_of(&nodes, rows[i].reply));
        if (said.code != ERR_REDIS_REPLY) {
            fail_msg("%s took %s", rows[i].op, rows[i].reply);
        }
    }
}

static void test_replies__given_more_than_was_asked_for_then_it_is_an_error(void **state) {
    (void)state;
    static char many[LIMIT_BATCH * 64];
    size_t n = (size_t)snprintf(many, sizeof many, "[");
    for (int i = 0; i <= LIMIT_BATCH; i++) {
        n += (size_t)snprintf(many + n, sizeof many - n, "'1-%d' ", i);
    }
    (void)snprintf(many + n, sizeof many - n, "]");
    run(op_named("retry"), reply_of(&nodes, many));
    assert_int_equal(ERR_REDIS_REPLY, said.code);
    n = (size_t)snprintf(many, sizeof many, "[");
    for (int i = 0; i <= LIMIT_BATCH; i++) {
        n += (size_t)snprintf(many + n, sizeof many - n, "'" JOB_A "' '' ");
    }
    (void)snprintf(many + n, sizeof many - n, "]");
    run(op_named("peek"), reply_of(&nodes, many));
    assert_int_equal(ERR_REDIS_REPLY, said.code);
    n = (size_t)snprintf(many, sizeof many, "[['pen:{q:0}:s' [");
    for (int i = 0; i <= 20; i++) { /* 10 from each of two shards were asked for */
        n += (size_t)snprintf(many + n, sizeof many - n, "['1-%d' []] ", i);
    }
    (void)snprintf(many + n, sizeof many - n, "]]]");
    run(op_named("claim"), reply_of(&nodes, many));
    assert_int_equal(ERR_REDIS_REPLY, said.code);
}

/* Every node of every good reply in turn becomes something else, is cut off, or is not there at all. */
static void test_replies__given_a_good_reply_with_one_broken_node_then_nothing_breaks(void **state) {
    (void)state;
    static struct reply nil = {.type = REPLY_NIL}, integer = {.type = REPLY_INTEGER, .integer = INT64_MIN},
                        empty = {.type = REPLY_STRING, .str = (char *)""}, array = {.type = REPLY_ARRAY},
                        error = {.type = REPLY_ERROR, .str = (char *)"ERR", .len = 3}, strange = {.type = 99};
    struct reply *const others[] = {&nil, &integer, &empty, &array, &error, &strange, NULL};
    for (size_t i = 0; i < OPS; i++) {
        struct reply *good = reply_of(&nodes, ops[i].reply);
        for (size_t slot = 0; slot < nodes.slots; slot++) {
            struct reply *kept = nodes.slot[slot];
            for (size_t o = 0; o < sizeof others / sizeof others[0]; o++) {
                nodes.slot[slot] = others[o];
                run(&ops[i], good);
            }
            nodes.slot[slot] = kept;
        }
        for (size_t node = 0; node < nodes.n; node++) {
            struct reply kept = nodes.node[node];
            for (size_t n = 0; n < kept.elements + kept.len; n++) {
                nodes.node[node].elements = n < kept.elements ? n : kept.elements;
                nodes.node[node].len = n < kept.len ? n : kept.len;
                run(&ops[i], good);
            }
            nodes.node[node] = kept;
        }
    }
}

static uint32_t seed = 1;
static uint32_t chance(uint32_t n) {
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

static struct reply *random_tree(int depth) {
    static const char *const texts[] = {"", "h", "p", "1-1", "pen:{q:0}:s", JOB_A, "0", "base", "-1", "(1-1"};
    static const int types[] = {REPLY_ARRAY,   REPLY_ARRAY, REPLY_STRING, REPLY_STRING,
                                REPLY_INTEGER, REPLY_NIL,   REPLY_STATUS, REPLY_ERROR};
    struct reply *r = node_new(&nodes, types[chance(depth > 0 ? 8 : 2) + (depth > 0 ? 0 : 2)]);
    if (r->type == REPLY_ARRAY) {
        size_t n = chance(7);
        r->element = &nodes.slot[nodes.slots];
        nodes.slots += n;
        r->elements = n;
        for (size_t i = 0; i < n; i++) {
            r->element[i] = chance(20) == 0 ? NULL : random_tree(depth - 1);
        }
    } else if (r->type == REPLY_INTEGER) {
        r->integer = (long long)chance(5) - 1;
    } else if (r->type != REPLY_NIL) {
        r->str = (char *)texts[chance(sizeof texts / sizeof texts[0])];
        r->len = strlen(r->str);
    }
    return r;
}

static void test_replies__given_random_trees_then_nothing_breaks(void **state) {
    (void)state;
    for (int round = 0; round < 20000; round++) {
        nodes.n = nodes.slots = 0;
        struct reply *tree = random_tree(4);
        run(&ops[(size_t)round % OPS], tree);
    }
}

static void all_calls(void *arg) {
    (void)arg;
    for (size_t i = 0; i < OPS; i++) {
        run(&ops[i], reply_of(&nodes, ops[i].reply));
        assert_true(torture_is_failing() || said.code == ERR_NONE);
    }
}

static void test_replies__given_no_memory_then_the_callback_says_so_at_once(void **state) {
    (void)state;
    torture(all_calls, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies__given_another_type_then_it_is_an_error),
        cmocka_unit_test(test_replies__given_a_value_out_of_range_then_it_is_an_error),
        cmocka_unit_test(test_replies__given_more_than_was_asked_for_then_it_is_an_error),
        cmocka_unit_test(test_replies__given_a_good_reply_with_one_broken_node_then_nothing_breaks),
        cmocka_unit_test(test_replies__given_random_trees_then_nothing_breaks),
        cmocka_unit_test(test_replies__given_no_memory_then_the_callback_says_so_at_once),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
