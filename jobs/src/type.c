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

void type_set_release(struct type_set *s) {
    if (s != NULL && --s->refs == 0) {
        s->free(s);
    }
}

const struct job_type *registry_at(const struct registry *r, size_t i, const struct module **out_module) {
    const struct module *module = NULL;
    const struct job_type *type = NULL;
    for (size_t m = 0; m < r->modules_n && type == NULL; m++) {
        module = r->modules[m];
        type = i < module->types_n ? &module->types[i] : NULL;
        i -= type == NULL ? module->types_n : 0;
    }
    if (type == NULL && r->declared != NULL && i < r->declared->types_n) {
        module = r->declared->module;
        type = &r->declared->types[i];
    }
    if (type != NULL && out_module != NULL) {
        *out_module = module;
    }
    return type;
}

const struct job_type *registry_type(const struct registry *r, struct str name, const struct module **out_module) {
    const struct module *module;
    const struct job_type *type;
    for (size_t i = 0; (type = registry_at(r, i, &module)) != NULL; i++) {
        if (str_is(name, type->name)) {
            if (out_module != NULL) {
                *out_module = module;
            }
            return type;
        }
    }
    return NULL;
}

struct err registry_declare(const struct registry *r, const char *path, struct type_set **out) {
    const struct registry in_c = {.modules = r->modules, .modules_n = r->modules_n};
    struct type_set *set = NULL;
    for (size_t m = 0; path[0] != '\0' && m < r->modules_n; m++) {
        if (r->modules[m]->declare != NULL) {
            TRY(r->modules[m]->declare(path, &set));
            break;
        }
    }
    for (size_t i = 0; set != NULL && i < set->types_n; i++) {
        if (registry_type(&in_c, str_c(set->types[i].name), NULL) != NULL) {
            struct err e = err_make(ERR_INVALID, "%s: %s is a type of Penstock's own", path, set->types[i].name);
            type_set_release(set);
            return e;
        }
    }
    *out = set;
    return OK;
}

const struct module *registry_module(const struct registry *r, struct str name) {
    for (size_t m = 0; m < r->modules_n; m++) {
        if (str_is(name, r->modules[m]->name)) {
            return r->modules[m];
        }
    }
    return NULL;
}
