#include <jobs/type.h>

static const char *const outcome_names[OUTCOME_MAX] = {
    [OUTCOME_DONE] = "done",
    [OUTCOME_DEAD] = "dead",
    [OUTCOME_CANCELLED] = "cancelled",
    [OUTCOME_EXPIRED] = "expired",
};

const char *job_class_name(enum job_class c) { return c == CLASS_STREAM ? "stream" : "journal"; }
const char *job_outcome_name(enum job_outcome o) { return (unsigned)o < OUTCOME_MAX ? outcome_names[o] : "?"; }

bool job_outcome_parse(struct str s, enum job_outcome *out) {
    for (int o = 0; o < OUTCOME_MAX; o++) {
        if (str_is(s, outcome_names[o])) {
            *out = (enum job_outcome)o;
            return true;
        }
    }
    return false;
}

const struct job_type *registry_type(const struct registry *r, struct str name, const struct module **out_module) {
    for (size_t m = 0; m < r->modules_n; m++) {
        for (size_t t = 0; t < r->modules[m]->types_n; t++) {
            if (str_is(name, r->modules[m]->types[t].name)) {
                if (out_module != NULL) {
                    *out_module = r->modules[m];
                }
                return &r->modules[m]->types[t];
            }
        }
    }
    return NULL;
}

const struct module *registry_module(const struct registry *r, struct str name) {
    for (size_t m = 0; m < r->modules_n; m++) {
        if (str_is(name, r->modules[m]->name)) {
            return r->modules[m];
        }
    }
    return NULL;
}
