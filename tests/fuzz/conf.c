/* Settings from a file's text. What is accepted is within the ranges and reads back as it was; an error names a line that the
 * file has. An input that is a number is the value of a setting, and is read as that number or refused. */
#include "../../base/core/src/conf_private.h"

#include <inttypes.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"

extern char **environ;

/* libconfig 1.5 loses the string before a syntax error; a process whose settings do not parse ends. Leaks of our own are looked for by
 * tests/unit: telling the two apart here would take all the time. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) { return 1; }

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    static char *none[] = {NULL};
    (void)argc;
    (void)argv;
    environ = none; /* it would win over the file */
    return 0;
}

static struct err load(struct str text, char path[32], struct conf *out) {
    int fd = memfd_create("conf", MFD_CLOEXEC);
    PROMISE(fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n);
    (void)snprintf(path, 32, "/proc/self/fd/%d", fd);
    struct err e = conf_load(path, out);
    (void)close(fd);
    return e;
}

static void judge_error(struct str text, const char *path, struct err e) {
    char prefix[64];
    PROMISE(e.code == ERR_INVALID || e.code == ERR_TOO_LARGE);
    if (e.code == ERR_INVALID && memchr(text.p, '\0', text.n) == NULL) {
        (void)snprintf(prefix, sizeof prefix, "%s:", path);
        long line = fuzz_line_of(e.detail, prefix);
        PROMISE(line >= 1 && line <= fuzz_lines(text));
    }
}

static const char *text_of(const struct conf *c, const struct setting *s) {
    return *(char *const *)(const void *)((const char *)c + s->offset);
}
static int64_t number_of(const struct conf *c, const struct setting *s) {
    return *(const int64_t *)(const void *)((const char *)c + s->offset);
}

static void write_setting(struct buf *out, const struct conf *c, const struct setting *s) {
    buf_addf(out, "    %s = ", s->name);
    if (s->text == NULL) {
        buf_addf(out, "%" PRId64 ";\n", number_of(c, s));
        return;
    }
    buf_add_char(out, '"');
    for (const char *p = text_of(c, s); *p != '\0'; p++) {
        buf_addf(out, "\\x%02x", (unsigned char)*p);
    }
    buf_add_c(out, "\";\n");
}

static void judge(const struct conf *c) {
    struct buf text;
    struct conf again;
    char path[32];
    const char *group = "";
    buf_init(&text, 2 * 1024 * 1024);
    for (size_t i = 0; i < conf_settings_count; i++) {
        const struct setting *s = &conf_settings[i];
        PROMISE(s->text != NULL ? text_of(c, s) != NULL : s->min <= number_of(c, s) && number_of(c, s) <= s->max);
        if (strcmp(group, s->group) != 0) {
            buf_addf(&text, "%s%s = {\n", i > 0 ? "};\n" : "", s->group);
            group = s->group;
        }
        write_setting(&text, c, s);
    }
    buf_add_c(&text, "};\n");
    if (text.n <= 200 * 1024) {
        PROMISE(!err_is_set(load(buf_str(&text), path, &again)));
        for (size_t i = 0; i < conf_settings_count; i++) {
            const struct setting *s = &conf_settings[i];
            PROMISE(s->text != NULL ? strcmp(text_of(c, s), text_of(&again, s)) == 0 : number_of(c, s) == number_of(&again, s));
        }
        conf_free(&again);
    }
    buf_free(&text);
}

static void as_number(struct str digits) {
    struct buf text;
    struct conf c;
    char path[32];
    int64_t v;
    const struct setting *s = conf_find("worker", "lease_ms");
    buf_init(&text, 1024);
    buf_addf(&text, "worker = { lease_ms = %.*s; };\n", STR_ARG(digits));
    bool fits = str_to_i64(digits, &v) && s->min <= v && v <= s->max;
    struct err e = load(buf_str(&text), path, &c);
    PROMISE(err_is_set(e) || (fits && number_of(&c, s) == v));
    if (!err_is_set(e)) {
        conf_free(&c);
    }
    buf_free(&text);
}

static bool is_number(struct str s) {
    size_t digits = 0;
    while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9') {
        digits++;
    }
    return s.n > 0 && digits == s.n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct str text = str_of(data, size);
    struct conf c;
    char path[32];
    struct err e = load(text, path, &c);
    if (err_is_set(e)) {
        judge_error(text, path, e);
    } else {
        judge(&c);
        conf_free(&c);
    }
    if (is_number(text)) {
        as_number(text);
    }
    return 0;
}
