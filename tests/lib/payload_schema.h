/* Tables of payloads that a job type's schema must take or refuse. */
#ifndef TESTS_PAYLOAD_SCHEMA_H
#define TESTS_PAYLOAD_SCHEMA_H

#include <base/json.h>
#include <base/schema.h>
#include <jobs/type.h>

#include "unit.h"

struct payload_row {
    const char *type, *payload;
    bool valid;
};

static inline const struct job_type *payload_type_(const struct module *m, const char *name) {
    for (size_t i = 0; i < m->types_n; i++) {
        if (strcmp(m->types[i].name, name) == 0) {
            return &m->types[i];
        }
    }
    fail_msg("no type %s", name);
    return NULL;
}

static inline struct schema *payload_schema(const struct job_type *t) {
    json_t *doc;
    struct schema *s;
    assert_ok(json_read(str_c(t->schema), &doc));
    assert_ok(schema_compile(doc, &s));
    json_decref(doc);
    return s;
}

static inline void assert_payloads(const struct module *m, const struct payload_row *rows, size_t n) {
    for (size_t i = 0; i < n; i++) {
        struct schema *s = payload_schema(payload_type_(m, rows[i].type));
        struct schema_error e;
        json_t *doc;
        assert_ok(json_read(str_c(rows[i].payload), &doc));
        size_t errors = schema_check(s, doc, &e, 1);
        if (rows[i].valid != (errors == 0)) {
            fail_msg("%s %s: %s", rows[i].type, rows[i].payload, errors > 0 ? e.detail : "should have been refused");
        }
        json_decref(doc);
        schema_free(s);
    }
}

/* What must hold for every type of every module, whatever it does. */
static inline void assert_types_are_sound(const struct module *m) {
    for (size_t i = 0; i < m->types_n; i++) {
        const struct job_type *t = &m->types[i];
        schema_free(payload_schema(t));
        assert_true(str_is_name(str_c(t->name), 64) && str_is_name(str_c(t->queue), 64));
        assert_true(t->version > 0 && t->start != NULL && t->timeout_ms > 0);
        assert_true(t->retry.max_attempts > 0 && t->retry.base_ms > 0 && t->retry.base_ms <= t->retry.cap_ms);
        assert_false(t->keep_outcome && t->class == CLASS_JOURNAL);
        /* Delay and retries together stay below 25 days: dead jobs are kept for 30. */
        assert_true(t->retry.cap_ms * t->retry.max_attempts < INT64_C(25) * 86400 * 1000);
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(m->types[k].name, t->name);
        }
    }
}

#endif
