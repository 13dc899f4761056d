/* Sockets and timers of one curl_multi. curl_multi_socket_action is called from the loop only, never inside one of
 * libcurl's own callbacks: the timer callback only starts a timer, also for 0 ms. */
#include "http_call.h"

#include <io/poll.h>

#include <stdlib.h>

struct lane {
    struct loop *loop;
    CURLM *multi;
    struct timer *timer;
    struct watch *acting; /* the one whose event libcurl is being told; NULL once libcurl let it go */
};

struct watch {
    struct lane *lane;
    struct poll *poll;
    int events;
};

static void drain(struct lane *lane) {
    int left = 0;
    CURLMsg *m;
    while ((m = curl_multi_info_read(lane->multi, &left)) != NULL) {
        if (m->msg == CURLMSG_DONE) {
            CURLcode rc = m->data.result;
            struct http_call *call = NULL;
            (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &call);
            http_send_ended(call, rc); /* removes the handle, and m with it */
        }
    }
}

static void on_events(void *arg, int events) {
    struct watch *w = arg;
    struct lane *lane = w->lane;
    int running = 0;
    int bits = ((events & POLL_READ) != 0 ? CURL_CSELECT_IN : 0) | ((events & POLL_WRITE) != 0 ? CURL_CSELECT_OUT : 0);
    lane->acting = w;
    (void)curl_multi_socket_action(lane->multi, poll_fd(w->poll), bits, &running);
    if (lane->acting == w) {
        poll_watch(w->poll, w->events); /* after an error the poll has stopped, and libcurl sees no change to tell us of */
    }
    lane->acting = NULL;
    drain(lane);
}

static void on_timer(void *arg) {
    struct lane *lane = arg;
    int running = 0;
    (void)curl_multi_socket_action(lane->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    drain(lane);
}

static int on_timeout_wanted(CURLM *multi, long ms, void *arg) {
    struct lane *lane = arg;
    (void)multi;
    if (ms < 0) {
        timer_stop(lane->timer);
    } else {
        timer_start(lane->timer, ms);
    }
    return 0;
}

static struct watch *watch_new(struct lane *lane, curl_socket_t fd) {
    struct watch *w = calloc(1, sizeof *w);
    if (w == NULL || err_is_set(poll_new(lane->loop, fd, on_events, w, &w->poll))) {
        free(w);
        return NULL;
    }
    w->lane = lane;
    (void)curl_multi_assign(lane->multi, fd, w);
    return w;
}

static void watch_free(struct watch *w) {
    if (w == NULL) {
        return;
    }
    if (w->lane->acting == w) {
        w->lane->acting = NULL;
    }
    poll_free(w->poll);
    free(w);
}

static int on_socket_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *assigned) {
    struct lane *lane = arg;
    struct watch *w = assigned;
    if (what == CURL_POLL_REMOVE) {
        watch_free(w);
        return 0;
    }
    if (w == NULL) {
        w = watch_new(lane, fd);
    }
    if (w == NULL) {
        /* Not -1, which fails every transfer of the multi without a word. */
        struct http_call *call = NULL;
        (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &call);
        http_call_starve(call);
        return 0;
    }
    w->events = (what & CURL_POLL_IN ? POLL_READ : 0) | (what & CURL_POLL_OUT ? POLL_WRITE : 0);
    poll_watch(w->poll, w->events);
    return 0;
}

struct err lane_new(struct loop *l, size_t max_idle_connections, struct lane **out) {
    struct lane *lane = calloc(1, sizeof *lane);
    if (lane == NULL) {
        return err_make(ERR_NOMEM, "http lane");
    }
    lane->loop = l;
    struct err e = timer_new(l, on_timer, lane, &lane->timer);
    if (err_is_set(e)) {
        free(lane);
        return e;
    }
    lane->multi = curl_multi_init();
    bool good = lane->multi != NULL && curl_multi_setopt(lane->multi, CURLMOPT_SOCKETFUNCTION, on_socket_wanted) == CURLM_OK &&
                curl_multi_setopt(lane->multi, CURLMOPT_SOCKETDATA, lane) == CURLM_OK &&
                curl_multi_setopt(lane->multi, CURLMOPT_TIMERFUNCTION, on_timeout_wanted) == CURLM_OK &&
                curl_multi_setopt(lane->multi, CURLMOPT_TIMERDATA, lane) == CURLM_OK &&
                curl_multi_setopt(lane->multi, CURLMOPT_MAXCONNECTS, (long)max_idle_connections) == CURLM_OK &&
                curl_multi_setopt(lane->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING) == CURLM_OK;
    if (!good) {
        lane_free(lane);
        return err_make(ERR_NOMEM, "curl_multi_init");
    }
    *out = lane;
    return OK;
}

void lane_free(struct lane *lane) {
    if (lane != NULL) {
        (void)curl_multi_cleanup(lane->multi); /* first: it still calls back */
        timer_free(lane->timer);
        free(lane);
    }
}

struct err lane_add(struct lane *lane, CURL *easy) {
    CURLMcode rc = curl_multi_add_handle(lane->multi, easy);
    return rc == CURLM_OK ? OK : err_make(ERR_NOMEM, "curl_multi_add_handle: %s", curl_multi_strerror(rc));
}

void lane_remove(struct lane *lane, CURL *easy) { (void)curl_multi_remove_handle(lane->multi, easy); }
