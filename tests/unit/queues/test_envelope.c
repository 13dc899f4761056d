#include <queues/envelope.h>

#include <stdlib.h>

#include "unit.h"

/* The example of PROTOCOL.md section 3. Headers outlive a release: other bytes are a new version. */
static const uint8_t golden[] = {
    0x02, 0x1e, 0x02, 0x00, 0x01, 0x92, 0xe4, 0x3c, 0x80, 0x7b, 0x71, 0x23, 0xa0, 0x18, 0x80, 0x11, 0x22, 0x33, 0x44, 0x55, 0x01,
    0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x04, 0x61, 0x63, 0x6d, 0x65, 0x09, 0x64, 0x65, 0x6d, 0x6f, 0x2e, 0x65, 0x63, 0x68,
    0x6f, 0x01, 0x92, 0xe4, 0x3c, 0x7c, 0x00, 0x70, 0x01, 0xa0, 0x18, 0x80, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xdb, 0x6a, 0x3d, 0xe4,
    0x92, 0x01, 0x00, 0x00, 0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36, 0x00,
    0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7, 0x01, 0x5b, 0x22, 0x74, 0x69, 0x6d, 0x65, 0x6f, 0x75, 0x74, 0x22, 0x5d,
};

/* Version 1: read for as long as an entry of it may lie somewhere. */
static const uint8_t golden_1[] = {
    0x01, 0x00, 0x02, 0x00, 0x01, 0x92, 0xe4, 0x3c, 0x80, 0x7b, 0x71, 0x23, 0xa0, 0x18, 0x80, 0x11, 0x22, 0x33, 0x44,
    0x55, 0x01, 0x92, 0xe4, 0x3c, 0x7c, 0x00, 0x70, 0x01, 0xa0, 0x18, 0x80, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0x01, 0x00,
    0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x7b, 0x80, 0x3c, 0xe4, 0x92, 0x01, 0x00, 0x00, 0xdb, 0x6a, 0x3d, 0xe4, 0x92,
    0x01, 0x00, 0x00, 0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36,
    0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7, 0x01, 0x04, 0x61, 0x63, 0x6d, 0x65, 0x09, 0x64, 0x65, 0x6d, 0x6f,
    0x2e, 0x65, 0x63, 0x68, 0x6f, 0x0b, 0x00, 0x5b, 0x22, 0x74, 0x69, 0x6d, 0x65, 0x6f, 0x75, 0x74, 0x22, 0x5d,
};
enum {
    ERRORS_BYTES = 11,
    GOLDEN_PLAIN_BYTES = sizeof golden - ERRORS_BYTES,
    GOLDEN_1_PLAIN_BYTES = sizeof golden_1 - 2 - ERRORS_BYTES
};

