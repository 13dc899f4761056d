#include <queues/envelope.h>

#include <stdlib.h>

#include "unit.h"

/* The example of PROTOCOL.md section 3. Headers outlive a release: other bytes are a new version. */
static const uint8_t golden[] = {
    0x01, 0x00, 0x02, 0x00, 0x01, 0x92, 0xe4, 0x3c, 0x80, 0x7b, 0x71, 0x23, 0xa0, 0x18, 0x80, 0x11, 0x22, 0x33, 0x44,
    0x55, 0x01, 0x92, 0xe4, 0x3c, 0x7c, 0x00, 0x70, 0x01, 0xa0, 0x18, 0x80, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0x01, 0x00,
    0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x7b, 0x80, 0x3c, 0xe4, 0x92, 0x01, 0x00, 0x00, 0xdb, 0x6a, 0x3d, 0xe4, 0x92,
    0x01, 0x00, 0x00, 0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36,
    0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7, 0x01, 0x04, 0x61, 0x63, 0x6d, 0x65, 0x09, 0x64, 0x65, 0x6d, 0x6f,
    0x2e, 0x65, 0x63, 0x68, 0x6f, 0x0b, 0x00, 0x5b, 0x22, 0x74, 0x69, 0x6d, 0x65, 0x6f, 0x75, 0x74, 0x22, 0x5d,
};
enum { GOLDEN_ERRORS_BYTES = 2 + 11, GOLDEN_PLAIN_BYTES = sizeof golden - GOLDEN_ERRORS_BYTES };

static struct envelope example(void) {
    return (struct envelope){
        .schema_version = 2,
        .id = {{0x01, 0x92, 0xe4, 0x3c, 0x80, 0x7b, 0x71, 0x23, 0xa0, 0x18, 0x80, 0x11, 0x22, 0x33, 0x44, 0x55}},
        .root = {{0x01, 0x92, 0xe4, 0x3c, 0x7c, 0x00, 0x70, 0x01, 0xa0, 0x18, 0x80, 0xaa, 0xbb, 0xcc, 0xdd, 0xee}},
        .generation = 1,
        .attempt = 3,
        .ready = {1730406023291},
        .deadline = {1730406083291},
        .trace = {.trace_id = {0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36},
                  .span_id = {0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7},
                  .flags = 1},
        .tenant = STR("acme"),
        .type = STR("demo.echo"),
        .errors = STR("[\"timeout\"]"),
    };
}

static void test_envelope__given_the_example_then_the_bytes_are_the_golden_ones(void **state) {
    (void)state;
    uint8_t out[ENVELOPE_MAX_BYTES];
    struct envelope e = example();
    assert_int_equal(sizeof golden, envelope_encode(&e, out));
    assert_memory_equal(golden, out, sizeof golden);
    e.errors = STR_NONE;
    assert_int_equal(GOLDEN_PLAIN_BYTES, envelope_encode(&e, out));
    assert_memory_equal(golden, out, GOLDEN_PLAIN_BYTES);
}

static void test_envelope__unchecked_then_a_flag_says_so(void **state) {
    (void)state;
    uint8_t out[ENVELOPE_MAX_BYTES];
    struct envelope e = example(), back;
    e.unchecked = true;
    size_t n = envelope_encode(&e, out);
    assert_int_equal(1, out[1]);
    assert_ok(envelope_decode(str_of(out, n), &back));
    assert_true(back.unchecked);
}

static void assert_example(const struct envelope *e) {
    struct envelope x = example();
    assert_int_equal(x.schema_version, e->schema_version);
    assert_true(uuid_eq(x.id, e->id));
    assert_true(uuid_eq(x.root, e->root));
    assert_int_equal(x.generation, e->generation);
    assert_int_equal(x.attempt, e->attempt);
    assert_int_equal(x.ready.ms, e->ready.ms);
    assert_int_equal(x.deadline.ms, e->deadline.ms);
    assert_memory_equal(x.trace.trace_id, e->trace.trace_id, 16);
    assert_memory_equal(x.trace.span_id, e->trace.span_id, 8);
    assert_int_equal(x.trace.flags, e->trace.flags);
    assert_str("acme", e->tenant);
    assert_str("demo.echo", e->type);
}

static void test_envelope__given_the_golden_bytes_then_every_field_comes_back(void **state) {
    (void)state;
    struct envelope e;
    assert_ok(envelope_decode(str_of(golden, sizeof golden), &e));
    assert_example(&e);
    assert_str("[\"timeout\"]", e.errors);
    assert_ok(envelope_decode(str_of(golden, GOLDEN_PLAIN_BYTES), &e));
    assert_example(&e);
    assert_int_equal(0, e.errors.n);
    struct job_place place = id_job_place(e.id);
    assert_true(place.stream_class && place.queue_number == 3 && place.shard == 1);
}

/* On the heap and to the byte, so that the sanitizer sees a read past the end. */
static enum err_code decode_copy(const uint8_t *bytes, size_t n) {
    uint8_t *copy = malloc(n > 0 ? n : 1);
    struct envelope e;
    memcpy(copy, bytes, n);
    enum err_code code = envelope_decode(str_of(copy, n), &e).code;
    free(copy);
    return code;
}

static void test_envelope__given_any_other_length_then_it_is_undecodable(void **state) {
    (void)state;
    uint8_t longer[sizeof golden + 1] = {0};
    memcpy(longer, golden, sizeof golden);
    for (size_t n = 0; n <= sizeof longer; n++) {
        bool whole = n == sizeof golden || n == GOLDEN_PLAIN_BYTES;
        assert_int_equal(whole ? ERR_NONE : ERR_UNDECODABLE, decode_copy(longer, n));
    }
    struct envelope e;
    assert_err(ERR_UNDECODABLE, envelope_decode(STR_NONE, &e));
}

