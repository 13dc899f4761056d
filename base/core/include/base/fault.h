/* Failpoints and negative-control switches; nothing of it exists unless built with PENSTOCK_FAULTS.
 * PENSTOCK_FAULT="seed:7;claim.after=kill@0.01;settle.after=stop@0.005;switch:no_arbiter" arms them: seed 0 unless given, a
 * probability for each pass of a failpoint ("*" stands for every one; the last word wins), switches; "@file" means what the
 * file says, and says anew when it is replaced. FAILPOINT(X) at a
 * protocol step dies by SIGKILL (kill), stops by SIGSTOP (stop), or does nothing. Hits are appended to the file named by
 * PENSTOCK_FAULT_LOG as "name action pid\n" before acting, so that a harness can count them. The choice depends on nothing
 * but the seed, the process id and the number of passes of armed failpoints before it. One thread. */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdbool.h>

enum failpoint {
#define F(id, name, role) FP_##id,
#include <base/fault.def>
#undef F
    FP_MAX
};

enum fault_switch {
#define S(id, name) FS_##id,
#include <base/fault_switch.def>
#undef S
    FS_MAX
};

#ifdef PENSTOCK_FAULTS
void fault_setup(void); /* reads the environment; a bad specification is fatal: a test must not run unarmed */
void fault_hit(enum failpoint p);
bool fault_switch(enum fault_switch s);
void fault_list(void); /* "name role" lines on standard output */
#define FAILPOINT(id) fault_hit(FP_##id)
#define FAULT_SWITCH(id) fault_switch(FS_##id)
#else
static inline void fault_setup(void) {}
#define FAILPOINT(id) ((void)0)
#define FAULT_SWITCH(id) false
#endif

#endif
