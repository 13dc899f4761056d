/* The module of types that belong to no domain (schema custom): the demo types that a first look and the benchmarks use,
 * event.deliver, the job that an event becomes when a consumer refuses it, and the types of types.conf, which HTTP handlers serve. */
#ifndef CUSTOM_CUSTOM_H
#define CUSTOM_CUSTOM_H

#include <jobs/type.h>

extern const struct module custom_module;

#endif
