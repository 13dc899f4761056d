/* The id of a job that an effect leaves in its module's job_outbox: derived, so that a repetition of the effect means the same
 * job, and carrying the place where the job will live. */
#ifndef JOBS_FOLLOW_UP_H
#define JOBS_FOLLOW_UP_H

#include <jobs/type.h>

/* parent and step name the follow-up; parent also picks the shard. ERR_BUSY while this process does not know the queue yet. */
MUST struct err follow_up_id(const struct module_env *env, struct str queue, struct uuid parent, struct str step,
                             struct uuid *out);

#endif
