/* Bugs that can be made, to see whether the judge is awake (BUGS.md). */
#ifndef SIM_BUGS_H
#define SIM_BUGS_H

struct bug {
    const char *name;
    const char *lua_from, *lua_to; /* in the Functions; NULL: elsewhere */
    int fault_switch;              /* enum fault_switch; -1: none */
};

const struct bug *bug_find(const char *name); /* NULL: none */
void bug_list(void);

int serve(void); /* serve.c: the Redis in memory, for the contract test */

#endif
