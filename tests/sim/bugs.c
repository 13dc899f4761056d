#include "bugs.h"

#include <base/fault.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct bug bugs[] = {
#define LUA(name, from, to) {#name, from, to, -1},
#define SWITCH(name, id) {#name, NULL, NULL, FS_##id},
#define STORE(name) {#name, NULL, NULL, -1},
#define CODE(name) {#name, NULL, NULL, -1},
#include "bugs.def"
#undef LUA
#undef SWITCH
#undef STORE
#undef CODE
};

const struct bug *bug_find(const char *name) {
    for (size_t i = 0; i < sizeof bugs / sizeof bugs[0]; i++) {
        if (strcmp(bugs[i].name, name) == 0) {
            return &bugs[i];
        }
    }
    return NULL;
}

void bug_list(void) {
    for (size_t i = 0; i < sizeof bugs / sizeof bugs[0]; i++) {
        (void)printf("%s\n", bugs[i].name);
    }
}
