#include "blocking.h"

#include <stdlib.h>
#include <uv.h>

enum { THREADS_MAX = 16 };

STAILQ_HEAD(job_list, blocking_job);

struct blocking {
    uv_async_t finished_some;
    uv_mutex_t lock; /* over everything below */
    uv_cond_t wake;
    struct job_list waiting, finished;
    unsigned waiting_n, idle;
    bool closing;
    unsigned threads, threads_max; /* the loop thread's */
    uv_thread_t thread[THREADS_MAX];
};

/* The next job, or NULL when the pool closes and none is left. Called and returns with the lock held. */
static struct blocking_job *next_job(struct blocking *b) {
    while (STAILQ_EMPTY(&b->waiting) && !b->closing) {
        b->idle++;
        uv_cond_wait(&b->wake, &b->lock);
        b->idle--;
    }
    struct blocking_job *job = STAILQ_FIRST(&b->waiting);
    if (job != NULL) {
        STAILQ_REMOVE_HEAD(&b->waiting, link);
        b->waiting_n--;
    }
    return job;
}

static void thread_main(void *arg) {
    struct blocking *b = arg;
    struct blocking_job *job;
    uv_mutex_lock(&b->lock);
    while ((job = next_job(b)) != NULL) {
        uv_mutex_unlock(&b->lock);
        job->run(job);
        uv_mutex_lock(&b->lock);
        STAILQ_INSERT_TAIL(&b->finished, job, link);
        (void)uv_async_send(&b->finished_some);
    }
    uv_mutex_unlock(&b->lock);
}

static void deliver(struct blocking *b) {
    struct job_list jobs = STAILQ_HEAD_INITIALIZER(jobs);
    uv_mutex_lock(&b->lock);
    STAILQ_CONCAT(&jobs, &b->finished);
    uv_mutex_unlock(&b->lock);
    while (!STAILQ_EMPTY(&jobs)) {
        struct blocking_job *job = STAILQ_FIRST(&jobs);
        STAILQ_REMOVE_HEAD(&jobs, link);
        job->done(job);
    }
}

static void on_async(uv_async_t *h) { deliver(h->data); }

struct err blocking_new(struct loop *l, unsigned threads_max, struct blocking **out) {
    struct blocking *b = calloc(1, sizeof *b);
    if (b == NULL) {
        return err_make(ERR_NOMEM, "thread pool");
    }
    STAILQ_INIT(&b->waiting);
    STAILQ_INIT(&b->finished);
    b->threads_max = threads_max < THREADS_MAX ? threads_max : THREADS_MAX;
    int rc = uv_mutex_init(&b->lock);
    if (rc != 0) {
        goto no_lock;
    }
    rc = uv_cond_init(&b->wake);
    if (rc != 0) {
        goto no_cond;
    }
    rc = uv_async_init(loop_uv(l), &b->finished_some, on_async);
    if (rc != 0) {
        goto no_async;
    }
    b->finished_some.data = b;
    uv_unref((uv_handle_t *)&b->finished_some); /* an idle pool keeps nobody alive */
    *out = b;
    return OK;
no_async:
    uv_cond_destroy(&b->wake);
no_cond:
    uv_mutex_destroy(&b->lock);
no_lock:
    free(b);
    return err_make(ERR_SYSTEM, "thread pool: %s", uv_strerror(rc));
}

struct err blocking_submit(struct blocking *b, struct blocking_job *job) {
    uv_mutex_lock(&b->lock);
    bool one_more = b->idle <= b->waiting_n && b->threads < b->threads_max;
    uv_mutex_unlock(&b->lock);
    if (one_more) {
        int rc = uv_thread_create(&b->thread[b->threads], thread_main, b);
        if (rc == 0) {
            b->threads++;
        } else if (b->threads == 0) {
            return err_make(ERR_SYSTEM, "thread pool: %s", uv_strerror(rc));
        }
    }
    uv_mutex_lock(&b->lock);
    STAILQ_INSERT_TAIL(&b->waiting, job, link);
    b->waiting_n++;
    uv_cond_signal(&b->wake);
    uv_mutex_unlock(&b->lock);
    return OK;
}

static void on_closed(uv_handle_t *h) { free(h->data); }

void blocking_close(struct blocking *b) {
    if (b == NULL) {
        return;
    }
    uv_mutex_lock(&b->lock);
    b->closing = true;
    uv_cond_broadcast(&b->wake);
    uv_mutex_unlock(&b->lock);
    for (unsigned i = 0; i < b->threads; i++) {
        (void)uv_thread_join(&b->thread[i]);
    }
    deliver(b);
    uv_cond_destroy(&b->wake);
    uv_mutex_destroy(&b->lock);
    uv_close((uv_handle_t *)&b->finished_some, on_closed);
}
