/* The other end of schema_differential.py: reads lines {"schema": …, "value": …}, answers each with "valid", "invalid" or
 * "refused" (the schema, or the line, is not accepted), then a tab and the first error. */
#include <base/json.h>
#include <base/schema.h>

#include <stdio.h>
#include <stdlib.h>

enum { ERRORS_MAX = 16 };

static void answer(const char *verdict, const char *pointer, const char *detail) {
    (void)printf("%s\t%s %s\n", verdict, pointer, detail);
}

/* However many errors are asked for, the verdict must be the same. */
static void check(const struct schema *s, const json_t *value) {
    struct schema_error errors[ERRORS_MAX];
    struct schema_error first;
    size_t n = schema_check(s, value, errors, ERRORS_MAX);
    if (schema_check(s, value, &first, 1) != (n > 0)) {
        answer("undecided", "", "one error asked for and sixteen do not agree");
    } else if (n > 0) {
        answer("invalid", errors[0].pointer, errors[0].detail);
    } else {
        answer("valid", "", "");
    }
}

static void handle(struct str line) {
    json_t *root = NULL;
    struct schema *s = NULL;
    struct err e = json_read(line, &root);
    if (!err_is_set(e)) {
        e = schema_compile(json_object_get(root, "schema"), &s);
    }
    if (err_is_set(e)) {
        answer("refused", "", e.detail);
    } else {
        check(s, json_object_get(root, "value"));
    }
    schema_free(s);
    json_decref(root);
}

int main(void) {
    char *line = NULL;
    size_t size = 0;
    json_setup();
    for (ssize_t n = getline(&line, &size, stdin); n > 0; n = getline(&line, &size, stdin)) {
        handle(str_of(line, (size_t)n));
    }
    free(line);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
