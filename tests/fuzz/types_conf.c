/* Job types declared in a file. What is accepted is sound, and its text, which worker processes are given, reads back as the same types and
 * the same text. An error names a line that the file has. */
#include "../../jobs/custom/src/types_conf.h"

#include <base/json.h>
#include <base/limits.h>
#include <unistd.h>

#include "fuzz.h"

/* libconfig 1.5 loses the string before a syntax error, as in conf.c. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) { return 1; }

static char folder[] = "/tmp/fuzz-types-XXXXXX", path[64];

static void remove_files(void) {
    (void)unlink(path);
    (void)rmdir(folder);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    PROMISE(mkdtemp(folder) != NULL); /* empty: whatever file a schema names is not there */
    (void)snprintf(path, sizeof path, "%s/types.conf", folder);
    PROMISE(atexit(remove_files) == 0);
    json_setup();
    return 0;
}

static void start(struct attempt *a) { (void)a; }

static struct err load(struct str text, struct type_set **out) {
    FILE *f = fopen(path, "wb");
    PROMISE(f != NULL && fwrite(text.p, 1, text.n, f) == text.n && fclose(f) == 0);
    return types_conf_read(path, NULL, start, out);
}

static void judge_error(struct str text, struct err e) {
    char prefix[80];
    PROMISE(e.code == ERR_INVALID || e.code == ERR_TOO_LARGE);
    if (e.code == ERR_INVALID && memchr(text.p, '\0', text.n) == NULL) {
        (void)snprintf(prefix, sizeof prefix, "%s:", path);
        long line = fuzz_line_of(e.detail, prefix);
        PROMISE(line >= 1 && line <= fuzz_lines(text));
    }
}

static void judge_type(const struct type_set *set, size_t i) {
    const struct job_type *t = &set->types[i];
    const struct declared *d = t->declared;
    PROMISE(str_is_name(str_c(t->name), LIMIT_NAME_BYTES) && str_is_name(str_c(t->queue), LIMIT_NAME_BYTES));
    PROMISE(t->version >= 1);
    PROMISE(t->timeout_ms >= 100 && t->timeout_ms <= 3600000);
    PROMISE(t->retry.base_ms >= 1 && t->retry.cap_ms >= 1 && t->retry.max_attempts >= 1);
    PROMISE(t->retry.cap_ms * t->retry.max_attempts <= INT64_C(10) * 86400000);
    PROMISE(t->start == start && t->schema[0] == '{' && strncmp(d->handler, "http", 4) == 0);
    for (size_t k = 0; k < i; k++) {
        PROMISE(strcmp(set->types[k].name, t->name) != 0);
    }
}

static void judge_same(const struct job_type *a, const struct job_type *b) {
    const struct declared *x = a->declared, *y = b->declared;
#define T_TEXT(name, def, what) PROMISE(strcmp(x->name, y->name) == 0);
#define T_WHOLE(name, def, min, max, what) PROMISE(x->name == y->name);
#define T_FLAG(name, def, what) PROMISE(x->name == y->name);
#include "../../jobs/custom/src/types_conf.def"
#undef T_TEXT
#undef T_WHOLE
#undef T_FLAG
}

static void judge(const struct type_set *set) {
    struct type_set *again;
    PROMISE(set->types_n <= TYPES_CONF_MAX);
    for (size_t i = 0; i < set->types_n; i++) {
        judge_type(set, i);
    }
    PROMISE(!err_is_set(load(set->text, &again)));
    PROMISE(again->types_n == set->types_n && str_eq(again->text, set->text));
    for (size_t i = 0; i < set->types_n; i++) {
        judge_same(&set->types[i], &again->types[i]);
    }
    type_set_release(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct str text = str_of(data, size);
    struct type_set *set;
    struct err e = load(text, &set);
    if (err_is_set(e)) {
        judge_error(text, e);
    } else {
        judge(set);
        type_set_release(set);
    }
    return 0;
}
