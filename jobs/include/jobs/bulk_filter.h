/* Which jobs a bulk action is for, as the API counts them before and jobs/bulk takes them then. Parameters: $1 tenant, $2 queue, $3 type,
 * $4 fingerprint (each NULL: any), $5 until when they had died, or were made, in milliseconds. */
#ifndef JOBS_BULK_FILTER_H
#define JOBS_BULK_FILTER_H

#define BULK_FILTER_(row)                                                                                                      \
    "AND ($1::text IS NULL OR " row ".tenant = $1) AND ($2::text IS NULL OR " row ".queue = $2) AND ($3::text IS NULL OR " row \
    ".type = $3) "

/* Of platform.dead_job d. */
#define BULK_FILTER_DEAD                                              \
    "d.replayed_at IS NULL AND d.discarded_at IS NULL " BULK_FILTER_( \
        "d") "AND ($4::text IS NULL OR d.fingerprint = $4) AND d.died_at <= to_timestamp($5::bigint / 1000.0) "
/* The same, of those that can be run again: not so old that their effects may be forgotten. */
#define BULK_FILTER_YOUNG BULK_FILTER_DEAD "AND d.died_at > now() - interval '25 days' "
#define BULK_FILTER_STREAM BULK_FILTER_YOUNG "AND d.class = 'stream' "
#define BULK_FILTER_JOURNAL        \
    BULK_FILTER_YOUNG              \
    "AND d.class = 'journal' AND " \
    "EXISTS (SELECT FROM platform.job j WHERE j.id = d.id AND j.state = 'dead' AND j.generation = d.generation) "
/* Both. */
#define BULK_FILTER_RETRY \
    BULK_FILTER_YOUNG     \
    "AND (d.class = 'stream' OR EXISTS (SELECT FROM platform.job j WHERE j.id = d.id AND j.state = 'dead' AND j.generation = d.generation)) "
/* Of platform.job j, open; not a bulk action itself. */
#define BULK_FILTER_OPEN                                                                      \
    "j.state = 'waiting' AND j.type <> 'bulk.run' " BULK_FILTER_("j") "AND $4::text IS NULL " \
                                                                      "AND j.created_at <= to_timestamp($5::bigint / 1000.0) "

enum { BULK_FILTER_PARAMS = 5 };

#endif
