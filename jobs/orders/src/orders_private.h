#ifndef ORDERS_PRIVATE_H
#define ORDERS_PRIVATE_H

#include "flow.h"

void job_place_start(struct attempt *a);
void job_place_leave(struct module_env *env, struct uuid root, left_cb *cb, void *arg);
void job_cancel_start(struct attempt *a);
void job_release_start(struct attempt *a);

#endif
