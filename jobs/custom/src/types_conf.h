/* types.conf: job types without C. libconfig's syntax, one list:
 *   types = ( { name = "report.render"; handler = "https://reports.example/render"; schema = "report.json"; }, … );
 * The members are the table types_conf.def. */
#ifndef CUSTOM_TYPES_CONF_H
#define CUSTOM_TYPES_CONF_H

#include <jobs/type.h>

#include "throttle.h"

enum { TYPES_CONF_MAX = 64 /* types in one file */ };

struct declared {
#define T_TEXT(name, def, what) const char *name;
#define T_WHOLE(name, def, min, max, what) int64_t name;
#define T_FLAG(name, def, what) bool name;
#include "types_conf.def"
#undef T_TEXT
#undef T_WHOLE
#undef T_FLAG
    struct throttle throttle; /* of this process */
};

/* A module's declare(): the types run start and have their struct declared in job_type.declared. ERR_INVALID "file:line: reason", with the
 * nearest member for an unknown one; ERR_SYSTEM when a file cannot be read; ERR_NOMEM. */
MUST struct err types_conf_read(const char *path, const struct module *module, void (*start)(struct attempt *a),
                                struct type_set **out);

#endif