static void test_envelope__given_one_wrong_byte_then_it_is_undecodable_where_that_shows(void **state) {
    (void)state;
    static const struct {
        size_t at;
        uint8_t byte;
    } rows[] = {
        {0, 0},     /* version */
        {0, 2},     /* version */
        {1, 2},     /* a flag that version 1 does not have */
        {39, 0x80}, /* generation above 2^31 - 1 */
        {43, 0x80}, /* attempts likewise */
        {85, 0},    /* no tenant */
        {85, 5},    /* longer tenant: the lengths no longer fit */
        {85, 255},  /* longer than the header */
        {86, ' '},  /* not a name */
        {86, 0},    /* not a name */
        {90, 65},   /* type too long */
        {91, '}'},  /* not a name: would end a hash tag */
        {100, 0},   /* errors of no bytes are not written */
        {101, 1},   /* more errors than bytes */
    };
    uint8_t bytes[sizeof golden];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        memcpy(bytes, golden, sizeof golden);
        bytes[rows[i].at] = rows[i].byte;
        assert_int_equal(ERR_UNDECODABLE, decode_copy(bytes, sizeof golden));
    }
}

static void test_envelope__given_random_bytes_then_decoding_never_reads_past_them(void **state) {
    (void)state;
    uint32_t seed = 1;
    uint8_t bytes[256];
    for (int round = 0; round < 20000; round++) {
        for (size_t i = 0; i < sizeof bytes; i++) {
            seed = seed * 1664525 + 1013904223;
            bytes[i] = (uint8_t)(seed >> 24);
        }
        bytes[0] = ENVELOPE_VERSION;
        bytes[85] &= 15;
        (void)decode_copy(bytes, bytes[1]);
    }
}

static void test_envelope__given_the_longest_names_and_errors_then_they_fit(void **state) {
    (void)state;
    static char name[64], errors[ENVELOPE_ERRORS_MAX + 1];
    memset(name, 'n', sizeof name);
    memset(errors, 'e', sizeof errors);
    uint8_t out[ENVELOPE_MAX_BYTES];
    struct envelope back, e = example();
    e.tenant = e.type = str_of(name, sizeof name);
    e.errors = str_of(errors, ENVELOPE_ERRORS_MAX);
    assert_int_equal(ENVELOPE_MAX_BYTES, envelope_encode(&e, out));
    assert_ok(envelope_decode(str_of(out, ENVELOPE_MAX_BYTES), &back));
    assert_true(str_eq(e.type, back.type) && str_eq(e.errors, back.errors));
    e.errors = str_of(errors, sizeof errors);
    assert_int_equal(0, envelope_encode(&e, out));
}

static void test_envelope__given_the_largest_numbers_and_the_shortest_errors_then_they_come_back(void **state) {
    (void)state;
    uint8_t out[ENVELOPE_MAX_BYTES];
    struct envelope back, e = example();
    e.schema_version = UINT16_MAX;
    e.generation = INT32_MAX;
    e.attempt = INT32_MAX - 1;
    e.ready.ms = e.deadline.ms = INT64_MAX;
    e.errors = STR("0");
    size_t n = envelope_encode(&e, out);
    assert_int_equal(GOLDEN_PLAIN_BYTES + 3, n);
    assert_ok(envelope_decode(str_of(out, n), &back));
    assert_int_equal(UINT16_MAX, back.schema_version);
    assert_int_equal(INT32_MAX, back.generation);
    assert_int_equal(INT32_MAX - 1, back.attempt);
    assert_true(back.ready.ms == INT64_MAX && back.deadline.ms == INT64_MAX);
    assert_str("0", back.errors);
}

/* They are left out when there are none: a second way to say it would be a second header for one job. */
static void test_envelope__given_errors_of_no_bytes_then_it_is_undecodable(void **state) {
    (void)state;
    uint8_t bytes[GOLDEN_PLAIN_BYTES + 2] = {0};
    memcpy(bytes, golden, GOLDEN_PLAIN_BYTES);
    assert_int_equal(ERR_UNDECODABLE, decode_copy(bytes, sizeof bytes));
}

static void test_envelope__given_what_is_no_name_then_nothing_is_encoded(void **state) {
    (void)state;
    static char longer[65];
    memset(longer, 'n', sizeof longer);
    const struct str bad[] = {STR_NONE, STR(""), STR("a b"), STR("a}b"), STR("\xC3\xBC"), str_of(longer, sizeof longer)};
    uint8_t out[ENVELOPE_MAX_BYTES];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct envelope e = example();
        e.tenant = bad[i];
        assert_int_equal(0, envelope_encode(&e, out));
        e = example();
        e.type = bad[i];
        assert_int_equal(0, envelope_encode(&e, out));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_envelope__given_the_example_then_the_bytes_are_the_golden_ones),
        cmocka_unit_test(test_envelope__unchecked_then_a_flag_says_so),
        cmocka_unit_test(test_envelope__given_the_golden_bytes_then_every_field_comes_back),
        cmocka_unit_test(test_envelope__given_any_other_length_then_it_is_undecodable),
        cmocka_unit_test(test_envelope__given_one_wrong_byte_then_it_is_undecodable_where_that_shows),
        cmocka_unit_test(test_envelope__given_random_bytes_then_decoding_never_reads_past_them),
        cmocka_unit_test(test_envelope__given_the_longest_names_and_errors_then_they_fit),
        cmocka_unit_test(test_envelope__given_the_largest_numbers_and_the_shortest_errors_then_they_come_back),
        cmocka_unit_test(test_envelope__given_errors_of_no_bytes_then_it_is_undecodable),
        cmocka_unit_test(test_envelope__given_what_is_no_name_then_nothing_is_encoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
