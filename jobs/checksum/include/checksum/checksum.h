/* checksum.url: fetches a URL and notes the SHA-256 of what it gives; with a schedule, a watch over what others publish. Here as the example
 * of a folder of job types that is no part of the shop (CONTRIBUTING, "A job type in C"). */
#ifndef CHECKSUM_CHECKSUM_H
#define CHECKSUM_CHECKSUM_H

#include <jobs/type.h>

extern const struct module checksum_module;

#endif
