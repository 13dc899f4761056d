/* What each role may do in Redis. acl.def is the table: R(ROLE or EVERY, "what for", "rule"), rule being one selector in the
 * language of ACL SETUSER (Redis 7): commands, and the keys or channels for which they are allowed. Functions run with the
 * rights of their caller, so a role has the commands inside its Functions as well, each for the one kind of key it is used on.
 * "+fcall|name" allows one Function (an allowed first argument; Redis calls the form deprecated and offers no other). */
#ifndef QUEUES_ACL_H
#define QUEUES_ACL_H

#include <base/buf.h>

enum acl_role { ACL_API, ACL_WORKER, ACL_SCHEDULER, ACL_ROLE_MAX };

/* "api", "worker", "scheduler". */
const char *acl_role_name(enum acl_role role);

/* The user "default" must be off, yet keep all its rights ("off ~* &* +@all"): Redis reads its append-only file as that user, and
 * skips every MULTI in it (whatever a Function wrote) that the user may not do. */

/* Appends the rules of a role as ACL SETUSER and an ACL file take them after "on" and the password: "resetkeys resetchannels
 * -@all clearselectors (…) (…)". */
void acl_add_rules(struct buf *out, enum acl_role role);

#endif
