#ifndef CUSTOM_PRIVATE_H
#define CUSTOM_PRIVATE_H

#include <custom/custom.h>
#include <jobs/attempt.h>

void demo_noop(struct attempt *a);
void demo_echo(struct attempt *a);
void demo_note(struct attempt *a);
void demo_fail(struct attempt *a);
void demo_sleep(struct attempt *a);
void demo_tally(struct attempt *a);
#ifdef PENSTOCK_FAULTS
void demo_crash(struct attempt *a);
#endif
void event_deliver(struct attempt *a);
void handler_post(struct attempt *a); /* of declared types */

#endif
