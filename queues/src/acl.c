#include <queues/acl.h>
#include <queues/version.h>

enum { ACL_EVERY = ACL_ROLE_MAX };

static const struct {
    int role; /* enum acl_role, or ACL_EVERY */
    const char *rule;
} rules[] = {
#define ALLOW(command, step, version) "+" command "|pen_" step "_" FUNCTIONS_TEXT(version) " "
#define FCALL(step) ALLOW("fcall", step, FUNCTIONS_VERSION) ALLOW("fcall", step, FUNCTIONS_BEFORE)
#define FCALL_RO(step) ALLOW("fcall_ro", step, FUNCTIONS_VERSION) ALLOW("fcall_ro", step, FUNCTIONS_BEFORE)
#define R(role, what, rule) {ACL_##role, (rule)},
#include <queues/acl.def>
#undef R
};

const char *acl_role_name(enum acl_role role) {
    static const char *const names[ACL_ROLE_MAX] = {[ACL_API] = "api", [ACL_WORKER] = "worker", [ACL_SCHEDULER] = "scheduler"};
    return names[role];
}

void acl_add_rules(struct buf *out, enum acl_role role) {
    buf_add_c(out, "resetkeys resetchannels -@all clearselectors");
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (rules[i].role == (int)role || rules[i].role == ACL_EVERY) {
            buf_addf(out, " (%s)", rules[i].rule);
        }
    }
}
