#include "calls_fixture.h"

static struct fake fake;
static struct nodes nodes;
static struct said said;
static struct shard shard, other;
static const struct ctx ctx = {&fake, &shard, &other, &said};

static void answer(const char *reply) {
    fake_init(&fake);
    fake.reply = reply_of(&nodes, reply);
    said = (struct said){0};
}

static int setup(void **state) {
    (void)state;
    return err_is_set(shard_init(&shard, STR("q"), 0)) || err_is_set(shard_init(&other, STR("q"), 1));
}

static void test_calls__given_a_call_then_its_arguments_and_its_answer_are_right(void **state) {
    (void)state;
    for (size_t i = 0; i < OPS; i++) {
        answer(ops[i].reply);
        ops[i].run(&ctx);
        assert_string_equal(ops[i].sent, fake.sent);
        assert_int_equal(1, said.runs);
        assert_int_equal(ERR_NONE, said.code);
        assert_string_equal(ops[i].said, said.text);
    }
}

static void test_calls__given_a_broken_connection_then_the_callback_hears_once(void **state) {
    (void)state;
    for (size_t i = 0; i < OPS; i++) {
        answer("_");
        fake.err = (struct err){ERR_REDIS_LOST, "gone"};
        ops[i].run(&ctx);
        assert_int_equal(1, said.runs);
        assert_int_equal(ERR_REDIS_LOST, said.code);
    }
}

static void test_calls__given_a_blocking_claim_then_its_deadline_is_three_times_as_long(void **state) {
    (void)state;
    const struct shard *const shards[] = {&shard};
    answer("_");
    queue_claim(&fake.broker, shards, 1, STR("c"), 1, 2000, on_claim_said, &said);
    assert_int_equal(7000, fake.deadline_ms);
    assert_int_equal(ERR_NONE, said.code);
    queue_claim(&fake.broker, shards, 1, STR("c"), 1, 0, on_claim_said, &said);
    assert_int_equal(0, fake.deadline_ms);
    assert_string_equal("XREADGROUP GROUP g c COUNT 1 STREAMS pen:{q:0}:s >", fake.sent);
    queue_claim(&fake.broker, shards, 1, STR("c"), 1, 1, on_claim_said, &said);
    assert_string_equal("XREADGROUP GROUP g c COUNT 1 BLOCK 1 STREAMS pen:{q:0}:s >", fake.sent);
}

