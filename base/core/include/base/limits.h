/* Every bound in the program that is not a setting, with its reason. Settings are in conf.def. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

enum {
    LIMIT_PAYLOAD_BYTES = 64 * 1024, /* claim batches are bounded by COUNT x this (protocol.md 1.1, MAXCOUNT) */
    LIMIT_NAME_BYTES = 64,           /* queue, tenant, type */
    LIMIT_KEY_BYTES = 255,           /* Idempotency-Key */
    LIMIT_JSON_DEPTH = 32,
    LIMIT_HTTP_HEAD_BYTES = 16 * 1024,
    LIMIT_HTTP_HEADERS = 100,
    LIMIT_HTTP_BODY_BYTES = 1024 * 1024,
    LIMIT_RESULT_BYTES = 64 * 1024, /* a job's stored result */
    LIMIT_ERRORS_KEPT = 5,          /* last errors kept with a dead job */
    LIMIT_BATCH = 64,               /* ids per Function call and rows per statement: the knee of the measured curve */
    LIMIT_SNOOZE_DAYS = 25,         /* since the root was made: its effects are kept for 30 */
    LIMIT_SHARDS = 16,              /* per queue; more than one buys nothing on one Redis */
    LIMIT_QUEUES = 64,
};

#endif
