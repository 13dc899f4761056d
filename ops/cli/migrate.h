#ifndef OPS_CLI_MIGRATE_H
#define OPS_CLI_MIGRATE_H

#include <base/err.h>

/* Redis users penstock_<role> by queues/acl.def with this password ("": without one), the Functions library, saved to the ACL file; the libraries
 * of versions that cannot run beside this one go. Blocking. */
struct err migrate_redis(const char *url, const char *password);

#endif