/* Entries that do not come from us reach the worker without a header, so that it buries them; the others beside them arrive. */
static void test_calls__given_foreign_entries_then_they_come_without_a_header(void **state) {
    (void)state;
    static const struct {
        const char *entry, *said;
    } rows[] = {
        {"['1-1' _]", "0/1-1 h= p=;"},
        {"['1-1' []]", "0/1-1 h= p=;"},
        {"['1-1']", "0/1-1 h= p=;"},
        {"['1-1' ['x' 'y']]", "0/1-1 h= p=;"},
        {"['1-1' ['h']]", "0/1-1 h= p=;"},
        {"['1-1' ['h' _ 'p' :1]]", "0/1-1 h= p=;"},
        {"['1-1' ['p' 'P' 'h' 'H']]", "0/1-1 h=H p=P;"},
        {"['1-1' ['h' 'H' 'p' 'P' 'x']]", "0/1-1 h=H p=P;"},
        {"['1-1' :7]", "0/1-1 h= p=;"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[256];
        (void)snprintf(text, sizeof text, "[['pen:{q:0}:s' [%s ['2-2' ['h' 'H' 'p' 'P']]]]]", rows[i].entry);
        answer(text);
        run_claim(&ctx);
        assert_int_equal(ERR_NONE, said.code);
        assert_memory_equal(rows[i].said, said.text, strlen(rows[i].said));
        assert_string_equal("0/2-2 h=H p=P;", said.text + strlen(rows[i].said));
        (void)snprintf(text, sizeof text, "[[%s] :0]", rows[i].entry);
        answer(text);
        run_sweep(&ctx);
        assert_memory_equal(rows[i].said, said.text, strlen(rows[i].said));
    }
}

static void test_calls__given_no_epoch_then_the_nonce_is_zero(void **state) {
    (void)state;
    answer("''");
    run_add(&ctx);
    assert_string_equal("0", said.text);
    static const struct {
        struct str epoch;
        int64_t nonce;
    } rows[] = {
        {STR("ready 0123abc 8471"), 8471},
        {STR("rebuilding 9"), 9},
        {STR("ready abc 1"), 1},
        {STR(""), 0},
        {{NULL, 0}, 0},
        {STR("ready"), 0},
        {STR("8471"), 0},
        {STR("ready abc "), 0},
        {STR("ready abc x9"), 0},
        {STR("ready abc -9"), 0},
        {STR("ready abc 99999999999999999999"), 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(rows[i].nonce, queue_epoch_nonce(rows[i].epoch));
    }
}

static void test_calls__given_no_cancel_requests_then_nothing_is_wanted(void **state) {
    (void)state;
    answer("[]");
    run_cancels(&ctx);
    assert_string_equal("00", said.text);
    answer("[:1 :0]");
    run_cancels(&ctx);
    assert_string_equal("10", said.text);
}

static void test_calls__given_the_last_of_the_homes_then_it_is_one(void **state) {
    (void)state;
    answer("[:5 :0 '']");
    run_find(&ctx);
    assert_int_equal(ERR_NONE, said.code);
    answer("[:6 :0 '']");
    run_find(&ctx);
    assert_int_equal(ERR_REDIS_REPLY, said.code);
}

static void test_calls__given_the_longest_id_or_a_full_page_then_pending_takes_it(void **state) {
    (void)state;
    static char page[LIMIT_BATCH * 24 + 8] = "[";
    size_t at = 1;
    for (size_t i = 0; i < LIMIT_BATCH; i++) {
        at += (size_t)snprintf(page + at, sizeof page - at, "['%zu-0' 'c' :7 :%zu] ", i, i + 1);
    }
    page[at] = ']';
    answer(page);
    queue_pending(&fake.broker, &shard, STR("c"), (struct stream_id){UINT64_MAX, UINT64_MAX}, on_pending_said, &said);
    assert_string_equal("XPENDING pen:{q:0}:s g (18446744073709551615-18446744073709551615 + 64 c", fake.sent);
    assert_int_equal(ERR_NONE, said.code);
    assert_non_null(strstr(said.text, " 63-0 x64 "));
}

static void test_calls__given_the_value_of_a_dead_job_then_its_parts_are_found(void **state) {
    (void)state;
    static const char value[] = "\x02\0{}\x03\0HDRpayload";
    struct reply job = {.type = REPLY_STRING, .str = (char *)JOB_A, .len = 16};
    struct reply text = {.type = REPLY_STRING, .str = (char *)value, .len = sizeof value - 1};
    struct reply *pair[] = {&job, &text};
    struct reply list = {.type = REPLY_ARRAY, .elements = 2, .element = pair};
    answer("[]");
    fake.reply = &list;
    run_peek(&ctx);
    assert_string_equal(JOB_A " r={} h=HDR p=payload;", said.text);
    text.len = 2 + 2 + 2 + 3; /* and nothing behind them */
    said = (struct said){0};
    run_peek(&ctx);
    assert_string_equal(JOB_A " r={} h=HDR p=;", said.text);
    for (size_t n = 0; n < 2 + 2 + 2 + 3; n++) { /* cut short: all of it is payload */
        text.len = n;
        said = (struct said){0};
        run_peek(&ctx);
        assert_int_equal(ERR_NONE, said.code);
        assert_memory_equal(JOB_A " r= h= p=", said.text, 16 + 9);
    }
}

static void test_calls__given_a_dead_job_with_a_long_header_then_both_bytes_of_its_length_count(void **state) {
    (void)state;
    static char value[2 + 2 + 0x0304 + 1] = "\0\0\x04\x03";
    memset(value + 4, 'H', 0x0304);
    value[sizeof value - 1] = 'p';
    struct reply job = {.type = REPLY_STRING, .str = (char *)JOB_A, .len = 16};
    struct reply text = {.type = REPLY_STRING, .str = value, .len = sizeof value};
    struct reply *pair[] = {&job, &text};
    struct reply list = {.type = REPLY_ARRAY, .elements = 2, .element = pair};
    answer("[]");
    fake.reply = &list;
    run_peek(&ctx);
    assert_int_equal(16 + strlen(" r= h= p=p;") + 0x0304, strlen(said.text));
}

static void test_calls__given_more_pending_than_entries_then_waiting_is_not_negative(void **state) {
    (void)state;
    answer("[:1 :3 :1 :0 :0 :0 :0 :0 :9 '' []]");
    run_depth(&ctx);
    assert_string_equal("w1 r2 d0 p0 dead0 back1 age0 due0 '' a0 d0 c0 e0 d0 gap-1", said.text);
}

/* Redis's clock was ahead, and was put back: its ids are ahead still. */
static void test_calls__given_an_entry_of_the_future_then_it_has_no_age(void **state) {
    (void)state;
    answer("[:1 :0 :0 :0 :0 :0 :900 :0 :500 '' ['base' '1']]");
    run_depth(&ctx);
    assert_string_equal("w1 r0 d0 p0 dead0 back0 age0 due0 '' a0 d0 c0 e0 d0 gap0", said.text);
}

static void test_calls__given_too_few_or_too_many_items_then_nothing_is_sent(void **state) {
    (void)state;
    static const struct queue_item items[LIMIT_BATCH + 1];
    static const struct stream_id ids[LIMIT_BATCH + 1];
    static const struct queue_held held[LIMIT_BATCH + 1];
    static const struct queue_settled settled[LIMIT_BATCH + 1];
    static const struct queue_retried retried[LIMIT_BATCH + 1];
    static const struct queue_dead dead[LIMIT_BATCH + 1];
    static const struct queue_dead_id dropped[LIMIT_BATCH + 1];
    static const struct uuid jobs[LIMIT_BATCH + 1];
    const struct shard *const shards[LIMIT_SHARDS + 1] = {&shard};
    const struct broker *b = &fake.broker;
    const size_t sizes[] = {0, LIMIT_BATCH + 1};
    for (size_t i = 0; i < 2; i++) {
        size_t n = sizes[i];
        answer("_");
        queue_add(b, &shard, items, n, on_add_said, &said);
        queue_enter(b, &shard, 1, items, n, on_enter_said, &said);
        queue_claim(b, shards, 1, STR("c"), n, 1, on_claim_said, &said);
        queue_sweep(b, &shard, STR("c"), n, 1, on_sweep_said, &said);
        queue_renew(b, &shard, STR("c"), held, n, on_renew_said, &said);
        queue_hand_back(b, &shard, STR("c"), false, ids, n, on_lost_said, &said);
        queue_suspect(b, &shard, STR("c"), STR(""), ids, n, on_lost_said, &said);
        queue_clear(b, &shard, jobs, n, on_count_said, &said);
        queue_cancels(b, &shard, jobs, n, on_cancels_said, &said);
        queue_settle(b, &shard, settled, n, on_done_said, &said);
        queue_retry(b, &shard, STR("c"), retried, n, on_lost_said, &said);
        queue_bury(b, &shard, STR("c"), dead, n, on_lost_said, &said);
        queue_park(b, &shard, STR("c"), ids, n, on_lost_said, &said);
        queue_dead_drop(b, &shard, dropped, n, on_count_said, &said);
        assert_int_equal(14, said.runs);
        assert_int_equal(ERR_INVALID, said.code);
        assert_int_equal(0, fake.calls);
    }
    said = (struct said){0};
    queue_claim(b, shards, 0, STR("c"), 1, 1, on_claim_said, &said);
    queue_claim(b, shards, LIMIT_SHARDS + 1, STR("c"), 1, 1, on_claim_said, &said);
    queue_walk(b, &shard, KEY_DELAYED_HOME, STR(""), on_walk_said, &said);
    assert_int_equal(3, said.runs);
    assert_int_equal(ERR_INVALID, said.code);
    assert_int_equal(0, fake.calls);
}

static void test_calls__given_full_batches_of_the_longest_arguments_then_they_are_sent(void **state) {
    (void)state;
    struct queue_item items[LIMIT_BATCH];
    struct queue_held held[LIMIT_BATCH];
    struct queue_settled settled[LIMIT_BATCH];
    struct queue_retried retried[LIMIT_BATCH];
    const struct stream_id last = {UINT64_MAX, UINT64_MAX};
    for (size_t i = 0; i < LIMIT_BATCH; i++) {
        items[i] = (struct queue_item){.header = STR("H"), .payload = STR("P"), .due = {INT64_MAX}};
        held[i] = (struct queue_held){.id = last, .started = {INT64_MAX}};
        settled[i] = (struct queue_settled){.id = last, .how = SETTLE_DONE, .in_running = true, .outcome = STR("o")};
        retried[i] = (struct queue_retried){.id = last, .delay_ms = INT64_MAX, .header = STR("H")};
    }
    answer("_");
    queue_enter(&fake.broker, &shard, INT64_MAX, items, LIMIT_BATCH, on_enter_said, &said);
    assert_int_equal(3 + 6 + 1 + 5 * LIMIT_BATCH, fake.argc);
    queue_renew(&fake.broker, &shard, STR("c"), held, LIMIT_BATCH, on_renew_said, &said);
    assert_int_equal(3 + 5 + 1 + 3 * LIMIT_BATCH, fake.argc);
    queue_settle(&fake.broker, &shard, settled, LIMIT_BATCH, on_done_said, &said);
    assert_int_equal(3 + 5 + 5 + 4 * LIMIT_BATCH, fake.argc);
    queue_retry(&fake.broker, &shard, STR("c"), retried, LIMIT_BATCH, on_lost_said, &said);
    assert_int_equal(3 + 5 + 1 + 3 * LIMIT_BATCH, fake.argc);
    assert_int_equal(4, fake.calls);
}

static void test_calls__given_the_library_then_it_is_loaded_whole(void **state) {
    (void)state;
    answer("'penstock" V "'");
    queue_functions_load(&fake.broker, on_count_said, &said);
    static const char start[] = "FUNCTION LOAD REPLACE #!lua\\20name=penstock" V "\\0alocal\\20VERSION";
    assert_memory_equal(start, fake.sent, sizeof start - 1);
    assert_non_null(strstr(fake.sent, "{'depth',\\20depth,"));
    assert_string_equal("1", said.text);
    answer(":1");
    queue_functions_load(&fake.broker, on_count_said, &said);
    assert_int_equal(ERR_REDIS_REPLY, said.code);
}

/* Answers in their order. */
static struct {
    const struct reply *reply[8];
    size_t n;
    char asked[512];
} talk;

static void talk_call(void *self, int64_t deadline_ms, size_t argc, const struct str *argv, broker_cb *cb, void *arg) {
    (void)self;
    (void)deadline_ms;
    for (size_t i = 1; i < argc; i++) {
        (void)snprintf(talk.asked + strlen(talk.asked), sizeof talk.asked - strlen(talk.asked), "%.*s ", STR_ARG(argv[i]));
    }
    const struct reply *r = talk.reply[talk.n++];
    cb(arg, r == NULL ? (struct err){ERR_REDIS_LOST, "gone"} : OK, r);
}

static void drop_old(const char *const *answers, const char *expected, enum err_code code, const char *text) {
    static struct nodes trees[8];
    const struct broker b = {talk_call, NULL};
    memset(&talk, 0, sizeof talk);
    memset(&said, 0, sizeof said);
    for (size_t i = 0; answers[i] != NULL; i++) {
        talk.reply[i] = reply_of(&trees[i], answers[i]);
    }
    queue_functions_drop_old(&b, on_count_said, &said);
    assert_string_equal(expected, talk.asked);
    assert_int_equal(code, said.code);
    if (code == ERR_NONE) {
        assert_string_equal(text, said.text);
    }
}

#define LIST "LIST LIBRARYNAME penstock_* "

static void test_calls__given_libraries_then_those_before_the_last_release_go(void **state) {
    (void)state;
    static const char kept[] = "[['library_name' 'penstock" V "' 'engine' 'LUA'] ['library_name' 'penstock_" FUNCTIONS_TEXT(
        FUNCTIONS_BEFORE) "'] ['library_name' 'penstock_'] ['library_name' 'penstock_x'] ['library_name' 'penstock_999'] ['engine' 'LUA'] :1]";
    static const char old[] = "[['library_name' 'penstock" V "'] ['engine' 'LUA' 'library_name' 'penstock_0']]";
    drop_old((const char *[]){kept, NULL}, LIST, ERR_NONE, "0");
    drop_old((const char *[]){old, "'OK'", kept, NULL}, LIST "DELETE penstock_0 " LIST, ERR_NONE, "1");
    drop_old((const char *[]){old, NULL}, LIST "DELETE penstock_0 ", ERR_REDIS_LOST, NULL);
    drop_old((const char *[]){NULL}, LIST, ERR_REDIS_LOST, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls__given_a_call_then_its_arguments_and_its_answer_are_right),
        cmocka_unit_test(test_calls__given_a_broken_connection_then_the_callback_hears_once),
        cmocka_unit_test(test_calls__given_a_blocking_claim_then_its_deadline_is_three_times_as_long),
        cmocka_unit_test(test_calls__given_foreign_entries_then_they_come_without_a_header),
        cmocka_unit_test(test_calls__given_no_epoch_then_the_nonce_is_zero),
        cmocka_unit_test(test_calls__given_no_cancel_requests_then_nothing_is_wanted),
        cmocka_unit_test(test_calls__given_the_value_of_a_dead_job_then_its_parts_are_found),
        cmocka_unit_test(test_calls__given_a_dead_job_with_a_long_header_then_both_bytes_of_its_length_count),
        cmocka_unit_test(test_calls__given_the_last_of_the_homes_then_it_is_one),
        cmocka_unit_test(test_calls__given_the_longest_id_or_a_full_page_then_pending_takes_it),
        cmocka_unit_test(test_calls__given_more_pending_than_entries_then_waiting_is_not_negative),
        cmocka_unit_test(test_calls__given_an_entry_of_the_future_then_it_has_no_age),
        cmocka_unit_test(test_calls__given_too_few_or_too_many_items_then_nothing_is_sent),
        cmocka_unit_test(test_calls__given_full_batches_of_the_longest_arguments_then_they_are_sent),
        cmocka_unit_test(test_calls__given_the_library_then_it_is_loaded_whole),
        cmocka_unit_test(test_calls__given_libraries_then_those_before_the_last_release_go),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