static struct envelope example(void) {
    return (struct envelope){
        .schema_version = 2,
        .id = {{0x01, 0x92, 0xe4, 0x3c, 0x80, 0x7b, 0x71, 0x23, 0xa0, 0x18, 0x80, 0x11, 0x22, 0x33, 0x44, 0x55}},
        .root = {{0x01, 0x92, 0xe4, 0x3c, 0x7c, 0x00, 0x70, 0x01, 0xa0, 0x18, 0x80, 0xaa, 0xbb, 0xcc, 0xdd, 0xee}},
        .generation = 1,
        .attempt = 3,
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
    assert_int_equal(31, out[1]);
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

static void test_envelope__given_the_golden_bytes_of_version_1_then_every_field_comes_back(void **state) {
    (void)state;
    struct envelope e;
    assert_ok(envelope_decode(str_of(golden_1, sizeof golden_1), &e));
    assert_example(&e);
    assert_str("[\"timeout\"]", e.errors);
    assert_ok(envelope_decode(str_of(golden_1, GOLDEN_1_PLAIN_BYTES), &e));
    assert_example(&e);
    assert_int_equal(0, e.errors.n);
}

static void test_generation__given_a_header_of_any_version_then_without_decoding_the_rest(void **state) {
    (void)state;
    uint8_t out[ENVELOPE_MAX_BYTES];
    struct envelope e = example();
    e.generation = 0x01020304;
    assert_true(envelope_generation(str_of(out, envelope_encode(&e, out))) == 0x01020304);
    e.generation = e.attempt = 0;
    assert_int_equal(0, envelope_generation(str_of(out, envelope_encode(&e, out))));
    assert_int_equal(1, envelope_generation(str_of(golden, 28)));
    assert_int_equal(0, envelope_generation(str_of(golden, 27)));
    assert_int_equal(1, envelope_generation(str_of(golden_1, 44)));
    assert_int_equal(0, envelope_generation(str_of(golden_1, 43)));
    assert_int_equal(0, envelope_generation(STR_NONE));
}

/* What Redis keeps for most jobs that wait. */
static void test_envelope__given_a_job_of_the_usual_kind_then_63_bytes(void **state) {
    (void)state;
    uint8_t out[ENVELOPE_MAX_BYTES];
    struct envelope back, e = {.schema_version = 1,
                               .id = example().id,
                               .root = example().id,
                               .trace = example().trace,
                               .tenant = STR("default"),
                               .type = STR("demo.noop")};
    assert_int_equal(63, envelope_encode(&e, out));
    assert_ok(envelope_decode(str_of(out, 63), &back));
    assert_true(uuid_eq(e.id, back.root) && back.generation == 0 && back.attempt == 0 && back.deadline.ms == 0 &&
                back.errors.n == 0);
    e.trace = (struct trace){.flags = 0};
    assert_int_equal(63 - 25, envelope_encode(&e, out));
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

/* Cut anywhere it is none, but for within the errors, whose JSON nobody looks at here. */
static void test_envelope__given_any_other_length_then_it_is_undecodable(void **state) {
    (void)state;
    for (size_t n = 0; n <= sizeof golden; n++) {
        assert_int_equal(n >= GOLDEN_PLAIN_BYTES ? ERR_NONE : ERR_UNDECODABLE, decode_copy(golden, n));
    }
    uint8_t longer[sizeof golden_1 + 1] = {0};
    memcpy(longer, golden_1, sizeof golden_1);
    for (size_t n = 0; n <= sizeof longer; n++) {
        bool whole = n == sizeof golden_1 || n == GOLDEN_1_PLAIN_BYTES;
        assert_int_equal(whole ? ERR_NONE : ERR_UNDECODABLE, decode_copy(longer, n));
    }
    struct envelope e;
    assert_err(ERR_UNDECODABLE, envelope_decode(STR_NONE, &e));
}

/* What stands behind the type is theirs; before it, all must be as ever. */
static void test_envelope__given_a_later_version_then_its_front_is_read(void **state) {
    (void)state;
    uint8_t bytes[sizeof golden];
    memcpy(bytes, golden, sizeof golden);
    bytes[0] = ENVELOPE_VERSION + 1;
    bytes[1] |= 0xe0;
    size_t front = 0;
    for (size_t n = 0; n <= sizeof bytes; n++) {
        uint8_t *copy = malloc(n > 0 ? n : 1);
        struct envelope e;
        memcpy(copy, bytes, n);
        if (envelope_is_newer(str_of(copy, n), &e)) {
            front = front == 0 ? n : front;
            assert_true(uuid_eq(e.id, example().id) && e.schema_version == 2 && e.generation == 1 && e.attempt == 3 &&
                        e.errors.n == 0);
            assert_str("acme", e.tenant);
            assert_str("demo.echo", e.type);
            assert_int_equal(ERR_UNDECODABLE, decode_copy(bytes, n));
        } else {
            assert_int_equal(0, front);
        }
        free(copy);
    }
    assert_int_equal(20 + 8 + 5 + 10, front);
    struct envelope e;
    for (size_t at = 28; at < 30; at++) {
        uint8_t was = bytes[at];
        bytes[at] = ' ';
        assert_false(envelope_is_newer(str_of(bytes, sizeof bytes), &e));
        bytes[at] = was;
    }
    assert_false(envelope_is_newer(str_of(golden, sizeof golden), &e) ||
                 envelope_is_newer(str_of(golden_1, sizeof golden_1), &e));
}

struct wrong {
    size_t at, n;
    uint8_t byte;
};

static void assert_undecodable(const uint8_t *from, size_t size, const struct wrong *rows, size_t n) {
    uint8_t bytes[sizeof golden_1 + sizeof golden];
    for (size_t i = 0; i < n; i++) {
        memcpy(bytes, from, size);
        memset(bytes + rows[i].at, rows[i].byte, rows[i].n);
        if (decode_copy(bytes, size) != ERR_UNDECODABLE) {
            fail_msg("row %zu decodes", i);
        }
    }
}

static void test_envelope__given_one_wrong_byte_then_it_is_undecodable_where_that_shows(void **state) {
    (void)state;
    static const struct wrong rows[] = {
        {0, 1, 0},     /* version */
        {0, 1, 3},     /* version */
        {1, 1, 62},    /* a flag that there is not */
        {20, 8, 0},    /* neither generation nor attempts: to be left out */
        {23, 1, 0x80}, /* generation above 2^31 - 1 */
        {27, 1, 0x80}, /* attempts likewise */
        {28, 1, 0},    /* no tenant */
        {28, 1, 5},    /* longer tenant: the lengths no longer fit */
        {28, 1, 255},  /* longer than the header */
        {29, 1, ' '},  /* not a name */
        {29, 1, 0},    /* not a name */
        {33, 1, 65},   /* type too long */
        {34, 1, '}'},  /* not a name: would end a hash tag */
        {59, 8, 0},    /* no deadline: to be left out */
        {67, 25, 0},   /* no trace: to be left out */
    };
    static const struct wrong rows_1[] = {
        {1, 1, 2},     /* a flag that version 1 does not have */
        {39, 1, 0x80}, /* generation above 2^31 - 1 */
        {43, 1, 0x80}, /* attempts likewise */
        {85, 1, 0},    /* no tenant */
        {90, 1, 65},   /* type too long */
        {100, 1, 0},   /* errors of no bytes are not written */
        {101, 1, 1},   /* more errors than bytes */
    };
    assert_undecodable(golden, sizeof golden, rows, sizeof rows / sizeof rows[0]);
    assert_undecodable(golden_1, sizeof golden_1, rows_1, sizeof rows_1 / sizeof rows_1[0]);
    uint8_t same[sizeof golden];
    memcpy(same, golden, sizeof golden);
    memcpy(same + 43, same + 4, 16); /* the root is the job: to be left out */
    assert_int_equal(ERR_UNDECODABLE, decode_copy(same, sizeof same));
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
        bytes[0] = 1 + (bytes[0] & 1);
        bytes[1] &= 31;
        bytes[20] &= 15;
        bytes[28] &= 15;
        bytes[85] &= 15;
        (void)decode_copy(bytes, bytes[255]);
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
    e.deadline.ms = INT64_MAX;
    e.errors = STR("0");
    size_t n = envelope_encode(&e, out);
    assert_int_equal(GOLDEN_PLAIN_BYTES + 1, n);
    assert_ok(envelope_decode(str_of(out, n), &back));
    assert_int_equal(UINT16_MAX, back.schema_version);
    assert_int_equal(INT32_MAX, back.generation);
    assert_int_equal(INT32_MAX - 1, back.attempt);
    assert_true(back.deadline.ms == INT64_MAX);
    assert_str("0", back.errors);
}

/* They are left out when there are none: a second way to say it would be a second header for one job. */
static void test_envelope__given_errors_of_no_bytes_then_it_is_undecodable(void **state) {
    (void)state;
    uint8_t bytes[GOLDEN_1_PLAIN_BYTES + 2] = {0};
    memcpy(bytes, golden_1, GOLDEN_1_PLAIN_BYTES);
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
        cmocka_unit_test(test_envelope__given_the_golden_bytes_of_version_1_then_every_field_comes_back),
        cmocka_unit_test(test_generation__given_a_header_of_any_version_then_without_decoding_the_rest),
        cmocka_unit_test(test_envelope__given_a_job_of_the_usual_kind_then_63_bytes),
        cmocka_unit_test(test_envelope__given_any_other_length_then_it_is_undecodable),
        cmocka_unit_test(test_envelope__given_a_later_version_then_its_front_is_read),
        cmocka_unit_test(test_envelope__given_one_wrong_byte_then_it_is_undecodable_where_that_shows),
        cmocka_unit_test(test_envelope__given_random_bytes_then_decoding_never_reads_past_them),
        cmocka_unit_test(test_envelope__given_the_longest_names_and_errors_then_they_fit),
        cmocka_unit_test(test_envelope__given_the_largest_numbers_and_the_shortest_errors_then_they_come_back),
        cmocka_unit_test(test_envelope__given_errors_of_no_bytes_then_it_is_undecodable),
        cmocka_unit_test(test_envelope__given_what_is_no_name_then_nothing_is_encoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
