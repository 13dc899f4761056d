/* penstock slo, penstock slo report */
#include <stdio.h>

#include "cli.h"
#include "show.h"

static const struct column columns[] = {
    {"NAME", "name", COLUMN_TEXT, true},
    {"WITHIN", "within_seconds", COLUMN_NUMBER, false}, /* seconds */
    {"TARGET", "target", COLUMN_PERCENT, false},
    {"ATTAINED", "attained", COLUMN_PERCENT, false},
    {"BUDGET", "budget_left", COLUMN_PERCENT, false}, /* left */
    {"TOTAL", "total", COLUMN_TEXT, false},
    {"RPS", "per_second", COLUMN_NUMBER, false},
};

int cli_slo(const struct options *o) {
    const struct client_request r = {.method = "GET", .path = {"/v1/slo"}, .timeout_ms = o->timeout_ms};
    return show_asked(o, &r, columns, sizeof columns / sizeof columns[0]);
}

static void print_member(const json_t *v) {
    if (json_is_string(v)) {
        (void)printf("%s", json_string_value(v)); /* names and words, without commas */
    } else if (json_is_integer(v)) {
        (void)printf("%lld", (long long)json_integer_value(v));
    } else if (json_is_real(v)) {
        (void)printf("%.6g", json_real_value(v));
    }
}

/* RFC 4180. What is not there, or null, is empty. */
static void print_csv(const json_t *report) {
    static const char *const members[] = {"name", "kind",  "of",       "within_seconds", "target",
                                          "good", "total", "attained", "budget_left"};
    const json_t *items = json_object_get(report, "items");
    const char *month = json_string_value(json_object_get(report, "month"));
    (void)printf("month,name,kind,of,within_seconds,target,good,total,attained,budget_left\r\n");
    for (size_t i = 0; i < json_array_size(items); i++) {
        (void)printf("%s", month != NULL ? month : "");
        for (size_t k = 0; k < sizeof members / sizeof members[0]; k++) {
            (void)printf(",");
            print_member(json_object_get(json_array_get(items, i), members[k]));
        }
        (void)printf("\r\n");
    }
}

/* A table of this is CSV. */
int cli_slo_report(const struct options *o) {
    const struct client_request r = {
        .method = "GET", .path = {"/v1/slo/report"}, .query = {{"month", o->value[OPTION_MONTH]}}, .timeout_ms = o->timeout_ms};
    struct client_answer a;
    int code = client_call(o, &r, &a);
    if (code == EXIT_SUCCESS && o->json) {
        (void)printf("%.*s\n", (int)a.body.n, a.body.p);
    } else if (code == EXIT_SUCCESS) {
        print_csv(a.json);
    }
    client_answer_free(&a);
    return code;
}
